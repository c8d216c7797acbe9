//! A `Client` over the encrypted channel: what it asks, what it never says, and those who stand in between.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coracle::channel::{
    AcceptDeadlines, HandshakeCause, HandshakeError, HandshakeFailure, KeyPair, Psk, PublicKey, SecretKey, accept,
};
use coracle::client::{Address, Client, ClientChannel, Error, ErrorKind, GetOptions, ProgressEvent, ServerTrust};
use coracle::transport::{TcpTransport, TransportError};
use coracle::{FileName, StaticFile, StaticStore};
use coracle_core::blocking::{Buffers, serve};
use coracle_core::{Instant as CoreInstant, ServerConfig, ServerSession};
use socket2::{Domain, SockAddr, Socket, Type};

const NAME: FileName<'_> = FileName::from_static("payroll-of-2026.txt");

fn key(byte: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([byte; 32]).expect("not blank"))
}

fn psk(byte: u8) -> Psk {
    Psk::from_bytes([byte; 32]).expect("not blank")
}

type Begun = Result<PublicKey, HandshakeFailure<TransportError>>;

/// A server of one file, with the key 0x51 and the pre-shared key 0x53, until the test ends.
struct Server {
    address: SocketAddr,
    /// How each of its connections began: with a client's key, or not at all.
    begun: Arc<Mutex<Vec<Begun>>>,
    /// How many clients told their end.
    ended: Arc<AtomicUsize>,
}

impl Server {
    fn start(contents: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, begun: Arc::default(), ended: Arc::default() };
        let (begun, ended) = (Arc::clone(&server.begun), Arc::clone(&server.ended));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                thread::spawn(move || serve_one(stream.expect("a client"), contents, &begun, &ended));
            }
        });
        server
    }

    fn failures(&self) -> usize {
        self.begun.lock().expect("no panic").iter().filter(|begun| begun.is_err()).count()
    }
}

fn serve_one(stream: TcpStream, contents: &'static [u8], begun: &Mutex<Vec<Begun>>, ended: &AtomicUsize) {
    let transport = TcpTransport::new(socket2::Socket::from(stream));
    let mut channel = match accept(transport, &[], &key(0x51), &[psk(0x53)], AcceptDeadlines::new()) {
        Ok(channel) => channel,
        Err(failure) => return begun.lock().expect("no panic").push(Err(failure)),
    };
    begun.lock().expect("no panic").push(Ok(*channel.peer()));
    let files = [StaticFile::new(NAME.as_str(), "v1", contents)];
    let (config, begin) = (ServerConfig::new(), Instant::now());
    let mut clock = || CoreInstant::from_millis(u64::try_from(begin.elapsed().as_millis()).expect("soon"));
    let mut session = ServerSession::new(&config, [0; 1024], clock());
    let (mut store, mut receive, mut send) = (StaticStore::new(&files), [0; 4096], [0; 65536]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut channel, &mut store, buffers, &mut clock, &mut ());
    ended.fetch_add(usize::from(channel.has_peer_ended()), Ordering::SeqCst);
    // The client may be gone.
    let _ = channel.finish();
}

fn channel(trusted: u8) -> ClientChannel {
    ClientChannel::new(vec![*key(trusted).public()])
        .expect("random bytes")
        .with_key(key(0x52))
        .with_psks(vec![psk(0x53)])
}

fn client(address: SocketAddr, channel: ClientChannel) -> Client {
    Client::new(Address::from(address)).with_channel(Some(channel))
}

fn large() -> &'static [u8] {
    Vec::leak((0..1_000_000_u32).map(|number| (number >> 3) as u8).collect())
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn requests_are_made_over_one_channel_and_its_end_is_told() {
    let contents = large();
    let server = Server::start(contents);
    let mut client = client(server.address, channel(0x51));
    let mut fetched = Vec::new();
    client.get_to_writer(NAME, &mut fetched, &GetOptions::new(), &mut ()).expect("fetched");
    assert!(fetched == contents);
    assert_eq!(client.stat(NAME, None).expect("described").size, contents.len() as u64);
    let mut names = Vec::new();
    client
        .list(None, |entry| {
            names.push(entry.name.as_str().to_owned());
            Ok(())
        })
        .expect("listed");
    assert_eq!(names, [NAME.as_str()]);
    drop(client);
    eventually("the client's end", || server.ended.load(Ordering::SeqCst) == 1);
    let begun = server.begun.lock().expect("no panic");
    assert!(matches!(&begun[..], [Ok(client)] if client == key(0x52).public()), "{begun:?}");
}

