//! Arguments of `coracle serve` about encrypted connections, and what they lead to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum, ValueHint};
use coracle::channel::{MAX_PSKS, ServerChannel, ServerFiles};

use crate::exit::{Exit, print_error};

/// Who is served, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Encryption")]
pub struct EncryptionArgs {
    /// Encrypt connections with this server's secret key, from 'coracle key new FILE'
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// Answer only clients that have this pre-shared key, from 'coracle key new --psk FILE'; may be given up to eight times, the old one and the next for example
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "key")]
    psk: Vec<PathBuf>,
    /// The clients that are known, and what each may do [default: every client that connects encrypted may read]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "key")]
    authorized: Option<PathBuf>,
    /// Whether clients may also connect without encryption [default: only with --key, else no]
    #[arg(long, value_name = "WHICH")]
    encrypt: Option<Encrypt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encrypt {
    /// No connection is encrypted
    No,
    /// Both: without encryption a client may do what the line 'plain' of the list says
    Offer,
    /// All are: a client that comes without is told so
    Only,
}

impl EncryptionArgs {
    /// Whether clients without encryption are refused.
    pub fn is_only(&self) -> bool {
        self.key.is_some() && self.encrypt.is_none_or(|encrypt| encrypt == Encrypt::Only)
    }

    /// Whether clients are served encrypted.
    pub fn is_on(&self) -> bool {
        self.key.is_some()
    }

    /// Checks the arguments against each other; `is_writing`: clients may write.
    pub fn check(&self, is_writing: bool) -> Result<(), String> {
        match (&self.key, self.encrypt) {
            (None, Some(Encrypt::Offer | Encrypt::Only)) => {
                Err("--encrypt needs the server's key: --key FILE, from 'coracle key new FILE'".to_owned())
            }
            (Some(_), Some(Encrypt::No)) => {
                Err("with --key, --encrypt cannot be 'no': leave both out to serve without encryption".to_owned())
            }
            _ if self.psk.len() > MAX_PSKS => Err(format!("--psk may be given {MAX_PSKS} times at most")),
            (Some(_), _) if is_writing && self.authorized.is_none() => {
                Err("who may write stands in the list of clients: add --authorized FILE".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Checks that none of the files lies in what is served: clients could fetch the keys, or replace the list.
    pub fn check_places(&self, served: &Path) -> Result<(), String> {
        // A path that cannot be found is reported where it is opened.
        let Ok(served) = served.canonicalize() else { return Ok(()) };
        for file in self.key.iter().chain(&self.psk).chain(&self.authorized) {
            if file.canonicalize().is_ok_and(|file| file.starts_with(&served)) {
                return Err(format!(
                    "{} lies in what is served: keep keys and lists of clients outside of it",
                    file.display()
                ));
            }
        }
        Ok(())
    }

    /// Reads the files; `None` where connections are not encrypted. `allows_plain_changes`: clients without encryption may do more
    /// than read, if the list says so.
    ///
    /// # Errors
    ///
    /// One of the files is not as it should be: no server begins then, rather than one without encryption.
    pub fn open(&self, allows_plain_changes: bool) -> Result<Option<Arc<ServerChannel>>, Exit> {
        let Some(key) = &self.key else { return Ok(None) };
        let files = ServerFiles::new(key).with_plain_changes(allows_plain_changes);
        let files = self.psk.iter().fold(files, ServerFiles::with_psk);
        let files = match &self.authorized {
            Some(list) => files.with_authorized(list),
            None => files,
        };
        let channel = ServerChannel::read(files).map_err(|error| {
            print_error(error);
            Exit::LocalFile
        })?;
        if !self.is_only() && !channel.serves_plain() {
            print_error(
                "no client is served without encryption, since the list of clients has no line 'plain' with what they may do",
            );
        }
        Ok(Some(Arc::new(channel.with_plain(!self.is_only()))))
    }
}
