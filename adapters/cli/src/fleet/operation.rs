//! What is done to each host of a run.

use std::io;

use coracle::client::{Client, Error};
use coracle_core::{Code, Digest, DigestKind, FileName};

use super::journal::Journal;
use super::state::{Outcome, State};
use super::table::Row;
use super::target::Target;
use crate::client_args::NetworkArgs;
use crate::exit::Exit;

/// What is done to each host.
pub trait Operation: Sync {
    /// Does it.
    fn begin(&self, visit: &mut Visit<'_>) -> Begun;

    /// Asks again, or finishes, once a host that is done or bakes was left alone for the time that --bake sets.
    fn finish(&self, visit: &mut Visit<'_>) -> Outcome {
        let _ = visit;
        Outcome::new(State::Done)
    }
}

/// What is to come of a host.
#[derive(Debug)]
pub enum Begun {
    /// Nothing more.
    Ended(Outcome),
    /// It is left alone for a while, and then [`Operation::finish`] follows.
    Bakes,
}

/// A host whose turn it is.
pub struct Visit<'a> {
    pub target: &'a Target,
    pub network: &'a NetworkArgs,
    pub journal: Option<&'a Journal>,
    /// Something was begun by this run, or by the one that it continues.
    pub was_begun: bool,
    pub row: Row,
}

impl Visit<'_> {
    /// A client of the host.
    ///
    /// # Errors
    ///
    /// It is not known where the host is.
    pub fn client(&self) -> Result<Client, Outcome> {
        let row = self.row.clone();
        Ok(self.target.client(self.network)?.with_retry_observer(move |event| row.step(&event.to_string())))
    }

    /// Notes that something is about to be changed. It was not noted: nothing may be changed.
    pub fn note_begun(&mut self) -> Result<(), Outcome> {
        if let (Some(journal), false) = (self.journal, self.was_begun) {
            journal.begun(self.target.name()).map_err(|error| unwritten(journal, &error))?;
        }
        self.was_begun = true;
        Ok(())
    }
}

/// What is told where a journal cannot be written.
pub fn unwritten(journal: &Journal, error: &io::Error) -> Outcome {
    Outcome::failed(Exit::LocalFile, format!("cannot write the journal {}: {error}", journal.path().display()))
}

/// The SHA-256 of a file at the host; `None` where there is no such file.
pub fn sha256(client: &mut Client, name: FileName<'_>) -> Result<Option<Digest>, Outcome> {
    match client.stat(name, Some(DigestKind::Sha256)) {
        Ok(header) => match header.digest {
            Some(digest) => Ok(Some(digest)),
            None => Err(Outcome::failed(Exit::Verification, "the server did not tell a SHA-256")),
        },
        Err(Error::Refused { code: Some(Code::NotFound), .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The outcome of a host that has other contents than it should have.
pub fn differs(name: FileName<'_>, is: Option<&Digest>, wanted: &Digest) -> Outcome {
    match is {
        Some(is) => Outcome::failed(
            Exit::Verification,
            format!("its {} has the SHA-256 {}, not {}", name.as_str(), is.to_hex().as_str(), wanted.to_hex().as_str()),
        )
        .with_member("sha256", is.to_hex().as_str()),
        None => Outcome::failed(Exit::Refused, format!("it has no {}", name.as_str())),
    }
}