#[test]
fn e5_another_pre_shared_key_is_told_once_and_not_tried_again() {
    let server = Server::start(b"");
    let mut client = client(server.address, channel(0x51).with_psks(vec![psk(0x54)]));
    let error = client.hello(|_| ()).expect_err("another key");
    assert!(!error.is_temporary() && error.kind() == ErrorKind::Network);
    assert!(
        error.to_string().contains("message 1 of the handshake was not answered: another pre-shared key"),
        "{error}"
    );
    eventually("the refusal", || server.failures() == 1);
}

#[test]
fn e5_the_next_pre_shared_key_is_tried_and_kept() {
    let server = Server::start(b"");
    let mut client = client(server.address, channel(0x51).with_psks(vec![psk(0x54), psk(0x53)]));
    client.hello(|_| ()).expect("the second one");
    client.hello(|_| ()).expect("the same connection");
    eventually("both attempts", || server.begun.lock().expect("no panic").len() == 2);
    assert_eq!(server.failures(), 1);
}

#[test]
fn e5_many_connections_try_a_wrong_pre_shared_key_once() {
    let server = Server::start(b"");
    let channel = channel(0x51).with_psks(vec![psk(0x54), psk(0x53)]);
    thread::scope(|scope| {
        for _ in 0..16 {
            let channel = channel.clone();
            scope.spawn(|| client(server.address, channel).hello(|_| ()).expect("the second one"));
        }
    });
    eventually("all handshakes", || server.begun.lock().expect("no panic").len() == 17);
    assert_eq!(server.failures(), 1);
}

/// Somebody in between who resets the first connections once message 1 has come.
fn resetting(server: SocketAddr, count: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.expect("a client");
            stream.read_exact(&mut [0; 52]).expect("message 1");
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
        }
        relay(&listener, server)
    });
    address
}

/// Passes on what the next client and the server send.
fn relay(listener: &TcpListener, server: SocketAddr) -> io::Result<u64> {
    let mut client = listener.accept()?.0;
    let mut upstream = TcpStream::connect(server)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, upstream.try_clone()?);
    thread::spawn(move || io::copy(&mut from_client, &mut to_server));
    io::copy(&mut upstream, &mut client)
}

#[test]
fn e7_a_server_that_resets_handshakes_is_tried_until_it_has_a_place() {
    let server = Server::start(b"");
    let notes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notes);
    // More resets than retries.
    let mut patient = client(resetting(server.address, 2), channel(0x51))
        .with_retries(1)
        .with_retry_observer(move |event| kept.lock().expect("no panic").push(event.to_string()));
    patient.hello(|_| ()).expect("a place");
    let notes = notes.lock().expect("no panic");
    assert!(notes.len() == 2 && notes.iter().all(|note| note.contains("answered by a reset")), "{notes:?}");
    let mut hasty = client(resetting(server.address, 2), channel(0x51)).with_retries(0);
    let error = hasty.hello(|_| ()).expect_err("no place");
    assert!(error.is_busy() && error.is_temporary() && error.kind() == ErrorKind::Network, "{error}");
}

/// A listener that refuses connections until its client has been refused `times`.
fn refusing(server: SocketAddr, times: usize) -> (SocketAddr, impl FnMut(&ProgressEvent<'_>) + Send) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("bind");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let mut refused = 0;
    let observe = move |event: &ProgressEvent<'_>| {
        assert!(event.to_string().contains("refused"), "{event}");
        refused += 1;
        if refused == times {
            socket.listen(8).expect("listen");
            let listener = TcpListener::from(socket.try_clone().expect("a copy"));
            thread::spawn(move || relay(&listener, server));
        }
    };
    (address, observe)
}

