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
//!
//! [`SmallFiles`] keeps a configuration and the like, each file replaced whole or not at all.
//!
//! [`RecordPair`] keeps one value that is never absent, with a number that never repeats: a counter of boots, a key.
//!
//! `FlashStore` (feature `write`) makes of both a store that Coracle's clients can put files to.
//!
//! What a power cut has left is allowed to be anything: a write that has programmed some of its bits, an erasure that has set some
//! of them, units that read differently each time or not at all.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod access;
mod error;
mod format;
mod image;
mod layout;
mod log;
mod record;
mod record_pair;
#[cfg(feature = "write")]
mod rules;
mod shared;
mod slots;
mod small_files;
mod small_upload;
#[cfg(feature = "write")]
mod store;
#[cfg(feature = "write")]
mod store_write;
mod transfer;
mod unit_writer;
mod upload;

pub use error::SlotError;
pub use image::{Choice, Image, ImageState, PassedOver, Slot, StartReason};
pub use layout::{LayoutError, SlotLayout};
pub use log::SMALL_NAME_LEN;
pub use record_pair::{PairError, RecordPair};
#[cfg(feature = "write")]
pub use rules::{ImageCheck, StoreRules};
pub use shared::SharedFlash;
pub use slots::{ImageReader, ImageSlots};
pub use small_files::{FileError, SmallFile, SmallFiles};
#[cfg(feature = "write")]
pub use store::{FlashFile, FlashListing, FlashStore};
#[cfg(feature = "write")]
pub use store_write::FlashUpload;
pub use upload::{Begun, UploadTarget};
