//! Tells when open files change, and when their names are given to others, by inotify.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::file_changes::{Changes, WatchId};
use super::poll_readable;

/// Watches open files, as far as the system can. Any thread may watch one while another waits.
#[derive(Debug)]
pub(crate) struct FileWatcher {
    /// `None` where there may be no more of these.
    inotify: Option<OwnedFd>,
    waker: UnixStream,
    woken: UnixStream,
}

impl FileWatcher {
    pub(crate) fn new() -> io::Result<Self> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self { inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(), waker, woken })
    }

    /// Watches `file`; `None` where the system cannot: its limit is reached, or it has no such thing.
    pub(crate) fn watch(&self, file: &File) -> Option<WatchId> {
        let changes = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        inotify::add_watch(self.inotify.as_ref()?, path, changes).ok().map(WatchId)
    }

    /// Watches which files get names in the directory of `file`; `None` where `file` has another name there than `leaf`, as behind a
    /// link, or the system cannot.
    pub(crate) fn watch_directory(&self, file: &File, leaf: &str) -> Option<WatchId> {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let directory =
            path.parent().filter(|_| path.file_name().is_some_and(|name| name.as_bytes() == leaf.as_bytes()))?;
        // Of events that follow each other and are the same the system keeps one: so what comes between two arrivals is told, too.
        let changes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        inotify::add_watch(self.inotify.as_ref()?, directory, changes | WatchFlags::ONLYDIR).ok().map(WatchId)
    }

    /// No longer watches that file or directory.
    pub(crate) fn unwatch(&self, watch: WatchId) {
        if let Some(inotify) = &self.inotify {
            // It may have ended by itself.
            let _ = inotify::remove_watch(inotify, watch.0);
        }
    }

    /// Wakes the thread that waits.
    pub(crate) fn wake(&self) {
        // Where the buffer is full, it is woken already.
        drop((&self.waker).write(&[0]));
    }

    /// Waits until something changes or [`FileWatcher::wake`] is called; `None`: for ever. Returns what has changed.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Changes {
        let descriptors = [Some(self.woken.as_fd()), self.descriptor()];
        if poll_readable(descriptors.into_iter().flatten(), timeout).is_err() {
            return Changes::default();
        }
        while (&self.woken).read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
        self.changes()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(OwnedFd::as_fd)
    }

    /// What has changed by now.
    pub(crate) fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        let mut buf = [std::mem::MaybeUninit::uninit(); 4096];
        if let Some(inotify) = &self.inotify {
            let mut events = inotify::Reader::new(inotify, &mut buf);
            while let Ok(event) = events.next() {
                let watch = WatchId(event.wd());
                let is_arrival = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
                match event.file_name() {
                    Some(name) if is_arrival => changes.arrivals.push((watch, name.to_bytes().to_vec())),
                    Some(_) => {}
                    None if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => changes.is_incomplete = true,
                    None => drop(changes.files.insert(watch)),
                }
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::time::Duration;

    use super::FileWatcher;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    #[test]
    fn a_file_that_grows_or_is_renamed_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        let mut file = fs::File::create(&path).expect("a file");
        let watcher = FileWatcher::new().expect("a watcher");
        let watch = watcher.watch(&file).expect("this system can");
        assert_eq!(watcher.watch(&fs::File::open(&path).expect("again")), Some(watch));
        file.write_all(b"1\n").expect("written");
        assert!(watcher.wait(LONG).files.contains(&watch));
        fs::rename(&path, directory.path().join("b.log")).expect("renamed");
        assert!(watcher.wait(LONG).files.contains(&watch));
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

    #[test]
    fn names_that_are_given_to_files_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let [log, old] = ["a.log", "a.log.1"].map(|name| directory.path().join(name));
        let file = fs::File::create(&log).expect("a file");
        let watcher = FileWatcher::new().expect("a watcher");
        let watch = watcher.watch_directory(&file, "a.log").expect("this system can");
        assert_eq!(watcher.watch_directory(&file, "b.log"), None);
        fs::rename(&log, &old).expect("renamed");
        fs::write(&log, "1\n").expect("written");
        fs::remove_file(&log).expect("removed");
        fs::write(&log, "2\n").expect("written");
        fs::write(&log, "3\n").expect("written");
        fs::rename(&old, &log).expect("renamed");
        let changes = watcher.wait(LONG);
        assert!(changes.files.is_empty() && !changes.is_incomplete, "{changes:?}");
        let names: Vec<_> = changes.arrivals.iter().map(|(_, name)| String::from_utf8_lossy(name)).collect();
        assert_eq!(names, ["a.log.1", "a.log", "a.log", "a.log"]);
        assert!(changes.arrivals.iter().all(|(directory, _)| *directory == watch));
    }
}
