//! One run of the program: what it finds when it starts, and what it does after each attempt, by the rules of
//! `coracle::client`.

use coracle::local::LocalError;
use coracle_core::{ClientAction, Code, Failure};

use super::attempt::{Outcome, Run};
use super::{Client, State, stop_within};
use crate::context::{Context, trace};
use crate::registry::ConnectionRegistry;
use crate::storage::Found;
use crate::store::NAMES;

/// Attempts without progress, and changes, before the program gives up.
const RETRIES: u32 = 3;
/// Once faults have ended, a file takes fewer runs of the program than this.
const CALM_RUNS: u32 = 40;

impl<'c> Client<'c> {
    pub(super) fn start_program(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        self.run = Run::default();
        if context.is_calm {
            self.calm_runs += 1;
            assert!(self.calm_runs < CALM_RUNS, "client {} does not get its file", self.number);
        }
        self.storage.disk.stop_after(stop_within(16, context));
        let found = self.storage.start(context.is_calm, &mut context.random);
        trace!(context, "client {} starts, and finds {found:?}", self.number);
        match found {
            Ok(Found::Nothing | Found::APart) => {}
            Ok(Found::SetAside) => context.counts.set_aside += 1,
            Err(error) => return self.fail(&error, registry, context),
        }
        self.storage.disk.stop_after(None);
        self.storage.forget_unless(NAMES[self.slot]);
        self.begin_attempt(registry, context);
    }

    /// Decides what follows an attempt, like `coracle::client`.
    pub(super) fn finish_attempt(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        let outcome = self.attempt.outcome.take().expect("an outcome");
        trace!(
            context,
            "client {}: {outcome:?} from {} of file {}, has {}",
            self.number,
            self.attempt.offset,
            self.slot,
            self.storage.len()
        );
        let is_idle = self.session.as_ref().is_some_and(|session| session.action() == ClientAction::Idle);
        if let Some(connection) = self.connection.take_if(|_| !is_idle || context.random.chance(500)) {
            registry.leave(connection, true, context);
        }
        let changes_seen =
            if self.attempt.offset > 0 { self.storage.changes_seen } else { self.attempt.changes_at_start };
        let has_changed = context.store.changes(self.slot) != changes_seen;
        let progressed = self.storage.origin().is_some() && self.storage.len() > self.attempt.offset;
        match outcome {
            Outcome::Verified => {
                let header = self.attempt.header.as_ref().expect("a header");
                assert_eq!(
                    header.offset + header.length,
                    self.storage.len(),
                    "a body of another length than announced"
                );
                assert_eq!(header.size, self.storage.len(), "a whole file has another size");
                self.state = State::Promoting;
                self.attempt.dies_in = None;
            }
            Outcome::Changed => {
                assert!(has_changed || context.is_corrupt, "changed, and nothing had happened to the file");
                context.counts.changed += 1;
                self.start_over(100, registry, context);
            }
            Outcome::Refused(Some(Code::Changed | Code::BadRange)) if self.attempt.offset > 0 => {
                assert!(
                    has_changed || context.is_corrupt || self.storage.is_damaged,
                    "another version, and nothing had happened to the file"
                );
                context.counts.changed += 1;
                self.start_over(0, registry, context);
            }
            Outcome::Refused(code) => {
                let is_known = matches!(code, Some(Code::NotFound | Code::Io));
                assert!(is_known || context.is_corrupt, "refused: {code:?}");
                self.give_up(registry, context);
            }
            Outcome::Failed(Failure::Digest) => {
                assert!(self.storage.is_damaged || context.is_corrupt, "a wrong digest, and nothing was damaged");
                context.counts.wrong_digests += 1;
                if let Err(error) = self.storage.discard() {
                    self.fail(&error, registry, context);
                } else if self.run.had_wrong_digest {
                    self.give_up(registry, context);
                } else {
                    self.run.had_wrong_digest = true;
                    self.pause(State::Pausing, 0, context);
                }
            }
            Outcome::Failed(failure) if failure.is_temporary() => {
                if self.attempt.is_reused && !progressed {
                    self.pause(State::Pausing, 0, context);
                } else {
                    self.retry(progressed, registry, context);
                }
            }
            Outcome::Unreachable => self.retry(false, registry, context),
            Outcome::Failed(failure) => {
                assert!(context.is_corrupt, "an honest server's answer was not believed: {failure:?}");
                self.give_up(registry, context);
            }
        }
    }

    fn retry(&mut self, progressed: bool, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        self.run.fruitless_attempts = if progressed { 0 } else { self.run.fruitless_attempts + 1 };
        if self.run.fruitless_attempts > RETRIES {
            return self.give_up(registry, context);
        }
        self.pause(State::Pausing, 100 * 3_u64.pow(self.run.fruitless_attempts), context);
    }

    fn start_over(&mut self, pause_ms: u64, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        if self.run.changes == RETRIES {
            return self.give_up(registry, context);
        }
        self.run.changes += 1;
        self.storage.forget();
        self.pause(State::Pausing, pause_ms * 3_u64.pow(self.run.changes), context);
    }

    /// Ends the program with an error; its user starts it again.
    fn give_up(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        if let Some(connection) = self.connection.take() {
            registry.leave(connection, true, context);
        }
        // What could not be removed is found by the next run.
        let _ = self.storage.suspend();
        if self.storage.disk.is_stopped() {
            return self.die(registry, context);
        }
        self.pause(State::Off, 5_000, context);
    }

    /// Handles an error of the storage, or the end of the process in the middle of an operation.
    pub(super) fn fail(&mut self, error: &LocalError, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        if self.storage.disk.is_stopped() {
            return self.die(registry, context);
        }
        trace!(context, "client {}: {error}", self.number);
        match error {
            LocalError::Exists(_) => context.counts.not_replaced += 1,
            LocalError::Foreign(_) => context.counts.foreign += 1,
            LocalError::Locked(_) => context.counts.locked += 1,
            _ => context.counts.disk_errors += 1,
        }
        self.storage.explain(error);
        self.give_up(registry, context);
    }

    /// Gives the fetched file its name, and reports it.
    pub(super) fn promote(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        let proof = self.attempt.proof.take().expect("a verified body");
        let header = self.attempt.header.take().expect("a header");
        self.storage.disk.stop_after(stop_within(12, context));
        let bytes = match self.storage.promote(proof, header.modified) {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(&error, registry, context),
        };
        self.storage.disk.stop_after(None);
        let version = Some(&header.version).filter(|_| !context.is_corrupt);
        assert!(
            context.store.ever_was(self.slot, version, &bytes),
            "client {} reports {} bytes that file {} never was in version {version:?}",
            self.number,
            bytes.len(),
            self.slot
        );
        trace!(context, "client {} has file {}, {} bytes", self.number, self.slot, bytes.len());
        context.counts.files += 1;
        context.counts.bytes += bytes.len() as u64;
        self.files_left -= 1;
        self.calm_runs = 0;
        self.choose(context);
        if self.files_left == 0 {
            self.state = State::Done;
            if let Some(connection) = self.connection.take() {
                registry.leave(connection, true, context);
            }
        } else {
            self.pause(State::Off, 2_000, context);
        }
    }
}
