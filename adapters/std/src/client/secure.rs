//! Connections through the encrypted channel: the client's key, whom it trusts, and the handshake.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle_core::blocking::Transport;
use coracle_core::{Code, Failure};
use socket2::Socket;

use super::address::Address;
use super::attempt::FailedAttempt;
use super::error::Error;
use super::wire::Wire;
use crate::channel::{
    ChannelTransport, HandshakeCause, HandshakeError, HandshakeFailure, KeyPair, Psk, PublicKey, connect,
    new_secret_key,
};
use crate::transport::{TcpTransport, TransportError};

/// How long a handshake may take where connecting has no limit.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(60);
/// A host's pre-shared key, and the one that takes its place.
const MAX_PSKS: usize = 2;

/// Decides whether a server is the one that is meant.
pub trait ServerTrust: Send + Sync {
    /// Whether the server whose key this is is trusted. The server waits for the answer, and has learned nothing of the client
    /// but that it has the pre-shared key.
    fn is_trusted(&self, key: &PublicKey) -> bool;

    /// Decides on the key of a server that was not trusted. The connection is closed, so this may ask the user.
    ///
    /// # Errors
    ///
    /// Why the server is not trusted. After `Ok` it is connected to again.
    fn review(&self, key: &PublicKey) -> Result<(), String>;
}

/// The servers with these keys, and no others.
impl ServerTrust for Vec<PublicKey> {
    fn is_trusted(&self, key: &PublicKey) -> bool {
        self.contains(key)
    }

    fn review(&self, key: &PublicKey) -> Result<(), String> {
        let meant: Vec<_> = self.iter().map(ToString::to_string).collect();
        Err(format!("its key is {key}, not {}", meant.join(" or ")))
    }
}

/// How a [`Client`](super::Client) encrypts: its own key, pre-shared keys, and the servers that it trusts.
///
/// ```
/// use coracle::channel::{KeyPair, new_secret_key};
/// use coracle::client::{Client, ClientChannel};
///
/// let server = *KeyPair::new(new_secret_key()?).public(); // as 'coracle key show' prints it there: ck1...
/// let channel = ClientChannel::new(vec![server])?;
/// let client = Client::new("192.168.7.2".parse().unwrap()).with_channel(Some(channel));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientChannel {
    key: Arc<KeyPair>,
    psks: Vec<Psk>,
    trust: Arc<dyn ServerTrust>,
    choice: Arc<Mutex<PskChoice>>,
}

/// Which of the pre-shared keys the server answers: known to all connections of the clones of a [`ClientChannel`].
#[derive(Default)]
struct PskChoice {
    index: usize,
    /// A handshake with a pre-shared key has been answered.
    was_answered: bool,
}

impl ClientChannel {
    /// A channel to the servers that `trust` knows, with a key that is made now, and no pre-shared key.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub fn new(trust: impl ServerTrust + 'static) -> io::Result<Self> {
        let key = Arc::new(KeyPair::new(new_secret_key()?));
        Ok(Self { key, psks: Vec::new(), trust: Arc::new(trust), choice: Arc::default() })
    }

    /// Sets the client's own key, by which servers know it.
    pub fn with_key(self, key: KeyPair) -> Self {
        Self { key: Arc::new(key), ..self }
    }

    /// Sets the pre-shared keys of the host: up to two, of which the second is tried where the first is not answered. Clones share
    /// what they learn of that.
    ///
    /// # Panics
    ///
    /// With more than two: each attempt with a wrong one counts at the server.
    pub fn with_psks(self, psks: Vec<Psk>) -> Self {
        assert!(psks.len() <= MAX_PSKS, "a host has two pre-shared keys at most");
        Self { psks, choice: Arc::default(), ..self }
    }

    /// Makes the handshake over a transport that is connected, with the pre-shared key that the server has answered, or the first
    /// one, and without asking anybody.
    ///
    /// # Errors
    ///
    /// The connection is to be closed. Where it [was closed](HandshakeFailure::is_unanswered) by the server instead of an answer,
    /// the next call takes the other pre-shared key: see [`ClientChannel::has_other_psk`].
    pub fn connect<T: Transport>(
        &self,
        transport: T,
        deadline: Instant,
    ) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
        let choice = self.choice();
        let index = choice.index;
        // One connection finds out: each attempt with a wrong one counts at the server.
        let finding = Some(choice).filter(|choice| self.has_other_psk() && !choice.was_answered);
        let made = connect(transport, &self.key, self.psks.get(index), deadline, |key| self.trust.is_trusted(key));
        let mut choice = finding.unwrap_or_else(|| self.choice());
        match &made {
            Err(failure) if failure.is_unanswered() && choice.index == index && self.has_other_psk() => {
                choice.index = (index + 1) % self.psks.len();
            }
            Ok(_) | Err(HandshakeFailure { cause: HandshakeCause::OtherServer(_), .. }) => choice.was_answered = true,
            Err(_) => {}
        }
        drop(choice);
        made
    }

    /// Whether the host has two pre-shared keys.
    #[must_use]
    pub const fn has_other_psk(&self) -> bool {
        self.psks.len() > 1
    }

    fn choice(&self) -> MutexGuard<'_, PskChoice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's own key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        self.key.public()
    }
}

