//! Clients that come encrypted: a session by the functions of C, and the other end of its channel.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::null_mut;

use coracle_c::*;
use coracle_channel::{
    Channel, ClientHandshake, Entropy, HandshakeAction, KeyPair, PLAINTEXT_OFFSET, Psk, Receiver, RecordLimit,
    SecretKey,
};

type Memory = [u64; 512];
const SIZE: usize = size_of::<Memory>();
const OK: StatusValue = StatusValue(Status::Ok as u8);
const SECRET: [u8; 32] = [0x51; 32];
const SHARED: [u8; 32] = [0x53; 32];

/// What the callbacks have and were told.
struct Device {
    secret: Option<[u8; 32]>,
    psks: Vec<[u8; 32]>,
    entropy: Option<[u8; 32]>,
    rights: Option<&'static CStr>,
    /// The key of the client that was asked for last, and the place of its pre-shared one.
    client: Option<([u8; 32], usize)>,
}

impl Device {
    const fn new() -> Self {
        let (secret, entropy) = (Some(SECRET), Some([0x61; 32]));
        Self { secret, psks: Vec::new(), entropy, rights: Some(c"read"), client: None }
    }
}

unsafe fn device<'a>(user: *mut c_void) -> &'a mut Device {
    // SAFETY: the store's `user`, which is used by one callback at a time.
    unsafe { &mut *user.cast() }
}

unsafe fn store_key(place: *mut u8, key: Option<[u8; 32]>) -> bool {
    // SAFETY: a place of 32 bytes from the library.
    key.map(|key| unsafe { place.cast::<[u8; 32]>().write(key) }).is_some()
}

unsafe extern "C" fn secret(user: *mut c_void, key: *mut u8) -> bool {
    // SAFETY: as the library calls it.
    unsafe { store_key(key, device(user).secret) }
}

unsafe extern "C" fn psk(user: *mut c_void, index: usize, key: *mut u8) -> bool {
    // SAFETY: as the library calls it.
    unsafe { store_key(key, device(user).psks.get(index).copied()) }
}

unsafe extern "C" fn entropy(user: *mut c_void, bytes: *mut u8) -> bool {
    // SAFETY: as the library calls it.
    unsafe { store_key(bytes, device(user).entropy) }
}

unsafe extern "C" fn rights(user: *mut c_void, client: *const Client) -> *const c_char {
    // SAFETY: as the library calls it.
    let (device, client) = unsafe { (device(user), &*client) };
    // SAFETY: NULL, or 32 bytes.
    let key = (!client.key.is_null()).then(|| unsafe { *client.key.cast::<[u8; 32]>() });
    device.client = key.map(|key| (key, client.psk));
    device.rights.map_or(core::ptr::null(), CStr::as_ptr)
}

unsafe extern "C" fn open(_: *mut c_void, _: *const c_char, _: *mut *mut c_void) -> StatusValue {
    OK
}

unsafe extern "C" fn stat(_: *mut c_void, _: *mut c_void, info: *mut FileInfo) -> StatusValue {
    // SAFETY: a place from the library.
    let info = unsafe { &mut *info };
    (info.size, info.version[0]) = (3_000, c_char::from_ne_bytes([b'v']));
    OK
}

unsafe extern "C" fn read(
    _: *mut c_void,
    _: *mut c_void,
    offset: u64,
    buf: *mut u8,
    len: usize,
    taken: *mut usize,
) -> StatusValue {
    // SAFETY: places from the library.
    let (buf, taken) = unsafe { (std::slice::from_raw_parts_mut(buf, len), &mut *taken) };
    buf.iter_mut().zip(offset..).for_each(|(place, offset)| *place = contents(offset));
    *taken = len;
    OK
}

unsafe extern "C" fn close(_: *mut c_void, _: *mut c_void) {}

unsafe extern "C" fn next(_: *mut c_void, _: *mut c_void, _: *mut Entry) -> StatusValue {
    OK
}

fn contents(offset: u64) -> u8 {
    offset.to_le_bytes()[0]
}

/// A server, one of its connections, and what is on its way.
struct Server {
    device: Box<Device>,
    _store: Box<Store>,
    keys: Box<Keys>,
    memory: Box<[Memory; 3]>,
    now: u64,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// How many bytes move at a time.
    piece: usize,
    has_ended: bool,
    closed: Option<(CloseHow, CloseReason)>,
}

