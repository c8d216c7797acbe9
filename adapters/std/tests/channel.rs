//! The encrypted channel over TCP, from PC to PC: whole exchanges, a listener in the middle, cuts, refusals and deadlines.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coracle::channel::{
    AcceptDeadlines, ChannelError, ChannelTransport, HandshakeCause, HandshakeError, HandshakeFailure, KeyPair, Psk,
    PublicKey, RecordError, SecretKey, accept, connect, new_psk, new_secret_key,
};
use coracle::transport::TcpTransport;
use coracle::{FileName, StaticFile, StaticStore};
use coracle_core::blocking::{Buffers, Connection, Transport, serve};
use coracle_core::exec::Sink;
use coracle_core::{ClientSession, DigestKind, End, GetRequest, Instant as CoreInstant, ServerConfig, ServerSession};
use embedded_io::{Error as _, ErrorKind, ErrorType, Read, Write};
use socket2::Socket;

const NAME: &str = "payroll-of-2026.txt";
const CONTENTS: &[u8] = b"Everybody gets the same.\n";
type Tcp = TcpTransport<Socket>;

/// A server's keys and a client's.
struct Keys {
    server: KeyPair,
    client: KeyPair,
    psks: Vec<Psk>,
}

impl Keys {
    fn new() -> Self {
        let [server, client] = [0x51, 0x52].map(|byte| SecretKey::from_bytes([byte; 32]).expect("not blank"));
        let psks = [0x53, 0x54].map(|byte| Psk::from_bytes([byte; 32]).expect("not blank"));
        Self { server: KeyPair::new(server), client: KeyPair::new(client), psks: psks.into() }
    }

    fn accept<T: Transport>(&self, transport: T) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
        accept(transport, &[], &self.server, &self.psks, AcceptDeadlines::new())
    }

    fn connect<T: Transport>(&self, transport: T) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
        connect(transport, &self.client, self.psks.last(), soon(), |key| key == self.server.public())
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Both ends of a connection.
fn pair() -> (Tcp, Tcp) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
    (TcpTransport::new(stream.into()), TcpTransport::new(listener.accept().expect("accept").0.into()))
}

/// Serves one file until the client is done.
fn serve_one(mut channel: ChannelTransport<impl Transport>, contents: &'static [u8]) {
    let files = [StaticFile::new(NAME, "v1", contents)];
    let (config, begin) = (ServerConfig::new(), Instant::now());
    let mut clock = || CoreInstant::from_millis(u64::try_from(begin.elapsed().as_millis()).expect("soon"));
    let mut session = ServerSession::new(&config, [0; 1024], clock());
    let (mut store, mut receive, mut send) = (StaticStore::new(&files), [0; 4096], [0; 65536]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut channel, &mut store, buffers, &mut clock, &mut ());
    channel.finish().expect("the client is there");
}

#[derive(Default)]
struct Kept(Vec<u8>);

impl Sink for Kept {
    type Error = ErrorKind;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ErrorKind> {
        assert_eq!(usize::try_from(offset), Ok(self.0.len()));
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn read_back(&mut self, _: u64, _: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(0)
    }
}

/// Fetches the one file, and returns it with the channel.
fn fetch<T: Transport>(channel: ChannelTransport<T>) -> (Vec<u8>, ChannelTransport<T>) {
    let begin = Instant::now();
    let clock = move || CoreInstant::from_millis(u64::try_from(begin.elapsed().as_millis()).expect("soon"));
    let mut client = Connection::new(ClientSession::new([0; 1024]), channel, [0; 4096], clock);
    let name = FileName::new(NAME).expect("a name");
    let mut kept = Kept::default();
    for _ in 0..2 {
        kept = Kept::default();
        let get = GetRequest::new(name).with_digest(Some(DigestKind::Sha256));
        let end = client.get(&get, &mut kept).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(matches!(end, End::Verified(_)), "{end:?}");
    }
    (kept.0, client.into_parts().0)
}

#[test]
fn a_file_is_fetched_through_the_channel() {
    let keys = Keys::new();
    // More than a few records.
    let contents: &'static [u8] = Vec::leak((0..1_000_000_u32).map(|number| (number >> 3) as u8).collect());
    let (client, server) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            let channel = keys.accept(server).expect("a client");
            assert_eq!((channel.peer(), channel.psk()), (keys.client.public(), Some(1)));
            serve_one(channel, contents);
        });
        let channel = keys.connect(client).expect("the server");
        assert_eq!(channel.peer(), keys.server.public());
        let (fetched, mut channel) = fetch(channel);
        assert!(fetched == contents);
        channel.finish().expect("the server is there");
        assert_eq!(channel.read(&mut [0; 16]), Ok(0));
        assert!(channel.has_peer_ended());
    });
}

