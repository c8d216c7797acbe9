//! Records over a transport.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use coracle_channel::{Channel, Opened, Opener, PLAINTEXT_OFFSET, PublicKey, RecordLimit, SealError, Sealer};
use coracle_core::Store;
use coracle_core::blocking::{SendFile, Transport};
use embedded_io::{Error as _, ErrorKind, ErrorType, Read, Write};

use super::error::ChannelError;
use crate::transport::whole_millis;

/// What this end takes in a record.
pub(super) const LIMIT: RecordLimit = RecordLimit::PC;
/// Two records arrive in one call.
const RECEIVE_LEN: usize = 2 * LIMIT.record_len();

/// An encrypted channel around a transport, as a transport.
///
/// What is written leaves in records of up to 16 KiB; pieces of which more follows are put together in one. What was accepted and
/// could not leave in time leaves with the next call. At the end, [`finish`](Self::finish) tells the peer that nothing is missing.
pub struct ChannelTransport<T> {
    inner: T,
    peer: PublicKey,
    psk: Option<usize>,
    inbound: Inbound,
    outbound: Outbound,
}

/// Records that have arrived.
struct Inbound {
    opener: Opener,
    buf: Box<[u8]>,
    /// What has not been opened.
    sealed: Range<usize>,
    /// What has been opened and not been read.
    plaintext: Range<usize>,
    /// How long a call may wait.
    limit_ms: Option<u64>,
}

/// The record that leaves.
struct Outbound {
    sealer: Sealer,
    buf: Box<[u8]>,
    /// How much plaintext waits to be sealed.
    gathered: usize,
    /// What is sealed and has not left.
    sealed: Range<usize>,
}

impl<T: Transport> ChannelTransport<T> {
    /// Around a transport of which these bytes have been received behind the handshake.
    pub(super) fn new(inner: T, channel: Channel, psk: Option<usize>, received: &[u8]) -> Self {
        let mut buf = vec![0; RECEIVE_LEN.max(received.len())].into_boxed_slice();
        buf[..received.len()].copy_from_slice(received);
        let inbound =
            Inbound { opener: channel.opener, buf, sealed: 0..received.len(), plaintext: 0..0, limit_ms: None };
        let buf = vec![0; LIMIT.record_len()].into_boxed_slice();
        let outbound = Outbound { sealer: channel.sealer, buf, gathered: 0, sealed: 0..0 };
        Self { inner, peer: channel.peer, psk, inbound, outbound }
    }

    /// Ends what is sent: seals the end, behind what was written, and sends it.
    ///
    /// # Errors
    ///
    /// With `TimedOut` it can be called again.
    pub fn finish(&mut self) -> Result<(), ChannelError<T::Error>> {
        self.outbound.flush(&mut self.inner, true)?;
        if !self.outbound.sealer.has_ended() {
            self.outbound.seal_end()?;
        }
        self.outbound.send(&mut self.inner, false)
    }
}

impl<T> ChannelTransport<T> {
    /// Who the peer is.
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// On a server, the place of the client's pre-shared key among those that are accepted.
    pub const fn psk(&self) -> Option<usize> {
        self.psk
    }

    /// Whether the peer has ended what it sends.
    pub fn has_peer_ended(&self) -> bool {
        self.inbound.opener.has_ended()
    }

    /// How many records of the peer have been opened. A client that is closed before the first was refused at message 3.
    pub fn records(&self) -> u64 {
        self.inbound.opener.records()
    }

    /// The enclosed transport.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// Gives the enclosed transport back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: fmt::Debug> fmt::Debug for ChannelTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelTransport").field("inner", &self.inner).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<T: ErrorType> ErrorType for ChannelTransport<T> {
    type Error = ChannelError<T::Error>;
}

impl<T: Transport> Read for ChannelTransport<T> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.outbound.flush(&mut self.inner, false)?;
        self.inbound.read(&mut self.inner, buf)
    }
}

impl<T: Transport> Write for ChannelTransport<T> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.write_part(buf, false)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.outbound.flush(&mut self.inner, false)
    }
}

impl<T: Transport> Transport for ChannelTransport<T> {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), Self::Error> {
        self.inbound.limit_ms = limit_ms;
        self.inner.limit_wait(limit_ms).map_err(ChannelError::Transport)
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, Self::Error> {
        self.outbound.write(&mut self.inner, bytes, more)
    }
}

/// No file leaves without being sealed.
impl<S: Store, T: Transport> SendFile<S> for ChannelTransport<T> {}

