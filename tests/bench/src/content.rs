//! What small requests ask for: numbered files, or an acknowledgement of text.

use crate::dialect::{Dialect, SENTENCE};

/// Bytes of a small file: its number in 16 hexadecimal digits, again and again. `tests/bench/files.py` writes them.
pub const FILE_LEN: usize = 1024;

/// What is asked for.
pub enum Content {
    /// One of the `count` files in `directory`.
    Files { directory: String, count: u64 },
    /// One fixed sentence, for any text.
    Text,
}

impl Content {
    /// The number of the file behind `random`.
    pub fn draw(&self, random: u64) -> u64 {
        match self {
            Self::Files { count, .. } => random % count,
            Self::Text => 0,
        }
    }

    /// The request for a file; `kept` keeps the connection open.
    pub fn request(&self, dialect: Dialect, number: u64, kept: bool) -> Vec<u8> {
        match self {
            Self::Files { directory, .. } => dialect.ask(&format!("{directory}/measurement-{number:06}.csv"), kept),
            Self::Text => dialect.ask("", kept),
        }
    }

    /// The length of every body.
    pub const fn len(&self) -> usize {
        match self {
            Self::Files { .. } => FILE_LEN,
            Self::Text => SENTENCE.len(),
        }
    }

    /// Whether this is the body of the file with this number.
    pub fn is_body(&self, bytes: &[u8], number: u64) -> bool {
        match self {
            Self::Files { .. } => {
                let digits = format!("{number:016x}");
                bytes.len() == FILE_LEN && bytes.chunks(digits.len()).all(|chunk| chunk == digits.as_bytes())
            }
            Self::Text => bytes == SENTENCE,
        }
    }
}

/// A sequence that looks random and is the same for every server (Marsaglia's xorshift64).
pub struct Random(u64);

impl Random {
    pub const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Iterator for Random {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Some(self.0)
    }
}
