//! A client's disk: a file system in memory, with errors, kills and power cuts at any operation.
//!
//! Every file and directory has a state that programs see and a durable one. Only what was synced is sure to survive a
//! power cut, contents and entries each by their own sync.

mod contents;
mod entries;
mod handles;

use std::cell::{RefCell, RefMut};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::rc::Rc;

use contents::Contents;
use entries::Entries;
pub use handles::DiskDirectory;

use crate::random::Random;

/// Number of the root directory.
const ROOT: usize = 0;

/// A disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Rc<RefCell<State>>);

/// Properties of the file system.
#[derive(Clone, Copy, Debug)]
pub struct Behavior {
    /// A power cut keeps the order in which entries were changed, as journals do.
    pub is_ordered: bool,
    /// There is a rename that replaces nothing.
    pub has_no_replace: bool,
    /// A file can have several names.
    pub has_links: bool,
    /// A sync of the file system promises what those of its files and directories do.
    pub has_file_system_sync: bool,
    /// Files get the same group in every directory.
    pub has_one_group: bool,
}

/// Something that another program does between two operations of the simulated one.
pub type Visit = Box<dyn FnOnce(&Disk, &mut Random)>;

struct State {
    behavior: Behavior,
    random: Random,
    nodes: Vec<Node>,
    free: Vec<usize>,
    /// Probability that an operation on entries fails, per mille. Operations on contents, of which there are many more,
    /// fail a hundred times less often.
    faults: usize,
    /// An error may be injected: one for a run of the program, so that each is handled alone.
    is_armed: bool,
    errors: u64,
    losses: u64,
    /// Operations until the process ends.
    stops_in: Option<usize>,
    is_stopped: bool,
    visit_in: Option<(usize, Visit)>,
    /// Number of processes that have ended.
    epoch: u64,
}

#[derive(Debug)]
struct Node {
    content: Content,
    handles: usize,
    is_locked: bool,
    /// A directory that was removed while it was open.
    is_removed: bool,
}

#[derive(Debug)]
enum Content {
    File(Contents),
    Directory(Entries),
    Free,
}

impl Disk {
    /// An empty disk.
    pub fn new(behavior: Behavior, random: Random) -> Self {
        let root =
            Node { content: Content::Directory(Entries::default()), handles: 0, is_locked: false, is_removed: false };
        Self(Rc::new(RefCell::new(State {
            behavior,
            random,
            nodes: vec![root],
            free: Vec::new(),
            faults: 0,
            is_armed: false,
            errors: 0,
            losses: 0,
            stops_in: None,
            is_stopped: false,
            visit_in: None,
            epoch: 0,
        })))
    }

    /// The root directory.
    pub fn root(&self) -> DiskDirectory {
        DiskDirectory::new(self, ROOT)
    }

    /// Allows one injected error; `faults` is its probability for an operation, per mille.
    pub fn arm(&self, faults: usize) {
        let state = &mut *self.state();
        state.faults = faults;
        state.is_armed = faults > 0;
    }

    /// Number of injected errors.
    pub fn errors(&self) -> u64 {
        self.state().errors
    }

    /// Number of injected errors that syncs and closes of files returned.
    pub fn losses(&self) -> u64 {
        self.state().losses
    }

    /// Ends the process after `operations`; `None`: does not.
    pub fn stop_after(&self, operations: Option<usize>) {
        self.state().stops_in = operations;
    }

    /// Whether the process has ended by [`stop_after`](Self::stop_after): every operation of it fails.
    pub fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// Lets another program do something after `operations`; `None`: does not.
    pub fn visit_after(&self, visit: Option<(usize, Visit)>) {
        self.state().visit_in = visit;
    }

    /// Whether a process has locked the file at `path`.
    pub fn is_locked(&self, path: &str) -> bool {
        let state = self.state();
        state.walk(path).is_some_and(|number| state.nodes[number].is_locked)
    }

