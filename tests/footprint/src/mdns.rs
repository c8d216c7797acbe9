//! An interface whose frames come from the register, and a UDP socket on it that hears multicast DNS.

#[cfg(not(feature = "mdns-absent"))]
use coracle_smoltcp::Responder;
use smoltcp::iface::{Config, Interface, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::udp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address, Ipv4Cidr};
#[cfg(feature = "mdns-absent")]
use smoltcp::wire::{IpAddress, IpEndpoint};

use crate::board::{input, output, receive, send};

#[cfg(not(feature = "mdns-absent"))]
#[used]
#[unsafe(link_section = ".sizes")]
static RESPONDER_SIZE: [u8; size_of::<Responder>()] = [0; size_of::<Responder>()];

const FRAME_LEN: usize = 1_514;
const PACKET_LEN: usize = 640;

pub fn run() {
    let mac = [(); 6].map(|()| input() as u8);
    let mut device = Ethernet;
    let mut interface = Interface::new(Config::new(EthernetAddress(mac).into()), &mut device, now());
    let mut storage = [SocketStorage::EMPTY];
    let mut sockets = SocketSet::new(&mut storage[..]);
    let (mut heard, mut said) = ([0; 2 * FRAME_LEN], [0; PACKET_LEN]);
    let (mut heard_from, mut said_to) = ([udp::PacketMetadata::EMPTY; 4], [udp::PacketMetadata::EMPTY]);
    let heard = udp::PacketBuffer::new(&mut heard_from[..], &mut heard[..]);
    let said = udp::PacketBuffer::new(&mut said_to[..], &mut said[..]);
    let handle = sockets.add(udp::Socket::new(heard, said));
    #[cfg(not(feature = "mdns-absent"))]
    let mut responder = {
        let mut name = [0; 64];
        let mut responder = Responder::new(core::str::from_utf8(receive(&mut name)).unwrap_or(""), mac, input() as u16);
        output(u32::from(responder.bind(&mut interface, handle).is_ok()));
        responder
    };
    #[cfg(feature = "mdns-absent")]
    {
        let mut name = [0; 64];
        send(core::str::from_utf8(receive(&mut name)).unwrap_or("").as_bytes());
        output(u32::from(interface.join_multicast_group(GROUP).is_ok()));
    }
    loop {
        interface.update_ip_addrs(|addresses| {
            addresses.clear();
            let pushed = addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Address::from(input()), 24)));
            output(u32::from(pushed.is_ok()));
        });
        interface.poll(now(), &mut device, &mut sockets);
        #[cfg(not(feature = "mdns-absent"))]
        {
            let next = responder.poll(now(), &interface, &mut sockets);
            output(next.map_or(0, |next| next.total_micros() as u32));
            output(u32::from(responder.is_established()) ^ u32::from(responder.is_silent()));
            send(responder.name().as_bytes());
            if input() == 0 {
                responder.stop();
            }
        }
        #[cfg(feature = "mdns-absent")]
        poll(&interface, sockets.get_mut::<udp::Socket>(handle));
    }
}

#[cfg(feature = "mdns-absent")]
const GROUP: IpAddress = IpAddress::v4(224, 0, 0, 251);

/// The socket's calls.
#[cfg(feature = "mdns-absent")]
fn poll(interface: &Interface, socket: &mut udp::Socket<'_>) {
    if !socket.is_open() {
        output(u32::from(socket.bind(input() as u16).is_ok()));
        socket.set_hop_limit(Some(255));
    }
    output(interface.ipv4_addr().map_or(0, Ipv4Address::to_bits));
    if let Ok((packet, from)) = socket.recv() {
        send(packet);
        output(u32::from(from.endpoint.port));
    }
    if socket.send_queue() == 0 {
        let mut message = [0; PACKET_LEN];
        let message = receive(&mut message);
        output(u32::from(socket.send_slice(message, IpEndpoint::new(GROUP, 5353)).is_ok()));
    }
    output(u32::from(socket.can_recv()));
}

fn now() -> Instant {
    Instant::from_millis(i64::from(input()))
}

/// Frames that come from the register, and go there.
struct Ethernet;
struct Frame;

impl Device for Ethernet {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Frame;

    fn receive(&mut self, _: Instant) -> Option<(Frame, Frame)> {
        (input() == 0).then_some((Frame, Frame))
    }

    fn transmit(&mut self, _: Instant) -> Option<Frame> {
        (input() == 0).then_some(Frame)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ethernet, FRAME_LEN);
        capabilities
    }
}

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let mut frame = [0; FRAME_LEN];
        take(receive(&mut frame))
    }
}

impl TxToken for Frame {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = [0; FRAME_LEN];
        let frame = &mut frame[..len.min(FRAME_LEN)];
        let result = write(frame);
        send(frame);
        result
    }
}
