//! Collects the bytes that a session sends in a buffer, and writes them to the transport.

use embedded_io::{Error as _, ErrorKind};

use super::transport::{Clock, Transport};
use crate::{Action, Close, CloseHow, Instant, ServerSession};

/// The session, its transport, and the bytes in between.
pub(super) struct SendBuffer<'d, 'c, B, T, C> {
    pub(super) session: &'d mut ServerSession<'c, B>,
    pub(super) transport: &'d mut T,
    pub(super) clock: &'d mut C,
    /// The time after the last call of the transport or the store. Other work takes no measurable time.
    pub(super) now: Instant,
    pub(super) send: &'d mut [u8],
    /// Number of bytes at the front of `send` that the session counts as sent.
    pub(super) pending: usize,
    /// When the first of them was copied there.
    pub(super) pending_since: Instant,
}

impl<B, T, C> SendBuffer<'_, '_, B, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// Reports `len` bytes that were copied to the buffer as sent, after writing them where they must not wait.
    pub(super) fn send_bytes(&mut self, len: usize, is_all: bool, more: bool) {
        // Written before it is reported as sent, so that the session is still in the same state if writing fails.
        let must_leave = !(is_all && more);
        if !must_leave || self.flush(!is_all) {
            self.sent(len);
        }
    }

    /// Writes the pending bytes; false if the session has ended meanwhile.
    pub(super) fn flush(&mut self, more: bool) -> bool {
        self.pending == 0 || self.flush_from(0, more)
    }

    /// Writes the pending bytes after the first `written` ones.
    #[inline(always)]
    pub(super) fn flush_from(&mut self, mut written: usize, more: bool) -> bool {
        while written < self.pending {
            let is_limited = self.limit_wait();
            let bytes = self.send.get(written..self.pending).unwrap_or_default();
            let sent = self.transport.write_part(bytes, more).map(|len| len.min(bytes.len()));
            self.look_at_clock();
            if !self.wrote(sent, &mut written, is_limited) {
                return false;
            }
        }
        self.pending = 0;
        true
    }

    /// Handles the result of a write; false if the session has ended.
    #[inline(always)]
    pub(super) fn wrote(&mut self, sent: Result<usize, T::Error>, written: &mut usize, is_limited: bool) -> bool {
        match sent {
            Ok(0) => self.session.send_failed(),
            Ok(len) => {
                *written += len;
                self.session.progress(self.now);
                if is_limited {
                    return true;
                }
            }
            Err(error) => self.fail(error.kind()),
        }
        if matches!(self.session.action(), Action::Close(Close { how: CloseHow::Abort, .. })) {
            self.pending = 0;
            return false;
        }
        true
    }

    pub(super) fn sent(&mut self, len: usize) {
        self.session.sent(len, self.now);
    }

    pub(super) fn file_fault(&mut self) {
        self.session.file_fault(self.now);
    }

    /// Handles a failed call of the transport.
    pub(super) fn fail(&mut self, kind: ErrorKind) {
        match kind {
            ErrorKind::Interrupted => {}
            ErrorKind::TimedOut => self.session.handle_timeout(self.now),
            _ => self.session.send_failed(),
        }
    }

    /// Limits the next call of the transport to the session's deadline; false where that fails, which ends the session.
    pub(super) fn limit_wait(&mut self) -> bool {
        let limit_ms = self.session.deadline().map(|(when, _)| when.since(self.now).max(1));
        let is_limited = self.transport.limit_wait(limit_ms).is_ok();
        if !is_limited {
            self.session.send_failed();
        }
        is_limited
    }

    pub(super) fn look_at_clock(&mut self) {
        self.now = self.clock.now();
    }

    pub(super) fn room(&self) -> usize {
        self.send.len().saturating_sub(self.pending)
    }

    /// Up to `len` bytes of the buffer after the pending ones.
    pub(super) fn free(&mut self, len: usize) -> Option<&mut [u8]> {
        let free = self.send.get_mut(self.pending..)?;
        let len = len.min(free.len());
        free.get_mut(..len)
    }
}