    /// Kills the process, which closes its handles: they must not be used any more.
    pub fn kill(&self) {
        let state = &mut *self.state();
        state.epoch += 1;
        state.is_stopped = false;
        state.stops_in = None;
        for node in &mut state.nodes {
            node.handles = 0;
            node.is_locked = false;
        }
        state.free_unused();
    }

    /// Cuts the power, which ends the process, too.
    pub fn cut_power(&self) {
        self.kill();
        let state = &mut *self.state();
        let State { nodes, behavior, random, .. } = state;
        for node in nodes {
            // It may be back.
            node.is_removed = false;
            match &mut node.content {
                Content::File(contents) => contents.cut_power(random),
                Content::Directory(entries) => entries.cut_power(behavior.is_ordered, random),
                Content::Free => {}
            }
        }
        state.free_unused();
    }

    /// Looks at the contents of the file at `path`, which is no operation; `None` where there is none.
    pub fn peek<T>(&self, path: &str, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let state = self.state();
        match &state.nodes[state.walk(path)?].content {
            Content::File(contents) => Some(look(contents.bytes())),
            _ => None,
        }
    }

    /// Whether the contents of the file at `path` survive a power cut, and, with `named`, the names up to it.
    pub fn is_durable(&self, path: &str, named: bool) -> bool {
        let state = self.state();
        let mut number = ROOT;
        for component in path.split('/') {
            let Content::Directory(entries) = &state.nodes[number].content else { return false };
            let name = OsStr::new(component);
            let next = if named { entries.get_durable(name) } else { entries.get(name) };
            let Some(next) = next else { return false };
            number = next;
        }
        matches!(&state.nodes[number].content, Content::File(contents) if contents.is_durable())
    }

    /// Whether there is a directory at `path`.
    pub fn has_directory(&self, path: &str) -> bool {
        let state = self.state();
        state.walk(path).is_some_and(|number| matches!(state.nodes[number].content, Content::Directory(_)))
    }

    /// Names in the directory `path`.
    pub fn names(&self, path: &str) -> Vec<String> {
        let state = self.state();
        let Some(Content::Directory(entries)) = state.walk(path).map(|number| &state.nodes[number].content) else {
            return Vec::new();
        };
        entries.names().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// A user puts a file at `path`, whose directory is there, over what is there, and syncs it and what leads to it.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let state = &mut *self.state();
        let (directory, name) = state.parent(path);
        let mut contents = Contents::default();
        contents.write(0, bytes);
        contents.sync();
        // A number that was never used, so that no sidecar names it.
        state.nodes.push(Node { content: Content::File(contents), handles: 0, is_locked: false, is_removed: false });
        let number = state.nodes.len() - 1;
        state.entries(directory).add(name, number);
        for (end, _) in path.match_indices('/').chain([(0, "")]) {
            let directory = state.walk(&path[..end]).expect("a directory");
            state.entries(directory).sync();
        }
    }

    /// A user removes what is at `path`, if there is anything.
    pub fn remove(&self, path: &str) {
        let state = &mut *self.state();
        if state.walk(path).is_some() {
            let (directory, name) = state.parent(path);
            let entries = state.entries(directory);
            entries.remove(name);
            entries.sync();
        }
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Begins an operation on directories, with what is planned to happen before it.
    fn operation(&self, epoch: u64) -> io::Result<RefMut<'_, State>> {
        self.begin(epoch, 1)
    }

