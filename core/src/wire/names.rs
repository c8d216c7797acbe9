//! Names of members in one row of bytes: on a board an array of slices would take 7 more for each.

/// The names of `N` members, each behind a byte with its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<const N: usize>(&'static [u8]);

/// [`Names`], from an array of them.
macro_rules! names {
    ($names:expr) => {{
        const NAMES: &[&str] = &$names;
        const ROW: &[u8] = &$crate::wire::names::row::<{ $crate::wire::names::row_len(NAMES) }>(NAMES);
        const PACKED: $crate::wire::names::Names<{ NAMES.len() }> = $crate::wire::names::Names::of_row(ROW);
        PACKED
    }};
}
pub(crate) use names;

impl<const N: usize> Names<N> {
    /// The names in a [`row`].
    pub(crate) const fn of_row(row: &'static [u8]) -> Self {
        Self(row)
    }

    /// The row, to be taken apart by [`split_first`].
    pub(crate) const fn row(self) -> &'static [u8] {
        self.0
    }

    /// The name number `index`; empty if there is none.
    pub(crate) fn get(self, index: usize) -> &'static [u8] {
        let mut rest = self.0;
        let mut ahead = index;
        while let Some((name, tail)) = split_first(rest) {
            if ahead == 0 {
                return name;
            }
            ahead = ahead.wrapping_sub(1);
            rest = tail;
        }
        &[]
    }
}

/// The first name of a row, and the row behind it.
pub(crate) fn split_first(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = row.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

/// The length of the row of `names`.
pub(crate) const fn row_len(names: &[&str]) -> usize {
    let mut len = names.len();
    let mut index = 0;
    while index < names.len() {
        len += names[index].len();
        index += 1;
    }
    len
}

/// The row of `names`, whose length is `LEN`. Is evaluated by the compiler alone.
pub(crate) const fn row<const LEN: usize>(names: &[&str]) -> [u8; LEN] {
    let mut row = [0; LEN];
    let (mut place, mut index) = (0, 0);
    while index < names.len() {
        let name = names[index].as_bytes();
        assert!(name.len() <= u8::MAX as usize, "a name is short");
        row[place] = name.len() as u8;
        place += 1;
        let mut at = 0;
        while at < name.len() {
            row[place] = name[at];
            place += 1;
            at += 1;
        }
        index += 1;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::{Names, row, row_len, split_first};

    #[test]
    fn names_are_found_by_number_and_one_after_the_other() {
        let names = names!(["a", "", "bcd"]);
        assert_eq!((names.get(0), names.get(1), names.get(2)), (&b"a"[..], &b""[..], &b"bcd"[..]));
        assert_eq!((names.get(3), names.get(usize::MAX)), (&b""[..], &b""[..]));
        assert_eq!(split_first(names.row()), Some((&b"a"[..], &b"\0\x03bcd"[..])));
        assert_eq!((split_first(b""), split_first(b"\x02a")), (None, None));
    }

    #[test]
    fn a_row_has_each_name_behind_its_length() {
        const ROW: &[u8] = b"\x01a\0\x03bcd";
        let names = ["a", "", "bcd"];
        assert_eq!((row_len(&names), &row::<7>(&names)[..]), (7, ROW));
        assert_eq!(Names::<3>::of_row(ROW).get(2), b"bcd");
    }
}
