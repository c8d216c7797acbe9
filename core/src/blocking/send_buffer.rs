//! The session with its way out: what it wants sent gathers in a buffer and leaves.

use embedded_io::{Error as _, ErrorKind};

use super::transport::{Clock, Transport};
use crate::{Action, Close, CloseHow, Instant, ServerSession};

/// The session with its way out.
pub(super) struct SendBuffer<'d, 'c, B, T, C> {
    pub(super) session: &'d mut ServerSession<'c, B>,
    pub(super) transport: &'d mut T,
    pub(super) clock: &'d mut C,
    /// When the transport or the store was last done with something: what takes no time needs no other clock.
    pub(super) now: Instant,
    pub(super) send: &'d mut [u8],
    /// Bytes at the front of `send` that the session counts as sent.
    pub(super) pending: usize,
}

impl<B, T, C> SendBuffer<'_, '_, B, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// The buffer has taken over `len` of the bytes that the session wants sent.
    pub(super) fn send_bytes(&mut self, len: usize, is_all: bool, more: bool) {
        // What is written now was not reported as sent before: if it fails, the session has not gone on.
        let must_leave = !(is_all && more);
        if !must_leave || self.flush(!is_all) {
            self.sent(len);
        }
    }

    /// Writes what is pending; false when the session has ended meanwhile.
    pub(super) fn flush(&mut self, more: bool) -> bool {
        self.pending == 0 || self.flush_from(0, more)
    }

    /// Writes what is pending behind the first `written` bytes.
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

    /// Writing what is pending behind the first `written` bytes came to `sent`.
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

    /// A call of the transport has failed.
    pub(super) fn fail(&mut self, kind: ErrorKind) {
        match kind {
            ErrorKind::Interrupted => {}
            ErrorKind::TimedOut => self.session.handle_timeout(self.now),
            _ => self.session.send_failed(),
        }
    }

    /// Bounds the next call of the transport; false where that is not possible, which ends the session.
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

    /// Up to `len` bytes of the buffer behind what is pending.
    pub(super) fn free(&mut self, len: usize) -> Option<&mut [u8]> {
        let free = self.send.get_mut(self.pending..)?;
        let len = len.min(free.len());
        free.get_mut(..len)
    }
}
