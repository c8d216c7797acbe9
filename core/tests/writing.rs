//! A client's session puts files to a server's session, over a connection that breaks anywhere.

#[allow(dead_code, reason = "shared by tests that need less each")]
mod memory;

use std::collections::VecDeque;

use coracle_core::exec::StoreExchange;
use coracle_core::{
    Action, ClientAction, ClientEvent, ClientRequest, ClientSession, Code, Digest, DigestKind, Failure, FileName,
    Hasher, Instant, Put, Replace, RequestKind, ServerConfig, ServerSession, Version, WriteRequest,
};
use memory::{Exchange, Memory, perform, receive};

const NAME: FileName<'static> = FileName::from_static("a.bin");

/// Numbers that repeat: xorshift64 (Marsaglia).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

/// A server's connection.
struct Server<'c> {
    session: ServerSession<'c, Vec<u8>>,
    exchange: Exchange,
    exchanges: u32,
    input: VecDeque<u8>,
    output: VecDeque<u8>,
    is_closed: bool,
}

impl<'c> Server<'c> {
    fn new(config: &'c ServerConfig<'c>, now: Instant) -> Self {
        Self {
            session: ServerSession::new(config, vec![0; 768], now),
            exchange: StoreExchange::writable(),
            exchanges: 0,
            input: VecDeque::new(),
            output: VecDeque::new(),
            is_closed: false,
        }
    }

    /// Acts until nothing can be done.
    fn run(&mut self, store: &mut Memory, random: &mut Random, now: Instant) {
        for _ in 0..100_000 {
            if self.session.deadline().is_some_and(|(at, _)| at <= now) {
                self.session.handle_timeout(now);
            }
            let is_done = !self.act(store, random, now);
            if self.session.exchanges() != self.exchanges || self.is_closed {
                self.exchanges = self.session.exchanges();
                self.exchange.end(store);
            }
            if is_done {
                return;
            }
        }
        panic!("no end in sight");
    }

    fn act(&mut self, store: &mut Memory, random: &mut Random, now: Instant) -> bool {
        match self.session.action() {
            Action::Receive | Action::Wait if self.input.is_empty() => return false,
            Action::Receive | Action::Wait => {
                let len = 1 + random.below(self.input.len());
                let piece: Vec<u8> = self.input.iter().copied().take(len).collect();
                let (taken, _) = receive(&mut self.session, &mut self.exchange, store, &piece, now);
                self.input.drain(..taken);
            }
            Action::SendBytes { bytes, .. } => {
                let len = 1 + random.below(bytes.len());
                self.output.extend(&bytes[..len]);
                self.session.sent(len, now);
            }
            Action::Close(_) => {
                self.is_closed = true;
                return false;
            }
            _ => {
                let most = 1 + random.below(100);
                assert!(perform(&mut self.session, &mut self.exchange, store, most, now), "not known here");
            }
        }
        true
    }
}

/// A client's connection, and what became of its `put`.
struct Client<'f> {
    session: ClientSession<Vec<u8>>,
    file: &'f [u8],
    /// The first byte that was sent of the file.
    resumed_at: Option<u64>,
    stored: Option<(Version, bool)>,
    refused: Option<Code>,
}

impl<'f> Client<'f> {
    fn new(put: &Put<'_>, file: &'f [u8], now: Instant) -> Self {
        let mut session = ClientSession::new(vec![0; 1024]);
        session.start(ClientRequest::Write(WriteRequest::Put(*put)), now).expect("started");
        Self { session, file, resumed_at: None, stored: None, refused: None }
    }

