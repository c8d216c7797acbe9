//! Two hosts joined by a wire, in memory with a virtual clock: the server, and a host for clients.

// Each test file uses only a part of this.
#![allow(dead_code)]

#[cfg(feature = "channel")]
pub mod keys;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use coracle_core::exec::{ReadOnly, Sink};
use coracle_core::{
    Digest, DigestKind, End, FileName, GetRequest, Hasher, ServerConfig, StaticFile, StaticStore, Store,
};
use coracle_smoltcp::{DisconnectReason, Fetch, FetchError, Observer, Progress, Server, ServerAccess, sink_fn};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, FaultInjector, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};

pub const PORT: u16 = 8888;
pub const SERVER: IpAddress = IpAddress::v4(10, 0, 0, 1);
const CLIENT: IpAddress = IpAddress::v4(10, 0, 0, 2);
/// The client host's second address.
pub const OTHER_CLIENT: IpAddress = IpAddress::v4(10, 0, 0, 3);

/// The network between the two hosts.
#[derive(Clone, Copy)]
pub struct Link {
    pub drop_percent: u8,
    pub corrupt_percent: u8,
    pub seed: u32,
    /// The maximum length of an IP packet, in bytes.
    pub mtu: usize,
    pub server_receive: usize,
    pub server_send: usize,
    pub client_receive: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            drop_percent: 0,
            corrupt_percent: 0,
            seed: 1,
            mtu: 1500,
            server_receive: 512,
            server_send: 4096,
            client_receive: 4096,
        }
    }
}

/// One direction of the wire.
#[derive(Default)]
pub struct Lane {
    packets: VecDeque<Vec<u8>>,
    pub is_down: bool,
}

/// A network device: whole packets, with verified checksums.
struct Port {
    input: Rc<RefCell<Lane>>,
    output: Rc<RefCell<Lane>>,
    mtu: usize,
}

impl Device for Port {
    type RxToken<'a> = Packet;
    type TxToken<'a> = Output;

    fn receive(&mut self, _: Instant) -> Option<(Packet, Output)> {
        let packet = self.input.borrow_mut().packets.pop_front()?;
        Some((Packet(packet), Output(self.output.clone())))
    }

    fn transmit(&mut self, _: Instant) -> Option<Output> {
        Some(Output(self.output.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Packet(Vec<u8>);

impl phy::RxToken for Packet {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Output(Rc<RefCell<Lane>>);

impl phy::TxToken for Output {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        let mut lane = self.0.borrow_mut();
        if !lane.is_down {
            lane.packets.push_back(packet);
        }
        result
    }
}

struct Host {
    interface: Interface,
    device: FaultInjector<Port>,
    sockets: SocketSet<'static>,
}

impl Host {
    fn new(address: IpAddress, input: &Rc<RefCell<Lane>>, output: &Rc<RefCell<Lane>>, link: &Link) -> Self {
        let port = Port { input: input.clone(), output: output.clone(), mtu: link.mtu };
        let mut device = FaultInjector::new(port, link.seed);
        // The injector damages received packets; those sent are received by the other host.
        device.set_drop_chance(link.drop_percent);
        device.set_corrupt_chance(link.corrupt_percent);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = link.seed.into();
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address, 24)).expect("one address"));
        Self { interface, device, sockets: SocketSet::new(Vec::new()) }
    }

    fn socket(&mut self, receive: usize, send: usize) -> SocketHandle {
        let buffer = |len| tcp::SocketBuffer::new(vec![0; len]);
        self.sockets.add(tcp::Socket::new(buffer(receive), buffer(send)))
    }
}

/// The events of the server's observer.
#[derive(Default)]
pub struct Seen {
    pub connected: Vec<usize>,
    /// Actions that clients asked for.
    pub performed: Vec<String>,
    pub gone: Vec<(usize, DisconnectReason)>,
    /// What clients may do, where that is asked; `None`: they are strangers.
    pub rights: Option<&'static str>,
    pub body_len: usize,
    pub exchanges: usize,
}

impl Observer for Seen {
    fn connected(&mut self, place: usize, peer: Option<IpEndpoint>) {
        assert!([CLIENT, OTHER_CLIENT].contains(&peer.expect("an endpoint").addr));
        self.connected.push(place);
    }

    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, _: usize, demand: &coracle_core::Demand<'_>) -> coracle_core::Permit<'a> {
        match self.rights {
            Some(rights) => coracle_core::Rights::new(rights).expect("rights").permit(demand),
            None => coracle_core::Permit::Unknown { key: "ck1stranger" },
        }
    }

    fn body(&mut self, _: usize, len: usize) {
        self.body_len += len;
    }