impl Server {
    fn new(device: Device, serves_plain: bool) -> Self {
        let mut device = Box::new(device);
        let store = Box::new(Store {
            user: (&raw mut *device).cast(),
            open: Some(open),
            stat: Some(stat),
            read: Some(read),
            close: Some(close),
            list: Some(open),
            next: Some(next),
            end_list: Some(close),
            known_digest: None,
            unix_time: None,
            is_linkless: None,
        });
        let keys = Keys { secret: Some(secret), psk: Some(psk), entropy: Some(entropy), serves_plain };
        let keys = Box::new(if device.psks.is_empty() { Keys { psk: None, ..keys } } else { keys });
        let memory = Box::new([[0; 512]; 3]);
        let (to_server, to_client) = (Vec::new(), Vec::new());
        let mut this = Self {
            device,
            _store: store,
            keys,
            memory,
            now: 0,
            to_server,
            to_client,
            piece: usize::MAX,
            has_ended: false,
            closed: None,
        };
        // SAFETY: all of it stays where it is.
        let made = unsafe { coracle_server_init(this.server(), SIZE, &coracle_config_default(), &*this._store) };
        assert_eq!(made, Outcome::Ok);
        this
    }

    /// With its keys, its rights, and a connection.
    fn connected(mut self) -> Self {
        let (server, session, channel) = (self.server(), self.session(), self.memory[2].as_mut_ptr().cast());
        // SAFETY: all of it stays where it is.
        unsafe {
            assert_eq!(coracle_server_set_keys(server, &*self.keys), Outcome::Ok);
            assert_eq!(coracle_server_set_rights(server, Some(rights)), Outcome::Ok);
            assert_eq!(coracle_session_init(session, SIZE, server, self.now), Outcome::Ok);
            assert_eq!(coracle_session_encrypt(session, channel, 100, self.now), Outcome::Memory);
            assert_eq!(coracle_session_encrypt(session, null_mut(), SIZE, self.now), Outcome::Null);
            assert_eq!(coracle_session_encrypt(session, channel, SIZE, self.now), Outcome::Ok);
        }
        self
    }

    fn server(&mut self) -> *mut ServerMemory {
        self.memory[0].as_mut_ptr().cast()
    }

    fn session(&mut self) -> *mut SessionMemory {
        self.memory[1].as_mut_ptr().cast()
    }

    /// Does what the session asks for until it waits.
    fn run(&mut self) {
        let session = self.session();
        while self.closed.is_none() {
            // SAFETY: the session has not ended, and lengths are those of slices.
            unsafe {
                let action = coracle_session_poll(session, self.now);
                match action.kind {
                    ActionKind::SendBytes => {
                        let len = action.len.min(self.piece);
                        self.to_client.extend_from_slice(std::slice::from_raw_parts(action.bytes, len));
                        coracle_session_sent(session, len, self.now);
                    }
                    ActionKind::SendFile => {
                        let mut buf = vec![0; action.len.min(self.piece.max(RECORD_MIN))];
                        let len = coracle_session_read(session, buf.as_mut_ptr(), buf.len(), self.now);
                        self.to_client.extend_from_slice(&buf[..len]);
                    }
                    ActionKind::Receive if !self.to_server.is_empty() => {
                        let len = self.to_server.len().min(self.piece);
                        let taken = coracle_session_receive(session, self.to_server.as_ptr(), len, self.now);
                        self.to_server.drain(..taken);
                    }
                    ActionKind::Receive if self.has_ended => coracle_session_receive_eof(session, self.now),
                    ActionKind::Receive if action.deadline_ms <= self.now => coracle_session_timeout(session, self.now),
                    ActionKind::Again => {}
                    ActionKind::Close => {
                        self.closed = Some((action.how, action.why));
                        coracle_session_end(session);
                    }
                    _ => return,
                }
            }
        }
    }
}

fn key_pair(byte: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([byte; 32]).expect("a key"))
}

/// Makes the handshake; `None` where the server ends it.
fn shake(server: &mut Server, psk: Option<[u8; 32]>) -> Option<Channel> {
    let (key, psk) = (key_pair(0x52), psk.map(|psk| Psk::from_bytes(psk).expect("a key")));
    let mut client = ClientHandshake::new(Entropy::new([0x62; 32]).expect("bytes"), RecordLimit::PC);
    loop {
        match client.action() {
            HandshakeAction::Compute => client.compute(&key, psk.as_ref()),
            HandshakeAction::Send(bytes) => {
                server.to_server.extend_from_slice(bytes);
                let len = bytes.len();
                client.sent(len);
            }
            HandshakeAction::Receive => {
                server.run();
                let taken = client.receive(&server.to_client);
                server.to_client.drain(..taken);
                if taken == 0 {
                    return None;
                }
            }
            HandshakeAction::Decide(peer) => {
                assert_eq!(peer, *key_pair(SECRET[0]).public());
                client.permit();
            }
            HandshakeAction::Failed(_) => return None,
            HandshakeAction::Done => return client.finish(),
        }
    }
}

