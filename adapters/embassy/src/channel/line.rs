//! What both roles do to a connection in a handshake.

use coracle_channel::HandshakeError;
use coracle_core::Instant;
use embassy_futures::select::{Either, select};
use embedded_io_async::{Error as _, ErrorKind};

use super::error::HandshakeFailure;
use super::transport::ChannelTransport;
use crate::clock::Clock;
use crate::transport::Transport;

impl<T: Transport, B: AsRef<[u8]> + AsMut<[u8]>> ChannelTransport<T, B> {
    /// Sends some of `bytes`, and returns how many.
    pub(super) async fn send_message(
        &mut self,
        bytes: &[u8],
        until: Instant,
        clock: &impl Clock,
    ) -> Result<usize, HandshakeFailure> {
        let inner = &mut self.inner;
        let sending = async {
            let len = inner.write(bytes).await?;
            if T::NEEDS_FLUSH && len == bytes.len() {
                inner.flush().await?;
            }
            Ok(len)
        };
        match select(sending, clock.sleep_until(until)).await {
            Either::First(Ok(0)) => Err(HandshakeError::Closed.into()),
            Either::First(Ok(len)) => Ok(len),
            Either::First(Err(error)) => interrupted::<T>(error).map(|()| 0),
            Either::Second(()) => Err(HandshakeFailure::TimedOut),
        }
    }

    /// Waits for more bytes; false at the end of input.
    pub(super) async fn receive_message(
        &mut self,
        until: Instant,
        clock: &impl Clock,
    ) -> Result<bool, HandshakeFailure> {
        match select(self.fill(), clock.sleep_until(until)).await {
            Either::First(Ok(is_more)) => Ok(is_more),
            Either::First(Err(error)) => interrupted::<T>(error).map(|()| true),
            Either::Second(()) => Err(HandshakeFailure::TimedOut),
        }
    }

    /// `taken` of what has arrived is used up.
    pub(super) fn take(&mut self, taken: usize) {
        self.unopened.start = self.unopened.start.saturating_add(taken);
    }
}

fn interrupted<T: Transport>(error: T::Error) -> Result<(), HandshakeFailure> {
    if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(HandshakeFailure::Transport) }
}
