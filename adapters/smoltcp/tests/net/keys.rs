//! The server's keys, and clients of the encrypted channel.

use std::sync::atomic::{AtomicU64, Ordering};

use coracle_core::{DigestKind, Store};
use coracle_smoltcp::coracle_channel::{
    Channel, ClientHandshake, Entropy, HandshakeAction, HandshakeError, KeyPair, PLAINTEXT_OFFSET, Psk, PublicKey,
    RECORD_OVERHEAD, Receiver, RecordError, RecordLimit, Sealer, SecretKey,
};
use coracle_smoltcp::{ChannelKeys, Encryption, ServerAccess};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use super::World;

pub const PSK: [u8; 32] = [0x53; 32];
/// Long enough for the handshake on any link of these tests.
const PATIENCE_MS: u64 = 60_000;

pub fn pair(byte: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([byte; 32]).expect("not blank"))
}

/// The keys of a server.
pub struct Keys {
    key: KeyPair,
    pub psks: Vec<Psk>,
    pub encryption: Encryption,
    pub has_entropy: bool,
    /// A key whose client may do nothing.
    pub stranger: Option<PublicKey>,
    /// Who completed a handshake: slot, key, place of the PSK.
    pub identified: Vec<(usize, PublicKey, usize)>,
    handshakes: u8,
}

impl Keys {
    pub fn new() -> Self {
        Self {
            key: pair(0x51),
            psks: vec![Psk::from_bytes(PSK).expect("not blank")],
            encryption: Encryption::Only,
            has_entropy: true,
            stranger: None,
            identified: Vec::new(),
            handshakes: 0,
        }
    }

    /// How many handshakes were begun.
    pub fn handshakes(&self) -> u8 {
        self.handshakes
    }
}

impl ChannelKeys for Keys {
    fn key(&self) -> Option<&KeyPair> {
        Some(&self.key)
    }

    fn psks(&self) -> &[Psk] {
        &self.psks
    }

    fn entropy(&mut self) -> Option<Entropy> {
        self.handshakes = self.handshakes.wrapping_add(1);
        self.has_entropy.then(|| Entropy::new([self.handshakes.max(1); 32]).expect("not blank"))
    }

    fn encryption(&self) -> Encryption {
        self.encryption
    }

    fn identify(&mut self, slot: usize, client: &PublicKey, psk: usize) {
        self.identified.push((slot, *client, psk));
    }

    #[cfg(feature = "wait")]
    fn may_displace(&self, client: &PublicKey) -> bool {
        self.stranger != Some(*client)
    }
}

/// A client's end of the channel.
pub struct SecureClient {
    pub handle: SocketHandle,
    pub sealer: Sealer,
    receiver: Receiver<Vec<u8>>,
    /// What was received and not used.
    pub plaintext: Vec<u8>,
    pub failure: Option<RecordError>,
}

/// A handshake that the client makes, step by step.
pub struct Handshake {
    pub handle: SocketHandle,
    pub state: ClientHandshake,
    key: KeyPair,
    psk: Option<Psk>,
}

