//! Connects to a server, and the clock of its connections.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use coracle_core::blocking::Clock;
use socket2::{Socket, TcpKeepalive};

use super::address::Address;
use crate::transport::TcpTransport;

/// The idle time after which the kernel probes whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The transport of a client.
pub type ClientTransport = TcpTransport<Socket>;

/// Connects to the first address of the host that answers. `timeout` is for all of them together: each gets an even share of
/// the rest, so that one that does not answer does not use it up.
pub fn connect(address: &Address, timeout: Option<Duration>) -> io::Result<ClientTransport> {
    let started = Instant::now();
    let addresses = address.resolve()?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (tried, address) in addresses.iter().enumerate() {
        let waiting = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let connected = match timeout {
            Some(timeout) => {
                let share = timeout.saturating_sub(started.elapsed()) / waiting;
                TcpStream::connect_timeout(address, share.max(Duration::from_millis(1)))
            }
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => {
                let socket = Socket::from(stream);
                socket.set_tcp_nodelay(true)?;
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
                return Ok(TcpTransport::new(socket));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The monotonic clock, counted from its start.
#[derive(Debug)]
pub struct MonotonicClock(Instant);

impl MonotonicClock {
    /// Starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now(&mut self) -> coracle_core::Instant {
        coracle_core::Instant::from_millis(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::time::{Duration, Instant};

    use coracle_core::blocking::Transport;
    use embedded_io::{Error as _, ErrorKind, Read};
    use socket2::{Domain, SockAddr, Socket, Type};

    use super::{Address, connect};

    #[test]
    fn m13_a_silent_peer_is_a_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = Address::from(listener.local_addr().expect("an address"));
        let mut transport = connect(&address, Some(Duration::from_secs(5))).expect("connect");
        transport.limit_wait(Some(50)).expect("limit");
        let begin = Instant::now();
        let error = transport.read(&mut [0; 8]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() >= Duration::from_millis(45));
    }

    #[test]
    fn nobody_there() {
        // While the socket is held, nothing listens on its address.
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        held.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("bind");
        let address = held.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let error = connect(&Address::from(address), None).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
