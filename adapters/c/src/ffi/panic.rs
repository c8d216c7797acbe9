//! What becomes of a panic in firmware.

// SAFETY: it is declared as in coracle.h.
unsafe extern "C" {
    /// Defined by the firmware, and called when the library finds itself in a state that cannot be: logs, or resets the board. It
    /// may not return.
    fn coracle_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it takes nothing, and the firmware defines it as the header says.
    unsafe { coracle_panic() }
}
