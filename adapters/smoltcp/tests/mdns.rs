//! Responders on one network, in memory with a virtual clock.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use coracle_smoltcp::Responder;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::udp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};

const GROUP: IpEndpoint = IpEndpoint::new(IpAddress::v4(224, 0, 0, 251), 5353);
const SERVICE: &[u8] = b"\x08_coracle\x04_tcp\x05local\0";
const PTR: u16 = 12;
const SRV: u16 = 33;

type Packets = Rc<RefCell<VecDeque<Vec<u8>>>>;

#[derive(Default)]
struct Port {
    input: Packets,
    output: Packets,
}

struct Packet(Vec<u8>);
struct Output(Packets);

impl Device for Port {
    type RxToken<'a> = Packet;
    type TxToken<'a> = Output;

    fn receive(&mut self, _: Instant) -> Option<(Packet, Output)> {
        let packet = self.input.borrow_mut().pop_front()?;
        Some((Packet(packet), Output(self.output.clone())))
    }

    fn transmit(&mut self, _: Instant) -> Option<Output> {
        Some(Output(self.output.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, 1_500);
        capabilities
    }
}

impl phy::RxToken for Packet {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Output {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.borrow_mut().push_back(packet);
        result
    }
}

/// A host with a UDP socket; a board, where it has a responder.
struct Host {
    port: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    responder: Option<Responder>,
    /// What came to the socket of a host without responder.
    heard: Vec<Vec<u8>>,
}

impl Host {
    fn new(number: u8, responder: Option<Responder>) -> Self {
        let mut port = Port::default();
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, number), 24)).expect("room for an address");
        });
        let buffer = |packets, len| udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; packets], vec![0; len]);
        // A board has room for one packet that it sends; who floods it, for more.
        let (packets, len) = if responder.is_some() { (1, Responder::SEND_LEN) } else { (8, 4_000) };
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(udp::Socket::new(buffer(8, 12_000), buffer(packets, len)));
        let mut host = Self { port, interface, sockets, socket, responder, heard: Vec::new() };
        match &mut host.responder {
            Some(responder) => responder.bind(&mut host.interface, socket).expect("room for a group"),
            None => {
                host.interface.join_multicast_group(GROUP.addr).expect("room for a group");
                host.sockets.get_mut::<udp::Socket>(socket).bind(5353).expect("bound");
            }
        }
        host
    }

    fn board(number: u8, name: &str) -> Self {
        Self::new(number, Some(Responder::new(name, [2, 0, 0, 0, 0, number], 8888)))
    }

    fn responder(&mut self) -> &mut Responder {
        self.responder.as_mut().expect("a board")
    }

    fn send(&mut self, packet: &[u8]) {
        self.sockets.get_mut::<udp::Socket>(self.socket).send_slice(packet, GROUP).expect("sent");
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.port, &mut self.sockets);
        match &mut self.responder {
            Some(responder) => drop(responder.poll(now, &self.interface, &mut self.sockets)),
            None => {
                let socket = self.sockets.get_mut::<udp::Socket>(self.socket);
                while let Ok((packet, _)) = socket.recv() {
                    self.heard.push(packet.to_vec());
                }
            }
        }
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }
}

/// Hosts that hear each other.
struct Network {
    hosts: Vec<Host>,
    now: Instant,
}

impl Network {
    fn new(hosts: Vec<Host>) -> Self {
        Self { hosts, now: Instant::from_millis(1_000) }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            self.now += Duration::from_millis(5);
            for at in 0..self.hosts.len() {
                self.hosts[at].poll(self.now);
                let sent: Vec<_> = self.hosts[at].port.output.borrow_mut().drain(..).collect();
                for (_, other) in self.hosts.iter().enumerate().filter(|(other, _)| *other != at) {
                    other.port.input.borrow_mut().extend(sent.iter().cloned());
                }
            }
        }
    }

    fn names(&mut self) -> Vec<String> {
        let boards = self.hosts.iter_mut().filter_map(|host| host.responder.as_mut());
        boards.inspect(|board| assert!(board.is_established())).map(|board| board.name().to_owned()).collect()
    }

    /// What the last host has heard since this was asked last.
    fn heard(&mut self) -> Vec<Vec<u8>> {
        self.hosts.last_mut().map(|host| std::mem::take(&mut host.heard)).unwrap_or_default()
    }
}

