//! A file server and client on a small board, as a product would build it on the protocol's crates.
#![no_std]
#![no_main]

#[cfg(feature = "mdns")]
mod announce;
mod boot_log;
mod clock;
mod config;
mod fault;
mod files;
#[cfg(feature = "slots")]
mod flash_time;
mod hardware;
#[cfg(feature = "channel")]
mod keys;
mod lan9118;
#[cfg(feature = "media")]
mod media;
mod network;
#[cfg(feature = "slots")]
mod rules;
#[cfg(feature = "signed")]
mod signature;
#[cfg(feature = "slots")]
mod slots;
mod status;
mod watchdog;
mod watcher;

use core::cell::RefCell;
use core::num::NonZeroU32;

use boot_log::Line;
use clock::Clock;
use config::{Arguments, Configurator, Settings};
use coracle_core::{ServerConfig, ServerName};
use coracle_smoltcp::Fetch;
use defmt_semihosting as _;
use files::Files;
use hardware::Board;
use lan9118::Lan9118;
use network::Network;
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use static_cell::{ConstStaticCell, StaticCell};
use status::Shared;
use watchdog::Watchdog;
use watcher::Watcher;

/// The protocol's default port.
const PORT: u16 = 8888;
/// Clients served at once.
const SESSIONS: usize = 4;
/// Length of a receive buffer: enough for the longest request, and where clients write for two segments, since a shorter window
/// makes them send shorter ones.
const RECEIVE_LEN: usize = if cfg!(feature = "slots") { 2_920 } else { 512 };
/// Length of a transmit buffer: the maximum sent in a round trip.
const SEND_LEN: usize = 4_096;

#[cfg(feature = "slots")]
use slots::BoardServer;
/// The server.
#[cfg(not(feature = "slots"))]
type BoardServer<const N: usize> = coracle_smoltcp::Server<'static, Files<'static>, N>;

/// Maximum size of a session, without its socket's buffers, in bytes.
const SESSION_BUDGET: usize = if cfg!(feature = "media") {
    3_584
} else if cfg!(feature = "channel") {
    2_816
} else if cfg!(feature = "slots") {
    2_048
} else {
    1_536
};
const _: () = assert!(size_of::<BoardServer<SESSIONS>>() / (SESSIONS + 1) <= SESSION_BUDGET);

/// Maximum number of bytes read from the store at once: the length of a transmit buffer.
const SEND_MAX: NonZeroU32 = NonZeroU32::new(SEND_LEN as u32).unwrap();

/// How long a client waits at most for a line in the log, in milliseconds.
const WAIT_MAX_MS: u32 = 60_000;

/// When clients come again that find all sessions taken, in milliseconds: most connections are short.
const BUSY_RETRY_MS: u32 = 2_000;

