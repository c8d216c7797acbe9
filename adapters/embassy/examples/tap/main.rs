//! Server and client on a TAP device of this PC, as on a board. As root:
//!
//!     ip tuntap add dev tap0 mode tap && ip address add 10.69.0.1/24 dev tap0 && ip link set tap0 up
//!     cargo run -p coracle-embassy --example tap -- tap0 serve &
//!     coracle get -r 10.69.0.2
//!
//! In place of `serve`, beside a server of this PC (`coracle serve --write --allow-plain-writes -l 10.69.0.1:8888`): `put FILE`, or
//! `follow NAME`. Before the device two files of `coracle key new`: `--keys KEY PSK`, for the encrypted channel.

mod client;
mod keys;

use client::Task;
use coracle_core::{ServerConfig, StaticFile, StaticStore};
use coracle_embassy::channel::ChannelBuffers;
use coracle_embassy::net::{Encrypted, Server};
use coracle_embassy::{Buffers, EmbassyClock};
use embassy_executor::Spawner;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_net_tuntap::TunTapDevice;
use keys::Keys;
use static_cell::StaticCell;

/// Four clients are served, a fifth is told `busy`.
const SOCKETS: usize = 5;

/// On one link a request takes no longer.
static CONFIG: ServerConfig<'static> = ServerConfig::new().with_busy_retry_ms(100).with_request_ms(2_000);
static KEYS: StaticCell<Keys> = StaticCell::new();
static SERVER: StaticCell<Server<'static, SOCKETS>> = StaticCell::new();
static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
static TEXT: [u8; 1 << 20] = [b'~'; 1 << 20];
static FILES: [StaticFile<'static>; 2] =
    [StaticFile::new("motd", "build-17", b"Mind the step.\n"), StaticFile::new("logs/large", "build-17", &TEXT)];

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, TunTapDevice>) -> ! {
    runner.run().await
}

#[embassy_executor::task(pool_size = SOCKETS)]
async fn serve(stack: Stack<'static>, server: &'static Server<'static, SOCKETS>, keys: Option<&'static Keys>) {
    let (mut received, mut to_send) = ([0; 1024], [0; 8192]);
    let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
    let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
    let mut store = StaticStore::new(&FILES);
    let Some(keys) = keys else {
        return server.serve(&mut socket, &mut store, buffers, &EmbassyClock, &mut ()).await;
    };
    let (mut receive, mut send) = ([0; 530], [0; 2048]);
    let encrypted = Encrypted { keys, buffers: ChannelBuffers::new(&mut receive[..], &mut send[..]) };
    server.serve_encrypted(&mut socket, &mut store, buffers, encrypted, &EmbassyClock, &mut ()).await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut keys = None;
    if arguments.next_if_eq("--keys").is_some() {
        let [key, psk] = [arguments.next(), arguments.next()].map(|path| path.expect("two files of keys"));
        keys = Some(&*KEYS.init(Keys::read(&key, &psk)));
    }
    let name = arguments.next().expect("an argument: the name of a TAP device");
    let device = TunTapDevice::new(&name).expect("a TAP device");
    let address = Ipv4Cidr::new(Ipv4Address::new(10, 69, 0, 2), 24);
    let config = Config::ipv4_static(StaticConfigV4 { address, gateway: None, dns_servers: Default::default() });
    let (stack, runner) = embassy_net::new(device, config, RESOURCES.init(StackResources::new()), 17);
    spawner.spawn(run_network(runner).expect("its only task"));
    let task = match (arguments.next().as_deref(), arguments.next()) {
        (Some("serve"), _) => {
            let server = SERVER.init(Server::new(&CONFIG, 8888));
            for _ in 0..SOCKETS {
                spawner.spawn(serve(stack, server, keys).expect("a task for each socket"));
            }
            return println!("listening on 10.69.0.2:8888");
        }
        (Some("put"), Some(name)) => Task::Put(name),
        (Some("follow"), Some(name)) => Task::Follow(name),
        _ => panic!("what to do behind the device's name: serve, put FILE, or follow NAME"),
    };
    spawner.spawn(client::run(stack, task, keys).expect("its only task"));
}
