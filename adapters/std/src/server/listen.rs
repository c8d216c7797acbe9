//! Listening sockets: how they are made, and what an `accept` that failed means.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

/// An accept queue that overflows costs a client a second for each lost SYN. (The kernel cuts it to its own limit,
/// `net.core.somaxconn`.)
const BACKLOG: i32 = 4096;
const DEFAULT_PORT: u16 = 8888;

/// The address that is listened on unless one is named: all of this machine's, IPv6 and IPv4, port 8888.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT);

/// A socket that clients connect to.
#[derive(Debug)]
pub(super) struct Listener {
    pub socket: Socket,
    /// With the real port.
    pub address: SocketAddr,
    /// No more clients are wanted from it.
    pub is_closed: AtomicBool,
    /// Options that the system refused; it is listened without them.
    pub refused_options: Vec<(&'static str, io::Error)>,
}

/// What accepted sockets inherit from the listener, so that no system call is spent on each of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    pub read_limit: Duration,
    pub write_limit: Option<Duration>,
}

impl Listener {
    /// Listens on `address`. `[::]` stands for IPv4 too, unless `only_v6`; where this machine has no IPv6, `[::]` becomes
    /// `0.0.0.0`.
    pub(super) fn bind(address: SocketAddr, only_v6: bool, inherited: Inherited) -> io::Result<Self> {
        match Self::bind_one(address, only_v6, inherited) {
            Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !only_v6 && is_without_v6(&error) => {
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
                Self::bind_one(address, false, inherited)
            }
            bound => bound,
        }
        .map_err(|error| explain(address, &error))
    }

    fn bind_one(address: SocketAddr, only_v6: bool, inherited: Inherited) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6 || address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
        }
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(4);
        let options = [
            // A restart must not wait for the clients of before.
            ("SO_REUSEADDR", socket.set_reuse_address(true)),
            ("TCP_NODELAY", socket.set_tcp_nodelay(true)),
            ("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive)),
            ("SO_RCVTIMEO", socket.set_read_timeout(Some(inherited.read_limit))),
            ("SO_SNDTIMEO", socket.set_write_timeout(inherited.write_limit)),
        ];
        let refused_options: Vec<_> = options.into_iter().filter_map(|(name, set)| Some((name, set.err()?))).collect();
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket, address, is_closed: AtomicBool::new(false), refused_options })
    }

    /// Waits for a client, at most for the listener's time-out.
    pub(super) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (socket, address) = self.socket.accept()?;
        let address = address.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok((socket, SocketAddr::new(address.ip().to_canonical(), address.port())))
    }

    /// Whether a client waits to be accepted.
    pub(super) fn has_more(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// Accepts no more, and wakes the thread that waits for a client. True the first time.
    pub(super) fn close(&self) -> bool {
        let is_first = !self.is_closed.swap(true, Ordering::Relaxed);
        if is_first {
            // Fails only where it is no longer listening, which is what is wanted.
            drop(self.socket.shutdown(std::net::Shutdown::Both));
        }
        is_first
    }
}

/// Makes all addresses dual stack that can be: where `0.0.0.0` with the same port is asked for too, `[::]` is IPv6 alone.
pub(super) fn bind_all(addresses: &[SocketAddr], inherited: Inherited) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let only_v6 =
            addresses.iter().any(|other| other.is_ipv4() && other.port() == address.port() && other.port() != 0);
        listeners.push(Listener::bind(*address, only_v6, inherited)?);
    }
    Ok(listeners)
}

/// What to do after an `accept` that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFailure {
    /// Nobody came for as long as the listener's time-out.
    Quiet,
    /// The client is gone, or a firewall refused it: try again at once.
    Again,
    /// Something is used up: try again after a pause.
    Pause,
}

impl AcceptFailure {
    pub(super) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::AGAIN) => Self::Quiet,
            Some(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP,
            ) => Self::Again,
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else a system may think of: it must not spin.
            _ => Self::Pause,
        }
    }
}

fn is_without_v6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied (ports below 1024 need a privilege)".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use super::{AcceptFailure, Inherited, Listener, bind_all};
    use rustix::io::Errno;

    const INHERITED: Inherited =
        Inherited { read_limit: Duration::from_millis(1500), write_limit: Some(Duration::from_secs(7)) };

    #[test]
    fn is_dual_stack_and_prints_canonical_peers() {
        let listener = Listener::bind("[::]:0".parse().expect("an address"), false, INHERITED).expect("bound");
        for host in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(host.parse().expect("a host"), listener.address.port());
            let client = TcpStream::connect(address).expect("connected");
            let (socket, peer) = listener.accept().expect("accepted");
            assert_eq!(peer, client.local_addr().expect("its address"));
            assert!(socket.tcp_nodelay().expect("an option") && socket.keepalive().expect("an option"));
            // The transport counts on these.
            assert_eq!(socket.read_timeout().expect("an option"), Some(INHERITED.read_limit));
            assert_eq!(socket.write_timeout().expect("an option"), INHERITED.write_limit);
        }
    }

    #[test]
    fn k7_says_which_address_is_taken() {
        let first = Listener::bind("127.0.0.1:0".parse().expect("an address"), false, INHERITED).expect("bound");
        let error = Listener::bind(first.address, false, INHERITED).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {}: another program listens there already", first.address)
        );
    }

    #[test]
    fn both_families_can_be_asked_for() {
        // Another program may be given the port meanwhile.
        let both = std::iter::repeat_with(|| {
            let any = "[::]:0".parse().expect("an address");
            let free = Listener::bind(any, false, INHERITED).expect("bound").address.port();
            let ips = ["0.0.0.0", "::"].map(|ip| ip.parse().expect("an ip"));
            bind_all(&ips.map(|ip| SocketAddr::new(ip, free)), INHERITED)
        });
        let both = both.take(20).find_map(Result::ok).expect("both");
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn closing_wakes_who_waits() {
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address"), false, INHERITED).expect("bound");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| listener.accept());
            std::thread::sleep(Duration::from_millis(50));
            assert!(listener.close() && !listener.close());
            assert!(waiting.join().expect("no panic").is_err());
        });
    }

    #[test]
    fn k6_no_failure_of_accept_is_the_end() {
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM, Errno::INTR] {
            assert_eq!(AcceptFailure::of(&errno.into()), AcceptFailure::Again);
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::IO] {
            assert_eq!(AcceptFailure::of(&errno.into()), AcceptFailure::Pause);
        }
        assert_eq!(AcceptFailure::of(&Errno::AGAIN.into()), AcceptFailure::Quiet);
    }
}
