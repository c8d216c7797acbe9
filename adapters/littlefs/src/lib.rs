#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod chain;
mod medium;
mod metadata;
mod store;
mod tag;
mod volume;

pub use store::{LittleFile, LittleListing, LittleStore};
pub use volume::{LittleVolume, MountError};
