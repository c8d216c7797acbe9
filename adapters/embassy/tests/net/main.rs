//! A server over the sockets of embassy-net, and clients of it, on a link in memory.

#[cfg(feature = "channel")]
mod channel;
mod link;
mod world;

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::LazyLock;

use coracle_core::exec::Sink;
use coracle_core::{
    ClientSession, Code, DigestKind, End, FileInfo, FileName, GetRequest, Listed, StaticFile, StaticStore, Store,
    StoreError,
};
use coracle_embassy::net::Server;
use coracle_embassy::{AsyncStore, Buffers, Client, ClientError, SharedStore, Transport};
use embassy_net::tcp::{State, TcpSocket};
use world::{TestClock, World, line, rest, run, send, wait_until};

const MOTD: &[u8] = b"{\"type\":\"get\",\"fileName\":\"motd\",\"digest\":\"none\"}\n";
const HELLO: &[u8] = b"{\"type\":\"hello\"}\n";

static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250).cycle().take(100_000).collect());
static FILES: LazyLock<[StaticFile<'static>; 2]> = LazyLock::new(|| {
    [StaticFile::new("motd", "build-17", b"Mind the step.\n"), StaticFile::new("logs/large", "build-17", &LARGE)]
});

fn store() -> StaticStore<'static> {
    StaticStore::new(&*FILES)
}

type NetClient = Client<[u8; 1024], [u8; 512], TcpSocket<'static>, TestClock>;

fn client<const SOCKETS: usize>(world: &World<SOCKETS>, socket: TcpSocket<'static>) -> NetClient {
    Client::new(ClientSession::new([0; 1024]), socket, [0; 512], world.clock.clone())
}

/// Collects a body; its first bytes may be there from an earlier attempt.
struct Memory(Vec<u8>);

impl Sink for Memory {
    type Error = Infallible;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
        assert_eq!(offset, self.0.len() as u64, "bytes come in order");
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Infallible> {
        let rest = &self.0[usize::try_from(offset).expect("short")..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// The store as one that is awaited.
struct Awaited(StaticStore<'static>);

impl AsyncStore for Awaited {
    type File = &'static StaticFile<'static>;
    type Listing = coracle_core::StaticListing<'static>;

    async fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        tokio::task::yield_now().await;
        Store::open(&mut self.0, name)
    }

    async fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        Store::info(&mut self.0, file)
    }

    async fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        tokio::task::yield_now().await;
        Store::read(&mut self.0, file, offset, buf)
    }

    async fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        Store::list(&mut self.0, path)
    }

    async fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        Store::next(&mut self.0, listing)
    }
}

/// A file that ends before its announced size.
struct Shrunk(StaticStore<'static>);

impl Store for Shrunk {
    type File = &'static StaticFile<'static>;
    type Listing = coracle_core::StaticListing<'static>;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        Store::open(&mut self.0, name)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        Store::info(&mut self.0, file)
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        if offset >= 50_000 { Ok(0) } else { Store::read(&mut self.0, file, offset, buf) }
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        Store::list(&mut self.0, path)
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        Store::next(&mut self.0, listing)
    }
}

async fn fetches_all(world: World<2>) {
    fetches(&mut client(&world, world.connect().await)).await;
}

async fn fetches<T: Transport<Error: Debug + PartialEq>>(client: &mut Client<[u8; 1024], [u8; 512], T, TestClock>) {
    let mut names = Vec::new();
    let listing = client.list(None, |entry| {
        names.push(entry.name.as_str().to_owned());
        Ok::<(), Infallible>(())
    });
    listing.await.expect("listed");
    assert_eq!(names, ["motd", "logs"]);

    let name = FileName::from_static("logs/large");
    let header = client.stat(name, Some(DigestKind::Sha256)).await.expect("there");
    assert_eq!(header.size, 100_000);
    let mut whole = Memory(Vec::new());
    let end = client.get(&GetRequest::new(name), &mut whole).await.expect("fetched");
    assert!(matches!(end, End::Verified(verified) if verified.is_whole()));
    assert!(whole.0 == *LARGE);

    // The rest of a file, with a digest of all of it.
    let mut resumed = Memory(LARGE[..60_001].to_vec());
    let request = GetRequest::new(name).with_offset(60_001).with_digest_from(Some(0));
    let end = client.get(&request, &mut resumed).await.expect("fetched");
    assert!(matches!(end, End::Verified(verified) if verified.is_whole()));
    assert!(resumed.0 == *LARGE);

    let missing = client.stat(FileName::from_static("gone"), None).await;
    assert_eq!(missing.expect_err("it is not there"), ClientError::Refused(Some(Code::NotFound)));
    assert!(client.is_idle());
}

#[test]
fn a_client_lists_stats_fetches_and_resumes() {
    run(async { fetches_all(World::new(store)).await });
}

#[test]
fn a_store_may_have_to_be_awaited() {
    run(async { fetches_all(World::new(|| Awaited(store()))).await });
}

#[test]
fn four_clients_are_served_and_a_fifth_is_told_busy() {
    run(async { serves_four(World::new(store)).await });
}

/// All sockets are served by one task, from one store.
#[test]
fn one_task_serves_as_many() {
    run(async {
        let shared: &RefCell<_> = Box::leak(Box::new(RefCell::new(store())));
        serves_four(World::joined(|| SharedStore::new(shared))).await;
    });
}

