//! Worker threads: each serves one connection after the other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, Scope};
use std::time::Duration;

use coracle_core::{CloseHow, Code};
use socket2::Socket;

use super::admission::AdmittedFromQueue;
use super::connection::{WorkerBuffers, refuse, serve_connection};
use super::context::ServerContext;
use super::entry::{ConnectionEntry, ForcedClose};
use super::event::{ConnectionSummary, DequeueReason, DisconnectReason, Event, Peer};
use super::queue_sweeper::dismiss;
use super::served_store::ServedStore;

/// Enough for a listing, a panic with its backtrace, and an observer that formats.
pub(super) const STACK_SIZE: usize = 128 * 1024;

/// Spawns a worker thread that serves `first`, and then what it is handed.
pub(super) fn spawn_worker<'scope, 'env, S>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'env ServerContext<'env>,
    store: S,
    first: Arc<ConnectionEntry>,
) -> io::Result<()>
where
    S: ServedStore + 'env,
{
    let name = format!("client-{}", context.threads_spawned.fetch_add(1, Ordering::Relaxed) + 1);
    let worker = Worker { context, store, thread: name.as_str().into(), buffers: None };
    Builder::new().name(name).stack_size(STACK_SIZE).spawn_scoped(scope, || worker.run(first)).map(drop)
}

struct Worker<'env, S> {
    context: &'env ServerContext<'env>,
    store: S,
    /// Its name.
    thread: Arc<str>,
    buffers: Option<WorkerBuffers>,
}

impl<'env, S> Worker<'env, S>
where
    S: ServedStore + 'env,
{
    fn run(mut self, first: Arc<ConnectionEntry>) {
        let mut next = Some(first);
        while let Some(entry) = next {
            self.report_connected(&entry);
            if self.buffers.is_none() {
                entry.wait_for_input();
            }
            self.serve(entry);
            self.serve_queued();
            next = self.context.workers.next();
        }
    }

    // The frames of these are large, and kept out of the one in which a thread waits: thousands of threads that wait for
    // the first byte of a client are to cost two pages of stack each.

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
        Peer::new(entry.id, entry.address, Arc::clone(&self.thread))
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
