//! The functions and callbacks of the encrypted channel.

use core::ffi::{CStr, c_char, c_void};

use coracle_channel::{Entropy, KeyPair, Psk, PublicKey, SecretKey};
use coracle_core::Instant;
use zeroize::Zeroizing;

use super::callbacks::{Callbacks, Keys, Table};
use super::{ServerMemory, SessionMemory, get, place};
use crate::channel::Channel;
use crate::key_types::{KEY_LEN, KEY_TEXT_SIZE, KeyKind, KeyKindValue};
use crate::server::Server;
use crate::text::key_text;
use crate::types::Outcome;

/// Eighths of the bytes that a channel takes.
pub const CHANNEL_WORDS: usize = 96;

/// Memory for the encryption of one connection: its handshake, then its records. Its bytes are the library's; it may not be moved while
/// the session lasts.
#[repr(C)]
#[derive(Debug)]
pub struct ChannelMemory {
    words: [u64; CHANNEL_WORDS],
}

const _: () = assert!(size_of::<Channel>() <= size_of::<ChannelMemory>());
const _: () = assert!(align_of::<Channel>() <= align_of::<ChannelMemory>());

/// Gives a server its keys: clients come encrypted where their sessions are told so, by coracle_session_encrypt. Called before the first
/// session begins; computes the public key, a Diffie-Hellman operation. `*keys` has to stay as it is for as long as the server is used.
///
/// Who completes the handshake may do everything that is offered, if coracle_server_set_rights says no other.
///
/// # Safety
///
/// `server` is one that coracle_server_init has made, without sessions; `keys` as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_server_set_keys(server: *mut ServerMemory, keys: *const Keys) -> Outcome {
    // SAFETY: the caller's promise; NULL makes a `None`.
    let (server, keys) = unsafe { (server.cast::<Server>().as_mut(), keys.as_ref()) };
    let (Some(server), Some(keys)) = (server, keys) else { return Outcome::Null };
    // SAFETY: the caller's promise on `keys`.
    let Some(secret) = (unsafe { server.table.set_keys(keys) }) else { return Outcome::Callback };
    // SAFETY: the same.
    let secret = filled(|bytes| unsafe { secret(server.table.user(), bytes) });
    let Some(secret) = secret.and_then(|bytes| SecretKey::from_bytes(*bytes).ok()) else { return Outcome::Key };
    server.key = Some(KeyPair::new(secret));
    Outcome::Ok
}

/// Stores the server's public key as text, `ck1...` and a 0, in `text`, CORACLE_KEY_TEXT_SIZE bytes: what clients pin. False where the
/// server has no keys.
///
/// # Safety
///
/// `server` is NULL, or one that coracle_server_init has made; `text` is NULL, or as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_server_public_key(server: *const ServerMemory, text: *mut c_char) -> bool {
    // SAFETY: the caller's promise; NULL makes a `None`.
    let (server, place) = unsafe { (server.cast::<Server>().as_ref(), text.cast::<[u8; KEY_TEXT_SIZE]>().as_mut()) };
    match (server.and_then(|server| server.key.as_ref()), place) {
        (Some(key), Some(place)) => {
            *place = *key_text(key.public()).as_bytes();
            true
        }
        _ => false,
    }
}

/// Reads a key of this kind from text that ends with 0, as `coracle key` writes it, into `key`, CORACLE_KEY_LEN bytes. False where it is
/// another kind, was mistyped, or is no key.
///
/// # Safety
///
/// `text` is NULL, or as said; so is `key`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_key_parse(text: *const c_char, kind: KeyKindValue, key: *mut u8) -> bool {
    if text.is_null() {
        return false;
    }
    // SAFETY: not NULL, so text that ends with 0; NULL for `key` makes a `None`.
    let (text, place) = unsafe { (CStr::from_ptr(text).to_str(), key.cast::<[u8; KEY_LEN]>().as_mut()) };
    let (Ok(text), Some(place)) = (text, place) else { return false };
    let parsed = match kind.0 {
        kind if kind == KeyKind::Public as u8 => text.parse().map(|key: PublicKey| *place = *key.as_bytes()),
        kind if kind == KeyKind::Secret as u8 => text.parse().map(|key: SecretKey| *place = *key.as_bytes()),
        kind if kind == KeyKind::PreShared as u8 => text.parse().map(|key: Psk| *place = *key.as_bytes()),
        _ => return false,
    };
    parsed.is_ok()
}

/// Lets the client of a session come encrypted, with `*channel`, memory of `size` bytes (sizeof(coracle_channel)) that has to stay where it
/// is until coracle_session_end. Called right behind coracle_session_init. The owner does for the session what it does for any other:
/// what the library takes and hands out is encrypted.
///
/// # Safety
///
/// As said; `session` is one that coracle_session_init has just made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_encrypt(
    session: *mut SessionMemory,
    channel: *mut ChannelMemory,
    size: usize,
    now_ms: u64,
) -> Outcome {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { get(session) }) else { return Outcome::Null };
    let server = session.server();
    if server.key.is_none() {
        return Outcome::Key;
    }
    let channel = channel.cast::<Channel>();
    // SAFETY: the caller's promise on `channel` and `size`.
    let outcome = unsafe { place(channel, size, || Channel::new(server, Instant::from_millis(now_ms))) };
    // SAFETY: the same, and made if it is OK.
    if let (Outcome::Ok, Some(channel)) = (outcome, unsafe { channel.as_mut() }) {
        session.encrypt(channel);
    }
    outcome
}

impl Table {
    /// Adds those of `keys`, and returns the one for the secret key; `None` where one is missing.
    ///
    /// # Safety
    ///
    /// `keys` keeps what its words say.
    unsafe fn set_keys(&mut self, keys: &'static Keys) -> Option<unsafe extern "C" fn(*mut c_void, *mut u8) -> bool> {
        keys.entropy?;
        self.keys = Some(keys);
        keys.secret
    }
}

impl Callbacks {
    /// Whether clients need a pre-shared key.
    pub(crate) fn has_psks(&self) -> bool {
        self.0.keys.is_some_and(|keys| keys.psk.is_some())
    }

    pub(crate) fn psk(&self, index: usize) -> Option<Psk> {
        let psk = self.0.keys?.psk?;
        // SAFETY: as the table says.
        let bytes = filled(|bytes| unsafe { psk(self.0.user(), index, bytes) })?;
        Psk::from_bytes(*bytes).ok()
    }

    pub(crate) fn entropy(&self) -> Option<Entropy> {
        let entropy = self.0.keys?.entropy?;
        // SAFETY: as the table says.
        let bytes = filled(|bytes| unsafe { entropy(self.0.user(), bytes) })?;
        Entropy::new(*bytes).ok()
    }

    /// Whether clients without encryption are served.
    pub(crate) fn serves_plain(&self) -> bool {
        self.0.keys.is_some_and(|keys| keys.serves_plain)
    }
}

/// What `fill` has stored, if it says that it has.
fn filled(fill: impl FnOnce(*mut u8) -> bool) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    fill(bytes.as_mut_ptr()).then_some(bytes)
}