async fn serves_four(world: World<5>) {
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut socket = world.connect().await;
        send(&mut socket, MOTD).await;
        line(&mut socket).await;
        clients.push(socket);
    }
    let mut fifth = world.connect().await;
    let (said, is_reset) = rest(&mut fifth).await;
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains(r#""code":"busy""#) && said.contains(r#""retry_ms":250"#) && !is_reset, "{said}");
    fifth.close();

    // A place is free when its client has left.
    clients[2].close();
    assert!(!rest(&mut clients[2]).await.1);
    wait_until(|| world.server.live() == 3).await;
    let mut next = world.connect().await;
    send(&mut next, HELLO).await;
    assert!(line(&mut next).await.starts_with(r#"{"type":"hello""#));
}

#[test]
fn a_client_that_says_nothing_makes_room() {
    run(async {
        let world = World::<2>::new(store);
        let mut silent = world.connect().await;
        wait_until(|| world.server.live() == 1).await;
        // It has a second.
        world.clock.advance(1_000);
        let mut early = world.connect().await;
        assert!(String::from_utf8_lossy(&rest(&mut early).await.0).contains("busy"));
        early.close();
        wait_until(|| early.state() == State::Closed || early.state() == State::TimeWait).await;
        world.clock.advance(1);
        let mut next = world.connect().await;
        send(&mut next, HELLO).await;
        assert!(line(&mut next).await.starts_with(r#"{"type":"hello""#));
        assert_eq!(rest(&mut silent).await, (Vec::new(), true));

        // One that has asked keeps its place.
        world.clock.advance(5_000);
        let mut late = world.connect().await;
        assert!(String::from_utf8_lossy(&rest(&mut late).await.0).contains("busy"));
    });
}

#[test]
fn a_body_that_cannot_be_finished_is_reset() {
    run(async {
        let world = World::<2>::new(|| Shrunk(store()));
        let mut socket = world.connect().await;
        send(&mut socket, b"{\"type\":\"get\",\"fileName\":\"logs/large\",\"digest\":\"none\"}\n").await;
        line(&mut socket).await;
        let (body, is_reset) = rest(&mut socket).await;
        assert!(is_reset && body.len() <= 50_000 && LARGE.starts_with(&body), "{} bytes", body.len());
        // The socket is used again.
        let mut next = world.connect().await;
        send(&mut next, MOTD).await;
        assert!(line(&mut next).await.contains("motd"));
    });
}

#[test]
fn a_refused_client_reads_why_though_it_goes_on_sending() {
    run(async {
        let world = World::<2>::new(store);
        let mut socket = world.connect().await;
        send(&mut socket, &[b"no json\n".as_slice(), &[b'x'; 3_000]].concat()).await;
        let (said, is_reset) = rest(&mut socket).await;
        assert!(String::from_utf8_lossy(&said).contains("badRequest") && !is_reset, "{}", said.escape_ascii());
        socket.close();
        let mut next = world.connect().await;
        send(&mut next, HELLO).await;
        line(&mut next).await;
    });
}

#[test]
fn deadlines_are_kept() {
    run(async {
        let world = World::<2>::new(store);
        let mut idle = world.connect().await;
        send(&mut idle, HELLO).await;
        line(&mut idle).await;
        world.clock.advance(60_000);
        assert_eq!(rest(&mut idle).await, (Vec::new(), false));
        idle.close();
        wait_until(|| world.server.live() == 0).await;

        // Half a request.
        let mut slow = world.connect().await;
        send(&mut slow, b"{\"type\":").await;
        wait_until(|| world.server.live() == 1).await;
        wait_until(|| slow.send_queue() == 0).await;
        world.clock.advance(10_000);
        let said = rest(&mut slow).await.0;
        assert!(String::from_utf8_lossy(&said).contains("timeout"), "{}", said.escape_ascii());
        slow.close();

        // A client that reads nothing.
        let mut stalled = world.connect().await;
        send(&mut stalled, b"{\"type\":\"get\",\"fileName\":\"logs/large\"}\n").await;
        wait_until(|| stalled.recv_queue() == 4096).await;
        world.clock.advance(30_000);
        wait_until(|| !stalled.may_send()).await;
        assert!(rest(&mut stalled).await.1);
    });
}

#[test]
fn a_server_stops_gracefully() {
    run(async {
        let mut world = World::<3>::new(store);
        let mut waiting = world.connect().await;
        send(&mut waiting, HELLO).await;
        line(&mut waiting).await;
        world.server.stop();
        let (said, is_reset) = rest(&mut waiting).await;
        assert!(String::from_utf8_lossy(&said).contains("shuttingDown") && !is_reset, "{}", said.escape_ascii());
        waiting.close();
        for task in world.tasks.drain(..) {
            task.await.expect("it ends");
        }
        assert_eq!(world.server.live(), 0);
    });
}

/// What a task takes beside its session, where pointers have 64 bits: that of a session over a stream, and the socket's own. Here it
/// holds twice what the core of a server on a PC knows of a file, which is more than the 104 bytes of a board.
#[test]
fn the_future_is_small() {
    let [(stack, _), _] = link::hosts();
    let server: Server<'_, 5> = Server::new(&world::CONFIG, world::PORT);
    let (mut received, mut to_send) = ([0; 512], [0; 2048]);
    let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
    let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
    let (mut store, clock, mut observer) = (store(), coracle_embassy::EmbassyClock, ());
    let size = size_of_val(&server.serve(&mut socket, &mut store, buffers, &clock, &mut observer));
    let session = size_of::<coracle_core::ServerSession<'static, [u8; 512]>>();
    println!("{size} bytes, {session} of them the session");
    let more = 2 * (size_of::<coracle_core::FileInfo>() - 104);
    assert!(size <= session + 640 + more, "{size} bytes");
}
