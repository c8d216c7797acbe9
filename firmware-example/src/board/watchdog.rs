//! Arm's watchdog SP805, which many chips have: an interrupt, then a reset, when the main loop hangs.

use super::CLOCK_HZ;
use super::registers::Registers;

const LOAD: usize = 0x000;
const CONTROL: usize = 0x008;
const CLEAR: usize = 0x00c;
const LOCK: usize = 0xc00;
/// Written to `LOCK`, makes the other registers writable.
const UNLOCK_KEY: u32 = 0x1acc_e551;
/// How long one round of the main loop may take.
const TIMEOUT_S: u32 = 5;

pub struct Watchdog(Registers);

impl Watchdog {
    /// Starts the countdown.
    pub fn start(mut registers: Registers) -> Self {
        registers.write(LOCK, UNLOCK_KEY);
        registers.write(LOAD, TIMEOUT_S * CLOCK_HZ);
        // The first expiry interrupts, the second one resets.
        registers.write(CONTROL, 0b11);
        Self(registers)
    }

    /// Restarts the countdown.
    pub fn feed(&mut self) {
        self.0.write(CLEAR, 1);
    }
}
