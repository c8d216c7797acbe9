//! Durations, sizes and times as text.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// A duration: `500ms`, `10s`, `2m`, `1h 30m`; `None` for `0`, which is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationArg(pub Option<Duration>);

impl std::str::FromStr for DurationArg {
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

impl fmt::Display for DurationArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => humantime::format_duration(limit).fmt(f),
            None => f.write_str("0"),
        }
    }
}

/// Parses a number of bytes: `65536`, `64KiB` (65,536), `64k` or `64kB` (64,000), `1.5MB`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    match text.trim().parse::<ByteSize>() {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err("a number of bytes, or a number and a unit, as 64KiB (65536) or 64k (64000)".to_owned()),
    }
}

/// Parses a number of bytes from 1 to 4 GiB.
pub fn parse_chunk_size(text: &str) -> Result<NonZeroU32, String> {
    let size = u32::try_from(parse_size(text)?).map_err(|_| "at most 4 GiB".to_owned())?;
    NonZeroU32::new(size).ok_or_else(|| "at least 1 byte".to_owned())
}

/// Parses bytes per second; 0 is no minimum.
pub fn parse_rate(text: &str) -> Result<u32, String> {
    u32::try_from(parse_size(text)?).map_err(|_| "at most 4 GiB a second".to_owned())
}

/// Parses a limit in bytes per second, of at least 1.
pub fn parse_limit(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(parse_size(text)?).ok_or_else(|| "at least 1 byte a second".to_owned())
}

/// Formats seconds since 1970 in 20 characters: `2025-11-22T04:00:00Z`.
pub fn format_time(modified: Option<u64>) -> String {
    /// The last second of the year 9999, which RFC 3339 cannot go beyond.
    const LAST: u64 = 253_402_300_799;
    match modified.filter(|secs| *secs <= LAST) {
        Some(secs) => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        None => format!("{:20}", "-"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{DurationArg, format_time, parse_chunk_size, parse_rate, parse_size};

    #[test]
    fn durations_have_units_and_zero_is_never() {
        let millis = |text: &str| text.parse::<DurationArg>().map(|limit| limit.0.map_or(0, |limit| limit.as_millis()));
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
            assert_eq!(text.parse::<DurationArg>().expect("a duration").to_string(), text);
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        assert_eq!(parse_size("65536"), Ok(65_536));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("64k"), Ok(64_000));
        assert_eq!(parse_size("1.5MB"), Ok(1_500_000));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        for wrong in ["", "-1", "KiB", "1 parsec"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert!(parse_chunk_size("0").is_err() && parse_chunk_size("5GiB").is_err() && parse_rate("5GiB").is_err());
        assert_eq!(parse_chunk_size("1").map(NonZeroU32::get), Ok(1));
        assert_eq!(parse_rate("0"), Ok(0));
    }

    #[test]
    fn r12_times_have_one_width() {
        assert_eq!(format_time(Some(1_763_769_600)), "2025-11-22T00:00:00Z");
        assert_eq!(format_time(Some(253_402_300_799)), "9999-12-31T23:59:59Z");
        for modified in [None, Some(0), Some(4_294_967_296), Some(253_402_300_800), Some(u64::MAX)] {
            assert_eq!(format_time(modified).len(), 20, "{modified:?}");
        }
    }
}
