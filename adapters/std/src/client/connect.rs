//! Connects to a server, and the clock of its connections.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coracle_core::blocking::Clock;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::address::Address;
use crate::sys::{is_connecting, poll_connected};
use crate::transport::TcpTransport;

/// How long an address has to answer before the next one is tried as well (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The idle time after which the kernel probes whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A kind of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    fn has(self, address: &SocketAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Connects to one of the addresses of the host, by the rules of RFC 8305: the next address is tried as well when the last
/// one failed or did not answer within [`ATTEMPT_DELAY`], and the first that answers is taken. `timeout` is for all of them
/// together. `preferred` is tried first, if the host has it, and is then the one that was taken.
pub fn connect(
    address: &Address,
    timeout: Option<Duration>,
    family: Option<AddressFamily>,
    preferred: &mut Option<SocketAddr>,
) -> io::Result<TcpTransport<Socket>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let resolved = address.resolve()?.into_iter();
    let addresses: Vec<SocketAddr> =
        resolved.filter(|address| family.is_none_or(|family| family.has(address))).collect();
    if let (true, Some(family)) = (addresses.is_empty(), family) {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("the host has no {family} address")));
    }
    let (socket, taken) = connect_first(&in_order(addresses, *preferred), deadline)?;
    *preferred = Some(taken);
    socket.set_nonblocking(false)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(TcpTransport::new(socket))
}

/// The order in which to try `addresses`: the preferred one, then both families by turns, beginning with that of the first.
fn in_order(addresses: Vec<SocketAddr>, preferred: Option<SocketAddr>) -> Vec<SocketAddr> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_v6);
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        ordered.extend(first.pop_front());
        ordered.extend(second.pop_front());
    }
    if let Some(at) = ordered.iter().position(|address| Some(*address) == preferred) {
        ordered[..=at].rotate_right(1);
    }
    ordered
}

fn connect_first(addresses: &[SocketAddr], deadline: Option<Instant>) -> io::Result<(Socket, SocketAddr)> {
    let mut waiting = addresses.iter();
    let (mut sockets, mut peers) = (Vec::new(), Vec::new());
    let mut next_at = Instant::now();
    let mut last_error = io::Error::from(io::ErrorKind::NotFound);
    loop {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
        }
        if sockets.is_empty() || next_at <= now {
            match waiting.next() {
                Some(address) => match begin(*address) {
                    Ok(socket) => {
                        sockets.push(socket);
                        peers.push(*address);
                        next_at = now + ATTEMPT_DELAY;
                    }
                    Err(error) => {
                        last_error = error;
                        continue;
                    }
                },
                None if sockets.is_empty() => return Err(last_error),
                None => {}
            }
        }
        let next_at_or_never = Some(next_at).filter(|_| !waiting.as_slice().is_empty());
        let wait = [deadline, next_at_or_never].into_iter().flatten().min();
        let polled = match poll_connected(&sockets, wait.map(|until| until.saturating_duration_since(now))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        };
        for at in (0..polled.len()).rev().filter(|at| polled[*at]) {
            let (socket, peer) = (sockets.remove(at), peers.remove(at));
            match socket.take_error().and_then(|error| error.map_or(Ok(()), Err)) {
                Ok(()) => return Ok((socket, peer)),
                Err(error) => {
                    last_error = error;
                    next_at = now;
                }
            }
        }
    }
}

/// Begins to connect.
fn begin(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if !is_connecting(&error) => Err(error),
        _ => Ok(socket),
    }
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
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use coracle_core::blocking::Transport;
    use embedded_io::{Error as _, ErrorKind, Read};
    use socket2::{Domain, SockAddr, Socket, Type};

    use super::{Address, AddressFamily, connect, connect_first, in_order};

    #[test]
    fn m13_a_silent_peer_is_a_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = Address::from(listener.local_addr().expect("an address"));
        let mut transport = connect(&address, Some(Duration::from_secs(5)), None, &mut None).expect("connect");
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
        let error = connect(&Address::from(address), None, None, &mut None).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }

    /// An address that does not answer: the queue of its listener is full, so that the kernel drops what arrives.
    fn silent() -> (Socket, TcpStream, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("bind");
        socket.listen(0).expect("listen");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let filler = TcpStream::connect(address).expect("connected");
        (socket, filler, address)
    }

    /// The system itself waits for about two minutes.
    #[test]
    fn a_silent_address_delays_the_next_one_little() {
        let (_listener, _filler, silent) = silent();
        let refused = SocketAddr::from(([127, 0, 0, 1], 1));
        let good = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = good.local_addr().expect("an address");
        let begin = Instant::now();
        let (_, taken) = connect_first(&[silent, refused, address], None).expect("connected");
        assert_eq!(taken, address);
        assert!(begin.elapsed() >= super::ATTEMPT_DELAY, "the first one had its time");
        let until = Instant::now() + Duration::from_millis(300);
        let error = connect_first(&[silent, refused, silent], Some(until)).expect_err("nobody answers");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn families_take_turns_behind_the_address_that_worked() {
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().expect("one"));
        assert_eq!(in_order(vec![a, b, c, d], None), [a, c, b, d]);
        assert_eq!(in_order(vec![d, a, b], None), [d, a, b]);
        assert_eq!(in_order(vec![a, b, c, d], Some(b)), [b, a, c, d]);
        assert_eq!(in_order(vec![a, b], Some(d)), [a, b]);
    }

    #[test]
    fn only_addresses_of_the_family_are_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = Address::from(listener.local_addr().expect("an address"));
        assert!(connect(&address, None, Some(AddressFamily::V4), &mut None).is_ok());
        let error = connect(&address, None, Some(AddressFamily::V6), &mut None).expect_err("it has none");
        assert_eq!(error.to_string(), "the host has no IPv6 address");
    }

    #[test]
    fn the_address_that_worked_is_remembered() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let mut preferred = None;
        connect(&Address::from(address), None, None, &mut preferred).expect("connected");
        assert_eq!(preferred, Some(address));
    }
}
