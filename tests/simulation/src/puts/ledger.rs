//! What may have each name, and what had it: the rules of writing, checked against the server's disk.

use super::job::{Bytes, Job, PATHS};
use crate::disk::Disk;

/// The names that clients write to.
#[derive(Debug)]
pub struct Ledger {
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    path: &'static str,
    /// What had the name, oldest first; the last one has it now. `None` for nothing.
    seen: Vec<Option<Bytes>>,
    /// What a power cut may leave.
    possible: Vec<Option<Bytes>>,
}

impl Ledger {
    /// That of an empty disk.
    pub fn new() -> Self {
        let name = |path: &&'static str| Name { path, seen: vec![None], possible: vec![None] };
        Self { names: PATHS.iter().map(name).collect() }
    }

    /// What has the name now.
    pub fn current(&self, path: &str) -> Option<&Bytes> {
        self.name(path).current().as_ref()
    }

    /// A mark for [`Ledger::was_since`]: now.
    pub fn mark(&self, path: &str) -> usize {
        self.name(path).seen.len() - 1
    }

    /// Whether something that `is_it` had the name since `mark`.
    pub fn was_since(&self, path: &str, mark: usize, is_it: impl Fn(Option<&Bytes>) -> bool) -> bool {
        self.name(path).seen[mark..].iter().any(|seen| is_it(seen.as_ref()))
    }

    /// Looks at the disk after a step of the server's for `job`: the only change that may have happened is that of the job, whole,
    /// and only where its precondition holds. Whether there was one.
    pub fn observe(&mut self, disk: &Disk, job: &Job) -> bool {
        let mut has_changed = false;
        for name in &mut self.names {
            if name.is_as_seen(disk) {
                continue;
            }
            assert_eq!(name.path, job.path, "a request for '{}' changed '{}'", job.path, name.path);
            let is_result = name.is_on(disk, job.result());
            let found = disk.peek(name.path, <[u8]>::len);
            assert!(
                is_result,
                "'{}' has {found:?} bytes, and neither its old contents nor those of the request",
                name.path
            );
            let old = name.current().as_ref();
            assert!(job.may_replace(old), "'{}' was changed, and the precondition did not hold", name.path);
            let is_durable = job.result().is_none() || disk.is_durable(name.path, false);
            assert!(is_durable, "'{}': a power cut can spoil what has its name", name.path);
            name.seen.push(job.result().cloned());
            name.possible.push(job.result().cloned());
            has_changed = true;
        }
        has_changed
    }

    /// The server reports that `job`, which it was given at `mark`, is done: what it asked for was there, and every power cut
    /// leaves it.
    pub fn reported(&mut self, disk: &Disk, job: &Job, mark: usize) {
        let was_there = self.was_since(job.path, mark, |seen| seen == job.result());
        assert!(was_there, "'{}': reported, and was never there", job.path);
        let name = self.name_mut(job.path);
        if name.current().as_ref() != job.result() {
            // Somebody has replaced it since.
            return;
        }
        if job.result().is_some() {
            assert!(disk.is_durable(name.path, true), "'{}': reported, and a power cut can take it", name.path);
        }
        name.possible = vec![job.result().cloned()];
    }

    /// Another program on the server's machine puts a file at `path` durably, or removes what is there.
    pub fn visit(&mut self, disk: &Disk, path: &str, contents: Option<Bytes>) {
        match &contents {
            Some(contents) => disk.put(path, contents),
            None => disk.remove(path),
        }
        let name = self.name_mut(path);
        name.seen.push(contents.clone());
        name.possible = vec![contents];
    }

    /// Looks at the disk after a power cut.
    pub fn power_cut(&mut self, disk: &Disk) {
        for name in &mut self.names {
            let found = name.possible.iter().find(|possible| name.is_on(disk, possible.as_ref())).cloned();
            let Some(found) = found else { panic!("'{}': a power cut left what it may not", name.path) };
            name.seen.push(found.clone());
            // What is read now is on the disk.
            name.possible = vec![found];
        }
    }

    fn name(&self, path: &str) -> &Name {
        self.names.iter().find(|name| name.path == path).expect("one of the names")
    }

    fn name_mut(&mut self, path: &str) -> &mut Name {
        self.names.iter_mut().find(|name| name.path == path).expect("one of the names")
    }
}

impl Name {
    fn current(&self) -> &Option<Bytes> {
        self.seen.last().expect("at least one")
    }

    fn is_as_seen(&self, disk: &Disk) -> bool {
        self.is_on(disk, self.current().as_ref())
    }

    /// Whether these contents have the name on `disk`.
    fn is_on(&self, disk: &Disk, contents: Option<&Bytes>) -> bool {
        let is_it = disk.peek(self.path, |found| contents.is_some_and(|contents| **contents == *found));
        is_it.unwrap_or(contents.is_none())
    }
}
