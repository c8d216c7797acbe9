//! The order of a listing.

use std::cmp::Reverse;

use coracle_core::EntryKind;

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SortArg {
    /// By the bytes of the name
    Name,
    /// The largest file first, directories last
    Size,
    /// What was modified last comes first; what has no known time, as directories, last
    Time,
}

/// An entry that is kept until all of its directory are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub kind: EntryKind,
}

impl Row {
    /// The memory that it occupies, in bytes.
    pub fn len(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }
}

/// Sorts the entries of one directory. What is equal otherwise is in the order of the names.
pub fn sort(rows: &mut [Row], by: SortArg, is_reversed: bool) {
    rows.sort_unstable_by(|one, other| {
        let key = |row: &Row| match (by, row.kind) {
            (SortArg::Size, EntryKind::File { size, .. }) => Some(size),
            (SortArg::Time, EntryKind::File { modified, .. }) => modified,
            _ => None,
        };
        // `None` is less than every number, and last when reversed.
        Reverse(key(one)).cmp(&Reverse(key(other))).then_with(|| one.name.cmp(&other.name))
    });
    if is_reversed {
        rows.reverse();
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::EntryKind;

    use super::{Row, SortArg, sort};

    #[test]
    fn sorted_by_each_key() {
        let file = |name: &str, size, modified| Row { name: name.to_owned(), kind: EntryKind::File { size, modified } };
        let directory = |name: &str| Row { name: name.to_owned(), kind: EntryKind::Directory { link: false } };
        let rows = [
            file("b", 1, Some(30)),
            directory("d"),
            file("a", 1, None),
            file("B", 500, Some(7)),
            directory("c"),
            file("é", 0, Some(30)),
        ];
        for (by, order) in [
            (SortArg::Name, ["B", "a", "b", "c", "d", "é"]),
            (SortArg::Size, ["B", "a", "b", "é", "c", "d"]),
            (SortArg::Time, ["b", "é", "B", "a", "c", "d"]),
        ] {
            let mut sorted = rows.to_vec();
            sort(&mut sorted, by, false);
            assert_eq!(sorted.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), order, "{by:?}");
            sort(&mut sorted, by, true);
            assert!(sorted.iter().rev().map(|row| row.name.as_str()).eq(order), "{by:?} reversed");
        }
    }
}
