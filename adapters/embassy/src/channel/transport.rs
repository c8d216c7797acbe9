//! Records over a transport.

use core::fmt;
use core::ops::Range;

use coracle_channel::{Channel, Opened, Opener, PLAINTEXT_OFFSET, PublicKey, Sealer};
use embedded_io_async::{ErrorType, Read, Write};

use super::buffers::ChannelBuffers;
use super::error::ChannelError;
use crate::transport::Transport;

/// A connection that may be encrypted, over another transport: what [`connect`](super::connect) and [`accept`](super::accept) make.
///
/// What is written is put together in one record, which leaves when it is full or flushed. Behind the last byte
/// [`finish`](Self::finish) tells the peer that nothing is missing.
pub struct ChannelTransport<T, B> {
    pub(super) inner: T,
    buffers: ChannelBuffers<B>,
    /// `None` where the peer speaks plain.
    records: Option<Records>,
    /// What has arrived and was not opened, in the buffer for that.
    pub(super) unopened: Range<usize>,
    /// What was opened and not read, in the same buffer.
    opened: Range<usize>,
    /// How many bytes wait to be sealed, behind [`PLAINTEXT_OFFSET`] of the buffer for what leaves.
    gathered: usize,
    /// What leaves, in the same buffer.
    leaving: Range<usize>,
}

struct Records {
    peer: PublicKey,
    psk: usize,
    sealer: Sealer,
    opener: Opener,
}

impl<T, B> ChannelTransport<T, B> {
    /// Who the peer is; `None` where it speaks plain.
    #[must_use]
    pub fn peer(&self) -> Option<&PublicKey> {
        self.records.as_ref().map(|records| &records.peer)
    }

    /// On a server, the place of the client's pre-shared key among those that are accepted.
    #[must_use]
    pub fn psk(&self) -> Option<usize> {
        self.records.as_ref().map(|records| records.psk)
    }

    /// Gives the transport back.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T, B: AsRef<[u8]> + AsMut<[u8]>> ChannelTransport<T, B> {
    pub(super) fn plain(inner: T, buffers: ChannelBuffers<B>) -> Self {
        Self { inner, buffers, records: None, unopened: 0..0, opened: 0..0, gathered: 0, leaving: 0..0 }
    }

    /// From now on records are sent and received.
    pub(super) fn encrypt(&mut self, channel: Channel, psk: usize) {
        let Channel { peer, sealer, opener, .. } = channel;
        self.records = Some(Records { peer, psk, sealer, opener });
    }

    /// What has arrived and was not taken.
    pub(super) fn arrived(&self) -> &[u8] {
        self.buffers.receive.as_ref().get(self.unopened.clone()).unwrap_or_default()
    }

    pub(super) fn buffers(&self) -> &ChannelBuffers<B> {
        &self.buffers
    }

    /// Where more is received: moves what is there to the front of its buffer.
    fn receive_room(&mut self) -> &mut [u8] {
        let buf = self.buffers.receive.as_mut();
        buf.copy_within(self.unopened.clone(), 0);
        self.unopened = 0..self.unopened.len();
        buf.get_mut(self.unopened.end..).unwrap_or_default()
    }

    /// Where more is gathered, in the record that leaves next; empty where it is full.
    fn gather_room(&mut self) -> &mut [u8] {
        let buf = self.buffers.send.as_mut();
        let most = match &self.records {
            Some(records) => records.sealer.room(buf.len()),
            None => buf.len().saturating_sub(PLAINTEXT_OFFSET),
        };
        let (start, end) = (PLAINTEXT_OFFSET.saturating_add(self.gathered), PLAINTEXT_OFFSET.saturating_add(most));
        buf.get_mut(start..end).unwrap_or_default()
    }

    /// `len` bytes were written to the room for more.
    #[inline(never)]
    fn gathered<E>(&mut self, len: usize) -> Result<(), ChannelError<E>> {
        self.gathered = self.gathered.saturating_add(len);
        if self.gather_room().is_empty() { self.seal() } else { Ok(()) }
    }

    /// Seals what waits.
    #[inline(never)]
    fn seal<E>(&mut self) -> Result<(), ChannelError<E>> {
        if self.gathered == 0 {
            return Ok(());
        }
        self.leaving = match &mut self.records {
            Some(records) => {
                let sealed = records.sealer.seal(self.buffers.send.as_mut(), self.gathered);
                0..sealed.map_err(|_| ChannelError::Ended)?
            }
            None => PLAINTEXT_OFFSET..PLAINTEXT_OFFSET.saturating_add(self.gathered),
        };
        self.gathered = 0;
        Ok(())
    }