/// The sockets of the sessions, the spare that tells `busy`, the board's own as a client, DHCP's, and that of multicast DNS.
const SOCKET_COUNT: usize = SESSIONS + 3 + cfg!(feature = "mdns") as usize;
static SOCKETS: ConstStaticCell<[SocketStorage<'static>; SOCKET_COUNT]> =
    ConstStaticCell::new([SocketStorage::EMPTY; SOCKET_COUNT]);
static RINGS: ConstStaticCell<[([u8; RECEIVE_LEN], [u8; SEND_LEN]); SESSIONS + 1]> =
    ConstStaticCell::new([([0; RECEIVE_LEN], [0; SEND_LEN]); SESSIONS + 1]);
static CLIENT_RINGS: ConstStaticCell<([u8; 1_024], [u8; 512])> = ConstStaticCell::new(([0; 1_024], [0; 512]));
static SHARED: ConstStaticCell<RefCell<Shared>> = ConstStaticCell::new(RefCell::new(Shared::new()));
static SETTINGS: ConstStaticCell<Settings> = ConstStaticCell::new(Settings::new());
static CONFIGURATOR: StaticCell<Configurator> = StaticCell::new();
static FETCH_BUF: ConstStaticCell<[u8; Fetch::BUF_LEN]> = ConstStaticCell::new([0; Fetch::BUF_LEN]);
static CONFIG: StaticCell<ServerConfig<'static>> = StaticCell::new();
#[cfg(feature = "slots")]
static STORE: StaticCell<slots::ServedStore> = StaticCell::new();
static SERVER: ConstStaticCell<BoardServer<SESSIONS>> = ConstStaticCell::new(BoardServer::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(mut board) = Board::take() else { panic!("main runs once") };
    board.start_ticks();
    let mut clock = Clock::new(board.counters);
    let mut watchdog = Watchdog::start(board.watchdog);
    let arguments = Arguments::read();
    let boot = unique_number();

    let mut sockets = SocketSet::new(&mut SOCKETS.take()[..]);
    let started = Lan9118::start(board.ethernet)
        .and_then(|device| Network::start(device, &mut sockets, arguments.use_dhcp, boot));
    let network = match started {
        Ok(network) => network,
        Err(error) => defmt::panic!("ethernet: {}", error),
    };
    let shared: &'static RefCell<Shared> = SHARED.take();
    let settings = SETTINGS.take();

    #[cfg(feature = "slots")]
    let updates = slots::Updates::open();
    if arguments.fails_to_start {
        fault::provoke(fault::Reason::Watchdog);
    }
    #[cfg(feature = "slots")]
    let has_config = updates.load_config(settings);
    #[cfg(feature = "slots")]
    let arguments = Arguments { server: arguments.server.filter(|_| !has_config), ..arguments };

    #[cfg(feature = "mdns")]
    network.fix_address(arguments.address);
    configure(&arguments, &mut clock, &mut watchdog, network, &mut sockets, settings);

    let settings: &'static Settings = settings;
    let name = match ServerName::new(settings.name()) {
        Ok(name) => name,
        Err(_) => defmt::panic!("a name that is no name was applied"),
    };
    let config = ServerConfig::new()
        .with_name(name)
        .with_idle_ms(settings.idle_ms)
        .with_send_max(SEND_MAX)
        .with_busy_retry_ms(BUSY_RETRY_MS)
        .with_wait_max_ms(WAIT_MAX_MS)
        .with_absolute(true);
    #[cfg(feature = "slots")]
    let config = slots::Updates::offer(config);
    #[cfg(feature = "channel")]
    let config = config.with_permits(true);
    let config: &'static ServerConfig<'static> = CONFIG.init(config);
    let mut rings = RINGS.take().iter_mut().map(|(receive, send)| add_socket(&mut sockets, receive, send));
    let spare = rings.next();
    let handles = core::array::from_fn(|_| rings.next());
    let (Some(spare), [Some(a), Some(b), Some(c), Some(d)]) = (spare, handles) else {
        panic!("there are rings for every socket")
    };
    let server = SERVER.take();
    server.bind(config, PORT, [a, b, c, d], spare);
    let files = Files::new(shared, settings.name(), arguments.has_made, boot);
    #[cfg(not(feature = "slots"))]
    let (store, mut watcher) = (&mut { files }, Watcher::new(shared, SESSIONS));
    #[cfg(feature = "channel")]
    let (trust, mut keys) = keys::open(updates.flash());
    #[cfg(feature = "channel")]
    let store = open_store(updates, files, &arguments, |store| keys::KeyedStore::new(store, trust));
    #[cfg(all(feature = "slots", not(feature = "channel")))]
    let store = open_store(updates, files, &arguments, |store| store);
    #[cfg(feature = "slots")]
    let mut watcher = Watcher::new(shared, SESSIONS, updates);
    #[cfg(feature = "channel")]
    watcher.ask(trust);
    note_start(shared, clock.millis(), settings);
    #[cfg(feature = "slots")]
    updates.note_start(shared, clock.millis());
    let mut is_announced = false;
    #[cfg(feature = "mdns")]
    let (responder, mut is_found) = (announce::start(arguments.name_or(settings), PORT, network, &mut sockets), false);
    let mut log_end = 0;
    loop {
        watchdog.feed();
        let now_ms = clock.millis();
        shared.borrow_mut().now_ms = now_ms;
        let (began, frames) = (clock.ticks(), network.device.frames);
        let mut is_busy = network.poll(now_ms, &mut sockets);
        let now = network::instant(now_ms);
        #[cfg(not(feature = "channel"))]
        let next = server.poll(now, &mut sockets, store, &mut watcher);
        #[cfg(feature = "channel")]
        keys.refresh();
        #[cfg(feature = "channel")]
        let next = server.poll_encrypted(now, &mut sockets, store, &mut watcher, &mut keys);
        let is_serving = next.is_some_and(|next| next <= now);
        #[cfg(all(feature = "mdns", feature = "slots"))]
        if updates.is_restarting() {
            announce::stop(responder);
        }
        #[cfg(feature = "mdns")]
        announce::poll(responder, &mut is_found, now_ms, network, &mut sockets);
        is_busy |= network.flush(now_ms, &mut sockets) | is_serving;
        // Clients that wait for the log are answered in the next round.
        if shared.borrow().log.end() != log_end {
            log_end = shared.borrow().log.end();
            server.look_again(now);
            is_busy = true;
        }
        if is_serving || network.device.frames != frames {
            shared.borrow_mut().busy_ticks += clock.ticks() - began;
        }
        #[cfg(feature = "slots")]
        updates.poll(now_ms);
        if !is_announced {
            is_announced = true;
            defmt::info!("listening on port {=u16}", PORT);
            if let Some(reason) = arguments.fail {
                fault::provoke(reason);
            }
        }
        hardware::sleep_unless(|| is_busy || network.device.has_frame());
    }
}

/// What clients read and write.
// Not inlined, and not on the stack of `main`: that is below everything that the board does.
#[cfg(feature = "slots")]
#[inline(never)]
fn open_store(
    updates: &slots::Updates,
    files: Files<'static>,
    arguments: &Arguments,
    complete: impl FnOnce(slots::BoardStore) -> slots::ServedStore,
) -> &'static mut slots::ServedStore {
    STORE.init_with(|| complete(updates.store(files, arguments)))
}

