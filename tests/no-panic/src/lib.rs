//! Every public function of the core and of the channel, with opaque arguments, linked one by one. The panic handler calls a function that does not
//! exist, so that linking fails where a panic can be reached.
//!
//! A session is passed by pointer, so that the compiler has to assume every state that its type allows.
#![no_std]
#![allow(improper_ctypes_definitions, reason = "these functions are never called")]

mod blocking;
mod channel;
mod client;
#[cfg(feature = "rights")]
mod rights;
mod server;
mod values;
#[cfg(feature = "manage")]
mod writing;

use core::panic::PanicInfo;

// SAFETY: it is never called.
unsafe extern "C" {
    /// Does not exist.
    fn coracle_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: an image that calls it cannot be linked.
    unsafe { coracle_can_panic() }
}

/// Defines the functions to be linked.
macro_rules! entries {
    ($(fn $name:ident$(<$life:lifetime>)?($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            pub extern "C" fn $name$(<$life>)?($($argument: $kind),*) $(-> $result)? $body
        )*
    };
}
pub(crate) use entries;

entries! {
    fn planted_index(bytes: &[u8], place: usize) -> u8 { bytes[place] }

    fn planted_unwrap(text: &str) -> u8 { text.parse().unwrap() }
}
