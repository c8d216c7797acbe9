use std::fs;
#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use coracle_core::{
    Begun, Committed, Delete, Digest, DigestKind, FileInfo, FileName, Hasher, Instant, Put, PutAttempt, Rename,
    Replace, Store, StoreError, WritableStore, WriteError,
};
#[cfg(unix)]
use rustix::fs::{XattrFlags, getxattr, setxattr};
use tempfile::TempDir;

use super::{DirectoryStore, Upload, WritableDirectoryStore, WriteOptions};

type Outcome<T> = Result<T, WriteError>;

const NOW: Instant = Instant::from_millis(0);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn store(root: &TempDir, options: WriteOptions) -> WritableDirectoryStore {
    let store = DirectoryStore::open(root.path()).expect("a directory");
    WritableDirectoryStore::new(store, options).expect("it can be read")
}

fn open() -> (TempDir, WritableDirectoryStore) {
    let root = tempfile::tempdir().expect("a directory");
    let store = store(&root, WriteOptions::new());
    (root, store)
}

fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a name")
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("built in");
    hasher.update(bytes);
    hasher.finish()
}

fn request<'a>(to: &'a str, bytes: &[u8]) -> Put<'a> {
    Put::new(name(to), bytes.len() as u64, sha256(bytes))
}

/// Begins an upload that has to send bytes.
fn begin(mut store: &WritableDirectoryStore, put: &Put<'_>) -> Outcome<(Upload, u64)> {
    match store.begin(put, PutAttempt::new(NOW, false), NOW)? {
        Begun::Upload { upload, have } => Ok((upload, have)),
        _ => panic!("not begun"),
    }
}

fn send(mut store: &WritableDirectoryStore, upload: &mut Upload, bytes: &[u8], mut offset: usize) {
    while offset < bytes.len() {
        offset += store.write(upload, offset as u64, &bytes[offset..], NOW).expect("written");
    }
}

fn commit(mut store: &WritableDirectoryStore, upload: &mut Upload, put: &Put<'_>) -> Outcome<FileInfo> {
    loop {
        if let Committed::Done(info) = store.commit(upload, put, NOW)? {
            return Ok(info);
        }
    }
}

