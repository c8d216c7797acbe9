//! The threads that serve clients, one client after the other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::{CloseHow, Code, Store};

use super::House;
use super::observer::{Event, Peer, Reason, Visit, WaitEnd};
use super::queue::{Called, dismiss};
use super::seat::{Fate, Seat};
use super::visit::{WorkerBuffers, refuse, visit};
use crate::transport::KernelFile;

/// Enough for a listing, a panic with its backtrace, and an observer that formats.
pub(super) const STACK_SIZE: usize = 128 * 1024;

/// Spawns a thread that serves `client`, and then others.
pub(super) fn spawn_worker<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    house: &'env House<'env>,
    store: S,
    client: Arc<Seat>,
) -> io::Result<()>
where
    S: Store<File: KernelFile> + Clone + Send + 'env,
{
    let name = format!("client-{}", house.threads_made.fetch_add(1, Ordering::Relaxed) + 1);
    let worker = Worker { house, store, thread: name.as_str().into(), buffers: None };
    Builder::new().name(name).stack_size(STACK_SIZE).spawn_scoped(scope, || worker.run(client)).map(drop)
}

struct Worker<'env, S> {
    house: &'env House<'env>,
    store: S,
    thread: Arc<str>,
    buffers: Option<WorkerBuffers>,
}

impl<'env, S> Worker<'env, S>
where
    S: Store<File: KernelFile> + Clone + Send + 'env,
{
    fn run(mut self, first: Arc<Seat>) {
        let mut next = Some(first);
        while let Some(seat) = next {
            self.begin(&seat);
            if self.buffers.is_none() {
                seat.wait_for_input();
            }
            self.serve(seat);
            self.serve_queued();
            next = self.house.workers.next();
        }
    }

    // What follows has large frames, and is kept out of the one in which a thread waits: thousands of threads that wait
    // for a client's first byte are to cost two pages of stack each.

    #[inline(never)]
    fn begin(&self, seat: &Seat) {
        let peer = self.peer(seat);
        self.house.tell(&Event::Connected { peer: &peer, live: seat.live });
    }

    /// Serves clients that have waited for a place, as long as there are some.
    fn serve_queued(&mut self) {
        loop {
            let (called, gone) = self.house.hall.next_queued();
            dismiss(self.house, gone);
            let Some(Called { seat, waited }) = called else { return };
            self.house.tell(&Event::Dequeued { address: seat.address, end: WaitEnd::Served, waited });
            self.begin(&seat);
            self.serve(seat);
        }
    }

    /// Serves a client and closes its connection.
    #[inline(never)]
    fn serve(&mut self, seat: Arc<Seat>) {
        let house = self.house;
        let peer = self.peer(&seat);
        let buffers = match self.buffers.take().map_or_else(WorkerBuffers::new, Ok) {
            Ok(buffers) => self.buffers.insert(buffers),
            Err(error) => {
                house.tell(&Event::Trouble { what: "making a client's buffers", error: &error });
                self.give_up(&seat, &peer, Reason::Refused(Code::Busy));
                if let Some(seat) = Arc::into_inner(seat) {
                    refuse(house, seat.socket, Code::Busy);
                }
                return;
            }
        };
        let store = &mut self.store;
        let how = catch_unwind(AssertUnwindSafe(|| visit(house, &seat, &peer, store, buffers))).unwrap_or_else(|_| {
            // What it has left half done is in buffers that nobody looks at again.
            self.buffers = None;
            self.give_up(&seat, &peer, Reason::Fault);
            CloseHow::Abort
        });
        // Who drops a client holds it for a moment longer, and then closes it.
        let Some(seat) = Arc::into_inner(seat) else { return };
        match how {
            CloseHow::Finish => {}
            CloseHow::Linger => {
                let is_blind = seat.fate() == Fate::Told;
                house.lingering.take(seat.socket, is_blind);
            }
            CloseHow::Abort => {
                if let Err(error) = seat.socket.set_linger(Some(Duration::ZERO)) {
                    house.tell(&Event::Trouble { what: "resetting a connection", error: &error });
                }
            }
        }
    }

    /// Frees the place of a client that was not served.
    fn give_up(&self, seat: &Seat, peer: &Peer, reason: Reason) {
        let live = self.house.hall.leave(seat);
        let visit = Visit { reason, answers: 0, body_len: 0, duration: seat.since.elapsed() };
        self.house.tell(&Event::Disconnected { peer, visit: &visit, live });
    }

    fn peer(&self, seat: &Seat) -> Peer {
        Peer::new(seat.id, seat.address, Arc::clone(&self.thread))
    }
}
