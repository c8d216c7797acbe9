//! Many sessions alive at once, each in the middle of a request or of a body: what they take, and that all finish.

use std::fs;
use std::time::Instant as Stopwatch;

use coracle_core::{
    Action, ClientAction, ClientEvent, ClientRequest, ClientSession, Close, CloseReason, End, FileInfo, FileName,
    Finished, GetRequest, Hasher, Instant, Reply, ServerConfig, ServerSession, Timer, Version,
};

use crate::random::Random;

const BODY_MAX: usize = 4_096;
const POOL: usize = 1 << 20;

/// A client and a server in memory: their sessions, and what the server's owner holds. The link holds nothing: what one
/// sends is given to the other at once.
struct SessionPair<'c> {
    server: ServerSession<'c, [u8; 512]>,
    client: ClientSession<[u8; 1024]>,
    hasher: Option<Hasher>,
    number: usize,
    fetched: u32,
    is_verified: bool,
}

/// Holds `count` sessions at once and prints the memory that they take.
///
/// # Panics
///
/// When one of them is not in the middle of something, does not finish, or takes more memory than its buffers explain.
pub fn run(count: usize) {
    let watch = Stopwatch::now();
    let config = ServerConfig::new();
    let pool = Random::new(1).bytes(POOL + BODY_MAX);
    let before = resident();
    let mut pairs: Vec<SessionPair<'_>> = Vec::with_capacity(count);
    for number in 0..count {
        let mut pair = SessionPair {
            server: ServerSession::new(&config, [0; 512], clock(number)),
            client: ClientSession::new([0; 1024]),
            hasher: None,
            number,
            fetched: 0,
            is_verified: false,
        };
        pair.begin(&pool);
        pairs.push(pair);
    }
    let in_request = pairs.iter().filter(|pair| pair.is_in_request()).count();
    let in_body = pairs.iter().filter(|pair| pair.is_in_body()).count();
    assert_eq!(in_request + in_body, count, "a session is not in the middle of anything");
    let held = resident().saturating_sub(before);
    let (server, client) = (size_of::<ServerSession<'_, [u8; 512]>>(), size_of::<ClientSession<[u8; 1024]>>());
    println!("{count} sessions are alive: {in_request} in the middle of a request, {in_body} in the middle of a body");
    println!(
        "  a server's session {server} bytes, its buffer of 512 included; a client's {client}, its buffer of 1,024 included"
    );
    println!(
        "  in memory {} MB, {} bytes a pair of {}",
        held / 1_000_000,
        held / count.max(1),
        size_of::<SessionPair<'_>>()
    );
    assert!(held <= count * (size_of::<SessionPair<'_>>() + 64) + (1 << 22), "more memory than the sessions explain");

    // In another order than they began in.
    let step = (1..).map(|more| count / 3 + more).find(|step| gcd(*step, count) == 1).unwrap_or(1);
    let mut place = 0;
    for _ in 0..count {
        place = (place + step) % count;
        pairs[place].finish(&pool);
    }
    assert!(pairs.iter().all(|pair| pair.is_verified), "a session did not finish");
    let peak = status("VmHWM:");
    let seconds = watch.elapsed().as_secs_f32();
    println!(
        "figure: {count} sessions alive at once, {server} bytes each and {client} for its client, {} MB in all: all finished, \
         verified, in {seconds:.1} s",
        peak / 1_000_000
    );
}

impl SessionPair<'_> {
    /// Brings it to somewhere in the middle of a request or a body.
    fn begin(&mut self, pool: &[u8]) {
        let name = format!("file {}", self.number);
        let get = GetRequest::new(FileName::from_static(&name));
        self.client.start(ClientRequest::Get(get), clock(self.number)).expect("idle");
        let request = self.request_len();
        if self.number.is_multiple_of(2) {
            let sent = 1 + self.number % (request - 2);
            self.send(sent);
        } else {
            self.send(request);
            let stop = self.number % self.body(pool).len();
            while !self.is_in_body() || (self.fetched as usize) < stop {
                self.serve(pool, stop.saturating_sub(self.fetched as usize).max(1));
            }
        }
    }

    fn finish(&mut self, pool: &[u8]) {
        let request = self.request_len();
        if request > 0 {
            self.send(request);
        }
        while self.client.action() == ClientAction::Receive {
            self.serve(pool, usize::MAX);
        }
        self.server.receive_eof(clock(self.number));
        let is_done = matches!(self.server.action(), Action::Close(Close { why: CloseReason::Done, .. }));
        assert!(is_done && self.client.action() == ClientAction::Idle, "session {} hangs", self.number);
    }

    fn is_in_request(&self) -> bool {
        self.server.action() == Action::Receive
            && matches!(self.server.deadline(), Some((_, Timer::Request)))
            && matches!(self.client.action(), ClientAction::SendBytes { .. })
    }

    fn is_in_body(&self) -> bool {
        matches!(self.server.action(), Action::SendFile { .. }) && self.client.action() == ClientAction::Receive
    }

    fn request_len(&self) -> usize {
        match self.client.action() {
            ClientAction::SendBytes { bytes } => bytes.len(),
            _ => 0,
        }
    }

    /// The client sends `len` bytes.
    fn send(&mut self, len: usize) {
        let ClientAction::SendBytes { bytes } = self.client.action() else { panic!("nothing to send") };
        let mut rest = &bytes[..len];
        while !rest.is_empty() {
            let (taken, _) = self.server.receive(rest, clock(self.number));
            // The newline behind the request is not taken.
            if taken == 0 {
                break;
            }
            rest = &rest[taken..];
        }
        self.client.sent(len, clock(self.number));
    }

    /// Executes one action of the server, with at most `most` bytes.
    fn serve(&mut self, pool: &[u8], most: usize) {
        let now = clock(self.number);
        let body = self.body(pool);
        let mut given = 0;
        match self.server.action() {
            Action::Reply(request) => {
                self.hasher = request.digest().and_then(Hasher::new);
                let version = Version::new("v1").expect("a version");
                let info = FileInfo::new(body.len() as u64, version);
                self.server.reply(Reply::File { info: &info, known: None }, now);
                return;
            }
            Action::SendBytes { bytes, .. } => {
                while given < bytes.len() {
                    let (taken, event) = self.client.receive(&bytes[given..], now);
                    given += taken;
                    if let Some(ClientEvent::End(End::Verified(verified))) = event {
                        self.is_verified = verified.is_whole() && self.fetched as usize == body.len();
                    }
                }
            }
            Action::SendFile { offset, len, .. } => {
                let start = usize::try_from(offset).expect("short");
                let bytes = &body[start..start + len.min(most)];
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(bytes);
                }
                while given < bytes.len() {
                    let (taken, event) = self.client.receive(&bytes[given..], now);
                    let Some(ClientEvent::Body { bytes, .. }) = event else { panic!("no body") };
                    assert_eq!(bytes, &body[self.fetched as usize..][..bytes.len()], "other bytes than the file's");
                    self.fetched += u32::try_from(taken).expect("short");
                    given += taken;
                }
            }
            Action::Finish { .. } => {
                let digest = self.hasher.take().map(Hasher::finish);
                self.server.finished(Finished::new(digest, true), now);
                return;
            }
            other => panic!("session {}: {other:?}", self.number),
        }
        self.server.sent(given, now);
    }

    fn body<'p>(&self, pool: &'p [u8]) -> &'p [u8] {
        let start = self.number.wrapping_mul(7_919) % POOL;
        &pool[start..start + 2 + self.number.wrapping_mul(31) % (BODY_MAX - 2)]
    }
}

/// The time: within seconds, so that no deadline passes.
fn clock(number: usize) -> Instant {
    Instant::from_millis((number % 1_000) as u64)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    status("VmRSS:")
}

fn status(line: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux's /proc");
    let value = status.lines().find_map(|text| text.strip_prefix(line)).expect("a line of that name");
    1024 * value.trim().trim_end_matches(" kB").parse::<usize>().expect("a number")
}
