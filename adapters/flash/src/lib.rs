//! Firmware images and small files in NOR flash that survive power cuts, over the traits of `embedded_storage`.
//!
//! [`ImageSlots`] keeps two firmware images: the one that runs and the one that is to run next, or ran before. The boot loader
//! and the firmware use the same type. At every moment, with a write or an erasure cut off anywhere, one whole image can be
//! started, and an update that was interrupted can be finished.
//!
//! ```text
//!           begin, write        commit          choose (counts a try)        confirm
//!   empty ───────────────▶ receiving ───▶ trial ────────────────────▶ trial ────────▶ confirmed
//!                                           │       tries are used up   │                  │
//!                                           └──────────▶ out of tries ◀─┘                  │
//!                                           └──────────▶ reverted ◀────────────────────────┘
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod access;
mod error;
mod format;
mod image;
mod layout;
mod record;
mod slots;
mod transfer;
mod upload;

pub use error::SlotError;
pub use image::{Choice, Image, ImageState, PassedOver, Slot, StartReason};
pub use layout::{LayoutError, SlotLayout};
pub use slots::{ImageReader, ImageSlots};
pub use upload::{Begun, UploadTarget};
