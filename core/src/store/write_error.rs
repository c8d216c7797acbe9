//! The errors of a store that can be written to.

use super::StoreError;
use crate::wire::code::Code;

/// Why a store does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
// With a tag of its own: to find it among the unused values of a field takes more code.
#[repr(u8)]
pub enum WriteError {
    /// As when reading. [`StoreError::NotFound`] is also a parent directory that is missing.
    Store(StoreError),
    /// The name is taken, and nothing may be replaced.
    Exists,
    /// The file is larger than this store accepts, whatever is free.
    TooLarge {
        /// The largest size that is accepted, in bytes.
        max: u64,
    },
    /// There is no room.
    NoSpace {
        /// How many bytes are free, if known. What the upload itself holds counts as free for it.
        free: Option<u64>,
    },
    /// Another connection is sending an upload to this name.
    InUse,
    /// The contents are not what they should be: by their digest, or by a rule of the store's own. The upload is discarded.
    Corrupt,
    /// The directory has entries.
    NotEmpty,
    /// What has the name is not in the expected version, or nothing has it.
    Changed,
    /// This store cannot do it, or not atomically.
    Unsupported,
}

impl WriteError {
    /// The error code for the client.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Exists => Code::Exists,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::NoSpace { .. } => Code::NoSpace,
            Self::InUse => Code::InUse,
            Self::Corrupt => Code::Corrupt,
            Self::NotEmpty => Code::NotEmpty,
            Self::Changed => Code::Changed,
            Self::Unsupported => Code::Unsupported,
        }
    }

    /// The number that the client is told with the code: the largest size, or the free bytes.
    #[must_use]
    pub const fn limit(self) -> Option<u64> {
        match self {
            Self::TooLarge { max } => Some(max),
            Self::NoSpace { free } => free,
            _ => None,
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl core::fmt::Display for WriteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Store(error) => return error.fmt(f),
            Self::Exists => "the name is taken",
            Self::Changed => "not in the expected version",
            Self::TooLarge { .. } => "larger than files may be here",
            Self::NoSpace { .. } => "no space is left",
            Self::InUse => "another connection is sending it",
            Self::Corrupt => "the contents are not what they should be",
            Self::NotEmpty => "the directory is not empty",
            Self::Unsupported => "not supported by this store",
        })
    }
}

impl core::error::Error for WriteError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::{StoreError, WriteError};

    #[test]
    fn each_error_has_its_code_and_text() {
        for (error, code, limit, text) in [
            (WriteError::from(StoreError::NotFile), "notFile", None, "not a regular file"),
            (WriteError::Exists, "exists", None, "the name is taken"),
            (WriteError::Changed, "changed", None, "not in the expected version"),
            (WriteError::TooLarge { max: 7 }, "tooLarge", Some(7), "larger than files may be here"),
            (WriteError::NoSpace { free: Some(0) }, "noSpace", Some(0), "no space is left"),
            (WriteError::NoSpace { free: None }, "noSpace", None, "no space is left"),
            (WriteError::InUse, "inUse", None, "another connection is sending it"),
            (WriteError::Corrupt, "corrupt", None, "the contents are not what they should be"),
            (WriteError::NotEmpty, "notEmpty", None, "the directory is not empty"),
            (WriteError::Unsupported, "unsupported", None, "not supported by this store"),
        ] {
            assert_eq!((error.code().as_str(), error.limit(), error.to_string().as_str()), (code, limit, text));
        }
    }
}
