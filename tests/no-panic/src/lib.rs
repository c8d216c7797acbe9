//! Every public function of the core, with arguments and a session that could be anything. Linked one by one: the handler of
//! panics calls a function that does not exist, so where a panic can be reached, the linker says so.
//!
//! A session comes as a pointer from nowhere, so that the compiler has to assume every state that its type allows.
#![no_std]
#![allow(improper_ctypes_definitions, reason = "nobody calls these functions")]

mod client;
mod blocking;
mod server;
mod values;

use core::panic::PanicInfo;

// SAFETY: it is not there to be called.
unsafe extern "C" {
    /// Does not exist.
    fn coracle_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: nothing that calls it can be linked.
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
