//! The files beneath a directory, or one file, as a [`Store`](coracle_core::Store).

mod append_only;
mod digest_cache;
mod directory;
mod file;
mod listing;
mod single;
mod skipped;
mod swappable;
mod version;
mod writable;

pub use directory::DirectoryStore;
pub use file::File;
pub use listing::Listing;
pub use single::{SingleFileStore, SingleListing};
pub use skipped::{SkipReason, SkippedEntry};
pub use swappable::{SwappableFile, SwappableListing, SwappableStore};
pub use writable::{Swept, Upload, WritableDirectoryStore, WriteOptions};
