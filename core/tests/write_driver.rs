//! The blocking drivers of exchanges that write: a client over a scripted transport, a server with an owner that decides nothing.

#[allow(dead_code, reason = "shared by tests that need less each")]
mod memory;

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use coracle_core::blocking::{
    Buffers, ClientError, Connection, NextPut, NoTimeout, SendFile, Transport, serve, serve_writable,
};
use coracle_core::exec::Source;
use coracle_core::{
    ActionWords, ClientRequest, ClientSession, Code, Delete, Digest, DigestKind, Failure, FileName, Hasher, Instant,
    Put, RequestKind, ServerConfig, ServerSession, StartError, StaticFile, StaticStore, Violation, WriteRequest,
};
use embedded_io::ErrorKind;
use memory::Memory;

const NAME: FileName<'static> = FileName::from_static("a.txt");
const FILE: &[u8] = b"0123456789";
const REQUEST: &str = "{\"type\":\"put\",\"fileName\":\"a.txt\",\"fileSize\":10,\"crc32\":\"a684c7c6\"}\n";
/// A name of the greatest length.
const LONG: &str = concat!(
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234",
);
const STORED: &str = "{\"type\":\"end\",\"fileName\":\"a.txt\",\"version\":\"w1\",\"crc32\":\"a684c7c6\"}\n";
const IN_USE: &str = "{\"type\":\"error\",\"code\":\"inUse\",\"message\":\"another connection is sending it\"}\n";
const CLOSING: &str = "{\"type\":\"error\",\"code\":\"shuttingDown\",\"message\":\"server is stopping\"}\n";

fn put() -> Put<'static> {
    Put::new(NAME, 10, digest(FILE))
}

fn digest(file: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("supported");
    hasher.update(file);
    hasher.finish()
}

fn ready(offset: usize) -> String {
    let length = FILE.len() - offset;
    format!(
        "{{\"type\":\"ready\",\"fileName\":\"a.txt\",\"fileSize\":10,\"offset\":{offset},\"length\":{length},\"chunkSize\":4}}\n"
    )
}

/// What a read finds; after the last one the end of input.
#[derive(Clone, Debug)]
enum Step {
    Bytes(String),
    Fail(ErrorKind),
    /// To a look, without waiting: nothing.
    Nothing,
    End,
}

/// The transport and the server.
#[derive(Default)]
struct Wire {
    now: Rc<Cell<u64>>,
    reads: VecDeque<Step>,
    /// What each look finds; after the last one nothing.
    looks: VecDeque<Step>,
    /// How much each write takes, or how it fails; after the last one everything.
    writes: VecDeque<Result<usize, ErrorKind>>,
    flushes: VecDeque<ErrorKind>,
    limit_ms: Option<u64>,
    sent: Vec<u8>,
}

impl embedded_io::ErrorType for Wire {
    type Error = ErrorKind;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let (step, queue) = (self.reads.pop_front(), &mut self.reads);
        Ok(given(step, queue, buf)?.unwrap_or(0))
    }
}

