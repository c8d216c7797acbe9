//! What a file keeps when it is replaced: mode, owner, group, access control list, and the attributes of its users.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, RawMode, Uid, fchmod, fchown, fstat, statat};

/// The owner of a file may read and write it until it is complete.
const OWNER: RawMode = 0o600;

/// The kernel gives no longer attribute, and no longer list of their names.
#[cfg(target_os = "linux")]
const MAX_ATTRIBUTE_LEN: usize = 64 * 1024;

/// Gives `file` the mode, owner, group and user attributes of the regular file `name` in `directory`, as far as this process may:
/// without set-id bits, and never so that a user can read it who could not read the other one. Until it `is_complete`, its
/// owner may read and write it.
pub(crate) fn copy_access(directory: BorrowedFd<'_>, name: &OsStr, file: &File, is_complete: bool) -> io::Result<()> {
    let old = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(old.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    // While its owner may still write to it.
    copy_user_attributes(directory, name, file);
    let new = fstat(file)?;
    let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
    let has_owner = new.st_uid == old.st_uid || fchown(file, Some(uid), None).is_ok();
    let has_group = new.st_gid == old.st_gid || fchown(file, None, Some(gid)).is_ok();
    let mut bits = mode_of(Mode::from_raw_mode(old.st_mode).bits(), has_owner, has_group);
    if !copy_acl(directory, name, file, has_owner && has_group) {
        bits &= 0o700;
    }
    let bits = if is_complete { bits } else { bits | OWNER };
    Ok(fchmod(file, Mode::from_bits_truncate(bits))?)
}

/// The mode for a file that replaces one of mode `old`, where it has the same owner and group or not.
fn mode_of(old: RawMode, has_owner: bool, has_group: bool) -> RawMode {
    let [owner, mut group, mut other] = [6, 3, 0].map(|shift| (old >> shift) & 7);
    if !has_group {
        // Members of the old group are others now, and others may be members of the new one.
        group &= other;
        other = group;
    }
    if !has_owner {
        // The old owner is one of the group or of the others now.
        group &= owner;
        other &= owner;
    }
    owner << 6 | group << 3 | other
}

/// Gives `file` the access control list of `name`, or none where that has none. False where it has one that `file` cannot
/// have: the group's bits of its mode are then not those of the group.
#[cfg(target_os = "linux")]
fn copy_acl(directory: BorrowedFd<'_>, name: &OsStr, file: &File, is_allowed: bool) -> bool {
    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, lgetxattr};
    use rustix::io::Errno;

    /// acl(5).
    const ATTRIBUTE: &str = "system.posix_acl_access";

    let mut acl = vec![0; MAX_ATTRIBUTE_LEN];
    match lgetxattr(path_of(directory, name), ATTRIBUTE, &mut acl) {
        Ok(len) => is_allowed && fsetxattr(file, ATTRIBUTE, &acl[..len], XattrFlags::empty()).is_ok(),
        // The default list of the directory may have given it one.
        Err(Errno::NODATA) => matches!(fremovexattr(file, ATTRIBUTE), Ok(()) | Err(Errno::NODATA)),
        Err(Errno::NOTSUP) => true,
        // Without /proc it is unknown.
        Err(_) => false,
    }
}

/// Gives `file` the attributes of `name` that users set, as far as its file system takes them. Without /proc, none.
#[cfg(target_os = "linux")]
fn copy_user_attributes(directory: BorrowedFd<'_>, name: &OsStr, file: &File) {
    use rustix::fs::{XattrFlags, fsetxattr, lgetxattr, llistxattr};

    /// xattr(7). Those of other kinds are for the system to give.
    const PREFIX: &[u8] = b"user.";

    let path = path_of(directory, name);
    let mut names = vec![0; MAX_ATTRIBUTE_LEN];
    let Ok(len) = llistxattr(&path, &mut names) else { return };
    let mut value = Vec::new();
    for attribute in names[..len].split(|byte| *byte == 0).filter(|attribute| attribute.starts_with(PREFIX)) {
        value.resize(MAX_ATTRIBUTE_LEN, 0);
        if let Ok(len) = lgetxattr(&path, attribute, &mut value) {
            // What the file system has no room for is not kept.
            let _ = fsetxattr(file, attribute, &value[..len], XattrFlags::empty());
        }
    }
}

/// The path of `name` in the open `directory`, for calls that take nothing else.
#[cfg(target_os = "linux")]
fn path_of(directory: BorrowedFd<'_>, name: &OsStr) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;

    std::path::Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

#[cfg(not(target_os = "linux"))]
fn copy_user_attributes(_: BorrowedFd<'_>, _: &OsStr, _: &File) {}

#[cfg(not(target_os = "linux"))]
fn copy_acl(_: BorrowedFd<'_>, _: &OsStr, _: &File, _: bool) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::mode_of;

    #[test]
    fn nobody_gets_more_access_than_before() {
        for (old, has_owner, has_group, new) in [
            (0o600, true, true, 0o600),
            (0o755, true, true, 0o755),
            (0o6755, true, true, 0o755),
            (0o640, true, false, 0o600),
            (0o664, true, false, 0o644),
            (0o604, true, false, 0o600),
            (0o640, false, true, 0o640),
            (0o044, false, true, 0o000),
            (0o664, false, false, 0o644),
        ] {
            assert_eq!(mode_of(old, has_owner, has_group), new, "{old:o} {has_owner} {has_group}");
        }
    }
}
