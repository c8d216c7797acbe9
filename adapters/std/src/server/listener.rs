//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::acceptor_threads::AcceptorThreads;
use super::limits::Limits;
use super::shared_accept::SharedAccept;
use crate::sys;

/// A kernel's queue that overflows costs a client a second for each lost SYN. The kernel bounds it by
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
const DEFAULT_PORT: u16 = 8888;

/// The address that is listened on unless one is named: all of this machine's, IPv6 and IPv4, port 8888.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT);

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Listening,
    /// With the real port.
    pub address: SocketAddr,
    timeouts: SocketTimeouts,
    is_closed: AtomicBool,
    /// Those that have nothing to serve.
    threads: AcceptorThreads,
    /// Options that the system refused; the listener does without them.
    pub refused_options: Vec<(&'static str, io::Error)>,
}

#[derive(Debug)]
enum Listening {
    /// To shut it down ends the calls that wait for its clients.
    Alone(Socket),
    Shared(SharedAccept),
}

/// Time-outs that accepted sockets inherit from the listener, so that no system call is spent on each of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketTimeouts {
    /// Of the listener, too.
    pub read: Duration,
    pub write: Duration,
}

impl SocketTimeouts {
    /// The time-outs that a connection needs first.
    pub(super) fn new(limits: &Limits) -> Self {
        const MIN: Duration = Duration::from_secs(1);
        const MAX: Duration = Duration::from_secs(60);
        let bound = |limit: Option<Duration>| limit.map_or(MAX, |limit| limit.clamp(MIN, MAX));
        Self { read: bound(limits.idle_timeout), write: bound(limits.stall_timeout) }
    }
}

impl Listener {
    /// Listens on `address`. `[::]` stands for IPv4 too, unless `only_v6`; where this machine has no IPv6, `[::]` becomes
    /// `0.0.0.0`.
    pub(super) fn bind(address: SocketAddr, only_v6: bool, timeouts: SocketTimeouts) -> io::Result<Self> {
        let is_any = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        match Self::bind_one(address, only_v6, timeouts) {
            Err(error) if is_any && !only_v6 && sys::is_without_ipv6(&error) => {
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
                Self::bind_one(address, false, timeouts)
            }
            bound => bound,
        }
        .map_err(|error| explain(address, &error))
    }