fn put(store: &WritableDirectoryStore, put: &Put<'_>, bytes: &[u8]) -> Outcome<FileInfo> {
    let (mut upload, have) = begin(store, put)?;
    send(store, &mut upload, bytes, usize::try_from(have).expect("short"));
    commit(store, &mut upload, put)
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(root)
        .expect("listed")
        .map(|entry| entry.expect("one").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_when_it_is_complete_and_not_before() {
    let (root, store) = open();
    let new = request("a.txt", b"alpha").with_modified(Some(1_000_000_000));
    let (mut upload, have) = begin(&store, &new).expect("begun");
    assert_eq!(have, 0);
    send(&store, &mut upload, b"alpha", 0);
    assert!(!root.path().join("a.txt").exists());
    let mut listing = (&store).list(None).expect("listed");
    assert_eq!((&store).next(&mut listing), Ok(coracle_core::Listed::End), "what is not complete is not listed");
    let info = commit(&store, &mut upload, &new).expect("stored");
    let file = (&store).open(name("a.txt")).expect("there");
    assert_eq!((&store).info(&file), Ok(info.clone()), "the version of 'end' is that of the next 'stat'");
    assert_eq!((info.size, info.modified), (5, Some(1_000_000_000)));
    assert_eq!(fs::read(root.path().join("a.txt")).expect("there"), b"alpha");
    assert_eq!(names(root.path()), ["a.txt"]);
}

#[test]
fn a_large_upload_is_hashed_as_it_is_stored_unless_it_goes_on() {
    let (_root, store) = open();
    let bytes: Vec<u8> = (0..=super::committer::LARGE).map(|at| (at % 253) as u8).collect();
    let new = request("a", &bytes);
    let (mut upload, _) = begin(&store, &new).expect("begun");
    assert!(WritableStore::hashes_itself(&&store, &upload));
    send(&store, &mut upload, &bytes, 0);
    assert_eq!((&store).digest(&mut upload), Ok(new.digest));
    (&store).keep(upload);
    let (mut upload, have) = begin(&store, &new).expect("goes on");
    assert_eq!(have, new.size);
    assert!(!WritableStore::hashes_itself(&&store, &upload), "whoever reads the beginning back hashes the rest");
    assert_eq!((&store).digest(&mut upload), Err(StoreError::Io));
}

#[test]
fn u1_an_upload_goes_on_where_it_was_kept_and_after_a_restart() {
    let (root, first) = open();
    let new = request("a", b"0123456789");
    let (mut upload, _) = begin(&first, &new).expect("begun");
    send(&first, &mut upload, b"0123", 0);
    (&first).keep(upload);
    let (upload, have) = begin(&first, &new).expect("goes on");
    assert_eq!(have, 4);
    drop(upload);
    drop(first);
    let second = store(&root, WriteOptions::new());
    let (mut upload, have) = begin(&second, &new).expect("goes on");
    assert_eq!(have, 4);
    let mut buf = [0; 16];
    let len = (&second).read_back(&mut upload, 0, &mut buf, NOW).expect("read");
    assert_eq!(&buf[..len], b"0123");
    send(&second, &mut upload, b"0123456789", 4);
    commit(&second, &mut upload, &new).expect("stored");
    assert_eq!(fs::read(root.path().join("a")).expect("there"), b"0123456789");
}

#[test]
fn u2_other_contents_drop_what_nobody_sends() {
    let (root, store) = open();
    let (old, new) = (request("a", b"old contents"), request("a", b"new contents"));
    let (mut upload, _) = begin(&store, &old).expect("begun");
    send(&store, &mut upload, b"old", 0);
    assert_eq!(begin(&store, &new).err(), Some(WriteError::InUse));
    drop(upload);
    let (mut upload, have) = begin(&store, &new).expect("begun");
    assert_eq!(have, 0);
    assert_eq!(names(root.path()).len(), 1, "one unfinished upload a name");
    send(&store, &mut upload, b"new contents", 0);
    commit(&store, &mut upload, &new).expect("stored");
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn u3_preconditions_are_checked_at_both_ends() {
    let (root, store) = open();
    let path = root.path().join("a");
    let new = request("a", b"new");
    let (mut upload, _) = begin(&store, &new).expect("the name is free");
    send(&store, &mut upload, b"new", 0);
    fs::write(&path, "another program's").expect("written");
    assert_eq!(commit(&store, &mut upload, &new), Err(WriteError::Exists));
    assert_eq!(fs::read(&path).expect("there"), b"another program's");
    drop(upload);
    assert_eq!(begin(&store, &new).err(), Some(WriteError::Exists));

    let file = (&store).open(name("a")).expect("there");
    let version = (&store).info(&file).expect("known").version;
    let expected = new.with_replace(Replace::Version(version.as_str()));
    let (mut upload, have) = begin(&store, &expected).expect("the version is right");
    assert_eq!(have, 3, "it was kept");
    fs::write(&path, "changed again").expect("written");
    assert_eq!(commit(&store, &mut upload, &expected), Err(WriteError::Changed));
    drop(upload);
    assert_eq!(begin(&store, &expected).err(), Some(WriteError::Changed));
    let info = put(&store, &new.with_replace(Replace::Anything), b"new").expect("stored");
    assert_eq!(info.size, 3);
    assert_eq!(fs::read(&path).expect("there"), b"new");
    let elsewhere = request("b", b"new");
    let refused = begin(&store, &elsewhere.with_replace(Replace::Version("1"))).err();
    assert_eq!(refused, Some(WriteError::Changed), "nothing is there");
}

#[test]
fn u4_what_is_there_already_needs_no_bytes() {
    let (_root, store) = open();
    let new = request("a", b"alpha");
    put(&store, &new, b"alpha").expect("stored");
    let attempt = PutAttempt::new(NOW, true);
    let Ok(Begun::Compare(file)) = (&store).begin(&new, attempt, NOW) else { panic!("it may be the same") };
    assert_eq!((&store).info(&file).expect("known").size, 5);
    let crc32 = Put::new(new.name, 5, Digest::Crc32(1));
    assert_eq!((&store).begin(&crc32, attempt, NOW).err(), Some(WriteError::Exists), "nothing ends by a CRC-32");
    let other = request("a", b"other length");
    assert_eq!((&store).begin(&other, attempt, NOW).err(), Some(WriteError::Exists));
}

#[test]
fn u5_a_silent_connection_is_displaced() {
    let (_root, store) = open();
    let new = request("a", b"alpha");
    let (mut first, _) = begin(&store, &new).expect("begun");
    send(&store, &mut first, b"al", 0);
    let asked = PutAttempt::new(Instant::from_millis(10), false);
    assert!(matches!((&store).begin(&new, asked, asked.asked), Ok(Begun::Wait)));
    let later = Instant::from_millis(2_000);
    let Ok(Begun::Upload { upload: mut second, have: 2 }) = (&store).begin(&new, asked, later) else {
        panic!("the first is silent")
    };
    assert_eq!((&store).write(&mut first, 2, b"x", later), Err(WriteError::InUse));
    assert_eq!((&store).commit(&mut first, &new, later), Err(WriteError::InUse));
    (&store).discard(first);
    send(&store, &mut second, b"alpha", 2);
    commit(&store, &mut second, &new).expect("stored");
}

#[test]
fn u7_sizes_that_nothing_can_hold_are_refused_before_a_byte() {
    let root = tempfile::tempdir().expect("a directory");
    let store = store(&root, WriteOptions::new().with_max_file(Some(100)));
    put(&store, &request("empty", b""), b"").expect("stored");
    let of = |size| Put::new(name("a"), size, Digest::Crc32(0));
    assert_eq!(begin(&store, &of(101)).err(), Some(WriteError::TooLarge { max: 100 }));
    assert_eq!(begin(&store, &of(u64::MAX)).err(), Some(WriteError::TooLarge { max: 100 }));
    let store = self::store(&root, WriteOptions::new());
    let max = i64::MAX.cast_unsigned();
    assert_eq!(begin(&store, &of(u64::MAX)).err(), Some(WriteError::TooLarge { max }));
    assert!(matches!(begin(&store, &of(max)), Err(WriteError::NoSpace { free: Some(_) })));
    assert_eq!(names(root.path()), ["empty"]);
}

#[test]
fn u12_what_is_discarded_leaves_nothing() {
    let (root, store) = open();
    let new = request("a", b"alpha");
    let (mut upload, _) = begin(&store, &new).expect("begun");
    send(&store, &mut upload, b"wrong", 0);
    (&store).discard(upload);
    assert_eq!(names(root.path()), [""; 0]);
    assert_eq!(begin(&store, &new).expect("begins anew").1, 0);
}

#[cfg(unix)]
#[test]
fn u13_nothing_but_files_is_replaced_and_no_link_followed() {
    let (root, store) = open();
    let outside = tempfile::tempdir().expect("a directory");
    let at = |name: &str| root.path().join(name);
    fs::write(outside.path().join("file"), "outside").expect("written");
    fs::write(at("file"), "inside").expect("written");
    fs::create_dir(at("dir")).expect("made");
    symlink("file", at("link")).expect("made");
    symlink("dangling", at("nowhere")).expect("made");
    symlink(outside.path(), at("out")).expect("made");
    symlink("dir", at("alias")).expect("made");
    let refused = |to: &str| begin(&store, &request(to, b"x").with_replace(Replace::Anything)).err();
    for to in ["dir", "link", "nowhere", "out", "alias"] {
        assert_eq!(refused(to), Some(StoreError::NotFile.into()), "{to}");
    }
    assert_eq!(refused("out/file"), Some(StoreError::Denied.into()));
    assert_eq!(refused(".hidden"), Some(StoreError::Denied.into()));
    assert_eq!(refused("dir/.hidden/x"), Some(StoreError::Denied.into()));
    assert_eq!(refused(".coracle-a.part"), Some(StoreError::BadName.into()));
    assert_eq!(refused("file/x"), Some(StoreError::NotFound.into()));
    assert_eq!(refused("new/x"), Some(StoreError::NotFound.into()));
    assert_eq!(refused(&"x".repeat(255)), None);
    put(&store, &request("alias/x", b"x"), b"x").expect("a link to a directory that stays inside");
    put(&store, &request("new/er/x", b"x").with_parents(true), b"x").expect("directories are made");
    assert_eq!(fs::read(at("dir/x")).expect("there"), b"x");
    assert_eq!(fs::read(at("new/er/x")).expect("there"), b"x");
    assert_eq!(fs::read(at("file")).expect("there"), b"inside");
    assert_eq!(names(outside.path()), ["file"]);
}

#[test]
fn u15_the_quota_counts_files_and_unfinished_uploads() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("d")).expect("made");
    fs::write(root.path().join("d/there"), [0; 40]).expect("written");
    let store = store(&root, WriteOptions::new().with_quota(Some(100)).with_max_uploads(2));
    let (upload, _) = begin(&store, &request("a", &[1; 50])).expect("50 of 60");
    let refused = begin(&store, &request("b", &[2; 20])).err();
    assert_eq!(refused, Some(WriteError::NoSpace { free: Some(10) }));
    assert_eq!((&store).space().expect("known").free, Some(10));
    drop(upload);
    begin(&store, &request("b", &[2; 10])).expect("there is room").0.discard();
    put(&store, &request("a", &[1; 50]), &[1; 50]).expect("its own room is its own");
    let other = request("a", &[3; 20]).with_replace(Replace::Anything);
    assert_eq!(begin(&store, &other).err(), Some(WriteError::NoSpace { free: Some(10) }), "both exist for a moment");
    (&store).delete(&Delete::File { name: name("a"), version: None }).expect("deleted");
    put(&store, &other, &[3; 20]).expect("there is room again");

    let _uploads =
        [begin(&store, &request("c", b"c")).expect("one"), begin(&store, &request("d/e", b"e")).expect("two")];
    assert_eq!(begin(&store, &request("f", b"f")).err(), Some(WriteError::NoSpace { free: None }));
}

#[test]
fn u15_uploads_that_begin_at_once_do_not_pass_the_quota() {
    let root = tempfile::tempdir().expect("a directory");
    let store = store(&root, WriteOptions::new().with_quota(Some(50)));
    for round in 0..20 {
        let barrier = std::sync::Barrier::new(8);
        let begun: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let (store, barrier) = (&store, &barrier);
                    scope.spawn(move || {
                        let to = format!("{round}-{number}");
                        barrier.wait();
                        begin(store, &request(&to, &[1; 20]))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let granted = begun.iter().flatten().count();
        assert_eq!(granted, 2, "in round {round}, of 50 bytes for files of 20");
        begun.into_iter().flatten().for_each(|(upload, _)| upload.discard());
    }
}

#[test]
fn u15_a_sweep_removes_what_is_old_and_not_being_sent() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(root.path().join("d/e")).expect("made");
    let first = store(&root, WriteOptions::new());
    let (old, new) = (request("d/e/old", b"old"), request("new", b"new"));
    for put in [&old, &new] {
        let (mut upload, _) = begin(&first, put).expect("begun");
        send(&first, &mut upload, b"x", 0);
    }
    drop(first);
    fs::write(root.path().join(".coracle-a.part"), "a download's").expect("written");
    let unfinished = names(&root.path().join("d/e"));
    let file = fs::File::options().write(true).open(root.path().join("d/e").join(&unfinished[0])).expect("opened");
    file.set_modified(SystemTime::now() - 2 * DAY).expect("set");

    let second = store(&root, WriteOptions::new());
    let (upload, _) = begin(&second, &old).expect("goes on");
    file.set_modified(SystemTime::now() - 2 * DAY).expect("set");
    let swept = second.sweep(DAY).expect("swept");
    assert_eq!((swept.removed, swept.left), (0, 2), "it is being sent");
    drop(upload);
    let swept = second.sweep(DAY).expect("swept");
    assert_eq!((swept.removed, swept.left), (1, 1));
    assert_eq!(names(&root.path().join("d/e")), [""; 0]);
    assert_eq!(begin(&second, &new).expect("goes on").1, 1);
    assert_eq!(names(root.path()).len(), 3, "the download's file is not ours");
}

#[cfg(unix)]
#[test]
fn u17_a_replaced_file_keeps_its_mode() {
    let (root, store) = open();
    let path = root.path().join("a");
    fs::write(&path, "old").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).expect("set");
    let new = request("a", b"new").with_replace(Replace::Anything);
    let (mut upload, _) = begin(&store, &new).expect("begun");
    let partial = names(root.path()).remove(0);
    let mode = |name: &str| fs::metadata(root.path().join(name)).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&partial) & 0o077, 0o040, "never more readable than it was");
    send(&store, &mut upload, b"new", 0);
    commit(&store, &mut upload, &new).expect("stored");
    assert_eq!(mode("a"), 0o640, "set-id bits are never kept");
}

