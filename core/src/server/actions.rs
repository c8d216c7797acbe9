//! The owner's actions that a client may ask for.

use core::fmt;

/// Words of actions, as in `"confirm restart"`: at most 8, each 1 to 32 characters of `a-z0-9-`, with one space between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionWords<'a>(&'a str);

/// Text that is not [`ActionWords`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionWordsError;

impl<'a> ActionWords<'a> {
    /// The largest number of words.
    pub const MAX: usize = 8;
    /// The longest word, in characters.
    pub const MAX_LEN: usize = 32;
    /// No action.
    pub const NONE: Self = Self("");

    /// Checks `words`.
    ///
    /// # Errors
    ///
    /// [`ActionWordsError`] if they break a rule.
    pub const fn new(words: &'a str) -> Result<Self, ActionWordsError> {
        let mut rest = words.as_bytes();
        let (mut count, mut len) = (0_usize, 0_usize);
        while let [byte, tail @ ..] = rest {
            match *byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' => {
                    if len == 0 {
                        count = count.saturating_add(1);
                    }
                    len = len.saturating_add(1);
                }
                b' ' if len > 0 && !tail.is_empty() => len = 0,
                _ => return Err(ActionWordsError),
            }
            if len > Self::MAX_LEN || count > Self::MAX {
                return Err(ActionWordsError);
            }
            rest = tail;
        }
        Ok(Self(words))
    }

    /// The words, with spaces between them.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The words, one by one.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let words = self.0.as_bytes().split(|byte| *byte == b' ');
        words.map(|word| core::str::from_utf8(word).unwrap_or_default()).filter(|word| !word.is_empty())
    }

    /// Whether `word` is one of them.
    #[must_use]
    pub fn has(self, word: &str) -> bool {
        self.iter().any(|known| known == word)
    }
}

impl fmt::Display for ActionWordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("actions are at most 8 words of 1 to 32 characters of a-z, 0-9 and '-', with one space between two")
    }
}

impl core::error::Error for ActionWordsError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::{ActionWords, ActionWordsError};

    #[test]
    fn words_are_checked() {
        let eight = "a b c d e f g h";
        for words in ["", "restart", "confirm restart", "a-1", &"x".repeat(32), eight] {
            let checked = ActionWords::new(words).expect(words);
            let expected: Vec<&str> = words.split_whitespace().collect();
            assert_eq!((checked.as_str(), checked.iter().collect::<Vec<_>>()), (words, expected));
        }
        let too_many = "a b c d e f g h i";
        for words in [" ", " a", "a ", "a  b", "A", "a_b", "ä", "a\nb", &"x".repeat(33), too_many] {
            assert_eq!(ActionWords::new(words), Err(ActionWordsError), "{words:?}");
        }
        assert!(ActionWordsError.to_string().starts_with("actions are at most 8 words"));
    }

    #[test]
    fn only_a_whole_word_is_one_of_them() {
        let words = ActionWords::new("confirm restart").expect("good");
        assert!(words.has("confirm") && words.has("restart"));
        for other in ["", " ", "conf", "confirm restart", "firm"] {
            assert!(!words.has(other), "{other:?}");
        }
    }
}