/// A record with these bytes; the end without any.
fn seal(channel: &mut Channel, bytes: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; bytes.len() + 18];
    buf[PLAINTEXT_OFFSET..][..bytes.len()].copy_from_slice(bytes);
    let sealed =
        if bytes.is_empty() { channel.sealer.finish(&mut buf) } else { channel.sealer.seal(&mut buf, bytes.len()) };
    assert_eq!(sealed, Ok(buf.len()));
    buf
}

/// What was sent encrypted, and whether its end is there.
fn opened(channel: Channel, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut receiver = Receiver::new(channel.opener, vec![0; RecordLimit::PC.record_len()]).expect("room");
    let mut plaintext = Vec::new();
    for byte in bytes {
        receiver.receive(&[*byte]).expect("a record");
        plaintext.extend_from_slice(receiver.plaintext());
        receiver.consume(receiver.plaintext().len());
    }
    (plaintext, receiver.has_ended())
}

/// What the server answers to a client that sends `request` and the end.
fn asked(server: &mut Server, psk: Option<[u8; 32]>, request: &[u8]) -> (Vec<u8>, bool) {
    let mut channel = shake(server, psk).expect("a channel");
    for part in [request, b""] {
        server.to_server.extend(seal(&mut channel, part));
    }
    server.run();
    let sent = std::mem::take(&mut server.to_client);
    opened(channel, &sent)
}

const GET: &[u8] = br#"{"type":"get","fileName":"a"}{"type":"hello"}"#;

#[test]
fn files_are_served_encrypted_in_whatever_pieces() {
    for piece in [usize::MAX, 1, 19, 64, 700] {
        let mut server = Server::new(Device { psks: vec![[0x11; 32], SHARED], ..Device::new() }, false).connected();
        server.piece = piece;
        let (answer, has_ended) = asked(&mut server, Some(SHARED), GET);
        let body: Vec<u8> = (0..3_000).map(contents).collect();
        assert!(answer.windows(3_000).any(|part| part == body), "{}", answer.escape_ascii());
        assert!(answer.ends_with(b"]}\n") && has_ended, "{piece}: {}", answer[3_000..].escape_ascii());
        assert_eq!(server.closed, Some((CloseHow::Finish, CloseReason::Done)));
        assert_eq!(server.device.client, Some((*key_pair(0x52).public().as_bytes(), 1)));
    }
}

#[test]
fn e5_without_the_pre_shared_key_nothing_is_answered() {
    for (psks, psk) in [(vec![SHARED], Some([0x54; 32])), (vec![SHARED], None), (vec![], Some(SHARED))] {
        let mut server = Server::new(Device { psks, ..Device::new() }, false).connected();
        assert!(shake(&mut server, psk).is_none());
        assert_eq!(server.closed, Some((CloseHow::Finish, CloseReason::Handshake)));
    }
    // None of its pre-shared keys was ever set.
    let mut server = Server::new(Device { psks: vec![[0; 32]], ..Device::new() }, false).connected();
    assert!(shake(&mut server, None).is_none() && server.to_client.is_empty());
}

#[test]
fn e8_without_entropy_nothing_is_answered() {
    for entropy in [None, Some([0; 32])] {
        let mut server = Server::new(Device { entropy, ..Device::new() }, false).connected();
        assert!(shake(&mut server, None).is_none());
        assert_eq!(server.closed, Some((CloseHow::Finish, CloseReason::Handshake)));
    }
}

#[test]
fn a_server_without_a_key_takes_none_that_come_encrypted() {
    for secret in [None, Some([0; 32])] {
        let mut server = Server::new(Device { secret, ..Device::new() }, false);
        let (place, mut text) = (server.server(), [0; KEY_TEXT_SIZE]);
        // SAFETY: all of it stays where it is.
        unsafe {
            assert_eq!(coracle_server_set_keys(place, &*server.keys), Outcome::Key);
            assert!(!coracle_server_public_key(place, text.as_mut_ptr()));
            assert_eq!(coracle_session_init(server.session(), SIZE, place, 0), Outcome::Ok);
            let channel = server.memory[2].as_mut_ptr().cast();
            assert_eq!(coracle_session_encrypt(server.session(), channel, SIZE, 0), Outcome::Key);
            let lacking = Keys { entropy: None, ..*server.keys };
            assert_eq!(coracle_server_set_keys(place, &lacking), Outcome::Callback);
        }
    }
}

