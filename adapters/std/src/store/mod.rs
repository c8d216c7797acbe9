//! The files beneath a directory, or one file, as a [`Store`](coracle_core::Store).

mod digest_cache;
mod directory;
mod file;
mod listing;
mod single;
mod swappable;
mod version;

pub use directory::DirectoryStore;
pub use file::File;
pub use listing::Listing;
pub use single::{SingleFileStore, SingleListing};
pub use swappable::{SwappableFile, SwappableListing, SwappableStore};
