//! The thread that accepts the clients of one listener.
//!
//! It hands each client to an idle worker thread, and spawns one only where there is none. Spawning takes longer than a
//! client needs to connect, and the kernel's queue holds some thousand: in a crowd it would overflow, and a client that
//! finds it full tries again only after a second. So all clients that wait in it are accepted before each spawn.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::{Code, Store};
use socket2::Socket;

use super::House;
use super::hall::Verdict;
use super::listen::{AcceptFailure, Listener};
use super::observer::Event;
use super::queue::dismiss;
use super::seat::Seat;
use super::visit::refuse;
use super::worker::{STACK_SIZE, spawn_worker};
use crate::transport::KernelFile;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Failures of `accept` in a row that are no reason to pause.
const MAX_FAILURES: u32 = 100;

/// Spawns the thread that accepts the clients of `listener` until that is closed.
pub(super) fn spawn_acceptor<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    house: &'env House<'env>,
    listener: Arc<Listener>,
    store: S,
) -> io::Result<()>
where
    S: Store<File: KernelFile> + Clone + Send + 'env,
{
    let acceptor = Acceptor { scope, house, listener, store, accepted: VecDeque::new() };
    Builder::new().name("accept".to_owned()).stack_size(STACK_SIZE).spawn_scoped(scope, || acceptor.run()).map(drop)
}

struct Acceptor<'scope, 'env, S> {
    scope: &'scope Scope<'scope, 'env>,
    house: &'env House<'env>,
    listener: Arc<Listener>,
    store: S,
    /// Accepted and not admitted yet, in their order.
    accepted: VecDeque<(Socket, SocketAddr)>,
}

impl<'env, S> Acceptor<'_, 'env, S>
where
    S: Store<File: KernelFile> + Clone + Send + 'env,
{
    fn run(mut self) {
        while let Some((socket, address)) = self.accepted.pop_front().or_else(|| self.accept()) {
            match self.house.hall.admit(socket, address) {
                Verdict::Served(seat) => self.hand_over(seat),
                Verdict::Queued(waiting) => self.house.tell(&Event::Queued { address, waiting }),
                Verdict::Refused { socket, code, is_over_share } => {
                    self.house.tell(&Event::Refused { address, code, is_over_share });
                    refuse(self.house, socket, code);
                }
            }
        }
    }

    /// Waits for a client; `None` when the listener was closed.
    fn accept(&self) -> Option<(Socket, SocketAddr)> {
        let mut pause = FIRST_PAUSE;
        let mut failures = 0;
        while !self.listener.is_closed.load(Ordering::Acquire) {
            let error = match self.listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => error,
            };
            match AcceptFailure::of(&error) {
                AcceptFailure::Quiet => {}
                // Clients that are gone come in numbers, but a system that fails so for ever must not keep this busy.
                AcceptFailure::Again if failures < MAX_FAILURES => failures += 1,
                _ if self.listener.is_closed.load(Ordering::Acquire) => return None,
                _ => {
                    self.house.tell(&Event::Trouble { what: "accepting a client", error: &error });
                    self.house.lingering.make_room();
                    self.house.hall.pause(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        None
    }

    fn hand_over(&mut self, seat: Arc<Seat>) {
        let Err(seat) = self.house.workers.hand_over(seat) else { return };
        self.accept_batch();
        let Err(error) = spawn_worker(self.scope, self.house, self.store.clone(), Arc::clone(&seat)) else { return };
        dismiss(self.house, self.house.hall.take_back(&seat));
        self.house.tell(&Event::Trouble { what: "making a thread for a client", error: &error });
        self.house.tell(&Event::Refused { address: seat.address, code: Code::Busy, is_over_share: false });
        if let Some(seat) = Arc::into_inner(seat) {
            refuse(self.house, seat.socket, Code::Busy);
        }
    }

    /// Accepts all clients that have connected, as long as there are places for them.
    fn accept_batch(&mut self) {
        let free = self.house.hall.free();
        while self.accepted.len() < free && self.listener.has_more() {
            // What fails here fails again in `accept`, which handles it.
            let Ok(accepted) = self.listener.accept() else { return };
            self.accepted.push_back(accepted);
        }
    }
}
