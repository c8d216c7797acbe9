//! Targets: both ends of an encrypted channel, against a peer whose bytes were changed on the way.

use std::sync::OnceLock;

use coracle_channel::{
    Channel, ClientHandshake, Entropy, HandshakeAction, KeyPair, Psk, Receiver, RecordLimit, Sealer, SecretKey,
    ServerHandshake,
};

use crate::pieces;

/// Lengths of the records that the peer sends before its end.
const RECORDS: [usize; 5] = [1, 60, 512, 2, 511];

/// A server, against a client. Whatever happens on the way: what is received is what was sent, up to the first change and in
/// whole records; it has ended only where nothing was changed; any split of the bytes has the same outcome; nothing is taken
/// after a failure.
pub fn server(data: &[u8]) {
    target::<ServerEnd>(data);
}

/// A client, against a server; the same.
pub fn client(data: &[u8]) {
    target::<ClientEnd>(data);
}

fn target<E: End>(data: &[u8]) {
    let [seed, edits @ ..] = data else { return };
    let peer = E::peer();
    let bytes = edited(&peer.bytes, *seed, edits);
    let whole = Run::<E>::new().all(&[&bytes]);
    let parted = Run::<E>::new().all(&pieces(&bytes, *seed & 0x7f));
    assert_eq!(whole, parted, "split");

    let same = bytes.iter().zip(&peer.bytes).take_while(|(one, other)| one == other).count();
    let records = peer.ends.iter().filter(|end| **end <= same).count();
    let sent = RECORDS.iter().take(records).sum();
    assert_eq!(whole.received, plaintext(sent), "received of {records} records");
    assert_eq!(whole.has_ended, bytes == peer.bytes, "ended");
    assert!(!whole.sent.is_empty() || same < peer.answered, "no answer");
}

/// The bytes of the peer, changed as the edits say.
fn edited(honest: &[u8], seed: u8, edits: &[u8]) -> Vec<u8> {
    let (mut honest, mut edits) = (honest.iter(), edits.iter().copied());
    let mut bytes = Vec::new();
    while let Some(edit) = edits.next() {
        let len = usize::from(edit & 0x1f) + 1;
        match edit {
            0..0x80 => bytes.extend(honest.by_ref().take(usize::from(edit) + 1)),
            0x80..0xa0 => drop(honest.by_ref().nth(len - 1)),
            0xa0..0xc0 => bytes.extend(edits.by_ref().take(len)),
            0xc0.. => bytes.extend(honest.next().map(|byte| byte ^ edits.next().unwrap_or(1))),
        }
    }
    if seed & 0x80 != 0 {
        bytes.extend(honest);
    }
    bytes
}

/// What an end sends when nothing is changed, always the same.
struct Peer {
    bytes: Vec<u8>,
    /// The ends of its records.
    ends: Vec<usize>,
    /// So many bytes of it have an answer.
    answered: usize,
}

impl Peer {
    /// From the messages of a handshake and its channel.
    fn new(messages: Vec<u8>, answered: usize, mut sealer: Sealer) -> Self {
        let (mut bytes, mut ends, mut sent) = (messages, Vec::new(), 0);
        for len in RECORDS {
            let mut record = [0; RecordLimit::BOARD.record_len()];
            record[2..][..len].copy_from_slice(&plaintext(sent + len)[sent..]);
            let sealed = sealer.seal(&mut record, len).expect("sealed");
            bytes.extend_from_slice(&record[..sealed]);
            ends.push(bytes.len());
            sent += len;
        }
        let mut record = [0; 18];
        sealer.finish(&mut record).expect("sealed");
        bytes.extend_from_slice(&record);
        Self { bytes, ends, answered }
    }
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// One role, with its keys.
trait End: Sized {
    fn new() -> Self;
    fn action(&self) -> HandshakeAction<'_>;
    fn receive(&mut self, bytes: &[u8]) -> usize;
    fn compute(&mut self);
    fn sent(&mut self, len: usize);
    fn permit(&mut self);
    fn finish(&mut self) -> Option<Channel>;
    fn peer() -> &'static Peer;

    /// Goes on until bytes are needed, and returns what it sends.
    fn advance(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            match self.action() {
                HandshakeAction::Compute => self.compute(),
                HandshakeAction::Send(bytes) => {
                    sent.extend_from_slice(bytes);
                    let len = bytes.len();
                    self.sent(len);
                }
                HandshakeAction::Decide(_) => self.permit(),
                HandshakeAction::Receive | HandshakeAction::Done | HandshakeAction::Failed(_) => return sent,
            }
        }
    }
}

fn key(byte: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([byte; 32]).expect("not blank"))
}

fn psk() -> &'static Psk {
    static PSK: OnceLock<Psk> = OnceLock::new();
    PSK.get_or_init(|| Psk::from_bytes([3; 32]).expect("not blank"))
}

fn entropy(byte: u8) -> Entropy {
    Entropy::new([byte; 32]).expect("not blank")
}

