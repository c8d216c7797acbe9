//! Both ends of a channel in one process, and what is on its way between them.
#![allow(dead_code, reason = "each test has its own needs")]

use coracle_channel::{
    Channel, ClientHandshake, Entropy, HandshakeAction, HandshakeError, KeyPair, Psk, PublicKey, RecordLimit,
    SecretKey, ServerHandshake,
};

pub const SERVER_SECRET: [u8; 32] = [0x51; 32];
pub const CLIENT_SECRET: [u8; 32] = [0x52; 32];
pub const PSK: [u8; 32] = [0x53; 32];
pub const NO_PSK: [u8; 32] = [0; 32];

pub fn key(secret: [u8; 32]) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes(secret).expect("not blank"))
}

pub fn psk(bytes: [u8; 32]) -> Psk {
    Psk::from_bytes(bytes).expect("not blank")
}

fn entropy(byte: u8) -> Entropy {
    Entropy::new([byte; 32]).expect("not blank")
}

/// A server with its keys.
pub struct Server {
    pub handshake: ServerHandshake,
    pub key: KeyPair,
    pub psks: Vec<Psk>,
    /// How many steps it has computed.
    pub steps: usize,
}

impl Server {
    pub fn new() -> Self {
        Self::with(RecordLimit::BOARD, vec![psk(PSK)])
    }

    pub fn with(limit: RecordLimit, psks: Vec<Psk>) -> Self {
        Self { handshake: ServerHandshake::new(entropy(0x61), limit), key: key(SERVER_SECRET), psks, steps: 0 }
    }

    /// Gives it `input` until it takes no more, and returns what it sends and how much it took.
    pub fn run(&mut self, input: &[u8]) -> (Vec<u8>, usize) {
        drive(self, input)
    }

    pub fn failure(&self) -> Option<HandshakeError> {
        failure(self.handshake.action())
    }
}

/// A client with its keys, which expects a server.
pub struct Client {
    pub handshake: ClientHandshake,
    pub key: KeyPair,
    pub psk: Option<Psk>,
    pub expected: PublicKey,
    pub steps: usize,
}

impl Client {
    pub fn new() -> Self {
        Self::with(RecordLimit::PC, Some(psk(PSK)))
    }

    pub fn with(limit: RecordLimit, psk: Option<Psk>) -> Self {
        let handshake = ClientHandshake::new(entropy(0x62), limit);
        Self { handshake, key: key(CLIENT_SECRET), psk, expected: *key(SERVER_SECRET).public(), steps: 0 }
    }

    /// Gives it `input` until it takes no more or has to decide about an unexpected server, and returns what it sends and how
    /// much it took.
    pub fn run(&mut self, input: &[u8]) -> (Vec<u8>, usize) {
        drive(self, input)
    }

    pub fn failure(&self) -> Option<HandshakeError> {
        failure(self.handshake.action())
    }
}

/// One of both, while its handshake is made.
trait End {
    fn action(&self) -> HandshakeAction<'_>;
    fn receive(&mut self, bytes: &[u8]) -> usize;
    fn compute(&mut self);
    fn sent(&mut self, len: usize);
    /// Whether it goes on with this server.
    fn decide(&mut self, server: PublicKey) -> bool;
}

impl End for Server {
    fn action(&self) -> HandshakeAction<'_> {
        self.handshake.action()
    }

    fn receive(&mut self, bytes: &[u8]) -> usize {
        self.handshake.receive(bytes)
    }

    fn compute(&mut self) {
        self.handshake.compute(&self.key, &self.psks);
        self.steps += 1;
    }

    fn sent(&mut self, len: usize) {
        self.handshake.sent(len);
    }

    fn decide(&mut self, _: PublicKey) -> bool {
        panic!("a client decides");
    }
}

impl End for Client {
    fn action(&self) -> HandshakeAction<'_> {
        self.handshake.action()
    }

    fn receive(&mut self, bytes: &[u8]) -> usize {
        self.handshake.receive(bytes)
    }

    fn compute(&mut self) {
        self.handshake.compute(&self.key, self.psk.as_ref());
        self.steps += 1;
    }

    fn sent(&mut self, len: usize) {
        self.handshake.sent(len);
    }

    fn decide(&mut self, server: PublicKey) -> bool {
        let is_expected = server == self.expected;
        if is_expected {
            self.handshake.permit();
        }
        is_expected
    }
}

/// Gives `end` the input until it takes no more, and sends byte by byte.
fn drive(end: &mut impl End, input: &[u8]) -> (Vec<u8>, usize) {
    let (mut output, mut taken) = (Vec::new(), 0);
    loop {
        match end.action() {
            HandshakeAction::Receive if taken < input.len() => {
                let len = end.receive(&input[taken..]);
                taken += len;
                let has_failed = matches!(end.action(), HandshakeAction::Failed(_));
                assert!(len > 0 || has_failed, "nothing taken of what it asks for");
            }
            HandshakeAction::Compute => end.compute(),
            HandshakeAction::Send(bytes) => {
                output.push(bytes[0]);
                end.sent(1);
            }
            HandshakeAction::Decide(server) => {
                if !end.decide(server) {
                    return (output, taken);
                }
            }
            HandshakeAction::Receive | HandshakeAction::Done | HandshakeAction::Failed(_) => return (output, taken),
        }
    }
}

fn failure(action: HandshakeAction<'_>) -> Option<HandshakeError> {
    if let HandshakeAction::Failed(error) = action { Some(error) } else { None }
}

/// The three messages of the same two ends, always the same.
pub fn messages() -> [Vec<u8>; 3] {
    let (mut client, mut server) = (Client::new(), Server::new());
    let first = client.run(&[]).0;
    let second = server.run(&first).0;
    let third = client.run(&second).0;
    [first, second, third]
}

/// A client's channel and its server's.
pub fn channels() -> [Channel; 2] {
    complete(Client::new(), Server::new())
}

pub fn complete(mut client: Client, mut server: Server) -> [Channel; 2] {
    let first = client.run(&[]).0;
    let second = server.run(&first).0;
    let third = client.run(&second).0;
    server.run(&third);
    [client.handshake.finish().expect("done"), server.handshake.finish().expect("done")]
}

/// The other end by snow.
pub fn snow(secret: &[u8; 32], psk: &[u8; 32], initiates: bool) -> snow::HandshakeState {
    let builder = snow::Builder::new("Noise_XXpsk0_25519_ChaChaPoly_SHA256".parse().expect("a protocol"))
        .prologue(&[0xc0, 0x01])
        .and_then(|builder| builder.local_private_key(secret))
        .and_then(|builder| builder.psk(0, psk))
        .expect("keys");
    if initiates { builder.build_initiator() } else { builder.build_responder() }.expect("a state")
}

/// What snow writes, behind `head` and its length.
pub fn snow_writes(state: &mut snow::HandshakeState, head: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut message = [0; 128];
    let len = state.write_message(payload, &mut message).expect("a message");
    [head, &u16::try_from(len).expect("short").to_be_bytes(), &message[..len]].concat()
}

/// The payload that snow reads.
pub fn snow_reads(state: &mut snow::HandshakeState, message: &[u8]) -> Vec<u8> {
    let mut payload = [0; 128];
    let len = state.read_message(message, &mut payload).expect("snow accepts it");
    payload[..len].to_vec()
}
