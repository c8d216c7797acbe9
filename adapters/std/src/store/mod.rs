//! The files beneath a directory, one file, or (feature `s3`) the objects of a bucket, as a [`Store`](coracle_core::Store).

mod append_only;
mod atomic_file;
mod contents;
mod digest_cache;
mod digest_line;
mod directory;
mod file;
mod listing;
mod manifest;
#[cfg(feature = "s3")]
mod s3;
mod single;
mod skipped;
mod swappable;
mod version;
mod versions;
mod writable;

pub use contents::DigestFile;
pub use directory::DirectoryStore;
pub use file::File;
pub use listing::Listing;
pub use manifest::{Manifest, ManifestError, ManifestEvent, ManifestFile};
#[cfg(feature = "s3")]
pub use s3::{S3Error, S3File, S3Listing, S3Location, S3Settings, S3Store, S3Style, S3Trouble};
pub use single::{SingleFileStore, SingleListing};
pub use skipped::{SkipReason, SkippedEntry};
pub use swappable::{SwappableFile, SwappableListing, SwappableStore};
pub use version::VersionBy;
pub use writable::{Swept, Upload, WritableDirectoryStore, WriteOptions};
