//! An image for boards with two slots: sent, started, watched for a while, and only then kept.

use std::thread;
use std::time::{Duration, Instant};

use coracle::client::{Error, ErrorKind};
use coracle_core::{Digest, FileName};

use super::operation::{Begun, Operation, Visit, differs, sha256};
use super::sending::Sending;
use super::state::{Outcome, State};
use crate::exit::Exit;

/// The image that runs, wherever it lies.
const RUNNING: FileName<'static> = FileName::from_static("image.running");
/// Between two questions to a board that restarts.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a board that restarts may be silent in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(5);

/// Sends an image, and lets the board run it.
pub struct Activation<'a> {
    pub sending: Sending<'a>,
    /// How long a board may take to come back; `None`: for ever.
    pub restart_timeout: Option<Duration>,
}

impl Activation<'_> {
    fn wanted(&self) -> &Digest {
        &self.sending.source.sha256
    }

    fn start(&self, visit: &mut Visit<'_>) -> Result<Begun, Outcome> {
        let mut client = visit.client()?;
        if sha256(&mut client, RUNNING)?.as_ref() == Some(self.wanted()) {
            // A run that ended may have started it without telling the board to keep it.
            return Ok(if visit.was_begun { Begun::Bakes } else { Begun::Ended(Outcome::new(State::Unchanged)) });
        }
        if sha256(&mut client, self.sending.name)?.as_ref() != Some(self.wanted()) {
            self.sending.send(visit, &mut client)?;
        }
        visit.note_begun()?;
        visit.row.step("restarting");
        // Asked once: the answer may be lost with the connection, and a second restart would count as another start.
        match visit.target.client(visit.network)?.with_retries(0).perform("restart") {
            Err(error) if error.kind() != ErrorKind::Network || matches!(error, Error::Connect { .. }) => {
                return Err(error.into());
            }
            _ => {}
        }
        drop(client);
        self.wait(visit)?;
        Ok(Begun::Bakes)
    }

    /// Waits until the board runs the image.
    fn wait(&self, visit: &Visit<'_>) -> Result<(), Outcome> {
        let until = self.restart_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            thread::sleep(PAUSE);
            let client = visit.target.client(visit.network)?;
            let mut client =
                client.with_retries(0).with_connect_timeout(Some(SILENCE)).with_stall_timeout(Some(SILENCE));
            let outcome = match sha256(&mut client, RUNNING) {
                Ok(Some(is)) if is == *self.wanted() => return Ok(()),
                Ok(is) => differs(RUNNING, is.as_ref(), self.wanted()),
                Err(outcome) => outcome,
            };
            if until.is_some_and(|until| until <= Instant::now()) {
                let reason = outcome.reason.unwrap_or_default();
                return Err(Outcome {
                    reason: Some(format!("it did not come back with the image: {reason}")),
                    ..outcome
                });
            }
        }
    }

    fn keep(&self, visit: &Visit<'_>) -> Result<(), Outcome> {
        let mut client = visit.client()?;
        visit.row.step("asking again");
        let is = sha256(&mut client, RUNNING)?;
        if is.as_ref() != Some(self.wanted()) {
            return Err(Outcome::failed(
                Exit::Verification,
                "it went back to the image before while it was left alone",
            ));
        }
        visit.row.step("confirming");
        client.perform("confirm")?;
        match sha256(&mut client, RUNNING)? {
            Some(is) if is == *self.wanted() => Ok(()),
            is => Err(differs(RUNNING, is.as_ref(), self.wanted())),
        }
    }
}

impl Operation for Activation<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        self.start(visit).unwrap_or_else(Begun::Ended)
    }

    fn finish(&self, visit: &mut Visit<'_>) -> Outcome {
        self.keep(visit).map_or_else(|outcome| outcome, |()| Outcome::new(State::Done))
    }
}
