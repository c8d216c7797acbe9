//! What a signed image ends with, as `firmware-example/sign` writes it: a magic, the board that it is for, its version, and a
//! signature.

use coracle_core::{Digest, DigestKind, Hasher};
use ed25519_dalek::{Signature, VerifyingKey};

/// This kind of board: an image for another one is not started.
pub const BOARD: u32 = 385;

const KEY: &[u8; 32] = include_bytes!(concat!(env!("OUT_DIR"), "/public-key"));
const MAGIC: [u8; 4] = *b"CFW1";
const SIGNATURE_LEN: usize = 64;

/// The end of a signed image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The kind of board that the image is for.
    pub board: u32,
    /// The image's version.
    pub version: u32,
    signature: [u8; SIGNATURE_LEN],
}

impl Trailer {
    /// Its length, in bytes.
    pub const LEN: usize = 12 + SIGNATURE_LEN;
    /// Length of the signature at its end, in bytes: the only part of an image that is not signed.
    pub const SIGNATURE_LEN: usize = SIGNATURE_LEN;

    /// Reads the last bytes of an image; `None` where they are no trailer.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (board, rest) = rest.split_first_chunk::<4>()?;
        let (version, signature) = rest.split_first_chunk::<4>()?;
        let (board, version) = (u32::from_le_bytes(*board), u32::from_le_bytes(*version));
        (*magic == MAGIC).then_some(Self { board, version, signature: signature.try_into().ok()? })
    }

    /// Whether the signature is one of the SHA-256 of all that is before it, which is `digest`, by the key that this was built
    /// with.
    // Out of line: it takes 5 KB of stack, which are not to be beneath its callers.
    #[inline(never)]
    pub fn is_signed(&self, digest: &Digest) -> bool {
        let (Ok(key), Digest::Sha256(digest)) = (VerifyingKey::from_bytes(KEY), digest) else { return false };
        key.verify_strict(digest, &Signature::from_bytes(&self.signature)).is_ok()
    }
}

/// Whether all of `image` is for this board, and signed.
pub fn is_good(image: &[u8]) -> bool {
    let Some(trailer) = image.last_chunk().and_then(Trailer::decode).filter(|trailer| trailer.board == BOARD) else {
        return false;
    };
    let (Some(mut hasher), Some((signed, _))) =
        (Hasher::new(DigestKind::Sha256), image.split_last_chunk::<SIGNATURE_LEN>())
    else {
        return false;
    };
    hasher.update(signed);
    trailer.is_signed(&hasher.finish())
}
