//! Values that exist only when they are valid: names, versions, digests, moments.

pub(crate) mod digest;
pub(crate) mod name;
pub(crate) mod time;
