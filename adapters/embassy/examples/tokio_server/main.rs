//! Serves a directory over tokio's sockets, all clients on one thread:
//!
//!     cargo run -p coracle-embassy --example tokio_server -- [--write] DIRECTORY 127.0.0.1:8888 &
//!     coracle get -r 127.0.0.1
//!
//! Four clients are served at a time, a fifth is told `busy`. With `--write` they may change what is there.

mod connection;

use std::error::Error;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Instant as Moment;

use connection::{TokioClock, serve_one};
use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};
use coracle_core::{RequestKind, ServerConfig};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

/// Clients that are served at a time.
const CLIENTS: usize = 4;
/// Bytes of a file that are read at a time: as many as a connection's buffer takes.
const SEND_MAX: NonZeroU32 = NonZeroU32::new(16 << 10).unwrap();
/// What is served to clients that read.
const READING: ServerConfig<'static> =
    ServerConfig::new().with_send_max(SEND_MAX).with_request_ms(2_000).with_busy_retry_ms(100).with_wait_max_ms(60_000);
/// The same for those that write.
const WRITING: ServerConfig<'static> = READING
    .with_offered(RequestKind::Put)
    .with_offered(RequestKind::Delete)
    .with_offered(RequestKind::Rename)
    .with_offered(RequestKind::MakeDir)
    .with_offered(RequestKind::Space);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, address, config) = match &arguments[..] {
        [directory, address] => (directory, address, READING),
        [word, directory, address] if word == "--write" => (directory, address, WRITING),
        _ => return Err("usage: tokio_server [--write] DIRECTORY ADDRESS:PORT".into()),
    };
    let store = WritableDirectoryStore::new(DirectoryStore::open(directory)?, WriteOptions::new())?;
    // Tasks outlive the function that spawns them, for all that the compiler knows.
    let store: &'static WritableDirectoryStore = Box::leak(Box::new(store));
    let clock = TokioClock(Moment::now());
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        // Each client that is served has one of its owners.
        let places = Rc::new(());
        loop {
            let (stream, _) = listener.accept().await?;
            let place = (Rc::strong_count(&places) <= CLIENTS).then(|| places.clone());
            spawn_local(serve_one(stream, store, config, clock, place));
        }
    })
}
