//! The client's blocking driver over a scripted transport.

mod asking;

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use asking::{NAME, answer, header};
use coracle_core::blocking::{ClientError, Connection, Transport};
use coracle_core::exec::{ReadBackError, Sink, read_back};
use coracle_core::{
    ClientAction, ClientRequest, ClientSession, Code, DigestKind, End, Failure, GetRequest, Header, Instant,
    StartError, Violation,
};
use embedded_io::ErrorKind;

const FILE: &[u8] = b"hello, world";

#[derive(Clone, Copy, Debug, PartialEq)]
struct Broken(ErrorKind);

impl embedded_io::Error for Broken {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Broken {}

/// The result of a read or a write; after the last one, reads return the end of input and writes take everything.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Fail(ErrorKind),
    /// Blocks for so long, or until the limit.
    Wait(u64),
}

#[derive(Default)]
struct Wire {
    now: Rc<Cell<u64>>,
    reads: VecDeque<Step>,
    /// How much each write takes, or how it fails.
    writes: VecDeque<Result<usize, ErrorKind>>,
    flushes: VecDeque<ErrorKind>,
    limit_error: Option<ErrorKind>,
    sent: Vec<u8>,
    limits: Vec<Option<u64>>,
}

impl embedded_io::ErrorType for Wire {
    type Error = Broken;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Broken> {
        match self.reads.pop_front() {
            None => Ok(0),
            Some(Step::Fail(kind)) => Err(Broken(kind)),
            Some(Step::Wait(millis)) => {
                let limit = self.limits.last().copied().flatten().unwrap_or(u64::MAX);
                self.now.set(self.now.get() + millis.min(limit));
                if millis > limit {
                    self.reads.push_front(Step::Wait(millis - limit));
                    return Err(Broken(ErrorKind::TimedOut));
                }
                self.read(buf)
            }
            Some(Step::Bytes(mut bytes)) => {
                let len = bytes.len().min(buf.len());
                buf[..len].copy_from_slice(&bytes[..len]);
                bytes.drain(..len);
                if !bytes.is_empty() {
                    self.reads.push_front(Step::Bytes(bytes));
                }
                Ok(len)
            }
        }
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Broken> {
        let len = self.writes.pop_front().unwrap_or(Ok(usize::MAX)).map_err(Broken)?.min(buf.len());
        self.sent.extend_from_slice(&buf[..len]);
        assert!(self.sent.len() < 10_000, "the request is sent again and again");
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), Broken> {
        self.flushes.pop_front().map_or(Ok(()), |kind| Err(Broken(kind)))
    }
}

impl Transport for Wire {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), Broken> {
        self.limits.push(limit_ms);
        self.limit_error.map_or(Ok(()), |kind| Err(Broken(kind)))
    }
}

/// Stores a file, up to `room` bytes of it.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    room: usize,
    header: Option<Header>,
    readable: bool,
}

impl Held {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), room: usize::MAX, header: None, readable: true }
    }
}

impl Sink for Held {
    type Error = &'static str;

