//! Handshakes over a blocking transport.

use std::io;
use std::time::{Duration, Instant};

use coracle_channel::{
    ClientHandshake, Entropy, HandshakeAction, HandshakeError, KeyPair, Psk, PublicKey, SecretKey, ServerHandshake,
};
use coracle_core::blocking::Transport;
use embedded_io::{Error as _, ErrorKind};

use super::error::{HandshakeCause, HandshakeFailure};
use super::stream::{ChannelTransport, LIMIT};
use crate::transport::whole_millis;

/// Longer than each message of a handshake.
const RECEIVE_LEN: usize = 4096;

/// What is received of a plain line in place of a message, at most.
const PLAIN_LEN: usize = 1024;

/// How long a server waits for a client's messages.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AcceptDeadlines {
    /// For message 1, from now on.
    pub first: Duration,
    /// For message 3, from message 2 on.
    pub third: Duration,
}

impl AcceptDeadlines {
    /// 10 s for message 1, 3 s for message 3.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: Duration::from_secs(10), third: Duration::from_secs(3) }
    }

    /// Sets the time for message 1.
    #[must_use]
    pub const fn with_first(self, first: Duration) -> Self {
        Self { first, ..self }
    }

    /// Sets the time for message 3.
    #[must_use]
    pub const fn with_third(self, third: Duration) -> Self {
        Self { third, ..self }
    }
}

impl Default for AcceptDeadlines {
    fn default() -> Self {
        Self::new()
    }
}

/// A new secret key, of the operating system's random bytes.
///
/// # Errors
///
/// The operating system has none.
pub fn new_secret_key() -> io::Result<SecretKey> {
    SecretKey::from_bytes(random()?).map_err(io::Error::other)
}

/// A new pre-shared key, of the operating system's random bytes.
///
/// # Errors
///
/// The operating system has none.
pub fn new_psk() -> io::Result<Psk> {
    Psk::from_bytes(random()?).map_err(io::Error::other)
}

/// Makes a client's handshake. `permit` is asked whether this is the server that is meant; only then it learns who the client is.
///
/// # Errors
///
/// The connection is to be closed. Where the server answered in plain, what was received of it is in the failure.
pub fn connect<T: Transport>(
    transport: T,
    key: &KeyPair,
    psk: Option<&Psk>,
    deadline: Instant,
    permit: impl FnOnce(&PublicKey) -> bool,
) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
    let entropy = entropy().map_err(|error| failure(2, HandshakeCause::Entropy(error)))?;
    let mut handshake = ClientHandshake::new(entropy, LIMIT);
    let mut line = Line::new(transport, deadline, &[]);
    let mut permit = Some(permit);
    loop {
        match handshake.action() {
            HandshakeAction::Compute => handshake.compute(key, psk),
            HandshakeAction::Send(bytes) => {
                let sent = line.send(bytes).map_err(|cause| failure(2, cause))?;
                handshake.sent(sent);
            }
            HandshakeAction::Receive => {
                match line.receive(|bytes| handshake.receive(bytes)).map_err(|cause| failure(2, cause))? {
                    Received::Some => {}
                    Received::End => handshake.receive_eof(),
                }
            }
            HandshakeAction::Decide(server) => {
                if !permit.take().is_some_and(|permit| permit(&server)) {
                    return Err(failure(2, HandshakeCause::OtherServer(server)));
                }
                handshake.permit();
            }
            HandshakeAction::Failed(error) => {
                let received = if error == HandshakeError::NotEncrypted { line.plain() } else { Vec::new() };
                return Err(HandshakeFailure { received, ..failure(2, HandshakeCause::Handshake(error)) });
            }
            HandshakeAction::Done => {
                let closed = || failure(3, HandshakeCause::Handshake(HandshakeError::Closed));
                let channel = handshake.finish().ok_or_else(closed)?;
                return Ok(line.into_channel(channel, None));
            }
        }
    }
}

