//! The client's side of a handshake.

use coracle_channel::{ClientHandshake, Entropy, HandshakeAction, HandshakeError, PublicKey};
use embassy_futures::yield_now;

use super::buffers::ChannelBuffers;
use super::error::{ConnectError, HandshakeFailure};
use super::keys::ClientKeys;
use super::transport::ChannelTransport;
use crate::clock::Clock;
use crate::transport::Transport;

/// How long all of it may take.
const HANDSHAKE_MS: u64 = 10_000;

/// Makes the handshake with a server over `transport`, which is connected. `entropy` is for this one handshake. `permit` is asked whether
/// the server is the one that is meant; only then it learns who the client is. Other tasks run between two steps of computing.
///
/// ```
/// use coracle_core::ClientSession;
/// use coracle_embassy::channel::{ChannelBuffers, ClientKeys, Entropy, PublicKey, connect};
/// use coracle_embassy::{Client, Clock, Transport};
///
/// /// What time it is, as told by the server that has this key.
/// async fn time(
///     socket: impl Transport,
///     keys: ClientKeys<'_>,
///     server: &PublicKey,
///     entropy: Entropy,
///     clock: &impl Clock,
/// ) -> Option<u64> {
///     let buffers = ChannelBuffers::new([0; 530], [0; 530]);
///     let channel = connect(socket, buffers, keys, entropy, clock, |key| key == server).await.ok()?;
///     let mut client = Client::new(ClientSession::new([0; 1024]), channel, [0; 512], clock);
///     let time = client.hello(|hello| hello.time).await.ok()?;
///     client.into_parts().0.finish().await.ok()?;
///     time
/// }
/// ```
///
/// # Errors
///
/// See [`ConnectError`]. The transport is dropped: a socket that is to be closed in another way is passed by reference.
pub async fn connect<T, B, C>(
    transport: T,
    buffers: ChannelBuffers<B>,
    keys: ClientKeys<'_>,
    entropy: Entropy,
    clock: &C,
    permit: impl FnOnce(&PublicKey) -> bool,
) -> Result<ChannelTransport<T, B>, ConnectError>
where
    T: Transport,
    B: AsRef<[u8]> + AsMut<[u8]>,
    C: Clock,
{
    let mut handshake = ClientHandshake::new(entropy, buffers.limit());
    let mut line = ChannelTransport::plain(transport, buffers);
    let until = clock.now().after(HANDSHAKE_MS);
    let mut permit = Some(permit);
    loop {
        match handshake.action() {
            HandshakeAction::Compute => {
                handshake.compute(keys.key, keys.psk);
                yield_now().await;
            }
            HandshakeAction::Send(bytes) => {
                let sent = line.send_message(bytes, until, clock).await?;
                handshake.sent(sent);
            }
            HandshakeAction::Receive => {
                if line.arrived().is_empty() && !line.receive_message(until, clock).await? {
                    handshake.receive_eof();
                }
                let taken = handshake.receive(line.arrived());
                line.take(taken);
            }
            HandshakeAction::Decide(server) => {
                if !permit.take().is_some_and(|permit| permit(&server)) {
                    return Err(ConnectError::OtherServer(server));
                }
                handshake.permit();
            }
            HandshakeAction::Failed(error) => return Err(HandshakeFailure::Failed(error).into()),
            HandshakeAction::Done => {
                let closed = HandshakeFailure::Failed(HandshakeError::Closed);
                line.encrypt(handshake.finish().ok_or(closed)?, 0);
                return Ok(line);
            }
        }
    }
}
