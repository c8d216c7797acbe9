//! The server's side of a handshake.

use core::fmt;

use crate::channel::Channel;
use crate::entropy::Entropy;
use crate::handshake::HandshakeAction;
use crate::keys::{KeyPair, Psk, PublicKey};
use crate::message::{Arrived, FIRST, Form, HandshakeError, Message, PROLOGUE, RecordLimit, SECOND, THIRD};
use crate::pattern::Responder;

/// A server's handshake with one client: three messages, four Diffie-Hellman operations.
///
/// It takes the first byte of a connection and ends behind message 3: what came behind that belongs to the [`Channel`]. The
/// keys are given at each step, so that a server has them once. Whether the client may do anything is the owner's decision,
/// made with [`Channel::peer`].
pub struct ServerHandshake {
    state: State,
    noise: Responder,
    message: Message,
    limit: RecordLimit,
    peer_limit: RecordLimit,
    peer: PublicKey,
    psk: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Awaits message 1.
    First,
    /// Tries the pre-shared keys.
    Psk,
    /// The Diffie-Hellman operations of message 2.
    Ephemeral,
    EphemeralEphemeral,
    EphemeralStatic,
    SendSecond,
    /// Awaits message 3.
    Third,
    /// The one of message 3.
    StaticEphemeral,
    Done,
    Finished,
    Failed(HandshakeError),
}

impl ServerHandshake {
    /// Length of message 1, in bytes: what [`has_first`](Self::has_first) has to be shown.
    pub const FIRST_LEN: usize = FIRST.len;

    /// For a connection. `limit` is the most that this end takes in a record.
    #[must_use]
    pub fn new(entropy: Entropy, limit: RecordLimit) -> Self {
        Self {
            state: State::First,
            noise: Responder::new(&PROLOGUE, entropy.take()),
            message: Message::new(),
            limit,
            peer_limit: RecordLimit::MIN,
            peer: PublicKey::from_bytes([0; 32]),
            psk: None,
        }
    }

    /// Whether `bytes`, the first of a connection, hold all of message 1. For an owner that has room for few handshakes, and begins
    /// one only when it can go on. Nothing is taken.
    ///
    /// # Errors
    ///
    /// They begin no message 1: the connection is to be closed, or is not encrypted ([`HandshakeError::NotEncrypted`]).
    pub fn has_first(bytes: &[u8]) -> Result<bool, HandshakeError> {
        Ok(Message::new().receive(&FIRST, bytes).1? == Arrived::Whole)
    }

    /// What has to be done next.
    #[must_use]
    pub fn action(&self) -> HandshakeAction<'_> {
        match self.state {
            State::First | State::Third => HandshakeAction::Receive,
            State::Psk
            | State::Ephemeral
            | State::EphemeralEphemeral
            | State::EphemeralStatic
            | State::StaticEphemeral => HandshakeAction::Compute,
            State::SendSecond => HandshakeAction::Send(self.message.unsent(&SECOND)),
            State::Done | State::Finished => HandshakeAction::Done,
            State::Failed(error) => HandshakeAction::Failed(error),
        }
    }

    /// Takes bytes of the client and returns how many: never more than belong to the message that is awaited.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::First => self.collect(&FIRST, State::Psk, bytes),
            State::Third => self.collect(&THIRD, State::StaticEphemeral, bytes),
            _ => 0,
        }
    }

    /// The client has closed its direction.
    pub fn receive_eof(&mut self) {
        if !matches!(self.state, State::Done | State::Finished | State::Failed(_)) {
            self.state = State::Failed(HandshakeError::Closed);
        }
    }

    /// Computes the next step, with the server's static key and the pre-shared keys that it accepts. Without any the pre-shared
    /// key is 32 bytes of zero.
    pub fn compute(&mut self, key: &KeyPair, psks: &[Psk]) {
        let next = match self.state {
            State::Psk => self.try_psks(psks),
            State::Ephemeral => {
                self.message.begin(&SECOND);
                self.noise.begin_second(self.message.noise(&SECOND)).map(|()| State::EphemeralEphemeral)
            }
            State::EphemeralEphemeral => {
                self.noise.continue_second();
                Some(State::EphemeralStatic)
            }
            State::EphemeralStatic => {
                self.message.put_parameters(&SECOND, self.limit);
                self.noise.finish_second(key, self.message.noise(&SECOND)).map(|()| State::SendSecond)
            }
            State::StaticEphemeral => self.read_third(),
            other => Some(other),
        };
        self.state = next.unwrap_or(State::Failed(HandshakeError::Authentication));
    }

    /// So many of the bytes in [`HandshakeAction::Send`] have been sent.
    pub fn sent(&mut self, len: usize) {
        if self.state == State::SendSecond && self.message.sent(&SECOND, len) {
            self.message.clear();
            self.state = State::Third;
        }
    }

    /// The channel, once the handshake is complete. The handshake is used up.
    pub fn finish(&mut self) -> Option<Channel> {
        if self.state != State::Done {
            return None;
        }
        self.state = State::Finished;
        let keys = self.noise.split();
        Some(Channel::new([&keys[1], &keys[0]], self.limit, self.peer_limit, self.peer))
    }

    /// The place of the client's pre-shared key among those that were given to [`compute`](Self::compute), once it is known.
    #[must_use]
    pub fn psk(&self) -> Option<usize> {
        self.psk
    }

    /// The message that is awaited or made: 1, 2 or 3. For the log.
    #[must_use]
    pub fn message(&self) -> u8 {
        match self.state {
            State::First | State::Psk => 1,
            State::Third | State::StaticEphemeral | State::Done | State::Finished => 3,
            State::Failed(_) => {
                if self.psk.is_none() {
                    1
                } else {
                    3
                }
            }
            _ => 2,
        }
    }

    fn collect(&mut self, form: &Form, whole: State, bytes: &[u8]) -> usize {
        let (taken, arrived) = self.message.receive(form, bytes);
        match arrived {
            Ok(Arrived::Part) => {}
            Ok(Arrived::Whole) => self.state = whole,
            Err(error) => self.state = State::Failed(error),
        }
        taken
    }

    /// A few hashes for each, and no Diffie-Hellman: strangers cost little.
    fn try_psks(&mut self, psks: &[Psk]) -> Option<State> {
        let none: &[u8; 32] = &[0; 32];
        let mut place = 0;
        loop {
            let psk = match psks.get(place) {
                Some(psk) => psk.as_bytes(),
                None if psks.is_empty() && place == 0 => none,
                None => return None,
            };
            if self.noise.read_first(psk, self.message.noise(&FIRST)).is_some() {
                self.psk = Some(place);
                return Some(State::Ephemeral);
            }
            place = place.saturating_add(1);
        }
    }

    fn read_third(&mut self) -> Option<State> {
        self.peer = self.noise.read_third(self.message.noise(&THIRD))?;
        Some(match self.message.parameters(&THIRD) {
            Ok(limit) => {
                self.peer_limit = limit;
                State::Done
            }
            Err(error) => State::Failed(error),
        })
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake").field("state", &self.state).finish_non_exhaustive()
    }
}