fn query(id: u16, name: &[u8], kind: u16, class: u16, known: &[u8]) -> Vec<u8> {
    let answers = u8::from(!known.is_empty());
    let header = [&id.to_be_bytes()[..], &[0, 0, 0, 1, 0, answers, 0, 0, 0, 0]].concat();
    [&header, name, &kind.to_be_bytes(), &class.to_be_bytes(), known].concat()
}

fn label(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).expect("short")], name.as_bytes()].concat()
}

fn record(name: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("short");
    [name, &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

fn srv_of(name: &str, host: &[u8]) -> Vec<u8> {
    record(&[&label(name), SERVICE].concat(), SRV, 120, &[&[0, 0, 0, 0, 0, 9], host].concat())
}

fn response(record: &[u8]) -> Vec<u8> {
    [&[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0][..], record].concat()
}

fn contains(packet: &[u8], bytes: &[u8]) -> bool {
    packet.windows(bytes.len()).any(|window| window == bytes)
}

/// The counts of questions, answers and authorities in a message.
fn counts(packet: &[u8]) -> (u8, u8, u8) {
    (packet[5], packet[7], packet[9])
}

#[test]
fn a_board_asks_for_its_name_announces_it_answers_and_takes_leave() {
    let mut network = Network::new(vec![Host::board(1, "bench-7"), Host::new(2, None)]);
    network.run(2_500);
    assert_eq!(network.names(), ["bench-7"]);
    let heard = network.heard();
    assert_eq!(
        heard.iter().map(|packet| counts(packet)).collect::<Vec<_>>(),
        [(2, 0, 2), (2, 0, 2), (2, 0, 2), (0, 4, 0), (0, 4, 0)]
    );
    let announced = heard.last().expect("announced").clone();
    for part in
        [&b"\x07bench-7\x08_coracle\x04_tcp"[..], b"\x14coracle-020000000001\x05local", &[10, 0, 0, 1], &[0x22, 0xb8]]
    {
        assert!(contains(&announced, part), "{part:?} in {announced:?}");
    }
    // Asked by somebody who does not know it; again at once, which waits for a second; and by who does.
    network.run(1_000);
    let ask = query(0, SERVICE, PTR, 1, &[]);
    network.hosts[1].send(&ask);
    network.run(200);
    assert_eq!(network.heard(), std::slice::from_ref(&announced));
    network.hosts[1].send(&ask);
    network.run(500);
    assert!(network.heard().is_empty());
    network.run(700);
    assert_eq!(network.heard(), [announced]);
    network.run(1_000);
    let known = record(SERVICE, PTR, 4_500, &[&label("bench-7"), SERVICE].concat());
    network.hosts[1].send(&query(0, SERVICE, PTR, 1, &known));
    network.run(1_500);
    assert!(network.heard().is_empty());
    // Said once, however often it is told to stop before that has left.
    network.hosts[0].responder().stop();
    network.hosts[0].responder().stop();
    network.run(100);
    let heard = network.heard();
    assert!(
        heard.len() == 1 && counts(&heard[0]) == (0, 4, 0) && contains(&heard[0], &[0, 12, 0, 1, 0, 0, 0, 0]),
        "{heard:?}"
    );
    assert!(network.hosts[0].responder().is_silent());
}

/// What DHCP does to a board: no address, one, none, and another.
#[test]
fn n2_a_board_without_an_address_is_silent_and_a_new_one_is_announced() {
    let mut network = Network::new(vec![Host::board(1, "bench-7"), Host::new(2, None)]);
    let move_to = |network: &mut Network, address: Option<u8>| {
        network.hosts[0].interface.update_ip_addrs(|addresses| {
            addresses.clear();
            let new = address.map(|number| IpCidr::new(IpAddress::v4(10, 0, 0, number), 24));
            new.into_iter().for_each(|new| addresses.push(new).expect("room for an address"));
        });
        network.run(5_000);
    };
    move_to(&mut network, None);
    assert!(network.heard().is_empty() && !network.hosts[0].responder().is_established());
    for address in [1, 7] {
        move_to(&mut network, Some(address));
        assert_eq!(network.names(), ["bench-7"]);
        let heard = network.heard();
        assert_eq!(heard.len(), 5, "it is asked for and announced");
        assert!(heard.iter().all(|packet| contains(packet, &[10, 0, 0, address])), "{heard:?}");
        move_to(&mut network, None);
        network.hosts[1].send(&query(0, SERVICE, PTR, 1, &[]));
        network.run(2_000);
        assert!(network.heard().is_empty() && network.hosts[0].responder().is_silent());
    }
}

#[test]
fn an_answer_goes_to_who_asks_for_one_alone_and_is_short_lived_for_who_speaks_plain_dns() {
    let mut network = Network::new(vec![Host::board(1, "bench-7"), Host::new(2, None)]);
    network.run(4_000);
    network.heard();
    network.hosts[1].send(&query(0, SERVICE, PTR, 0x8001, &[]));
    network.run(50);
    assert_eq!(network.heard().len(), 1);
    let socket = network.hosts[1].socket;
    let socket = network.hosts[1].sockets.get_mut::<udp::Socket>(socket);
    socket.close();
    socket.bind(40_000).expect("bound");
    network.hosts[1].send(&query(0x1234, SERVICE, PTR, 1, &[]));
    network.run(50);
    let heard = network.heard();
    assert_eq!(heard.len(), 1);
    assert!(
        heard[0].starts_with(&[0x12, 0x34, 0x84, 0, 0, 1, 0, 4]) && contains(&heard[0], &[0, 33, 0, 1, 0, 0, 0, 10])
    );
}

#[test]
fn n1_boards_of_one_name_that_start_together_get_different_ones() {
    let mut network =
        Network::new((1..=3).map(|number| Host::board(number, "bench-7")).chain([Host::new(9, None)]).collect());
    network.run(15_000);
    let mut names = network.names();
    names.sort();
    assert_eq!(names, ["bench-7", "bench-7-2", "bench-7-3"]);
}

#[test]
fn n1_a_name_that_is_taken_is_left_to_its_owner_and_one_that_is_owned_is_kept() {
    let mut network = Network::new(vec![Host::board(1, "bench-7"), Host::new(2, None)]);
    network.run(3_000);
    // Somebody claims it once, and does not answer when asked for it.
    network.hosts[1].send(&response(&srv_of("bench-7", b"\x01h\x05local\0")));
    network.run(3_000);
    assert_eq!(network.names(), ["bench-7"]);
    network.heard();
    // Somebody answers.
    network.hosts[1].send(&response(&srv_of("bench-7", b"\x01h\x05local\0")));
    network.run(300);
    network.hosts[1].send(&response(&srv_of("BENCH-7", b"\x01h\x05local\0")));
    network.run(4_000);
    assert_eq!(network.names(), ["bench-7-2"]);
}

#[test]
fn n1_forged_claims_a_thousand_a_second_make_a_board_ask_seldom() {
    let mut network = Network::new(vec![Host::board(1, "bench-7"), Host::new(2, None)]);
    network.run(3_000);
    network.heard();
    for _ in 0..2_000 {
        let name = network.hosts[0].responder().name().to_owned();
        for _ in 0..5 {
            network.hosts[1].send(&response(&srv_of(&name, b"\x01h\x05local\0")));
        }
        network.run(5);
    }
    let asked = network.heard().len();
    assert!(asked < 20, "{asked} packets");
    network.run(10_000);
    assert_eq!(network.names().len(), 1);
}

#[test]
fn n1_noise_is_ignored() {
    let mut network = Network::new(vec![Host::board(1, "bench-7"), Host::new(2, None)]);
    network.run(3_000);
    network.heard();
    let ask = query(0, SERVICE, PTR, 1, &record(SERVICE, PTR, 4_500, b"\xc0\x0c"));
    let claim = response(&srv_of("bench-7", b"\xc0\x0c"));
    let mut random = 1_u32;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(random >> 8).expect("small") % below
    };
    for round in 0..20_000 {
        let mut packet = if round % 2 == 0 { ask.clone() } else { claim.clone() };
        for _ in 0..1 + next(4) {
            let at = next(packet.len());
            packet[at] = u8::try_from(next(256)).expect("a byte");
        }
        packet.truncate(1 + next(packet.len()));
        network.hosts[1].send(&packet);
        if round % 4 == 3 {
            network.run(5);
        }
    }
    network.run(30_000);
    assert_eq!(network.names().len(), 1);
}
