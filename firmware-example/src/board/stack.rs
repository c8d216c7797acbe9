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
