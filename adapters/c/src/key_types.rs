//! What C sees of keys.

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a key as text, and the 0 behind it.
pub const KEY_TEXT_SIZE: usize = 62;
/// The least room for coracle_session_read where a client is encrypted, in bytes; 64 or more waste less.
pub const RECORD_MIN: usize = 19;

/// Which key.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A public one: `ck1...`.
    Public = 0,
    /// A secret one: `cs1...`.
    Secret = 1,
    /// A pre-shared one: `cp1...`.
    PreShared = 2,
}

/// The number that C passed in the place of a [`KeyKind`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyKindValue(pub u8);