/// Reads and writes little, and writes late once it is told to.
struct Choppy<'a> {
    inner: Tcp,
    calls: usize,
    is_late: &'a AtomicBool,
}

impl ErrorType for Choppy<'_> {
    type Error = ErrorKind;
}

impl Read for Choppy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.calls += 1;
        let len = buf.len().min(1 + self.calls * 37 % 3000);
        self.inner.read(&mut buf[..len]).map_err(|error| error.kind())
    }
}

impl Write for Choppy<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.calls += 1;
        match self.calls % 5 {
            0 if self.is_late.load(Ordering::Relaxed) => Err(ErrorKind::TimedOut),
            1 => Err(ErrorKind::Interrupted),
            _ => self.inner.write(&buf[..buf.len().min(1 + self.calls * 91 % 5000)]).map_err(|error| error.kind()),
        }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Transport for Choppy<'_> {}

#[test]
fn what_leaves_late_and_in_parts_is_whole() {
    let keys = Keys::new();
    let (client, server) = pair();
    let is_late = AtomicBool::new(false);
    let sent: Vec<u8> = (0..300_000_u32).map(|number| (number >> 2) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut channel = keys.accept(Choppy { inner: server, calls: 0, is_late: &is_late }).expect("a client");
            is_late.store(true, Ordering::Relaxed);
            let mut rest = &sent[..];
            while !rest.is_empty() {
                // Pieces of which more follows, and those behind which the record is sealed.
                let len = rest.len().min(7_001);
                match channel.write_part(&rest[..len], len.is_multiple_of(3)) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                }
            }
            while let Err(error) = channel.finish() {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
        });
        let in_time = AtomicBool::new(false);
        let mut channel = keys.connect(Choppy { inner: client, calls: 0, is_late: &in_time }).expect("the server");
        let (mut received, mut buf) = (Vec::new(), [0; 10_000]);
        loop {
            match channel.read(&mut buf).expect("the server is there") {
                0 => break,
                len => received.extend_from_slice(&buf[..len]),
            }
        }
        assert!(received == sent && channel.has_peer_ended());
    });
}

/// A proxy that lets so many bytes of the server through, and keeps all that passed.
fn proxy(server: SocketAddr, mut limit: usize) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut upstream = TcpStream::connect(server).expect("the server");
        let (mut from_client, mut to_server) =
            (client.try_clone().expect("a copy"), upstream.try_clone().expect("a copy"));
        let kept = Arc::clone(&keep);
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(len @ 1..) = from_client.read(&mut buf) {
                kept.lock().expect("kept").extend_from_slice(&buf[..len]);
                if to_server.write_all(&buf[..len]).is_err() {
                    return;
                }
            }
            // The server may be gone before.
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let mut buf = [0; 4096];
        while let Ok(len @ 1..) = upstream.read(&mut buf) {
            let len = len.min(limit);
            limit -= len;
            keep.lock().expect("kept").extend_from_slice(&buf[..len]);
            if client.write_all(&buf[..len]).is_err() || limit == 0 {
                break;
            }
        }
        // Either end may be gone before.
        let _ = (client.shutdown(Shutdown::Write), upstream.shutdown(Shutdown::Both));
    });
    (address, seen)
}