impl Inbound {
    fn read<T: Transport>(&mut self, inner: &mut T, buf: &mut [u8]) -> Result<usize, ChannelError<T::Error>> {
        let mut began = None;
        while self.plaintext.is_empty() && !buf.is_empty() {
            match self.opener.open(&mut self.buf[self.sealed.clone()]).map_err(ChannelError::Record)? {
                Opened::Data { plaintext, taken } => {
                    let start = self.sealed.start;
                    self.plaintext = start + plaintext.start..start + plaintext.end;
                    self.sealed.start += taken;
                }
                Opened::End { taken } => self.sealed.start += taken,
                Opened::Incomplete { .. } if self.opener.has_ended() => return Ok(0),
                Opened::Incomplete { .. } => {
                    self.limit(inner, &mut began)?;
                    if self.fill(inner)? == 0 {
                        self.opener.receive_eof().map_err(ChannelError::Record)?;
                        return Ok(0);
                    }
                }
            }
        }
        let len = self.plaintext.len().min(buf.len());
        buf[..len].copy_from_slice(&self.buf[self.plaintext.start..][..len]);
        self.plaintext.start += len;
        Ok(len)
    }

    /// Bounds all the calls together that one record takes: a peer that sends it byte by byte has no more time for it.
    fn limit<T: Transport>(&self, inner: &mut T, began: &mut Option<Instant>) -> Result<(), ChannelError<T::Error>> {
        let (Some(limit_ms), Some(began)) = (self.limit_ms, *began) else {
            *began = Some(Instant::now());
            return Ok(());
        };
        let left = Duration::from_millis(limit_ms).saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(ChannelError::TimedOut);
        }
        inner.limit_wait(Some(whole_millis(left).max(1))).map_err(ChannelError::Transport)
    }

    /// Receives more; 0 at the end.
    fn fill<T: Transport>(&mut self, inner: &mut T) -> Result<usize, ChannelError<T::Error>> {
        self.buf.copy_within(self.sealed.clone(), 0);
        self.sealed = 0..self.sealed.len();
        let received = inner.read(&mut self.buf[self.sealed.end..]).map_err(ChannelError::Transport)?;
        self.sealed.end += received;
        Ok(received)
    }
}

impl Outbound {
    fn write<T: Transport>(
        &mut self,
        inner: &mut T,
        bytes: &[u8],
        more: bool,
    ) -> Result<usize, ChannelError<T::Error>> {
        self.send(inner, true)?;
        if self.sealer.has_ended() {
            return Err(ChannelError::Ended);
        }
        let room = self.sealer.room(self.buf.len()) - self.gathered;
        let len = room.min(bytes.len());
        self.buf[PLAINTEXT_OFFSET + self.gathered..][..len].copy_from_slice(&bytes[..len]);
        self.gathered += len;
        let more = more || len < bytes.len();
        if len == room || !more {
            match self.flush(inner, more) {
                // These bytes are accepted: what is left of them leaves with the next call.
                Err(ChannelError::Transport(error)) if error.kind() == ErrorKind::TimedOut => {}
                flushed => flushed?,
            }
        }
        Ok(len)
    }

    /// Seals what waits, and sends it. `more` says that more follows immediately.
    fn flush<T: Transport>(&mut self, inner: &mut T, more: bool) -> Result<(), ChannelError<T::Error>> {
        self.send(inner, more)?;
        if self.gathered > 0 {
            let sealed = self.sealer.seal(&mut self.buf, self.gathered).map_err(ended)?;
            self.gathered = 0;
            self.sealed = 0..sealed;
        }
        self.send(inner, more)
    }

    fn seal_end<E>(&mut self) -> Result<(), ChannelError<E>> {
        let sealed = self.sealer.finish(&mut self.buf).map_err(ended)?;
        self.sealed = 0..sealed;
        Ok(())
    }

    fn send<T: Transport>(&mut self, inner: &mut T, more: bool) -> Result<(), ChannelError<T::Error>> {
        while !self.sealed.is_empty() {
            match inner.write_part(&self.buf[self.sealed.clone()], more) {
                Ok(0) => return Err(ChannelError::WriteZero),
                Ok(sent) => self.sealed.start += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ChannelError::Transport(error)),
            }
        }
        Ok(())
    }
}

/// A record always fits, so it is the end that is in the way.
fn ended<E>(_: SealError) -> ChannelError<E> {
    ChannelError::Ended
}
