//! Being found in the local network by a name.

use coracle_smoltcp::Responder;
use smoltcp::iface::SocketSet;
use smoltcp::socket::udp;
use smoltcp::wire::HardwareAddress;
use static_cell::{ConstStaticCell, StaticCell};

use crate::network::{self, Network};

/// Packets that wait to be heeded, in number and bytes: further ones are lost, and asked again.
const PACKETS: usize = 4;
const RECEIVE_LEN: usize = 2 * Responder::RECEIVE_LEN;

/// What is known of packets that wait. Apart from their bytes, which are zero at the start and take no flash.
type Metadata<const N: usize> = ConstStaticCell<[udp::PacketMetadata; N]>;

static RECEIVED: ConstStaticCell<[u8; RECEIVE_LEN]> = ConstStaticCell::new([0; RECEIVE_LEN]);
static RECEIVED_FROM: Metadata<PACKETS> = ConstStaticCell::new([udp::PacketMetadata::EMPTY; PACKETS]);
static SENT: ConstStaticCell<[u8; Responder::SEND_LEN]> = ConstStaticCell::new([0; Responder::SEND_LEN]);
static SENT_TO: Metadata<1> = ConstStaticCell::new([udp::PacketMetadata::EMPTY; 1]);
static RESPONDER: StaticCell<Responder> = StaticCell::new();

/// Announces the board, by what it is called or, if it has no name, by the end of its Ethernet address.
///
/// # Panics
///
/// If called twice, since the board has one network.
// Not inlined, so that the responder is built on the stack once only.
#[inline(never)]
pub fn start(name: &str, port: u16, network: &mut Network, sockets: &mut SocketSet<'static>) -> &'static mut Responder {
    let HardwareAddress::Ethernet(address) = network.interface.hardware_addr();
    let received = udp::PacketBuffer::new(&mut RECEIVED_FROM.take()[..], &mut RECEIVED.take()[..]);
    let sent = udp::PacketBuffer::new(&mut SENT_TO.take()[..], &mut SENT.take()[..]);
    let socket = sockets.add(udp::Socket::new(received, sent));
    let responder = RESPONDER.init(Responder::new(name, address.0, port));
    if responder.bind(&mut network.interface, socket).is_err() {
        defmt::error!("no room for a multicast group: the board cannot be found");
    }
    responder
}

/// Tells the others that the board goes, since it is about to restart.
#[cfg(feature = "put")]
pub fn stop(responder: &mut Responder) {
    if responder.is_established() {
        responder.stop();
    }
}

/// Answers who asks, and says once by which name the board can be found.
pub fn poll(
    responder: &mut Responder,
    is_told: &mut bool,
    now_ms: u64,
    network: &Network,
    sockets: &mut SocketSet<'static>,
) {
    responder.poll(network::instant(now_ms), &network.interface, sockets);
    if responder.is_established() && !*is_told {
        *is_told = true;
        defmt::info!("announced as {=str}", responder.name());
    }
}
