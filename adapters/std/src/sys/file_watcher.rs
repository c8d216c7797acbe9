//! Tells when open files change.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::poll_readable;

/// A file that is watched: several descriptors of one file share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WatchId(i32);

/// Watches open files, as far as the system can. Any thread may watch one while another waits.
#[derive(Debug)]
pub(crate) struct FileWatcher {
    /// `None` where there may be no more of these.
    #[cfg(target_os = "linux")]
    inotify: Option<OwnedFd>,
    waker: UnixStream,
    woken: UnixStream,
}

impl FileWatcher {
    pub(crate) fn new() -> io::Result<Self> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(),
            waker,
            woken,
        })
    }

    /// Watches `file`; `None` where the system cannot: its limit is reached, or it has no such thing.
    #[cfg(target_os = "linux")]
    pub(crate) fn watch(&self, file: BorrowedFd<'_>) -> Option<WatchId> {
        let changes = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        inotify::add_watch(self.inotify.as_ref()?, path, changes).ok().map(WatchId)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn watch(&self, _: BorrowedFd<'_>) -> Option<WatchId> {
        None
    }

    /// No longer watches that file.
    pub(crate) fn unwatch(&self, watch: WatchId) {
        #[cfg(target_os = "linux")]
        if let Some(inotify) = &self.inotify {
            // It may have ended by itself.
            let _ = inotify::remove_watch(inotify, watch.0);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = watch;
    }

    /// Wakes the thread that waits.
    pub(crate) fn wake(&self) {
        // Where the buffer is full, it is woken already.
        drop((&self.waker).write(&[0]));
    }

    /// Waits until a watched file changes or [`FileWatcher::wake`] is called; `None`: for ever. Returns which files have changed.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> HashSet<WatchId> {
        let descriptors = [Some(self.woken.as_fd()), self.descriptor()];
        if poll_readable(descriptors.into_iter().flatten(), timeout).is_err() {
            return HashSet::new();
        }
        while (&self.woken).read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
        self.changed()
    }

    #[cfg(target_os = "linux")]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(OwnedFd::as_fd)
    }

    #[cfg(not(target_os = "linux"))]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    #[cfg(target_os = "linux")]
    fn changed(&self) -> HashSet<WatchId> {
        let mut changed = HashSet::new();
        let mut buf = [std::mem::MaybeUninit::uninit(); 4096];
        if let Some(inotify) = &self.inotify {
            let mut events = inotify::Reader::new(inotify, &mut buf);
            while let Ok(event) = events.next() {
                changed.insert(WatchId(event.wd()));
            }
        }
        changed
    }

    #[cfg(not(target_os = "linux"))]
    fn changed(&self) -> HashSet<WatchId> {
        HashSet::new()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::FileWatcher;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    #[test]
    fn a_file_that_grows_or_is_renamed_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        let mut file = fs::File::create(&path).expect("a file");
        let watcher = FileWatcher::new().expect("a watcher");
        let watch = watcher.watch(file.as_fd()).expect("this system can");
        assert_eq!(watcher.watch(fs::File::open(&path).expect("again").as_fd()), Some(watch));
        file.write_all(b"1\n").expect("written");
        assert!(watcher.wait(LONG).contains(&watch));
        fs::rename(&path, directory.path().join("b.log")).expect("renamed");
        assert!(watcher.wait(LONG).contains(&watch));
        watcher.wake();
        assert!(watcher.wait(LONG).is_empty());
        watcher.unwatch(watch);
        file.write_all(b"2\n").expect("written");
        watcher.wake();
        // What the end of a watch itself tells is no change that matters.
        let _ = watcher.wait(LONG);
        file.write_all(b"3\n").expect("written");
        assert!(watcher.wait(Some(Duration::ZERO)).is_empty());
    }
}
