//! The LM3S6965 evaluation board, as QEMU emulates it: a Cortex-M3 at 12.5 MHz with 256 KiB of flash, 64 KiB of RAM and an
//! Ethernet controller in the chip. Interrupts, and where the peripherals are.

mod ethernet;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SYST};

use super::arm;
use super::registers::Registers;

pub use super::watchdog::Watchdog;
#[cfg(feature = "put")]
pub use arm::restart;
pub use arm::{entry, stack_use, undefined_instruction};
pub use ethernet::Ethernet;

/// The frequency of the processor and its counters, in Hz, as it is after a reset.
pub const CLOCK_HZ: u32 = 12_500_000;

/// Clients served at once: with its buffers a session takes 5 KB, and 8 where clients write and come encrypted.
pub const SESSIONS: usize = 4;
/// Length of a receive buffer: a segment, where clients write.
pub const RECEIVE_LEN: usize = if cfg!(feature = "put") { 1_460 } else { 512 };
/// Length of a transmit buffer: the maximum sent in a round trip.
pub const SEND_LEN: usize = 2_920;
/// Size of the log in RAM, in bytes.
pub const LOG_LEN: usize = 2 * 1024;

/// The block that switches the clocks of the peripherals.
const SYSTEM_CONTROL: usize = 0x400f_e000;
/// The timer of the ticks.
const TIMER: usize = 0x4003_0000;

/// Registers of a timer.
mod timer {
    pub const MODE_A: usize = 0x04;
    pub const CONTROL: usize = 0x0c;
    pub const INTERRUPT_MASK: usize = 0x18;
    pub const INTERRUPT_CLEAR: usize = 0x24;
    pub const LOAD_A: usize = 0x28;
    pub const LEN: usize = 0x4c;
}

/// The peripherals that the firmware uses, each once.
pub struct Board {
    pub ethernet: Registers,
    pub counter: Counter,
    pub watchdog: Registers,
    timer: Registers,
}

impl Board {
    /// Returns the peripherals, running; `None` the second time.
    pub fn take() -> Option<Self> {
        let core = cortex_m::Peripherals::take()?;
        let mut system = Registers::new(SYSTEM_CONTROL, 0x10c);
        // Clocks on: of the watchdog, of timer 0, of the Ethernet controller and its transceiver.
        for (gates, bits) in [(0x100, 1 << 3), (0x104, 1 << 16), (0x108, 1 << 28 | 1 << 30)] {
            let others = system.read(gates);
            system.write(gates, others | bits);
            // A peripheral may be used three clocks later.
            system.read(gates);
        }
        Some(Self {
            ethernet: Registers::new(0x4004_8000, 0x40),
            counter: Counter::start(core.SYST),
            watchdog: Registers::new(0x4000_0000, 0xc04),
            timer: Registers::new(TIMER, timer::LEN),
        })
    }

    /// Starts the interrupt that wakes the processor every millisecond. It is not used as the clock: an emulator on a busy
    /// machine loses up to half of the ticks.
    pub fn start_ticks(&mut self) {
        let periodic = 2;
        self.timer.write(timer::MODE_A, periodic);
        self.timer.write(timer::LOAD_A, CLOCK_HZ / 1_000 - 1);
        self.timer.write(timer::INTERRUPT_MASK, 1);
        self.timer.write(timer::CONTROL, 1);
        // SAFETY: the handlers below break no critical section: one acknowledges, the other one never returns.
        unsafe {
            NVIC::unmask(Interrupt::Timer);
            NVIC::unmask(Interrupt::Watchdog);
        }
    }
}

/// A counter at [`CLOCK_HZ`]: the chip's timers cannot be read while they run, so it is the processor's own.
pub struct Counter(SYST);

impl Counter {
    /// The bits that it has; the others are zero.
    pub const MASK: u32 = 0x00ff_ffff;

    fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(Self::MASK);
        systick.clear_current();
        systick.enable_counter();
        Self(systick)
    }

    /// Reads it. It wraps after 1.3 s.
    pub fn read(&self) -> u32 {
        !self.0.cvr.read() & Self::MASK
    }
}

/// Reads the counter that the clock has, without the clock.
#[cfg(feature = "put")]
pub fn counter() -> u32 {
    !SYST::get_current() & Counter::MASK
}

/// Sleeps until the next tick or frame, unless `busy` returns true.
pub fn sleep_unless(busy: impl FnOnce() -> bool) {
    arm::sleep_unless(Interrupt::Ethernet, busy);
}

/// The interrupts in use.
#[derive(Clone, Copy)]
enum Interrupt {
    Watchdog = 18,
    Timer = 19,
    Ethernet = 42,
}

// SAFETY: these are the chip's numbers, and the vector table below has a place for each.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

type Handler = extern "C" fn();

/// The interrupt vectors, up to the last one in use.
// SAFETY: the start-up code's linker script expects this symbol in this section; the type is a table of addresses.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 43] = {
    let mut vectors: [Handler; 43] = [arm::unexpected; 43];
    vectors[Interrupt::Watchdog as usize] = stood_still;
    vectors[Interrupt::Timer as usize] = tick;
    vectors[Interrupt::Ethernet as usize] = frame_arrived;
    vectors
};

extern "C" fn tick() {
    Registers::new(TIMER, timer::LEN).write(timer::INTERRUPT_CLEAR, 1);
}

/// Masks the interrupt, which stays active until the main loop has acknowledged the frame.
extern "C" fn frame_arrived() {
    NVIC::mask(Interrupt::Ethernet);
}

extern "C" fn stood_still() {
    defmt::error!("watchdog: the main loop stood still");
    crate::fault::exit(crate::fault::Reason::Watchdog)
}