    /// Sends at most `budget` bytes; false where nothing can be done.
    fn act(&mut self, server: &mut Server<'_>, budget: &mut usize, random: &mut Random, now: Instant) -> bool {
        if !server.output.is_empty() {
            let len = 1 + random.below(server.output.len());
            let piece: Vec<u8> = server.output.iter().copied().take(len).collect();
            let (taken, event) = self.session.receive(&piece, now);
            match event {
                Some(ClientEvent::Ready(ready)) => self.resumed_at = Some(ready.offset),
                Some(ClientEvent::Stored(stored)) => {
                    self.stored = stored.version.map(|version| (version, stored.was_there));
                }
                Some(ClientEvent::Refused(refusal)) => self.refused = refusal.code,
                Some(ClientEvent::ServerClosing(code)) => self.refused = Some(code),
                None => {}
                Some(other) => panic!("{other:?}"),
            }
            server.output.drain(..taken);
            if taken > 0 {
                return true;
            }
        }
        if *budget == 0 {
            return false;
        }
        let (bytes, max) = match self.session.action() {
            ClientAction::SendBytes { bytes } => (bytes.to_vec(), usize::MAX),
            ClientAction::SendFile { offset, len } => {
                let rest = &self.file[offset as usize..];
                assert_eq!(rest.len() as u64, len);
                (rest.to_vec(), 64)
            }
            _ => return false,
        };
        let len = (1 + random.below(bytes.len().min(max))).min(*budget);
        server.input.extend(&bytes[..len]);
        self.session.sent(len, now);
        *budget -= len;
        true
    }
}

fn digest(file: &[u8], kind: DigestKind) -> Digest {
    let mut hasher = Hasher::new(kind).expect("supported");
    hasher.update(file);
    hasher.finish()
}

fn sha256_put(file: &[u8]) -> Put<'static> {
    Put::new(NAME, file.len() as u64, digest(file, DigestKind::Sha256))
}

const fn config() -> ServerConfig<'static> {
    ServerConfig::new().with_offered(RequestKind::Put)
}

/// Puts `file` over a connection that breaks after `budget` bytes of the client's.
fn put<'f>(store: &mut Memory, put: &Put<'_>, file: &'f [u8], mut budget: usize, random: &mut Random) -> Client<'f> {
    let now = Instant::from_millis(0);
    let config = config();
    let (mut server, mut client) = (Server::new(&config, now), Client::new(put, file, now));
    loop {
        server.run(store, random, now);
        if !client.act(&mut server, &mut budget, random, now) {
            break;
        }
    }
    if client.stored.is_none() && client.refused.is_none() {
        client.session.receive_eof();
        assert_eq!(client.session.action(), ClientAction::Close(Failure::Closed));
        server.session.receive_eof(now);
        server.run(store, random, now);
    }
    client
}

/// Cut after every byte, and again: the file is whole in the end, and was visible never before.
#[test]
fn u1_an_upload_goes_on_where_it_broke_off() {
    let file: Vec<u8> = (0..150).collect();
    for (reads_back, write_max) in [(false, 0), (true, 0), (false, 3), (true, 7)] {
        let mut random = Random(7);
        for budget in 0..320 {
            let mut store = Memory { reads_back, write_max, ..Memory::default() };
            let first = put(&mut store, &sha256_put(&file), &file, budget, &mut random);
            let is_stored = first.stored.is_some();
            assert_eq!(store.contents(NAME).is_some(), is_stored, "cut after {budget}");
            let kept = store.partials.get(NAME.as_str()).map_or(0, |partial| partial.bytes.len());
            let second = put(&mut store, &sha256_put(&file), &file, usize::MAX, &mut random);
            assert_eq!(store.contents(NAME), Some(&file[..]), "cut after {budget}");
            assert_eq!(second.stored.as_ref().map(|(_, was_there)| *was_there), Some(is_stored));
            assert_eq!(second.resumed_at, (!is_stored).then_some(kept as u64));
            assert_eq!(store.stores, 1);
        }
    }
}

#[test]
fn u1_many_cuts_in_random_places() {
    let mut random = Random(0x5eed);
    for _ in 0..200 {
        let len = random.below(3_000);
        let file: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        let mut store = Memory { reads_back: random.below(2) == 0, ..Memory::default() };
        let request = sha256_put(&file);
        let mut tries = 0;
        while put(&mut store, &request, &file, 220 + random.below(500), &mut random).stored.is_none() {
            tries += 1;
            assert!(store.contents(NAME).is_none() && tries < 100);
        }
        assert_eq!(store.contents(NAME), Some(&file[..]));
    }
}

