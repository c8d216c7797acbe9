//! A client's side of the encrypted channel, over a socket.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use coracle_channel::{
    ClientHandshake, Entropy, HandshakeAction, KeyPair, Opened, Opener, PLAINTEXT_OFFSET, PublicKey, RecordLimit,
    Sealer, SecretKey,
};
use rustix::net::{SendFlags, send};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::Server;
use crate::content::Random;
use crate::meter::Meter;
use crate::small::receive;

/// Two records of the longest.
const RECEIVE_LEN: usize = 2 * RecordLimit::PC.record_len();

/// Both directions of a connection whose handshake is made.
pub struct Encrypted {
    sealer: Sealer,
    opener: Opener,
    /// What has been received and not been opened: its first `len` bytes.
    sealed: Vec<u8>,
    len: usize,
}

/// What a client's keys are made of, which guard nothing.
pub struct Keys {
    key: KeyPair,
    random: Random,
}

impl Keys {
    pub fn new() -> Self {
        let mut random = Random::new();
        let key = SecretKey::from_bytes(bytes(&mut random)).map(KeyPair::new).expect("it is not zero");
        Self { key, random }
    }
}

impl Encrypted {
    /// Makes the handshake, and sends nothing behind it.
    pub fn connect(mut socket: &Socket, keys: &mut Keys, server: &PublicKey) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("a handshake: {error}");
        socket.set_tcp_nodelay(true).map_err(failed)?;
        let entropy = Entropy::new(bytes(&mut keys.random)).map_err(|error| error.to_string())?;
        let mut handshake = ClientHandshake::new(entropy, RecordLimit::PC);
        let (mut sealed, mut len) = (vec![0; RECEIVE_LEN], 0);
        loop {
            match handshake.action() {
                HandshakeAction::Compute => handshake.compute(&keys.key, None),
                HandshakeAction::Send(bytes) => {
                    let sent = socket.write(bytes).map_err(failed)?;
                    handshake.sent(sent);
                }
                HandshakeAction::Receive => {
                    if len == 0 {
                        len = socket.read(&mut sealed).map_err(failed)?;
                    }
                    if len == 0 {
                        handshake.receive_eof();
                    }
                    let taken = handshake.receive(&sealed[..len]);
                    sealed.copy_within(taken..len, 0);
                    len -= taken;
                }
                HandshakeAction::Decide(key) if key == *server => handshake.permit(),
                HandshakeAction::Decide(key) => return Err(format!("the server's key is {key}")),
                HandshakeAction::Failed(error) => return Err(format!("a handshake: {error}")),
                HandshakeAction::Done => {
                    let channel = handshake.finish().ok_or("a handshake did not finish")?;
                    return Ok(Self { sealer: channel.sealer, opener: channel.opener, sealed, len });
                }
            }
        }
    }

    /// Sends `bytes`, which are few, as a record.
    pub fn send(&mut self, socket: &Socket, bytes: &[u8]) -> Result<(), String> {
        let mut record = [0; 512];
        let place = record.get_mut(PLAINTEXT_OFFSET..PLAINTEXT_OFFSET + bytes.len()).ok_or("a long request")?;
        place.copy_from_slice(bytes);
        let len = self.sealer.seal(&mut record, bytes.len()).map_err(|error| error.to_string())?;
        send_whole(socket, &record[..len])
    }

    /// Reads once, and puts what that opens into `plain`. Returns how much it is: `None` where no record is whole yet, 0 at the
    /// end.
    pub fn receive(&mut self, socket: &Socket, plain: &mut [u8], wait: bool) -> Result<Option<usize>, String> {
        match receive(socket, &mut self.sealed[self.len..], wait)? {
            None => return Ok(None),
            Some(0) => {
                self.opener.receive_eof().map_err(|error| error.to_string())?;
                return Ok(Some(0));
            }
            Some(len) => self.len += len,
        }
        let (mut from, mut opened) = (0, 0);
        loop {
            match self.opener.open(&mut self.sealed[from..self.len]).map_err(|error| error.to_string())? {
                Opened::Data { plaintext, taken } => {
                    let text = &self.sealed[from..][plaintext];
                    let place = plain.get_mut(opened..opened + text.len()).ok_or("the answer is too long")?;
                    place.copy_from_slice(text);
                    opened += text.len();
                    from += taken;
                }
                Opened::End { taken } => from += taken,
                Opened::Incomplete { .. } => break,
            }
        }
        self.sealed.copy_within(from..self.len, 0);
        self.len -= from;
        Ok(if opened == 0 { None } else { Some(opened) })
    }

    /// Ends this direction, and waits for the end of the other one: so the server has taken the handshake for complete.
    fn end(mut self, socket: &Socket) -> Result<(), String> {
        let mut record = [0; 32];
        let len = self.sealer.finish(&mut record).map_err(|error| error.to_string())?;
        send_whole(socket, &record[..len])?;
        while self.receive(socket, &mut [], true)? != Some(0) {}
        if self.opener.has_ended() { Ok(()) } else { Err("the server did not end the channel".to_owned()) }
    }
}

/// Makes handshakes until the time is over, one after the other, each over a new connection, and ends it.
pub fn handshakes(server: &Server, milliseconds: u64) -> Result<Value, String> {
    let key = server.key.as_ref().ok_or("handshakes need the server's --key")?;
    let mut keys = Keys::new();
    let mut count = 0_u64;
    let meter = Meter::start(&server.pid)?;
    let end = Instant::now() + Duration::from_millis(milliseconds);
    while count == 0 || Instant::now() < end {
        let socket = Socket::new(Domain::for_address(server.address), Type::STREAM, None)
            .map_err(|error| format!("a socket: {error}"))?;
        socket.connect(&server.address.into()).map_err(|error| format!("connecting: {error}"))?;
        Encrypted::connect(&socket, &mut keys, key)?.end(&socket)?;
        count += 1;
    }
    Ok(json!({ "seconds": meter.seconds(), "requests": count, "cpu_seconds": meter.busy()? }))
}

fn send_whole(socket: &Socket, bytes: &[u8]) -> Result<(), String> {
    let sent = send(socket, bytes, SendFlags::NOSIGNAL).map_err(|error| format!("asking: {error}"))?;
    if sent == bytes.len() { Ok(()) } else { Err("a request did not fit the socket's buffer".to_owned()) }
}

fn bytes(random: &mut Random) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, number) in bytes.chunks_exact_mut(8).zip(random) {
        chunk.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}