    /// Begins an operation on contents, of which there are many more.
    fn frequent_operation(&self, epoch: u64) -> io::Result<RefMut<'_, State>> {
        self.begin(epoch, 100)
    }

    fn begin(&self, epoch: u64, rarity: usize) -> io::Result<RefMut<'_, State>> {
        let mut state = self.state();
        assert_eq!(epoch, state.epoch, "a process uses handles of one that has ended");
        match &mut state.stops_in {
            Some(0) => state.is_stopped = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if state.is_stopped {
            return Err(io::Error::other("the process has ended"));
        }
        if let Some((left, _)) = &mut state.visit_in {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => state = self.visit(state),
            }
        }
        if state.is_armed && state.faults > 0 {
            let faults = state.faults;
            if state.random.below(1_000 * rarity) < faults {
                state.is_armed = false;
                state.errors += 1;
                // EIO, or ENOSPC.
                let error = if state.random.chance(500) { 5 } else { 28 };
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        Ok(state)
    }

    fn visit<'s>(&'s self, mut state: RefMut<'s, State>) -> RefMut<'s, State> {
        let Some((_, visit)) = state.visit_in.take() else { return state };
        let (faults, stops_in) = (std::mem::take(&mut state.faults), state.stops_in.take());
        let mut random = Random::new(state.random.next());
        drop(state);
        visit(self, &mut random);
        let mut state = self.state();
        (state.faults, state.stops_in) = (faults, stops_in);
        state
    }
}

impl State {
    fn walk(&self, path: &str) -> Option<usize> {
        self.walk_from(ROOT, path)
    }

    fn walk_from(&self, start: usize, path: &str) -> Option<usize> {
        path.split('/').filter(|component| !component.is_empty()).try_fold(start, |number, component| {
            match &self.nodes[number].content {
                Content::Directory(entries) => entries.get(OsStr::new(component)),
                _ => None,
            }
        })
    }

    fn parent<'p>(&self, path: &'p str) -> (usize, &'p OsStr) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.walk(parent).expect("a directory"), OsStr::new(name))
    }

    fn entries(&mut self, directory: usize) -> &mut Entries {
        match &mut self.nodes[directory].content {
            Content::Directory(entries) => entries,
            other => panic!("a directory is {other:?}"),
        }
    }

    fn contents(&mut self, file: usize) -> &mut Contents {
        match &mut self.nodes[file].content {
            Content::File(contents) => contents,
            other => panic!("a file is {other:?}"),
        }
    }

    /// Renames an entry, and replaces what is there.
    fn rename(&mut self, (directory, from): (usize, &OsStr), (into, to): (usize, &OsStr)) {
        if directory == into {
            self.entries(directory).rename(from, to);
        } else {
            let number = self.entries(directory).get(from).expect("renames what is there");
            self.entries(directory).remove(from);
            self.entries(into).add(to, number);
        }
    }

    /// Makes everything durable that no earlier sync failed to.
    fn sync_all(&mut self) {
        for node in &mut self.nodes {
            match &mut node.content {
                Content::File(contents) => contents.sync(),
                Content::Directory(entries) => entries.sync(),
                Content::Free => {}
            }
        }
        self.free_unused();
    }

    /// Loses what was written since the last sync, though it can still be read.
    fn lose_unsynced(&mut self) {
        for node in &mut self.nodes {
            if let Content::File(contents) = &mut node.content
                && !contents.is_durable()
            {
                contents.fail_sync();
            }
        }
        self.losses += 1;
        // As above: no other program could tell.
        self.stops_in = None;
    }

    fn create(&mut self, content: Content) -> usize {
        let node = Node { content, handles: 0, is_locked: false, is_removed: false };
        match self.free.pop() {
            Some(number) => {
                self.nodes[number] = node;
                number
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    /// Frees the numbers of what has no handle and no name, and what no power cut brings back.
    fn free_unused(&mut self) {
        let mut is_used = vec![false; self.nodes.len()];
        let mut found: Vec<usize> = (0..self.nodes.len()).filter(|number| self.nodes[*number].handles > 0).collect();
        found.push(ROOT);
        while let Some(number) = found.pop() {
            if !std::mem::replace(&mut is_used[number], true)
                && let Content::Directory(entries) = &self.nodes[number].content
            {
                found.extend(entries.numbers());
            }
        }
        for (number, is_used) in is_used.into_iter().enumerate() {
            if !is_used && !matches!(self.nodes[number].content, Content::Free) {
                self.nodes[number].content = Content::Free;
                self.free.push(number);
            }
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}
