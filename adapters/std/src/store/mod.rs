//! The files beneath a directory, as a [`Store`](coracle_core::Store).

mod digest_cache;
mod directory;
mod file;
mod listing;
mod swappable;
mod version;

pub use directory::DirectoryStore;
pub use file::File;
pub use listing::Listing;
pub use swappable::{SwappableFile, SwappableListing, SwappableStore};
