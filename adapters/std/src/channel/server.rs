//! What a server needs for encrypted connections: its key, the pre-shared keys, and the clients that it knows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use coracle_channel::{KeyPair, Psk, PublicKey};

use super::authorized::{Authorized, AuthorizedError};
use super::key_file::{KeyFileError, read_psk, read_secret_key};
use super::watched::Watched;

/// The most pre-shared keys that a server tries.
pub const MAX_PSKS: usize = 8;

/// The encrypted side of a server.
///
/// Without anything else, every client that completes the handshake may read, and none is served without
/// encryption.
///
/// ```
/// use coracle::channel::{Authorized, KeyPair, ServerChannel, new_psk, new_secret_key};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = KeyPair::new(new_secret_key()?);
/// let client = KeyPair::new(new_secret_key()?);
/// let list = format!("{} read write=in/ # Ada\n", client.public());
/// let channel = ServerChannel::new(key).with_psks(vec![new_psk()?])?.with_clients(Authorized::parse(&list)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerChannel {
    pub(crate) key: KeyPair,
    pub(crate) offers_plain: bool,
    current: RwLock<Arc<Current>>,
    files: Option<Files>,
}

/// What may change while a server runs.
pub(crate) struct Current {
    pub psks: Vec<Psk>,
    pub clients: Authorized,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.clients.len();
        f.debug_struct("Current").field("psks", &self.psks.len()).field("clients", &clients).finish()
    }
}

/// More pre-shared keys than a server tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPsks;

impl fmt::Display for TooManyPsks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a server tries at most {MAX_PSKS} pre-shared keys, since each costs it work for every stranger")
    }
}

impl std::error::Error for TooManyPsks {}

/// A file of a server's keys that is not taken.
#[derive(Debug)]
pub struct ServerFileError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Key(KeyFileError),
    Clients(AuthorizedError),
    TooManyPsks,
}

impl fmt::Display for ServerFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = crate::local::escape_path(&self.path);
        match &self.cause {
            Cause::Key(error) => write!(f, "{path}: {error}"),
            Cause::Clients(error) => write!(f, "{path}: {error}"),
            Cause::TooManyPsks => write!(f, "{path}: {TooManyPsks}"),
        }
    }
}

impl std::error::Error for ServerFileError {}

/// The files of a server's keys. Those that may change are read again when they have.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    key: PathBuf,
    psks: Vec<PathBuf>,
    authorized: Option<PathBuf>,
    allows_plain_changes: bool,
}

impl ServerFiles {
    /// The file of the server's secret key.
    pub fn new(key: impl Into<PathBuf>) -> Self {
        Self { key: key.into(), psks: Vec::new(), authorized: None, allows_plain_changes: false }
    }

    /// Adds a file of a pre-shared key; at most [`MAX_PSKS`].
    #[must_use]
    pub fn with_psk(mut self, path: impl Into<PathBuf>) -> Self {
        self.psks.push(path.into());
        self
    }

    /// Sets the file of the list of clients. Without it, every client that completes the handshake may read.
    #[must_use]
    pub fn with_authorized(self, path: impl Into<PathBuf>) -> Self {
        Self { authorized: Some(path.into()), ..self }
    }

    /// Sets whether the list may let clients without encryption do more than read. Default: no, it is then refused.
    #[must_use]
    pub fn with_plain_changes(self, allows_plain_changes: bool) -> Self {
        Self { allows_plain_changes, ..self }
    }

    fn read_current(&self) -> Result<Current, ServerFileError> {
        if let Some(surplus) = self.psks.get(MAX_PSKS) {
            return Err(ServerFileError { path: surplus.clone(), cause: Cause::TooManyPsks });
        }
        let psk = |path: &PathBuf| read_psk(path).map_err(|error| failed(path, Cause::Key(error)));
        let psks = self.psks.iter().map(psk).collect::<Result<_, _>>()?;
        let read = |path: &PathBuf| {
            Authorized::read_with(path, self.allows_plain_changes).map_err(|error| failed(path, Cause::Clients(error)))
        };
        let clients = self.authorized.as_ref().map_or_else(|| Ok(Authorized::everybody()), read)?;
        Ok(Current { psks, clients })
    }

    /// The files that may change.
    fn watched(&self) -> Watched {
        Watched::new(self.psks.iter().chain(&self.authorized))
    }
}

#[derive(Debug)]
struct Files {
    files: ServerFiles,
    watched: std::sync::Mutex<Watched>,
}

impl ServerChannel {
    /// A server with this key.
    #[must_use]
    pub fn new(key: KeyPair) -> Self {
        Self::of(key, Current { psks: Vec::new(), clients: Authorized::everybody() }, None)
    }

    /// A server with the keys in `files`. While it runs, pre-shared keys and the list of clients are read again when their files
    /// change; those that were read before stay in force where one is wrong then.
    ///
    /// # Errors
    ///
    /// One of the files is missing, cannot be read, is open to others, or does not hold what it should.
    pub fn read(files: ServerFiles) -> Result<Self, ServerFileError> {
        let secret = read_secret_key(&files.key).map_err(|error| failed(&files.key, Cause::Key(error)))?;
        // Looked at before they are read, so that no change is overlooked.
        let watched = files.watched();
        let current = files.read_current()?;
        let watched = std::sync::Mutex::new(watched);
        Ok(Self::of(KeyPair::new(secret), current, Some(Files { files, watched })))
    }

    fn of(key: KeyPair, current: Current, files: Option<Files>) -> Self {
        Self { key, offers_plain: false, current: RwLock::new(Arc::new(current)), files }
    }

    /// Sets the pre-shared keys, one of which clients have to know. Default: none.
    ///
    /// # Errors
    ///
    /// There are more than [`MAX_PSKS`].
    pub fn with_psks(self, psks: Vec<Psk>) -> Result<Self, TooManyPsks> {
        if psks.len() > MAX_PSKS {
            return Err(TooManyPsks);
        }
        let clients = self.current().clients.clone();
        self.replace(Current { psks, clients });
        Ok(self)
    }

    /// Sets the clients that are known. Default: every client that completes the handshake may read.
    #[must_use]
    pub fn with_clients(self, clients: Authorized) -> Self {
        self.set_clients(clients);
        self
    }

    /// Sets whether clients are served without encryption, too, as far as the list of clients says so in its line `plain`.
    /// Default: they are told `encrypted`.
    #[must_use]
    pub fn with_plain(self, offers_plain: bool) -> Self {
        Self { offers_plain, ..self }
    }

    /// Whether the list of clients says what those without encryption may do.
    #[must_use]
    pub fn serves_plain(&self) -> bool {
        self.current().clients.plain().is_some()
    }

    /// The server's own key, which clients are to know.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        self.key.public()
    }

    /// Replaces the clients that are known, from their next request on.
    pub fn set_clients(&self, clients: Authorized) {
        let psks = self.current().psks.clone();
        self.replace(Current { psks, clients });
    }

    fn replace(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
    }

    pub(crate) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether files have to be looked at.
    pub(crate) const fn has_files(&self) -> bool {
        self.files.is_some()
    }

    /// Reads files again that have changed. `Ok(true)`: what they hold is in force.
    pub(crate) fn reload(&self) -> Result<bool, ServerFileError> {
        let Some(Files { files, watched }) = &self.files else { return Ok(false) };
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.has_changed() {
            return Ok(false);
        }
        self.replace(files.read_current()?);
        Ok(true)
    }
}

fn failed(path: &Path, cause: Cause) -> ServerFileError {
    ServerFileError { path: path.to_owned(), cause }
}
