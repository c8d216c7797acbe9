//! Small files that are kept in memory: what a client gets is the same as without.

use std::fs::{self, FileTimes, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, SystemTime};

use coracle::store::DirectoryStore;
use coracle_core::{FileInfo, FileName, Store, StoreError};

use crate::fixture::{SECRET, Tree, contents, just_after};

const OLD: Duration = Duration::from_secs(3_600);

/// Longer than a file takes to settle.
fn settle() {
    thread::sleep(Duration::from_millis(2_100));
}

/// Whether the file came from memory, and what is told of it.
fn open(mut store: &DirectoryStore, name: &str) -> (bool, FileInfo) {
    let file = store.open(FileName::new(name).expect("a file name")).expect("opened");
    let info = store.info(&file).expect("info");
    (file.as_std().is_none(), info)
}

fn is_kept(store: &DirectoryStore, name: &str) -> bool {
    open(store, name).0
}

#[test]
fn only_small_files_that_have_settled_are_kept() {
    let tree = Tree::new();
    let store = tree.store();
    for (name, len) in [("empty", 0), ("page", 4096), ("longer", 4097)] {
        let is_kept = just_after(|| tree.write(name, vec![7; len]), || is_kept(&store, name));
        assert!(!is_kept, "{name} has just changed");
    }
    settle();
    let without = tree.store().kept_files(0);
    for (name, expected) in [("empty", true), ("page", true), ("longer", false), ("fresh", false)] {
        for _ in 0..2 {
            let change = || {
                if name == "fresh" {
                    tree.write(name, "a");
                }
            };
            assert_eq!(just_after(change, || is_kept(&store, name)), expected, "{name}");
            assert!(!is_kept(&without, name), "{name}");
            assert_eq!(open(&store, name).1, open(&without, name).1, "{name}");
            assert_eq!(contents(&store, name), contents(&without, name), "{name}");
        }
    }
    assert_eq!(contents(&store, "page"), Ok(vec![7; 4096]));
}

#[test]
fn reading_behind_the_end_finds_nothing() {
    let tree = Tree::new();
    tree.write("f", "12345");
    settle();
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("f")).expect("opened");
    assert!(file.as_std().is_none());
    let mut buf = [0; 3];
    assert_eq!(store.read(&mut file, 3, &mut buf), Ok(2));
    assert_eq!(&buf[..2], b"45");
    for offset in [5, 6, u64::MAX] {
        assert_eq!(store.read(&mut file, offset, &mut buf), Ok(0), "{offset}");
    }
}

#[test]
fn s4_every_kind_of_change_is_seen_at_once() {
    let tree = Tree::new();
    tree.make_directory("d");
    let names =
        ["rewritten", "restored", "replaced", "removed", "forbidden", "made-a-link", "made-a-directory", "d/moved"];
    for name in names {
        tree.write(name, "before");
    }
    settle();
    let store = tree.store();
    for name in names {
        assert!(is_kept(&store, name), "{name}");
        assert_eq!(contents(&store, name), Ok(b"before".to_vec()), "{name}");
    }
    let before: Vec<FileInfo> = names.map(|name| open(&store, name).1).into();

    tree.write("rewritten", "behind");
    let modified = fs::metadata(tree.path("restored")).and_then(|metadata| metadata.modified()).expect("a time");
    tree.write("restored", "behind");
    let file = OpenOptions::new().write(true).open(tree.path("restored")).expect("opened");
    file.set_times(FileTimes::new().set_modified(modified)).expect("the old time");
    tree.write("other", "behind");
    fs::rename(tree.path("other"), tree.path("replaced")).expect("replaced");
    fs::remove_file(tree.path("removed")).expect("removed");
    fs::set_permissions(tree.path("forbidden"), fs::Permissions::from_mode(0o600)).expect("other permissions");
    for name in ["made-a-link", "made-a-directory"] {
        fs::remove_file(tree.path(name)).expect("removed");
    }
    tree.link("made-a-link", tree.outside().join("secret"));
    tree.make_directory("made-a-directory");
    fs::rename(tree.path("d"), tree.path("e")).expect("moved");

    for (name, before) in names.into_iter().zip(before).take(3) {
        assert_eq!(contents(&store, name), Ok(b"behind".to_vec()), "{name}");
        assert_ne!(open(&store, name).1.version, before.version, "{name}");
    }
    assert_eq!(contents(&store, "removed"), Err(StoreError::NotFound));
    assert!(!is_kept(&store, "forbidden"), "it is opened again, by whoever may");
    assert_eq!(contents(&store, "made-a-link"), Err(StoreError::Denied));
    assert_eq!(contents(&store, "made-a-directory"), Err(StoreError::NotFile));
    assert_eq!(contents(&store, "d/moved"), Err(StoreError::NotFound));
    assert_eq!(contents(&store, "e/moved"), Ok(b"before".to_vec()));
}

/// A directory of the name that becomes a link to one outside leads to other files there, even of the same size and times.
#[test]
fn p13_a_directory_that_becomes_a_link_brings_out_nothing() {
    let tree = Tree::new();
    tree.make_directory("d");
    tree.write("d/secret", SECRET);
    let old = SystemTime::now() - OLD;
    for path in [tree.path("d/secret"), tree.outside().join("secret")] {
        let file = OpenOptions::new().write(true).open(path).expect("opened");
        file.set_times(FileTimes::new().set_modified(old)).expect("a time");
    }
    settle();
    let store = tree.store();
    assert!(is_kept(&store, "d/secret"));
    fs::rename(tree.path("d"), tree.path("gone")).expect("moved");
    tree.link("d", tree.outside());
    assert_eq!(contents(&store, "d/secret"), Err(StoreError::Denied));
}

#[test]
fn p14_what_a_link_leads_to_is_opened_each_time() {
    let tree = Tree::new();
    tree.write("f", "first");
    tree.write("g", "second");
    tree.link("link", "f");
    settle();
    let store = tree.store();
    for _ in 0..2 {
        assert!(!is_kept(&store, "link"));
        assert_eq!(contents(&store, "link"), Ok(b"first".to_vec()));
    }
    fs::remove_file(tree.path("link")).expect("removed");
    tree.link("link", "g");
    assert_eq!(contents(&store, "link"), Ok(b"second".to_vec()));
}

#[test]
fn their_number_is_bounded() {
    let tree = Tree::new();
    for number in 0..20 {
        tree.write(format!("f{number}"), format!("contents of {number}"));
    }
    settle();
    let store = tree.store().kept_files(8);
    for _ in 0..2 {
        for number in 0..20 {
            let expected = format!("contents of {number}").into_bytes();
            assert_eq!(contents(&store, &format!("f{number}")), Ok(expected));
        }
    }
    assert_eq!(store.kept_count(), 8);
    assert_eq!(tree.store().kept_files(0).kept_count(), 0);
}

#[test]
fn an_open_one_stays_what_it_was() {
    let tree = Tree::new();
    tree.write("f", "before");
    settle();
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("f")).expect("opened");
    let info = store.info(&file).expect("info");
    tree.write("f", "behind");
    let mut buf = [0; 16];
    let len = store.read(&mut file, 0, &mut buf).expect("read");
    assert_eq!((&buf[..len], store.info(&file)), (&b"before"[..], Ok(info)));
}
