//! The reading half of a lingering close.

use embassy_futures::select::{Either, select};
use embedded_io_async::Read;

use crate::clock::Clock;

/// How long a peer may take to close its side, and how much it may send meanwhile.
const LINGER_MS: u64 = 2_000;
const LINGER_LEN: usize = 1 << 20;

/// Reads and discards what the peer still sends, until it ends its input, at most 1 MiB and for at most 2 s: after
/// [`CloseHow::Linger`](coracle_core::CloseHow::Linger), when the sending side was shut down and before the connection is closed.
/// With unread input the peer would be sent a reset, which can destroy the last line before it is read.
///
/// `buf` is at least one byte long.
pub async fn discard(input: &mut impl Read, buf: &mut [u8], clock: &impl Clock) {
    let until = clock.now().after(LINGER_MS);
    let mut rest = LINGER_LEN;
    while rest > 0 {
        match select(input.read(buf), clock.sleep_until(until)).await {
            Either::First(Ok(len @ 1..)) => rest = rest.saturating_sub(len),
            Either::First(Ok(0) | Err(_)) | Either::Second(()) => return,
        }
    }
}
