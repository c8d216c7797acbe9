//! Which connection may send an upload, for stores that several connections write to.

use super::{PutAttempt, WriteError};
use crate::types::time::Instant;

/// Which connection sends an upload, and when another may take over from it.
///
/// A connection whose client has vanished without a word still holds its upload. So one that puts the same file waits until
/// the first was silent for [`UploadTurn::SILENCE_MS`] in which the server could take bytes, and then takes over; if the first
/// sends meanwhile, the newcomer is refused. A store keeps one of these for each unfinished upload, behind its lock.
///
/// ```
/// use coracle_core::{Instant, PutAttempt, UploadClaim, UploadTurn};
///
/// let at = Instant::from_millis;
/// let mut turn = UploadTurn::new();
/// let UploadClaim::Granted(first) = turn.claim(PutAttempt::new(at(0), true), at(0)) else { panic!("it is free") };
/// turn.enter(first)?; // 'write' begins
/// turn.leave(first, true, at(10)); // 'write' ends, with bytes
///
/// let newcomer = PutAttempt::new(at(50), true);
/// assert_eq!(turn.claim(newcomer, at(50)), UploadClaim::Wait);
/// assert!(matches!(turn.claim(newcomer, at(2_010)), UploadClaim::Granted(_)));
/// assert!(turn.enter(first).is_err());
/// # Ok::<(), coracle_core::WriteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UploadTurn {
    /// Changes with every holder.
    number: u32,
    phase: Phase,
    /// When the holder last sent.
    last_byte: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection has it.
    Free,
    /// The server waits for the holder's bytes.
    Quiet {
        since: Instant,
    },
    /// The server works, so that the holder's silence means nothing.
    Working,
    Committing,
}

/// A connection's right to an upload. Lost when another one takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadTicket(u32);

/// The answer to a connection that wants to send an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadClaim {
    /// It may, with this ticket; no other connection may any more.
    Granted(UploadTicket),
    /// Not yet: [`Begun::Wait`](super::Begun::Wait).
    Wait,
    /// Another one is sending: [`WriteError::InUse`].
    InUse,
}

impl UploadTurn {
    /// How long a connection has to be silent, while the server waits for its bytes, before another one takes over, in
    /// milliseconds.
    pub const SILENCE_MS: u64 = 2_000;

    /// No connection has the upload.
    #[must_use]
    pub const fn new() -> Self {
        Self { number: 0, phase: Phase::Free, last_byte: Instant::from_millis(0) }
    }

    /// Whether no connection has the upload.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.phase == Phase::Free
    }

    /// Asks for the upload, on behalf of a connection that puts the same file.
    pub fn claim(&mut self, attempt: PutAttempt, now: Instant) -> UploadClaim {
        match self.phase {
            Phase::Free => {}
            Phase::Committing => return UploadClaim::Wait,
            _ if self.last_byte > attempt.asked => return UploadClaim::InUse,
            Phase::Quiet { since } if now.since(since) >= Self::SILENCE_MS => {}
            _ => return UploadClaim::Wait,
        }
        self.number = self.number.wrapping_add(1);
        self.phase = Phase::Quiet { since: now };
        self.last_byte = Instant::from_millis(0);
        UploadClaim::Granted(UploadTicket(self.number))
    }

    /// The holder's `write` or `read_back` begins.
    ///
    /// # Errors
    ///
    /// [`WriteError::InUse`]: another connection has taken over.
    pub fn enter(&mut self, ticket: UploadTicket) -> Result<(), WriteError> {
        self.set(ticket, Phase::Working)
    }

    /// The holder's `write` or `read_back` has ended, with or without bytes of its client.
    pub fn leave(&mut self, ticket: UploadTicket, has_bytes: bool, now: Instant) {
        if self.set(ticket, Phase::Quiet { since: now }).is_ok() && has_bytes {
            self.last_byte = now;
        }
    }

    /// The holder's `commit` begins or goes on: no other upload takes over now.
    ///
    /// # Errors
    ///
    /// [`WriteError::InUse`]: another connection has taken over.
    pub fn commit(&mut self, ticket: UploadTicket) -> Result<(), WriteError> {
        self.set(ticket, Phase::Committing)
    }

    /// The holder has ended, or has lost the upload before.
    pub fn release(&mut self, ticket: UploadTicket) {
        // Without the right to it there is nothing to release.
        let _ = self.set(ticket, Phase::Free);
    }

    fn set(&mut self, ticket: UploadTicket, phase: Phase) -> Result<(), WriteError> {
        if self.phase == Phase::Free || self.number != ticket.0 {
            return Err(WriteError::InUse);
        }
        self.phase = phase;
        Ok(())
    }
}

impl Default for UploadTurn {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{PutAttempt, UploadClaim, UploadTicket, UploadTurn, WriteError};
    use crate::types::time::Instant;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    const fn asked(millis: u64) -> PutAttempt {
        PutAttempt::new(at(millis), true)
    }

    fn granted(claim: UploadClaim) -> UploadTicket {
        let UploadClaim::Granted(ticket) = claim else { panic!("{claim:?}") };
        ticket
    }

    #[test]
    fn a_silent_holder_is_displaced_after_two_seconds() {
        let mut turn = UploadTurn::new();
        assert!(turn.is_free());
        let first = granted(turn.claim(asked(0), at(0)));
        turn.enter(first).expect("its turn");
        turn.leave(first, true, at(1_000));
        assert_eq!(turn.claim(asked(1_500), at(2_999)), UploadClaim::Wait);
        let second = granted(turn.claim(asked(1_500), at(3_000)));
        for result in [turn.enter(first), turn.commit(first)] {
            assert_eq!(result, Err(WriteError::InUse));
        }
        turn.leave(first, true, at(3_000));
        turn.release(first);
        assert!(!turn.is_free());
        turn.release(second);
        assert!(turn.is_free());
        assert_eq!(turn.enter(second), Err(WriteError::InUse));
    }

    #[test]
    fn a_holder_that_sends_keeps_it() {
        let mut turn = UploadTurn::new();
        let first = granted(turn.claim(asked(0), at(0)));
        assert_eq!(turn.claim(asked(100), at(100)), UploadClaim::Wait);
        turn.enter(first).expect("its turn");
        turn.leave(first, true, at(200));
        assert_eq!(turn.claim(asked(100), at(200)), UploadClaim::InUse);
        assert_eq!(turn.claim(asked(100), at(60_000)), UploadClaim::InUse);
        assert_eq!(turn.claim(asked(300), at(300)), UploadClaim::Wait);
    }

    /// Only silence while the server waits for bytes counts.
    #[test]
    fn a_server_that_works_displaces_nobody() {
        let mut turn = UploadTurn::new();
        let first = granted(turn.claim(asked(0), at(0)));
        turn.enter(first).expect("its turn");
        assert_eq!(turn.claim(asked(10), at(9_000)), UploadClaim::Wait);
        turn.leave(first, false, at(9_000));
        assert_eq!(turn.claim(asked(10), at(10_999)), UploadClaim::Wait);
        turn.commit(first).expect("its turn");
        assert_eq!(turn.claim(asked(10), at(99_000)), UploadClaim::Wait);
        turn.release(first);
        granted(turn.claim(asked(10), at(99_000)));
    }
}