    /// Opens what has arrived; whether there is something to read, or nothing more will come.
    #[inline(never)]
    fn open<E>(&mut self) -> Result<bool, ChannelError<E>> {
        let Some(records) = &mut self.records else {
            self.opened = core::mem::replace(&mut self.unopened, 0..0);
            return Ok(!self.opened.is_empty());
        };
        while self.opened.is_empty() {
            let start = self.unopened.start;
            let bytes = self.buffers.receive.as_mut().get_mut(self.unopened.clone()).unwrap_or_default();
            match records.opener.open(bytes).map_err(ChannelError::Record)? {
                Opened::Data { plaintext, taken } => {
                    self.opened = start.saturating_add(plaintext.start)..start.saturating_add(plaintext.end);
                    self.unopened.start = start.saturating_add(taken);
                }
                Opened::End { taken } => self.unopened.start = start.saturating_add(taken),
                Opened::Incomplete { .. } => return Ok(records.opener.has_ended()),
            }
        }
        Ok(true)
    }
}

impl<T: Transport, B: AsRef<[u8]> + AsMut<[u8]>> ChannelTransport<T, B> {
    /// Sends what waits, and behind it the end, without which the peer sees that something is missing. Nothing can be written
    /// behind it.
    ///
    /// # Errors
    ///
    /// The transport failed.
    pub async fn finish(&mut self) -> Result<(), ChannelError<T::Error>> {
        self.flush_records().await?;
        if let Some(records) = &mut self.records
            && !records.sealer.has_ended()
        {
            let sealed = records.sealer.finish(self.buffers.send.as_mut());
            self.leaving = 0..sealed.map_err(|_| ChannelError::Ended)?;
        }
        self.flush().await
    }

    /// Waits for more bytes; `false` at the end of input.
    pub(super) async fn fill(&mut self) -> Result<bool, T::Error> {
        self.receive_room();
        let start = self.unopened.end;
        let room = self.buffers.receive.as_mut().get_mut(start..).unwrap_or_default();
        let len = self.inner.read(room).await?;
        self.unopened.end = start.saturating_add(len);
        Ok(len > 0)
    }

    /// Sends the record that leaves.
    async fn leave(&mut self) -> Result<(), ChannelError<T::Error>> {
        while !self.leaving.is_empty() {
            let bytes = self.buffers.send.as_ref().get(self.leaving.clone()).unwrap_or_default();
            match self.inner.write(bytes).await {
                Ok(0) => return Err(ChannelError::Ended),
                Ok(len) => self.leaving.start = self.leaving.start.saturating_add(len),
                Err(error) => return Err(ChannelError::Transport(error)),
            }
        }
        Ok(())
    }

    /// Sends what waits.
    async fn flush_records(&mut self) -> Result<(), ChannelError<T::Error>> {
        self.leave().await?;
        self.seal()?;
        self.leave().await
    }
}

impl<T: ErrorType, B> ErrorType for ChannelTransport<T, B> {
    type Error = ChannelError<T::Error>;
}

impl<T: Transport, B: AsRef<[u8]> + AsMut<[u8]>> Read for ChannelTransport<T, B> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        while self.opened.is_empty() && !self.open()? {
            if !self.fill().await.map_err(ChannelError::Transport)? {
                if let Some(records) = &mut self.records {
                    records.opener.receive_eof().map_err(ChannelError::Record)?;
                }
                return Ok(0);
            }
        }
        let bytes = self.buffers.receive.as_ref().get(self.opened.clone()).unwrap_or_default();
        let len = bytes.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.opened.start = self.opened.start.saturating_add(len);
        Ok(len)
    }
}

impl<T: Transport, B: AsRef<[u8]> + AsMut<[u8]>> Write for ChannelTransport<T, B> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.write_with(|room| {
            let len = room.len().min(buf.len());
            if let (Some(to), Some(from)) = (room.get_mut(..len), buf.get(..len)) {
                to.copy_from_slice(from);
            }
            (len, len)
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.flush_records().await?;
        if T::NEEDS_FLUSH { self.inner.flush().await.map_err(ChannelError::Transport) } else { Ok(()) }
    }
}

/// Bodies are read into the record that leaves.
impl<T: Transport, B: AsRef<[u8]> + AsMut<[u8]>> Transport for ChannelTransport<T, B> {
    const IS_BUFFERED: bool = true;
    const NEEDS_FLUSH: bool = true;

    async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Self::Error> {
        self.leave().await?;
        let room = self.gather_room();
        if room.is_empty() {
            return Err(ChannelError::Ended);
        }
        let (len, result) = fill(room);
        self.gathered(len)?;
        Ok(result)
    }
}

impl<T, B> fmt::Debug for ChannelTransport<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelTransport").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
