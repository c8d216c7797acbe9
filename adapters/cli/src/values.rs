//! Durations and sizes as people type them.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;

/// A duration: `500ms`, `10s`, `2m`, `1h 30m`; `0` is never, and therefore `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text.trim()) {
            Ok(limit) if limit.is_zero() => Ok(Self(None)),
            Ok(limit) if limit < Duration::from_millis(1) => Err("at least 1ms, or 0 for never".to_owned()),
            Ok(limit) => Ok(Self(Some(limit))),
            Err(error) => Err(format!("{error}; a number and a unit, as 500ms, 10s or 2m, or 0 for never")),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => humantime::format_duration(limit).fmt(f),
            None => f.write_str("0"),
        }
    }
}

/// A number of bytes: `65536`, `64KiB` (65,536), `64k` or `64kB` (64,000), `1.5MB`.
pub fn size(text: &str) -> Result<u64, String> {
    match text.trim().parse::<ByteSize>() {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err("a number of bytes, or a number and a unit, as 64KiB (65536) or 64k (64000)".to_owned()),
    }
}

/// A number of bytes that is at least 1 and fits 32 bits.
pub fn size_at_least_1(text: &str) -> Result<NonZeroU32, String> {
    let size = u32::try_from(size(text)?).map_err(|_| "at most 4 GiB".to_owned())?;
    NonZeroU32::new(size).ok_or_else(|| "at least 1 byte".to_owned())
}

/// Bytes per second, 0 for any.
pub fn rate(text: &str) -> Result<u32, String> {
    u32::try_from(size(text)?).map_err(|_| "at most 4 GiB a second".to_owned())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{Limit, rate, size, size_at_least_1};

    #[test]
    fn durations_have_units_and_zero_is_never() {
        let millis = |text: &str| text.parse::<Limit>().map(|limit| limit.0.map_or(0, |limit| limit.as_millis()));
        assert_eq!(millis("10s"), Ok(10_000));
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("2m"), Ok(120_000));
        assert_eq!(millis("1h 30m"), Ok(5_400_000));
        assert_eq!(millis("0"), Ok(0));
        assert_eq!(millis("0s"), Ok(0));
        for wrong in ["", "10", "-1s", "1us", "ten", "10 parsecs"] {
            let message = millis(wrong).expect_err(wrong);
            assert!(message.contains("0 for never"), "{wrong}: {message}");
        }
        for text in ["10s", "500ms", "0"] {
            assert_eq!(text.parse::<Limit>().expect("a duration").to_string(), text);
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64k"), Ok(64_000));
        assert_eq!(size("1.5MB"), Ok(1_500_000));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        for wrong in ["", "-1", "KiB", "1 parsec"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(size_at_least_1("0").is_err() && size_at_least_1("5GiB").is_err() && rate("5GiB").is_err());
        assert_eq!(size_at_least_1("1").map(NonZeroU32::get), Ok(1));
        assert_eq!(rate("0"), Ok(0));
    }
}
