//! Versions of files: what tells one state of a file from another.

use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coracle_core::{Digest, DigestKind, Hasher, Version};

use crate::sys::{FileStamp, has_lasting_inodes, stamp};

/// Age of the last change of a file from which on its times show that there was no other one since.
///
/// File systems round times, by up to 2 s (FAT): a change within that time of another one may leave no trace. git calls
/// such files racily clean (`Documentation/technical/racy-git.txt`).
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// Hexadecimal digits in a version: 128 bits, so that two states of one file never share one by accident.
const VERSION_LEN: usize = 32;

/// What the versions of files are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionBy {
    /// Inode number (where the file system stores one), size, and times of modification and change: no change is overlooked that
    /// the file system records, and a copy of a file has another version.
    #[default]
    Inode,
    /// Size and time of modification, with its nanoseconds: a copy that keeps the time (`rsync -a`, `cp -a`, `tar` in the format
    /// `posix`) has the version of the original. Two contents of one size and time have one version, too.
    Mtime,
    /// SHA-256 of the contents: all copies have one version, and other contents another one. A file is hashed before it is
    /// served the first time; while it changes, its versions are those of [`VersionBy::Inode`].
    Content,
}

/// Whether the files of a file system keep their inode numbers: asked once for all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct InodeNumbers {
    device: u64,
    are_lasting: bool,
}

impl InodeNumbers {
    /// Those of the file system of `directory`.
    pub(super) fn of(directory: &File) -> io::Result<Self> {
        Ok(Self { device: stamp(directory)?.0.device, are_lasting: has_lasting_inodes(directory) })
    }

    /// Whether those of the device are lasting; `None` where it is another one.
    pub(super) fn are_lasting(&self, device: u64) -> Option<bool> {
        (self.device == device).then_some(self.are_lasting)
    }
}

impl FileStamp {
    /// Version of the file in this state, where its contents are not known.
    pub(super) fn version(&self, by: VersionBy, has_lasting_inode: bool) -> Version {
        match by {
            VersionBy::Mtime => self.version_by_mtime(),
            VersionBy::Inode | VersionBy::Content => self.version_by_inode(has_lasting_inode),
        }
    }

    /// The same in another process, after a restart of the server, and after the file system was mounted again, which may
    /// change its device number, and its inode number where that is not lasting.
    fn version_by_inode(&self, has_lasting_inode: bool) -> Version {
        let (modified, changed) = (self.modified, self.changed);
        let mut hasher = hasher();
        let inode = if has_lasting_inode { self.inode } else { 0 };
        for number in [inode, self.size] {
            hasher.update(&number.to_le_bytes());
        }
        for number in [modified.0, modified.1, changed.0, changed.1] {
            hasher.update(&number.to_le_bytes());
        }
        digits(hasher)
    }

    /// The same for every copy that has the time of the original.
    fn version_by_mtime(&self) -> Version {
        let mut hasher = hasher();
        // Never what makes the version of another kind.
        hasher.update(b"mtime");
        hasher.update(&self.size.to_le_bytes());
        for number in [self.modified.0, self.modified.1] {
            hasher.update(&number.to_le_bytes());
        }
        digits(hasher)
    }

    /// The same state, without what a mount or a restart of the machine changes.
    pub(super) const fn lasting(&self, has_lasting_inode: bool) -> Self {
        Self { device: 0, inode: if has_lasting_inode { self.inode } else { 0 }, ..*self }
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

/// Version of all files with the contents that have this digest.
pub(super) fn version_of_content(sha256: &Digest) -> Version {
    Version::new(sha256.to_hex().as_str()).expect("hexadecimal digits are a version")
}

fn hasher() -> Hasher {
    Hasher::new(DigestKind::Sha256).expect("this crate turns on the core's SHA-256")
}

fn digits(hasher: Hasher) -> Version {
    let hex = hasher.finish().to_hex();
    let digits = hex.as_str().get(..VERSION_LEN).unwrap_or_default();
    Version::new(digits).expect("hexadecimal digits are a version")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use coracle_core::{Digest, Version};

    use super::{FileStamp, VersionBy, version_of_content};

    const STAMP: FileStamp =
        FileStamp { device: 1, inode: 2, size: 3, modified: (1_000, 999_999_999), changed: (1_000, 999_999_999) };

    #[test]
    fn every_member_but_the_device_makes_another_version() {
        assert_eq!(
            FileStamp { device: 2, ..STAMP }.version(VersionBy::Inode, true),
            STAMP.version(VersionBy::Inode, true)
        );
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
            assert_ne!(other.version(VersionBy::Inode, true), STAMP.version(VersionBy::Inode, true), "{other:?}");
        }
    }

    /// A file system that stores no inode numbers makes up others after each mount, as it may with its device number.
    #[test]
    fn s11_numbers_that_a_mount_makes_up_are_in_no_version() {
        let remounted = FileStamp { device: 2, inode: 3, ..STAMP };
        assert_eq!(remounted.version(VersionBy::Inode, false), STAMP.version(VersionBy::Inode, false));
        for other in [FileStamp { size: 4, ..STAMP }, FileStamp { modified: (1_002, 0), ..STAMP }] {
            assert_ne!(other.version(VersionBy::Inode, false), STAMP.version(VersionBy::Inode, false), "{other:?}");
        }
    }

    /// Pinned, since a client may come back to a server that was updated in between. The digits are those of
    /// `python3 -c "import hashlib, struct; print(hashlib.sha256(struct.pack('<QQqqqq', 2, 3, 1000, 999999999, 1000, 999999999)).hexdigest()[:32])"`.
    #[test]
    fn the_version_is_the_same_in_every_build() {
        assert_eq!(STAMP.version(VersionBy::Inode, true).as_str(), "45428c44f4c0d91592a34c0a1f651458");
    }

    /// Pinned for the same reason. The digits are those of
    /// `python3 -c "import hashlib, struct; print(hashlib.sha256(b'mtime' + struct.pack('<Qqq', 3, 1000, 999999999)).hexdigest()[:32])"`.
    #[test]
    fn a_version_by_mtime_is_that_of_size_and_time_alone() {
        let version = |stamp: FileStamp| stamp.version(VersionBy::Mtime, true);
        assert_eq!(version(STAMP).as_str(), "d5c2ff6943db01bdf56849857061b80f");
        for copy in [
            FileStamp { device: 2, ..STAMP },
            FileStamp { inode: 3, ..STAMP },
            FileStamp { changed: (2_000, 1), ..STAMP },
        ] {
            assert_eq!(version(copy), version(STAMP), "{copy:?}");
        }
        for other in [
            FileStamp { size: 4, ..STAMP },
            FileStamp { modified: (1_001, 999_999_999), ..STAMP },
            FileStamp { modified: (1_000, 999_999_998), ..STAMP },
        ] {
            assert_ne!(version(other), version(STAMP), "{other:?}");
        }
    }

    #[test]
    fn a_version_by_content_is_its_digest() {
        let digest = Digest::Sha256([0xab; 32]);
        assert_eq!(version_of_content(&digest), Version::new(&"ab".repeat(32)).expect("a version"));
        assert_eq!(STAMP.version(VersionBy::Content, true), STAMP.version(VersionBy::Inode, true), "not known");
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
