//! `--newer`: a time, after which a file must have been modified to be fetched.

use std::fs;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewerArg(u64);

impl NewerArg {
    /// Whether a file of this time is meant: one that was modified later, and one of which that is unknown.
    pub fn includes(self, modified: Option<u64>) -> bool {
        modified.is_none_or(|modified| modified > self.0)
    }
}

impl FromStr for NewerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok().map(|time| Self(time.as_secs()));
        let before = || "before 1970".to_owned();
        if let Ok(time) = humantime::parse_rfc3339_weak(text).or_else(|_| {
            let midnight = format!("{text} 00:00:00");
            humantime::parse_rfc3339_weak(&midnight)
        }) {
            return since(time).ok_or_else(before);
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            return SystemTime::now().checked_sub(ago).and_then(since).ok_or_else(before);
        }
        match fs::metadata(text).and_then(|metadata| metadata.modified()) {
            Ok(time) => since(time).ok_or_else(before),
            Err(error) => Err(format!(
                "neither a time, as 2026-11-22, '2026-11-22 05:02:54' (UTC), or 2h, which is two hours ago, nor a file \
                 here: {error}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::NewerArg;

    #[test]
    fn times_durations_and_files() {
        for (text, secs) in [
            ("2026-11-22", 1_795_305_600),
            ("2026-11-22 05:02:54", 1_795_323_774),
            ("2026-11-22T05:02:54Z", 1_795_323_774),
            ("1970-01-01", 0),
        ] {
            assert_eq!(text.parse(), Ok(NewerArg(secs)), "{text}");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_secs();
        let NewerArg(hours) = "2h".parse().expect("a duration");
        assert!((now - 7_200..=now - 7_190).contains(&hours), "{hours} of {now}");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("f");
        File::create(&path).and_then(|file| file.set_modified(UNIX_EPOCH + Duration::from_secs(77))).expect("a file");
        assert_eq!(path.to_str().expect("text").parse(), Ok(NewerArg(77)));
        for wrong in ["", "2026-13-01", "yesterday", "no/such/file"] {
            let why = wrong.parse::<NewerArg>().expect_err(wrong);
            assert!(why.contains("2026-11-22"), "{wrong}: {why}");
        }
    }

    #[test]
    fn later_and_unknown_times_are_included() {
        let newer = NewerArg(100);
        assert!(newer.includes(Some(101)) && newer.includes(None));
        assert!(!newer.includes(Some(100)) && !newer.includes(Some(0)));
    }
}