/// A server of one client behind a proxy, and the connection to that.
fn behind(limit: usize) -> (Tcp, TcpListener, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let (address, seen) = proxy(listener.local_addr().expect("an address"), limit);
    (TcpTransport::new(TcpStream::connect(address).expect("connect").into()), listener, seen)
}

fn accepted(listener: &TcpListener) -> Tcp {
    TcpTransport::new(listener.accept().expect("accept").0.into())
}

#[test]
fn e11_nothing_of_names_contents_or_keys_is_in_the_clear() {
    let keys = Keys::new();
    let (client, listener, seen) = behind(usize::MAX);
    thread::scope(|scope| {
        scope.spawn(|| serve_one(keys.accept(accepted(&listener)).expect("a client"), CONTENTS));
        let (fetched, mut channel) = fetch(keys.connect(client).expect("the server"));
        assert_eq!(fetched, CONTENTS);
        channel.finish().expect("the server is there");
        assert_eq!(channel.read(&mut [0; 16]), Ok(0));
    });
    let seen = seen.lock().expect("kept");
    assert!(seen.len() > 2 * CONTENTS.len());
    for secret in [
        NAME.as_bytes(),
        &NAME.as_bytes()[..7],
        CONTENTS,
        &CONTENTS[..9],
        b"fileName",
        b"type",
        keys.server.public().as_bytes(),
        keys.client.public().as_bytes(),
        keys.server.secret().as_bytes(),
        keys.psks[1].as_bytes(),
    ] {
        assert!(!seen.windows(secret.len()).any(|window| window == secret), "{}", secret.escape_ascii());
    }
}

#[test]
fn e3_an_answer_that_is_cut_is_truncated() {
    let keys = Keys::new();
    // Within message 2, behind it, within a record, between two, before and within the end.
    for limit in [0, 50, 101, 102, 110, 125, 158, 165, 175] {
        let (client, listener, _) = behind(limit);
        thread::scope(|scope| {
            scope.spawn(|| {
                let Ok(mut channel) = keys.accept(accepted(&listener)) else { return };
                // The client may be gone before.
                let _ = channel
                    .write(b"a body")
                    .and_then(|_| channel.write(b", in two parts"))
                    .and_then(|_| channel.finish());
            });
            match keys.connect(client) {
                Err(failure) => {
                    assert!(limit < 102, "cut at {limit}: {failure}");
                    assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::Closed)), "{failure:?}");
                    assert!(failure.to_string().contains("message 1"), "{failure}");
                }
                Ok(mut channel) => {
                    let (mut received, mut buf) = (Vec::new(), [0; 4]);
                    let error = loop {
                        match channel.read(&mut buf) {
                            Ok(len) => received.extend_from_slice(&buf[..len]),
                            Err(error) => break error,
                        }
                        assert!(received.len() < 100, "an end at {limit}: {}", received.escape_ascii());
                    };
                    assert_eq!(error, ChannelError::Record(RecordError::Truncated), "cut at {limit}");
                    assert!(b"a body, in two parts".starts_with(&received) && !channel.has_peer_ended());
                }
            }
        });
    }
}

#[test]
fn e5_another_pre_shared_key_hears_nothing() {
    let keys = Keys::new();
    let other = Psk::from_bytes([0x99; 32]).expect("not blank");
    let (client, server) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            let failure = keys.accept(server).expect_err("another key");
            assert_eq!(failure.message, 1);
            assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::Authentication)), "{failure}");
        });
        let failure = connect(client, &keys.client, Some(&other), soon(), |_| true).expect_err("another key");
        assert!(failure.received.is_empty());
        assert!(failure.to_string().contains("another pre-shared key"), "{failure}");
    });
}