    fn begin(&mut self, header: &Header) -> Result<(), Self::Error> {
        self.header = Some(header.clone());
        if header.size > 1_000 { Err("too large") } else { Ok(()) }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        assert_eq!(usize::try_from(offset), Ok(self.bytes.len()));
        if self.bytes.len() + bytes.len() > self.room {
            return Err("full");
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error> {
        if !self.readable {
            return Err("unreadable");
        }
        let rest = &self.bytes[usize::try_from(offset).expect("short")..];
        let len = rest.len().min(buf.len()).min(2);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

type Line<C> = Connection<[u8; 1_024], [u8; 16], Wire, C>;

fn connection(wire: Wire) -> Line<impl FnMut() -> Instant> {
    connection_of(ClientSession::new([0; 1_024]), wire)
}

fn connection_of(session: ClientSession<[u8; 1_024]>, wire: Wire) -> Line<impl FnMut() -> Instant> {
    let now = Rc::clone(&wire.now);
    let mut readings = 0;
    Connection::new(session, wire, [0; 16], move || {
        readings += 1;
        // No test reads the clock so often: the driver loops.
        assert!(readings < 10_000, "the session makes no progress");
        Instant::from_millis(now.get())
    })
}

fn wire(reads: impl IntoIterator<Item = Step>) -> Wire {
    Wire { reads: reads.into_iter().collect(), ..Wire::default() }
}

fn bytes(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(bytes.as_ref().to_vec())
}

#[cfg(feature = "absolute")]
#[test]
fn a_log_is_described_with_what_is_left_of_it() {
    let log = header(FILE, 0).replace("\"crc32\"}", "\"none\",\"first\":7}");
    let mut connection = connection(wire([bytes(log)]));
    let told = connection.stat_absolute(NAME).expect("told");
    assert_eq!((told.size, told.first), (12, Some(7)));
    let sent = String::from_utf8(connection.transport_mut().sent.clone()).expect("text");
    assert!(sent.contains("\"type\":\"stat\"") && sent.contains("\"absolute\":true"), "{sent}");
}

#[test]
fn every_exchange_on_one_connection() {
    let hello = "{\"type\":\"hello\",\"protocol\":1,\"server\":\"s\",\"name\":\"n\",\"maxRequest\":512,\"chunkSize\":1,\"idle_ms\":0,\
                 \"request_ms\":0,\"stall_ms\":0,\"features\":[],\"digests\":[]}\n";
    let listing = "{\"type\":\"entry\",\"fileName\":\"a\",\"fileSize\":1}\n{\"type\":\"entry\",\"fileName\":\"b\",\"fileSize\":2}\n\
                   {\"type\":\"end\",\"count\":2}\n";
    let none = header(FILE, 0).replace("crc32", "none");
    let refusal = "{\"type\":\"error\",\"code\":\"notFound\",\"message\":\"no such file: a.txt\"}\n";
    let reads = [bytes(hello), bytes(listing), bytes(none), bytes(refusal), bytes(answer(FILE, 0))];
    let mut connection = connection(wire(reads));
    assert_eq!(connection.hello(|hello| hello.name.to_owned()), Ok("n".to_owned()));
    let mut names = Vec::new();
    let listing = connection.list(None, |entry| {
        names.push(entry.name.as_str().to_owned());
        Ok::<_, Infallible>(())
    });
    assert_eq!((listing.expect("listed").count, names.as_slice()), (2, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(connection.stat(NAME, None).expect("told").size, 12);
    assert_eq!(connection.stat(NAME, Some(DigestKind::Crc32)), Err(ClientError::Refused(Some(Code::NotFound))));
    assert_eq!(connection.refusal().map(|refusal| refusal.text.to_owned()), Some("no such file: a.txt".to_owned()));
    assert!(connection.is_idle());
    let mut held = Held::new(b"");
    let Ok(End::Verified(verified)) = connection.get(&GetRequest::new(NAME), &mut &mut held) else {
        panic!("not verified")
    };
    assert!(verified.is_whole());
    assert_eq!((held.bytes.as_slice(), held.header.map(|header| header.length)), (FILE, Some(12)));
    assert!(connection.is_idle());
    let requests = String::from_utf8(connection.transport_mut().sent.clone()).expect("text");
    assert_eq!(
        requests,
        "{\"type\":\"hello\"}\n{\"type\":\"list\"}\n{\"type\":\"stat\",\"fileName\":\"a.txt\"}\n\
         {\"type\":\"stat\",\"fileName\":\"a.txt\",\"digest\":\"crc32\"}\n{\"type\":\"get\",\"fileName\":\"a.txt\"}\n"
    );
    // The responses came immediately, so the limit did not change.
    assert_eq!(connection.transport_mut().limits, [Some(30_000)]);
    assert_eq!(connection.hello(|_| ()), Err(ClientError::Failed(Failure::Closed)));
    assert!(!connection.is_idle());
    assert_eq!(connection.hello(|_| ()), Err(ClientError::Failed(Failure::Closed)));
    let (wire, buf, receive) = connection.into_parts();
    assert!(wire.reads.is_empty() && buf.len() == 1_024 && receive.len() == 16);
}

/// K1 and K2: interrupted calls and short ones.
#[test]
fn k1_k2_interrupted_and_short_calls_change_nothing() {
    let mut reads: Vec<Step> = Vec::new();
    for byte in answer(FILE, 0) {
        reads.extend([Step::Fail(ErrorKind::Interrupted), bytes([byte])]);
    }
    let mut wire = wire(reads);
    wire.writes = [Err(ErrorKind::Interrupted), Ok(1), Err(ErrorKind::Interrupted), Ok(3)].into();
    wire.flushes = [ErrorKind::Interrupted, ErrorKind::TimedOut].into();
    let mut connection = connection(wire);
    let mut held = Held::new(b"");
    assert!(matches!(connection.get(&GetRequest::new(NAME), &mut held), Ok(End::Verified(_))));
    assert_eq!(held.bytes, FILE);
    assert_eq!(connection.transport_mut().sent, b"{\"type\":\"get\",\"fileName\":\"a.txt\"}\n");
}

#[test]
fn resumes_from_what_is_held() {
    let get = GetRequest::new(NAME).with_offset(5).with_digest_from(Some(0));
    let mut held = Held::new(b"hello");
    assert!(matches!(connection(wire([bytes(answer(FILE, 5))])).get(&get, &mut &mut held), Ok(End::Verified(_))));
    assert_eq!(held.bytes, FILE);

    // Read back before the connection is made.
    let mut session = ClientSession::new([0; 1_024]);
    session.start(ClientRequest::Get(get), Instant::from_millis(0)).expect("idle");
    let mut held = Held::new(b"hello");
    let clock = || Instant::from_millis(9);
    read_back(&mut session, &mut held, &mut [0; 4], clock).expect("read back");
    assert!(matches!(session.action(), ClientAction::SendBytes { .. }));
    read_back(&mut session, &mut held, &mut [0; 4], clock).expect("nothing left to do");
    let mut connection = connection_of(session, wire([bytes(answer(FILE, 5))]));
    assert!(matches!(connection.finish_get(&mut held), Ok(End::Verified(_))));
    assert_eq!(connection.finish_get(&mut held), Err(ClientError::Start(StartError::NotStarted)));
}

#[test]
fn what_cannot_be_read_back_is_not_asked_for() {
    let get = GetRequest::new(NAME).with_offset(5).with_digest_from(Some(0));
    let mut connection = connection(wire([bytes(answer(FILE, 0))]));
    let mut short = Held::new(b"hell");
    assert_eq!(connection.get(&get, &mut short), Err(ClientError::TooFewToReadBack));
    let mut unreadable = Held { readable: false, ..Held::new(b"hello") };
    assert_eq!(connection.get(&get, &mut unreadable), Err(ClientError::Sink("unreadable")));
    assert!(connection.transport_mut().sent.is_empty() && connection.is_idle());
    assert!(matches!(connection.get(&GetRequest::new(NAME), &mut Held::new(b"")), Ok(End::Verified(_))));

    struct Blind;
    impl Sink for Blind {
        type Error = Infallible;

        fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Infallible> {
            Ok(())
        }
    }
    let mut session = ClientSession::new([0; 1_024]);
    session.start(ClientRequest::Get(get), Instant::from_millis(0)).expect("idle");
    let read = read_back(&mut session, &mut Blind, &mut [0; 4], || Instant::from_millis(0));
    assert_eq!(read, Err(ReadBackError::TooFew));

    // Another request is started while bytes still have to be read back.
    session.start(ClientRequest::Get(get), Instant::from_millis(0)).expect("idle");
    let mut connection = connection_of(session, wire([]));
    assert_eq!(connection.hello(|_| ()), Err(ClientError::Start(StartError::NotIdle)));
}

#[test]
fn a_sink_that_fails_ends_the_connection() {
    let mut connection = connection(wire([bytes(answer(FILE, 0))]));
    let mut held = Held { room: 3, ..Held::new(b"") };
    assert_eq!(connection.get(&GetRequest::new(NAME), &mut held), Err(ClientError::Sink("full")));
    assert_eq!(connection.hello(|_| ()), Err(ClientError::Failed(Failure::Abandoned)));

    let large = header(&[0; 1_001], 0);
    let mut held = Held::new(b"");
    assert_eq!(
        connection_of(ClientSession::new([0; 1_024]), wire([bytes(large)])).get(&GetRequest::new(NAME), &mut held),
        Err(ClientError::Sink("too large"))
    );

    let listing = "{\"type\":\"entry\",\"fileName\":\"a\",\"fileSize\":1}\n";
    let listed = connection_of(ClientSession::new([0; 1_024]), wire([bytes(listing)])).list(None, |_| Err("enough"));
    assert_eq!(listed, Err(ClientError::Sink("enough")));
}

/// K5: a read that reaches the limit is a time-out, neither an error nor a wait without end.
#[test]
fn k5_a_stall_is_noticed_on_time() {
    let answer = answer(FILE, 0);
    let (first, rest) = answer.split_at(150);
    let reads = [Step::Wait(29_000), bytes(first), Step::Wait(29_000), bytes(rest)];
    let mut slow = connection(wire(reads));
    assert!(matches!(slow.get(&GetRequest::new(NAME), &mut Held::new(b"")), Ok(End::Verified(_))));
    assert_eq!(slow.transport_mut().limits, [Some(30_000)]);

    let mut stalled = connection(wire([bytes(first), Step::Wait(30_001), bytes(rest)]));
    let got = stalled.get(&GetRequest::new(NAME), &mut Held::new(b""));
    assert_eq!(got, Err(ClientError::Failed(Failure::Stalled)));
    assert_eq!(stalled.transport_mut().now.get(), 30_000);

    // A transport that returns too early is called again for the rest.
    let mut early = wire([
        Step::Fail(ErrorKind::TimedOut),
        Step::Wait(10_000),
        Step::Fail(ErrorKind::TimedOut),
        Step::Wait(30_001),
    ]);
    early.writes = [Err(ErrorKind::TimedOut)].into();
    let mut early = connection(early);
    assert_eq!(early.hello(|_| ()), Err(ClientError::Failed(Failure::Stalled)));
    assert_eq!(early.transport_mut().limits, [Some(30_000), Some(20_000)]);
    assert_eq!(early.transport_mut().now.get(), 30_000);
    assert_eq!(early.transport_mut().sent, b"{\"type\":\"hello\"}\n");

    let endless = ClientSession::new([0; 1_024]).with_stall_ms(0);
    let mut endless = connection_of(endless, wire([Step::Wait(u64::MAX), Step::Fail(ErrorKind::ConnectionReset)]));
    assert_eq!(endless.hello(|_| ()), Err(ClientError::Transport(Broken(ErrorKind::ConnectionReset))));
    assert_eq!(endless.transport_mut().limits, []);
}

/// K4: connections that break, while sending and while receiving.
#[test]
fn k4_what_broke_is_told() {
    let kind = ErrorKind::ConnectionReset;
    let mut reset = connection(wire([bytes(&answer(FILE, 0)[..150]), Step::Fail(kind)]));
    assert_eq!(reset.get(&GetRequest::new(NAME), &mut Held::new(b"")), Err(ClientError::Transport(Broken(kind))));
    assert_eq!(reset.hello(|_| ()), Err(ClientError::Failed(Failure::Closed)));

    let unsent = |writes: &[Result<usize, ErrorKind>], reads: &[Step]| {
        let mut wire = wire(reads.to_vec());
        wire.writes = writes.to_vec().into();
        connection(wire).hello(|_| ())
    };
    assert_eq!(
        unsent(&[Ok(3), Err(ErrorKind::BrokenPipe)], &[]),
        Err(ClientError::Transport(Broken(ErrorKind::BrokenPipe)))
    );
    assert_eq!(unsent(&[Ok(0)], &[]), Err(ClientError::Failed(Failure::SendFailed)));
    // The server's error line counts more than the transport's error.
    let busy = bytes("{\"type\":\"error\",\"code\":\"busy\",\"message\":\"\"}\n");
    assert_eq!(unsent(&[Err(ErrorKind::BrokenPipe)], &[busy]), Err(ClientError::Failed(Failure::Ended(Code::Busy))));

    let mut unflushed = wire([]);
    unflushed.flushes = [ErrorKind::BrokenPipe].into();
    assert_eq!(connection(unflushed).hello(|_| ()), Err(ClientError::Transport(Broken(ErrorKind::BrokenPipe))));

    let mut unlimited = wire([]);
    unlimited.limit_error = Some(ErrorKind::Other);
    let mut unlimited = connection(unlimited);
    assert_eq!(unlimited.hello(|_| ()), Err(ClientError::Transport(Broken(ErrorKind::Other))));
    assert!(unlimited.transport_mut().sent.is_empty());
}

/// A server that ends the connection instead of responding is reported as such, whatever was requested.
#[test]
fn what_comes_unasked_is_no_answer() {
    for code in [Code::Busy, Code::Timeout, Code::ShuttingDown] {
        let line = || wire([bytes(format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"\"}}\n"))]);
        let ended = ClientError::Failed(Failure::Ended(code));
        assert_eq!(connection(line()).hello(|_| ()), Err(ended));
        assert_eq!(connection(line()).stat(NAME, None), Err(ended));
        assert_eq!(connection(line()).list(None, |_| Ok::<_, Infallible>(())).err(), Some(ended));
        assert_eq!(
            connection(line()).get(&GetRequest::new(NAME), &mut Held::new(b"")).err(),
            Some(ClientError::Failed(Failure::Ended(code)))
        );
    }
}

/// A sink that only writes: it takes any file, and cannot resume.
#[test]
fn a_sink_need_not_do_more_than_write() {
    #[derive(Default)]
    struct Memory(Vec<u8>);
    impl Sink for Memory {
        type Error = Infallible;

        fn write(&mut self, _: u64, bytes: &[u8]) -> Result<(), Infallible> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    let mut memory = Memory::default();
    let end = connection(wire([bytes(answer(FILE, 0))])).get(&GetRequest::new(NAME), &mut memory);
    assert!(matches!(end, Ok(End::Verified(verified)) if verified.is_whole()));
    assert_eq!(memory.0, FILE);
    let resume = GetRequest::new(NAME).with_offset(5).with_digest_from(Some(0));
    let end = connection(wire([])).get(&resume, &mut &mut memory);
    assert_eq!(end, Err(ClientError::TooFewToReadBack));
}

#[test]
fn bytes_behind_an_answer_are_seen_before_the_next_request() {
    let with_tail = |tail: &str| {
        let mut input = answer(FILE, 0);
        input.extend_from_slice(tail.as_bytes());
        // In one piece, so that the tail arrives with the last bytes of the response.
        let mut connection = Connection::new(ClientSession::new([0; 1_024]), wire([bytes(input)]), [0; 4_096], || {
            Instant::from_millis(0)
        });
        assert!(matches!(connection.get(&GetRequest::new(NAME), &mut Held::new(b"")), Ok(End::Verified(_))));
        let told = connection.hello(|_| ());
        assert_eq!(connection.transport_mut().sent.iter().filter(|byte| **byte == b'\n').count(), 1);
        told
    };
    assert_eq!(with_tail("x"), Err(ClientError::Failed(Failure::Violation(Violation::LineStart))));
    assert_eq!(with_tail("{\"type\":"), Err(ClientError::Failed(Failure::Closed)));
    assert_eq!(
        with_tail("{\"type\":\"error\",\"code\":\"shuttingDown\"}\n"),
        Err(ClientError::Failed(Failure::Ended(Code::ShuttingDown)))
    );
}

#[test]
fn errors_read_as_fragments() {
    type Error = ClientError<Broken, Broken>;
    let errors: [(Error, &str); 8] = [
        (ClientError::Start(StartError::NameDoesNotFit), "the name is too long to be asked of this server"),
        (ClientError::Refused(Some(Code::NotFound)), "the server refused the request: notFound"),
        (ClientError::Refused(None), "the server refused the request"),
        (ClientError::Failed(Failure::Violation(Violation::Name)), "the server answered with another file"),
        (ClientError::Failed(Failure::Ended(Code::Busy)), "the server is busy"),
        (ClientError::Transport(Broken(ErrorKind::BrokenPipe)), "the connection broke: BrokenPipe"),
        (ClientError::Sink(Broken(ErrorKind::Other)), "Other"),
        (ClientError::TooFewToReadBack, "less is there to go on from than the request says"),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), text);
        assert!(std::error::Error::source(&error).is_none());
    }
}
