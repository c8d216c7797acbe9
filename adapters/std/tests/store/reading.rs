//! Open files: contents, versions, and changes.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write;
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
#[cfg(unix)]
use std::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coracle::store::DirectoryStore;
use coracle_core::{FileInfo, FileName, Store, StoreError};
#[cfg(unix)]
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::fixture::{Tree, contents, just_after};

fn info(mut store: &DirectoryStore, name: &str) -> FileInfo {
    let file = store.open(FileName::new(name).expect("a file name")).expect("opened");
    store.info(&file).expect("info")
}

fn set_modified(tree: &Tree, name: &str, time: SystemTime) {
    let file = OpenOptions::new().write(true).open(tree.path(name)).expect("opened for writing");
    file.set_times(FileTimes::new().set_modified(time)).expect("times are set");
}

#[test]
fn k2_any_piece_can_be_read() {
    let tree = Tree::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    tree.write("f", &bytes);
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("f")).expect("opened");
    let mut buf = [0; 777];
    for offset in (0..10_100).rev() {
        let len = store.read(&mut file, u64::try_from(offset).expect("small"), &mut buf).expect("read");
        assert_eq!(buf.get(..len), bytes.get(offset..(offset + buf.len()).min(bytes.len())).or(Some(&[])));
    }
    for offset in
        [1 << 40, i64::MAX.cast_unsigned() - 3, i64::MAX.cast_unsigned(), i64::MAX.cast_unsigned() + 1, u64::MAX]
    {
        assert_eq!(store.read(&mut file, offset, &mut buf), Ok(0), "{offset}");
    }
    assert_eq!(store.read(&mut file, 0, &mut []), Ok(0));
}

#[test]
fn r7_an_empty_file() {
    let tree = Tree::new();
    tree.write("empty", "");
    assert_eq!(info(&tree.store(), "empty").size, 0);
    assert_eq!(contents(&tree.store(), "empty"), Ok(vec![]));
}

#[test]
fn r8_a_sparse_file_of_5_gib() {
    let tree = Tree::new();
    let size = 5 << 30;
    File::create(tree.path("sparse")).and_then(|file| file.set_len(size)).expect("a sparse file");
    assert_eq!(info(&tree.store(), "sparse").size, size);
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("sparse")).expect("opened");
    let mut buf = [1; 16];
    assert_eq!(store.read(&mut file, size - 5, &mut buf), Ok(5));
    assert_eq!(buf, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(store.read(&mut file, size, &mut buf), Ok(0));
}

#[test]
fn r12_times_before_1970_and_after_2106() {
    let tree = Tree::new();
    tree.write("f", "");
    for (time, expected) in [
        (UNIX_EPOCH - Duration::from_secs(1_000_000_000), None),
        (UNIX_EPOCH - Duration::from_millis(500), None),
        (UNIX_EPOCH, Some(0)),
        (UNIX_EPOCH + Duration::from_millis(1_500), Some(1)),
        (UNIX_EPOCH + Duration::from_secs(5_000_000_000), Some(5_000_000_000)),
    ] {
        set_modified(&tree, "f", time);
        assert_eq!(info(&tree.store(), "f").modified, expected, "{time:?}");
    }
}

#[test]
fn the_version_outlives_a_restart_and_shows_every_change() {
    let tree = Tree::new();
    tree.write("f", "abc");
    let first = info(&tree.store(), "f");
    assert_eq!(first.version.as_str().len(), 32);
    assert_eq!(info(&tree.store(), "f"), first, "another server");

    let changes: [(&str, &dyn Fn()); 6] = [
        ("rewritten in place", &|| fs::write(tree.path("f"), "abd").expect("written")),
        ("rewritten, and the time put back", &|| {
            let old = fs::metadata(tree.path("f")).and_then(|metadata| metadata.modified()).expect("a time");
            fs::write(tree.path("f"), "abe").expect("written");
            set_modified(&tree, "f", old);
        }),
        ("appended to", &|| {
            let mut file = OpenOptions::new().append(true).open(tree.path("f")).expect("opened");
            file.write_all(b"f").expect("written");
        }),
        ("cut", &|| OpenOptions::new().write(true).open(tree.path("f")).and_then(|f| f.set_len(1)).expect("cut")),
        ("touched", &|| set_modified(&tree, "f", SystemTime::now())),
        ("replaced by an equal one", &|| {
            fs::copy(tree.path("f"), tree.path("g")).expect("copied");
            fs::rename(tree.path("g"), tree.path("f")).expect("renamed");
        }),
    ];
    let mut seen = vec![first.version];
    for (what, change) in changes {
        // The kernel's clock for files is as fine as a tick: some milliseconds.
        thread::sleep(Duration::from_millis(20));
        change();
        let version = info(&tree.store(), "f").version;
        assert!(!seen.contains(&version), "{what}");
        seen.push(version);
    }
}

#[test]
fn s3_a_removed_file_stays_readable() {
    let tree = Tree::new();
    tree.write("f", "old");
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("f")).expect("opened");
    fs::remove_file(tree.path("f")).expect("removed");
    let mut buf = [0; 8];
    assert_eq!(store.read(&mut file, 0, &mut buf), Ok(3));
    assert_eq!(store.open(FileName::from_static("f")).err(), Some(StoreError::NotFound));
}

#[test]
fn s4_a_replaced_file_keeps_its_contents_and_version() {
    let tree = Tree::new();
    tree.write("f", "old");
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("f")).expect("opened");
    let first = store.info(&file).expect("info");
    tree.write("g", "brand new");
    fs::rename(tree.path("g"), tree.path("f")).expect("replaced");
    let mut buf = [0; 16];
    assert_eq!(store.read(&mut file, 0, &mut buf), Ok(3));
    assert_eq!(&buf[..3], b"old");
    assert_eq!(store.info(&file).expect("info").size, first.size);
    assert_ne!(info(store, "f").version, first.version);
}

