//! The page that is written when the board is provisioned, and never by the board.

use coracle_channel::{PublicKey, SecretKey};
use coracle_core::{Digest, DigestKind, Hasher, Rights};
use heapless::{String, Vec};

/// Length of the page, in bytes.
pub const PAGE_LEN: usize = 1_024;
/// How many clients can be authorised.
pub const CLIENTS: usize = 8;
const MAGIC: &[u8; 4] = b"CKP1";

/// What the board is provisioned with:
///
/// ```text
/// "CKP1" │ length of all of it, u16 │ secret key, 32 │ seed, 32 │ number of clients, u8 │ clients │ CRC-32
/// client: public key, 32 │ length, u8 │ rights │ length, u8 │ name
/// ```
///
/// Numbers are little-endian.
pub struct KeyPage {
    /// The board's own secret, of which no other board's can be computed.
    pub secret: SecretKey,
    /// 32 random bytes, new at every provisioning.
    pub seed: [u8; 32],
    pub clients: Vec<Client, CLIENTS>,
}

/// A client that may do something.
pub struct Client {
    pub key: PublicKey,
    /// As [`Rights`] reads them.
    pub rights: String<64>,
    /// Its owner, for the log.
    pub name: String<16>,
}

impl KeyPage {
    /// Reads the page; `None` where it was never written, or is damaged in any place.
    pub fn decode(bytes: &[u8; PAGE_LEN]) -> Option<Self> {
        let len = u16::from_le_bytes(*bytes.get(4..6)?.first_chunk()?);
        let (covered, crc) = bytes.get(..usize::from(len))?.split_last_chunk::<4>()?;
        if covered.first_chunk() != Some(MAGIC) || crc32(covered)? != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut rest = Bytes(covered.get(6..)?);
        let secret = SecretKey::from_bytes(*rest.take(32)?.first_chunk()?).ok()?;
        let seed = *rest.take(32)?.first_chunk()?;
        let mut clients = Vec::new();
        for _ in 0..*rest.take(1)?.first()? {
            let key = PublicKey::from_bytes(*rest.take(32)?.first_chunk()?);
            let rights = String::try_from(Rights::new(rest.text()?).ok()?.as_str()).ok()?;
            let name = String::try_from(rest.text()?).ok()?;
            clients.push(Client { key, rights, name }).ok()?;
        }
        Some(Self { secret, seed, clients })
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Text behind its length.
    fn text(&mut self) -> Option<&'a str> {
        let len = *self.take(1)?.first()?;
        core::str::from_utf8(self.take(len.into())?).ok()
    }
}

fn crc32(bytes: &[u8]) -> Option<u32> {
    let mut hasher = Hasher::new(DigestKind::Crc32)?;
    hasher.update(bytes);
    match hasher.finish() {
        Digest::Crc32(crc) => Some(crc),
        _ => None,
    }
}
