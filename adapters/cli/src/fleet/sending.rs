//! Sends a file to a host, and asks what the host has then.

use std::thread;
use std::time::{Duration, Instant};

use coracle::client::{Client, Error, PutOptions};
use coracle_core::{Code, FileName};

use super::operation::{Begun, Operation, Visit, differs, sha256};
use super::source::Source;
use super::state::{Outcome, State};
use crate::exit::Exit;

/// How long an upload of a run that was killed may hold the name at a host, until that notices.
const HELD: Duration = Duration::from_secs(10);
const HELD_PAUSE: Duration = Duration::from_millis(200);

/// Sends a file.
pub struct Sending<'a> {
    pub name: FileName<'a>,
    pub source: Source,
    pub options: PutOptions,
}

impl Sending<'_> {
    /// Sends the file, and asks what the host has then.
    pub fn send(&self, visit: &mut Visit<'_>, client: &mut Client) -> Result<(), Outcome> {
        if !self.source.is_unchanged() {
            return Err(changed_here());
        }
        visit.note_begun()?;
        visit.row.step("sending");
        let since = Instant::now();
        let summary = loop {
            match client.put(self.name, &self.source.file, &self.options, &mut visit.row) {
                Err(Error::Refused { code: Some(Code::InUse), .. }) if since.elapsed() < HELD => {
                    thread::sleep(HELD_PAUSE);
                }
                put => break put?,
            }
        };
        if summary.digest.kind() == self.source.sha256.kind() && summary.digest != self.source.sha256 {
            return Err(changed_here());
        }
        visit.row.step("asking again");
        self.check(client)
    }

    /// Asks whether the host has the file.
    fn check(&self, client: &mut Client) -> Result<(), Outcome> {
        match sha256(client, self.name)? {
            Some(is) if is == self.source.sha256 => Ok(()),
            is => Err(differs(self.name, is.as_ref(), &self.source.sha256)),
        }
    }

    fn ensure(&self, visit: &mut Visit<'_>) -> Result<State, Outcome> {
        let mut client = visit.client()?;
        if sha256(&mut client, self.name)?.as_ref() == Some(&self.source.sha256) {
            return Ok(if visit.was_begun { State::Done } else { State::Unchanged });
        }
        self.send(visit, &mut client)?;
        Ok(State::Done)
    }
}

impl Operation for Sending<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        Begun::Ended(self.ensure(visit).map_or_else(|outcome| outcome, Outcome::new))
    }

    fn finish(&self, visit: &mut Visit<'_>) -> Outcome {
        visit
            .client()
            .and_then(|mut client| self.check(&mut client))
            .map_or_else(|outcome| outcome, |()| Outcome::new(State::Done))
    }
}

fn changed_here() -> Outcome {
    Outcome::failed(Exit::LocalFile, "the local file changed since the run began")
}