    #[cfg(feature = "manage")]
    fn perform(&mut self, _: usize, action: &str) -> Result<(), coracle_core::StoreError> {
        self.performed.push(action.to_owned());
        if action == "calibrate" { Err(coracle_core::StoreError::Io) } else { Ok(()) }
    }

    fn exchange(&mut self, _: usize, _: &coracle_core::Exchange) {
        self.exchanges += 1;
    }

    fn disconnected(&mut self, place: usize, why: DisconnectReason) {
        self.gone.push((place, why));
    }
}

pub struct World<S: Store, const N: usize, A: ServerAccess<S> = ReadOnly, const BUF: usize = 512> {
    pub now: Instant,
    server_host: Host,
    client_host: Host,
    pub to_server: Rc<RefCell<Lane>>,
    pub to_client: Rc<RefCell<Lane>>,
    pub server: Server<'static, S, N, A, BUF>,
    pub store: S,
    pub seen: Seen,
    link: Link,
    next_port: u16,
    server_at: Option<Instant>,
    /// With keys, clients come encrypted.
    #[cfg(feature = "channel")]
    pub keys: Option<keys::Keys>,
}

impl<S: Store, const N: usize> World<S, N> {
    pub fn new(store: S, link: Link) -> Self {
        Self::with_config(store, link, ServerConfig::new())
    }

    pub fn with_config(store: S, link: Link, config: ServerConfig<'static>) -> Self {
        Self::with_access(store, link, config)
    }
}

impl<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize> World<S, N, A, BUF> {
    pub fn with_access(store: S, link: Link, config: ServerConfig<'static>) -> Self {
        let (to_server, to_client) = <(Rc<RefCell<Lane>>, Rc<RefCell<Lane>>)>::default();
        let mut server_host = Host::new(SERVER, &to_server, &to_client, &link);
        let client_link = Link { seed: link.seed.wrapping_mul(7919), ..link };
        let mut client_host = Host::new(CLIENT, &to_client, &to_server, &client_link);
        let second = IpCidr::new(OTHER_CLIENT, 24);
        client_host.interface.update_ip_addrs(|addresses| addresses.push(second).expect("two addresses"));
        let mut handle = || server_host.socket(link.server_receive, link.server_send);
        let handles = std::array::from_fn(|_| handle());
        let spare = handle();
        let mut server = Server::new();
        server.bind(Box::leak(Box::new(config)), PORT, handles, spare);
        let (seen, now) = (Seen::default(), Instant::ZERO);
        let mut world = Self {
            now,
            server_host,
            client_host,
            to_server,
            to_client,
            server,
            store,
            seen,
            link,
            next_port: 49_152,
            server_at: None,
            #[cfg(feature = "channel")]
            keys: None,
        };
        world.step();
        world
    }

    /// One round of the server's loop, and one of the client host's.
    fn round(&mut self) {
        let host = &mut self.server_host;
        host.interface.poll(self.now, &mut host.device, &mut host.sockets);
        self.server_at = self.poll_server();
        let host = &mut self.server_host;
        host.interface.poll(self.now, &mut host.device, &mut host.sockets);
        let host = &mut self.client_host;
        host.interface.poll(self.now, &mut host.device, &mut host.sockets);
    }

    fn poll_server(&mut self) -> Option<Instant> {
        let sockets = &mut self.server_host.sockets;
        #[cfg(feature = "channel")]
        if let Some(keys) = &mut self.keys {
            return self.server.poll_encrypted(self.now, sockets, &mut self.store, &mut self.seen, keys);
        }
        self.server.poll(self.now, sockets, &mut self.store, &mut self.seen)
    }

    /// Advances the clock by a millisecond, or for as long as nothing happens.
    pub fn step(&mut self) {
        self.round();
        let is_quiet = [&self.to_server, &self.to_client].iter().all(|lane| lane.borrow().packets.is_empty());
        let mut hosts_at = [self.server_at, None, None];
        for (at, host) in hosts_at[1..].iter_mut().zip([&mut self.server_host, &mut self.client_host]) {
            *at = host.interface.poll_at(self.now, &host.sockets);
        }
        let next = hosts_at.into_iter().flatten().min().unwrap_or(self.now + Duration::from_secs(1));
        let soon = self.now + Duration::from_millis(1);
        // At most a tenth of a second, since the tests act too.
        self.now = if is_quiet { next.clamp(soon, self.now + Duration::from_millis(100)) } else { soon };
    }

    pub fn run_ms(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `done`, at most for `millis`.
    pub fn run_until(&mut self, millis: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step();
        }
        done(self)
    }

    pub fn cut(&mut self, is_down: bool) {
        for lane in [&self.to_server, &self.to_client] {
            lane.borrow_mut().is_down = is_down;
        }
    }

