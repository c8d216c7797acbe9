//! Accepts the clients of one listener, in each of its threads.
//!
//! The thread that accepts a client also serves it, as long as another one waits for the next client: so nothing is handed
//! from thread to thread, and the kernel wakes only one. Where no other one waits, a new thread does. There is always one.
//!
//! Spawning takes longer than a client needs to connect, and the kernel's queue holds some thousand: in a crowd it would
//! overflow, and a client that finds it full tries again only after a second. So the queue is emptied before each spawn.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coracle_core::Code;
use socket2::Socket;

use super::admission::AdmissionDecision;
use super::connection::refuse;
use super::context::ServerContext;
use super::entry::ConnectionEntry;
use super::event::Event;
use super::listener::Listener;
use super::proxy::{Arriving, Greeted, ProxyFault};
use super::queue_sweeper::dismiss;
use crate::sys::{AcceptError, accept_error};

/// After an error of `accept` that does not go away at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Clients in a row that were gone when they were accepted, before there is a pause.
const MAX_GONE: u32 = 100;

/// Where a thread gets its clients from.
pub(super) struct Acceptor<'env> {
    context: &'env ServerContext<'env>,
    pub listener: Arc<Listener>,
    /// Clients that were accepted and not admitted yet.
    accepted: VecDeque<(Socket, SocketAddr)>,
}

/// A client, and who is to serve it.
pub(super) enum Accepted {
    /// This thread: another one waits for the next client.
    Serve(Newcomer),
    /// This thread, when a new one waits for the next client.
    ServeAndSpawn(Newcomer),
    /// A new thread: this one has accepted others.
    Spawn(Newcomer),
}

/// Who is to be served.
#[derive(Clone)]
pub(super) enum Newcomer {
    Admitted(Arc<ConnectionEntry>),
    /// A proxy's connection: it has to say whose it is first.
    Arriving(Arriving),
}

impl<'env> Acceptor<'env> {
    pub(super) const fn new(context: &'env ServerContext<'env>, listener: Arc<Listener>) -> Self {
        Self { context, listener, accepted: VecDeque::new() }
    }

    /// Waits for a client that is admitted; `None` when the calling thread is to end. The thread counts as one that waits,
    /// until it gets a client to serve or is to end.
    pub(super) fn next(&mut self) -> Option<Accepted> {
        while let Some((socket, address)) = self.accepted.pop_front().or_else(|| self.accept()) {
            let newcomer = if self.context.proxies.includes(address) {
                self.greet(socket, address)
            } else {
                self.admit(socket, address, false).map(Newcomer::Admitted)
            };
            let Some(newcomer) = newcomer else { continue };
            if self.accepted.is_empty() && self.listener.leave_waiting() {
                return Some(Accepted::Serve(newcomer));
            }
            self.accept_batch();
            let accepted = if self.accepted.is_empty() { Accepted::ServeAndSpawn } else { Accepted::Spawn };
            return Some(accepted(newcomer));
        }
        None
    }

    /// The client of a newcomer, once it is known and admitted.
    pub(super) fn introduce(&self, newcomer: Newcomer) -> Option<Arc<ConnectionEntry>> {
        match newcomer {
            Newcomer::Admitted(entry) => Some(entry),
            Newcomer::Arriving(arriving) => self.wait_for_header(arriving),
        }
    }

    /// Reads what there is of the header of a proxy's connection.
    #[inline(never)]
    fn greet(&self, socket: Socket, address: SocketAddr) -> Option<Newcomer> {
        match self.context.proxies.greet(&socket, address) {
            Greeted::Known { address, is_proxy } => self.admit(socket, address, is_proxy).map(Newcomer::Admitted),
            Greeted::Waiting(reader) => match self.context.registry.begin_arrival(socket, address, reader) {
                Ok(arriving) => Some(Newcomer::Arriving(arriving)),
                Err((socket, code)) => {
                    self.refuse(socket, address, code, false);
                    None
                }
            },
            Greeted::Refused(fault) => {
                self.refuse_proxy(socket, address, fault);
                None
            }
        }
    }