/// Passes on as much of a step as there is room for.
fn given(step: Option<Step>, queue: &mut VecDeque<Step>, buf: &mut [u8]) -> Result<Option<usize>, ErrorKind> {
    match step {
        None | Some(Step::Nothing) => Ok(None),
        Some(Step::End) => Ok(Some(0)),
        Some(Step::Fail(kind)) => Err(kind),
        Some(Step::Bytes(text)) => {
            let len = text.len().min(buf.len());
            buf[..len].copy_from_slice(&text.as_bytes()[..len]);
            if len < text.len() {
                queue.push_front(Step::Bytes(text[len..].to_owned()));
            }
            Ok(Some(len))
        }
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        let outcome = self.writes.pop_front().unwrap_or(Ok(usize::MAX));
        if outcome == Err(ErrorKind::TimedOut) {
            self.now.set(self.now.get() + self.limit_ms.expect("a limit"));
        }
        let len = outcome?.min(buf.len());
        self.sent.extend_from_slice(&buf[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.flushes.pop_front().map_or(Ok(()), Err)
    }
}

impl Transport for Wire {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), ErrorKind> {
        self.limit_ms = limit_ms;
        Ok(())
    }

    fn read_ready(&mut self, buf: &mut [u8]) -> Result<Option<usize>, ErrorKind> {
        let (step, queue) = (self.looks.pop_front(), &mut self.looks);
        given(step, queue, buf)
    }
}

/// A file that is sent, of which each read gives so many bytes at most.
struct Sent {
    bytes: &'static [u8],
    most: usize,
    begun_at: Option<u64>,
}

impl Sent {
    const fn new() -> Self {
        Self { bytes: FILE, most: 4, begun_at: None }
    }
}

impl Source for Sent {
    type Error = &'static str;

    fn begin(&mut self, offset: u64) -> Result<(), &'static str> {
        self.begun_at = Some(offset);
        if self.bytes.is_empty() { Err("gone") } else { Ok(()) }
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, &'static str> {
        let rest = &self.bytes[usize::try_from(offset).expect("short")..];
        if rest.first() == Some(&b'!') {
            return Err("changed");
        }
        let len = rest.len().min(buf.len()).min(self.most);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

type Line<C> = Connection<[u8; 1_024], [u8; 16], Wire, C>;

fn connection(wire: Wire) -> Line<impl FnMut() -> Instant> {
    let now = Rc::clone(&wire.now);
    let mut readings = 0;
    Connection::new(ClientSession::new([0; 1_024]), wire, [0; 16], move || {
        readings += 1;
        // No test reads the clock so often: the driver loops.
        assert!(readings < 10_000, "the session makes no progress");
        Instant::from_millis(now.get())
    })
}

fn wire(reads: &[&str]) -> Wire {
    Wire { reads: reads.iter().map(|text| Step::Bytes((*text).to_owned())).collect(), ..Wire::default() }
}

#[test]
fn a_file_is_sent_from_where_the_server_wants_it() {
    for offset in [0, 4, 10] {
        let mut scripted = wire(&[&ready(offset), STORED]);
        scripted.flushes = [ErrorKind::Interrupted].into();
        // The request, then pieces of the body.
        scripted.writes = [Ok(usize::MAX), Ok(1), Err(ErrorKind::Interrupted), Ok(2)].into();
        let mut connection = connection(scripted);
        let mut source = Sent::new();
        let stored = connection.put(&put(), &mut &mut source, &mut [0; 3]).expect("stored");
        assert_eq!((stored.version.as_ref().expect("it is stored").as_str(), stored.was_there), ("w1", false));
        assert_eq!(source.begun_at, Some(offset as u64));
        let sent = connection.transport_mut().sent.clone();
        assert_eq!(sent, [REQUEST.as_bytes(), &FILE[offset..]].concat());
        assert!(connection.is_idle());
    }
}

/// A source that does not care where the body begins, and a transport that cannot look.
#[test]
fn what_is_not_overridden_does_nothing() {
    struct Plain;
    impl Source for Plain {
        type Error = Infallible;

        fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Infallible> {
            buf[0] = FILE[usize::try_from(offset).expect("short")];
            Ok(1)
        }
    }
    let mut blind =
        Connection::new(ClientSession::new([0; 1_024]), NoTimeout(wire(&[&ready(0), STORED])), [0; 16], || {
            Instant::from_millis(0)
        });
    assert!(blind.put(&put(), &mut Plain, &mut [0; 3]).is_ok());
}

#[test]
fn u4_what_is_there_already_is_not_sent() {
    let mut connection = connection(wire(&[STORED]));
    let stored = connection.put(&put(), &mut Sent::new(), &mut [0; 3]).expect("there");
    assert!(stored.was_there);
    assert_eq!(connection.transport_mut().sent, REQUEST.as_bytes());
}

/// The request for the next file leaves right behind a body, or not at all, or in part.
#[test]
fn the_next_put_behind_a_body() {
    let second = "{\"type\":\"end\",\"fileName\":\"b.txt\",\"version\":\"w2\",\"crc32\":\"a684c7c6\"}\n";
    let next = Put::new(FileName::from_static("b.txt"), 10, digest(FILE));
    let request = REQUEST.replace("a.txt", "b.txt");
    // What the writes behind the request and the body do, and how much of the next request is sent.
    let (all, long) = (request.len(), FileName::from_static(LONG));
    for (next, writes, sent) in [
        (Some(next), vec![], all),
        (Some(next), vec![Ok(5), Err(ErrorKind::Interrupted), Ok(usize::MAX)], all),
        (Some(next), vec![Ok(5), Err(ErrorKind::BrokenPipe)], 5),
        (Some(next), vec![Ok(0)], 0),
        // It does not fit the buffer.
        (Some(Put::new(long, 10, digest(FILE))), vec![], 0),
        (None, vec![], 0),
    ] {
        let mut scripted = wire(&[&ready(0), STORED, second]);
        scripted.writes = [vec![Ok(usize::MAX); 2], writes.clone()].concat().into();
        let mut connection = connection(scripted);
        connection.start_put::<&str>(&put()).expect("started");
        let mut behind = NextPut::new(next.as_ref());
        let mut source = Sent { most: 10, ..Sent::new() };
        let stored = connection.finish_put(&mut source, &mut [0; 200], &mut behind).expect("stored");
        assert_eq!(stored.version.as_ref().expect("it is stored").as_str(), "w1");
        assert_eq!(behind.is_sent(), sent > 0, "{writes:?}");
        let expected = [REQUEST.as_bytes(), FILE, &request.as_bytes()[..sent]].concat();
        assert_eq!(connection.transport_mut().sent, expected);
        if let (Some(next), true) = (next, sent == all) {
            connection.start_sent(ClientRequest::Write(WriteRequest::Put(next))).expect("started");
            let stored = connection.finish_put(&mut source, &mut [0; 200], &mut NextPut::new(None)).expect("there");
            assert_eq!((stored.version.as_ref().expect("it is stored").as_str(), stored.was_there), ("w2", true));
        }
    }
}

/// Whatever the server says in the middle of a body is heard while it is sent.
#[test]
fn an_error_inside_of_a_body_is_heard_at_once() {
    let heartbeats = Step::Bytes("  ".to_owned());
    for looks in [
        vec![Step::Bytes(IN_USE.to_owned())],
        vec![Step::Fail(ErrorKind::Interrupted), heartbeats, Step::Nothing, Step::Bytes(IN_USE.to_owned())],
    ] {
        let mut scripted = wire(&[&ready(0)]);
        scripted.looks = looks.into();
        let mut connection = connection(scripted);
        let refused = connection.put(&put(), &mut Sent::new(), &mut [0; 3]);
        assert_eq!(refused, Err(ClientError::Refused(Some(Code::InUse))));
        assert!(connection.transport_mut().sent.len() < REQUEST.len() + FILE.len());
    }
    for (look, expected) in [
        (Step::End, Failure::Closed),
        // Nothing is stored before all of it was sent.
        (Step::Bytes(STORED.repeat(2)), Failure::Violation(Violation::Type)),
    ] {
        let mut scripted = wire(&[&ready(0)]);
        scripted.looks = [look].into();
        let broken = connection(scripted).put(&put(), &mut Sent::new(), &mut [0; 3]);
        assert_eq!(broken, Err(ClientError::Failed(expected)));
    }
}

/// A body that cannot be sent any more: the server may have said why.
#[test]
fn the_reason_for_a_broken_body_is_read() {
    for (look, write) in [
        (None, Some(Ok(0))),
        (None, Some(Err(ErrorKind::BrokenPipe))),
        (Some(Step::Fail(ErrorKind::ConnectionReset)), None),
    ] {
        for (answer, expected) in [
            (Some(IN_USE), ClientError::Refused(Some(Code::InUse))),
            (Some(CLOSING), ClientError::Failed(Failure::Ended(Code::ShuttingDown))),
            (None, ClientError::Failed(Failure::SendFailed)),
        ] {
            let mut scripted = wire(&[&ready(0)]);
            scripted.reads.extend(answer.map(|text| Step::Bytes(text.to_owned())));
            scripted.looks = look.clone().into_iter().collect();
            scripted.writes = [Some(Ok(usize::MAX)), write].into_iter().flatten().collect();
            let mut connection = connection(scripted);
            assert_eq!(connection.put(&put(), &mut Sent::new(), &mut [0; 3]), Err(expected), "{look:?} {write:?}");
        }
    }
}

#[test]
fn k5_a_server_that_takes_nothing_is_noticed_on_time() {
    let stalled = [Ok(usize::MAX), Err(ErrorKind::TimedOut)];
    let mut scripted = wire(&[&ready(0)]);
    scripted.writes = stalled.into();
    let mut late = connection(scripted);
    assert_eq!(late.put(&put(), &mut Sent::new(), &mut [0; 3]), Err(ClientError::Failed(Failure::Stalled)));
    assert_eq!(late.transport_mut().now.get(), 30_000);
    // Heartbeats say that it lives.
    let mut scripted = wire(&[&ready(0), STORED]);
    scripted.writes = stalled.into();
    scripted.looks = [Step::Nothing, Step::Bytes(" ".to_owned())].into();
    assert!(connection(scripted).put(&put(), &mut Sent::new(), &mut [0; 3]).is_ok());
}

#[test]
fn u20_a_source_that_is_not_what_was_said_ends_the_connection() {
    for (bytes, expected) in [
        (&b""[..], ClientError::Sink("gone")),
        (b"!", ClientError::Sink("changed")),
        (b"01234", ClientError::TooFewToReadBack),
    ] {
        let mut connection = connection(wire(&[&ready(0)]));
        let mut source = Sent { bytes, ..Sent::new() };
        assert_eq!(connection.put(&put(), &mut source, &mut [0; 3]), Err(expected));
        assert!(!connection.is_idle());
    }
}

#[test]
fn requests_without_a_body() {
    let space = "{\"type\":\"space\",\"free\":7}\n";
    let mut connection = connection(wire(&["{\"type\":\"end\"}\n", space]));
    let delete = WriteRequest::Delete(Delete::File { name: NAME, version: None });
    assert_eq!(connection.write(&delete), Ok(()));
    let told = connection.space().expect("told");
    assert_eq!((told.total, told.free, told.max_file), (None, Some(7), None));
    for other in [WriteRequest::Space, WriteRequest::Put(put())] {
        assert_eq!(connection.write(&other), Err(ClientError::Start(StartError::NotStarted)));
    }
    let sent = String::from_utf8(connection.transport_mut().sent.clone()).expect("text");
    assert_eq!(sent, "{\"type\":\"delete\",\"fileName\":\"a.txt\"}\n{\"type\":\"space\"}\n");
}

#[test]
fn a_server_that_stops_says_so_to_every_request() {
    let closing = || ClientError::Failed(Failure::Ended(Code::ShuttingDown));
    let delete = WriteRequest::Delete(Delete::File { name: NAME, version: None });
    assert_eq!(connection(wire(&[CLOSING])).write(&delete), Err(closing()));
    assert_eq!(connection(wire(&[CLOSING])).space(), Err(closing()));
    let closing = ClientError::Failed(Failure::Ended(Code::ShuttingDown));
    for before in [vec![], vec![ready(0)]] {
        let lines: Vec<&str> = before.iter().map(String::as_str).chain([CLOSING]).collect();
        let ended = connection(wire(&lines)).put(&put(), &mut Sent::new(), &mut [0; 3]);
        assert_eq!(ended, Err(closing), "{lines:?}");
    }
}

/// A client's requests, and what was answered.
struct Asked {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

impl embedded_io::ErrorType for Asked {
    type Error = ErrorKind;
}

impl embedded_io::Read for Asked {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let len = self.input.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(self.input.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

impl embedded_io::Write for Asked {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.output.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Transport for Asked {}
impl SendFile<Memory> for Asked {}
impl<'f> SendFile<StaticStore<'f>> for Asked {}

const REQUESTS: &str = concat!(
    "{\"type\":\"put\",\"fileName\":\"a\",\"fileSize\":0,\"crc32\":\"00000000\"}\n",
    "{\"type\":\"delete\",\"fileName\":\"b\"}",
    "{\"type\":\"rename\",\"fileName\":\"b\",\"to\":\"c\"}",
    "{\"type\":\"makeDir\",\"path\":\"d\"}",
    "{\"type\":\"space\"}",
    "{\"type\":\"do\",\"action\":\"restart\"}",
);

fn config() -> ServerConfig<'static> {
    let kinds = [RequestKind::Put, RequestKind::Delete, RequestKind::Rename, RequestKind::MakeDir, RequestKind::Space];
    let actions = ActionWords::new("restart").expect("good");
    kinds.into_iter().fold(ServerConfig::new(), ServerConfig::with_offered).with_actions(actions)
}

/// The codes that each request ends with, of a server that `serve`s.
fn codes(requests: &str, serve: impl FnOnce(&mut Asked)) -> Vec<String> {
    let mut codes = Vec::new();
    let mut wire = Asked { input: requests.bytes().collect(), output: Vec::new() };
    serve(&mut wire);
    for line in String::from_utf8(wire.output).expect("text").lines() {
        let code = line.split_once("\"code\":\"").map_or("end", |(_, rest)| rest.split('"').next().expect("a quote"));
        codes.push(code.to_owned());
    }
    codes
}

/// A store that is only read, offered as if it could be written to; and an owner that performs no action.
#[test]
fn a_store_that_is_only_read_refuses_to_write() {
    static FILES: [StaticFile<'static>; 1] = [StaticFile::new("b", "v1", b"b")];
    let config = config();
    let clock = || Instant::from_millis(0);
    let (put, others) = REQUESTS.split_at(REQUESTS.find('\n').expect("a line") + 1);
    for (requests, expected) in
        [(put, vec!["unsupported"]), (others, vec!["unsupported", "unsupported", "unsupported", "unsupported", "io"])]
    {
        let codes = codes(requests, |wire| {
            let mut session = ServerSession::new(&config, [0; 768], clock());
            let (mut receive, mut send) = ([0; 64], [0; 256]);
            let buffers = Buffers { receive: &mut receive, send: &mut send };
            serve(&mut session, wire, &mut StaticStore::new(&FILES), buffers, &mut { clock }, &mut ());
        });
        assert_eq!(codes, expected, "{requests}");
    }
}

/// A store that has what it must have, and no more.
#[test]
fn a_store_that_can_put_and_delete_alone_refuses_the_rest() {
    let config = config();
    let clock = || Instant::from_millis(0);
    let requests = &REQUESTS[REQUESTS.find("{\"type\":\"rename").expect("it is there")..];
    let codes = codes(requests, |wire| {
        let mut session = ServerSession::new(&config, [0; 768], clock());
        let (mut receive, mut send) = ([0; 64], [0; 256]);
        let buffers = Buffers { receive: &mut receive, send: &mut send };
        serve_writable(&mut session, wire, &mut Memory::default(), buffers, &mut { clock }, &mut ());
    });
    assert_eq!(codes, ["unsupported", "unsupported", "end", "io"]);
}

/// What a store claims to have hashed is not stored without a digest.
#[test]
fn a_store_that_has_no_digest_after_all_stores_nothing() {
    let config = config();
    let clock = || Instant::from_millis(0);
    let requests = &REQUESTS[..REQUESTS.find("{\"type\":\"delete").expect("it is there")];
    let mut store = Memory { claims_to_hash: true, ..Memory::default() };
    let codes = codes(requests, |wire| {
        let mut session = ServerSession::new(&config, [0; 768], clock());
        let (mut receive, mut send) = ([0; 64], [0; 256]);
        let buffers = Buffers { receive: &mut receive, send: &mut send };
        serve_writable(&mut session, wire, &mut store, buffers, &mut { clock }, &mut ());
    });
    // The upload is opened, and then fails.
    assert_eq!(codes, ["end", "io"]);
    assert_eq!(store.stores, 0);
}

/// Where the owner has to permit each request, one that does not say how permits none.
#[cfg(feature = "rights")]
#[test]
fn an_owner_that_decides_nothing_permits_nothing() {
    let config = config().with_permits(true);
    let clock = || Instant::from_millis(0);
    let requests = &REQUESTS[REQUESTS.find("{\"type\":\"delete").expect("it is there")..];
    let codes = codes(requests, |wire| {
        let mut session = ServerSession::new(&config, [0; 768], clock());
        let (mut receive, mut send) = ([0; 64], [0; 256]);
        let buffers = Buffers { receive: &mut receive, send: &mut send };
        serve_writable(&mut session, wire, &mut Memory::default(), buffers, &mut { clock }, &mut ());
    });
    assert_eq!(codes, ["denied"; 5]);
}
