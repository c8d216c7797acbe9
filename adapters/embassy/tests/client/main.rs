//! The client against the server for PCs, over the loopback interface.

mod follow;
mod put;
mod scripted;
#[path = "../sockets/socket.rs"]
mod socket;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant as Moment};

use coracle::server::{Event, Server};
use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};
use coracle_core::ClientSession;
use coracle_embassy::{Client, Stream};
use embedded_io_adapters::tokio_1::FromTokio;
use socket::{Socket, TokioClock};
use tokio::net::TcpStream;

type TestClient = Client<[u8; 1024], [u8; 512], Stream<Socket>, TokioClock>;

/// Runs `test`, which ends.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test ends");
    });
}

/// Runs `test` beside a server of `directory` that clients may write to.
fn with_server<F: Future<Output = ()>>(directory: &Path, test: impl FnOnce(SocketAddr) -> F) {
    let live = AtomicUsize::new(0);
    let store = DirectoryStore::open(directory).expect("a directory");
    let store = WritableDirectoryStore::new(store, WriteOptions::new()).expect("it can be read");
    let server = Server::writable(&store).with_address("127.0.0.1:0".parse().expect("an address"));
    let server = server.with_observer(|event: &Event<'_>| {
        match event {
            Event::Connected { .. } => live.fetch_add(1, Ordering::Relaxed),
            Event::Disconnected { .. } => live.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    });
    let server = server.bind().expect("a free port");
    let (address, handle) = (server.addresses()[0], server.handle());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| server.run());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(test(address));
        }));
        // Connections that were dropped have ended.
        while outcome.is_ok() && live.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        handle.stop();
        running.join().expect("no panic").expect("served");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// A connection that breaks after `left` bytes were written to it.
async fn connect(address: SocketAddr, left: usize) -> TestClient {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let socket = Socket { stream: FromTokio::new(stream), left };
    Client::new(ClientSession::new([0; 1024]), Stream(socket), [0; 512], TokioClock(Moment::now()))
}
