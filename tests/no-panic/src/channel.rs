//! The encrypted channel.

use coracle_channel::{
    BlankKey, BoardEntropy, Channel, ClientHandshake, Entropy, HandshakeAction, KeyPair, Opened, Opener, Psk,
    PublicKey, Receiver, RecordError, RecordLimit, SealError, Sealer, SecretKey, ServerHandshake, ShortBuffer,
};

use crate::entries;

type Records = Receiver<[u8; 530]>;

entries! {
    fn channel_server_new(entropy: Entropy, limit: RecordLimit) -> ServerHandshake { ServerHandshake::new(entropy, limit) }

    fn channel_server_action<'s>(server: &'s ServerHandshake) -> HandshakeAction<'s> { server.action() }

    fn channel_server_receive(server: &mut ServerHandshake, bytes: &[u8]) -> usize { server.receive(bytes) }

    fn channel_server_receive_eof(server: &mut ServerHandshake) { server.receive_eof() }

    fn channel_server_compute(server: &mut ServerHandshake, key: &KeyPair, psks: &[Psk]) { server.compute(key, psks) }

    fn channel_server_sent(server: &mut ServerHandshake, len: usize) { server.sent(len) }

    fn channel_server_finish(server: &mut ServerHandshake) -> Option<Channel> { server.finish() }

    fn channel_server_psk(server: &ServerHandshake) -> Option<usize> { server.psk() }

    fn channel_server_message(server: &ServerHandshake) -> u8 { server.message() }
}

entries! {
    fn channel_client_new(entropy: Entropy, limit: RecordLimit) -> ClientHandshake { ClientHandshake::new(entropy, limit) }

    fn channel_client_action<'s>(client: &'s ClientHandshake) -> HandshakeAction<'s> { client.action() }

    fn channel_client_receive(client: &mut ClientHandshake, bytes: &[u8]) -> usize { client.receive(bytes) }

    fn channel_client_receive_eof(client: &mut ClientHandshake) { client.receive_eof() }

    fn channel_client_compute(client: &mut ClientHandshake, key: &KeyPair, psk: Option<&Psk>) { client.compute(key, psk) }

    fn channel_client_permit(client: &mut ClientHandshake) { client.permit() }

    fn channel_client_sent(client: &mut ClientHandshake, len: usize) { client.sent(len) }

    fn channel_client_finish(client: &mut ClientHandshake) -> Option<Channel> { client.finish() }
}

entries! {
    fn sealer_room(sealer: &Sealer, len: usize) -> usize { sealer.room(len) }

    fn sealer_seal(sealer: &mut Sealer, buf: &mut [u8], len: usize) -> Result<usize, SealError> { sealer.seal(buf, len) }

    fn sealer_finish(sealer: &mut Sealer, buf: &mut [u8]) -> Result<usize, SealError> { sealer.finish(buf) }

    fn opener_open(opener: &mut Opener, bytes: &mut [u8]) -> Result<Opened, RecordError> { opener.open(bytes) }

    fn opener_receive_eof(opener: &mut Opener) -> Result<(), RecordError> { opener.receive_eof() }

    fn receiver_new(opener: Opener, buf: [u8; 530]) -> Result<Records, ShortBuffer> { Receiver::new(opener, buf) }

    fn receiver_receive(receiver: &mut Records, bytes: &[u8]) -> Result<usize, RecordError> { receiver.receive(bytes) }

    fn receiver_plaintext<'s>(receiver: &'s Records) -> &'s [u8] { receiver.plaintext() }

    fn receiver_consume(receiver: &mut Records, len: usize) { receiver.consume(len) }

    fn receiver_receive_eof(receiver: &mut Records) -> Result<(), RecordError> { receiver.receive_eof() }
}

entries! {
    fn secret_key_from_bytes(bytes: [u8; 32]) -> Result<SecretKey, BlankKey> { SecretKey::from_bytes(bytes) }

    fn secret_key_derive(fleet: &SecretKey, name: &str) -> SecretKey { SecretKey::derive(fleet, name) }

    fn key_pair_new(secret: SecretKey) -> KeyPair { KeyPair::new(secret) }

    fn psk_from_bytes(bytes: [u8; 32]) -> Result<Psk, BlankKey> { Psk::from_bytes(bytes) }

    fn public_key_eq(one: &PublicKey, other: &PublicKey) -> bool { one == other }

    fn entropy_new(bytes: [u8; 32]) -> Result<Entropy, BlankKey> { Entropy::new(bytes) }

    fn board_entropy_new(device: &SecretKey, seed: &[u8; 32], boot: u64) -> Result<BoardEntropy, BlankKey> {
        BoardEntropy::new(device, seed, boot)
    }

    fn board_entropy_next(entropy: &mut BoardEntropy) -> Option<Entropy> { entropy.next() }
}