/// Waits for an address, and fetches the configuration from the PC.
// Not inlined, so that it takes no stack while the board serves.
#[inline(never)]
fn configure(
    arguments: &Arguments,
    clock: &mut Clock,
    watchdog: &mut Watchdog,
    network: &mut Network,
    sockets: &mut SocketSet<'static>,
    settings: &mut Settings,
) {
    let (receive, send) = CLIENT_RINGS.take();
    let client = add_socket(sockets, receive, send);
    let configurator = CONFIGURATOR.init_with(|| Configurator::new(FETCH_BUF.take()));
    loop {
        watchdog.feed();
        let now_ms = clock.millis();
        let mut is_busy = network.poll(now_ms, sockets);
        if network.has_address() {
            let Some(server) = arguments.server else { return };
            if configurator.poll(now_ms, server, client, network, sockets, settings) {
                return;
            }
        }
        is_busy |= network.flush(now_ms, sockets);
        hardware::sleep_unless(|| is_busy || network.device.has_frame());
    }
}

#[inline(never)]
fn add_socket(sockets: &mut SocketSet<'static>, receive: &'static mut [u8], send: &'static mut [u8]) -> SocketHandle {
    sockets.add(tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send)))
}

/// A number unique to this start: here from the PC, in a product from a counter in flash or a source of noise.
#[inline(never)]
fn unique_number() -> u64 {
    let mut bytes = [0; 8];
    if semihosting::experimental::random::fill_bytes(&mut bytes).is_err() {
        defmt::panic!("no random numbers: versions of files could repeat");
    }
    u64::from_le_bytes(bytes)
}

#[inline(never)]
fn note_start(shared: &RefCell<Shared>, now_ms: u64, settings: &Settings) {
    let shared = &mut *shared.borrow_mut();
    let name = if settings.name().is_empty() { "(none)" } else { settings.name() };
    shared.log.append(Line::at(now_ms).text("started, name ").text(name));
    let idle_ms = settings.idle_ms.into();
    shared.log.append(Line::at(now_ms).text("serving on port ").number(PORT.into()).text(", idle_ms ").number(idle_ms));
}
