//! Whether a file got its name at once from the one before it, or others had it in between.

use crate::sys::{Changes, WatchId};

/// How often a name was given to a file since it was looked up last.
pub(super) struct Arrivals {
    /// `None` where its directory cannot be watched.
    directory: Option<WatchId>,
    leaf: String,
    count: u32,
}

impl Arrivals {
    /// Nothing is known of `name`.
    pub(super) fn new(name: &str) -> Self {
        let leaf = name.rsplit_once('/').map_or(name, |(_, leaf)| leaf);
        Self { directory: None, leaf: leaf.to_owned(), count: 0 }
    }

    pub(super) fn leaf(&self) -> &str {
        &self.leaf
    }

    pub(super) const fn directory(&self) -> Option<WatchId> {
        self.directory
    }

    /// Sets where the name is; whether that was watched before.
    pub(super) fn set_directory(&mut self, directory: Option<WatchId>) -> bool {
        let is_same = self.directory == directory;
        if !is_same {
            (self.directory, self.count) = (directory, MANY);
        }
        is_same
    }

    /// Counts; whether the name was given to a file.
    pub(super) fn note(&mut self, changes: &Changes) -> bool {
        let is_it = |(directory, name): &&(WatchId, Vec<u8>)| {
            Some(*directory) == self.directory && name == self.leaf.as_bytes()
        };
        let number = changes.arrivals.iter().filter(is_it).count();
        self.count = match u32::try_from(number) {
            Ok(number) if !changes.is_incomplete => self.count.saturating_add(number),
            _ => MANY,
        };
        number > 0
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The file that was opened when `before` were counted is the one that had the name.
    pub(super) const fn is_same(&mut self, before: u32) {
        self.count = self.count.saturating_sub(before);
    }

    /// It is another one; whether no third one had the name in between.
    pub(super) const fn is_next(&mut self, before: u32) -> bool {
        let is_next = self.directory.is_some() && self.count == 1;
        // What came since it was opened may have been itself.
        self.count = if is_next { 0 } else { self.count.saturating_sub(before) };
        is_next
    }
}

/// More than can be told apart.
const MANY: u32 = u32::MAX / 2;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::Arrivals;
    use crate::sys::FileWatcher;

    const LOG: &str = "a.log";

    fn give_name(directory: &Path) {
        let new = directory.join("new");
        fs::write(&new, "").expect("written");
        fs::rename(new, directory.join(LOG)).expect("renamed");
    }

    #[test]
    fn l1_only_one_that_got_the_name_alone_is_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        give_name(directory.path());
        let file = fs::File::open(directory.path().join(LOG)).expect("opened");
        let watcher = FileWatcher::new().expect("a watcher");
        let mut arrivals = Arrivals::new("logs/a.log");
        assert_eq!(arrivals.leaf(), LOG);
        assert!(!arrivals.set_directory(watcher.watch_directory(&file, LOG)));
        // Nothing is known of what was there before.
        assert!(!arrivals.is_next(0));
        for (before, after, is_next) in
            [(1, 0, true), (0, 1, true), (1, 1, false), (0, 2, false), (2, 0, false), (0, 0, false)]
        {
            let known = arrivals.count();
            arrivals.is_same(known);
            (0..before).for_each(|_| give_name(directory.path()));
            arrivals.note(&watcher.changes());
            let opened_at = arrivals.count();
            (0..after).for_each(|_| give_name(directory.path()));
            arrivals.note(&watcher.changes());
            assert_eq!(arrivals.is_next(opened_at), is_next, "{before} {after}");
        }
        // The second of two has come since the first was opened: it is the next one then.
        let known = arrivals.count();
        arrivals.is_same(known);
        give_name(directory.path());
        arrivals.note(&watcher.changes());
        arrivals.is_same(arrivals.count());
        give_name(directory.path());
        arrivals.note(&watcher.changes());
        assert!(arrivals.is_next(0));
        // Where the directory is another one, or cannot be watched, nobody knows.
        arrivals.set_directory(None);
        give_name(directory.path());
        arrivals.note(&watcher.changes());
        assert!(!arrivals.is_next(0));
    }
}
