//! Cached digests: given out for the state that was hashed and for no other, and bounded in number.

use std::fs::{self, FileTimes, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::thread;
use std::time::{Duration, SystemTime};

use coracle::store::DirectoryStore;
use coracle_core::{Digest, DigestKind, FileName, Hasher, Store};

use crate::fixture::{Tree, contents, just_after};

/// Longer than a file takes to settle.
fn settle() {
    thread::sleep(Duration::from_millis(2_100));
}

fn known(mut store: &DirectoryStore, name: &str, kind: DigestKind) -> Option<Digest> {
    let file = store.open(FileName::new(name).expect("a file name")).expect("opened");
    store.info(&file).expect("info");
    store.known_digest(&file, kind)
}

/// Hashes the file and caches the digest, as a server does.
fn hash(mut store: &DirectoryStore, name: &str, kind: DigestKind) -> Digest {
    let file = store.open(FileName::new(name).expect("a file name")).expect("opened");
    let info = store.info(&file).expect("info");
    let mut hasher = Hasher::new(kind).expect("supported");
    hasher.update(&contents(store, name).expect("read"));
    let digest = hasher.finish();
    assert_eq!(store.info(&file).expect("info"), info);
    store.remember_digest(&file, &info, &digest);
    digest
}

#[test]
fn a_digest_is_cached_for_each_kind() {
    let tree = Tree::new();
    tree.write("f", "123456789");
    settle();
    let store = tree.store();
    assert_eq!(known(&store, "f", DigestKind::Crc32), None);
    assert_eq!(hash(&store, "f", DigestKind::Crc32), Digest::Crc32(0xcbf4_3926));
    assert_eq!(known(&store, "f", DigestKind::Crc32), Some(Digest::Crc32(0xcbf4_3926)));
    assert_eq!(known(&store, "f", DigestKind::Sha256), None);
    let sha256 = hash(&store, "f", DigestKind::Sha256);
    assert_eq!(known(&store, "f", DigestKind::Sha256), Some(sha256));
    assert_eq!(known(&store, "f", DigestKind::Crc32), Some(Digest::Crc32(0xcbf4_3926)));
    assert_eq!(store.cached_digests(), 2);

    // Under another name it is the same file; another store has another cache.
    #[cfg(unix)]
    {
        tree.link("link", "f");
        assert_eq!(known(&store, "link", DigestKind::Sha256), Some(sha256));
    }
    assert_eq!(known(&tree.store(), "f", DigestKind::Crc32), None);
    let uncached = tree.store().with_digest_cache(0);
    hash(&uncached, "f", DigestKind::Crc32);
    assert_eq!((known(&uncached, "f", DigestKind::Crc32), uncached.cached_digests()), (None, 0));
}

#[test]
fn every_kind_of_change_invalidates_a_digest() {
    let tree = Tree::new();
    let names = ["rewritten", "restored", "appended", "cut", "touched", "replaced", "linked", "untouched"];
    for name in names {
        tree.write(name, "123456789");
    }
    settle();
    let store = tree.store();
    for name in names {
        hash(&store, name, DigestKind::Crc32);
        assert!(known(&store, name, DigestKind::Crc32).is_some(), "{name}");
    }
    let open = |name: &str| OpenOptions::new().write(true).open(tree.path(name)).expect("opened");

    let rewrite = |mut file: &fs::File| file.seek(SeekFrom::Start(4)).and_then(|_| file.write_all(b"x"));
    rewrite(&open("rewritten")).expect("written");
    let old = fs::metadata(tree.path("restored")).and_then(|metadata| metadata.modified()).expect("a time");
    let file = open("restored");
    rewrite(&file).expect("written");
    file.set_times(FileTimes::new().set_modified(old)).expect("the time is put back");
    let mut file = OpenOptions::new().append(true).open(tree.path("appended")).expect("opened");
    file.write_all(b"x").expect("written");
    open("cut").set_len(8).expect("cut");
    open("touched").set_modified(SystemTime::now()).expect("touched");
    tree.write("new", "123456789");
    fs::rename(tree.path("new"), tree.path("replaced")).expect("replaced");
    fs::hard_link(tree.path("linked"), tree.path("another")).expect("linked");
    for name in names {
        assert_eq!(known(&store, name, DigestKind::Crc32).is_some(), name == "untouched", "{name}");
    }
}

#[test]
fn the_digest_of_a_file_that_just_changed_is_not_cached() {
    let tree = Tree::new();
    let store = tree.store();
    let cached = just_after(
        || tree.write("f", "123456789"),
        || {
            hash(&store, "f", DigestKind::Crc32);
            (known(&store, "f", DigestKind::Crc32), store.cached_digests())
        },
    );
    assert_eq!(cached, (None, 0));

    // Opened before it settled: what was read proves nothing.
    let mut early = &store;
    let (file, info) = just_after(
        || tree.write("f", "123456789"),
        || {
            let mut early = &store;
            let file = early.open(FileName::from_static("f")).expect("opened");
            let info = early.info(&file).expect("info");
            (file, info)
        },
    );
    settle();
    early.remember_digest(&file, &info, &Digest::Crc32(1));
    assert_eq!(store.cached_digests(), 0);

    // From the future.
    let later = SystemTime::now() + Duration::from_secs(1_000);
    OpenOptions::new().write(true).open(tree.path("f")).and_then(|f| f.set_modified(later)).expect("a time");
    settle();
    hash(&store, "f", DigestKind::Crc32);
    assert_eq!(store.cached_digests(), 0);
}

#[test]
fn the_digest_of_a_file_that_changed_meanwhile_is_not_cached() {
    let tree = Tree::new();
    tree.write("f", "123456789");
    settle();
    let store = tree.store();
    let mut shared = &store;
    let file = shared.open(FileName::from_static("f")).expect("opened");
    let first = shared.info(&file).expect("info");
    tree.write("f", "987654321");
    let second = shared.info(&file).expect("info");
    for info in [&first, &second] {
        shared.remember_digest(&file, info, &Digest::Crc32(1));
        assert_eq!(store.cached_digests(), 0);
    }
    // The state that was returned last counts.
    assert_eq!(shared.known_digest(&file, DigestKind::Crc32), None);
}

#[test]
fn the_number_of_digests_is_bounded() {
    let tree = Tree::new();
    for number in 0..300 {
        tree.write(number.to_string(), number.to_string());
    }
    settle();
    let store = tree.store().with_digest_cache(100);
    let oldest = hash(&store, "0", DigestKind::Crc32);
    for number in 1..300 {
        hash(&store, &number.to_string(), DigestKind::Crc32);
        assert_eq!(known(&store, "0", DigestKind::Crc32), Some(oldest), "one that is used stays");
        assert!(store.cached_digests() <= 100);
    }
    assert_eq!(store.cached_digests(), 100);
    let still_known = (0..300).filter(|number| known(&store, &number.to_string(), DigestKind::Crc32).is_some());
    assert_eq!(still_known.count(), 100);
}

#[test]
fn threads_share_the_digest_cache() {
    let tree = Tree::new();
    for number in 0..40 {
        tree.write(number.to_string(), number.to_string());
    }
    settle();
    let store = tree.store().with_digest_cache(10);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..40 {
                    let name = number.to_string();
                    let digest = hash(&store, &name, DigestKind::Crc32);
                    let known = known(&store, &name, DigestKind::Crc32);
                    assert!(known.is_none() || known == Some(digest));
                }
            });
        }
    });
    assert_eq!(store.cached_digests(), 10);
}
