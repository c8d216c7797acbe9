//! How much a mirror may delete.

use std::fmt;
use std::str::FromStr;

/// `--max-delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteLimit {
    /// So many entries.
    Count(usize),
    /// So many of a hundred.
    Percent(u8),
    /// [`DeleteLimit::USUAL_PERCENT`], and [`DeleteLimit::USUAL_COUNT`] entries in any case.
    Usual,
}

impl DeleteLimit {
    const USUAL_PERCENT: u8 = 50;
    const USUAL_COUNT: usize = 10;

    /// Whether `deleted` of `total` entries may be deleted.
    pub fn allows(self, deleted: usize, total: usize) -> bool {
        let is_within = |percent: u8| (deleted as u128) * 100 <= (total as u128) * u128::from(percent);
        match self {
            Self::Count(count) => deleted <= count,
            Self::Percent(percent) => is_within(percent),
            Self::Usual => deleted <= Self::USUAL_COUNT || is_within(Self::USUAL_PERCENT),
        }
    }
}

impl FromStr for DeleteLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a number of entries, as 100, or a percentage, as 10%".to_owned();
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim_end().parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.trim().parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for DeleteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Usual => write!(f, "{}%", Self::USUAL_PERCENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeleteLimit;

    #[test]
    fn counts_and_percentages() {
        for (text, deleted, total, is_allowed) in [
            ("0", 0, 5, true),
            ("0", 1, 5, false),
            ("3", 3, 3, true),
            ("3", 4, 1000, false),
            ("10%", 1, 10, true),
            ("10%", 2, 10, false),
            ("10%", 1, 9, false),
            ("100%", 9, 9, true),
            ("0%", 0, 0, true),
        ] {
            let limit: DeleteLimit = text.parse().expect(text);
            assert_eq!(limit.allows(deleted, total), is_allowed, "{text}: {deleted} of {total}");
            assert_eq!(limit.to_string(), text);
        }
        for (deleted, total, is_allowed) in [(10, 10, true), (11, 21, false), (11, 22, true), (0, 0, true)] {
            assert_eq!(DeleteLimit::Usual.allows(deleted, total), is_allowed, "{deleted} of {total}");
        }
        for wrong in ["", "-1", "101%", "ten", "%", "1.5%"] {
            assert!(wrong.parse::<DeleteLimit>().is_err(), "{wrong}");
        }
    }
}
