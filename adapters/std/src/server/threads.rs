//! The threads that wait at a listener and serve who comes: as many wait as have been needed lately, so that a client
//! costs neither a new thread nor a hand-over from one thread to another.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::{CloseHow, Code, Store};

use super::House;
use super::hall::Verdict;
use super::listen::{AcceptFailure, Listener};
use super::observer::{Event, Reason, Visit, WaitEnd};
use super::queue::{Called, dismiss};
use super::seat::{Fate, Seat};
use super::visit::{WorkerBuffers, refuse, visit};
use crate::transport::KernelFile;

/// Enough for a listing, a panic with its backtrace, and an observer that formats.
pub(super) const STACK_SIZE: usize = 128 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Makes a thread that waits at `listener`.
pub(super) fn staff<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    house: &'env House<'env>,
    listener: Arc<Listener>,
    store: S,
) -> io::Result<()>
where
    S: Store<File: KernelFile> + Clone + Send + 'env,
{
    let name = format!("client-{}", house.threads_made.fetch_add(1, Ordering::Relaxed) + 1);
    let thread: Arc<str> = name.as_str().into();
    let worker = Worker { scope, house, listener, store, thread, buffers: None };
    Builder::new().name(name).stack_size(STACK_SIZE).spawn_scoped(scope, || worker.work()).map(drop)
}

struct Worker<'scope, 'env, S> {
    scope: &'scope Scope<'scope, 'env>,
    house: &'env House<'env>,
    listener: Arc<Listener>,
    store: S,
    thread: Arc<str>,
    buffers: Option<WorkerBuffers>,
}

impl<'env, S> Worker<'_, 'env, S>
where
    S: Store<File: KernelFile> + Clone + Send + 'env,
{
    fn work(mut self) {
        self.gather();
        let mut pause = FIRST_PAUSE;
        let mut failures = 0;
        while !self.listener.is_closed.load(Ordering::Acquire) {
            let listener = Arc::clone(&self.listener);
            let in_order = self.house.hall.keeps_order();
            let in_order = in_order.then(|| listener.order.lock().unwrap_or_else(PoisonError::into_inner));
            let (socket, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::Quiet if self.house.hall.may_end(&self.listener) => return,
                    AcceptFailure::Quiet => continue,
                    // Clients that are gone come in numbers, but a system that fails so for ever must not keep us busy.
                    AcceptFailure::Again if failures < 100 => {
                        failures += 1;
                        continue;
                    }
                    _ if self.listener.is_closed.load(Ordering::Acquire) => return,
                    _ => {
                        self.house.tell(&Event::Trouble { what: "accepting a client", error: &error });
                        self.house.lingering.make_room();
                        self.house.hall.pause(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        continue;
                    }
                },
            };
            (pause, failures) = (FIRST_PAUSE, 0);
            let verdict = self.house.hall.admit(&listener, socket, address, &self.thread);
            drop(in_order);
            match verdict {
                Verdict::Queued(waiting) => self.house.tell(&Event::Queued { address, waiting }),
                Verdict::Refused { socket, code, is_over_share } => {
                    self.house.tell(&Event::Refused { address, code, is_over_share });
                    refuse(self.house, socket, code);
                }
                Verdict::Served { seat, live, needs_thread } => {
                    if needs_thread && !self.replace(&seat) {
                        if let Some(seat) = Arc::into_inner(seat) {
                            refuse(self.house, seat.socket, Code::Busy);
                        }
                        continue;
                    }
                    self.house.tell(&Event::Connected { peer: &seat.peer, live });
                    if self.buffers.is_none() {
                        seat.wait_for_input();
                    }
                    self.receive(seat);
                    self.receive_queued();
                    if !self.house.hall.may_wait(&self.listener) {
                        return;
                    }
                }
            }
        }
        self.house.hall.abandon(&self.listener);
    }

    // What follows has large frames, and is kept out of the one in which a thread waits: thousands of threads that wait
    // for a client's first byte are to cost two pages of stack each.

    /// Accepts all clients that are there before the first of them is served: the kernel's queue is full after some
    /// thousand, and who finds it full tries again only after a second. A thread for each takes much longer to make.
    #[inline(never)]
    fn gather(&self) {
        let most = self.house.hall.begin_gathering(&self.listener);
        if most > 0 {
            self.listener.gather(most);
            self.house.hall.end_gathering(&self.listener);
        }
    }

    /// Sends another thread to wait at the listener; false when there can be none.
    #[inline(never)]
    fn replace(&self, seat: &Seat) -> bool {
        match staff(self.scope, self.house, Arc::clone(&self.listener), self.store.clone()) {
            Ok(()) => true,
            Err(error) => {
                dismiss(self.house, self.house.hall.take_back(seat));
                self.house.tell(&Event::Trouble { what: "making a thread for a client", error: &error });
                let address = seat.peer.address();
                self.house.tell(&Event::Refused { address, code: Code::Busy, is_over_share: false });
                false
            }
        }
    }

    /// Serves clients that have waited for a place, as long as there are some.
    fn receive_queued(&mut self) {
        loop {
            let (called, gone) = self.house.hall.next_queued(&self.thread);
            dismiss(self.house, gone);
            let Some(Called { seat, live, waited }) = called else { return };
            let address = seat.peer.address();
            self.house.tell(&Event::Dequeued { address, end: WaitEnd::Served, waited });
            self.house.tell(&Event::Connected { peer: &seat.peer, live });
            self.receive(seat);
        }
    }

    /// Serves a client and closes its connection.
    #[inline(never)]
    fn receive(&mut self, seat: Arc<Seat>) {
        let house = self.house;
        let buffers = match self.buffers.take().map_or_else(WorkerBuffers::new, Ok) {
            Ok(buffers) => self.buffers.insert(buffers),
            Err(error) => {
                house.tell(&Event::Trouble { what: "making a client's buffers", error: &error });
                self.give_up(&seat, Reason::Refused(Code::Busy));
                if let Some(seat) = Arc::into_inner(seat) {
                    refuse(house, seat.socket, Code::Busy);
                }
                return;
            }
        };
        let store = &mut self.store;
        let how = catch_unwind(AssertUnwindSafe(|| visit(house, &seat, store, buffers))).unwrap_or_else(|_| {
            // What it has left half done is in buffers that nobody looks at again.
            self.buffers = None;
            self.give_up(&seat, Reason::Fault);
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
    fn give_up(&self, seat: &Seat, reason: Reason) {
        let live = self.house.hall.leave(seat);
        let visit = Visit { reason, answers: 0, body_len: 0, duration: seat.since.elapsed() };
        self.house.tell(&Event::Disconnected { peer: &seat.peer, visit: &visit, live });
    }
}
