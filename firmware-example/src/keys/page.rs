//! The page that is written when the board is provisioned, and never by the board.

use coracle_channel::{PublicKey, SecretKey};
use coracle_core::{Digest, DigestKind, Hasher, Rights};

/// Length of the page, in bytes.
pub const PAGE_LEN: usize = 1_024;
const MAGIC: &[u8; 4] = b"CKP1";
/// Where what is behind its length begins.
const BODY: usize = 6;

/// What the board is provisioned with, as it was read:
///
/// ```text
/// "CKP1" │ length of all of it, u16 │ secret key, 32 │ seed, 32 │ number of clients, u8 │ clients │ CRC-32
/// client: public key, 32 │ length, u8 │ rights │ length, u8 │ name
/// ```
///
/// Numbers are little-endian.
#[derive(Clone, Copy)]
pub struct KeyPage<'a> {
    /// The board's own secret, of which no other board's can be computed.
    secret: &'a [u8; 32],
    /// 32 random bytes, new at every provisioning.
    pub seed: &'a [u8; 32],
    count: u8,
    clients: Bytes<'a>,
}

/// A client that may do something.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    pub key: PublicKey,
    pub rights: Rights<'a>,
    /// Its owner, for the log.
    pub name: &'a str,
}

impl<'a> KeyPage<'a> {
    /// Checks the page; `None` where it was never written, or is damaged in any place.
    pub fn decode(bytes: &'a [u8; PAGE_LEN]) -> Option<Self> {
        let len = u16::from_le_bytes(*bytes.get(4..BODY)?.first_chunk()?);
        let (covered, crc) = bytes.get(..usize::from(len))?.split_last_chunk::<4>()?;
        if covered.first_chunk() != Some(MAGIC) || crc32(covered)? != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut rest = Bytes(covered.get(BODY..)?);
        let (secret, seed) = (rest.take(32)?.first_chunk()?, rest.take(32)?.first_chunk()?);
        let count = *rest.take(1)?.first()?;
        let page = Self { secret, seed, count, clients: rest };
        (page.clients().count() == usize::from(count)).then_some(page)
    }

    /// The board's secret; `None` for one that was never set.
    pub fn secret(&self) -> Option<SecretKey> {
        SecretKey::from_bytes(*self.secret).ok()
    }

    /// Who may do something.
    pub fn clients(&self) -> impl Iterator<Item = Client<'a>> + use<'a> {
        let mut rest = self.clients;
        (0..self.count).map_while(move |_| rest.client())
    }
}

#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn client(&mut self) -> Option<Client<'a>> {
        let key = PublicKey::from_bytes(*self.take(32)?.first_chunk()?);
        let rights = Rights::new(self.text()?).ok()?;
        Some(Client { key, rights, name: self.text()? })
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
