//! Keys out of files, as `coracle key new` writes them.

use std::fs::{self, File};
use std::io::Read;
use std::str::FromStr;

use coracle_embassy::channel::{ChannelKeys, Entropy, KeyPair, Psk, SecretKey};

/// The keys of the server, or of the client.
pub struct Keys {
    pub key: KeyPair,
    pub psk: Psk,
}

impl Keys {
    /// From the files `key` and `psk`.
    pub fn read(key: &str, psk: &str) -> Self {
        Self { key: KeyPair::new(read::<SecretKey>(key)), psk: read(psk) }
    }
}

/// Of this PC's source.
pub fn entropy() -> Option<Entropy> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    Entropy::new(bytes).ok()
}

fn read<K: FromStr<Err: std::fmt::Debug>>(path: &str) -> K {
    let text = fs::read_to_string(path).expect("a file");
    let line = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty());
    line.expect("a line with a key").trim().parse().expect("a key")
}

impl ChannelKeys for Keys {
    fn key(&self) -> Option<&KeyPair> {
        Some(&self.key)
    }

    fn psks(&self) -> &[Psk] {
        std::slice::from_ref(&self.psk)
    }

    fn entropy(&self) -> Option<Entropy> {
        entropy()
    }
}
