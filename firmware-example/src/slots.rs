//! The image that runs from a slot of the flash chip: why the boot loader has started it, and whether it stays.

use core::cell::{Cell, RefCell};

use coracle_core::StoreError;
use coracle_firmware_chip::Handover;
use coracle_flash::{ImageSlots, ImageState, Slot};

use crate::board;
use crate::boot_log::Line;
use crate::status::Shared;
use crate::updates::Flash;

/// How long an image on trial may run without being confirmed. Then it restarts, and is out of tries some time.
const CONFIRM_WITHIN_MS: u64 = 60_000;

/// The image that runs.
pub struct RunningImage {
    handover: Handover,
    is_confirmed: Cell<bool>,
}

impl RunningImage {
    /// Reads what the boot loader has left.
    pub fn read() -> Self {
        let Some(handover) = Handover::decode(board::handover()) else {
            defmt::panic!("started without the boot loader");
        };
        defmt::info!("slot {=str}: {=str}", slot_name(handover.slot), handover.reason);
        if !handover.passed_over.is_empty() {
            defmt::warn!("a newer image is not started: {=str}", handover.passed_over);
        }
        Self { is_confirmed: Cell::new(handover.left.is_none()), handover }
    }

    /// Where it was started from.
    pub const fn slot(&self) -> Slot {
        self.handover.slot
    }

    /// Says in `boot.log` which slot runs, and why.
    #[inline(never)]
    pub fn note_start(&self, shared: &RefCell<Shared>, now_ms: u64) {
        let shared = &mut *shared.borrow_mut();
        let mut line = Line::at(now_ms);
        line.text("slot ").text(slot_name(self.handover.slot)).text(": ").text(self.handover.reason);
        if let Some(left) = self.handover.left {
            line.text(", starts left: ").number(left.into());
        }
        shared.log.append(&line);
        if !self.handover.passed_over.is_empty() {
            let mut line = Line::at(now_ms);
            shared.log.append(line.text("a newer image is not started: ").text(self.handover.passed_over));
        }
    }

    /// Whether its time to be confirmed is over.
    pub fn is_overdue(&self, now_ms: u64) -> bool {
        !self.is_confirmed.get() && now_ms > CONFIRM_WITHIN_MS
    }

    /// Keeps it from now on.
    pub fn confirm(&self, slots: &mut ImageSlots<Flash>) -> Result<(), StoreError> {
        slots.confirm(self.handover.slot).map_err(|_| StoreError::Io)?;
        self.is_confirmed.set(true);
        defmt::info!("confirmed");
        Ok(())
    }

    /// Checks that there is an image to return to.
    pub fn check_revert(&self, slots: &mut ImageSlots<Flash>) -> Result<(), StoreError> {
        let other = slots.image(self.handover.slot.other());
        if other.is_none_or(|image| image.state != ImageState::Confirmed) {
            defmt::warn!("there is no image to return to");
            return Err(StoreError::Io);
        }
        Ok(())
    }
}

fn slot_name(slot: Slot) -> &'static str {
    if slot == Slot::A { "A" } else { "B" }
}
