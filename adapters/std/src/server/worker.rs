//! Worker threads: each accepts and serves one connection after the other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::{CloseHow, Code};
use socket2::Socket;

use super::acceptor::{Accepted, Acceptor, Newcomer};
use super::admission::AdmittedFromQueue;
use super::connection::{WorkerBuffers, refuse, serve_connection};
use super::context::ServerContext;
use super::entry::{ConnectionEntry, ForcedClose};
use super::event::{ConnectionSummary, DequeueReason, DisconnectReason, Event, Peer};
use super::listener::Listener;
use super::queue_sweeper::dismiss;
use super::served_store::ServedStore;

/// Enough for a listing, a panic with its backtrace, and an observer that formats.
pub(super) const STACK_SIZE: usize = 128 * 1024;

/// Spawns a thread that waits for the first client of a listener.
pub(super) fn spawn_first_worker<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'env ServerContext<'env>,
    listener: Arc<Listener>,
    store: S,
) -> io::Result<()>
where
    S: ServedStore + 'env,
{
    // Counted here, so that no other thread becomes the only one.
    listener.enter_waiting();
    spawn(scope, context, listener, store, None)
}

/// Spawns a worker thread, which serves `first` if there is one. Otherwise it counts as waiting.
fn spawn<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'env ServerContext<'env>,
    listener: Arc<Listener>,
    store: S,
    first: Option<Newcomer>,
) -> io::Result<()>
where
    S: ServedStore + 'env,
{
    let name = format!("client-{}", context.threads_spawned.fetch_add(1, Ordering::Relaxed) + 1);
    let acceptor = Acceptor::new(context, listener);
    let worker = Worker { scope, context, acceptor, store, thread: name.as_str().into(), buffers: None };
    Builder::new().name(name).stack_size(STACK_SIZE).spawn_scoped(scope, || worker.run(first)).map(drop)
}

struct Worker<'scope, 'env, S> {
    scope: &'scope Scope<'scope, 'env>,
    context: &'env ServerContext<'env>,
    acceptor: Acceptor<'env>,
    store: S,
    /// Its name.
    thread: Arc<str>,
    buffers: Option<WorkerBuffers>,
}

