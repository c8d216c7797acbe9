//! The thread that accepts the clients of one listener.
//!
//! It hands each client to an idle worker thread, and spawns one only where there is none. Spawning takes longer than a
//! client needs to connect, and the kernel's queue holds some thousand: in a crowd it would overflow, and a client that
//! finds it full tries again only after a second. So the queue is emptied before each spawn.
//!
//! Workers that accept for themselves would save the hand-over, some microseconds for each connection, but would have to
//! agree on who accepts a batch and on how many wait.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::Code;
use socket2::Socket;

use super::admission::AdmissionDecision;
use super::connection::refuse;
use super::context::ServerContext;
use super::entry::ConnectionEntry;
use super::event::Event;
use super::listener::Listener;
use super::queue_sweeper::dismiss;
use super::served_store::ServedStore;
use super::worker::{STACK_SIZE, spawn_worker};
use crate::sys::{AcceptError, accept_error};

/// After an error of `accept` that does not go away at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Clients in a row that were gone when they were accepted, before there is a pause.
const MAX_GONE: u32 = 100;

/// Spawns the thread that accepts the clients of `listener` until that is closed.
pub(super) fn spawn_acceptor<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'env ServerContext<'env>,
    listener: Arc<Listener>,
    store: S,
) -> io::Result<()>
where
    S: ServedStore + 'env,
{
    let acceptor = Acceptor { scope, context, listener, store, accepted: VecDeque::new() };
    Builder::new().name("accept".to_owned()).stack_size(STACK_SIZE).spawn_scoped(scope, || acceptor.run()).map(drop)
}

struct Acceptor<'scope, 'env, S> {
    scope: &'scope Scope<'scope, 'env>,
    context: &'env ServerContext<'env>,
    listener: Arc<Listener>,
    store: S,
    /// Clients that were accepted and not admitted yet.
    accepted: VecDeque<(Socket, SocketAddr)>,
}

impl<'env, S> Acceptor<'_, 'env, S>
where
    S: ServedStore + 'env,
{
    fn run(mut self) {
        while let Some((socket, address)) = self.accepted.pop_front().or_else(|| self.accept()) {
            match self.context.registry.admit(socket, address) {
                AdmissionDecision::Admitted(entry) => self.hand_over(entry),
                AdmissionDecision::Queued(waiting) => self.context.emit(&Event::Queued { address, waiting }),
                AdmissionDecision::Refused { socket, code, is_over_address_limit } => {
                    self.context.emit(&Event::Refused { address, code, is_over_address_limit });
                    refuse(self.context, socket, code, is_over_address_limit);
                }
            }
        }
    }

    /// Waits for a client; `None` when the listener was closed.
    fn accept(&self) -> Option<(Socket, SocketAddr)> {
        let mut pause = FIRST_PAUSE;
        let mut gone = 0;
        while !self.listener.is_closed() {
            let error = match self.listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => error,
            };
            match accept_error(&error) {
                AcceptError::TimedOut => {}
                AcceptError::ClientGone if gone < MAX_GONE => gone += 1,
                _ if self.listener.is_closed() => return None,
                _ => {
                    self.context.emit(&Event::Warning { what: "accepting a client", error: &error });
                    self.context.lingering.make_room();
                    self.context.registry.pause(pause);
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
        None
    }

    fn hand_over(&mut self, entry: Arc<ConnectionEntry>) {
        let Err(entry) = self.context.workers.hand_over(entry) else { return };
        self.accept_batch();
        let spawned = spawn_worker(self.scope, self.context, self.store.clone(), Arc::clone(&entry));
        let Err(error) = spawned else { return };
        dismiss(self.context, self.context.registry.withdraw(&entry));
        self.context.emit(&Event::Warning { what: "making a thread for a client", error: &error });
        self.context.emit(&Event::Refused { address: entry.address, code: Code::Busy, is_over_address_limit: false });
        if let Some(entry) = Arc::into_inner(entry) {
            refuse(self.context, entry.socket, Code::Busy, false);
        }
    }

    /// Accepts all clients that have connected, as long as there are places for them.
    fn accept_batch(&mut self) {
        let free = self.context.registry.free();
        while self.accepted.len() < free && self.listener.has_pending() {
            // What fails here fails again in `accept`, which handles it.
            let Ok(accepted) = self.listener.accept() else { return };
            self.accepted.push_back(accepted);
        }
    }
}
