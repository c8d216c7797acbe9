//! Waiting for a client.

use core::task::Poll;

use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embassy_net::tcp::{State, TcpSocket};

use super::close::reset;
use super::event::event;
use crate::clock::Clock;

/// How long a peer may take to complete its handshake. It resends a lost packet after 1 s, 2 s, 4 s.
const HANDSHAKE_MS: u64 = 10_000;

/// Listens on `port`, which is not 0, until a client has connected. A peer that does not complete its handshake is reset.
pub(super) async fn accept(socket: &mut TcpSocket<'_>, port: u16, clock: &impl Clock) {
    loop {
        // What listens already goes on. Nothing else may have opened the socket before.
        if !matches!(poll_once(socket.accept(port)), Poll::Pending | Poll::Ready(Ok(()))) {
            reset(socket, clock).await;
            continue;
        }
        while socket.state() == State::Listen {
            event(socket).await;
        }
        let until = clock.now().after(HANDSHAKE_MS);
        while socket.state() == State::SynReceived {
            if let Either::Second(()) = select(event(socket), clock.sleep_until(until)).await {
                break;
            }
        }
        match socket.state() {
            State::Listen => {}
            State::SynReceived => reset(socket, clock).await,
            _ => return,
        }
    }
}
