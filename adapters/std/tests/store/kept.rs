//! Small files that are kept in memory: what a client gets is the same as without.

use std::fs::{self, FileTimes, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use coracle::store::DirectoryStore;
use coracle_core::{FileInfo, FileName, Store, StoreError};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Resource, getrlimit};

use crate::fixture::{SECRET, Tree, contents, just_after, with_fault};

/// The kernel's own, on every Linux.
const TMPFS: &str = "/dev/shm";

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
            let file = (&store).open(FileName::from_static(name)).expect("opened");
            let is_constant = file.as_std().is_none();
            assert_eq!((&store).is_constant(&file), is_constant, "{name}");
            assert_eq!((&mut &store).is_current(&file), is_constant, "{name}");
            assert!(!is_kept(&without, name), "{name}");
            assert_eq!(open(&store, name).1, open(&without, name).1, "{name}");
            assert_eq!(contents(&store, name), contents(&without, name), "{name}");
        }
    }
    assert_eq!(contents(&store, "page"), Ok(vec![7; 4096]));
}

#[test]
fn one_answer_is_kept_for_all_as_long_as_its_file() {
    let tree = Tree::new();
    tree.write("f", "12345");
    tree.write("longer", vec![7; 4097]);
    settle();
    let store = tree.store();
    let mut store = &store;
    let [first, second, longer] = ["f", "f", "longer"].map(|name| store.open(FileName::from_static(name)).expect(name));
    assert_eq!(store.kept_answer(&first), None);
    for (file, answer) in [(&first, "one"), (&second, "two"), (&longer, "none")] {
        store.keep_answer(file, answer.as_bytes());
    }
    let third = store.open(FileName::from_static("f")).expect("there");
    for file in [&first, &second, &third] {
        assert_eq!(store.kept_answer(file), Some(&b"one"[..]));
    }
    assert_eq!(store.kept_answer(&longer), None, "it may change");
    tree.write("f", "54321");
    settle();
    let changed = store.open(FileName::from_static("f")).expect("there");
    assert!(store.is_constant(&changed) && !store.is_current(&first));
    assert_eq!((store.kept_answer(&changed), store.kept_answer(&first)), (None, Some(&b"one"[..])));
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
    every_kind_of_change_is_seen_at_once(&Tree::new());
}

#[test]
fn s4_every_kind_of_change_is_seen_at_once_on_tmpfs() {
    every_kind_of_change_is_seen_at_once(&Tree::within(Path::new(TMPFS)));
}

