//! Waiting for whatever happens to a socket.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_net::tcp::TcpSocket;

/// Completes when bytes or room have come, or the state has changed; at once where bytes are there already.
pub(super) async fn event(socket: &TcpSocket<'_>) {
    let mut is_registered = false;
    poll_fn(|context| {
        if is_registered {
            return Poll::Ready(());
        }
        is_registered = true;
        // A change of the state wakes both; whether there is room is not asked.
        let _ = pin!(socket.wait_write_ready()).poll(context).is_ready();
        pin!(socket.wait_read_ready()).poll(context)
    })
    .await;
}
