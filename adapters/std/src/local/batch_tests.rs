//! Batches on a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use coracle_core::{FileName, Version};
use tempfile::TempDir;

use super::{
    BatchCommitter, Directory, DownloadTarget, FinishedPart, LocalError, Origin, Part, Proof, Replace, Staging,
};

struct Place {
    home: TempDir,
    root: Arc<Directory>,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let root = Arc::new(Directory::open(home.path()).expect("open"));
        root.defer_syncs();
        Self { home, root }
    }

    fn staging(&self) -> Arc<Staging> {
        Arc::new(Staging::create(&self.root).expect("the tests run on a file system that can be synced as a whole"))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path()).expect("list");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn target(&self, path: &str) -> DownloadTarget {
        let (directory, name) = match path.rsplit_once('/') {
            Some((below, name)) => {
                (Arc::new(self.root.open_below(FileName::new(below).expect("a name")).expect("open")), name)
            }
            None => (self.root.clone(), path),
        };
        DownloadTarget::new(directory, name.as_ref())
    }

    fn part(&self, staging: &Arc<Staging>, path: &str, bytes: &[u8]) -> Part {
        let version = Version::new("v1").expect("a version");
        let origin = Origin { name: path.into(), peer: "host".into(), size: bytes.len() as u64, version };
        let part = self.target(path).create_part_of_batch(staging, origin, true).expect("create");
        let mut part = part.expect("every directory here is like the others");
        part.append(bytes).expect("append");
        part
    }

    fn finished(&self, staging: &Arc<Staging>, path: &str, bytes: &[u8], replace: Replace) -> FinishedPart {
        let part = self.part(staging, path, bytes);
        part.finish(Proof::Unchecked, Some(1_000_000_000), replace, false).expect("finish")
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("read")
}

#[test]
fn a_batch_gets_its_names_together_and_leaves_nothing() {
    let place = Place::new();
    let staging = place.staging();
    let mut committer = BatchCommitter::new(staging.clone(), true);
    let files = [("a", "1"), ("d/b", "22"), ("d/e/c", "")];
    let batch: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (*name, place.finished(&staging, name, bytes.as_bytes(), Replace::Nothing)))
        .collect();
    assert!(files.iter().all(|(name, _)| !place.path(name).exists()));
    assert!(committer.commit(batch).is_empty(), "no name is durable before the next sync");
    assert!(committer.is_pending());
    let outcomes = committer.flush();
    assert!(!committer.is_pending());
    for ((name, outcome), (expected, bytes)) in outcomes.iter().zip(files) {
        let stored = outcome.as_ref().expect("durable");
        assert_eq!((*name, &stored.path), (expected, &place.path(expected)));
        assert_eq!(stored.stamp, place.target(name).status().expect("status").map(|status| status.stamp()));
        assert_eq!(read(&place.path(name)), bytes.as_bytes());
        assert_eq!(fs::metadata(place.path(name)).expect("status").mtime(), 1_000_000_000);
    }
    assert_eq!(place.names(), [".coracle-batch-0", "a", "d"]);
    drop((committer, staging));
    assert_eq!(place.names(), ["a", "d"]);
}

#[test]
fn m3_a_batch_replaces_nothing_unasked() {
    let place = Place::new();
    let staging = place.staging();
    fs::write(place.path("a"), "old").expect("write");
    fs::write(place.path("b"), "old").expect("write");
    symlink("a", place.path("l")).expect("link");
    let mut committer = BatchCommitter::new(staging.clone(), false);
    let (nothing, anything) = (Replace::Nothing, Replace::Anything);
    let batch = [("a", nothing), ("b", anything), ("l", anything), ("c", nothing)];
    let batch = batch.map(|(name, replace)| (name, place.finished(&staging, name, b"new", replace)));
    let outcomes = committer.commit(batch.into());
    assert!(matches!(&outcomes[0], ("a", Err(LocalError::Exists(path))) if *path == place.path("a")), "{outcomes:?}");
    assert!(matches!(&outcomes[1], ("b", Ok(_))), "{outcomes:?}");
    assert!(matches!(&outcomes[2], ("l", Err(LocalError::Symlink(_)))), "{outcomes:?}");
    assert!(matches!(&outcomes[3], ("c", Ok(_))), "{outcomes:?}");
    assert_eq!(["a", "b", "c"].map(|name| read(&place.path(name))), [&b"old"[..], b"new", b"new"]);
    assert_eq!(fs::read_dir(place.path(".coracle-batch-0")).expect("list").count(), 1, "only the lock is left");
}