/// What was kept was damaged, or belongs to other contents: never a mixture.
#[test]
fn u2_what_was_kept_is_not_trusted() {
    let (file, other): (Vec<u8>, Vec<u8>) = ((0..100).collect(), (100..200).collect());
    let mut random = Random(3);
    for reads_back in [false, true] {
        let mut store = Memory { reads_back, ..Memory::default() };
        put(&mut store, &sha256_put(&file), &file, 200, &mut random);
        let replaced = put(&mut store, &sha256_put(&other), &other, 200, &mut random);
        assert_eq!((replaced.resumed_at, store.contents(NAME)), (Some(0), None));
        store.partials.get_mut(NAME.as_str()).expect("kept").bytes[0] ^= 1;
        let damaged = put(&mut store, &sha256_put(&other), &other, usize::MAX, &mut random);
        assert!(damaged.resumed_at.is_some_and(|offset| offset > 0));
        assert_eq!((damaged.refused, store.contents(NAME)), (Some(Code::Corrupt), None));
        assert!(store.partials.is_empty());
        let whole = put(&mut store, &sha256_put(&other), &other, usize::MAX, &mut random);
        assert_eq!((whole.resumed_at, store.contents(NAME)), (Some(0), Some(&other[..])));
    }
}

/// The precondition holds before the body, and not behind it.
#[test]
fn u3_another_writer_in_between() {
    let file: Vec<u8> = (0..100).collect();
    let (now, mut random) = (Instant::from_millis(0), Random(5));
    let config = config();
    let mut store = Memory::default();
    let there = store.set(NAME, b"old");
    let wanted = sha256_put(&file).with_replace(Replace::Version(there.version.as_str()));
    let (mut server, mut client) = (Server::new(&config, now), Client::new(&wanted, &file, now));
    while client.resumed_at.is_none() {
        server.run(&mut store, &mut random, now);
        client.act(&mut server, &mut 1_000, &mut random, now);
    }
    store.set(NAME, b"newer");
    while client.refused.is_none() {
        client.act(&mut server, &mut 1_000, &mut random, now);
        server.run(&mut store, &mut random, now);
    }
    assert_eq!((client.refused, store.contents(NAME)), (Some(Code::Changed), Some(&b"newer"[..])));
    assert_eq!(client.session.action(), ClientAction::Idle);
    assert!(!server.is_closed && store.partials.contains_key(NAME.as_str()));
}

#[test]
fn u4_a_lost_end_is_told_again() {
    let file: Vec<u8> = (0..100).collect();
    let mut random = Random(9);
    let mut store = Memory::default();
    put(&mut store, &sha256_put(&file), &file, usize::MAX, &mut random);
    let again = put(&mut store, &sha256_put(&file), &file, usize::MAX, &mut random);
    assert!(again.stored.is_some_and(|(_, was_there)| was_there));
    assert_eq!((store.stores, again.resumed_at), (1, None));
    // By a CRC-32, which can be forged, nothing is told.
    let crc32 = Put::new(NAME, 100, digest(&file, DigestKind::Crc32));
    assert_eq!(put(&mut store, &crc32, &file, usize::MAX, &mut random).refused, Some(Code::Exists));
    let replacing = put(&mut store, &crc32.with_replace(Replace::Anything), &file, usize::MAX, &mut random);
    assert_eq!((replacing.resumed_at, store.stores), (Some(0), 2));
}