/// Makes a server's handshake with a client of which `received` has been received already. Any of the pre-shared keys will do;
/// without one there is none. What the client may do is to be decided by its key, [`ChannelTransport::peer`].
///
/// # Errors
///
/// The connection is to be closed without a byte.
pub fn accept<T: Transport>(
    transport: T,
    received: &[u8],
    key: &KeyPair,
    psks: &[Psk],
    deadlines: AcceptDeadlines,
) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
    let entropy = entropy().map_err(|error| failure(1, HandshakeCause::Entropy(error)))?;
    let mut handshake = ServerHandshake::new(entropy, LIMIT);
    let mut line = Line::new(transport, Instant::now() + deadlines.first, received);
    let mut is_answered = false;
    loop {
        let message = handshake.message();
        match handshake.action() {
            HandshakeAction::Compute => handshake.compute(key, psks),
            HandshakeAction::Send(bytes) => {
                if !is_answered {
                    is_answered = true;
                    line.deadline = Instant::now() + deadlines.third;
                }
                let sent = line.send(bytes).map_err(|cause| failure(message, cause))?;
                handshake.sent(sent);
            }
            HandshakeAction::Receive => {
                match line.receive(|bytes| handshake.receive(bytes)).map_err(|cause| failure(message, cause))? {
                    Received::Some => {}
                    Received::End => handshake.receive_eof(),
                }
            }
            HandshakeAction::Failed(error) => return Err(failure(message, HandshakeCause::Handshake(error))),
            HandshakeAction::Decide(_) | HandshakeAction::Done => {
                let closed = || failure(message, HandshakeCause::Handshake(HandshakeError::Closed));
                let psk = handshake.psk();
                let channel = handshake.finish().ok_or_else(closed)?;
                return Ok(line.into_channel(channel, psk));
            }
        }
    }
}

fn entropy() -> io::Result<Entropy> {
    Entropy::new(random()?).map_err(io::Error::other)
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn failure<E>(message: u8, cause: HandshakeCause<E>) -> HandshakeFailure<E> {
    HandshakeFailure { message, cause, received: Vec::new() }
}

/// A transport with a deadline, and what was received of it.
struct Line<T> {
    transport: T,
    deadline: Instant,
    received: Vec<u8>,
}

enum Received {
    Some,
    End,
}

impl<T: Transport> Line<T> {
    fn new(transport: T, deadline: Instant, received: &[u8]) -> Self {
        Self { transport, deadline, received: received.to_vec() }
    }

    /// The line that is received in place of a message, as far as it comes.
    fn plain(mut self) -> Vec<u8> {
        let mut line = Vec::new();
        while line.len() < PLAIN_LEN && !line.contains(&b'\n') {
            match self.receive(|bytes| {
                line.extend_from_slice(bytes);
                bytes.len()
            }) {
                Ok(Received::Some) => {}
                _ => break,
            }
        }
        let end = line.iter().position(|byte| *byte == b'\n').map_or(line.len(), |at| at + 1);
        line.truncate(end.min(PLAIN_LEN));
        line
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, HandshakeCause<T::Error>> {
        self.limit()?;
        match self.transport.write(bytes) {
            Ok(0) => Err(HandshakeCause::Handshake(HandshakeError::Closed)),
            Ok(sent) => Ok(sent),
            Err(error) => self.again(error).map(|()| 0),
        }
    }

    /// Gives what has been received to `take`, which says how much it took, and receives something before if there is nothing.
    fn receive(&mut self, take: impl FnOnce(&[u8]) -> usize) -> Result<Received, HandshakeCause<T::Error>> {
        if self.received.is_empty() {
            self.limit()?;
            let mut buf = [0; RECEIVE_LEN];
            match self.transport.read(&mut buf) {
                Ok(0) => return Ok(Received::End),
                Ok(len) => self.received.extend_from_slice(&buf[..len]),
                Err(error) => return self.again(error).map(|()| Received::Some),
            }
        }
        let taken = take(&self.received);
        self.received.drain(..taken);
        Ok(Received::Some)
    }

    /// Bounds the next call.
    fn limit(&mut self) -> Result<(), HandshakeCause<T::Error>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HandshakeCause::TimedOut);
        }
        self.transport.limit_wait(Some(whole_millis(left).max(1))).map_err(HandshakeCause::Transport)
    }

    fn again(&mut self, error: T::Error) -> Result<(), HandshakeCause<T::Error>> {
        match error.kind() {
            ErrorKind::Interrupted => Ok(()),
            ErrorKind::TimedOut => Err(HandshakeCause::TimedOut),
            _ => Err(HandshakeCause::Transport(error)),
        }
    }

    fn into_channel(self, channel: coracle_channel::Channel, psk: Option<usize>) -> ChannelTransport<T> {
        ChannelTransport::new(self.transport, channel, psk, &self.received)
    }
}
