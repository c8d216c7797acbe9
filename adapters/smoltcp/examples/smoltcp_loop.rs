//! A server and a client on one smoltcp interface that receives what it sends; a board has a network device instead.

use coracle_core::{End, FileName, GetRequest, ServerConfig, StaticFile, StaticStore};
use coracle_smoltcp::{Fetch, Progress, Server, sink_fn};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Loopback, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
static CONFIG: ServerConfig<'static> = ServerConfig::new();

fn fetch() -> Vec<u8> {
    let mut device = Loopback::new(Medium::Ip);
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
    let address = IpAddress::v4(127, 0, 0, 1);
    interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address, 8)).expect("room for one"));

    let mut sockets = SocketSet::new(Vec::new());
    let mut socket = || -> SocketHandle {
        sockets.add(Socket::new(SocketBuffer::new(vec![0; 1024]), SocketBuffer::new(vec![0; 1024])))
    };
    let (slot, spare, client) = (socket(), socket(), socket());
    let mut server: Server<'_, StaticStore<'_>, 1> = Server::new();
    server.bind(&CONFIG, 8888, [slot], spare);
    let mut store = StaticStore::new(&FILES);

    let (mut now, mut buf, mut file) = (Instant::ZERO, [0; Fetch::BUF_LEN], Vec::new());
    let request = GetRequest::new(FileName::from_static("motd"));
    let mut fetch = Fetch::new(&request, (address, 8888).into(), client, 49152, &mut buf, now).expect("it fits");
    loop {
        interface.poll(now, &mut device, &mut sockets);
        server.poll(now, &mut sockets, &mut store, &mut ());
        let mut sink = sink_fn(|_offset, bytes: &[u8]| {
            file.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        let progress = fetch.poll(now, &mut interface, &mut sockets, &mut sink);
        drop(sink);
        match progress {
            Progress::Waiting(_) => now += Duration::from_millis(1), // a board sleeps until then, or until a frame arrives
            Progress::Done(End::Verified(_)) => return file,
            other => panic!("{other:?}"),
        }
    }
}

fn main() {
    print!("{}", String::from_utf8_lossy(&fetch()));
}

#[test]
fn fetches() {
    assert_eq!(fetch(), b"Mind the step.\n");
}
