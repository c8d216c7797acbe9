//! What the boards with a Cortex-M share: exceptions, the painted stack, and sleep.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, exception};

use super::stack;

pub use cortex_m_rt::entry;

/// Measures the stack use.
pub fn stack_use() -> stack::StackUse {
    stack::measure(STACK_PAINT_VALUE)
}

/// Sleeps until the next tick or `interrupt`, unless `busy` returns true.
pub(super) fn sleep_unless(interrupt: impl InterruptNumber, busy: impl FnOnce() -> bool) {
    // SAFETY: the handler does nothing but mask this interrupt again, so it breaks no critical section.
    unsafe { NVIC::unmask(interrupt) };
    // An interrupt between the check and `wfi` stays pending and ends `wfi` immediately.
    cortex_m::interrupt::free(|_| {
        if !busy() {
            cortex_m::asm::wfi();
        }
    });
}

/// Resets the board.
#[cfg(feature = "put")]
pub fn restart() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Executes an undefined instruction, which faults.
pub fn undefined_instruction() -> ! {
    cortex_m::asm::udf()
}

/// For the vector tables.
pub(super) extern "C" fn unexpected() {
    panic!("an interrupt that was not enabled");
}

// SAFETY: it touches nothing that the faulting code may have left half-done, but for the logger, whose own lock it
// would find taken; that ends in a second fault, which stops the processor.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    crate::fault::exit(crate::fault::Reason::HardFault)
}
