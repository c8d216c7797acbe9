//! The client's side of a handshake.

use core::fmt;

use crate::channel::Channel;
use crate::entropy::Entropy;
use crate::handshake::HandshakeAction;
use crate::keys::{KeyPair, Psk, PublicKey};
use crate::message::{Arrived, FIRST, HandshakeError, Message, PROLOGUE, RecordLimit, SECOND, THIRD};
use crate::pattern::Initiator;

/// A client's handshake with a server: three messages, four Diffie-Hellman operations.
///
/// Between messages 2 and 3 the owner is asked whether the server is the one that it means ([`HandshakeAction::Decide`]): before
/// that the server has learned nothing about the client but that it has the pre-shared key.
pub struct ClientHandshake {
    state: State,
    noise: Initiator,
    message: Message,
    limit: RecordLimit,
    peer_limit: RecordLimit,
    peer: PublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The Diffie-Hellman operation of message 1.
    Ephemeral,
    SendFirst,
    /// Awaits message 2.
    Second,
    /// The two of message 2.
    EphemeralEphemeral,
    EphemeralStatic,
    Decide,
    /// The one of message 3.
    StaticEphemeral,
    SendThird,
    Done,
    Finished,
    Failed(HandshakeError),
}

impl ClientHandshake {
    /// For a connection. `limit` is the most that this end takes in a record.
    #[must_use]
    pub fn new(entropy: Entropy, limit: RecordLimit) -> Self {
        Self {
            state: State::Ephemeral,
            noise: Initiator::new(&PROLOGUE, entropy.take()),
            message: Message::new(),
            limit,
            peer_limit: RecordLimit::MIN,
            peer: PublicKey::from_bytes([0; 32]),
        }
    }

    /// What has to be done next.
    #[must_use]
    pub fn action(&self) -> HandshakeAction<'_> {
        match self.state {
            State::Second => HandshakeAction::Receive,
            State::Ephemeral | State::EphemeralEphemeral | State::EphemeralStatic | State::StaticEphemeral => {
                HandshakeAction::Compute
            }
            State::SendFirst => HandshakeAction::Send(self.message.unsent(&FIRST)),
            State::SendThird => HandshakeAction::Send(self.message.unsent(&THIRD)),
            State::Decide => HandshakeAction::Decide(self.peer),
            State::Done | State::Finished => HandshakeAction::Done,
            State::Failed(error) => HandshakeAction::Failed(error),
        }
    }

    /// Takes bytes of the server and returns how many: never more than belong to message 2. A server that answers with a plain
    /// line has [`HandshakeError::NotEncrypted`], and none of it is taken.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        if self.state != State::Second {
            return 0;
        }
        let (taken, arrived) = self.message.receive(&SECOND, bytes);
        match arrived {
            Ok(Arrived::Part) => {}
            Ok(Arrived::Whole) => self.state = State::EphemeralEphemeral,
            Err(error) => self.state = State::Failed(error),
        }
        taken
    }

    /// The server has closed its direction.
    pub fn receive_eof(&mut self) {
        if !matches!(self.state, State::Done | State::Finished | State::Failed(_)) {
            self.state = State::Failed(HandshakeError::Closed);
        }
    }

    /// Computes the next step, with the client's static key and the pre-shared key, if there is one.
    pub fn compute(&mut self, key: &KeyPair, psk: Option<&Psk>) {
        let next = match self.state {
            State::Ephemeral => {
                self.message.begin(&FIRST);
                let psk = psk.map_or(&[0; 32], Psk::as_bytes);
                self.noise.write_first(psk, self.message.noise(&FIRST)).map(|()| State::SendFirst)
            }
            State::EphemeralEphemeral => {
                self.noise.read_second(self.message.noise(&SECOND)).map(|()| State::EphemeralStatic)
            }
            State::EphemeralStatic => self.finish_second(),
            State::StaticEphemeral => {
                self.message.begin(&THIRD);
                self.message.put_parameters(&THIRD, self.limit);
                self.noise.write_third(key, self.message.noise(&THIRD)).map(|()| State::SendThird)
            }
            other => Some(other),
        };
        self.state = next.unwrap_or(State::Failed(HandshakeError::Authentication));
    }

    /// The server in [`HandshakeAction::Decide`] is the one that is meant.
    pub fn permit(&mut self) {
        if self.state == State::Decide {
            self.state = State::StaticEphemeral;
        }
    }

    /// So many of the bytes in [`HandshakeAction::Send`] have been sent.
    pub fn sent(&mut self, len: usize) {
        match self.state {
            State::SendFirst if self.message.sent(&FIRST, len) => {
                self.message.clear();
                self.state = State::Second;
            }
            State::SendThird if self.message.sent(&THIRD, len) => self.state = State::Done,
            _ => {}
        }
    }

    /// The channel, once the handshake is complete. The handshake is used up. Whether the server has accepted message 3 shows at
    /// its first record.
    pub fn finish(&mut self) -> Option<Channel> {
        if self.state != State::Done {
            return None;
        }
        self.state = State::Finished;
        let keys = self.noise.split();
        Some(Channel::new([&keys[0], &keys[1]], self.limit, self.peer_limit, self.peer))
    }

    fn finish_second(&mut self) -> Option<State> {
        self.peer = self.noise.finish_second(self.message.noise(&SECOND))?;
        Some(match self.message.parameters(&SECOND) {
            Ok(limit) => {
                self.peer_limit = limit;
                State::Decide
            }
            Err(error) => State::Failed(error),
        })
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake").field("state", &self.state).finish_non_exhaustive()
    }
}
