//! One encrypted connection whose owner takes keys and bytes from the register.

#[cfg(feature = "channel-absent")]
use crate::absent_channel::{Channel, Entropy, Handshake, KeyPair, Psk, Receiver, Sealer, SecretKey};
use crate::board::{input, output, receive, send};
#[cfg(all(feature = "channel-client", not(feature = "channel-absent")))]
use coracle_channel::ClientHandshake as Handshake;
#[cfg(all(not(feature = "channel-entropy"), not(feature = "channel-absent")))]
use coracle_channel::Entropy;
#[cfg(all(feature = "channel-server", not(feature = "channel-absent")))]
use coracle_channel::ServerHandshake as Handshake;
#[cfg(not(feature = "channel-absent"))]
use coracle_channel::{Channel, KeyPair, Psk, Receiver, Sealer, SecretKey};
use coracle_channel::{HandshakeAction, PLAINTEXT_OFFSET, PublicKey, RecordLimit};

type Buffer = [u8; RecordLimit::BOARD.record_len()];

/// What a session keeps: its two directions and who the peer is.
struct Session {
    _sealer: Sealer,
    _receiver: Receiver<&'static mut Buffer>,
    _peer: PublicKey,
}

#[used]
#[unsafe(link_section = ".sizes")]
static CHANNEL_SIZE: [u8; size_of::<Session>()] = [0; size_of::<Session>()];
#[used]
#[unsafe(link_section = ".sizes")]
static HANDSHAKE_SIZE: [u8; size_of::<Handshake>()] = [0; size_of::<Handshake>()];

pub fn run() {
    let Some((mut handshake, key, psk)) = start() else { return };
    let mut bytes = [0; 256];
    loop {
        match handshake.action() {
            HandshakeAction::Receive => {
                let arrived = receive(&mut bytes);
                if arrived.is_empty() {
                    handshake.receive_eof();
                } else {
                    output(handshake.receive(arrived) as u32);
                }
            }
            #[cfg(feature = "channel-server")]
            HandshakeAction::Compute => handshake.compute(&key, core::slice::from_ref(&psk)),
            #[cfg(feature = "channel-client")]
            HandshakeAction::Compute => handshake.compute(&key, Some(&psk)),
            HandshakeAction::Send(bytes) => {
                let len = send(bytes);
                handshake.sent(len);
            }
            #[cfg(feature = "channel-client")]
            HandshakeAction::Decide(peer) => {
                let mut pinned = [0; 32];
                receive(&mut pinned);
                if peer == PublicKey::from_bytes(pinned) {
                    handshake.permit();
                }
            }
            HandshakeAction::Done => break,
            _ => return,
        }
    }
    if let Some(channel) = handshake.finish() {
        exchange(channel);
    }
}

#[inline(never)]
fn start() -> Option<(Handshake, KeyPair, Psk)> {
    let mut bytes = [[0; 32]; 3];
    for bytes in &mut bytes {
        receive(bytes);
    }
    let [secret, psk, seed] = bytes;
    let secret = SecretKey::from_bytes(secret).ok()?;
    #[cfg(feature = "channel-entropy")]
    let entropy = coracle_channel::BoardEntropy::new(&secret, &seed, u64::from(input())).ok()?.next()?;
    #[cfg(not(feature = "channel-entropy"))]
    let entropy = Entropy::new(seed).ok()?;
    let handshake = Handshake::new(entropy, RecordLimit::BOARD);
    Some((handshake, KeyPair::new(secret), Psk::from_bytes(psk).ok()?))
}

#[inline(never)]
fn exchange(channel: Channel) {
    send(channel.peer.as_bytes());
    let Channel { mut sealer, opener, .. } = channel;
    let Ok(mut receiver) = Receiver::new(opener, [0; RecordLimit::BOARD.record_len()]) else { return };
    let (mut bytes, mut record) = ([0; 256], [0; 256]);
    loop {
        let arrived = receive(&mut bytes);
        if arrived.is_empty() {
            output(u32::from(receiver.receive_eof().is_ok()));
            return;
        }
        let Ok(taken) = receiver.receive(arrived) else { return };
        output(taken as u32 ^ u32::from(receiver.has_ended()));
        let used = send(receiver.plaintext());
        receiver.consume(used);

        let room = sealer.room(record.len());
        let place = record.get_mut(PLAINTEXT_OFFSET..).and_then(|place| place.get_mut(..room)).unwrap_or_default();
        let len = receive(place).len();
        let sealed = if input() == 0 { sealer.finish(&mut record) } else { sealer.seal(&mut record, len) };
        if let Ok(sealed) = sealed {
            send(record.get(..sealed).unwrap_or_default());
        }
    }
}
