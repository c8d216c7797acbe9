//! Where images run, and the jump to them: everything that needs `unsafe`.

use core::sync::atomic::{AtomicBool, Ordering};

use coracle_firmware_chip::Handover;

/// Where images are copied to and run: as firmware-example/memory/slot.x.
const START: usize = 0x0010_0000;
const LEN: usize = 3 << 20;

/// The memory that an image runs from.
pub struct RunArea(());

impl RunArea {
    /// Returns the memory; `None` the second time.
    pub fn take() -> Option<Self> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        // There is one thread, and no interrupt is enabled.
        let was_taken = IS_TAKEN.load(Ordering::Relaxed);
        IS_TAKEN.store(true, Ordering::Relaxed);
        (!was_taken).then_some(Self(()))
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: this is memory of the board, always mapped and writable, outside of what the linker script gives to the
        // loader; there is one value of this type, which is borrowed for as long as the slice.
        unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(START), LEN) }
    }

    /// Starts the image, with what it is to be told.
    pub fn start(self, handover: [u32; 4]) -> ! {
        let words: *mut [u32; 4] = core::ptr::with_exposed_provenance_mut(Handover::ADDRESS);
        // SAFETY: aligned memory of the board that neither the loader's nor an image's linker script uses.
        unsafe { words.write_volatile(handover) };
        if let Some(core) = cortex_m::Peripherals::take() {
            // SAFETY: the image begins with its vector table, aligned as the processor needs it; nothing that the loader has
            // set up can interrupt from here on.
            unsafe { core.SCB.vtor.write(START as u32) };
        }
        // SAFETY: the image was checked: it begins with its stack pointer and its reset handler.
        unsafe { cortex_m::asm::bootload(core::ptr::with_exposed_provenance(START)) }
    }
}