#[test]
fn e4_another_server_learns_nothing() {
    let keys = Keys::new();
    let (client, server) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            let failure = keys.accept(server).expect_err("the client leaves");
            assert_eq!(failure.message, 3);
            assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::Closed)), "{failure}");
        });
        let meant = PublicKey::from_bytes([1; 32]);
        let refused = connect(client, &keys.client, keys.psks.first(), soon(), |key| *key == meant);
        let failure = refused.map(drop).expect_err("another server");
        assert!(failure.to_string().contains(&keys.server.public().to_string()), "{failure}");
    });
}

#[test]
fn e4_a_plain_line_before_message_2_is_shown_as_it_is() {
    const BUSY: &[u8] = b"{\"type\":\"error\",\"code\":\"busy\"}\n";
    let keys = Keys::new();
    let (client, mut server) = pair();
    server.write(BUSY).expect("sent");
    let failure = keys.connect(client).map(drop).expect_err("busy");
    assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::NotEncrypted)), "{failure}");
    assert_eq!(failure.received, BUSY);
}

#[test]
fn a_client_that_says_nothing_is_given_up() {
    let keys = Keys::new();
    let short = Duration::from_millis(50);
    for message in [1, 3] {
        let (client, server) = pair();
        thread::scope(|scope| {
            let late = scope.spawn(|| {
                let deadlines =
                    AcceptDeadlines::new().with_first(if message == 1 { short } else { Duration::from_secs(20) });
                accept(server, &[], &keys.server, &keys.psks, deadlines.with_third(short)).map(drop)
            });
            if message == 3 {
                // It stops to decide, for ever.
                let stopped = connect(client, &keys.client, keys.psks.first(), soon(), |_| {
                    let failure = late.join().expect("no panic").expect_err("late");
                    assert!(failure.message == 3 && matches!(failure.cause, HandshakeCause::TimedOut), "{failure}");
                    false
                });
                assert!(stopped.is_err());
            } else {
                let failure = late.join().expect("no panic").expect_err("late");
                assert!(failure.message == 1 && matches!(failure.cause, HandshakeCause::TimedOut), "{failure}");
                drop(client);
            }
        });
    }
}

#[test]
fn what_was_received_before_and_behind_the_handshake_counts() {
    let keys = Keys::new();
    let (client, mut server) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut channel = keys.connect(client).expect("the server");
            channel.write(b"at once").expect("sent");
            channel.finish().expect("sent");
        });
        let mut first = [0; 20];
        let len = server.read(&mut first).expect("message 1");
        let channel = accept(server, &first[..len], &keys.server, &keys.psks, AcceptDeadlines::new());
        let (mut channel, mut received) = (channel.expect("a client"), Vec::new());
        let mut buf = [0; 3];
        while let Ok(len @ 1..) = channel.read(&mut buf) {
            received.extend_from_slice(&buf[..len]);
        }
        assert_eq!(received, b"at once");
        assert!(channel.has_peer_ended() && channel.records() > 0);
    });
}

#[test]
fn nothing_is_sent_behind_the_end() {
    let keys = Keys::new();
    let (client, server) = pair();
    thread::scope(|scope| {
        scope.spawn(|| keys.accept(server).expect("a client").finish().expect("sent"));
        let mut channel = keys.connect(client).expect("the server");
        assert_eq!(channel.read(&mut [0; 4]), Ok(0));
        channel.finish().expect("sent");
        channel.finish().expect("no second end");
        assert_eq!(channel.write(b"more"), Err(ChannelError::Ended));
    });
}

#[test]
fn new_keys_differ() {
    let [one, other] = [(); 2].map(|()| new_secret_key().expect("random bytes"));
    assert_ne!(one.as_bytes(), other.as_bytes());
    assert_ne!(new_psk().expect("random bytes").as_bytes(), new_psk().expect("random bytes").as_bytes());
}
