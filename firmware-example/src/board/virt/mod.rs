//! QEMU's RISC-V machine `virt` with one 32-bit hart and a network card by virtio: a timer and an interrupt controller as many
//! chips have them. Interrupts, and where the peripherals are.

mod virtio;
mod watchdog;

use riscv::interrupt::Interrupt;
use riscv::register::{mepc, mie};
use riscv_rt::TrapFrame;

use super::registers::Registers;
use super::stack;

pub use riscv_rt::entry;
pub use virtio::Ethernet;
pub use watchdog::Watchdog;

/// The frequency of the counter, in Hz.
pub const CLOCK_HZ: u32 = 10_000_000;

/// Clients served at once.
pub const SESSIONS: usize = 4;
/// Length of a receive buffer: enough for the longest request, and where clients write for two segments, since a shorter window
/// makes them send shorter ones.
pub const RECEIVE_LEN: usize = if cfg!(feature = "put") { 2_920 } else { 512 };
/// Length of a transmit buffer: the maximum sent in a round trip.
pub const SEND_LEN: usize = 4_096;
/// Size of the log in RAM, in bytes.
pub const LOG_LEN: usize = 8 * 1024;

/// The timer of the hart.
const TIMER: Registers = Registers::new(0x0200_0000, 0xc000);
/// Its registers, 64 bits each.
mod timer {
    pub const COMPARE: usize = 0x4000;
    pub const COUNTER: usize = 0xbff8;
}

/// The controller of the peripherals' interrupts.
const INTERRUPTS: Registers = Registers::new(0x0c00_0000, 0x20_0008);
/// Its registers: for each interrupt, and for this hart.
mod interrupts {
    pub const PRIORITY: usize = 0x0;
    pub const ENABLE: usize = 0x2000;
    pub const THRESHOLD: usize = 0x20_0000;
    pub const CLAIM: usize = 0x20_0004;
}

/// The places for virtio devices, and the interrupt of the first.
const DEVICES: usize = 0x1000_1000;
const DEVICE_LEN: usize = 0x1000;
const DEVICE_COUNT: usize = 8;
const FIRST_INTERRUPT: usize = 1;
/// Registers of such a device that the driver leaves to the interrupt.
mod device {
    pub const INTERRUPT_STATUS: usize = 0x60;
    pub const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
}

/// What the start-up code is to have left of the stack.
const PAINT: u32 = 0xcccc_cccc;

/// The peripherals that the firmware uses, each once.
pub struct Board {
    pub ethernet: virtio::Places,
    pub counter: Counter,
    pub watchdog: watchdog::Ticks,
}

impl Board {
    /// Returns the peripherals; `None` the second time.
    pub fn take() -> Option<Self> {
        let ethernet = virtio::Places::take()?;
        stack::paint_below(PAINT);
        Some(Self { ethernet, counter: Counter, watchdog: watchdog::Ticks })
    }

    /// Starts the interrupts: that which wakes the processor every millisecond, and those of the devices.
    pub fn start_ticks(&mut self) {
        let mut interrupts = INTERRUPTS;
        interrupts.write(interrupts::THRESHOLD, 0);
        let all = FIRST_INTERRUPT..FIRST_INTERRUPT + DEVICE_COUNT;
        interrupts.write(interrupts::ENABLE, all.clone().fold(0, |bits, number| bits | 1 << number));
        for number in all {
            interrupts.write(interrupts::PRIORITY + number * 4, 1);
        }
        set_next_tick();
        // SAFETY: the handlers below break no critical section: they write registers that nothing else does.
        unsafe {
            mie::enable(Interrupt::MachineTimer);
            mie::enable(Interrupt::MachineExternal);
            riscv::interrupt::enable();
        }
    }
}

/// A counter at [`CLOCK_HZ`].
pub struct Counter;

impl Counter {
    /// The bits that it has.
    pub const MASK: u32 = u32::MAX;

    /// Reads it. It wraps after 429 s.
    pub fn read(&self) -> u32 {
        counter()
    }
}

/// Reads the counter that the clock has, without the clock.
pub fn counter() -> u32 {
    TIMER.read(timer::COUNTER)
}

/// Sleeps until the next tick or frame, unless `busy` returns true.
pub fn sleep_unless(busy: impl FnOnce() -> bool) {
    // An interrupt between the check and `wfi` stays pending and ends `wfi` immediately.
    riscv::interrupt::free(|| {
        if !busy() {
            riscv::asm::wfi();
        }
    });
}

/// Resets the board.
#[cfg(feature = "put")]
pub fn restart() -> ! {
    const RESET: u32 = 0x7777;
    Registers::new(0x10_0000, 4).write(0, RESET);
    loop {
        riscv::asm::wfi();
    }
}

/// Executes an undefined instruction, which faults.
pub fn undefined_instruction() -> ! {
    // SAFETY: it ends in the handler of exceptions, which does not return.
    unsafe { core::arch::asm!("unimp", options(noreturn)) }
}

/// Measures the stack use.
pub fn stack_use() -> stack::StackUse {
    stack::measure(PAINT)
}

/// Sets the time of the next tick interrupt.
fn set_next_tick() {
    let mut timer = TIMER;
    let (low, high) = (timer.read(timer::COUNTER), timer.read(timer::COUNTER + 4));
    // A half that was read a moment before the other makes a tick that comes at once.
    let next = (u64::from(high) << 32 | u64::from(low)) + u64::from(CLOCK_HZ / 1_000);
    // The higher half first, at its largest: no interrupt comes in between.
    timer.write(timer::COMPARE + 4, u32::MAX);
    timer.write(timer::COMPARE, (next & 0xffff_ffff) as u32);
    timer.write(timer::COMPARE + 4, (next >> 32) as u32);
}

#[riscv_rt::core_interrupt(Interrupt::MachineTimer)]
fn tick() {
    set_next_tick();
    if watchdog::is_late() {
        defmt::error!("watchdog: the main loop stood still");
        crate::fault::exit(crate::fault::Reason::Watchdog);
    }
}

/// Acknowledges the device, which wakes the processor; the main loop looks at its queues.
#[riscv_rt::core_interrupt(Interrupt::MachineExternal)]
fn device_interrupted() {
    let mut interrupts = INTERRUPTS;
    let claimed = interrupts.read(interrupts::CLAIM);
    let place = (claimed as usize).checked_sub(FIRST_INTERRUPT).filter(|place| *place < DEVICE_COUNT);
    if let Some(place) = place {
        let mut device = Registers::new(DEVICES + place * DEVICE_LEN, DEVICE_LEN);
        let reasons = device.read(device::INTERRUPT_STATUS);
        device.write(device::INTERRUPT_ACKNOWLEDGE, reasons);
        interrupts.write(interrupts::CLAIM, claimed);
    }
}

// SAFETY: the start-up code calls this symbol with the registers of what has faulted.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn faulted(frame: &TrapFrame) -> ! {
    defmt::error!("hard fault at {=usize:#010x}, called from {=usize:#010x}", mepc::read(), frame.ra);
    crate::fault::exit(crate::fault::Reason::HardFault)
}
