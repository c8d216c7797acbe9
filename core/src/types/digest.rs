//! The digests of the protocol: values, their text, and their computation.

use core::fmt;

/// Which digest covers a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DigestKind {
    /// CRC-32/ISO-HDLC, the CRC of zlib and Ethernet. Detects errors, not attacks.
    Crc32,
    /// SHA-256 (FIPS 180-4).
    Sha256,
}

impl DigestKind {
    /// The kinds that this build can compute.
    pub const SUPPORTED: &'static [Self] =
        if cfg!(feature = "sha256") { &[Self::Crc32, Self::Sha256] } else { &[Self::Crc32] };

    /// The word on the wire, which is also the name of the member that contains the digest.
    #[must_use]
    #[cfg_attr(feature = "write", inline(never))]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Sha256 => "sha256",
        }
    }

    /// The kind with the word `word`, whether this build can compute it or not.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Crc32, Self::Sha256].into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether this build can compute it: see [`DigestKind::SUPPORTED`].
    #[must_use]
    pub const fn is_supported(self) -> bool {
        matches!(self, Self::Crc32) || cfg!(feature = "sha256")
    }
}

impl fmt::Display for DigestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A computed digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Digest {
    /// A CRC-32.
    Crc32(u32),
    /// A SHA-256.
    Sha256([u8; 32]),
}

impl Digest {
    /// The kind of the digest.
    #[must_use]
    pub const fn kind(&self) -> DigestKind {
        match self {
            Self::Crc32(_) => DigestKind::Crc32,
            Self::Sha256(_) => DigestKind::Sha256,
        }
    }

    /// The digest as lower-case hexadecimal digits: 8 for CRC-32 (the most significant first), 64 for SHA-256.
    #[must_use]
    pub fn to_hex(&self) -> Hex {
        let mut hex = Hex { digits: [0; 64], len: 0 };
        match self {
            Self::Crc32(value) => hex.extend(&value.to_be_bytes()),
            Self::Sha256(value) => hex.extend(value),
        }
        hex
    }

    /// Reads what [`Digest::to_hex`] wrote: exactly the digits of `kind`, in lower case; `None` for anything else.
    #[must_use]
    pub fn from_hex(kind: DigestKind, digits: &str) -> Option<Self> {
        let mut digest = Self::Crc32(0);
        digest.read(kind, digits.as_bytes())?;
        Some(digest)
    }

    /// The same in place; `None` leaves something else behind.
    pub(crate) fn read(&mut self, kind: DigestKind, digits: &[u8]) -> Option<()> {
        match kind {
            DigestKind::Crc32 => {
                let mut bytes = [0; 4];
                read_digits(digits, &mut bytes)?;
                *self = Self::Crc32(u32::from_be_bytes(bytes));
                Some(())
            }
            DigestKind::Sha256 => {
                *self = Self::Sha256([0; 32]);
                let Self::Sha256(bytes) = self else { return None };
                read_digits(digits, bytes)
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_hex().as_str())
    }
}

/// A digest's hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex {
    digits: [u8; 64],
    len: usize,
}

impl Hex {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }

    fn extend(&mut self, bytes: &[u8]) {
        let places = self.digits.chunks_exact_mut(2);
        for (place, byte) in places.zip(bytes) {
            place.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            self.len = self.len.saturating_add(2);
        }
    }
}

/// A digest being computed. It belongs to the owner of the bytes, since a server session never sees a body.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    #[cfg(not(feature = "crc32fast"))]
    Crc32(crc::Digest<'static, u32, Crc32Table>),
    #[cfg(feature = "crc32fast")]
    Crc32(crc32fast::Hasher),
    #[cfg(feature = "sha256")]
    Sha256(sha2::Sha256),
}

/// With the table a byte at a time, without it a bit at a time.
#[cfg(all(feature = "crc32-table", not(feature = "crc32fast")))]
type Crc32Table = crc::Table<1>;
#[cfg(not(any(feature = "crc32-table", feature = "crc32fast")))]
type Crc32Table = crc::NoTable;

