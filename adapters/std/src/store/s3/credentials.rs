//! The keys to an object store, and where they come from.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rusty_s3::Credentials;
use zeroize::Zeroizing;

use super::container::ContainerRole;
use super::error::S3Error;
use super::profile::Profile;

/// Keys that are read again from where they came from, since temporary ones are replaced there.
pub(super) struct KeySource {
    current: RwLock<Arc<Credentials>>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// They stay.
    Given,
    Files(KeyFiles),
    Role(ContainerRole),
}

/// Files with keys.
#[derive(Clone, Debug)]
pub(super) struct KeyFiles {
    /// Those that are there, each with the name of the section in it.
    pub sections: Vec<(PathBuf, String)>,
}

impl KeySource {
    /// Keys that stay.
    pub(super) fn fixed(key: &str, secret: &str, token: Option<&str>) -> Self {
        Self::new(credentials(key, secret, token), Origin::Given)
    }

    /// Keys from the first of the files that has some, or else of the role.
    pub(super) fn find(files: KeyFiles, role: Option<ContainerRole>) -> Result<Self, S3Error> {
        if let Some(current) = files.read()? {
            return Ok(Self::new(current, Origin::Files(files)));
        }
        if let Some(role) = role
            && let Some(current) = role.ask()?
        {
            return Ok(Self::new(current, Origin::Role(role)));
        }
        let names: Vec<_> =
            files.sections.iter().map(|(path, name)| format!("[{name}] in {}", path.display())).collect();
        Err(S3Error::Settings(format!(
            "there are no keys for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write \
             aws_access_key_id and aws_secret_access_key beneath {}",
            names.join(" or ")
        )))
    }

    fn new(current: Credentials, origin: Origin) -> Self {
        Self { current: RwLock::new(Arc::new(current)), origin }
    }

    pub(super) fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads them again, and returns whether they are others than `refused`, with which a request was refused.
    pub(super) fn replace(&self, refused: &Credentials) -> bool {
        let read = match &self.origin {
            Origin::Given => Ok(None),
            Origin::Files(files) => files.read(),
            Origin::Role(role) => role.ask(),
        };
        if let Ok(Some(read)) = read {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if **current != read {
                *current = Arc::new(read);
            }
        }
        *self.current() != *refused
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl KeyFiles {
    fn read(&self) -> Result<Option<Credentials>, S3Error> {
        for (path, section) in &self.sections {
            let profile = read_profile(path, section)?;
            let wrong = |missing: &str| {
                Err(S3Error::Settings(format!("{}: [{section}] has no {missing} beside its other key", path.display())))
            };
            match (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")) {
                (Some(key), Some(secret)) => {
                    return Ok(Some(credentials(key, secret, profile.get("aws_session_token"))));
                }
                (Some(_), None) => return wrong("aws_secret_access_key"),
                (None, Some(_)) => return wrong("aws_access_key_id"),
                (None, None) => {}
            }
        }
        Ok(None)
    }
}

/// The settings of `section` in the file `path`; none where there is no such file.
pub(super) fn read_profile(path: &Path, section: &str) -> Result<Profile, S3Error> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => Ok(Profile::find(&text, section)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Profile::default()),
        Err(error) => Err(S3Error::Settings(format!("{}: {error}", path.display()))),
    }
}

fn credentials(key: &str, secret: &str, token: Option<&str>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{KeyFiles, KeySource};

    #[test]
    fn keys_are_read_again_when_they_were_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("credentials");
        let files = KeyFiles { sections: vec![(path.clone(), "default".to_owned())] };
        let error = KeySource::find(files.clone(), None).expect_err("no keys").to_string();
        assert!(error.contains("there are no keys") && error.contains("[default] in "), "{error}");

        fs::write(&path, "[default]\naws_access_key_id = A\n").expect("written");
        let error = KeySource::find(files.clone(), None).expect_err("half of them").to_string();
        assert!(error.contains("has no aws_secret_access_key"), "{error}");

        fs::write(&path, "[default]\naws_access_key_id = A\naws_secret_access_key = secret-1\n").expect("written");
        let source = KeySource::find(files, None).expect("keys");
        let first = source.current();
        assert_eq!((first.key(), first.secret(), first.token()), ("A", "secret-1", None));
        assert!(!source.replace(&first), "they are the same");
        fs::write(
            &path,
            "[default]\naws_access_key_id = B\naws_secret_access_key = secret-2\naws_session_token = token-2\n",
        )
        .expect("written");
        assert!(source.replace(&first));
        let second = source.current();
        assert_eq!((second.key(), second.secret(), second.token()), ("B", "secret-2", Some("token-2")));
        assert!(!source.replace(&second));
        fs::remove_file(&path).expect("removed");
        assert!(!source.replace(&second), "those that there were are kept");
        let shown = format!("{source:?}");
        assert!(!shown.contains("secret") && !shown.contains("token"), "{shown}");
    }

    #[test]
    fn keys_that_were_given_stay() {
        let source = KeySource::fixed("A", "secret", Some("token"));
        assert!(!source.replace(&source.current()));
        assert_eq!(source.current().token(), Some("token"));
        assert_eq!(format!("{source:?}"), "KeySource { origin: Given, .. }");
    }
}
