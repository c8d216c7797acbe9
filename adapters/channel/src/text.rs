//! Keys as text: Bech32m (BIP 350), which has a checksum that finds every four mistyped characters, and no characters that look
//! alike.

use core::fmt;
use core::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use zeroize::Zeroizing;

use crate::keys::{Psk, PublicKey, SecretKey};

const PUBLIC: Hrp = Hrp::parse_unchecked("ck");
const SECRET: Hrp = Hrp::parse_unchecked("cs");
const PRE_SHARED: Hrp = Hrp::parse_unchecked("cp");

/// Why a text is not the key that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Another kind of key: its first three characters say which.
    Kind,
    /// It was mistyped or cut, or is no key.
    Malformed,
    /// A key that was never set.
    Blank,
}

impl fmt::Display for KeyTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "this is another kind of key: a public key begins with ck1, a secret one with cs1, a pre-shared one with cp1",
            Self::Malformed => "this is no key, or was mistyped or cut: a key is 61 characters that begin with ck1, cs1 or cp1",
            Self::Blank => "this key was never set: make another one",
        })
    }
}

impl core::error::Error for KeyTextError {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, PUBLIC, self.as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        read(PUBLIC, text).map(|bytes| Self::from_bytes(*bytes))
    }
}

impl SecretKey {
    /// The key as text, to be written into a file that only its owner can read. A secret is never shown by accident: it has no
    /// `Display` of its own.
    pub fn reveal(&self) -> impl fmt::Display + '_ {
        Revealed(SECRET, self.as_bytes())
    }
}

impl FromStr for SecretKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        Self::from_bytes(*read(SECRET, text)?).map_err(|_| KeyTextError::Blank)
    }
}

impl Psk {
    /// The key as text, to be written into a file that only its owner can read.
    pub fn reveal(&self) -> impl fmt::Display + '_ {
        Revealed(PRE_SHARED, self.as_bytes())
    }
}

impl FromStr for Psk {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        Self::from_bytes(*read(PRE_SHARED, text)?).map_err(|_| KeyTextError::Blank)
    }
}

struct Revealed<'a>(Hrp, &'a [u8; 32]);

impl fmt::Display for Revealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, self.1)
    }
}

fn write(f: &mut fmt::Formatter<'_>, kind: Hrp, bytes: &[u8; 32]) -> fmt::Result {
    bech32::encode_lower_to_fmt::<Bech32m, _>(f, kind, bytes).map_err(|_| fmt::Error)
}

fn read(kind: Hrp, text: &str) -> Result<Zeroizing<[u8; 32]>, KeyTextError> {
    let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| KeyTextError::Malformed)?;
    if ![PUBLIC, SECRET, PRE_SHARED].contains(&checked.hrp()) {
        return Err(KeyTextError::Malformed);
    }
    if checked.hrp() != kind {
        return Err(KeyTextError::Kind);
    }
    // 52 characters hold 260 bits: those behind the key are zero, so that a key has one text.
    checked.validate_segwit_padding().map_err(|_| KeyTextError::Malformed)?;
    let mut bytes = Zeroizing::new([0; 32]);
    let mut given = checked.byte_iter();
    if given.len() != bytes.len() {
        return Err(KeyTextError::Malformed);
    }
    bytes.fill_with(|| given.next().unwrap_or(0));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;

    use super::*;

    const KEY: PublicKey = PublicKey::from_bytes(*b"32 bytes, which are no real key.");

    #[test]
    fn a_key_survives_its_text() {
        let text = KEY.to_string();
        assert!(text.len() == 61 && text.starts_with("ck1"), "{text}");
        assert_eq!(text.parse(), Ok(KEY));
        assert_eq!(text.to_uppercase().parse(), Ok(KEY), "as a QR code has it");
        let secret = SecretKey::from_bytes(*KEY.as_bytes()).expect("not blank");
        assert_eq!(secret.reveal().to_string().parse::<SecretKey>().expect("a key").as_bytes(), KEY.as_bytes());
        let psk = Psk::from_bytes(*KEY.as_bytes()).expect("not blank");
        assert_eq!(psk.reveal().to_string().parse().as_ref(), Ok(&psk));
    }

    #[test]
    fn e5_a_mistyped_key_is_refused() {
        let text = KEY.to_string();
        for place in 0..text.len() {
            let mut typed = text.clone().into_bytes();
            typed[place] = if typed[place] == b'q' { b'p' } else { b'q' };
            let typed = String::from_utf8(typed).expect("ASCII");
            assert_eq!(typed.parse::<PublicKey>(), Err(KeyTextError::Malformed), "{typed}");
            assert_eq!(text[..place].parse::<PublicKey>(), Err(KeyTextError::Malformed));
        }
        for other in ["", "ck1", &format!("{text}q"), &format!(" {text}"), "ck1é"] {
            assert_eq!(other.parse::<PublicKey>(), Err(KeyTextError::Malformed), "{other}");
        }
    }

    #[test]
    fn e5_a_key_of_another_kind_or_length_is_refused() {
        let text = KEY.to_string();
        assert_eq!(text.parse::<SecretKey>().err(), Some(KeyTextError::Kind));
        assert_eq!(text.parse::<Psk>().err(), Some(KeyTextError::Kind));
        let blank = Revealed(PRE_SHARED, &[0; 32]).to_string();
        assert_eq!(blank.parse::<Psk>().err(), Some(KeyTextError::Blank));
        for len in [0, 31, 33] {
            let mut other = String::new();
            bech32::encode_lower_to_fmt::<Bech32m, _>(&mut other, PUBLIC, &vec![7; len]).expect("short enough");
            assert_eq!(other.parse::<PublicKey>(), Err(KeyTextError::Malformed), "{len} bytes");
        }
        let mut bitcoin = String::new();
        bech32::encode_lower_to_fmt::<Bech32m, _>(&mut bitcoin, Hrp::parse_unchecked("bc"), KEY.as_bytes())
            .expect("short enough");
        assert_eq!(bitcoin.parse::<PublicKey>(), Err(KeyTextError::Malformed));
    }
}