impl<'scope, 'env, S> Worker<'scope, 'env, S>
where
    S: ServedStore + 'env,
{
    fn run(mut self, first: Option<Newcomer>) {
        if let Some(newcomer) = first
            && !self.serve_newcomer(newcomer)
        {
            return;
        }
        while let Some(accepted) = self.acceptor.next() {
            match accepted {
                Accepted::Serve(newcomer) => {
                    if !self.serve_newcomer(newcomer) {
                        return;
                    }
                }
                Accepted::ServeAndSpawn(newcomer) => {
                    if let Err(error) = self.spawn(None) {
                        self.acceptor.give_up(newcomer, &error);
                    } else if !self.serve_newcomer(newcomer) {
                        return;
                    }
                }
                Accepted::Spawn(newcomer) => {
                    if let Err(error) = self.spawn(Some(newcomer.clone())) {
                        self.acceptor.give_up(newcomer, &error);
                    }
                }
            }
        }
    }

    /// Serves a client, and those that are queued. Returns whether the thread then counts as one that waits.
    fn serve_newcomer(&mut self, newcomer: Newcomer) -> bool {
        if let Some(entry) = self.acceptor.introduce(newcomer) {
            self.report_connected(&entry);
            if self.buffers.is_none() {
                entry.wait_for_input();
            }
            self.serve(entry);
            self.serve_queued();
        }
        self.acceptor.listener.enter_waiting()
    }

    // The frames of these are large, and kept out of the one in which a thread waits: thousands of threads that wait for
    // the first byte of a client are to cost two pages of stack each.

    #[inline(never)]
    fn spawn(&self, first: Option<Newcomer>) -> io::Result<()> {
        spawn(self.scope, self.context, Arc::clone(&self.acceptor.listener), self.store.clone(), first)
    }

    #[inline(never)]
    fn report_connected(&self, entry: &ConnectionEntry) {
        let peer = self.peer(entry);
        self.context.emit(&Event::Connected { peer: &peer, live: entry.live });
    }

    /// Serves queued clients as long as there are some.
    fn serve_queued(&mut self) {
        loop {
            let (admitted, gone) = self.context.registry.admit_queued();
            dismiss(self.context, gone);
            let Some(AdmittedFromQueue { entry, waited }) = admitted else { return };
            let reason = DequeueReason::Served;
            self.context.emit(&Event::Dequeued { address: entry.address, reason, waited });
            self.report_connected(&entry);
            self.serve(entry);
        }
    }

    /// Serves a connection and closes it.
    #[inline(never)]
    fn serve(&mut self, entry: Arc<ConnectionEntry>) {
        let context = self.context;
        let peer = self.peer(&entry);
        let buffers = match self.buffers.take().map_or_else(WorkerBuffers::new, Ok) {
            Ok(buffers) => self.buffers.insert(buffers),
            Err(error) => {
                context.emit(&Event::Warning { what: "making a client's buffers", error: &error });
                self.give_up(&entry, &peer, DisconnectReason::Refused(Code::Busy));
                match into_socket(entry) {
                    Ok(socket) => refuse(context, socket, Code::Busy, false),
                    Err(error) => context.emit(&Event::Warning { what: "refusing a client", error: &error }),
                }
                return;
            }
        };
        let store = &mut self.store;
        let served = catch_unwind(AssertUnwindSafe(|| serve_connection(context, &entry, &peer, store, buffers)));
        let how = served.unwrap_or_else(|_| {
            // They may be half written.
            self.buffers = None;
            self.give_up(&entry, &peer, DisconnectReason::ServerFault);
            CloseHow::Abort
        });
        match how {
            CloseHow::Finish => {}
            CloseHow::Linger => {
                let is_blind = entry.forced_close() == Some(ForcedClose::Stopping);
                match into_socket(entry) {
                    Ok(socket) => context.lingering.add(socket, is_blind),
                    Err(error) => context.emit(&Event::Warning { what: "closing a connection", error: &error }),
                }
            }
            CloseHow::Abort => {
                if let Err(error) = entry.socket.set_linger(Some(Duration::ZERO)) {
                    context.emit(&Event::Warning { what: "resetting a connection", error: &error });
                }
            }
        }
    }

    /// Removes a connection that was not served.
    fn give_up(&self, entry: &ConnectionEntry, peer: &Peer, reason: DisconnectReason) {
        let live = self.context.registry.remove(entry);
        let summary = ConnectionSummary { duration: entry.admitted.elapsed(), ..ConnectionSummary::new(reason) };
        self.context.emit(&Event::Disconnected { peer, summary: &summary, live });
    }

    fn peer(&self, entry: &ConnectionEntry) -> Peer {
        Peer::new(entry.id, entry.address, Arc::clone(&self.thread)).with_proxy(entry.is_proxy())
    }
}

/// The socket of a connection that has ended. The thread that admitted or evicted it may hold its entry for a moment longer:
/// then it is another descriptor of the same socket.
fn into_socket(entry: Arc<ConnectionEntry>) -> io::Result<Socket> {
    match Arc::try_unwrap(entry) {
        Ok(entry) => Ok(entry.socket),
        Err(shared) => shared.socket.try_clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use super::{ConnectionEntry, into_socket};

    #[test]
    fn a_socket_outlives_an_entry_that_another_thread_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (socket, address) = listener.accept().expect("accepted");
        let entry = Arc::new(ConnectionEntry::new(1, address, socket.into(), 1));
        let held = Arc::clone(&entry);
        let mut socket = into_socket(entry).expect("another descriptor");
        drop(held);
        socket.write_all(b"the last line").expect("sent");
        drop(socket);
        let mut text = String::new();
        client.read_to_string(&mut text).expect("closed");
        assert_eq!(text, "the last line");
    }
}