#[cfg(unix)]
#[test]
fn u17_a_replaced_file_keeps_the_attributes_of_its_users() {
    // Where it was built: a file system in memory may hold none.
    let built = std::env::current_exe().expect("it runs");
    let root = tempfile::tempdir_in(built.parent().expect("a directory")).expect("a directory");
    let store = store(&root, WriteOptions::new());
    let path = root.path().join("a");
    fs::write(&path, "old").expect("written");
    for (attribute, value) in [("user.origin", &b"board 7"[..]), ("user.empty", b"")] {
        setxattr(&path, attribute, value, XattrFlags::empty()).expect("the file system has attributes");
    }
    put(&store, &request("a", b"new").with_replace(Replace::Anything), b"new").expect("stored");
    assert_eq!(fs::read(&path).expect("there"), b"new");
    let attribute = |name: &str| -> io::Result<Vec<u8>> {
        let mut value = vec![0; 100];
        let len = getxattr(&path, name, &mut value)?;
        Ok(value[..len].to_vec())
    };
    assert_eq!(attribute("user.origin").expect("kept"), b"board 7");
    assert_eq!(attribute("user.empty").expect("kept"), b"");
    put(&store, &request("b", b"new"), b"new").expect("stored");
    assert!(getxattr(root.path().join("b"), "user.origin", &mut [0; 100]).is_err());
}