/// Two connections with one upload.
struct Two<'c, 'f> {
    store: Memory,
    random: Random,
    servers: [Server<'c>; 2],
    clients: [Client<'f>; 2],
}

impl<'c, 'f> Two<'c, 'f> {
    /// The first has sent `sent` bytes, 1 s before the second asks.
    fn new(config: &'c ServerConfig<'c>, file: &'f [u8], second: &Put<'_>, sent: usize) -> Self {
        let start = Instant::from_millis(0);
        let servers = [Server::new(config, start), Server::new(config, start)];
        let clients = [Client::new(&sha256_put(file), file, start), Client::new(second, file, start)];
        let mut this = Self { store: Memory::default(), random: Random(11), servers, clients };
        let mut budget = sent;
        while this.step(0, &mut budget, start) {}
        while this.step(1, &mut 1_000, Instant::from_millis(1_000)) {}
        this
    }

    fn step(&mut self, which: usize, budget: &mut usize, now: Instant) -> bool {
        self.servers[which].run(&mut self.store, &mut self.random, now);
        let has_acted = self.clients[which].act(&mut self.servers[which], budget, &mut self.random, now);
        self.servers[which].run(&mut self.store, &mut self.random, now);
        has_acted
    }
}

#[test]
fn u5_a_silent_connection_is_displaced() {
    let file: Vec<u8> = (0..250).collect();
    let config = config();
    let mut two = Two::new(&config, &file, &sha256_put(&file), 300);
    assert_eq!((two.clients[1].resumed_at, two.clients[1].refused), (None, None));
    for millis in (1_000..2_000).step_by(100) {
        assert!(!two.step(1, &mut 1_000, Instant::from_millis(millis)), "{millis}");
    }
    let late = Instant::from_millis(2_000);
    while two.clients[1].stored.is_none() {
        two.step(1, &mut 1_000, late);
        // The displaced one wakes up in the middle of it.
        if two.clients[1].resumed_at.is_some() && two.clients[0].refused.is_none() {
            two.step(0, &mut 1, late);
        }
    }
    while two.step(0, &mut 1, late) {}
    assert!(two.clients[1].resumed_at.is_some_and(|offset| offset > 0));
    assert_eq!(two.store.contents(NAME), Some(&file[..]));
    assert_eq!(two.clients[0].refused, Some(Code::InUse));
    assert_eq!(two.clients[0].session.action(), ClientAction::Close(Failure::Refused(Some(Code::InUse))));
}

#[test]
fn u5_a_connection_that_sends_is_not_displaced() {
    let file: Vec<u8> = (0..250).collect();
    let config = config();
    let mut two = Two::new(&config, &file, &sha256_put(&file), 300);
    two.step(0, &mut 1, Instant::from_millis(1_500));
    while two.step(1, &mut 1_000, Instant::from_millis(1_600)) {}
    assert_eq!(two.clients[1].refused, Some(Code::InUse));
    while two.step(0, &mut 1_000, Instant::from_millis(1_700)) {}
    assert_eq!((two.clients[0].stored.is_some(), two.store.contents(NAME)), (true, Some(&file[..])));
}

#[test]
fn u6_other_contents_for_a_name_in_use() {
    let (file, other): (Vec<u8>, Vec<u8>) = ((0..250).collect(), vec![7; 250]);
    let config = config();
    let two = Two::new(&config, &file, &sha256_put(&other), 300);
    assert_eq!(two.clients[1].refused, Some(Code::InUse));
    assert_eq!(two.clients[1].session.action(), ClientAction::Idle);
}

#[test]
fn a_client_that_goes_on_where_the_file_ends_sends_nothing() {
    let mut random = Random(13);
    let mut store = Memory::default();
    let empty = put(&mut store, &sha256_put(&[]), &[], usize::MAX, &mut random);
    assert_eq!((empty.resumed_at, store.contents(NAME)), (Some(0), Some(&[][..])));
}

/// What a server says to `pieces` that arrive one after the other, `gap_ms` apart.
fn said(store: &mut Memory, pieces: &[&[u8]], gap_ms: u64) -> (String, bool) {
    let config = config();
    let mut server = Server::new(&config, Instant::from_millis(0));
    for (piece, index) in pieces.iter().zip(0..) {
        server.input.extend(*piece);
        server.run(store, &mut Random(17), Instant::from_millis(gap_ms * index));
    }
    (String::from_utf8(server.output.into()).expect("text"), server.is_closed)
}

fn crc32_put(file: &[u8]) -> String {
    let digest = digest(file, DigestKind::Crc32);
    format!("{{\"type\":\"put\",\"fileName\":\"a.bin\",\"fileSize\":{},\"crc32\":\"{digest}\"}}", file.len())
}

#[test]
fn u7_sizes_up_to_the_largest() {
    for size in [u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let mut store = Memory::default();
        let request = crc32_put(b"").replace("\"fileSize\":0", &format!("\"fileSize\":{size}")) + "\n";
        let (text, is_closed) = said(&mut store, &[request.as_bytes(), b"0123456789"], 0);
        assert!(text.contains(&format!("\"length\":{size},")) && !is_closed, "{text}");
        assert_eq!(store.partials[NAME.as_str()].bytes, b"0123456789");
    }
}

#[test]
fn u9_what_is_behind_the_body_is_the_next_request() {
    let mut store = Memory::default();
    let request = crc32_put(b"01234") + "\n";
    let (text, _) = said(&mut store, &[request.as_bytes(), b"01234{\"type\":\"fly\"}56789"], 0);
    assert_eq!(store.contents(NAME), Some(&b"01234"[..]));
    let codes = ["\"type\":\"end\"", "unknownType", "badRequest"].map(|word| text.find(word).expect(word));
    assert!(codes.is_sorted(), "{text}");
}

#[test]
fn u10_a_body_before_ready_is_no_request() {
    for ending in ["\n", "\r\n", ""] {
        let mut store = Memory::default();
        store.set(NAME, b"old");
        let config = config();
        let mut server = Server::new(&config, Instant::from_millis(0));
        let early = crc32_put(b"0123") + ending + "{\"type\":\"hello\"}";
        // In one arrival, of which what was not taken is offered again.
        let (taken, _) = server.session.receive(early.as_bytes(), Instant::from_millis(0));
        let (rest, _) = server.session.receive(&early.as_bytes()[taken..], Instant::from_millis(0));
        assert_eq!(taken + rest, early.len());
        server.run(&mut store, &mut Random(19), Instant::from_millis(0));
        let text = String::from_utf8(server.output.into()).expect("text");
        assert!(server.is_closed && text.contains("badRequest") && text.lines().count() == 1, "{text}");
        assert!(store.partials.is_empty() && store.contents(NAME) == Some(b"old"));
    }
}

#[test]
fn u11_a_client_that_stalls_or_trickles_is_cut_off() {
    let mut store = Memory::default();
    let request = crc32_put(b"0123456789") + "\n";
    let (text, is_closed) = said(&mut store, &[request.as_bytes(), b"01234", b"", b""], 20_000);
    assert!(is_closed && text.ends_with("\n") && text.contains("timeout"), "{text}");
    assert_eq!(store.partials[NAME.as_str()].bytes, b"01234");
    // A byte in time does not help against a least rate.
    let config = config().with_min_rate(100);
    let mut server = Server::new(&config, Instant::from_millis(0));
    server.input.extend((crc32_put(&[b'x'; 1_000]) + "\n").bytes());
    for second in 0..40 {
        server.run(&mut store, &mut Random(23), Instant::from_millis(second * 1_000));
        server.input.push_back(b'x');
    }
    assert!(server.is_closed && String::from_utf8(server.output.into()).expect("text").contains("timeout"));
}

#[test]
fn u12_a_wrong_digest_leaves_nothing() {
    let mut store = Memory::default();
    let request = crc32_put(b"0123") + "\n";
    let (text, is_closed) = said(&mut store, &[request.as_bytes(), b"0124"], 0);
    assert!(text.contains("\"corrupt\"") && !is_closed, "{text}");
    assert!(store.partials.is_empty() && store.files.is_empty());
}