#[cfg(not(feature = "crc32fast"))]
static CRC32: crc::Crc<u32, Crc32Table> = crc::Crc::<u32, Crc32Table>::new(&crc::CRC_32_ISO_HDLC);

impl Hasher {
    /// The digest of no bytes; `None` where this build cannot compute `kind`.
    #[must_use]
    pub fn new(kind: DigestKind) -> Option<Self> {
        match kind {
            #[cfg(not(feature = "crc32fast"))]
            DigestKind::Crc32 => Some(Self(State::Crc32(CRC32.digest()))),
            #[cfg(feature = "crc32fast")]
            DigestKind::Crc32 => Some(Self(State::Crc32(crc32fast::Hasher::new()))),
            #[cfg(feature = "sha256")]
            DigestKind::Sha256 => Some(Self(State::Sha256(sha2::Digest::new()))),
            #[cfg(not(feature = "sha256"))]
            DigestKind::Sha256 => None,
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc32(digest) => digest.update(bytes),
            #[cfg(feature = "sha256")]
            State::Sha256(digest) => sha2::Digest::update(digest, bytes),
        }
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Crc32(digest) => Digest::Crc32(digest.finalize()),
            #[cfg(feature = "sha256")]
            State::Sha256(digest) => Digest::Sha256(sha2::Digest::finalize(digest).into()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

const fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value & 15) - 10,
    }
}

/// Fills `bytes` from exactly two digits for each.
fn read_digits(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    if digits.len() != bytes.len().checked_mul(2)? {
        return None;
    }
    for (index, digit) in digits.iter().enumerate() {
        let byte = bytes.get_mut(index / 2)?;
        *byte = *byte << 4 | value(*digit)?;
    }
    Some(())
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::{Digest, DigestKind, Hasher};

    fn digest(kind: DigestKind, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(kind).expect("supported");
        for byte in bytes {
            hasher.update(core::slice::from_ref(byte));
        }
        hasher.finish()
    }

    /// The check value of CRC-32/ISO-HDLC in the CRC catalogue.
    #[test]
    fn crc32_check_value() {
        assert_eq!(digest(DigestKind::Crc32, b"123456789").to_string(), "cbf43926");
        assert_eq!(digest(DigestKind::Crc32, b"").to_string(), "00000000");
    }

    /// FIPS 180-4's example "abc", and the digest of nothing.
    #[cfg(feature = "sha256")]
    #[test]
    fn sha256_examples() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(DigestKind::Sha256, b"abc").to_string(), abc);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(DigestKind::Sha256, b"").to_string(), empty);
        assert_eq!(Digest::from_hex(DigestKind::Sha256, abc), Some(digest(DigestKind::Sha256, b"abc")));
    }

    #[test]
    fn hex_is_exact_and_lower_case() {
        assert_eq!(Digest::from_hex(DigestKind::Crc32, "89abcdef"), Some(Digest::Crc32(0x89ab_cdef)));
        for digits in ["", "89abcde", "89abcdef0", "89abcdef00", "89ABCDEF", "89abcdeg", " 9abcdef"] {
            assert_eq!(Digest::from_hex(DigestKind::Crc32, digits), None, "{digits:?}");
        }
    }

    #[test]
    fn words() {
        for kind in [DigestKind::Crc32, DigestKind::Sha256] {
            assert_eq!(DigestKind::from_word(kind.as_str()), Some(kind));
            assert_eq!(kind.is_supported(), DigestKind::SUPPORTED.contains(&kind));
            assert_eq!(kind.is_supported(), Hasher::new(kind).is_some());
        }
        assert_eq!(DigestKind::from_word("none"), None);
        assert_eq!((DigestKind::Crc32.to_string(), DigestKind::Sha256.to_string()), ("crc32".into(), "sha256".into()));
    }

    /// The state of a hasher is not logged.
    #[test]
    fn a_hasher_shows_nothing_of_what_it_saw() {
        let mut hasher = Hasher::new(DigestKind::Crc32).expect("supported");
        let before = std::format!("{hasher:?}");
        hasher.update(b"secret");
        assert_eq!((std::format!("{hasher:?}"), before.as_str()), (before.clone(), "Hasher { .. }"));
    }
}
