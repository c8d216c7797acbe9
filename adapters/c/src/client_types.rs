//! What C sees of a client.

use core::ffi::c_void;

/// Who asks. Pointers are valid during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its coracle_session, to be compared with those of the owner: no function may be called for it.
    pub session: *const c_void,
    /// The public key that it has shown to have the secret half of, 32 bytes; NULL where it is not encrypted.
    pub key: *const u8,
    /// Where it is encrypted: the place of its pre-shared key, as `psk` of coracle_keys was asked for it.
    pub psk: usize,
}
