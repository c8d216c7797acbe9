//! Opaque input and output: a register that may contain anything whenever it is read, and one that accepts anything.

use core::ptr;

/// Where a Cortex-M has its peripherals.
const INPUT: *const u32 = 0x4000_0000 as *const u32;
const OUTPUT: *mut u32 = 0x4000_0004 as *mut u32;

/// A value that the compiler cannot know.
pub fn input() -> u32 {
    // SAFETY: the address is aligned and lies in the peripherals' range, where no object of Rust's can be.
    unsafe { ptr::read_volatile(INPUT) }
}

/// Uses `value`, so that it is not optimized away.
pub fn output(value: u32) {
    // SAFETY: as in `input`.
    unsafe { ptr::write_volatile(OUTPUT, value) }
}

/// Fills a part of `buf` and returns it. Not inlined, so that it is once in the image, like a real driver.
#[inline(never)]
pub fn receive(buf: &mut [u8]) -> &[u8] {
    let len = (input() as usize).min(buf.len());
    let part = &mut buf[..len];
    for byte in part.iter_mut() {
        *byte = input() as u8;
    }
    part
}

/// Uses some of `bytes`, and returns how many.
#[inline(never)]
pub fn send(bytes: &[u8]) -> usize {
    let len = (input() as usize).min(bytes.len());
    for byte in &bytes[..len] {
        output(u32::from(*byte));
    }
    len
}

/// The length of a session's buffer.
pub const BUF_LEN: usize = if cfg!(feature = "rename") {
    768
} else if cfg!(feature = "put") {
    640
} else {
    512
};
