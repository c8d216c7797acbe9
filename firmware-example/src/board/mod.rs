//! The board that the firmware is built for: its drivers, and how much of the application fits it.
//!
//! Each board has a module with the same items, of which a build has one:
//!
//! - `Board`, the peripherals that it starts with, `entry`, `sleep_unless`, `stack_use`, `undefined_instruction` and `restart`;
//! - `Ethernet`, the controller as a smoltcp device, `Counter`, a free-running counter at `CLOCK_HZ`, and `Watchdog`;
//! - what fits: `SESSIONS`, `RECEIVE_LEN`, `SEND_LEN` and `LOG_LEN`.

#[cfg(target_arch = "arm")]
mod arm;
#[cfg(all(target_arch = "arm", feature = "lm3s6965evb"))]
mod lm3s6965evb;
#[cfg(all(target_arch = "arm", not(feature = "lm3s6965evb")))]
mod mps2_an385;
mod registers;
mod stack;
#[cfg(target_arch = "riscv32")]
mod virt;
#[cfg(target_arch = "arm")]
mod watchdog;

#[cfg(all(target_arch = "arm", feature = "lm3s6965evb"))]
pub use lm3s6965evb::*;
#[cfg(all(target_arch = "arm", not(feature = "lm3s6965evb")))]
pub use mps2_an385::*;
#[cfg(target_arch = "riscv32")]
pub use virt::*;

#[cfg(all(target_arch = "riscv32", feature = "lm3s6965evb"))]
compile_error!("lm3s6965evb is a Cortex-M3");
#[cfg(all(feature = "slots", any(target_arch = "riscv32", feature = "lm3s6965evb")))]
compile_error!("only mps2-an385 has a boot loader that starts images from slots");

/// An Ethernet frame without its check sequence: header and 1,500 bytes.
const MAX_FRAME_LEN: usize = 1_514;

/// Why the Ethernet controller cannot be used.
#[derive(Clone, Copy, defmt::Format)]
pub enum StartError {
    /// There is none where it should be.
    NotFound,
    /// It does not do what its data sheet says.
    Stuck,
}
