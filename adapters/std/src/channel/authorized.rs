//! The list of the clients that a server knows, and what each of them may do.

use std::collections::HashMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;

use coracle_channel::{KeyTextError, PublicKey};
use coracle_core::{Demand, Permit, Rights, RightsError};

use crate::sys;

/// The longest list, in bytes: some 100,000 clients.
const MAX_LEN: u64 = 16 << 20;
/// Of a file's mode: what others than its owner may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The clients that a server knows by their keys, with their [`Rights`]: a line for each.
///
/// ```text
/// # Comments, and empty lines, are skipped.
/// ck1… read                         # bench-7
/// ck1… read write=config/ do=restart  # Ada's laptop
/// plain read=public/
/// ```
///
/// The name behind the `#` is for the log. A line `plain` says what clients may do that come without encryption, where those
/// are served at all. The last line ends in a line feed, so that a list that was cut off is noticed.
#[derive(Clone, Debug, Default)]
pub struct Authorized {
    clients: HashMap<[u8; 32], AuthorizedClient>,
    plain: Option<String>,
    is_open: bool,
}

/// A client of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedClient {
    name: String,
    rights: String,
}

impl AuthorizedClient {
    /// Its name; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    #[must_use]
    pub fn rights(&self) -> Rights<'_> {
        rights(&self.rights)
    }
}

/// Why a list of clients is not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorizedError {
    /// The file cannot be read.
    File(io::Error),
    /// Others than its owner can write it: this is its mode.
    Exposed(u32),
    /// It is no regular file.
    NotFile,
    /// It is longer than any list.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// Its last line has no line feed, or there is none: it may be cut off.
    Cut,
    /// A line is wrong.
    Line {
        /// Its number; the first one is 1.
        number: usize,
        /// What is wrong with it.
        why: LineError,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// It begins with no public key.
    Key(KeyTextError),
    /// This word is no right.
    Right(String),
    /// The key, or `plain`, stands in this earlier line, too.
    Doubled(usize),
    /// `plain` clients would change files, and may not.
    PlainChanges,
}

impl fmt::Display for AuthorizedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Exposed(mode) => write!(f, "others can write it (mode {mode:04o}): chmod 644 leaves that to you"),
            Self::NotFile => f.write_str("is no regular file"),
            Self::TooLong => write!(f, "is longer than {MAX_LEN} bytes"),
            Self::NotText => f.write_str("is not UTF-8"),
            Self::Cut => f.write_str("its last line has no line feed: it may be cut off"),
            Self::Line { number, why } => write!(f, "line {number}: {why}"),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => write!(f, "a line begins with a client's public key, or 'plain': {error}"),
            Self::Right(word) => match Rights::new(word) {
                Err(error) => write!(f, "{}: {error}", crate::Escaped(word)),
                Ok(_) => crate::Escaped(word).fmt(f),
            },
            Self::Doubled(number) => write!(f, "the same stands in line {number}"),
            Self::PlainChanges => f.write_str(
                "clients without encryption would change files, or do things: that has to be allowed for the server \
                 itself (--allow-plain-writes)",
            ),
        }
    }
}

impl std::error::Error for AuthorizedError {}

impl Authorized {
    /// No client.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every client that completes the handshake may read; none without encryption.
    #[must_use]
    pub fn everybody() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// The clients of the list `text`.
    ///
    /// # Errors
    ///
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, AuthorizedError> {
        Self::parse_with(text, true)
    }

    /// The same; unless `allows_plain_changes`, clients without encryption may not do more than read.
    pub(crate) fn parse_with(text: &str, allows_plain_changes: bool) -> Result<Self, AuthorizedError> {
        if !text.ends_with('\n') {
            return Err(AuthorizedError::Cut);
        }
        let mut this = Self::default();
        let mut lines = HashMap::new();
        let mut plain_line = None;
        for (line, number) in text.lines().zip(1..) {
            let wrong = |why| AuthorizedError::Line { number, why };
            let (entry, name) = line.split_once('#').unwrap_or((line, ""));
            let entry = entry.trim();
            let (key, words) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
            if key.is_empty() {
                continue;
            }
            let right = |error: RightsError<'_>| wrong(LineError::Right(error.word().to_owned()));
            Rights::new(words).map_err(right)?;
            let rights = words.trim().to_owned();
            let earlier = if key == "plain" {
                if !allows_plain_changes && Rights::new(words).is_ok_and(Rights::can_change) {
                    return Err(wrong(LineError::PlainChanges));
                }
                this.plain = Some(rights);
                plain_line.replace(number)
            } else {
                let key: PublicKey = key.parse().map_err(|error| wrong(LineError::Key(error)))?;
                let client = AuthorizedClient { name: name.trim().to_owned(), rights };
                this.clients.insert(*key.as_bytes(), client);
                lines.insert(*key.as_bytes(), number)
            };
            if let Some(earlier) = earlier {
                return Err(wrong(LineError::Doubled(earlier)));
            }
        }
        Ok(this)
    }

    /// Reads the list `path`.
    ///
    /// # Errors
    ///
    /// Also where others than the file's owner can write it.
    pub fn read(path: &Path) -> Result<Self, AuthorizedError> {
        Self::read_with(path, true)
    }

    /// As [`Authorized::read`] and `parse_with`.
    pub(crate) fn read_with(path: &Path, allows_plain_changes: bool) -> Result<Self, AuthorizedError> {
        // A pipe must not be waited for.
        let mut options = OpenOptions::new();
        let file = sys::without_waiting(options.read(true)).open(path).map_err(AuthorizedError::File)?;
        let metadata = file.metadata().map_err(AuthorizedError::File)?;
        if !metadata.is_file() {
            return Err(AuthorizedError::NotFile);
        }
        if let Some(mode) = sys::mode(&metadata).filter(|mode| mode & WRITABLE_BY_OTHERS != 0) {
            return Err(AuthorizedError::Exposed(mode & 0o7777));
        }
        let mut text = Vec::new();
        file.take(MAX_LEN + 1).read_to_end(&mut text).map_err(AuthorizedError::File)?;
        if text.len() as u64 > MAX_LEN {
            return Err(AuthorizedError::TooLong);
        }
        Self::parse_with(str::from_utf8(&text).map_err(|_| AuthorizedError::NotText)?, allows_plain_changes)
    }

    /// How many clients are in the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no client is in the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// The client with this key; `None` for one that is not in the list.
    #[must_use]
    pub fn client(&self, key: &PublicKey) -> Option<&AuthorizedClient> {
        self.clients.get(key.as_bytes())
    }

    /// What a client may do without encryption; `None` where the list says nothing of it: then it is not served.
    #[must_use]
    pub fn plain(&self) -> Option<Rights<'_>> {
        self.plain.as_deref().map(rights)
    }

    /// What the client with this key may do of what it asks for; `text` is the key for one that is not in the list.
    pub fn permit<'a>(&self, key: &PublicKey, text: &'a str, demand: &Demand<'_>) -> Permit<'a> {
        match self.client(key) {
            Some(client) => client.rights().permit(demand),
            None if self.is_open => Rights::READ.permit(demand),
            None => Permit::Unknown { key: text },
        }
    }
}

/// Rights that were checked before.
fn rights(words: &str) -> Rights<'_> {
    Rights::new(words).unwrap_or(Rights::NONE)
}