#[test]
fn s1_s2_a_file_that_shrinks_or_grows_has_another_version() {
    let tree = Tree::new();
    tree.write("f", "0123456789");
    let store = tree.store();
    let mut store = &store;
    let mut file = store.open(FileName::from_static("f")).expect("opened");
    let first = store.info(&file).expect("info");
    thread::sleep(Duration::from_millis(20));
    let writer = OpenOptions::new().write(true).open(tree.path("f")).expect("opened");
    writer.set_len(4).expect("cut");
    let mut buf = [0; 16];
    assert_eq!(store.read(&mut file, 0, &mut buf), Ok(4));
    assert_eq!(store.read(&mut file, 4, &mut buf), Ok(0));
    let second = store.info(&file).expect("info");
    assert_eq!(second.size, 4);
    assert_ne!(second.version, first.version);
    thread::sleep(Duration::from_millis(20));
    writer.set_len(12).expect("grown");
    let third = store.info(&file).expect("info");
    assert_eq!(third.size, 12);
    assert!(third.version != first.version && third.version != second.version);
}

/// The first `info` is of the moment of opening, so that it and the one at the end enclose every read.
#[test]
fn s8_a_change_between_opening_and_info_is_seen() {
    let tree = Tree::new();
    tree.write("f", "0123456789");
    let store = tree.store();
    let mut store = &store;
    let file = store.open(FileName::from_static("f")).expect("opened");
    thread::sleep(Duration::from_millis(20));
    tree.write("f", "0123");
    let first = store.info(&file).expect("info");
    assert_eq!(first.size, 10);
    assert_ne!(store.info(&file).expect("info").version, first.version);
}

/// While the name is replaced as fast as possible, what was opened decides, not what was there before.
#[cfg(unix)]
#[test]
fn s8_a_name_that_becomes_a_directory_or_a_link_while_it_is_opened() {
    let tree = Tree::new();
    tree.write("name", "file");
    tree.make_directory("other");
    tree.link("link", "../outside/secret");
    let store = tree.store();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for other in ["other", "link"] {
                    let (from, to) = (tree.path("name"), tree.path(other));
                    renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).expect("exchanged");
                }
            }
        });
        let mut seen = [0; 3];
        let mut other = None;
        let begin = Instant::now();
        while other.is_none() && (begin.elapsed() < Duration::from_millis(200) || seen.contains(&0)) {
            match contents(&store, "name") {
                Ok(bytes) if bytes == b"file" => seen[0] += 1,
                Err(StoreError::NotFile) => seen[1] += 1,
                Err(StoreError::Denied) => seen[2] += 1,
                answer => other = Some(answer),
            }
            if begin.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(other.is_none() && !seen.contains(&0), "{other:?} {seen:?}");
    });
}

#[test]
fn files_settle() {
    let tree = Tree::new();
    let store = tree.store();
    let store = &store;
    let is_settled =
        |mut store: &DirectoryStore, name| store.open(FileName::from_static(name)).expect("opened").is_settled();
    let names = ["new", "old-looking", "from-the-future"];
    let change = || {
        names.iter().for_each(|name| tree.write(name, ""));
        set_modified(&tree, "old-looking", UNIX_EPOCH + Duration::from_secs(1));
        set_modified(&tree, "from-the-future", SystemTime::now() + Duration::from_secs(3_600));
    };
    let (opened_early, settled) = just_after(change, || {
        let mut store = store;
        let opened = store.open(FileName::from_static("new")).expect("opened");
        (opened, names.map(|name| is_settled(store, name)))
    });
    assert_eq!(settled, [false; 3], "{names:?}");
    thread::sleep(Duration::from_millis(2_100));
    assert!(!opened_early.is_settled(), "what it was when it was opened counts");
    assert!(is_settled(store, "new"));
    assert!(is_settled(store, "old-looking"));
    assert!(!is_settled(store, "from-the-future"));
}

#[test]
fn a_file_gives_access_to_its_descriptor() {
    let tree = Tree::new();
    tree.write("f", "by another way");
    let store = tree.store();
    let file = (&store).open(FileName::from_static("f")).expect("opened");
    let lent = file.as_std();
    let mut copy = lent.try_clone().expect("a duplicate");
    assert_eq!(std::io::read_to_string(&mut copy).expect("read"), "by another way");
    assert_eq!(lent.metadata().expect("metadata").len(), 14);
}

#[test]
fn many_threads_share_one_store() {
    let tree = Tree::new();
    for number in 0..64 {
        tree.write(format!("f{number}"), format!("contents of {number}"));
    }
    let store = tree.store();
    let read = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..64 {
                    let expected = format!("contents of {number}").into_bytes();
                    assert_eq!(contents(&store, &format!("f{number}")), Ok(expected));
                    read.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(read.into_inner(), 8 * 64);
}

/// Their sizes are 0 or 4096, whatever can be read from them.
#[cfg(unix)]
#[test]
fn files_that_the_kernel_makes_are_refused() {
    for (root, name) in [("/proc/self", "status"), ("/proc", "version"), ("/sys/class/net/lo", "ifindex")] {
        let store = DirectoryStore::open(root).expect("a directory of the kernel's");
        assert_eq!(contents(&store, name), Err(StoreError::NotFile), "{root}/{name}");
    }
    let tree = Tree::new();
    tree.write("empty", "");
    std::fs::File::create(tree.path("hole")).and_then(|file| file.set_len(5)).expect("a file without blocks");
    assert_eq!(contents(&tree.store(), "empty"), Ok(vec![]));
    assert_eq!(contents(&tree.store(), "hole"), Ok(vec![0; 5]));
}
