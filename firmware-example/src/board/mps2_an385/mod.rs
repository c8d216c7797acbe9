//! Arm's MPS2 with the AN385 image, as QEMU emulates it: a Cortex-M3 at 25 MHz with a LAN9118 Ethernet controller. Interrupts,
//! and where the peripherals are.

mod lan9118;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SYST};
use cortex_m_rt::exception;

use super::arm;
use super::registers::Registers;

pub use super::watchdog::Watchdog;
#[cfg(feature = "put")]
pub use arm::restart;
pub use arm::{entry, stack_use, undefined_instruction};
pub use lan9118::Lan9118 as Ethernet;

/// The frequency of the processor and its counters, in Hz.
pub const CLOCK_HZ: u32 = 25_000_000;

/// Clients served at once.
pub const SESSIONS: usize = 4;
/// Length of a receive buffer: enough for the longest request, and where clients write for two segments, since a shorter window
/// makes them send shorter ones.
pub const RECEIVE_LEN: usize = if cfg!(feature = "put") { 2_920 } else { 512 };
/// Length of a transmit buffer: the maximum sent in a round trip.
pub const SEND_LEN: usize = 4_096;
/// Size of the log in RAM, in bytes.
pub const LOG_LEN: usize = 8 * 1024;

/// The block of the counters.
const COUNTERS: usize = 0x4002_8000;
/// The counter in it that counts up at [`CLOCK_HZ`].
const COUNTER: usize = 0x18;

/// The peripherals that the firmware uses, each once.
pub struct Board {
    pub ethernet: Registers,
    pub counter: Counter,
    pub watchdog: Registers,
    systick: SYST,
}

impl Board {
    /// Returns the peripherals; `None` the second time.
    pub fn take() -> Option<Self> {
        let core = cortex_m::Peripherals::take()?;
        Some(Self {
            ethernet: Registers::new(0x4020_0000, 0x100),
            counter: Counter(Registers::new(COUNTERS, COUNTER + 4)),
            watchdog: Registers::new(0x4000_8000, 0xc04),
            systick: core.SYST,
        })
    }

    /// Starts the interrupt that wakes the processor every millisecond. It is not used as the clock: an emulator on a busy
    /// machine loses up to half of the ticks.
    pub fn start_ticks(&mut self) {
        self.systick.set_clock_source(SystClkSource::Core);
        self.systick.set_reload(CLOCK_HZ / 1_000 - 1);
        self.systick.clear_current();
        self.systick.enable_counter();
        self.systick.enable_interrupt();
    }
}

/// A counter at [`CLOCK_HZ`].
pub struct Counter(Registers);

impl Counter {
    /// The bits that it has; the others are zero.
    pub const MASK: u32 = u32::MAX;

    /// Reads it. It wraps after 171 s.
    pub fn read(&self) -> u32 {
        self.0.read(COUNTER)
    }
}

/// Reads the counter that the clock has, without the clock.
#[cfg(feature = "put")]
pub fn counter() -> u32 {
    Counter(Registers::new(COUNTERS, COUNTER + 4)).read()
}

/// Sleeps until the next tick or frame, unless `busy` returns true.
pub fn sleep_unless(busy: impl FnOnce() -> bool) {
    arm::sleep_unless(FrameArrived, busy);
}

/// What the boot loader has left, if there was one.
#[cfg(feature = "slots")]
pub fn handover() -> [u32; 4] {
    let words: *const [u32; 4] = core::ptr::with_exposed_provenance(coracle_firmware_chip::Handover::ADDRESS);
    // SAFETY: aligned memory of the board, always mapped, that the linker script leaves alone.
    unsafe { words.read_volatile() }
}

/// The interrupt of the Ethernet controller.
#[derive(Clone, Copy)]
struct FrameArrived;

// SAFETY: 13 is the controller's interrupt on this board, and the vector table below has a place for it.
unsafe impl InterruptNumber for FrameArrived {
    fn number(self) -> u16 {
        13
    }
}

type Handler = extern "C" fn();

/// The interrupt vectors, up to the only one in use.
// SAFETY: the start-up code's linker script expects this symbol in this section; the type is a table of addresses.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 14] = {
    let mut vectors: [Handler; 14] = [arm::unexpected; 14];
    vectors[13] = frame_arrived;
    vectors
};

/// Masks the interrupt, which stays active until the main loop has read the frame.
extern "C" fn frame_arrived() {
    NVIC::mask(FrameArrived);
}

#[exception]
fn SysTick() {}

// SAFETY: it never returns, so whatever it interrupted does not see a changed world.
#[exception]
unsafe fn NonMaskableInt() -> ! {
    defmt::error!("watchdog: the main loop stood still");
    crate::fault::exit(crate::fault::Reason::Watchdog)
}
