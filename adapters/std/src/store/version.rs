//! Versions of files: what tells one state of a file from another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coracle_core::{DigestKind, Hasher, Version};

use crate::sys::FileStamp;

/// Age of the last change of a file from which on its times show that there was no other one since.
///
/// File systems round times, by up to 2 s (FAT): a change within that time of another one may leave no trace. git calls
/// such files racily clean (`Documentation/technical/racy-git.txt`).
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// Hexadecimal digits in a version: 128 bits, so that two states of one file never share one by accident.
const VERSION_LEN: usize = 32;

impl FileStamp {
    /// Version of the file in this state: the same in another process, after a restart of the server, and after the
    /// file system was mounted again, which may change its device number, and its inode number where that is not lasting.
    pub(super) fn version(&self, has_lasting_inode: bool) -> Version {
        let (modified, changed) = (self.modified, self.changed);
        let mut hasher = Hasher::new(DigestKind::Sha256).expect("this crate turns on the core's SHA-256");
        let inode = if has_lasting_inode { self.inode } else { 0 };
        for number in [inode, self.size] {
            hasher.update(&number.to_le_bytes());
        }
        for number in [modified.0, modified.1, changed.0, changed.1] {
            hasher.update(&number.to_le_bytes());
        }
        let hex = hasher.finish().to_hex();
        let digits = hex.as_str().get(..VERSION_LEN).unwrap_or_default();
        Version::new(digits).expect("hexadecimal digits are a version")
    }

    /// Seconds since 1970-01-01 00:00 UTC; `None` before.
    pub(super) fn modified(&self) -> Option<u64> {
        u64::try_from(self.modified.0).ok()
    }

    /// Whether both times lie further back than [`SETTLING`]. A time in the future does not.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let limit = now.checked_sub(SETTLING).and_then(|limit| limit.duration_since(UNIX_EPOCH).ok());
        let Some(limit) = limit else { return false };
        let Ok(seconds) = i64::try_from(limit.as_secs()) else { return false };
        let limit = (seconds, i64::from(limit.subsec_nanos()));
        self.modified < limit && self.changed < limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::FileStamp;

    const STAMP: FileStamp =
        FileStamp { device: 1, inode: 2, size: 3, modified: (1_000, 999_999_999), changed: (1_000, 999_999_999) };

    #[test]
    fn every_member_but_the_device_makes_another_version() {
        assert_eq!(FileStamp { device: 2, ..STAMP }.version(true), STAMP.version(true));
        let others = [
            FileStamp { inode: 3, ..STAMP },
            FileStamp { size: 4, ..STAMP },
            FileStamp { modified: (1_001, 999_999_999), ..STAMP },
            FileStamp { modified: (1_000, 999_999_998), ..STAMP },
            FileStamp { changed: (1_001, 999_999_999), ..STAMP },
            FileStamp { changed: (1_000, 999_999_998), ..STAMP },
            FileStamp { device: 2, inode: 1, ..STAMP },
        ];
        for other in others {
            assert_ne!(other.version(true), STAMP.version(true), "{other:?}");
        }
    }

    /// A file system that stores no inode numbers makes up others after each mount, as it may with its device number.
    #[test]
    fn s11_numbers_that_a_mount_makes_up_are_in_no_version() {
        let remounted = FileStamp { device: 2, inode: 3, ..STAMP };
        assert_eq!(remounted.version(false), STAMP.version(false));
        for other in [FileStamp { size: 4, ..STAMP }, FileStamp { modified: (1_002, 0), ..STAMP }] {
            assert_ne!(other.version(false), STAMP.version(false), "{other:?}");
        }
    }

    /// Pinned, since a client may come back to a server that was updated in between. The digits are those of
    /// `python3 -c "import hashlib, struct; print(hashlib.sha256(struct.pack('<QQqqqq', 2, 3, 1000, 999999999, 1000, 999999999)).hexdigest()[:32])"`.
    #[test]
    fn the_version_is_the_same_in_every_build() {
        assert_eq!(STAMP.version(true).as_str(), "45428c44f4c0d91592a34c0a1f651458");
    }

    #[test]
    fn settles_after_two_seconds() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert!(STAMP.is_settled(at(1_003_000)));
        assert!(!STAMP.is_settled(at(1_002_999)));
        assert!(!STAMP.is_settled(at(1_000_000)), "from the future");
        assert!(!STAMP.is_settled(at(1_000)), "a clock that has just begun");
        assert!(!FileStamp { changed: (1_001, 0), ..STAMP }.is_settled(at(1_003_000)));
        assert!(!FileStamp { modified: (i64::MAX, 0), ..STAMP }.is_settled(at(1_003_000)));
        assert!(FileStamp { modified: (i64::MIN, 0), ..STAMP }.is_settled(at(1_003_000)));
    }

    /// The line R12 of the faults: before 1970, and past the 32-bit clocks' end.
    #[test]
    fn r12_times_out_of_the_ordinary() {
        assert_eq!(FileStamp { modified: (-1, 0), ..STAMP }.modified(), None);
        assert_eq!(FileStamp { modified: (0, 0), ..STAMP }.modified(), Some(0));
        assert_eq!(FileStamp { modified: (1 << 33, 0), ..STAMP }.modified(), Some(1 << 33));
    }
}
