//! Connections of proxies whose header has not arrived: they have no place yet, since it is not known whose they are.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::header::{HeaderReader, ProxyFault, Source};
use super::network::ProxyNetwork;
use crate::sys::{self, AsFd};

/// The time for a header where requests have any.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The proxies of a server, and how long their headers may take.
#[derive(Debug)]
pub(in crate::server) struct Proxies {
    networks: Vec<ProxyNetwork>,
    wait: Duration,
}

/// What is known of a connection that a proxy has made.
pub(in crate::server) enum Greeted {
    /// Whose it is. `is_proxy`: the proxy's own, to see whether the server is there.
    Known {
        address: SocketAddr,
        is_proxy: bool,
    },
    /// The header has not arrived.
    Waiting(HeaderReader),
    Refused(ProxyFault),
}

/// A connection that waits for its header, counted in the registry.
#[derive(Clone)]
pub(in crate::server) struct Arriving {
    pub id: u64,
    pub socket: Arc<Socket>,
    /// The proxy's.
    pub address: SocketAddr,
    pub reader: HeaderReader,
}

/// The sockets of those connections, by number.
#[derive(Debug, Default)]
pub(in crate::server) struct ArrivingSockets {
    sockets: HashMap<u64, Arc<Socket>>,
    last_id: u64,
}

impl Proxies {
    /// `wait`: the time for a header; `None` for the longest there is.
    pub(in crate::server) fn new(networks: Vec<ProxyNetwork>, wait: Option<Duration>) -> Self {
        Self { networks, wait: wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT) }
    }

    /// Whether connections from `address` are those of a proxy.
    pub(in crate::server) fn includes(&self, address: SocketAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address.ip()))
    }

    /// Reads what has arrived of the header of a proxy's connection, without waiting.
    pub(in crate::server) fn greet(&self, socket: &Socket, address: SocketAddr) -> Greeted {
        let mut reader = HeaderReader::default();
        match reader.read(|buf| sys::receive_now(socket, buf)) {
            Ok(None) => Greeted::Waiting(reader),
            Ok(Some(source)) => known(source, address),
            Err(fault) => Greeted::Refused(fault),
        }
    }

    /// Waits for the header, until it is late.
    pub(in crate::server) fn wait(&self, arriving: &mut Arriving) -> Greeted {
        let (socket, until) = (&*arriving.socket, Instant::now() + self.wait);
        let read = arriving.reader.read(|buf| {
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                sys::poll_readable(iter::once(socket.as_fd()), Some(left))?;
                match sys::receive_now(socket, buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    received => return received,
                }
            }
        });
        match read {
            Ok(None) => Greeted::Refused(ProxyFault::TimedOut),
            Ok(Some(source)) => known(source, arriving.address),
            Err(fault) => Greeted::Refused(fault),
        }
    }
}

/// `address` is the proxy's.
const fn known(source: Source, address: SocketAddr) -> Greeted {
    match source {
        Source::Client(client) => Greeted::Known { address: client, is_proxy: false },
        Source::Unknown => Greeted::Known { address, is_proxy: false },
        Source::Proxy => Greeted::Known { address, is_proxy: true },
    }
}

impl ArrivingSockets {
    pub(in crate::server) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Adds a socket, and returns its number.
    pub(in crate::server) fn insert(&mut self, socket: &Arc<Socket>) -> u64 {
        self.last_id += 1;
        self.sockets.insert(self.last_id, Arc::clone(socket));
        self.last_id
    }

    pub(in crate::server) fn remove(&mut self, id: u64) {
        self.sockets.remove(&id);
    }

    /// Wakes the threads that wait for a header.
    pub(in crate::server) fn wake(&self) {
        for socket in self.sockets.values() {
            // Fails where the proxy is gone already.
            drop(socket.shutdown(Shutdown::Read));
        }
    }
}
