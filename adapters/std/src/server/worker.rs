//! Worker threads: each accepts and serves one connection after the other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::{CloseHow, Code};
use mio::Poll;
use socket2::Socket;

use super::acceptor::{Accepted, Acceptor, Newcomer};
use super::admission::AdmittedFromQueue;
use super::connection::{Connection, Outcome, WorkerBuffers, refuse};
use super::context::ServerContext;
use super::entry::{ConnectionEntry, ForcedClose};
use super::event::{ConnectionSummary, DequeueReason, DisconnectReason, Event, Peer};
use super::listener::Listener;
use super::parking::Parking;
use super::queue_sweeper::dismiss;
use super::served_store::ServedStore;
use crate::sys;

/// Enough for a listing, a panic with its backtrace, and an observer that formats.
pub(super) const STACK_SIZE: usize = 128 * 1024;

/// What the worker threads of a server need.
pub(super) struct Workers<'scope, 'env, S> {
    pub scope: &'scope Scope<'scope, 'env>,
    pub context: &'env ServerContext<'env>,
    pub parking: Arc<Parking<'env>>,
    pub store: S,
}

impl<'scope, 'env, S> Workers<'scope, 'env, S>
where
    S: ServedStore + 'env,
{
    /// Spawns a thread that waits for the first client of a listener.
    pub(super) fn spawn_first(&self, listener: Arc<Listener>) -> io::Result<()> {
        // Counted here, so that no other thread becomes the only one.
        listener.enter_waiting();
        self.spawn(listener, None)
    }

    /// Spawns the thread that looks after connections without one.
    pub(super) fn spawn_parking(&self, poll: Poll) -> io::Result<()> {
        let workers = self.clone();
        let builder = Builder::new().name("waiting".to_owned()).stack_size(STACK_SIZE);
        let run = move || workers.parking.run(workers.context, poll, &|| workers.spawn_worker(Worker::go_on));
        builder.spawn_scoped(self.scope, run).map(drop)
    }

    /// Spawns a thread that accepts clients and serves them: `first` before others, if there is one. Otherwise it counts as waiting.
    fn spawn(&self, listener: Arc<Listener>, first: Option<Newcomer>) -> io::Result<()> {
        let acceptor = Acceptor::new(self.context, listener);
        self.spawn_worker(|worker| worker.accept(acceptor, first))
    }

    fn spawn_worker(&self, run: impl FnOnce(Worker<'scope, 'env, S>) + Send + 'scope) -> io::Result<()> {
        let name = format!("client-{}", self.context.threads_spawned.fetch_add(1, Ordering::Relaxed) + 1);
        let worker = Worker { workers: self.clone(), thread: name.as_str().into(), buffers: None };
        let run = || {
            sys::block_pipe_signal();
            run(worker);
        };
        Builder::new().name(name).stack_size(STACK_SIZE).spawn_scoped(self.scope, run).map(drop)
    }
}

impl<S: Clone> Clone for Workers<'_, '_, S> {
    fn clone(&self) -> Self {
        Self { scope: self.scope, context: self.context, parking: Arc::clone(&self.parking), store: self.store.clone() }
    }
}

struct Worker<'scope, 'env, S> {
    workers: Workers<'scope, 'env, S>,
    /// Its name.
    thread: Arc<str>,
    buffers: Option<WorkerBuffers>,
}

