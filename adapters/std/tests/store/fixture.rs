//! A fresh directory, and ways to read it through a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coracle::store::DirectoryStore;
use coracle_core::{EntryKind, FileName, Listed, Store, StoreError};
#[cfg(unix)]
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tempfile::TempDir;

/// The served directory `root`, and `outside` beside it with a file that must never be seen.
pub struct Tree {
    directory: TempDir,
}

/// Contents of `outside/secret`.
pub const SECRET: &[u8] = b"outside\n";

impl Tree {
    pub fn new() -> Self {
        let tree = Self { directory: tempfile::tempdir().expect("a fresh directory") };
        fs::create_dir(tree.root()).expect("root");
        fs::create_dir(tree.outside()).expect("outside");
        fs::write(tree.outside().join("secret"), SECRET).expect("secret");
        tree
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    /// The path of `name` in the served directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    pub fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).expect("a file is written");
    }

    pub fn make_directory(&self, name: impl AsRef<Path>) {
        fs::create_dir_all(self.path(name)).expect("a directory is made");
    }

    #[cfg(unix)]
    pub fn link(&self, name: impl AsRef<Path>, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.path(name)).expect("a link is made");
    }

    pub fn store(&self) -> DirectoryStore {
        DirectoryStore::open(self.root()).expect("the store opens")
    }
}

/// What `look` returns within a second after `change`, before the file has settled. Both are repeated where this machine
/// takes longer.
pub fn just_after<T>(change: impl Fn(), look: impl Fn() -> T) -> T {
    loop {
        let begun = Instant::now();
        change();
        let found = look();
        if begun.elapsed() < Duration::from_secs(1) {
            return found;
        }
    }
}

/// All of the file `name`, read in pieces of 7 bytes.
pub fn contents(mut store: &DirectoryStore, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut file = store.open(FileName::new(name).expect("a file name"))?;
    let mut contents = Vec::new();
    let mut buf = [0; 7];
    loop {
        let offset = u64::try_from(contents.len()).expect("a length");
        match store.read(&mut file, offset, &mut buf)? {
            0 => return Ok(contents),
            len => contents.extend_from_slice(&buf[..len]),
        }
    }
}

/// The entries of a directory in alphabetical order (`name size`, `name/`, `name@/` for a link to a directory) and the
/// number of those that were skipped for whatever reason.
pub fn listed(mut store: &DirectoryStore, path: Option<&str>) -> Result<(Vec<String>, usize), StoreError> {
    let mut listing = store.list(path.map(|path| FileName::new(path).expect("a file name")))?;
    let mut lines = Vec::new();
    let mut skipped = 0;
    loop {
        match store.next(&mut listing)? {
            Listed::Entry(entry) => lines.push(match entry.kind {
                EntryKind::File { size, .. } => format!("{} {size}", entry.name),
                EntryKind::Directory { link: false } => format!("{}/", entry.name),
                EntryKind::Directory { link: true } => format!("{}@/", entry.name),
                kind => panic!("{kind:?}"),
            }),
            Listed::Skipped | Listed::Unnameable => skipped += 1,
            Listed::Hidden => {}
            Listed::End => break,
            step => panic!("{step:?}"),
        }
    }
    lines.sort();
    Ok((lines, skipped))
}

/// How many hidden things a listing counts.
#[cfg(unix)]
pub fn hidden(mut store: &DirectoryStore, path: Option<&str>) -> usize {
    let mut listing = store.list(path.map(|path| FileName::new(path).expect("a file name"))).expect("a listing");
    let steps = std::iter::from_fn(|| match store.next(&mut listing).expect("a step") {
        Listed::End => None,
        step => Some(step == Listed::Hidden),
    });
    steps.filter(|is_hidden| *is_hidden).count()
}

/// Runs `check` with the kernel's confinement, and again in a thread from which `openat2` is hidden as systemd and container
/// engines hide it, so that cap-std's walk takes its place. Where there is no `openat2`, the walk is all that there is.
#[cfg(unix)]
pub fn both_ways(check: impl Fn() + Sync) {
    check();
    if openat2(CWD, ".", OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH).is_ok() {
        without_openat2(check);
    }
}

#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
fn without_openat2(check: impl Fn() + Sync) {
    let errno = if std::env::var_os(NO_OPENAT2).is_some() { libc::ENOSYS } else { libc::EPERM };
    with_fault(&[libc::SYS_openat2], errno, check);
}

/// See `faults` in main.rs.
#[cfg(all(unix, any(not(target_os = "linux"), target_arch = "arm")))]
fn without_openat2(_: impl Fn() + Sync) {}

/// Set to anything, it makes [`both_ways`] hide `openat2` as a kernel before 5.6 does. cap-std remembers that for the rest
/// of the process, so this is for a process of its own.
#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
pub const NO_OPENAT2: &str = "CORACLE_TESTS_NO_OPENAT2";

/// Runs `check` in a thread in which each of `calls` fails with `errno`.
#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
pub fn with_fault(calls: &[i64], errno: i32, check: impl Fn() + Sync) {
    let architecture = std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
    let rules = calls.iter().map(|call| (*call, vec![])).collect();
    let action = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, architecture).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            seccompiler::apply_filter(&program).expect("the filter is applied to this thread");
            check();
        });
    });
}
