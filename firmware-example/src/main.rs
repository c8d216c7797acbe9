//! A file server and client on a small board: what a product would do, on the protocol's crates.
#![no_std]
#![no_main]

mod clock;
mod fault;
mod hardware;
mod lan9118;
mod network;
mod watchdog;

use clock::Clock;
use defmt_semihosting as _;
use hardware::Board;
use lan9118::Lan9118;
use network::Network;
use smoltcp::iface::{SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use static_cell::ConstStaticCell;
use watchdog::Watchdog;

static SOCKETS: ConstStaticCell<[SocketStorage<'static>; 8]> = ConstStaticCell::new([SocketStorage::EMPTY; 8]);
static RECEIVE: ConstStaticCell<[u8; 2048]> = ConstStaticCell::new([0; 2048]);
static SEND: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(mut board) = Board::take() else { panic!("main runs once") };
    board.start_ticks();
    let mut clock = Clock::new(board.counters);
    let mut watchdog = Watchdog::start(board.watchdog);
    let mut seed = [0; 8];
    if semihosting::experimental::random::fill_bytes(&mut seed).is_err() {
        defmt::warn!("no random numbers");
    }
    let mut sockets = SocketSet::new(&mut SOCKETS.take()[..]);
    let started = Lan9118::start(board.ethernet)
        .and_then(|device| Network::start(device, &mut sockets, true, u64::from_le_bytes(seed)));
    let mut network = match started {
        Ok(network) => network,
        Err(error) => defmt::panic!("ethernet: {}", error),
    };
    let echo = sockets.add(tcp::Socket::new(
        tcp::SocketBuffer::new(&mut RECEIVE.take()[..]),
        tcp::SocketBuffer::new(&mut SEND.take()[..]),
    ));
    let mut told = false;
    loop {
        watchdog.feed();
        let now_ms = clock.millis();
        let busy = network.poll(now_ms, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket>(echo);
        if !socket.is_open() && socket.listen(8888).is_ok() && network.has_address() {
            told = false;
        }
        if network.has_address() && !told {
            told = true;
            let stack = hardware::stack_use();
            defmt::info!("listening on port 8888, stack {=usize} of {=usize}", stack.high_water, stack.size);
        }
        let mut moved = 0;
        if socket.can_recv() && socket.can_send() {
            let mut some = [0; 256];
            let len = socket.recv_slice(&mut some[..]).unwrap_or(0);
            moved = socket.send_slice(&some[..len]).unwrap_or(0);
        }
        if !socket.may_recv() && socket.may_send() {
            socket.close();
        }
        hardware::sleep_unless(|| busy || moved > 0 || network.device.has_frame());
    }
}
