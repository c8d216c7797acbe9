//! Ways of opening a file that a test has to notice, chosen by `CORACLE_PLANTED`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use cap_std::fs::Dir;
use coracle_core::planted;
use rustix::io::Errno;

/// What comes of opening `path` beneath `root` with the chosen fault; `None` where it makes no difference.
pub(super) fn open(root: &Dir, path: &str) -> Option<io::Result<File>> {
    let is_link = |path: &Path| root.symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let leaf = Path::new(path);
    let has_link_above = || leaf.ancestors().skip(1).any(|above| above != Path::new("") && is_link(above));
    let leads_to_proc = || root.read_link_contents(path).is_ok_and(|target| target.starts_with("/proc"));
    if planted("P9") && path.contains('%') {
        return Some(unconfined(root, &path.replace("%2e", ".").replace("%2f", "/")));
    }
    if planted("P10") && path.ends_with('*') {
        let mut entries = root.entries().ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        return Some(unconfined(root, &entries.find(|name| name.starts_with(path.trim_end_matches('*')))?));
    }
    if planted("P11") && path.len() > 200 {
        return Some(Err(Errno::NAMETOOLONG.into()));
    }
    if (planted("P12") && is_link(leaf)) || (planted("P13") && has_link_above()) {
        return Some(unconfined(root, path));
    }
    if planted("P14") && is_link(leaf) {
        return Some(Err(Errno::ACCESS.into()));
    }
    if planted("P17") && (leads_to_proc() || path.starts_with("root/") || path.starts_with("cwd/")) {
        return Some(unconfined(root, path));
    }
    if planted("P21") && path.contains('\u{301}') {
        return Some(unconfined(root, &path.replace("e\u{301}", "\u{e9}")));
    }
    if planted("P22") && path != path.to_lowercase() {
        return Some(unconfined(root, &path.to_lowercase()));
    }
    None
}

/// Wherever links lead.
fn unconfined(root: &Dir, path: &str) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}/{path}", root.as_fd().as_raw_fd()))
}
