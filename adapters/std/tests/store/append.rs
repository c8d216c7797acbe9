//! Files that are only appended to.

use std::fs::{self, OpenOptions};
use std::io::Write;

use coracle::store::{DirectoryStore, SingleFileStore};
use coracle_core::{DigestKind, FileInfo, FileName, Hasher, Store};

use crate::fixture::Tree;

const NAME: FileName<'static> = FileName::from_static("boot.log");

fn store(tree: &Tree) -> DirectoryStore {
    tree.store().with_append_only(|name| name.as_str().ends_with(".log"))
}

fn info<S: Store>(mut store: S, name: FileName<'_>) -> FileInfo {
    let file = store.open(name).expect("opened");
    store.info(&file).expect("info")
}

fn append(tree: &Tree, name: &str, bytes: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().append(true).open(tree.path(name)).expect("opened for appending");
    file.write_all(bytes.as_ref()).expect("appended");
}

/// Longer than what is compared of the beginning and of the end.
fn long(first: u8) -> Vec<u8> {
    (first..=255).cycle().take(10_000).collect()
}

#[test]
fn the_version_stays_while_it_grows_and_is_its_own() {
    let tree = Tree::new();
    for name in ["boot.log", "other.log", "plain.txt"] {
        tree.write(name, "");
    }
    let store = store(&tree);
    let first = info(&store, NAME);
    assert_ne!(first.version, info(&store, FileName::from_static("other.log")).version);
    let mut size = 0;
    for piece in [&b"a"[..], &long(0), &long(7), b"b"] {
        append(&tree, "boot.log", piece);
        size += u64::try_from(piece.len()).expect("a length");
        let now = info(&store, NAME);
        assert_eq!((now.size, now.version), (size, first.version.clone()));
    }
    // Others have the rule that they had.
    let name = FileName::from_static("plain.txt");
    let before = info(&store, name);
    append(&tree, "plain.txt", "a");
    assert_ne!(info(&store, name).version, before.version);
}

/// What an exchange does: it asks again behind the last byte, of the file that it has open.
#[test]
fn s2_a_file_that_grows_while_it_is_sent_has_not_changed() {
    let tree = Tree::new();
    tree.write("boot.log", long(0));
    let store = store(&tree);
    let mut store = &store;
    let file = store.open(NAME).expect("opened");
    let begin = store.info(&file).expect("info");
    append(&tree, "boot.log", "more");
    let end = store.info(&file).expect("info");
    assert_eq!((&begin.version, begin.size, end.size), (&end.version, 10_000, 10_004));
    // The digest of what it was is not given out for what it is.
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("a digest");
    hasher.update(&long(0));
    store.remember_digest(&file, &begin, &hasher.finish());
    let file = store.open(NAME).expect("opened");
    assert_eq!(store.known_digest(&file, DigestKind::Crc32), None);
}

#[test]
fn l1_each_way_to_begin_anew_gives_a_version_that_it_never_had() {
    let tree = Tree::new();
    tree.write("boot.log", long(0));
    let store = store(&tree);
    let mut seen = vec![info(&store, NAME).version];
    let mut check = |what: &str| {
        let version = info(&store, NAME).version;
        assert!(!seen.contains(&version), "{what}");
        append(&tree, "boot.log", "more");
        assert_eq!(info(&store, NAME).version, version, "{what}");
        seen.push(version);
    };
    let truncate = |len: u64| {
        let file = OpenOptions::new().write(true).open(tree.path("boot.log")).expect("opened");
        file.set_len(len).expect("truncated");
    };
    truncate(0);
    check("truncated");
    truncate(0);
    tree.write("boot.log", long(0));
    check("truncated, and grown past its length with what it began with");
    fs::rename(tree.path("boot.log"), tree.path("boot.log.1")).expect("renamed");
    tree.write("boot.log", long(0));
    check("replaced by a file with the same contents");
    fs::remove_file(tree.path("boot.log")).expect("removed");
    tree.write("boot.log", "");
    check("replaced by an empty file, which may have the inode of the one before");
    truncate(0);
    check("truncated again");
    tree.write("boot.log", long(0));
    check("grown past its length, with other bytes at its old end");
    let same_size = fs::metadata(tree.path("boot.log")).expect("metadata").len();
    let mut other = long(1);
    other.resize(usize::try_from(same_size).expect("small"), b'x');
    tree.write("boot.log", other);
    check("rewritten to the same size");
}

/// The line L2 of the faults, at the server: only the bytes before the old end show it.
#[test]
fn l2_truncated_and_grown_past_its_length_between_two_looks() {
    let tree = Tree::new();
    let mut contents = vec![b'='; 20_000];
    contents.extend(b"the last line\n");
    tree.write("boot.log", &contents);
    let store = store(&tree);
    let before = info(&store, NAME).version;
    let mut next = vec![b'='; 30_000];
    next.extend(b"another last line\n");
    tree.write("boot.log", &next);
    assert_ne!(info(&store, NAME).version, before);
}

#[test]
fn the_version_survives_a_restart_once_there_is_a_beginning() {
    let tree = Tree::new();
    tree.write("boot.log", long(0));
    let before = info(&store(&tree), NAME).version;
    append(&tree, "boot.log", "more");
    assert_eq!(info(&store(&tree), NAME).version, before);
    tree.write("boot.log", long(1));
    assert_ne!(info(&store(&tree), NAME).version, before);
}

#[test]
fn one_file_can_be_such_a_file_too() {
    let tree = Tree::new();
    tree.write("boot.log", "a");
    let path = tree.path("boot.log");
    for (is_append_only, stays) in [(true, true), (false, false)] {
        let store = SingleFileStore::open(&path).expect("a store").with_append_only(is_append_only);
        let before = info(&store, NAME).version;
        append(&tree, "boot.log", "b");
        assert_eq!(info(&store, NAME).version == before, stays);
    }
}
