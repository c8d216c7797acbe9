//! Records over a transport.

use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use coracle_channel::{Channel, Opened, Opener, PLAINTEXT_OFFSET, PublicKey, RecordLimit, SealError, Sealer};
use coracle_core::Store;
use coracle_core::blocking::{SendFile, Transport};
use embedded_io::{Error as _, ErrorKind, ErrorType, Read, Write};
use socket2::Socket;

use super::error::ChannelError;
use crate::sys;
use crate::transport::{TcpTransport, whole_millis};

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
        let outbound = Outbound { sealer: channel.sealer, buf: Box::default(), gathered: 0, sealed: 0..0 };
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

    /// Whether there is something to read, or a part of it, for which nothing has to arrive.
    pub fn has_received(&self) -> bool {
        !self.inbound.plaintext.is_empty() || !self.inbound.sealed.is_empty()
    }

    /// Whether something that was accepted has not left.
    pub fn has_unsent(&self) -> bool {
        self.outbound.gathered > 0 || !self.outbound.sealed.is_empty()
    }

    /// Gives memory back that nothing is kept in, until more is sent or arrives.
    pub(crate) fn release_buffers(&mut self) {
        if !self.has_received() {
            self.inbound.buf = Box::default();
            (self.inbound.sealed, self.inbound.plaintext) = (0..0, 0..0);
        }
        if !self.has_unsent() {
            self.outbound.buf = Box::default();
        }
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

/// Over a socket, without waiting. Where there is no room now, the error is [`io::ErrorKind::WouldBlock`].
impl<S: Borrow<Socket>> ChannelTransport<TcpTransport<S>> {
    /// Accepts bytes, if nothing else waits to leave, and sends as much as there is room for. Returns how many were accepted.
    ///
    /// # Errors
    ///
    /// Why nothing was accepted.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush_now()?;
        if self.outbound.sealer.has_ended() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = self.outbound.gather(bytes);
        match self.flush_now() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(len),
        }
    }

    /// Sends what was accepted.
    ///
    /// # Errors
    ///
    /// Why some of it is left.
    pub fn flush_now(&mut self) -> io::Result<()> {
        self.send_now()?;
        self.outbound.seal().map_err(io::Error::other)?;
        self.send_now()
    }

    /// Like [`finish`](ChannelTransport::finish).
    ///
    /// # Errors
    ///
    /// Why the end has not left.
    pub fn finish_now(&mut self) -> io::Result<()> {
        self.flush_now()?;
        if !self.outbound.sealer.has_ended() {
            self.outbound.seal_end().map_err(|error: ChannelError<ErrorKind>| io::Error::other(error))?;
        }
        self.send_now()
    }

    fn send_now(&mut self) -> io::Result<()> {
        while !self.outbound.sealed.is_empty() {
            match sys::send_now(self.inner.socket(), &self.outbound.buf[self.outbound.sealed.clone()]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => self.outbound.sealed.start += sent?,
            }
        }
        Ok(())
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
        let (inner, limit_ms, mut began) = (&mut self.inner, self.inbound.limit_ms, None);
        let received = self.inbound.read(buf, |free| {
            limit(inner, limit_ms, &mut began)?;
            inner.read(free).map(Some).map_err(ChannelError::Transport)
        })?;
        Ok(received.unwrap_or(0))
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

    fn read_ready(&mut self, buf: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        let inner = &mut self.inner;
        self.inbound.read(buf, |free| inner.read_ready(free).map_err(ChannelError::Transport))
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, Self::Error> {
        self.outbound.write(&mut self.inner, bytes, more)
    }
}

/// No file leaves without being sealed.
impl<S: Store, T: Transport> SendFile<S> for ChannelTransport<T> {}

impl Inbound {
    /// Reads what `receive` brings; `None` where it brings nothing now.
    fn read<E>(
        &mut self,
        buf: &mut [u8],
        mut receive: impl FnMut(&mut [u8]) -> Result<Option<usize>, ChannelError<E>>,
    ) -> Result<Option<usize>, ChannelError<E>> {
        while self.plaintext.is_empty() && !buf.is_empty() {
            match self.opener.open(&mut self.buf[self.sealed.clone()]).map_err(ChannelError::Record)? {
                Opened::Data { plaintext, taken } => {
                    let start = self.sealed.start;
                    self.plaintext = start + plaintext.start..start + plaintext.end;
                    self.sealed.start += taken;
                }
                Opened::End { taken } => self.sealed.start += taken,
                Opened::Incomplete { .. } if self.opener.has_ended() => return Ok(Some(0)),
                Opened::Incomplete { .. } => {
                    self.buf.copy_within(self.sealed.clone(), 0);
                    self.sealed = 0..self.sealed.len();
                    if self.buf.is_empty() {
                        self.buf = vec![0; RECEIVE_LEN].into_boxed_slice();
                    }
                    match receive(&mut self.buf[self.sealed.end..])? {
                        None => return Ok(None),
                        Some(0) => {
                            self.opener.receive_eof().map_err(ChannelError::Record)?;
                            return Ok(Some(0));
                        }
                        Some(received) => self.sealed.end += received,
                    }
                }
            }
        }
        let len = self.plaintext.len().min(buf.len());
        buf[..len].copy_from_slice(&self.buf[self.plaintext.start..][..len]);
        self.plaintext.start += len;
        Ok(Some(len))
    }
}

/// Bounds all the calls together that one record takes: a peer that sends it byte by byte has no more time for it.
fn limit<T: Transport>(
    inner: &mut T,
    limit_ms: Option<u64>,
    began: &mut Option<Instant>,
) -> Result<(), ChannelError<T::Error>> {
    let Some(limit_ms) = limit_ms else { return Ok(()) };
    let left = Duration::from_millis(limit_ms).saturating_sub(began.get_or_insert_with(Instant::now).elapsed());
    if left.is_zero() {
        return Err(ChannelError::TimedOut);
    }
    inner.limit_wait(Some(whole_millis(left).max(1))).map_err(ChannelError::Transport)
}

impl Outbound {
    /// Has a buffer for a record.
    fn take_buffer(&mut self) {
        if self.buf.is_empty() {
            self.buf = vec![0; LIMIT.record_len()].into_boxed_slice();
        }
    }

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
        let len = self.gather(bytes);
        let more = more || len < bytes.len();
        if !more || self.gathered == self.sealer.room(self.buf.len()) {
            match self.flush(inner, more) {
                // These bytes are accepted: what is left of them leaves with the next call.
                Err(ChannelError::Transport(error)) if error.kind() == ErrorKind::TimedOut => {}
                flushed => flushed?,
            }
        }
        Ok(len)
    }

    /// Takes as many bytes as the record has room for.
    fn gather(&mut self, bytes: &[u8]) -> usize {
        self.take_buffer();
        let len = (self.sealer.room(self.buf.len()) - self.gathered).min(bytes.len());
        self.buf[PLAINTEXT_OFFSET + self.gathered..][..len].copy_from_slice(&bytes[..len]);
        self.gathered += len;
        len
    }

    /// Seals what waits, and sends it. `more` says that more follows immediately.
    fn flush<T: Transport>(&mut self, inner: &mut T, more: bool) -> Result<(), ChannelError<T::Error>> {
        self.send(inner, more)?;
        self.seal().map_err(ended)?;
        self.send(inner, more)
    }

    /// Seals what waits, once the record before has left.
    fn seal(&mut self) -> Result<(), SealError> {
        if self.gathered > 0 {
            let sealed = self.sealer.seal(&mut self.buf, self.gathered)?;
            self.gathered = 0;
            self.sealed = 0..sealed;
        }
        Ok(())
    }

    fn seal_end<E>(&mut self) -> Result<(), ChannelError<E>> {
        self.take_buffer();
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
