//! Large directories, and directories that change while they are listed.

use std::collections::BTreeSet;
use std::fs;
#[cfg(unix)]
use std::time::{Duration, UNIX_EPOCH};

use coracle_core::{EntryKind, FileName, Listed, Store};

use crate::fixture::{Tree, listed};

#[test]
fn x7_a_directory_of_20000_files() {
    let tree = Tree::new();
    tree.make_directory("many");
    let mut expected = BTreeSet::new();
    for number in 0..20_000 {
        let name = format!("many/file-{number:05}.bin");
        if number % 100 == 0 {
            tree.write(&name, "x".repeat(number / 100));
            expected.insert(format!("{name} {}", number / 100));
        } else {
            tree.write(&name, "");
            expected.insert(format!("{name} 0"));
        }
    }
    let (lines, skipped) = listed(&tree.store(), Some("many")).expect("listed");
    assert_eq!((lines.len(), skipped), (20_000, 0));
    assert!(lines.into_iter().collect::<BTreeSet<_>>() == expected, "the lists differ");
}

#[cfg(unix)]
#[test]
fn entries_have_size_and_time() {
    let tree = Tree::new();
    tree.make_directory("d/e");
    tree.write("d/f", "12345");
    let file = fs::File::options().write(true).open(tree.path("d/f")).expect("opened");
    file.set_modified(UNIX_EPOCH + Duration::from_millis(1_763_769_600_900)).expect("a time");
    tree.link("d/link", "f");
    tree.write("d/ancient", "");
    let file = fs::File::options().write(true).open(tree.path("d/ancient")).expect("opened");
    file.set_modified(UNIX_EPOCH - Duration::from_millis(1)).expect("a time");
    tree.link("d/ancient-link", "ancient");

    let store = tree.store();
    let mut store = &store;
    let mut listing = store.list(Some(FileName::from_static("d"))).expect("a listing");
    let mut seen = 0;
    while let Listed::Entry(entry) = store.next(&mut listing).expect("an entry") {
        let expected = match entry.name.as_str() {
            "d/e" => EntryKind::Directory { link: false },
            "d/f" | "d/link" => EntryKind::File { size: 5, modified: Some(1_763_769_600) },
            "d/ancient" | "d/ancient-link" => EntryKind::File { size: 0, modified: None },
            other => panic!("{other}"),
        };
        assert_eq!(entry.kind, expected, "{}", entry.name);
        // The listing agrees with opening.
        if let EntryKind::File { size, modified } = entry.kind {
            let file = store.open(entry.name).expect("opened");
            let info = store.info(&file).expect("info");
            assert_eq!((info.size, info.modified), (size, modified), "{}", entry.name);
        }
        seen += 1;
    }
    assert_eq!(seen, 5);
    assert_eq!(store.next(&mut listing), Ok(Listed::End), "the end stays the end");
}

#[cfg(unix)]
#[test]
fn entries_removed_during_a_listing_are_left_out() {
    let tree = Tree::new();
    // So few that the first call reads all names ahead.
    for name in ["a", "b", "c"] {
        tree.write(name, "");
        tree.link(format!("link-to-{name}"), name);
    }
    let store = tree.store();
    let mut store = &store;
    let mut listing = store.list(None).expect("a listing");
    let Ok(Listed::Entry(_)) = store.next(&mut listing) else { panic!("no entry") };
    for entry in fs::read_dir(tree.root()).expect("entries") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    assert_eq!(store.next(&mut listing), Ok(Listed::End), "neither an entry nor a skipped one");
}

#[test]
fn a_directory_that_is_moved_or_removed_while_it_is_listed() {
    let tree = Tree::new();
    tree.make_directory("d");
    for number in 0..2_000 {
        tree.write(format!("d/{number}"), "1");
    }
    let store = tree.store();
    let mut store = &store;
    let mut listing = store.list(Some(FileName::from_static("d"))).expect("a listing");
    let mut seen = 0;
    while let Listed::Entry(entry) = store.next(&mut listing).expect("an entry") {
        assert!(matches!(entry.kind, EntryKind::File { size: 1, .. }));
        seen += 1;
        if seen == 10 {
            fs::rename(tree.path("d"), tree.outside().join("d")).expect("moved");
        }
    }
    assert_eq!(seen, 2_000);

    fs::rename(tree.outside().join("d"), tree.path("d")).expect("moved back");
    let mut listing = store.list(Some(FileName::from_static("d"))).expect("a listing");
    assert!(matches!(store.next(&mut listing), Ok(Listed::Entry(_))));
    fs::remove_dir_all(tree.path("d")).expect("removed");
    assert_eq!(store.next(&mut listing), Ok(Listed::End));
}

#[test]
fn listings_do_not_disturb_each_other() {
    let tree = Tree::new();
    for number in 0..500 {
        tree.write(number.to_string(), "");
    }
    let store = tree.store();
    let mut store = &store;
    let (mut one, mut two) = (store.list(None).expect("a listing"), store.list(None).expect("a listing"));
    let mut count = 0;
    while let Listed::Entry(entry) = store.next(&mut one).expect("an entry") {
        let name = entry.name.as_str().to_owned();
        let Listed::Entry(other) = store.next(&mut two).expect("an entry") else { panic!("too few") };
        assert_eq!(other.name.as_str(), name);
        count += 1;
    }
    assert_eq!(count, 500);
    assert_eq!(listed(store, None).map(|(lines, _)| lines.len()), Ok(500));
}
