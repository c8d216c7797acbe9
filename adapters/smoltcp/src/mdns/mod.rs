//! Being found in the local network: a responder for multicast DNS (RFC 6762) with service discovery (RFC 6763), over one of
//! smoltcp's UDP sockets and IPv4.

mod heard;
mod message;
mod name;
mod state;
mod writer;

use core::fmt::Write as _;

use smoltcp::iface::{Interface, MulticastError, SocketHandle, SocketSet};
use smoltcp::socket::udp;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address};

use self::heard::{Heard, PORT};
use self::message::Message;
use self::name::Label;
use self::state::{Destination, State};

/// Where multicast DNS is spoken.
const GROUP: Ipv4Address = Ipv4Address::new(224, 0, 0, 251);
/// How many packets are heeded in a poll, so that a flood does not keep the owner from other work.
const BURST: usize = 4;

/// Announces the board as a server, `_coracle._tcp`, with its name, its port and its address, and answers who asks.
///
/// The name is asked for before it is announced, and gets a number where another host has it. The host's own name is made of
/// all of `mac`, which no other has. Its UDP socket has room for a packet of [`Responder::RECEIVE_LEN`] and one of [`Responder::SEND_LEN`] bytes at least;
/// the device must let the multicast group 224.0.0.251 in, whose Ethernet address is 01:00:5e:00:00:fb.
///
/// ```
/// use coracle_smoltcp::Responder;
/// use smoltcp::iface::{Interface, SocketHandle, SocketSet};
/// use smoltcp::time::Instant;
///
/// /// Called by the loop that polls the interface; `socket` belongs to a UDP socket in `sockets`.
/// fn poll(responder: &mut Responder, now: Instant, interface: &mut Interface, sockets: &mut SocketSet<'_>) {
///     let next = responder.poll(now, interface, sockets);
///     // Wake up at `next`, or when a frame arrives.
/// }
///
/// let responder = Responder::new("", [2, 0, 0, 0xa1, 0xb2, 0xc3], 8888);
/// assert_eq!(responder.name(), "coracle-a1b2c3");
/// assert_eq!(Responder::new("bench-7", [2, 0, 0, 0xa1, 0xb2, 0xc3], 8888).name(), "bench-7");
/// ```
pub struct Responder {
    base: Label,
    state: State,
    socket: Option<SocketHandle>,
    address: Option<Ipv4Address>,
}

impl Responder {
    /// The length of the longest packet that is sent, in bytes.
    pub const SEND_LEN: usize = writer::MAX_LEN;
    /// The length of the longest packet that is heeded, in bytes: what an Ethernet frame has room for.
    pub const RECEIVE_LEN: usize = 1_472;

    /// A responder for the server `name` at `port` of the board with this Ethernet address. Of a name at most 63 bytes are used; an
    /// empty one becomes `coracle-` and the last three bytes of `mac`.
    #[must_use]
    pub fn new(name: &str, mac: [u8; 6], port: u16) -> Self {
        let mut state = State::new(port);
        let [a, b, c, d, e, f] = mac;
        state.seed(u32::from_be_bytes([c, d, e, f]));
        let base =
            if name.is_empty() { Label::new("coracle-", hex(&mut [0; 6], &[d, e, f])) } else { Label::new(name, "") };
        state.own.name = base;
        state.own.host = Label::new("coracle-", hex(&mut [0; 12], &[a, b, c, d, e, f]));
        Self { base, state, socket: None, address: None }
    }

    /// Takes over a UDP socket, and lets `interface` join the group. The responder begins with the first poll in which the interface
    /// has an address.
    ///
    /// # Errors
    ///
    /// The interface has no place for a group: smoltcp's feature `iface-max-multicast-group-count-1` or more gives it one.
    pub fn bind(&mut self, interface: &mut Interface, socket: SocketHandle) -> Result<(), MulticastError> {
        self.socket = Some(socket);
        interface.join_multicast_group(GROUP)
    }

    /// Heeds what has arrived, and sends what is due. Returns when to poll again, at the latest, where nothing arrives.
    ///
    /// # Panics
    ///
    /// If the socket that it was bound to is not in `sockets`, or is no UDP socket.
    pub fn poll(&mut self, now: Instant, interface: &Interface, sockets: &mut SocketSet<'_>) -> Option<Instant> {
        let socket = sockets.get_mut::<udp::Socket>(self.socket?);
        if !socket.is_open() {
            // Fails for open sockets and port 0 only.
            let _ = socket.bind(PORT);
            socket.set_hop_limit(Some(255));
        }
        self.follow_address(now, interface.ipv4_addr());
        for _ in 0..BURST {
            let Ok((packet, from)) = socket.recv() else { break };
            self.heed(packet, from.endpoint, now);
        }
        while let Some(to) = self.state.due(now) {
            if socket.send_queue() > 0 {
                // There is room when what waits has left.
                return Some(now);
            }
            let to = match to {
                Destination::All => IpEndpoint::new(IpAddress::Ipv4(GROUP), PORT),
                Destination::One(host) => host,
            };
            // In a buffer of its own first: smoltcp writes in place only where its ring is not about to wrap, and does not rewind one
            // that is empty.
            let mut message = [0; Self::SEND_LEN];
            let len = self.state.write(&mut message, now);
            // The socket is open and empty, and the message as long as its ring at most.
            let _ = socket.send_slice(message.get(..len).unwrap_or_default(), to);
        }
        if socket.can_recv() { Some(now) } else { self.state.deadline() }
    }

    /// Tells the others with the next poll that the server goes.
    pub fn stop(&mut self) {
        self.state.leave();
    }

    /// Whether there is nothing to send before the next start: after [`Responder::stop`], the goodbye has left for the socket.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.state.is_silent()
    }

    /// Whether the server can be found by its name.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.state.is_established()
    }

    /// The name by which the server is or will be found.
    #[must_use]
    pub fn name(&self) -> &str {
        self.state.own.name.as_str()
    }

    fn follow_address(&mut self, now: Instant, address: Option<Ipv4Address>) {
        if self.address != address {
            self.address = address;
            match address {
                Some(address) => self.state.start(address, now),
                None => self.state.silence(),
            }
        }
    }

    fn heed(&mut self, packet: &[u8], from: IpEndpoint, now: Instant) {
        let is_own = self.address.is_some_and(|address| from.addr == IpAddress::Ipv4(address));
        let Some(message) = Message::parse(packet).filter(|_| !is_own) else { return };
        let heard = Heard::of(&message, from.port, &self.state.own);
        if let Some(number) = self.state.hear(heard, from, now) {
            let mut suffix = Suffix { bytes: [0; 6], len: 0 };
            // A number of five digits and a hyphen fit.
            let _ = write!(suffix, "-{number}");
            self.state.own.name = Label::new(self.base.as_str(), suffix.as_str());
        }
    }
}

/// What stands behind a name that another host has.
struct Suffix {
    bytes: [u8; 6],
    len: usize,
}

impl Suffix {
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl core::fmt::Write for Suffix {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The digits of `bytes`, as far as there is room.
fn hex<'a>(buf: &'a mut [u8], bytes: &[u8]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, nibble) in buf.iter_mut().zip(nibbles) {
        *place = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    }
    core::str::from_utf8(buf).unwrap_or_default()
}
