//! Table of texts in one string: on a board an array of slices would take 8 more bytes for each text.

/// Texts, a line each, counted from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextTable(&'static str);

impl TextTable {
    /// A table of the lines of `texts`.
    pub(crate) const fn new(texts: &'static str) -> Self {
        Self(texts)
    }

    /// The text number `index`; empty if there is none.
    #[inline(never)]
    pub(crate) const fn get(self, index: u8) -> &'static str {
        let mut rest = self.0.as_bytes();
        let mut ahead = index;
        while let ([byte, tail @ ..], 1..) = (rest, ahead) {
            if *byte == b'\n' {
                ahead = ahead.wrapping_sub(1);
            }
            rest = tail;
        }
        let mut len = 0;
        while len < rest.len() && rest[len] != b'\n' {
            len = len.wrapping_add(1);
        }
        let Some((text, _)) = rest.split_at_checked(len) else { return "" };
        let Ok(text) = core::str::from_utf8(text) else { return "" };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::TextTable;

    #[test]
    fn texts_are_found_by_number() {
        let texts = "a\n\nbc\nd";
        for (index, text) in (0..).zip(texts.lines()) {
            assert_eq!(TextTable::new(texts).get(index), text);
        }
        assert_eq!((TextTable::new(texts).get(4), TextTable::new(texts).get(u8::MAX)), ("", ""));
    }
}