    fn bind_one(address: SocketAddr, only_v6: bool, timeouts: SocketTimeouts) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6 || address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
        }
        // A restart must not wait for the connections of before.
        let refused = sys::allow_restart(&socket).err().map(|error| ("SO_REUSEADDR", error));
        let refused_options = refused.into_iter().chain(set_options(&socket, timeouts)).collect();
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        Self::over(socket, !sys::ENDS_ACCEPT, timeouts, refused_options)
    }

    /// Takes over a socket that listens, and that other processes may have, too: a service manager, or the one that served
    /// before.
    pub(super) fn adopt(listener: TcpListener, timeouts: SocketTimeouts) -> io::Result<Self> {
        let socket = Socket::from(listener);
        let refused_options = set_options(&socket, timeouts).collect();
        Self::over(socket, true, timeouts, refused_options)
    }

    fn over(
        socket: Socket,
        is_shared: bool,
        timeouts: SocketTimeouts,
        refused_options: Vec<(&'static str, io::Error)>,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let (is_closed, threads) = (AtomicBool::new(false), AcceptorThreads::new(timeouts.read));
        let socket = match is_shared {
            false => Listening::Alone(socket),
            true => Listening::Shared(SharedAccept::new(socket, timeouts.read)?),
        };
        Ok(Self { socket, address, timeouts, is_closed, threads, refused_options })
    }

    /// Waits for a client, at most for the listener's time-out. The address of an IPv4 client is an IPv4 address.
    pub(super) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (socket, address) = match &self.socket {
            Listening::Alone(socket) => socket.accept()?,
            Listening::Shared(shared) => shared.accept()?,
        };
        sys::complete_accepted(&socket, self.timeouts.read, self.timeouts.write)?;
        let address = address.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok((socket, SocketAddr::new(address.ip().to_canonical(), address.port())))
    }

    /// Accepts at most `max` clients that have connected, without waiting for one. The calling thread is one that waits: where
    /// another one does, nothing is accepted here, since it may take the client that is there.
    pub(super) fn accept_pending(&self, max: usize, mut accepted: impl FnMut((Socket, SocketAddr))) {
        self.threads.accept_alone(|| {
            // What fails here fails again in `accept`, whose caller handles it.
            let pending = std::iter::from_fn(|| self.has_pending().then(|| self.accept())?.ok());
            pending.take(max).for_each(&mut accepted);
        });
    }

    /// Counts the calling thread as one that waits for a client, at once or when it has rested; false where there are enough.
    pub(super) fn enter_waiting(&self) -> bool {
        self.threads.enter()
    }

    /// Counts it no longer; false where no other one waits or rests: then it has to go on waiting.
    pub(super) fn leave_waiting(&self) -> bool {
        self.threads.leave()
    }

    /// Whether a client waits to be accepted.
    fn has_pending(&self) -> bool {
        match &self.socket {
            Listening::Alone(socket) => sys::is_readable(socket),
            Listening::Shared(shared) => shared.has_pending(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Accepts no more, and wakes the threads that wait for a client. True the first time.
    pub(super) fn close(&self) -> bool {
        let is_first = !self.is_closed.swap(true, Ordering::AcqRel);
        match &self.socket {
            _ if !is_first => {}
            // Fails only where it is no longer listening, which is what is wanted.
            Listening::Alone(socket) => drop(socket.shutdown(std::net::Shutdown::Both)),
            Listening::Shared(shared) => shared.close(),
        }
        self.threads.close();
        is_first
    }
}

/// Sets what accepted sockets inherit; returns the options that the system refuses.
fn set_options(socket: &Socket, timeouts: SocketTimeouts) -> impl Iterator<Item = (&'static str, io::Error)> {
    let keepalive = sys::keepalive();
    let options = [
        ("TCP_NODELAY", socket.set_tcp_nodelay(true)),
        ("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive)),
        ("SO_RCVTIMEO", socket.set_read_timeout(Some(timeouts.read))),
        ("SO_SNDTIMEO", socket.set_write_timeout(Some(timeouts.write))),
    ];
    options.into_iter().filter_map(|(name, set)| Some((name, set.err()?)))
}

/// Listens on all `addresses`. Where `0.0.0.0` with the same port is among them, `[::]` is IPv6 alone. One that another
/// one of them includes has no listener of its own. With `ipv6_only`, `[::]` is IPv6 alone in any case.
pub(super) fn bind_listeners(
    addresses: &[SocketAddr],
    ipv6_only: bool,
    timeouts: SocketTimeouts,
) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        if addresses.iter().any(|other| includes(*other, *address, ipv6_only)) {
            continue;
        }
        let any_v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
        let only_v6 = ipv6_only || address.port() != 0 && addresses.contains(&any_v4);
        listeners.push(Listener::bind(*address, only_v6, timeouts)?);
    }
    Ok(listeners)
}

/// Whether `any` stands for every address of this machine, and `address` for one of them at the same port.
fn includes(any: SocketAddr, address: SocketAddr, ipv6_only: bool) -> bool {
    let is_of_family = any.is_ipv6() == address.is_ipv6() || any.is_ipv6() && !ipv6_only;
    any.ip().is_unspecified()
        && !address.ip().is_unspecified()
        && is_of_family
        && any.port() == address.port()
        && any.port() != 0
}

/// An error for a person, with the address and the likely cause.
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
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::{Listener, SocketTimeouts, bind_listeners};

    const TIMEOUTS: SocketTimeouts =
        SocketTimeouts { read: Duration::from_millis(1500), write: Duration::from_secs(7) };

    fn bind(address: &str) -> Listener {
        Listener::bind(address.parse().expect("an address"), false, TIMEOUTS).expect("bound")
    }

    #[test]
    fn a_client_that_another_thread_may_take_is_left_to_it() {
        let listener = bind("127.0.0.1:0");
        let clients = [(); 3].map(|()| TcpStream::connect(listener.address).expect("connected"));
        let pending = |max| {
            let mut accepted = Vec::new();
            listener.accept_pending(max, |(_, peer)| accepted.push(peer));
            accepted
        };
        assert!(listener.enter_waiting() && listener.enter_waiting());
        assert_eq!(pending(9), []);
        assert!(listener.leave_waiting() && !listener.leave_waiting());
        let address = |client: &TcpStream| client.local_addr().expect("its address");
        assert_eq!(pending(2), clients.each_ref().map(address)[..2]);
        assert_eq!(pending(9), clients.each_ref().map(address)[2..]);
        assert_eq!(pending(9), [], "it does not wait for one");
    }

    #[test]
    fn clients_of_a_dual_stack_socket_have_plain_addresses_and_inherit_its_options() {
        let listener = bind("[::]:0");
        for host in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(host.parse().expect("a host"), listener.address.port());
            let client = TcpStream::connect(address).expect("connected");
            assert!(listener.has_pending());
            let (socket, peer) = listener.accept().expect("accepted");
            assert_eq!(peer, client.local_addr().expect("its address"));
            assert!(socket.tcp_nodelay().expect("an option") && socket.keepalive().expect("an option"));
            // The transport relies on these.
            assert_eq!(socket.read_timeout().expect("an option"), Some(TIMEOUTS.read));
            assert_eq!(socket.write_timeout().expect("an option"), Some(TIMEOUTS.write));
        }
        assert!(!listener.has_pending());
    }

    #[test]
    fn a_shared_socket_goes_on_listening_when_it_is_closed_here() {
        let shared = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listener = Listener::adopt(shared.try_clone().expect("a clone"), TIMEOUTS).expect("adopted");
        let connect = || TcpStream::connect(listener.address).expect("connected");
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept().expect("accepted"));
            let client = connect();
            let (socket, peer) = accepting.join().expect("no panic");
            assert_eq!(peer, client.local_addr().expect("its address"));
            assert_eq!(socket.read_timeout().expect("an option"), Some(TIMEOUTS.read));
            let waiting = [(); 3].map(|()| scope.spawn(|| listener.accept()));
            std::thread::sleep(Duration::from_millis(50));
            assert!(listener.close() && !listener.close());
            assert!(waiting.into_iter().all(|thread| thread.join().expect("no panic").is_err()));
        });
        let later = connect();
        shared.set_nonblocking(false).expect("an option");
        assert_eq!(shared.accept().expect("accepted").1, later.local_addr().expect("its address"));
    }

    #[test]
    fn k7_says_which_address_is_taken() {
        let first = bind("127.0.0.1:0");
        let error = Listener::bind(first.address, false, TIMEOUTS).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {}: another program listens there already", first.address)
        );
    }

    #[test]
    fn both_families_can_be_listened_on_at_one_port() {
        // Another program may be given the port meanwhile.
        let both = std::iter::repeat_with(|| {
            let free = bind("[::]:0").address.port();
            let ips = ["0.0.0.0", "::"].map(|ip| ip.parse().expect("an ip"));
            bind_listeners(&ips.map(|ip| SocketAddr::new(ip, free)), false, TIMEOUTS)
        });
        let both = both.take(20).find_map(Result::ok).expect("both");
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn every_address_includes_one_of_them() {
        // Another program may be given the port meanwhile.
        let found = (0..20).find_map(|_| {
            let port = bind("[::]:0").address.port();
            let address = |ip: &str| SocketAddr::new(ip.parse().expect("an ip"), port);
            let included = [address("127.0.0.1"), address("::"), address("::1")];
            let listeners = bind_listeners(&included, false, TIMEOUTS).ok()?;
            bind_listeners(&[address("127.0.0.3"), address("0.0.0.0")], false, TIMEOUTS).expect_err("taken by [::]");
            Some((listeners, port))
        });
        let (listeners, port) = found.expect("a free port");
        assert_eq!(listeners.len(), 1);
        for host in ["127.0.0.1", "127.0.0.2", "::1"] {
            let address = SocketAddr::new(host.parse().expect("a host"), port);
            TcpStream::connect(address).expect("connected");
        }
    }

    #[test]
    fn every_address_of_ipv6_alone_is_none_of_ipv4() {
        // Another program may be given the port meanwhile.
        let found = (0..20).find_map(|_| {
            let port = bind("[::]:0").address.port();
            let address = |ip: &str| SocketAddr::new(ip.parse().expect("an ip"), port);
            let all = [address("::"), address("::1"), address("127.0.0.1")];
            Some((bind_listeners(&all[..2], true, TIMEOUTS).ok()?, bind_listeners(&all[2..], true, TIMEOUTS).ok()?))
        });
        let (v6, v4) = found.expect("a free port");
        assert_eq!((v6.len(), v4.len()), (1, 1));
        assert!(v6[0].address.ip().is_unspecified());
    }

    #[test]
    fn closing_wakes_the_threads_that_accept() {
        let listener = bind("127.0.0.1:0");
        std::thread::scope(|scope| {
            let waiting = [(); 3].map(|()| scope.spawn(|| listener.accept()));
            std::thread::sleep(Duration::from_millis(50));
            assert!(listener.close() && !listener.close());
            for thread in waiting {
                assert!(thread.join().expect("no panic").is_err());
            }
        });
    }
}
