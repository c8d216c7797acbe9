//! Values that exist only when they are valid: names, versions, digests, times.

pub(crate) mod digest;
pub(crate) mod file_name;
pub(crate) mod time;
pub(crate) mod version;