#[test]
fn u16_a_reader_keeps_the_old_file() {
    let (_root, store) = open();
    put(&store, &request("a", b"old"), b"old").expect("stored");
    let mut file = (&store).open(name("a")).expect("there");
    put(&store, &request("a", b"new").with_replace(Replace::Anything), b"new").expect("replaced");
    let mut buf = [0; 8];
    let len = (&store).read(&mut file, 0, &mut buf).expect("read");
    assert_eq!(&buf[..len], b"old");
}

#[test]
fn u19_deleting_renaming_and_making_directories() {
    let (root, writable) = open();
    let mut store = &writable;
    let file = |of: &'static str| Delete::File { name: name(of), version: None };
    let directory = |of: &'static str| Delete::Directory { path: name(of) };
    assert_eq!(store.delete(&file("a")), Err(StoreError::NotFound.into()));
    let info = put(&writable, &request("a", b"a"), b"a").expect("stored");
    assert_eq!(store.delete(&Delete::File { name: name("a"), version: Some("no") }), Err(WriteError::Changed));
    assert_eq!(store.delete(&directory("a")), Err(StoreError::NotDirectory.into()));
    assert_eq!(store.make_dir(name("a")), Err(WriteError::Exists));
    assert_eq!(store.make_dir(name("d/e")), Err(StoreError::NotFound.into()));
    store.make_dir(name("d")).expect("made");
    store.make_dir(name("d")).expect("there already");
    assert_eq!(store.delete(&file("d")), Err(StoreError::NotFile.into()));
    store.rename(&Rename::new(name("a"), name("d/b")).with_version(Some(info.version.as_str()))).expect("renamed");
    assert_eq!(store.rename(&Rename::new(name("a"), name("d/c"))), Err(StoreError::NotFound.into()));
    assert_eq!(store.delete(&directory("d")), Err(WriteError::NotEmpty));
    put(&writable, &request("a", b"a"), b"a").expect("stored");
    assert_eq!(store.rename(&Rename::new(name("a"), name("d/b"))), Err(WriteError::Exists));
    assert_eq!(store.rename(&Rename::new(name("a"), name(".b"))), Err(StoreError::Denied.into()));

    let (upload, _) = begin(&writable, &request("d/u", b"u")).expect("begun");
    assert_eq!(store.delete(&file("d/u")), Err(WriteError::InUse));
    assert_eq!(store.rename(&Rename::new(name("a"), name("d/u"))), Err(WriteError::InUse));
    store.delete(&file("d/b")).expect("deleted");
    assert_eq!(store.delete(&directory("d")), Err(WriteError::InUse));
    drop(upload);
    store.delete(&directory("d")).expect("what is not complete does not count");
    let (upload, _) = begin(&writable, &request("u", b"u")).expect("begun");
    drop(upload);
    store.delete(&Delete::Partial { name: name("u") }).expect("deleted");
    assert_eq!(store.delete(&Delete::Partial { name: name("u") }), Err(StoreError::NotFound.into()));
    assert_eq!(names(root.path()), ["a"]);
    #[cfg(unix)]
    {
        symlink("a", root.path().join("link")).expect("made");
        assert_eq!(store.delete(&file("link")), Err(StoreError::NotFile.into()));
        assert_eq!(names(root.path()), ["a", "link"]);
    }
}

#[test]
fn a_write_only_directory_is_neither_read_nor_listed_nor_compared() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("in")).expect("made");
    let writable = store(&root, WriteOptions::new().with_write_only(name("in")));
    let mut store = &writable;
    let new = request("in/a", b"alpha");
    put(&writable, &new, b"alpha").expect("stored");
    assert_eq!(store.open(name("in/a")).err(), Some(StoreError::Denied));
    assert_eq!(store.list(Some(name("in"))).err(), Some(StoreError::Denied));
    assert_eq!(store.begin(&new, PutAttempt::new(NOW, true), NOW).err(), Some(WriteError::Exists));
    assert_eq!(store.open(name("index")).err(), Some(StoreError::NotFound), "the name only begins alike");
    put(&writable, &request("b", b"b"), b"b").expect("writing is allowed elsewhere too");
    let boxed = self::store(&root, WriteOptions::new().with_write_only(name("in")).with_everywhere(false));
    assert_eq!(begin(&boxed, &request("c", b"c")).err(), Some(StoreError::Denied.into()));
    assert_eq!((&boxed).rename(&Rename::new(name("b"), name("in/b"))), Err(StoreError::Denied.into()));
    put(&boxed, &request("in/b", b"b"), b"b").expect("stored");
}
