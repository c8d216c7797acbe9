//! Replaces the channel by undefined functions, as `absent.rs` does the core.

use coracle_channel::{BlankKey, HandshakeAction, PublicKey, RecordError, RecordLimit, SealError, ShortBuffer};

// SAFETY: the signatures are those of the channel's functions, and no image that is linked here is ever run.
#[rustfmt::skip]
unsafe extern "Rust" {
    safe fn absent_secret_key(bytes: [u8; 32]) -> Result<SecretKey, BlankKey>;
    safe fn absent_psk(bytes: [u8; 32]) -> Result<Psk, BlankKey>;
    safe fn absent_key_pair(secret: SecretKey) -> KeyPair;
    safe fn absent_entropy(bytes: [u8; 32]) -> Result<Entropy, BlankKey>;
    safe fn absent_handshake(entropy: Entropy, limit: RecordLimit) -> Handshake;
    safe fn absent_handshake_action(handshake: &Handshake) -> HandshakeAction<'_>;
    safe fn absent_handshake_receive(handshake: &mut Handshake, bytes: &[u8]) -> usize;
    safe fn absent_handshake_eof(handshake: &mut Handshake);
    #[cfg(feature = "channel-server")]
    safe fn absent_compute(handshake: &mut Handshake, key: &KeyPair, psks: &[Psk]);
    #[cfg(feature = "channel-client")]
    safe fn absent_compute(handshake: &mut Handshake, key: &KeyPair, psk: Option<&Psk>);
    #[cfg(feature = "channel-client")]
    safe fn absent_permit(handshake: &mut Handshake);
    safe fn absent_handshake_sent(handshake: &mut Handshake, len: usize);
    safe fn absent_handshake_finish(handshake: &mut Handshake) -> Option<Channel>;
    safe fn absent_receiver(opener: Opener, buf: [u8; 530]) -> Result<Receiver<[u8; 530]>, ShortBuffer>;
    safe fn absent_receiver_receive(receiver: &mut Receiver<[u8; 530]>, bytes: &[u8]) -> Result<usize, RecordError>;
    safe fn absent_receiver_eof(receiver: &mut Receiver<[u8; 530]>) -> Result<(), RecordError>;
    safe fn absent_plaintext(receiver: &Receiver<[u8; 530]>) -> &[u8];
    safe fn absent_consume(receiver: &mut Receiver<[u8; 530]>, len: usize);
    safe fn absent_has_ended(receiver: &Receiver<[u8; 530]>) -> bool;
    safe fn absent_room(sealer: &Sealer, len: usize) -> usize;
    safe fn absent_seal(sealer: &mut Sealer, buf: &mut [u8], len: usize) -> Result<usize, SealError>;
    safe fn absent_seal_end(sealer: &mut Sealer, buf: &mut [u8]) -> Result<usize, SealError>;
}

/// Each has the size of the channel's.
macro_rules! same_size {
    ($($name:ident),*) => {
        $(pub struct $name(#[allow(dead_code, reason = "only its size counts")] [u64; size_of::<coracle_channel::$name>().div_ceil(8)]);)*
    };
}
same_size!(SecretKey, Psk, KeyPair, Entropy, Opener, Sealer);

#[cfg(feature = "channel-server")]
type Real = coracle_channel::ServerHandshake;
#[cfg(feature = "channel-client")]
type Real = coracle_channel::ClientHandshake;
pub struct Handshake(#[allow(dead_code, reason = "only its size counts")] [u64; size_of::<Real>().div_ceil(8)]);

pub struct Channel {
    pub peer: PublicKey,
    pub sealer: Sealer,
    pub opener: Opener,
}

pub struct Receiver<B>(#[allow(dead_code, reason = "only its size counts")] (Opener, B, [usize; 3]));

#[rustfmt::skip]
mod functions {
    use super::*;

    impl SecretKey {
        pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BlankKey> { absent_secret_key(bytes) }
    }

    impl Psk {
        pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BlankKey> { absent_psk(bytes) }
    }

    impl KeyPair {
        pub fn new(secret: SecretKey) -> Self { absent_key_pair(secret) }
    }

    impl Entropy {
        pub fn new(bytes: [u8; 32]) -> Result<Self, BlankKey> { absent_entropy(bytes) }
    }

    impl Handshake {
        pub fn new(entropy: Entropy, limit: RecordLimit) -> Self { absent_handshake(entropy, limit) }
        pub fn action(&self) -> HandshakeAction<'_> { absent_handshake_action(self) }
        pub fn receive(&mut self, bytes: &[u8]) -> usize { absent_handshake_receive(self, bytes) }
        pub fn receive_eof(&mut self) { absent_handshake_eof(self) }
        #[cfg(feature = "channel-server")]
        pub fn compute(&mut self, key: &KeyPair, psks: &[Psk]) { absent_compute(self, key, psks) }
        #[cfg(feature = "channel-client")]
        pub fn compute(&mut self, key: &KeyPair, psk: Option<&Psk>) { absent_compute(self, key, psk) }
        #[cfg(feature = "channel-client")]
        pub fn permit(&mut self) { absent_permit(self) }
        pub fn sent(&mut self, len: usize) { absent_handshake_sent(self, len) }
        pub fn finish(&mut self) -> Option<Channel> { absent_handshake_finish(self) }
    }

    impl Receiver<[u8; 530]> {
        pub fn new(opener: Opener, buf: [u8; 530]) -> Result<Self, ShortBuffer> { absent_receiver(opener, buf) }
        pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, RecordError> { absent_receiver_receive(self, bytes) }
        pub fn receive_eof(&mut self) -> Result<(), RecordError> { absent_receiver_eof(self) }
        pub fn plaintext(&self) -> &[u8] { absent_plaintext(self) }
        pub fn consume(&mut self, len: usize) { absent_consume(self, len) }
        pub fn has_ended(&self) -> bool { absent_has_ended(self) }
    }

    impl Sealer {
        pub fn room(&self, len: usize) -> usize { absent_room(self, len) }
        pub fn seal(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SealError> { absent_seal(self, buf, len) }
        pub fn finish(&mut self, buf: &mut [u8]) -> Result<usize, SealError> { absent_seal_end(self, buf) }
    }
}
