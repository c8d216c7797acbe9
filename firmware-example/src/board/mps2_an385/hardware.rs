//! Registers, exceptions and the painted stack: everything that needs `unsafe`.
//!
//! The board is Arm's MPS2 with the AN385 image (a Cortex-M3 at 25 MHz), as QEMU emulates it.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SYST};
use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, exception};

/// The frequency of the processor and its counters, in Hz.
pub const CLOCK_HZ: u32 = 25_000_000;

/// The block of the counters.
const COUNTERS: usize = 0x4002_8000;
/// The counter in it that counts up at [`CLOCK_HZ`].
pub const COUNTER: usize = 0x18;

/// A peripheral's block of 32-bit registers.
pub struct Registers {
    base: usize,
    len: usize,
}

impl Registers {
    /// Reads the register `offset` bytes into the block.
    ///
    /// # Panics
    ///
    /// If the block has no such register.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: `at` gives an aligned address inside a peripheral of this board, which is always mapped.
        unsafe { self.at(offset).read_volatile() }
    }

    /// Writes the register `offset` bytes into the block.
    ///
    /// # Panics
    ///
    /// If the block has no such register.
    pub fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: as in `read`; no register of these peripherals makes the hardware write to memory.
        unsafe { self.at(offset).write_volatile(value) }
    }

    fn at(&self, offset: usize) -> *mut u32 {
        assert!(offset.is_multiple_of(4) && offset < self.len);
        core::ptr::with_exposed_provenance_mut(self.base + offset)
    }
}

/// The peripherals that the firmware uses, each once.
pub struct Board {
    pub ethernet: Registers,
    pub counters: Registers,
    pub watchdog: Registers,
    systick: SYST,
}

impl Board {
    /// Returns the peripherals; `None` the second time.
    pub fn take() -> Option<Self> {
        let core = cortex_m::Peripherals::take()?;
        Some(Self {
            ethernet: Registers { base: 0x4020_0000, len: 0x100 },
            counters: Registers { base: COUNTERS, len: 0x50 },
            watchdog: Registers { base: 0x4000_8000, len: 0xc04 },
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

/// Sleeps until the next tick or frame, unless `busy` returns true.
pub fn sleep_unless(busy: impl FnOnce() -> bool) {
    // SAFETY: the handler does nothing but mask this interrupt again, so it breaks no critical section.
    unsafe { NVIC::unmask(Ethernet) };
    // An interrupt between the check and `wfi` stays pending and ends `wfi` immediately.
    cortex_m::interrupt::free(|_| {
        if !busy() {
            cortex_m::asm::wfi();
        }
    });
}

/// Reads the counter that the clock has, without the clock.
#[cfg(feature = "slots")]
pub fn counter() -> u32 {
    Registers { base: COUNTERS, len: COUNTER + 4 }.read(COUNTER)
}

/// What the boot loader has left, if there was one.
#[cfg(feature = "slots")]
pub fn handover() -> [u32; 4] {
    let words: *const [u32; 4] = core::ptr::with_exposed_provenance(coracle_firmware_chip::Handover::ADDRESS);
    // SAFETY: aligned memory of the board, always mapped, that the linker script leaves alone.
    unsafe { words.read_volatile() }
}

/// Resets the board, which starts the boot loader.
#[cfg(feature = "slots")]
pub fn restart() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Executes an undefined instruction, which faults.
pub fn undefined_instruction() -> ! {
    cortex_m::asm::udf()
}

/// The stack from its lowest to its highest address, in bytes, and how many of them were ever used.
pub struct StackUse {
    pub size: usize,
    pub high_water: usize,
}

/// Measures the stack use by how much of the paint of the start-up code is overwritten.
pub fn stack_use() -> StackUse {
    // SAFETY: the linker script defines both; only their addresses are taken.
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    let lowest = &raw const _stack_end;
    let size = (&raw const _stack_start).addr() - lowest.addr();
    // SAFETY: the linker script puts the stack between the two symbols, aligned to words; every word of it is
    // initialised by the paint, and the reads are volatile because the running code uses its upper end.
    let untouched = (0..size / 4).take_while(|&word| unsafe { lowest.add(word).read_volatile() } == STACK_PAINT_VALUE);
    StackUse { size, high_water: size - untouched.count() * 4 }
}

/// The interrupt of the Ethernet controller.
#[derive(Clone, Copy)]
struct Ethernet;

// SAFETY: 13 is the controller's interrupt on this board, and the vector table below has a place for it.
unsafe impl InterruptNumber for Ethernet {
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
    let mut vectors: [Handler; 14] = [unexpected; 14];
    vectors[13] = frame_arrived;
    vectors
};

/// Masks the interrupt, which stays active until the main loop has read the frame.
extern "C" fn frame_arrived() {
    NVIC::mask(Ethernet);
}

extern "C" fn unexpected() {
    panic!("an interrupt that was not enabled");
}

#[exception]
fn SysTick() {}

// SAFETY: it never returns, so whatever it interrupted does not see a changed world.
#[exception]
unsafe fn NonMaskableInt() -> ! {
    defmt::error!("watchdog: the main loop stood still");
    crate::fault::exit(crate::fault::Reason::Watchdog)
}

// SAFETY: it touches nothing that the faulting code may have left half-done, but for the logger, whose own lock it
// would find taken; that ends in a second fault, which stops the processor.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    crate::fault::exit(crate::fault::Reason::HardFault)
}