impl fmt::Debug for ClientChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientChannel").field("key", self.key()).finish_non_exhaustive()
    }
}

/// Makes the handshakes of a client.
pub struct Secure {
    config: ClientChannel,
    /// The other pre-shared key was tried.
    tried_other_psk: bool,
}

/// What follows a connection.
pub enum Handshaken {
    Done(Wire),
    /// Connect again: with the next pre-shared key, or since the server is trusted now.
    Again,
}

impl Secure {
    pub const fn new(config: ClientChannel) -> Self {
        Self { config, tried_other_psk: false }
    }

    pub fn handshake(
        &mut self,
        transport: TcpTransport<Socket>,
        timeout: Option<Duration>,
        address: &Address,
    ) -> Result<Handshaken, FailedAttempt> {
        let deadline = Instant::now() + timeout.unwrap_or(LONGEST_HANDSHAKE);
        let failure = match self.config.connect(transport, deadline) {
            Ok(channel) => {
                self.tried_other_psk = false;
                return Ok(Handshaken::Done(Wire::encrypted(channel)));
            }
            Err(failure) => failure,
        };
        match failure.cause {
            HandshakeCause::OtherServer(key) => match self.config.trust.review(&key) {
                Ok(()) => Ok(Handshaken::Again),
                Err(why) => {
                    Err(FailedAttempt::new(Error::Untrusted { peer: address.to_string(), key: Box::new(key), why }))
                }
            },
            _ if failure.is_unanswered() && self.config.has_other_psk() && !self.tried_other_psk => {
                self.tried_other_psk = true;
                Ok(Handshaken::Again)
            }
            _ => Err(self.failed(failure, address)),
        }
    }

    fn failed(&self, failure: HandshakeFailure<TransportError>, address: &Address) -> FailedAttempt {
        if let Some((code, retry_ms)) = plain_word(&failure.received) {
            // An attacker on the way may have said it. It costs a pause at most.
            let peer = format!("{address}, unauthenticated");
            let error = Error::Connection { peer, error: None, failure: Failure::Ended(code) };
            return FailedAttempt { retry_ms, ..FailedAttempt::new(error) };
        }
        let is_temporary = match failure.cause {
            HandshakeCause::TimedOut | HandshakeCause::Transport(_) => true,
            HandshakeCause::Handshake(HandshakeError::Closed) => self.config.choice().was_answered,
            _ => false,
        };
        FailedAttempt::new(Error::Handshake { peer: address.to_string(), failure: Box::new(failure), is_temporary })
    }
}

/// What a server that has no place, or restarts, says in plain, and when to come again.
fn plain_word(received: &[u8]) -> Option<(Code, Option<u32>)> {
    let line: serde_json::Value = serde_json::from_slice(received).ok()?;
    let code = line.get("code")?.as_str().and_then(Code::from_word);
    let code = code.filter(|code| matches!(code, Code::Busy | Code::ShuttingDown))?;
    let retry_ms = line.get("retry_ms").and_then(serde_json::Value::as_u64);
    Some((code, retry_ms.map(|told| u32::try_from(told).unwrap_or(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use coracle_core::Code;

    use super::plain_word;

    #[test]
    fn e4_only_two_plain_words_mean_something() {
        let busy = br#"{"type":"error","code":"busy","message":"no place","retry_ms":250}"#;
        assert_eq!(plain_word(busy), Some((Code::Busy, Some(250))));
        let stopping = br#"{"type":"error","code":"shuttingDown"}"#;
        assert_eq!(plain_word(stopping), Some((Code::ShuttingDown, None)));
        for other in [&br#"{"type":"error","code":"notFound"}"#[..], br#"{"code":7}"#, b"220 smtp.example ESMTP", b""] {
            assert_eq!(plain_word(other), None);
        }
    }
}