    /// A client's socket that is connecting.
    pub fn connect(&mut self) -> SocketHandle {
        self.connect_from(CLIENT)
    }

    /// A client's socket that is connecting from one of the addresses of its host.
    pub fn connect_from(&mut self, address: IpAddress) -> SocketHandle {
        let handle = self.client_host.socket(self.link.client_receive, 4096);
        let port = self.port();
        let socket = self.client_host.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.client_host.interface.context(), (SERVER, PORT), (address, port)).expect("a new socket");
        handle
    }

    fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    pub fn client(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.client_host.sockets.get_mut(handle)
    }

    /// Connects, sends `bytes`, and runs until they have arrived.
    pub fn connect_and_send(&mut self, bytes: &[u8]) -> SocketHandle {
        let handle = self.connect();
        assert!(self.run_until(5_000, |world| world.client(handle).may_send()), "no connection");
        self.send(handle, bytes);
        handle
    }

    pub fn send(&mut self, handle: SocketHandle, bytes: &[u8]) {
        assert_eq!(self.client(handle).send_slice(bytes), Ok(bytes.len()));
        self.run_ms(20);
    }

    /// Everything received until the server closes, for at most `millis`; and whether it closed gracefully.
    pub fn read_to_end(&mut self, handle: SocketHandle, millis: u64) -> (String, bool) {
        let mut all = Vec::new();
        self.run_until(millis, |world| world.client(handle).state() != tcp::State::SynSent);
        let is_over = self.run_until(millis, |world| {
            let socket = world.client(handle);
            while let Ok(len) = socket.recv(|bytes| {
                all.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            }) && len > 0
            {}
            !socket.may_recv()
        });
        // A reset leaves it closed.
        let is_orderly = is_over && self.client(handle).state() != tcp::State::Closed;
        (String::from_utf8_lossy(&all).into_owned(), is_orderly)
    }

    /// The bytes received so far.
    pub fn read_now(&mut self, handle: SocketHandle) -> String {
        let mut buf = vec![0; 1 << 16];
        let len = self.client(handle).recv_slice(&mut buf).unwrap_or(0);
        String::from_utf8_lossy(&buf[..len]).into_owned()
    }

    pub fn fetch(&mut self, get: &GetRequest<'_>) -> Fetch<'static> {
        let handle = self.client_host.socket(self.link.client_receive, 512);
        let port = self.port();
        Fetch::new(get, IpEndpoint::new(SERVER, PORT), handle, port, vec![0; Fetch::BUF_LEN].leak(), self.now)
            .expect("it can be asked")
    }

    /// Polls a fetch once.
    pub fn poll_fetch<K: Sink>(&mut self, fetch: &mut Fetch<'_>, sink: &mut K) -> Progress<K::Error> {
        let host = &mut self.client_host;
        fetch.poll(self.now, &mut host.interface, &mut host.sockets, sink)
    }

    /// Fetches into `sink` until the fetch has ended.
    pub fn finish<K: Sink>(&mut self, fetch: &mut Fetch<'_>, sink: &mut K) -> Result<End, FetchError<K::Error>> {
        for _ in 0..1_000_000 {
            match self.poll_fetch(fetch, sink) {
                Progress::Waiting(_) => self.step(),
                Progress::Done(end) => return Ok(end),
                Progress::Failed(error) => return Err(error),
            }
        }
        panic!("the fetch neither ends nor fails");
    }

    /// Fetches the file `name` and checks that it is verified.
    pub fn get(&mut self, name: &'static str, digest: DigestKind) -> Vec<u8> {
        let get = GetRequest::new(FileName::from_static(name)).with_digest(Some(digest));
        let mut fetch = self.fetch(&get);
        let mut bytes = Vec::new();
        let end = self.finish(&mut fetch, &mut into_vec(&mut bytes));
        match end {
            Ok(End::Verified(verified)) => {
                assert!(verified.is_whole());
                assert_eq!(*verified.digest(), digest_of(digest, &bytes));
                bytes
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A sink that appends to `bytes`, and checks that there is no gap.
pub fn into_vec(bytes: &mut Vec<u8>) -> impl Sink<Error = ()> {
    sink_fn(move |offset, piece: &[u8]| {
        assert_eq!(offset, bytes.len() as u64);
        bytes.extend_from_slice(piece);
        Ok(())
    })
}

pub fn digest_of(kind: DigestKind, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(kind).expect("supported");
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes with a long period.
pub fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A store of files with these names and lengths.
pub fn store(files: &[(&'static str, usize)]) -> StaticStore<'static> {
    let files = files.iter().map(|(name, len)| StaticFile::new(name, "v1", content(*len).leak()));
    StaticStore::new(files.collect::<Vec<_>>().leak())
}
