//! The core allocates no memory. Names begin with the number in tests/FAULTS.md.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use coracle_core::{
    Action, ClientAction, ClientEvent, ClientRequest, ClientSession, DigestKind, End, FileName, Finished, GetRequest,
    Hasher, Instant, Reply, Request, ServerConfig, ServerSession, StaticFile, StaticStore, Store,
};

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; counting allocates nothing, since the counter is
// a constant that needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static FILES: [StaticFile<'static>; 2] =
    [StaticFile::new("a.txt", "v1", &[b'a'; 5_000]), StaticFile::new("dir/b\"", "v1", b"b")];

/// Every exchange, and errors, between a client and a server that have only arrays.
#[test]
fn x8_no_exchange_allocates() {
    let config = ServerConfig::new();
    let now = Instant::default();
    let before = COUNT.get();
    let mut server = ServerSession::new(&config, [0; 512], now);
    let mut client = ClientSession::new([0; 1_024]);
    let name = FileName::from_static("a.txt");
    let missing = FileName::from_static("missing");
    let mut ended = 0;
    for ask in [
        ClientRequest::Hello,
        ClientRequest::List { path: None },
        ClientRequest::List { path: Some(FileName::from_static("dir")) },
        ClientRequest::Stat { name, digest: Some(DigestKind::Crc32) },
        ClientRequest::Get(GetRequest::new(name)),
        ClientRequest::Get(GetRequest::new(name).with_offset(4_999).with_digest(None)),
        ClientRequest::Get(GetRequest::new(name).with_offset(5_001)),
        ClientRequest::Get(GetRequest::new(missing)),
    ] {
        client.start(ask, now).expect("it fits");
        ended += usize::from(exchange(&mut client, &mut server, now));
    }
    let mut noise = ServerSession::new(&config, [0; 512], now);
    noise.receive(b"GET / HTTP/1.1\r\n", now);
    let is_answered = matches!(noise.action(), Action::SendBytes { .. });
    let allocated = COUNT.get() - before;
    assert_eq!((allocated, ended, is_answered), (0, 8, true));
    drop(Box::new(0));
    assert_eq!(COUNT.get() - before, 1, "it counts");
}

/// Passes bytes both ways until the client is idle again. Returns whether its last event ended the exchange.
fn exchange(client: &mut ClientSession<[u8; 1_024]>, server: &mut ServerSession<'_, [u8; 512]>, now: Instant) -> bool {
    let mut store = StaticStore::new(&FILES);
    let mut listing = None;
    let mut file = None;
    let mut hasher = None;
    let mut is_over = false;
    let mut wire = [0; 1_024];
    let mut on_its_way = 0..0;
    loop {
        match client.action() {
            ClientAction::SendBytes { bytes } => {
                let len = bytes.len();
                wire[..len].copy_from_slice(bytes);
                on_its_way = 0..len;
                client.sent(len, now);
            }
            ClientAction::Receive => {}
            ClientAction::Idle if on_its_way.is_empty() => return is_over,
            ClientAction::Idle => {}
            _ => return false,
        }
        on_its_way.start += server.receive(&wire[on_its_way.clone()], now).0;
        let mut buf = [0; 256];
        let len = match server.action() {
            Action::Receive => continue,
            Action::Reply(request) => {
                hasher = request.digest().and_then(Hasher::new);
                let opened = match (request, request.name()) {
                    (Request::List { path }, _) => store.list(path).map(|begun| listing = Some(begun)),
                    (_, Some(name)) => store.open(name).map(|found| file = Some(found)),
                    _ => return false,
                };
                let info = file.as_ref().and_then(|file| store.info(file).ok());
                match (opened, &info) {
                    (Err(error), _) => server.reply(Reply::Refuse(error.code()), now),
                    (Ok(()), Some(info)) => server.reply(Reply::File { info, known: None }, now),
                    (Ok(()), None) => server.reply(Reply::Listing, now),
                }
                continue;
            }
            Action::Entry => {
                let Some(listing) = &mut listing else { return false };
                server.entry(store.next(listing), now);
                continue;
            }
            Action::Hash { offset, len } => {
                let Some(file) = &mut file else { return false };
                let len = store.read(file, offset, &mut buf[..len.min(256)]).unwrap_or(0);
                if let Some(hasher) = &mut hasher {
                    hasher.update(&buf[..len]);
                }
                server.hashed(len, now);
                continue;
            }
            Action::Finish { .. } => {
                let digest = hasher.take().map(Hasher::finish);
                server.finished(Finished::new(digest, true), now);
                continue;
            }
            Action::SendBytes { bytes, .. } => {
                let len = bytes.len().min(256);
                buf[..len].copy_from_slice(&bytes[..len]);
                len
            }
            Action::SendFile { offset, len, .. } => {
                let Some(file) = &mut file else { return false };
                let len = store.read(file, offset, &mut buf[..len.min(256)]).unwrap_or(0);
                if let Some(hasher) = &mut hasher {
                    hasher.update(&buf[..len]);
                }
                len
            }
            _ => return false,
        };
        server.sent(len, now);
        let mut rest = &buf[..len];
        while !rest.is_empty() {
            let (taken, event) = client.receive(rest, now);
            is_over = match event {
                Some(ClientEvent::End(End::Verified(_) | End::Unchecked)) => true,
                Some(
                    ClientEvent::Hello(_) | ClientEvent::Listed(_) | ClientEvent::Header(_) | ClientEvent::Refused(_),
                ) => true,
                _ => is_over,
            };
            rest = &rest[taken..];
        }
    }
}
