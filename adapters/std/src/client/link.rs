//! A connection to a server: made within a limit, whatever the number of addresses, and waited on within limits.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use coracle_core::blocking::Clock;
use socket2::{Socket, TcpKeepalive};

use super::address::Address;
use crate::transport::TcpTransport;

/// After this long without a word, the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A connection to a server.
pub type Link = TcpTransport<Socket>;

/// Connects to the first of the host's addresses that answers. `limit` is for all of them together; each gets an even
/// share of what is left, so that one that is silent does not use it up.
pub fn connect(address: &Address, limit: Option<Duration>) -> io::Result<Link> {
    let begin = Instant::now();
    let addresses = address.resolve()?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (tried, address) in addresses.iter().enumerate() {
        let waiting = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let connected = match limit {
            Some(limit) => {
                let share = limit.saturating_sub(begin.elapsed()) / waiting;
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

/// The process's monotonic clock.
#[derive(Debug)]
pub struct Ticks(Instant);

impl Ticks {
    /// Begins at 0 now.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Ticks {
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
        let mut link = connect(&address, Some(Duration::from_secs(5))).expect("connect");
        link.limit_wait(Some(50)).expect("limit");
        let begin = Instant::now();
        let error = link.read(&mut [0; 8]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() >= Duration::from_millis(45));
    }

    #[test]
    fn nobody_there() {
        // As long as it is held, nobody else listens there.
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        held.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("bind");
        let address = held.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let error = connect(&Address::from(address), None).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