struct ServerEnd(ServerHandshake);

#[rustfmt::skip]
impl End for ServerEnd {
    fn new() -> Self { Self(ServerHandshake::new(entropy(4), RecordLimit::BOARD)) }
    fn action(&self) -> HandshakeAction<'_> { self.0.action() }
    fn receive(&mut self, bytes: &[u8]) -> usize { self.0.receive(bytes) }
    fn compute(&mut self) {
        static KEY: OnceLock<KeyPair> = OnceLock::new();
        self.0.compute(KEY.get_or_init(|| key(1)), std::slice::from_ref(psk()));
    }
    fn sent(&mut self, len: usize) { self.0.sent(len) }
    fn permit(&mut self) { panic!("a client decides") }
    fn finish(&mut self) -> Option<Channel> { self.0.finish() }
    fn peer() -> &'static Peer { &peers()[0] }
}

struct ClientEnd(ClientHandshake);

#[rustfmt::skip]
impl End for ClientEnd {
    fn new() -> Self {
        let mut end = Self(ClientHandshake::new(entropy(5), RecordLimit::BOARD));
        end.advance();
        end
    }
    fn action(&self) -> HandshakeAction<'_> { self.0.action() }
    fn receive(&mut self, bytes: &[u8]) -> usize { self.0.receive(bytes) }
    fn compute(&mut self) {
        static KEY: OnceLock<KeyPair> = OnceLock::new();
        self.0.compute(KEY.get_or_init(|| key(2)), Some(psk()));
    }
    fn sent(&mut self, len: usize) { self.0.sent(len) }
    fn permit(&mut self) { self.0.permit() }
    fn finish(&mut self) -> Option<Channel> { self.0.finish() }
    fn peer() -> &'static Peer { &peers()[1] }
}

/// What the client sends a server, and what the server sends a client.
fn peers() -> &'static [Peer; 2] {
    static PEERS: OnceLock<[Peer; 2]> = OnceLock::new();
    PEERS.get_or_init(|| {
        let mut server = ServerEnd::new();
        let mut client = ClientEnd(ClientHandshake::new(entropy(5), RecordLimit::BOARD));
        let first = client.advance();
        server.receive(&first);
        let second = server.advance();
        client.receive(&second);
        let third = client.advance();
        server.receive(&third);
        server.advance();
        let [client, server] = [client.finish(), server.finish()].map(|channel| channel.expect("done").sealer);
        let (first_len, second_len) = (first.len(), second.len());
        [Peer::new([first, third].concat(), first_len, client), Peer::new(second, second_len, server)]
    })
}

/// What an end does with bytes.
struct Run<E> {
    end: E,
    receiver: Option<Receiver<[u8; RecordLimit::BOARD.record_len()]>>,
    outcome: Outcome,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    sent: Vec<u8>,
    received: Vec<u8>,
    has_ended: bool,
    failure: Option<String>,
}

impl<E: End> Run<E> {
    fn new() -> Self {
        Self { end: E::new(), receiver: None, outcome: Outcome::default() }
    }

    fn all(mut self, pieces: &[&[u8]]) -> Outcome {
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && self.outcome.failure.is_none() {
                rest = &rest[self.give(rest)..];
            }
        }
        if self.outcome.failure.is_none() {
            match &mut self.receiver {
                None => self.outcome.failure = Some("cut".into()),
                Some(receiver) => match receiver.receive_eof() {
                    Ok(()) => self.outcome.has_ended = true,
                    Err(error) => self.outcome.failure = Some(format!("{error:?}")),
                },
            }
        }
        self.outcome
    }

    fn give(&mut self, bytes: &[u8]) -> usize {
        let Some(receiver) = &mut self.receiver else {
            let taken = self.end.receive(bytes);
            self.outcome.sent.extend(self.end.advance());
            match self.end.action() {
                HandshakeAction::Failed(error) => {
                    self.outcome.failure = Some(format!("{error:?}"));
                    assert_eq!(self.end.receive(bytes), 0, "taken after a failure");
                    assert!(self.end.finish().is_none(), "a channel after a failure");
                }
                HandshakeAction::Done => {
                    let opener = self.end.finish().expect("done").opener;
                    self.receiver = Some(Receiver::new(opener, [0; _]).expect("long enough"));
                }
                _ => assert!(taken > 0, "nothing is taken"),
            }
            return taken;
        };
        match receiver.receive(bytes) {
            Ok(taken) => {
                assert!(taken > 0 && taken <= bytes.len(), "took {taken} of {} bytes", bytes.len());
                self.outcome.received.extend_from_slice(receiver.plaintext());
                receiver.consume(receiver.plaintext().len());
                taken
            }
            Err(error) => {
                assert_eq!(receiver.receive(bytes), Err(error), "taken after a failure");
                self.outcome.failure = Some(format!("{error:?}"));
                0
            }
        }
    }
}
