//! How the firmware ends: a log line with the reason, and the emulator's exit status.

use core::panic::PanicInfo;

/// Why the firmware stopped. The number is the emulator's exit status; a product would store it across the reset.
#[derive(Clone, Copy)]
pub enum Reason {
    Panic = 101,
    HardFault = 102,
    Watchdog = 103,
}

/// Ends the emulation; an image in a slot restarts the board instead, and is out of tries some time.
#[cfg_attr(feature = "slots", allow(unused_variables))]
pub fn exit(reason: Reason) -> ! {
    #[cfg(feature = "slots")]
    crate::board::restart();
    #[cfg(not(feature = "slots"))]
    semihosting::process::exit(reason as i32)
}

/// Fails in the way that ends with `reason`.
pub fn provoke(reason: Reason) -> ! {
    match reason {
        Reason::Panic => panic!("asked for"),
        Reason::HardFault => crate::board::undefined_instruction(),
        Reason::Watchdog => loop {
            core::hint::spin_loop();
        },
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    // Without the message: formatting it would link core::fmt, 8 KB of flash. The location is enough to find it.
    match info.location() {
        Some(place) => defmt::error!("panicked at {=str}:{=u32}", place.file(), place.line()),
        None => defmt::error!("panicked"),
    }
    exit(Reason::Panic)
}

/// Called by defmt's own assertions, which have logged the reason already.
#[defmt::panic_handler]
fn defmt_panicked() -> ! {
    exit(Reason::Panic)
}
