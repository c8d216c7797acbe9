//! The checked name of a file.

use core::fmt;

use crate::wire::message::Message;

/// The path of a file or directory, relative to what the server serves.
///
/// Components joined by `/`, 1 to 255 bytes of UTF-8 in all. No component is empty, `.` or `..`; there is no control
/// character (U+0000 to U+001F, U+007F to U+009F), no backslash and no leading `/`. A value of this type has passed
/// those checks.
///
/// ```
/// use coracle_core::FileName;
///
/// const BOOT_LOG: FileName<'static> = FileName::from_static("logs/boot.log");
/// assert_eq!(BOOT_LOG.last(), "boot.log");
/// assert!(FileName::new("../etc/passwd").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName<'a>(&'a str);

/// Why some text is not a [`FileName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than [`FileName::MAX_LEN`] bytes.
    TooLong,
    /// A component is empty (before a leading, between doubled or after a trailing `/`), `.` or `..`.
    Component,
    /// It contains a control character or a backslash.
    Character,
}

impl<'a> FileName<'a> {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_LEN: usize = 255;

    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// The first rule that `name` breaks.
    pub const fn new(name: &'a str) -> Result<Self, NameError> {
        match check(name.as_bytes()) {
            None => Ok(Self(name)),
            Some(error) => Err(error),
        }
    }

    /// A name that has been checked before.
    pub(crate) const fn known(name: &'a str) -> Self {
        debug_assert!(check(name.as_bytes()).is_none(), "the name was checked before");
        Self(name)
    }

    /// A name that is known at compile time.
    ///
    /// # Panics
    ///
    /// If `name` breaks a rule; in a `const` that is a compile error.
    #[must_use]
    pub const fn from_static(name: &'a str) -> Self {
        match Self::new(name) {
            Ok(name) => name,
            Err(_) => panic!("not a file name: see FileName for the rules"),
        }
    }

    /// The whole path.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The components, in order; at least one.
    pub fn components(self) -> impl DoubleEndedIterator<Item = &'a str> {
        // By bytes, since a search for a `char` has panics that no linker can remove.
        let parts = self.0.as_bytes().split(|byte| *byte == b'/');
        parts.map(|part| core::str::from_utf8(part).unwrap_or_default())
    }

    /// The last component.
    #[must_use]
    pub fn last(self) -> &'a str {
        self.components().next_back().unwrap_or(self.0)
    }

    /// Whether a component begins with a dot.
    #[must_use]
    pub fn is_hidden(self) -> bool {
        self.0.as_bytes().split(|byte| *byte == b'/').any(|component| component.first() == Some(&b'.'))
    }
}

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for FileName<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.0);
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for NameError {}

impl NameError {
    /// The rule that was broken, as a fragment of a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.message().as_str()
    }

    /// The message of the protocol's error.
    pub(crate) const fn message(self) -> Message {
        match self {
            Self::Empty => Message::NameEmpty,
            Self::TooLong => Message::NameTooLong,
            Self::Component => Message::NameComponent,
            Self::Character => Message::NameCharacter,
        }
    }
}

/// The first rule that `bytes`, which are UTF-8, break.
const fn check(bytes: &[u8]) -> Option<NameError> {
    if bytes.is_empty() {
        return Some(NameError::Empty);
    }
    if bytes.len() > FileName::MAX_LEN {
        return Some(NameError::TooLong);
    }
    let mut rest = bytes;
    let mut component_len = 0_usize;
    let mut only_dots = true;
    let mut after_c2 = false;
    while let [byte, tail @ ..] = rest {
        match *byte {
            0..=0x1F | 0x7F | b'\\' => return Some(NameError::Character),
            // U+0080 to U+009F are the two bytes C2 80 to C2 9F.
            0x80..=0x9F if after_c2 => return Some(NameError::Character),
            b'/' => {
                if is_bad_component(component_len, only_dots) {
                    return Some(NameError::Component);
                }
                component_len = 0;
                only_dots = true;
            }
            other => {
                component_len = component_len.saturating_add(1);
                only_dots = only_dots && other == b'.';
            }
        }
        after_c2 = *byte == 0xC2;
        rest = tail;
    }
    if is_bad_component(component_len, only_dots) {
        return Some(NameError::Component);
    }
    None
}

const fn is_bad_component(len: usize, only_dots: bool) -> bool {
    len == 0 || (only_dots && len <= 2)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String as StdString, ToString};

    use super::{FileName, NameError};

    #[test]
    fn good_names() {
        for name in
            ["a", "a/b", "...", ".hidden", "..a", "a..", "~", "-rf", "*", "%2e%2e%2f", "caf\u{e9}", "収.txt", "\u{a0}"]
        {
            assert_eq!(FileName::new(name).map(FileName::as_str), Ok(name));
        }
        let longest = "x".repeat(255);
        assert!(FileName::new(&longest).is_ok());
    }

    #[test]
    fn bad_names() {
        for (name, error) in [
            ("", NameError::Empty),
            (".", NameError::Component),
            ("..", NameError::Component),
            ("../x", NameError::Component),
            ("a/../../x", NameError::Component),
            ("a/..", NameError::Component),
            ("./a", NameError::Component),
            ("a/./b", NameError::Component),
            ("/etc/passwd", NameError::Component),
            ("//x", NameError::Component),
            ("a//b", NameError::Component),
            ("a/", NameError::Component),
            ("..\\x", NameError::Character),
            ("a\0b", NameError::Character),
            ("a\nb", NameError::Character),
            ("a\u{7f}", NameError::Character),
            ("a\u{80}", NameError::Character),
            ("a\u{9f}", NameError::Character),
        ] {
            assert_eq!(FileName::new(name), Err(error), "{name:?}");
        }
        assert_eq!(FileName::new(&"x".repeat(256)), Err(NameError::TooLong));
    }

    /// The rule once more, written over characters instead of bytes.
    #[test]
    fn agrees_with_the_rule_for_every_character() {
        for code in (0..=0x0010_FFFF_u32).filter_map(char::from_u32) {
            let name: StdString = [code].iter().collect();
            let good = !code.is_control() && !matches!(code, '\\' | '/' | '.');
            assert_eq!(FileName::new(&name).is_ok(), good, "U+{:04X}", u32::from(code));
        }
    }

    #[test]
    fn parts() {
        let name = FileName::from_static("a/.b/c");
        assert_eq!(name.components().count(), 3);
        assert_eq!(name.last(), "c");
        assert!(name.is_hidden());
        assert!(!FileName::from_static("a.b/c.").is_hidden());
    }

    #[test]
    fn each_rule_is_told() {
        for (name, rule) in [
            ("", "a name is not empty"),
            (&"x".repeat(256), "a name has at most 255 bytes"),
            ("a/../b", "a name has no component '', '.' or '..'"),
            ("a\\b", "a name has no control character, no backslash"),
        ] {
            let error = FileName::new(name).expect_err("bad");
            assert_eq!((error.as_str(), error.to_string().as_str()), (rule, rule));
        }
        assert_eq!(FileName::from_static("a/b").to_string(), "a/b");
    }

    #[test]
    fn a_bad_name_in_the_program_s_own_text_panics() {
        let panic = std::panic::catch_unwind(|| FileName::from_static("..")).expect_err("a panic");
        let text = panic.downcast_ref::<&str>().copied();
        assert!(text.is_some_and(|text| text.starts_with("not a file name")));
    }
}