#[test]
fn a_file_of_a_batch_keeps_the_access_of_the_one_that_it_replaces() {
    let place = Place::new();
    let staging = place.staging();
    for (name, mode) in [("secret", 0o600), ("script", 0o755), ("read-only", 0o400)] {
        fs::write(place.path(name), "old").expect("write");
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).expect("chmod");
        let part = place.part(&staging, name, b"new");
        let batch = fs::read_dir(place.path(".coracle-batch-0")).expect("list");
        let modes = batch.map(|entry| entry.expect("entry").metadata().expect("status").mode() & 0o777);
        assert!(modes.filter(|open| open & !(mode | 0o644) != 0).count() == 0);
        let finished = part.finish(Proof::Unchecked, None, Replace::Anything, false).expect("finish");
        BatchCommitter::new(staging.clone(), false).commit(vec![((), finished)]);
        assert_eq!(fs::metadata(place.path(name)).expect("status").mode() & 0o777, mode, "{name}");
        assert_eq!(read(&place.path(name)), b"new");
    }
}

#[test]
fn what_is_not_whole_gets_no_name() {
    let place = Place::new();
    let staging = place.staging();
    let version = Version::new("v1").expect("a version");
    let origin = Origin { name: "a".into(), peer: "host".into(), size: 10, version };
    let create =
        || place.target("a").create_part_of_batch(&staging, origin.clone(), false).expect("create").expect("like");
    let mut part = create();
    part.append(b"01234").expect("append");
    assert!(matches!(part.finish(Proof::Unchecked, None, Replace::Nothing, false), Err(LocalError::Unproven(_))));
    let mut part = create();
    part.append(b"01234").expect("append");
    part.suspend().expect("suspend");
    assert_eq!(fs::read_dir(place.path(".coracle-batch-0")).expect("list").count(), 1, "only the lock is left");
}

#[test]
fn d1_what_a_killed_process_left_is_removed_and_nothing_else() {
    let place = Place::new();
    fs::create_dir(place.path(".coracle-batch-0")).expect("directory");
    fs::create_dir(place.path(".coracle-batch-1")).expect("directory");
    for name in [".coracle-batch-0/lock", ".coracle-batch-0/0", ".coracle-batch-0/17", ".coracle-batch-1/4"] {
        fs::write(place.path(name), "left").expect("write");
    }
    fs::write(place.path(".coracle-batch-1/notes.txt"), "precious").expect("write");
    fs::create_dir(place.path("mine")).expect("directory");
    fs::write(place.path("mine/1"), "precious").expect("write");
    symlink("mine", place.path(".coracle-batch-2")).expect("link");
    fs::write(place.path(".coracle-batch-3"), "precious").expect("write");
    Staging::remove_abandoned(&place.root);
    assert_eq!(place.names(), [".coracle-batch-1", ".coracle-batch-2", ".coracle-batch-3", "mine"]);
    assert_eq!(read(&place.path(".coracle-batch-1/notes.txt")), b"precious");
    assert_eq!(read(&place.path("mine/1")), b"precious");
    assert_eq!(fs::read_dir(place.path(".coracle-batch-1")).expect("list").count(), 1);
}

#[test]
fn m17_processes_do_not_take_each_others_batches() {
    let place = Place::new();
    let (one, two) = (place.staging(), place.staging());
    assert_eq!(place.names(), [".coracle-batch-0", ".coracle-batch-1"]);
    let first = place.finished(&one, "a", b"1", Replace::Nothing);
    Staging::remove_abandoned(&place.root);
    let second = place.finished(&two, "b", b"2", Replace::Nothing);
    drop(place.finished(&two, "c", b"3", Replace::Nothing));
    BatchCommitter::new(two, false).commit(vec![((), second)]);
    assert_eq!(place.names(), [".coracle-batch-0", "b"]);
    BatchCommitter::new(one, false).commit(vec![((), first)]);
    assert_eq!(place.names(), ["a", "b"]);
    let all: Vec<_> = (0..16).map(|_| place.staging()).collect();
    assert!(Staging::create(&place.root).is_none());
    drop(all);
    assert_eq!(place.names(), ["a", "b"]);
}

#[test]
fn files_that_would_differ_are_no_files_of_a_batch() {
    let place = Place::new();
    let staging = place.staging();
    fs::create_dir(place.path("shared")).expect("directory");
    fs::set_permissions(place.path("shared"), fs::Permissions::from_mode(0o2775)).expect("chmod");
    let version = Version::new("v1").expect("a version");
    let origin = Origin { name: "a".into(), peer: "host".into(), size: 0, version };
    assert!(place.target("shared/a").create_part_of_batch(&staging, origin.clone(), false).expect("create").is_none());
    // The directory of the batch was removed under it.
    fs::remove_dir_all(place.path(".coracle-batch-0")).expect("remove");
    assert!(place.target("a").create_part_of_batch(&staging, origin, false).expect("create").is_none());
}
