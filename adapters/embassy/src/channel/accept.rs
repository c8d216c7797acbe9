//! The server's side of a handshake.

use coracle_channel::{HandshakeAction, HandshakeError, ServerHandshake};
use coracle_core::{Code, Instant, ServerConfig, ServerSession};
use embassy_futures::yield_now;

use super::buffers::ChannelBuffers;
use super::error::HandshakeFailure;
use super::keys::{ChannelKeys, Encryption};
use super::transport::ChannelTransport;
use crate::clock::Clock;
use crate::transport::Transport;

/// How long a client may take for message 3.
const THIRD_MS: u64 = 3_000;

/// Waits for a client's first bytes, and makes the handshake with one that comes encrypted. Other tasks run between two steps of
/// computing. The deadlines of the first bytes are those of `config` for a request.
///
/// The session is made by [`begin_session`], or by the owner; a client without encryption has no [`ChannelTransport::peer`].
///
/// # Errors
///
/// The connection is to be closed without a byte.
pub async fn accept<T, B, K, C>(
    transport: T,
    buffers: ChannelBuffers<B>,
    keys: &K,
    config: &ServerConfig<'_>,
    clock: &C,
) -> Result<ChannelTransport<T, B>, HandshakeFailure>
where
    T: Transport,
    B: AsRef<[u8]> + AsMut<[u8]>,
    K: ChannelKeys,
    C: Clock,
{
    let mut line = ChannelTransport::plain(transport, buffers);
    if !receive_first(&mut line, config, clock).await? {
        return Ok(line);
    }
    let entropy = keys.entropy().ok_or(HandshakeFailure::NoKeys)?;
    let mut handshake = ServerHandshake::new(entropy, line.buffers().limit());
    let mut until = None;
    loop {
        match handshake.action() {
            HandshakeAction::Compute => {
                handshake.compute(keys.key().ok_or(HandshakeFailure::NoKeys)?, keys.psks());
                yield_now().await;
            }
            HandshakeAction::Send(bytes) => {
                let until = *until.get_or_insert_with(|| clock.now().after(THIRD_MS));
                let sent = line.send_message(bytes, until, clock).await?;
                handshake.sent(sent);
            }
            HandshakeAction::Receive => {
                let until = *until.get_or_insert_with(|| clock.now().after(THIRD_MS));
                if line.arrived().is_empty() && !line.receive_message(until, clock).await? {
                    handshake.receive_eof();
                }
                let taken = handshake.receive(line.arrived());
                line.take(taken);
            }
            HandshakeAction::Failed(error) => return Err(error.into()),
            HandshakeAction::Decide(_) | HandshakeAction::Done => {
                let psk = handshake.psk().unwrap_or(0);
                line.encrypt(handshake.finish().ok_or(HandshakeError::Closed)?, psk);
                return Ok(line);
            }
        }
    }
}

/// Waits for message 1; false where the client speaks plain.
async fn receive_first<T, B>(
    line: &mut ChannelTransport<T, B>,
    config: &ServerConfig<'_>,
    clock: &impl Clock,
) -> Result<bool, HandshakeFailure>
where
    T: Transport,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut until = later(clock.now(), config.idle_ms());
    loop {
        match ServerHandshake::has_first(line.arrived()) {
            Ok(true) => return Ok(true),
            Err(HandshakeError::NotEncrypted) => return Ok(false),
            Err(error) => return Err(error.into()),
            Ok(false) => {}
        }
        let is_first = line.arrived().is_empty();
        if !line.receive_message(until, clock).await? {
            return Err(HandshakeError::Closed.into());
        }
        if is_first {
            until = later(clock.now(), config.request_ms());
        }
    }
}

/// 0 is never.
fn later(now: Instant, after_ms: u32) -> Instant {
    if after_ms == 0 { Instant::from_millis(u64::MAX) } else { now.after(after_ms.into()) }
}

/// A session for a client that was accepted: `refused` says why it is not served. One without encryption is told so, where it has to
/// have it.
pub fn begin_session<'c, T, X, B>(
    line: &ChannelTransport<T, X>,
    refused: Option<Code>,
    encryption: Encryption,
    config: &'c ServerConfig<'c>,
    (buf, now): (B, Instant),
) -> ServerSession<'c, B>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    let refused = if line.peer().is_none() && encryption == Encryption::Only { Some(Code::Encrypted) } else { refused };
    match refused {
        Some(code) => ServerSession::refusing(code, config, buf, now),
        None => ServerSession::new(config, buf, now),
    }
}
