#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod bytes;
mod code_page;
mod directory;
mod layout;
mod name;
mod slot;
mod store;
mod time;
mod version;
mod volume;

pub use layout::{FatKind, MountError};
pub use store::{FatFile, FatListing, FatStore};
pub use volume::FatVolume;
