//! The buffers of a channel.

use coracle_channel::{RECORD_OVERHEAD, RecordLimit};

/// The least that a buffer for sending holds beside what each record takes.
const LEAST: usize = 64;

/// The buffers of a [`ChannelTransport`](super::ChannelTransport): one for records that arrive, one for the record that leaves. On a
/// board `B` is `&mut [u8]`.
#[derive(Debug)]
pub struct ChannelBuffers<B> {
    pub(super) receive: B,
    pub(super) send: B,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> ChannelBuffers<B> {
    /// The least length of the buffer for what arrives, in bytes. 530 bytes take records of 512 bytes.
    pub const MIN_RECEIVE: usize = RecordLimit::MIN.record_len();
    /// The least length of the buffer for what leaves, in bytes. A longer one means fewer records: each takes 18 bytes, and is
    /// authenticated by itself.
    pub const MIN_SEND: usize = LEAST + RECORD_OVERHEAD;

    /// The peer is told how long its records may be, so that they fit into `receive`.
    ///
    /// # Panics
    ///
    /// If one of them is shorter than it has to be.
    #[must_use]
    pub fn new(receive: B, send: B) -> Self {
        assert!(receive.as_ref().len() >= Self::MIN_RECEIVE, "a buffer for records is too short");
        assert!(send.as_ref().len() >= Self::MIN_SEND, "a buffer for a record is too short");
        Self { receive, send }
    }

    /// What this end takes in a record.
    pub(super) fn limit(&self) -> RecordLimit {
        let most = self.receive.as_ref().len().saturating_sub(RECORD_OVERHEAD);
        u16::try_from(most).ok().and_then(RecordLimit::new).unwrap_or(RecordLimit::MAX)
    }
}

#[cfg(feature = "embassy-net")]
impl ChannelBuffers<&mut [u8]> {
    /// The same buffers, for a while.
    pub(crate) fn reborrow(&mut self) -> ChannelBuffers<&mut [u8]> {
        ChannelBuffers { receive: &mut *self.receive, send: &mut *self.send }
    }
}
