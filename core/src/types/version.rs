//! The checked version of a file's contents.

use core::fmt;

use heapless::String;

/// Identifies the contents of a file, opaque to the client: 1 to 64 characters from 0x21 to 0x7E.
///
/// While it is the same, no existing byte has changed; the file may have grown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String<{ Version::MAX_LEN }, u8>);

/// Text that is not a [`Version`]: empty, longer than 64 characters, or with one outside 0x21 to 0x7E.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VersionError;

impl Version {
    /// The longest version, in characters.
    pub const MAX_LEN: usize = 64;

    /// Checks and copies `text`.
    ///
    /// # Errors
    ///
    /// [`VersionError`] when `text` is empty, too long or contains a character outside 0x21 to 0x7E.
    pub fn new(text: &str) -> Result<Self, VersionError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(VersionError);
        }
        String::try_from(text).map(Self).map_err(|_| VersionError)
    }

    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Version {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version has 1 to 64 characters from 0x21 to 0x7E")
    }
}

impl core::error::Error for VersionError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String as StdString, ToString};

    use super::{Version, VersionError};

    #[test]
    fn a_version_is_short_and_printable() {
        assert_eq!(Version::new("v\"1\\").map(|version| StdString::from(version.as_str())), Ok("v\"1\\".into()));
        assert!(Version::new(&"~".repeat(64)).is_ok());
        for text in ["", " ", "a b", "\u{7f}", "é", &"~".repeat(65)] {
            assert_eq!(Version::new(text), Err(VersionError), "{text:?}");
        }
    }

    #[test]
    fn says_the_rule() {
        assert_eq!(VersionError.to_string(), "a version has 1 to 64 characters from 0x21 to 0x7E");
        assert_eq!(Version::new("v1").expect("good").to_string(), "v1");
    }
}