fn every_kind_of_change_is_seen_at_once(tree: &Tree) {
    tree.make_directory("d");
    let names = [
        "rewritten",
        "restored",
        "replaced",
        "exchanged",
        "removed",
        "forbidden",
        "moved",
        "linked",
        "made-a-link",
        "made-a-directory",
        "d/moved",
    ];
    for name in names {
        tree.write(name, "before");
    }
    settle();
    let store = tree.store();
    for name in names {
        // The second time it is its name that is asked, and the third time itself.
        for _ in 0..3 {
            assert!(is_kept(&store, name), "{name}");
        }
        assert_eq!(contents(&store, name), Ok(b"before".to_vec()), "{name}");
    }
    assert_eq!(store.kept_count(), names.len());
    let before: Vec<FileInfo> = names.map(|name| open(&store, name).1).into();
    let mut shared = &store;
    let held = names.map(|name| {
        let file = shared.open(FileName::from_static(name)).expect("opened");
        assert!(shared.is_constant(&file) && shared.is_current(&file), "{name}");
        (name, file)
    });

    tree.write("rewritten", "behind");
    let modified = fs::metadata(tree.path("restored")).and_then(|metadata| metadata.modified()).expect("a time");
    tree.write("restored", "behind");
    let file = OpenOptions::new().write(true).open(tree.path("restored")).expect("opened");
    file.set_times(FileTimes::new().set_modified(modified)).expect("the old time");
    tree.write("other", "behind");
    fs::rename(tree.path("other"), tree.path("replaced")).expect("replaced");
    tree.write("other", "behind");
    renameat_with(CWD, tree.path("other"), CWD, tree.path("exchanged"), RenameFlags::EXCHANGE).expect("exchanged");
    fs::remove_file(tree.path("removed")).expect("removed");
    fs::rename(tree.path("moved"), tree.path("moved-on")).expect("moved");
    fs::hard_link(tree.path("linked"), tree.path("second-name")).expect("linked");
    fs::remove_file(tree.path("linked")).expect("removed");
    fs::set_permissions(tree.path("forbidden"), fs::Permissions::from_mode(0o600)).expect("other permissions");
    for name in ["made-a-link", "made-a-directory"] {
        fs::remove_file(tree.path(name)).expect("removed");
    }
    tree.link("made-a-link", tree.outside().join("secret"));
    tree.make_directory("made-a-directory");
    fs::rename(tree.path("d"), tree.path("e")).expect("moved");

    for (name, file) in &held {
        assert!(!shared.is_current(file), "{name}");
    }
    for (name, before) in names.into_iter().zip(before).take(4) {
        assert_eq!(contents(&store, name), Ok(b"behind".to_vec()), "{name}");
        assert_ne!(open(&store, name).1.version, before.version, "{name}");
    }
    for name in ["removed", "moved", "linked"] {
        assert_eq!(contents(&store, name), Err(StoreError::NotFound), "{name}");
    }
    assert!(!is_kept(&store, "forbidden"), "it is opened again, by whoever may");
    assert_eq!(contents(&store, "made-a-link"), Err(StoreError::Denied));
    assert_eq!(contents(&store, "made-a-directory"), Err(StoreError::NotFile));
    assert_eq!(contents(&store, "d/moved"), Err(StoreError::NotFound));
    assert_eq!(contents(&store, "e/moved"), Ok(b"before".to_vec()));
    assert_eq!(store.kept_count(), 1, "what has changed is kept no longer, and e/moved is");
}

/// What was hidden without being touched is seen a second later.
#[test]
fn right_beneath_the_root_a_file_is_asked_itself_and_its_name_once_a_second() {
    let tree = Tree::within(Path::new(TMPFS));
    tree.make_directory("d");
    for name in ["f", "d/f"] {
        tree.write(name, "contents");
    }
    settle();
    let store = tree.store();
    let found_without_names = || {
        let found = Mutex::default();
        let look = || *found.lock().expect("no panic") = ["f", "d/f"].map(|name| is_kept(&store, name));
        with_fault(&[libc::SYS_statx], libc::EIO, look);
        found.into_inner().expect("no panic")
    };
    let later = || thread::sleep(Duration::from_millis(1_100));
    loop {
        later();
        let begun = Instant::now();
        for _ in 0..2 {
            assert!(is_kept(&store, "f") && is_kept(&store, "d/f"));
        }
        let found = found_without_names();
        if begun.elapsed() < Duration::from_millis(900) {
            assert_eq!(found, [true, false]);
            break;
        }
    }
    later();
    assert_eq!(found_without_names(), [false, false]);
    assert_eq!(contents(&store, "f"), Ok(b"contents".to_vec()));
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
fn few_are_held_open() {
    let tree = Tree::within(Path::new(TMPFS));
    let names: Vec<String> = (0..100).map(|number| format!("f{number}")).collect();
    names.iter().for_each(|name| tree.write(name, name));
    settle();
    let store = tree.store();
    let held_open = || {
        let descriptors = fs::read_dir("/proc/self/fd").expect("a process has descriptors").flatten();
        let paths = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        paths.filter(|path| path.starts_with(tree.root()) && *path != tree.root()).count()
    };
    let ask_for_all = || names.iter().filter(|name| is_kept(&store, name)).count();
    assert_eq!(ask_for_all(), 100);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert_eq!(u64::try_from(held_open()), Ok(64.min(limit / 16)));
    just_after(|| names.iter().for_each(|name| tree.write(name, "else")), || assert_eq!(ask_for_all(), 0));
    assert_eq!(held_open(), 0);
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