#[test]
fn who_speaks_plain_is_told_to_encrypt_or_served() {
    for (serves_plain, expected) in [(false, r#""code":"encrypted""#), (true, r#""type":"hello""#)] {
        let mut server = Server::new(Device::new(), serves_plain).connected();
        server.to_server.extend_from_slice(br#"{"type":"hello"}"#);
        server.run();
        let answer = String::from_utf8_lossy(&server.to_client).into_owned();
        assert!(answer.contains(expected), "{answer} for {expected}");
        assert_eq!(server.device.client, None);
    }
}

#[test]
fn e1_e3_a_changed_or_missing_record_ends_the_connection() {
    for is_changed in [true, false] {
        let mut server = Server::new(Device::new(), false).connected();
        let mut channel = shake(&mut server, None).expect("a channel");
        let mut record = seal(&mut channel, br#"{"type":"hello"}"#);
        *record.last_mut().expect("bytes") ^= u8::from(is_changed);
        server.to_server.extend(record);
        server.has_ended = true;
        server.run();
        assert_eq!(server.closed, Some((CloseHow::Abort, CloseReason::Record)));
        assert_eq!(server.to_client.is_empty(), is_changed);
    }
}

#[test]
fn a_client_that_is_not_known_is_told_its_key() {
    let mut server = Server::new(Device { rights: None, ..Device::new() }, false).connected();
    let (answer, has_ended) = asked(&mut server, None, br#"{"type":"hello"}"#);
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.contains(&key_pair(0x52).public().to_string()) && has_ended, "{answer}");
}

#[test]
fn i5_words_that_are_no_rights_leave_none() {
    let mut server = Server::new(Device { rights: Some(c"raed"), ..Device::new() }, false).connected();
    let (answer, _) = asked(&mut server, None, br#"{"type":"list"}"#);
    assert!(String::from_utf8_lossy(&answer).contains(r#""code":"denied""#));
}

#[test]
fn e7_a_handshake_has_to_go_on() {
    // Nothing, the beginning of message 1, and all of it.
    for (first, after_ms) in [(0, 60_000), (3, 10_000), (52, 3_000)] {
        let mut server = Server::new(Device::new(), false).connected();
        let mut client = ClientHandshake::new(Entropy::new([0x62; 32]).expect("bytes"), RecordLimit::PC);
        client.compute(&key_pair(0x52), None);
        let HandshakeAction::Send(bytes) = client.action() else { panic!("{client:?}") };
        server.to_server.extend_from_slice(&bytes[..first]);
        server.run();
        server.now = after_ms - 1;
        server.run();
        assert_eq!(server.closed, None, "{first}");
        server.now = after_ms;
        server.run();
        assert_eq!(server.closed, Some((CloseHow::Finish, CloseReason::Handshake)), "{first}");
    }
}

#[test]
fn a_server_that_stops_tells_clients_in_any_stage() {
    let mut server = Server::new(Device::new(), false).connected();
    server.run();
    // SAFETY: the session has not ended.
    unsafe { coracle_session_stop(server.session(), 0) };
    server.run();
    assert!(String::from_utf8_lossy(&server.to_client).contains(r#""code":"shuttingDown""#));

    let mut server = Server::new(Device::new(), false).connected();
    let channel = shake(&mut server, None).expect("a channel");
    server.run();
    // SAFETY: the same.
    unsafe { coracle_session_stop(server.session(), 0) };
    server.run();
    let sent = std::mem::take(&mut server.to_client);
    let (answer, has_ended) = opened(channel, &sent);
    assert!(String::from_utf8_lossy(&answer).contains(r#""code":"shuttingDown""#) && has_ended);
}

#[test]
fn keys_are_read_and_shown_as_text() {
    let mut server = Server::new(Device::new(), false).connected();
    let mut text = [0; KEY_TEXT_SIZE];
    // SAFETY: a server, and room.
    assert!(unsafe { coracle_server_public_key(server.server(), text.as_mut_ptr()) });
    // SAFETY: the library has put a 0 at its end.
    let shown = unsafe { CStr::from_ptr(text.as_ptr()) };
    assert_eq!(shown.to_str(), Ok(&*key_pair(SECRET[0]).public().to_string()));

    let secret = format!("{}\0", SecretKey::from_bytes(SECRET).expect("a key").reveal());
    let (mut key, kind) = ([0; KEY_LEN], |kind: KeyKind| KeyKindValue(kind as u8));
    // SAFETY: text that ends with 0, or NULL, and room.
    unsafe {
        let place = key.as_mut_ptr();
        assert!(coracle_key_parse(secret.as_ptr().cast(), kind(KeyKind::Secret), place));
        assert!(!coracle_key_parse(secret.as_ptr().cast(), kind(KeyKind::PreShared), place));
        assert!(!coracle_key_parse(secret.as_ptr().cast(), KeyKindValue(9), place));
        assert!(!coracle_key_parse(core::ptr::null(), kind(KeyKind::Secret), place));
        assert!(!coracle_key_parse(c"cs1short".as_ptr(), kind(KeyKind::Secret), place));
        assert!(coracle_key_parse(text.as_ptr(), kind(KeyKind::Public), place));
    }
    assert_eq!(key, *key_pair(SECRET[0]).public().as_bytes());
}
