//! The CMSDK watchdog: an interrupt, then a reset, when the main loop stands still.

use crate::hardware::{CLOCK_HZ, Registers};

const LOAD: usize = 0x000;
const CONTROL: usize = 0x008;
const CLEAR: usize = 0x00c;
const LOCK: usize = 0xc00;
/// Written to `LOCK`, makes the other registers writable.
const UNLOCK_KEY: u32 = 0x1acc_e551;
/// How long the main loop may take for one round.
const PATIENCE_S: u32 = 5;

pub struct Watchdog(Registers);

impl Watchdog {
    /// Starts counting down.
    pub fn start(mut registers: Registers) -> Self {
        registers.write(LOCK, UNLOCK_KEY);
        registers.write(LOAD, PATIENCE_S * CLOCK_HZ);
        // The first expiry interrupts, the second one resets.
        registers.write(CONTROL, 0b11);
        Self(registers)
    }

    /// Starts the count anew.
    pub fn feed(&mut self) {
        self.0.write(CLEAR, 1);
    }
}