#[test]
fn e7_a_server_whose_key_is_known_and_that_refuses_connections_is_tried_until_it_has_a_place() {
    let server = Server::start(b"");
    let (address, observe) = refusing(server.address, 3);
    // More refusals than retries.
    let mut patient = client(address, channel(0x51)).with_retries(1).with_retry_observer(observe);
    patient.hello(|_| ()).expect("a place");
    let (address, _held) = refusing(server.address, 1);
    let error = client(address, channel(0x51)).with_retries(0).hello(|_| ()).expect_err("no place");
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

#[test]
fn e4_another_server_learns_nothing_and_is_asked_nothing() {
    let server = Server::start(b"");
    let error = client(server.address, channel(0x59)).hello(|_| ()).expect_err("another server");
    assert_eq!(error.kind(), ErrorKind::Verification);
    let text = error.to_string();
    assert!(text.contains(&key(0x51).public().to_string()) && text.contains(&key(0x59).public().to_string()), "{text}");
    eventually("the client left", || server.failures() == 1);
    let begun = server.begun.lock().expect("no panic");
    assert!(matches!(&begun[..], [Err(HandshakeFailure { message: 3, .. })]), "{begun:?}");
}

/// Trusts what it was asked about once.
#[derive(Default)]
struct Asks(Mutex<Vec<PublicKey>>);

impl ServerTrust for Asks {
    fn is_trusted(&self, key: &PublicKey) -> bool {
        self.0.lock().expect("no panic").contains(key)
    }

    fn review(&self, key: &PublicKey) -> Result<(), String> {
        self.0.lock().expect("no panic").push(*key);
        Ok(())
    }
}

#[test]
fn a_server_that_is_trusted_now_is_connected_to_again() {
    let server = Server::start(b"");
    let channel = ClientChannel::new(Asks::default()).expect("random bytes").with_psks(vec![psk(0x53)]);
    let made = *channel.key();
    client(server.address, channel).hello(|_| ()).expect("trusted");
    eventually("both handshakes", || server.begun.lock().expect("no panic").len() == 2);
    let begun = server.begun.lock().expect("no panic");
    assert_eq!(begun.iter().flatten().collect::<Vec<_>>(), [&made]);
}

/// A listener that answers what `script` says for each connection, and keeps what each has sent.
fn scripted(script: Vec<&'static [u8]>) -> (SocketAddr, thread::JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let served = thread::spawn(move || {
        let mut seen = Vec::new();
        for answer in script {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut first = [0; 52];
            stream.read_exact(&mut first).expect("message 1");
            stream.write_all(answer).expect("sent");
            stream.shutdown(Shutdown::Write).expect("ended");
            let mut all = first.to_vec();
            stream.read_to_end(&mut all).expect("the client leaves");
            seen.push(all);
        }
        seen
    });
    (address, served)
}

#[test]
fn e4_a_server_without_encryption_is_never_talked_to_in_plain() {
    for (answer, told) in [
        (&b"{\"type\":\"error\",\"code\":\"badRequest\",\"message\":\"x\\u001b\"}\n"[..], "badRequest"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "SSH-2.0"),
    ] {
        let (address, served) = scripted(vec![answer]);
        let error = client(address, channel(0x51)).hello(|_| ()).expect_err("plain");
        let text = error.to_string();
        assert!(
            text.contains("in plain") && text.contains("nobody has authenticated it") && text.contains(told),
            "{text}"
        );
        let seen = served.join().expect("no panic");
        assert!(seen.len() == 1 && seen[0].len() == 52 && seen[0].starts_with(&[0xc0, 1]), "{seen:?}");
    }
}

#[test]
fn e4_a_server_without_a_place_is_waited_for() {
    let (address, served) = scripted(vec![
        b"{\"type\":\"error\",\"code\":\"busy\",\"message\":\"no place\",\"retry_ms\":1}\n",
        b"{\"type\":\"error\",\"code\":\"shuttingDown\",\"retry_ms\":1}\n",
        b"",
    ]);
    let notes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notes);
    let mut client = client(address, channel(0x51))
        .with_retry_observer(move |event| kept.lock().expect("no panic").push(event.to_string()));
    let error = client.hello(|_| ()).expect_err("nothing at last");
    assert!(matches!(error, Error::Handshake { is_temporary: false, .. }), "{error}");
    assert_eq!(served.join().expect("no panic").len(), 3);
    let notes = notes.lock().expect("no panic");
    assert!(notes.len() == 2 && notes.iter().all(|note| note.contains("unauthenticated")), "{notes:?}");
}

