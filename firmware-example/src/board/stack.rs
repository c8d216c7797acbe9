//! How much of the stack was used: how much of the paint of the start-up code is overwritten.

/// The stack from its lowest to its highest address, in bytes, and how many of them were ever used.
pub struct StackUse {
    pub size: usize,
    pub high_water: usize,
}

// SAFETY: the memory maps define both; only their addresses are taken.
unsafe extern "C" {
    static mut _stack_start: u32;
    static mut _stack_end: u32;
}

/// Counts the words from the lowest address on that still are `paint`.
pub(super) fn measure(paint: u32) -> StackUse {
    let lowest = &raw const _stack_end;
    let size = (&raw const _stack_start).addr() - lowest.addr();
    // SAFETY: the memory map puts the stack between the two symbols, aligned to words; every word of it is initialised by
    // the paint, and the reads are volatile because the running code uses its upper end.
    let untouched = (0..size / 4).take_while(|&word| unsafe { lowest.add(word).read_volatile() } == paint);
    StackUse { size, high_water: size - untouched.count() * 4 }
}

/// Paints the stack below the caller's frames, where the start-up code does not.
#[cfg(target_arch = "riscv32")]
#[inline(never)]
pub(super) fn paint_below(paint: u32) {
    /// What this function itself may use, in bytes.
    const OWN: usize = 256;
    let here = 0_u32;
    let lowest = &raw mut _stack_end;
    let words = ((&raw const here).addr() - OWN).saturating_sub(lowest.addr()) / 4;
    for word in 0..words {
        // SAFETY: these words are of the stack, and below what is in use.
        unsafe { lowest.add(word).write_volatile(paint) };
    }
}
