//! Files that hold a secret key or a pre-shared one: a line of text with a checksum, for their owner alone.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use coracle_channel::{KeyPair, KeyTextError, Psk, SecretKey};
use zeroize::Zeroizing;

use crate::sys;

/// Longer than any file of a key with its comments.
const MAX_LEN: u64 = 4096;
/// Of a file's mode: what others than its owner may.
const OTHERS: u32 = 0o077;

/// Why a key was not read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read, or written, or is there already.
    File(io::Error),
    /// Others than its owner can read or write it: this is its mode.
    Exposed(u32),
    /// It is no regular file.
    NotFile,
    /// It does not hold one line with a key of this kind.
    Text(KeyTextError),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                f.write_str("exists already: a key is never replaced, so remove the file first if nobody needs it")
            }
            Self::File(error) => error.fmt(f),
            Self::Exposed(mode) => write!(f, "others can read or write it (mode {mode:04o}): chmod 600 makes it yours"),
            Self::NotFile => f.write_str("is no regular file"),
            Self::Text(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for KeyFileError {}

impl From<io::Error> for KeyFileError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Reads a secret key.
///
/// # Errors
///
/// Also where others than the file's owner can read it.
pub fn read_secret_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    key_line(&read(path)?).parse().map_err(KeyFileError::Text)
}

/// Reads a pre-shared key.
///
/// # Errors
///
/// Also where others than the file's owner can read it.
pub fn read_psk(path: &Path) -> Result<Psk, KeyFileError> {
    key_line(&read(path)?).parse().map_err(KeyFileError::Text)
}

/// Writes a secret key into a new file, for its owner alone. It is on disk when this returns, or there is no file.
///
/// # Errors
///
/// Also where there is a file already.
pub fn create_secret_key(path: &Path, key: &KeyPair) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(format!("# The secret half of {}\n{}\n", key.public(), key.secret().reveal()));
    create(path, &text)
}

/// Writes a pre-shared key into a new file, for its owner alone. It is on disk when this returns, or there is no file.
///
/// # Errors
///
/// Also where there is a file already.
pub fn create_psk(path: &Path, psk: &Psk) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(format!("# A pre-shared key\n{}\n", psk.reveal()));
    create(path, &text)
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    // A pipe must not be waited for.
    let file = sys::without_waiting(OpenOptions::new().read(true)).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotFile);
    }
    if let Some(mode) = sys::mode(&metadata).filter(|mode| mode & OTHERS != 0) {
        return Err(KeyFileError::Exposed(mode & 0o7777));
    }
    let mut text = Zeroizing::new(String::with_capacity(4096));
    file.take(MAX_LEN).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => KeyFileError::Text(KeyTextError::Malformed),
        _ => KeyFileError::File(error),
    })?;
    Ok(text)
}

/// The one line of a file that is neither empty nor a comment; nothing if there are more.
fn key_line(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => line,
        _ => "",
    }
}

/// A file under another name gets this one when it is whole.
fn create(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let name = path.file_name().ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut other_name = OsString::from(".");
    other_name.push(name);
    other_name.push(format!(".{}.new", std::process::id()));
    let other = path.with_file_name(&other_name);
    let named = write(&other, text).and_then(|()| sys::name_new_file(&other, path));
    if named.is_err() {
        // It is there where it was not renamed; the error that is told is the first one.
        let _ = fs::remove_file(&other);
    }
    Ok(named?)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = sys::for_owner(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use coracle_channel::{KeyPair, KeyTextError, Psk, SecretKey};

    use super::{KeyFileError, create_psk, create_secret_key, read_psk, read_secret_key};

    fn key() -> KeyPair {
        KeyPair::new(SecretKey::from_bytes([7; 32]).expect("not blank"))
    }

    #[test]
    fn a_key_survives_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let [secret, psk] = ["secret", "psk"].map(|name| directory.path().join(name));
        create_secret_key(&secret, &key()).expect("written");
        create_psk(&psk, &Psk::from_bytes([8; 32]).expect("not blank")).expect("written");
        assert_eq!(read_secret_key(&secret).expect("read").as_bytes(), &[7; 32]);
        assert_eq!(read_psk(&psk).expect("read").as_bytes(), &[8; 32]);
        #[cfg(unix)]
        assert_eq!(fs::metadata(&secret).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 2, "nothing else is left");
        assert!(matches!(read_psk(&secret), Err(KeyFileError::Text(KeyTextError::Kind))));
    }

    #[test]
    fn a_key_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        fs::write(&path, "another's").expect("written");
        assert!(create_secret_key(&path, &key()).is_err_and(|error| error.to_string().contains("exists already")));
        assert_eq!(fs::read_to_string(&path).expect("read"), "another's");
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn e5_a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        create_secret_key(&path, &key()).expect("written");
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            assert!(matches!(read_secret_key(&path), Err(KeyFileError::Exposed(seen)) if seen == mode), "{mode:o}");
        }
    }

    #[test]
    fn e5_a_file_without_one_key_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        create_secret_key(&path, &key()).expect("written");
        let text = fs::read_to_string(&path).expect("read");
        for other in [String::new(), text[..text.len() - 2].to_owned(), format!("{text}{text}"), "x".repeat(10_000)] {
            fs::write(&path, other).expect("written");
            assert!(matches!(read_secret_key(&path), Err(KeyFileError::Text(KeyTextError::Malformed))));
        }
        fs::write(&path, [0xff, 0xfe]).expect("written");
        assert!(matches!(read_secret_key(&path), Err(KeyFileError::Text(KeyTextError::Malformed))));
        assert!(matches!(read_secret_key(directory.path()), Err(KeyFileError::NotFile)));
        assert!(matches!(read_secret_key(&directory.path().join("none")), Err(KeyFileError::File(_))));
    }
}