impl<'env, S> Worker<'_, 'env, S>
where
    S: ServedStore + 'env,
{
    /// Serves the clients of a listener.
    fn accept(mut self, mut acceptor: Acceptor<'env>, first: Option<Newcomer>) {
        if let Some(newcomer) = first
            && !self.serve_newcomer(&acceptor, newcomer)
        {
            return;
        }
        while let Some(accepted) = acceptor.next() {
            match accepted {
                Accepted::Serve(newcomer) => {
                    if !self.serve_newcomer(&acceptor, newcomer) {
                        return;
                    }
                }
                Accepted::ServeAndSpawn(newcomer) => {
                    if let Err(error) = self.spawn(&acceptor, None) {
                        acceptor.give_up(newcomer, &error);
                    } else if !self.serve_newcomer(&acceptor, newcomer) {
                        return;
                    }
                }
                Accepted::Spawn(newcomer) => {
                    if let Err(error) = self.spawn(&acceptor, Some(newcomer.clone())) {
                        acceptor.give_up(newcomer, &error);
                    }
                }
            }
        }
    }

    /// Serves connections that waited without a thread.
    fn go_on(mut self) {
        while let Some(mut connection) = self.workers.parking.next() {
            connection.wake();
            self.serve(connection);
            self.serve_queued();
        }
    }

    /// Serves a client, and those that are queued. Returns whether the thread then counts as one that waits.
    fn serve_newcomer(&mut self, acceptor: &Acceptor<'_>, newcomer: Newcomer) -> bool {
        if let Some(entry) = acceptor.introduce(newcomer) {
            self.report_connected(&entry);
            if self.buffers.is_none() {
                entry.wait_for_input();
            }
            self.begin(entry);
            self.serve_queued();
        }
        acceptor.listener.enter_waiting()
    }

    // The frames of these are large, and kept out of the one in which a thread waits: thousands of threads that wait for
    // the first byte of a client are to cost two pages of stack each.

    #[inline(never)]
    fn spawn(&self, acceptor: &Acceptor<'_>, first: Option<Newcomer>) -> io::Result<()> {
        self.workers.spawn(Arc::clone(&acceptor.listener), first)
    }

    #[inline(never)]
    fn report_connected(&self, entry: &ConnectionEntry) {
        let peer = self.peer(entry);
        self.context().emit(&Event::Connected { peer: &peer, live: entry.live });
    }

    /// Serves queued clients as long as there are some.
    fn serve_queued(&mut self) {
        loop {
            let (admitted, gone) = self.context().registry.admit_queued();
            dismiss(self.context(), gone);
            let Some(AdmittedFromQueue { entry, waited }) = admitted else { return };
            let reason = DequeueReason::Served;
            self.context().emit(&Event::Dequeued { address: entry.address, reason, waited });
            self.report_connected(&entry);
            self.begin(entry);
        }
    }

    /// Serves a connection from its beginning on.
    #[inline(never)]
    fn begin(&mut self, entry: Arc<ConnectionEntry>) {
        let (context, peer) = (self.context(), self.peer(&entry));
        if let Err(error) = self.provide_buffers() {
            context.emit(&Event::Warning { what: "making a client's buffers", error: &error });
            self.give_up(&entry, &peer, DisconnectReason::Refused(Code::Busy));
            match into_socket(entry) {
                Ok(socket) => refuse(context, socket, Code::Busy, false),
                Err(error) => context.emit(&Event::Warning { what: "refusing a client", error: &error }),
            }
            return;
        }
        let begun = catch_unwind(AssertUnwindSafe(|| Connection::begin(context, &entry, peer.clone())));
        match begun {
            Ok(Ok(connection)) => {
                drop(entry);
                self.serve(connection);
            }
            Ok(Err(how)) => self.close(entry, how),
            Err(_) => {
                self.give_up(&entry, &peer, DisconnectReason::ServerFault);
                self.close(entry, CloseHow::Abort);
            }
        }
    }

    /// Serves a connection until it ends, or waits without a thread.
    #[inline(never)]
    fn serve(&mut self, mut connection: Box<Connection<'env>>) {
        let (entry, peer) = (Arc::clone(connection.entry()), connection.peer().clone());
        loop {
            let buffers = match self.provide_buffers() {
                Ok(()) => self.buffers.as_mut(),
                Err(error) => {
                    self.context().emit(&Event::Warning { what: "making a client's buffers", error: &error });
                    None
                }
            };
            let Some(buffers) = buffers else {
                drop(connection);
                self.give_up(&entry, &peer, DisconnectReason::ServerFault);
                return self.close(entry, CloseHow::Abort);
            };
            let Workers { store, parking, .. } = &mut self.workers;
            let serve = || connection.serve(store, buffers, parking.wake_list());
            match catch_unwind(AssertUnwindSafe(serve)) {
                Ok(Outcome::Ended(how)) => return self.close(entry, how),
                Ok(Outcome::Waiting(waiting)) => match parking.park(waiting) {
                    None => return,
                    Some(wanted) => {
                        connection = wanted;
                        connection.wake();
                    }
                },
                Err(_) => {
                    // They may be half written.
                    self.buffers = None;
                    self.give_up(&entry, &peer, DisconnectReason::ServerFault);
                    return self.close(entry, CloseHow::Abort);
                }
            }
        }
    }

    fn provide_buffers(&mut self) -> io::Result<()> {
        if self.buffers.is_none() {
            self.buffers = Some(WorkerBuffers::new()?);
        }
        Ok(())
    }

    /// Closes the socket of a connection that has ended.
    fn close(&self, entry: Arc<ConnectionEntry>, how: CloseHow) {
        let context = self.context();
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
        let live = self.context().registry.remove(entry);
        let summary = ConnectionSummary { duration: entry.admitted.elapsed(), ..ConnectionSummary::new(reason) };
        self.context().emit(&Event::Disconnected { peer, summary: &summary, live });
    }

    const fn context(&self) -> &'env ServerContext<'env> {
        self.workers.context
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
