//! Being found in the local network: a responder for multicast DNS (RFC 6762) with service discovery (RFC 6763), over one of
//! smoltcp's UDP sockets and IPv4.

mod heard;
mod message;
mod name;
mod state;
mod writer;

use smoltcp::iface::{Interface, MulticastError, SocketHandle, SocketSet};
use smoltcp::socket::udp;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address};

use self::heard::{Heard, PORT};
use self::message::Message;
use self::name::OwnName;
use self::state::{Destination, State};
use self::writer::{LOCAL, SERVICE};

/// Where multicast DNS is spoken.
const GROUP: Ipv4Address = Ipv4Address::new(224, 0, 0, 251);
/// How many packets are heeded in a poll, so that a flood does not keep the owner from other work.
const BURST: usize = 4;

/// Announces the board as a server, `_coracle._tcp`, with its name, its port and its address, and answers who asks.
///
/// Only IPv4 is spoken. Without an IPv4 address nothing is sent or heeded, and each new address is announced anew, from the question
/// for the name on; a board that has IPv6 alone is not found by its name, and its clients need its address or a line in a file of hosts.
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
    /// The name that was given, in the service's domain.
    base: OwnName,
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
        let base = if name.is_empty() {
            OwnName::new("coracle-", hex(&mut [0; 6], &[d, e, f]), SERVICE)
        } else {
            OwnName::new(name, "", SERVICE)
        };
        state.own.instance = base;
        state.own.host = OwnName::new("coracle-", hex(&mut [0; 12], &[a, b, c, d, e, f]), LOCAL);
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
            // Fails where the socket is open, or the port is 0: neither is so.
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
            self.send(to, now, socket);
        }
        if socket.can_recv() { Some(now) } else { self.state.deadline() }
    }

    /// Tells the others with the next poll that the server goes, for good or until it has restarted. Poll until [`Responder::is_silent`],
    /// and the interface once more, so that it leaves.
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
        self.state.own.instance.label()
    }

    /// Sends the message that is due.
    // Out of line, since its buffer is not to be on the stack in the owner's loop.
    #[inline(never)]
    fn send(&mut self, to: Destination, now: Instant, socket: &mut udp::Socket<'_>) {
        let to = match to {
            Destination::All => IpEndpoint::new(IpAddress::Ipv4(GROUP), PORT),
            Destination::One(host) => host,
        };
        // In a buffer of its own first: smoltcp writes in place only where its ring is not about to wrap, and does not rewind one
        // that is empty.
        let mut message = [0; Self::SEND_LEN];
        let len = self.state.write(&mut message, now);
        // Fails where the owner's ring is shorter than `SEND_LEN`: what is too long for it is not sent, as what a network loses.
        let _ = socket.send_slice(message.get(..len).unwrap_or_default(), to);
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

    #[inline(never)]
    fn heed(&mut self, packet: &[u8], from: IpEndpoint, now: Instant) {
        let is_own = self.address.is_some_and(|address| from.addr == IpAddress::Ipv4(address));
        let Some(message) = Message::parse(packet).filter(|_| !is_own) else { return };
        let heard = Heard::of(&message, from.port, &self.state.own);
        if let Some(number) = self.state.hear(heard, from, now) {
            self.state.own.instance = OwnName::new(self.base.label(), suffix(number, &mut [0; 6]), SERVICE);
        }
    }
}

/// What stands behind a name that another host has: a hyphen and the number. Without `core::fmt`, which takes more flash than the rest.
fn suffix(number: u16, buf: &mut [u8; 6]) -> &str {
    let (mut rest, mut begin) = (number, buf.len());
    for (at, place) in buf.iter_mut().enumerate().rev() {
        begin = at;
        if rest == 0 {
            *place = b'-';
            break;
        }
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    core::str::from_utf8(buf.get(begin..).unwrap_or_default()).unwrap_or_default()
}

/// The digits of `bytes`, as far as there is room.
fn hex<'a>(buf: &'a mut [u8], bytes: &[u8]) -> &'a str {
    for (at, place) in buf.iter_mut().enumerate() {
        let byte = bytes.get(at / 2).copied().unwrap_or(0);
        let nibble = if at % 2 == 0 { byte >> 4 } else { byte & 15 };
        *place = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    }
    core::str::from_utf8(buf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_stands_behind_a_hyphen() {
        for (number, text) in [(2, "-2"), (10, "-10"), (404, "-404"), (u16::MAX, "-65535")] {
            assert_eq!(super::suffix(number, &mut [0; 6]), text);
        }
    }
}