impl Handshake {
    pub fn new(handle: SocketHandle, key: u8, psk: Option<[u8; 32]>) -> Self {
        // Each has an ephemeral key of its own, as a client's that is honest.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let mut entropy = [0x71; 32];
        entropy[8..16].copy_from_slice(&MADE.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let entropy = Entropy::new(entropy).expect("not blank");
        let psk = psk.map(|psk| Psk::from_bytes(psk).expect("not blank"));
        Self { handle, state: ClientHandshake::new(entropy, RecordLimit::PC), key: pair(key), psk }
    }

    /// Message 1.
    pub fn first(&mut self) -> Vec<u8> {
        self.state.compute(&self.key, self.psk.as_ref());
        let HandshakeAction::Send(bytes) = self.state.action() else { panic!("message 1 is made") };
        bytes.to_vec()
    }

    /// Message 3, once message 2 has come, instead of sending it.
    pub fn third<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
    ) -> Vec<u8> {
        assert!(world.run_until(PATIENCE_MS, |world| world.client(self.handle).recv_queue() == 102));
        let state = &mut self.state;
        world.client(self.handle).recv(|bytes| (state.receive(bytes), ())).expect("it can");
        loop {
            match self.state.action() {
                HandshakeAction::Compute => self.state.compute(&self.key, self.psk.as_ref()),
                HandshakeAction::Decide(_) => self.state.permit(),
                HandshakeAction::Send(bytes) => return bytes.to_vec(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Goes on as far as the socket allows. Whether it is over, well or not.
    pub fn advance(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        loop {
            match self.state.action() {
                HandshakeAction::Compute => self.state.compute(&self.key, self.psk.as_ref()),
                HandshakeAction::Send(bytes) => match socket.send_slice(bytes) {
                    Ok(0) => return false,
                    Ok(len) => self.state.sent(len),
                    Err(_) => self.state.receive_eof(),
                },
                HandshakeAction::Receive if socket.can_recv() => {
                    let state = &mut self.state;
                    socket.recv(|bytes| (state.receive(bytes), ())).expect("it can");
                }
                HandshakeAction::Receive if socket.may_recv() => return false,
                HandshakeAction::Receive => self.state.receive_eof(),
                HandshakeAction::Decide(_) => self.state.permit(),
                HandshakeAction::Done | HandshakeAction::Failed(_) => return true,
            }
        }
    }

    /// Makes it to its end.
    pub fn complete<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        mut self,
        world: &mut World<S, N, A, BUF>,
    ) -> Result<SecureClient, HandshakeError> {
        assert!(world.run_until(PATIENCE_MS, |world| world.client(self.handle).may_send()), "no connection");
        let is_over = world.run_until(PATIENCE_MS, |world| self.advance(world.client(self.handle)));
        assert!(is_over, "the handshake neither ends nor fails");
        match self.state.action() {
            HandshakeAction::Failed(error) => Err(error),
            _ => Ok(SecureClient::new(self.handle, self.state.finish().expect("done"))),
        }
    }
}

impl SecureClient {
    /// Connects with the key of this byte and the PSK.
    pub fn connect<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        world: &mut World<S, N, A, BUF>,
        key: u8,
    ) -> Self {
        let handle = world.connect();
        Handshake::new(handle, key, Some(PSK)).complete(world).expect("a handshake")
    }

    fn new(handle: SocketHandle, channel: Channel) -> Self {
        let receiver = Receiver::new(channel.opener, vec![0; RecordLimit::PC.record_len()]).expect("long enough");
        Self { handle, sealer: channel.sealer, receiver, plaintext: Vec::new(), failure: None }
    }

    /// A record.
    pub fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut record = [&[0; PLAINTEXT_OFFSET], bytes, &[0; 16]].concat();
        let len = self.sealer.seal(&mut record, bytes.len()).expect("short enough");
        assert_eq!(len, record.len());
        record
    }

    /// The record that ends what is sent.
    pub fn end(&mut self) -> Vec<u8> {
        let mut record = vec![0; RECORD_OVERHEAD];
        assert_eq!(self.sealer.finish(&mut record), Ok(RECORD_OVERHEAD));
        record
    }

    /// Sends bytes as they are, whole, for as long as the server takes them.
    pub fn send_raw<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
        mut bytes: &[u8],
    ) {
        world.run_until(PATIENCE_MS, |world| {
            self.poll(world.client(self.handle));
            let socket = world.client(self.handle);
            let sent = if socket.can_send() { socket.send_slice(bytes).unwrap_or(0) } else { 0 };
            bytes = &bytes[sent..];
            bytes.is_empty() || !socket.may_send()
        });
    }

    /// Sends a request, or a part of a body.
    pub fn send<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
        bytes: &[u8],
    ) {
        for piece in bytes.chunks(self.sealer.room(usize::MAX)) {
            let record = self.seal(piece);
            self.send_raw(world, &record);
        }
    }

    /// Opens what has arrived. Whether more can.
    pub fn poll(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        while self.failure.is_none() && socket.can_recv() {
            let receiver = &mut self.receiver;
            let taken = socket.recv(|bytes| match receiver.receive(bytes) {
                Ok(taken) => (taken, Ok(())),
                Err(error) => (0, Err(error)),
            });
            self.failure = taken.expect("it can").err();
            self.plaintext.extend_from_slice(receiver.plaintext());
            receiver.consume(usize::MAX);
        }
        if self.failure.is_none() && !socket.may_recv() {
            self.failure = self.receiver.receive_eof().err();
        }
        self.failure.is_none() && socket.may_recv()
    }

    /// Whether the server has ended what it sends, with a record.
    pub fn has_server_ended(&self) -> bool {
        self.receiver.has_ended()
    }

    /// The next line, without its line feed.
    pub fn line<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
    ) -> String {
        let has_line = world.run_until(PATIENCE_MS, |world| {
            let goes_on = self.poll(world.client(self.handle));
            self.plaintext.contains(&b'\n') || !goes_on
        });
        assert!(has_line, "no line in time");
        let end = self.plaintext.iter().position(|byte| *byte == b'\n');
        let end = end.unwrap_or_else(|| panic!("no line: {:?}, {:?}", self.failure, self.plaintext));
        let line: Vec<u8> = self.plaintext.drain(..=end).collect();
        String::from_utf8(line).expect("text").trim_end().to_owned()
    }

    /// The next `len` bytes.
    pub fn body<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
        len: usize,
    ) -> Vec<u8> {
        world
            .run_until(100 * PATIENCE_MS, |world| !self.poll(world.client(self.handle)) || self.plaintext.len() >= len);
        assert!(self.plaintext.len() >= len, "{} of {len} bytes, {:?}", self.plaintext.len(), self.failure);
        self.plaintext.drain(..len).collect()
    }

    /// Asks, and returns the answer's first line.
    pub fn ask<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
        request: &str,
    ) -> String {
        self.send(world, request.as_bytes());
        self.line(world)
    }

    /// Fetches the file of `len` bytes, and checks its digest.
    pub fn get<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        world: &mut World<S, N, A, BUF>,
        name: &str,
        len: usize,
    ) -> Vec<u8> {
        let header = self.ask(world, &format!(r#"{{"type":"get","fileName":"{name}"}}"#));
        assert!(header.contains(&format!(r#""length":{len}"#)), "{header}");
        let body = self.body(world, len);
        let end = self.line(world);
        let digest = super::digest_of(DigestKind::Crc32, &body);
        assert!(end.contains(&format!(r#""crc32":"{digest}""#)), "{end}");
        body
    }
}
