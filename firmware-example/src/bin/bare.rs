//! Baseline for the server: sends `image.bin` over a bare smoltcp socket, with the same driver, loop and buffers, and prints
//! how long that took.
#![no_std]
#![no_main]
// It uses only a part of the firmware's modules.
#![allow(dead_code, unused_imports)]

#[path = "../board/mod.rs"]
mod board;
#[path = "../clock.rs"]
mod clock;
#[path = "../fault.rs"]
mod fault;
#[path = "../network.rs"]
mod network;

use board::{Board, Ethernet};
use clock::Clock;
use defmt_semihosting as _;
use network::Network;
use smoltcp::iface::{SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use static_cell::ConstStaticCell;

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image.bin"));
/// What the server sends before and after the file: the same bytes, so that they are copied at the same cost.
static HEADER: &[u8] = concat!(
    r#"{"type":"file","fileName":"image.bin","fileSize":1048576,"offset":0,"length":1048576,"chunkSize":1024,"#,
    r#""readCnt":1024,"lastSize":1024,"version":"sha256-1639fbbaeb99ef8b","digest":"none"}"#,
    "\n"
)
.as_bytes();
static TRAILER: &[u8] = b"{\"type\":\"end\"}\n";
static SOCKETS: ConstStaticCell<[SocketStorage<'static>; 2]> = ConstStaticCell::new([SocketStorage::EMPTY; 2]);
static RINGS: ConstStaticCell<([u8; 512], [u8; 4_096])> = ConstStaticCell::new(([0; 512], [0; 4_096]));

#[board::entry]
fn main() -> ! {
    let Some(mut board) = Board::take() else { panic!("main runs once") };
    board.start_ticks();
    let mut clock = Clock::new(board.counter);
    let mut sockets = SocketSet::new(&mut SOCKETS.take()[..]);
    let started =
        Ethernet::start(board.ethernet).and_then(|device| Network::start(device, &mut sockets, true, clock.ticks()));
    let Ok(network) = started else { panic!("there is an Ethernet controller") };
    let (receive, send) = RINGS.take();
    let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(&mut receive[..]), tcp::SocketBuffer::new(&mut send[..]));
    socket.set_nagle_enabled(false);
    let handle = sockets.add(socket);
    let (mut sent, mut busy_ticks, mut is_announced) = (0, 0, false);
    loop {
        let now_ms = clock.millis();
        let (began, frames) = (clock.ticks(), network.device.frames);
        let mut is_busy = network.poll(now_ms, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket>(handle);
        while socket.can_send()
            && let Some(rest) = rest(sent)
        {
            let copied = socket.send(|ring| {
                let len = ring.len().min(rest.len());
                ring[..len].copy_from_slice(&rest[..len]);
                (len, len)
            });
            sent += copied.unwrap_or(0);
        }
        if rest(sent).is_none() {
            socket.close();
        }
        is_busy |= network.flush(now_ms, &mut sockets);
        if network.device.frames != frames {
            busy_ticks += clock.ticks() - began;
        }
        let socket = sockets.get_mut::<tcp::Socket>(handle);
        if !socket.is_open() {
            if sent > 0 {
                defmt::info!("sent {=usize} bytes in {=u64} ticks", sent, busy_ticks);
            }
            (sent, busy_ticks) = (0, 0);
            if socket.listen(8888).is_err() {
                panic!("a closed socket can listen");
            }
        }
        if network.has_address() && !is_announced {
            is_announced = true;
            defmt::info!("listening on port 8888");
        }
        board::sleep_unless(|| is_busy || network.device.has_frame());
    }
}

/// What follows the first `sent` bytes, up to the end of a part.
fn rest(mut sent: usize) -> Option<&'static [u8]> {
    for part in [HEADER, IMAGE, TRAILER] {
        if sent < part.len() {
            return part.get(sent..);
        }
        sent -= part.len();
    }
    None
}
