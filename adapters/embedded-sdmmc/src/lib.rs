#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod bytes;
#[cfg(feature = "write")]
mod clusters;
mod code_page;
mod directory;
#[cfg(feature = "write")]
mod entries;
#[cfg(feature = "write")]
mod journal;
mod layout;
mod name;
#[cfg(feature = "write")]
mod new_name;
#[cfg(feature = "write")]
mod own_files;
mod slot;
mod store;
#[cfg(feature = "write")]
mod store_write;
mod time;
#[cfg(feature = "write")]
mod upload;
mod version;
mod volume;
#[cfg(feature = "write")]
mod writing;

pub use layout::{FatKind, MountError};
pub use store::{FatFile, FatListing, FatStore};
#[cfg(feature = "write")]
pub use store_write::FatUpload;
pub use volume::FatVolume;
