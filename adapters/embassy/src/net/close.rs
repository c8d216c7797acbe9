//! Closing a socket.

use coracle_core::CloseHow;
use embassy_futures::select::select;
use embassy_net::tcp::{State, TcpSocket};

use super::event::event;
use crate::clock::Clock;

/// How long the last bytes of a closed connection may wait for an acknowledgement.
const DRAIN_MS: u64 = 10_000;
/// How long a peer may take to close its side after it acknowledged our FIN, and how much it may send meanwhile.
const LINGER_MS: u64 = 2_000;
const LINGER_LEN: usize = 1 << 20;
/// How long a reset may wait to be sent (the link may be down).
const RESET_MS: u64 = 1_000;

/// Closes `socket` as a session's end says. When this completes, the socket can be used again.
///
/// What was written is sent, and acknowledged within 10 s of the last acknowledgement; then the peer may take 2 s to close its side,
/// and send 1 MiB, which is discarded. A peer that does not is reset. With [`CloseHow::Abort`] it is reset at once.
pub async fn close(socket: &mut TcpSocket<'_>, how: CloseHow, clock: &impl Clock) {
    if how == CloseHow::Abort || !drain(socket, clock).await {
        reset(socket, clock).await;
    }
}

/// Resets the connection.
pub(super) async fn reset(socket: &mut TcpSocket<'_>, clock: &impl Clock) {
    socket.abort();
    let until = clock.now().after(RESET_MS);
    // Without a link the reset is not sent, and need not be.
    select(socket.flush(), clock.sleep_until(until)).await;
}

/// Closes the sending side, and discards what arrives until the peer has closed, too; false where it does not.
async fn drain(socket: &mut TcpSocket<'_>, clock: &impl Clock) -> bool {
    socket.close();
    let mut queued = socket.send_queue();
    let mut until = clock.now().after(DRAIN_MS);
    let mut rest = LINGER_LEN;
    loop {
        while rest > 0 && socket.can_recv() {
            match socket.read_with(|bytes| (bytes.len(), bytes.len())).await {
                Ok(len) => rest = rest.saturating_sub(len),
                Err(_) => break,
            }
        }
        let now = clock.now();
        match socket.state() {
            State::Closed | State::TimeWait => return true,
            State::FinWait2 => until = until.min(now.after(LINGER_MS)),
            _ if socket.send_queue() < queued => {
                queued = socket.send_queue();
                until = now.after(DRAIN_MS);
            }
            _ => {}
        }
        if rest == 0 || now >= until {
            return false;
        }
        select(event(socket), clock.sleep_until(until)).await;
    }
}
