//! Connections through the encrypted channel: the client's key, whom it trusts, and the handshake.

use std::fmt;
use std::io;
use std::sync::Arc;
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

    /// Decides on the key of a server that was not trusted. The connection is closed, so this may ask somebody.
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
}

impl ClientChannel {
    /// A channel to the servers that `trust` knows, with a key that is made now, and no pre-shared key.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub fn new(trust: impl ServerTrust + 'static) -> io::Result<Self> {
        let key = Arc::new(KeyPair::new(new_secret_key()?));
        Ok(Self { key, psks: Vec::new(), trust: Arc::new(trust) })
    }

    /// Sets the client's own key, by which servers know it.
    pub fn with_key(self, key: KeyPair) -> Self {
        Self { key: Arc::new(key), ..self }
    }

    /// Sets the pre-shared keys of the host: up to two, of which the second is tried where the first is not answered.
    ///
    /// # Panics
    ///
    /// With more than two: each attempt with a wrong one counts at the server.
    pub fn with_psks(self, psks: Vec<Psk>) -> Self {
        assert!(psks.len() <= MAX_PSKS, "a host has two pre-shared keys at most");
        Self { psks, ..self }
    }

    /// Makes the handshake over a transport that is connected, with the first pre-shared key, and without asking anybody.
    ///
    /// # Errors
    ///
    /// The connection is to be closed.
    pub fn connect<T: Transport>(
        &self,
        transport: T,
        deadline: Instant,
    ) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
        self.connect_with(self.psks.first(), transport, deadline)
    }

    fn connect_with<T: Transport>(
        &self,
        psk: Option<&Psk>,
        transport: T,
        deadline: Instant,
    ) -> Result<ChannelTransport<T>, HandshakeFailure<T::Error>> {
        connect(transport, &self.key, psk, deadline, |key| self.trust.is_trusted(key))
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
    /// The pre-shared key to begin with.
    psk: usize,
    /// Whether a handshake has succeeded.
    was_answered: bool,
}

/// What follows a connection.
pub enum Handshaken {
    Done(Wire),
    /// Connect again: with the next pre-shared key, or since the server is trusted now.
    Again,
}

impl Secure {
    pub const fn new(config: ClientChannel) -> Self {
        Self { config, psk: 0, was_answered: false }
    }

    pub fn handshake(
        &mut self,
        transport: TcpTransport<Socket>,
        timeout: Option<Duration>,
        address: &Address,
    ) -> Result<Handshaken, FailedAttempt> {
        let deadline = Instant::now() + timeout.unwrap_or(LONGEST_HANDSHAKE);
        let failure = match self.config.connect_with(self.config.psks.get(self.psk), transport, deadline) {
            Ok(channel) => {
                self.was_answered = true;
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
            HandshakeCause::Handshake(HandshakeError::Closed)
                if !self.was_answered && self.psk + 1 < self.config.psks.len() =>
            {
                self.psk += 1;
                Ok(Handshaken::Again)
            }
            _ => Err(self.failed(failure, address)),
        }
    }

    fn failed(&self, failure: HandshakeFailure<TransportError>, address: &Address) -> FailedAttempt {
        if let Some((code, retry_ms)) = plain_word(&failure.received) {
            // Somebody on the way may have said it. It costs a pause at most.
            let peer = format!("{address}, unauthenticated");
            let error = Error::Connection { peer, error: None, failure: Failure::Ended(code) };
            return FailedAttempt { retry_ms, ..FailedAttempt::new(error) };
        }
        let is_temporary = match failure.cause {
            HandshakeCause::TimedOut | HandshakeCause::Transport(_) => true,
            HandshakeCause::Handshake(HandshakeError::Closed) => self.was_answered,
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