    /// Waits for the header of a proxy's connection, and decides about its client.
    #[inline(never)]
    fn wait_for_header(&self, mut arriving: Arriving) -> Option<Arc<ConnectionEntry>> {
        let registry = self.context.registry;
        let (proxy, greeted) = (arriving.address, self.context.proxies.wait(&mut arriving));
        let socket = match registry.end_arrival(arriving) {
            Ok(socket) => socket,
            Err(error) => {
                self.context.emit(&Event::Warning { what: "taking a connection of a proxy", error: &error });
                return None;
            }
        };
        match greeted {
            Greeted::Known { address, is_proxy } => return self.admit(socket, address, is_proxy),
            // Its input was shut down to wake this thread.
            Greeted::Refused(_) if registry.is_stopping() => self.refuse(socket, proxy, Code::ShuttingDown, false),
            Greeted::Refused(fault) => self.refuse_proxy(socket, proxy, fault),
            Greeted::Waiting(_) => self.refuse_proxy(socket, proxy, ProxyFault::TimedOut),
        }
        None
    }

    /// Decides about a client. `is_proxy`: it is the proxy, which looks whether the server is there.
    fn admit(&self, socket: Socket, address: SocketAddr, is_proxy: bool) -> Option<Arc<ConnectionEntry>> {
        #[cfg(feature = "channel")]
        if self.context.encryption.as_ref().is_some_and(|encryption| encryption.is_barred(address)) {
            self.turn_away(&socket, address);
            return None;
        }
        match self.context.registry.admit(socket, address) {
            AdmissionDecision::Admitted(entry) => {
                if is_proxy {
                    entry.mark_proxy();
                }
                return Some(entry);
            }
            AdmissionDecision::Queued(waiting) => self.context.emit(&Event::Queued { address, waiting }),
            AdmissionDecision::Refused { socket, code, is_over_address_limit } => {
                self.refuse(socket, address, code, is_over_address_limit);
            }
        }
        None
    }

    fn refuse(&self, socket: Socket, address: SocketAddr, code: Code, is_over_address_limit: bool) {
        self.context.emit(&Event::Refused { address, code, is_over_address_limit });
        refuse(self.context, socket, code, is_over_address_limit);
    }

    /// Ends a connection that does not say whose it is as it should.
    fn refuse_proxy(&self, socket: Socket, address: SocketAddr, fault: ProxyFault) {
        self.context.emit(&Event::ProxyRefused { address, fault });
        match fault {
            ProxyFault::Left | ProxyFault::Lost(_) => {}
            ProxyFault::TimedOut => refuse(self.context, socket, Code::Timeout, false),
            _ => refuse(self.context, socket, Code::BadRequest, false),
        }
    }

    /// Resets the connection of a client whose address is barred.
    #[cfg(feature = "channel")]
    #[inline(never)]
    fn turn_away(&self, socket: &Socket, address: SocketAddr) {
        // Without it the client sees the end of the connection instead.
        drop(socket.set_linger(Some(Duration::ZERO)));
        self.context.emit(&Event::Barred { address, is_new: false });
    }

    /// Refuses a client for which there is no thread.
    #[inline(never)]
    pub(super) fn give_up(&self, newcomer: Newcomer, error: &std::io::Error) {
        let (address, socket) = match newcomer {
            Newcomer::Admitted(entry) => {
                dismiss(self.context, self.context.registry.withdraw(&entry));
                (entry.address, Arc::into_inner(entry).map(|entry| entry.socket))
            }
            Newcomer::Arriving(arriving) => (arriving.address, self.context.registry.end_arrival(arriving).ok()),
        };
        self.context.emit(&Event::Warning { what: "making a thread for a client", error });
        match socket {
            Some(socket) => self.refuse(socket, address, Code::Busy, false),
            None => self.context.emit(&Event::Refused { address, code: Code::Busy, is_over_address_limit: false }),
        }
    }

    /// Waits for a client; `None` when the listener was closed, or the thread is not needed.
    fn accept(&self) -> Option<(Socket, SocketAddr)> {
        let mut pause = FIRST_PAUSE;
        let mut gone = 0;
        while !self.listener.is_closed() {
            let error = match self.listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => error,
            };
            match accept_error(&error) {
                AcceptError::ClientGone if gone < MAX_GONE => gone += 1,
                // It waited for long, or the system is short of something: one thread is enough.
                _ if self.listener.is_closed() || self.listener.leave_waiting() => return None,
                AcceptError::TimedOut => {}
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

    /// Accepts all clients that have connected, as long as there are places for them.
    fn accept_batch(&mut self) {
        let free = self.context.registry.free().saturating_sub(self.accepted.len());
        self.listener.accept_pending(free, |client| self.accepted.push_back(client));
    }
}