/// Somebody in between: `change` gets the number of the connection and all that the server has sent on it, and returns what is let
/// through, and whether the connection ends there.
fn between(
    server: SocketAddr,
    change: impl Fn(usize, Vec<u8>) -> (Vec<u8>, bool) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let change = Arc::new(change);
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (mut client, change) = (client.expect("a client"), Arc::clone(&change));
            thread::spawn(move || {
                let mut upstream = TcpStream::connect(server).expect("the server");
                let (mut from_client, mut to_server) =
                    (client.try_clone().expect("a copy"), upstream.try_clone().expect("a copy"));
                thread::spawn(move || {
                    // Either end may leave at any time.
                    let _ = std::io::copy(&mut from_client, &mut to_server)
                        .and_then(|_| to_server.shutdown(Shutdown::Write));
                });
                let (mut all, mut passed, mut buf) = (Vec::new(), 0, [0; 4096]);
                while let Ok(len @ 1..) = upstream.read(&mut buf) {
                    all.extend_from_slice(&buf[..len]);
                    let (changed, is_end) = change(number, all.clone());
                    if client.write_all(&changed[passed..]).is_err() || is_end {
                        break;
                    }
                    passed = changed.len();
                }
                // Either end may be gone before.
                let _ = (client.shutdown(Shutdown::Write), upstream.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

#[test]
fn e4_a_fetch_that_is_cut_is_resumed_and_whole() {
    let contents = large();
    let server = Server::start(contents);
    let address = between(server.address, |number, mut all| {
        let limit = if number < 3 { 150_000 } else { usize::MAX };
        let is_end = all.len() >= limit;
        all.truncate(limit);
        (all, is_end)
    });
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fetched");
    client(address, channel(0x51)).get_to_path(NAME, &path, &GetOptions::new(), &mut ()).expect("fetched");
    assert!(fs::read(&path).expect("read") == contents);
    let begun = server.begun.lock().expect("no panic");
    assert!(begun.len() >= 4 && begun.iter().all(Result::is_ok), "{begun:?}");
}

#[test]
fn e4_what_is_changed_repeated_or_moved_on_the_way_is_never_written() {
    /// Where the record ends that begins here, once it is whole.
    fn end(all: &[u8], at: usize) -> Option<usize> {
        let len = usize::from(u16::from_be_bytes([*all.get(at)?, *all.get(at + 1)?]));
        Some(at + 2 + len).filter(|end| all.len() >= *end)
    }
    /// Where the first record behind message 2, of 102 bytes, ends, once the second is whole.
    fn second(all: &[u8]) -> Option<usize> {
        end(all, 102).filter(|at| end(all, *at).is_some())
    }
    let flip = |_: usize, mut all: Vec<u8>| {
        if let Some(byte) = all.get_mut(120) {
            *byte ^= 1;
        }
        let is_end = second(&all).is_some();
        (all, is_end)
    };
    let repeat = |_: usize, mut all: Vec<u8>| match second(&all) {
        None => (all[..all.len().min(102)].to_vec(), false),
        Some(at) => {
            let first = all[102..at].to_vec();
            all.splice(at..at, first);
            (all, true)
        }
    };
    let leave_out = |_: usize, mut all: Vec<u8>| match second(&all) {
        None => (all[..all.len().min(102)].to_vec(), false),
        Some(at) => {
            all.drain(102..at);
            (all, true)
        }
    };
    let server = Server::start(large());
    let directory = tempfile::tempdir().expect("a directory");
    for (what, address) in [
        ("changed", between(server.address, flip)),
        ("repeated", between(server.address, repeat)),
        ("left out", between(server.address, leave_out)),
    ] {
        let path = directory.path().join(what);
        let fetched =
            client(address, channel(0x51)).with_retries(0).get_to_path(NAME, &path, &GetOptions::new(), &mut ());
        let error = fetched.expect_err(what);
        assert!(matches!(error, Error::Connection { .. }), "{what}: {error}");
        assert!(error.to_string().contains("not the peer's, or was changed on the way"), "{what}: {error}");
        assert!(!path.exists(), "{what}");
    }
}

#[test]
fn e4_a_handshake_that_is_changed_is_told_and_not_tried_again() {
    let server = Server::start(b"");
    for at in [2, 40, 80, 101] {
        let address = between(server.address, move |_, mut all| {
            if let Some(byte) = all.get_mut(at) {
                *byte ^= 1;
            }
            (all, false)
        });
        let error = client(address, channel(0x51)).hello(|_| ()).expect_err("changed");
        let Error::Handshake { failure, is_temporary: false, .. } = &error else { panic!("{at}: {error}") };
        assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::Authentication)), "{at}: {failure}");
        assert!(error.to_string().contains("somebody may be in between"), "{error}");
    }
}

#[test]
fn a_server_that_never_answers_the_handshake_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut client = client(listener.local_addr().expect("an address"), channel(0x51))
        .with_connect_timeout(Some(Duration::from_millis(50)))
        .with_retries(1);
    let error = client.hello(|_| ()).expect_err("no answer");
    assert!(error.is_temporary() && error.to_string().contains("was not answered in time"), "{error}");
}
