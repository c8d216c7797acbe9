//! Versions and digests that replicas of a directory agree on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use coracle::store::{
    DigestFile, DirectoryStore, Manifest, ManifestEvent, ManifestFile, VersionBy, WritableDirectoryStore, WriteOptions,
};
use coracle_core::{Digest, DigestKind, FileName, Hasher, Store, StoreError};

use crate::fixture::{Tree, just_after};

/// More than is hashed by the thread that asks.
const LARGE: usize = 5 << 20;
/// A time with nanoseconds, in seconds since 1970 and nanoseconds.
const THEN: (i64, i64) = (1_763_769_600, 123_456_789);

fn set_time(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(THEN.0.cast_unsigned(), 123_456_789);
    File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("a time is set");
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("supported");
    hasher.update(bytes);
    hasher.finish()
}

/// The version of a file, once the store is ready, and whether it was so at once.
fn version_of(mut store: impl Store, name: &str) -> (String, bool) {
    let mut is_ready_at_once = true;
    loop {
        match store.open(FileName::new(name).expect("a file name")) {
            Ok(file) => return (store.info(&file).expect("info").version.as_str().to_owned(), is_ready_at_once),
            Err(StoreError::NotReady) => {
                is_ready_at_once = false;
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

fn known(mut store: &DirectoryStore, name: &str) -> Option<Digest> {
    let file = store.open(FileName::new(name).expect("a file name")).expect("opened");
    store.info(&file).expect("info");
    store.known_digest(&file, DigestKind::Sha256)
}

fn open(directory: &Path, by: VersionBy) -> DirectoryStore {
    DirectoryStore::open(directory).expect("the store opens").with_version_by(by)
}

/// Runs a shell's command in a directory.
#[cfg(unix)]
fn shell(directory: &Path, command: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-ec", command]).current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = shell.output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {told} ('apt-get install rsync tar git' installs what is missing)");
}

/// A directory `one` with files of odd names and sizes, in which each has a time with nanoseconds.
fn original() -> (tempfile::TempDir, Vec<(&'static str, Vec<u8>)>) {
    let home = tempfile::tempdir().expect("a directory");
    let large = (0..LARGE).map(|number| u8::try_from(number % 251).expect("small")).collect();
    let files = vec![("empty", vec![]), ("one line", b"Mind the step.\n".to_vec()), ("sub/d\u{e9}ep/large", large)];
    for (name, contents) in &files {
        let path = home.path().join("one").join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, contents).expect("written");
        set_time(&path);
    }
    (home, files)
}

#[cfg(unix)]
#[test]
fn b1_copies_that_keep_the_time_have_one_version_by_mtime() {
    let (home, files) = original();
    shell(home.path(), "rsync -a one/ rsync/; cp -a one cp; mkdir tar; tar -C one --format=posix -c . | tar -C tar -x");
    let original = open(&home.path().join("one"), VersionBy::Mtime);
    for copy in ["rsync", "cp", "tar"] {
        let by_mtime = open(&home.path().join(copy), VersionBy::Mtime);
        let by_inode = open(&home.path().join(copy), VersionBy::Inode);
        for (name, _) in &files {
            assert_eq!(version_of(&by_mtime, name), version_of(&original, name), "{copy}: {name}");
            assert_ne!(version_of(&by_inode, name).0, version_of(&original, name).0, "{copy}: {name}");
        }
    }
    shell(home.path(), "cp -R one later; printf x >>cp/empty");
    for copy in ["later", "cp"] {
        let store = open(&home.path().join(copy), VersionBy::Mtime);
        assert_ne!(version_of(&store, "empty"), version_of(&original, "empty"), "{copy}");
    }
}

#[cfg(unix)]
#[test]
fn b1_all_copies_have_one_version_by_content() {
    let (home, files) = original();
    let git = "git -c user.name=a -c user.email=a@b -c init.defaultBranch=main";
    shell(
        home.path(),
        &format!("cp -R one cp; cd cp; {git} init -q; {git} add .; {git} commit -qm one; {git} clone -q . ../git"),
    );
    for copy in ["one", "cp", "git"] {
        let store = open(&home.path().join(copy), VersionBy::Content);
        for (name, contents) in &files {
            assert_eq!(version_of(&store, name).0, sha256(contents).to_hex().as_str(), "{copy}: {name}");
        }
    }
    let single = coracle::store::SingleFileStore::open(home.path().join("git/one line")).expect("a store");
    let single = single.with_version_by(VersionBy::Content);
    assert_eq!(version_of(&single, "one line").0, sha256(b"Mind the step.\n").to_hex().as_str());
}

/// A large file is hashed by another thread, and never again for a state in which it was settled.
#[test]
fn b1_digests_of_large_files_outlast_a_restart() {
    let (home, files) = original();
    let (name, contents) = &files[2];
    let (path, digests) = (home.path().join("one").join(name), home.path().join("digests"));
    let store = || {
        let digests = DigestFile::open(&digests).expect("digests");
        open(&home.path().join("one"), VersionBy::Content).with_digest_file(digests)
    };
    let expected = sha256(contents).to_hex().as_str().to_owned();
    thread::sleep(Duration::from_millis(2_100));
    let first = store();
    assert_eq!(version_of(&first, name), (expected.clone(), false));
    for store in [&first, &store()] {
        assert_eq!((version_of(store, name), known(store, name)), ((expected.clone(), true), Some(sha256(contents))));
    }
    // Another state of the file is another question.
    fs::write(&path, "short now").expect("written");
    assert_eq!(version_of(&store(), name).0, sha256(b"short now").to_hex().as_str());
    set_time(&path);
    assert_eq!(version_of(&store(), name).0, sha256(b"short now").to_hex().as_str());
}

#[test]
fn b4_no_digest_is_kept_of_a_file_that_was_changed_a_moment_ago() {
    let tree = Tree::new();
    let digests = tree.outside().join("digests");
    let change = || {
        // What an earlier, slow round has noted.
        drop(fs::remove_file(&digests));
        tree.write("small", "123456789");
        tree.write("large", vec![b'x'; LARGE]);
    };
    let (small, noted) = just_after(change, || {
        let store = open(&tree.root(), VersionBy::Content);
        let store = store.with_digest_file(DigestFile::open(&digests).expect("digests"));
        assert_eq!(version_of(&store, "small").0, sha256(b"123456789").to_hex().as_str());
        assert_eq!(version_of(&store, "large").0, sha256(&vec![b'x'; LARGE]).to_hex().as_str());
        (known(&store, "small"), fs::read_to_string(&digests).expect("read"))
    });
    assert_eq!(small, None, "what is sent of it is hashed");
    assert_eq!(noted, "{\"coracleDigests\":1}\n");
}

/// Whoever asks for a file that is written all the time is answered, and never with the version of other contents.
#[test]
fn b1_a_file_that_changes_while_it_is_hashed_has_a_version_of_its_own() {
    let tree = Tree::new();
    tree.write("log", vec![b'x'; LARGE]);
    let store = open(&tree.root(), VersionBy::Content);
    let mut own = 0;
    for _ in 0..5 {
        // The first answer is not to come before the file is another one.
        let asked = (&store).open(FileName::from_static("log")).err();
        let mut log = File::options().append(true).open(tree.path("log")).expect("opened");
        log.write_all(b"more").expect("written");
        let (version, _) = version_of(&store, "log");
        if version != sha256(&fs::read(tree.path("log")).expect("read")).to_hex().as_str() {
            assert_eq!(version.len(), 32, "{version} {asked:?}");
            own += 1;
        }
    }
    assert!(own > 0);
}

fn manifest(entries: &[(&str, u64, (i64, i64), Digest)]) -> Manifest {
    let mut manifest = Manifest::new();
    for (name, size, modified, sha256) in entries {
        manifest.insert(*name, ManifestFile::new(*size, *modified, *sha256));
    }
    manifest
}

/// A store with the manifest `path`, and what is told of it.
fn with_manifest(tree: &Tree, path: &Path, by: VersionBy) -> (DirectoryStore, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&told);
    let observer = move |event: &ManifestEvent<'_>| events.lock().expect("no panic").push(event.to_string());
    (open(&tree.root(), by).with_manifest(path, observer), told)
}

fn words(told: &Mutex<Vec<String>>) -> String {
    told.lock().expect("no panic").join("\n")
}

#[test]
fn b4_digests_are_taken_from_a_manifest_where_size_and_time_agree() {
    let tree = Tree::new();
    for name in ["same", "older", "shorter", "unknown"] {
        tree.write(name, "0123456789");
        set_time(&tree.path(name));
    }
    // Until a file has settled, what is sent of it is hashed.
    thread::sleep(Duration::from_millis(2_100));
    let digest = Digest::Sha256([7; 32]);
    let path = tree.path(Manifest::NAME);
    let older = (THEN.0, THEN.1 - 1);
    manifest(&[("same", 10, THEN, digest), ("older", 10, older, digest), ("shorter", 9, THEN, digest)])
        .write(&path)
        .expect("written");
    for by in [VersionBy::Inode, VersionBy::Mtime, VersionBy::Content] {
        let (store, told) = with_manifest(&tree, &path, by);
        // By which one sees that it is not computed.
        assert_eq!(known(&store, "same"), Some(digest));
        assert_eq!(words(&told), "digests of 3 files are taken from it");
        let computed = (by == VersionBy::Content).then(|| sha256(b"0123456789"));
        for name in ["older", "shorter", "unknown"] {
            assert_eq!(known(&store, name), computed, "{name}");
        }
        assert_eq!(words(&told).lines().count(), 2, "told once: {}", words(&told));
        assert!(words(&told).contains("older has another size or time in it, or is not in it"), "{}", words(&told));
    }
    let (store, _) = with_manifest(&tree, &path, VersionBy::Content);
    assert_eq!(version_of(&store, "same"), (digest.to_hex().as_str().to_owned(), true));
}

#[test]
fn b4_a_manifest_that_is_damaged_is_ignored_with_a_word_and_a_new_one_is_read() {
    let tree = Tree::new();
    tree.write("f", "0123456789");
    set_time(&tree.path("f"));
    let path = tree.path(Manifest::NAME);
    let digest = Digest::Sha256([7; 32]);
    let version = |store: &DirectoryStore| version_of(store, "f").0;
    let right = sha256(b"0123456789").to_hex().as_str().to_owned();
    manifest(&[("f", 10, THEN, digest)]).write(&path).expect("written");
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() - 3]).expect("cut");
    let (store, told) = with_manifest(&tree, &path, VersionBy::Content);
    assert_eq!(version(&store), right);
    assert_eq!(words(&told), "it is ignored: it is not complete");
    // It is looked at each second.
    fs::write(&path, whole).expect("written");
    while version(&store) == right {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(version(&store), digest.to_hex().as_str());
    assert!(words(&told).ends_with("digests of 1 files are taken from it"), "{}", words(&told));
    fs::remove_file(&path).expect("removed");
    while version(&store) != right {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn files_that_clients_write_have_versions_by_inode() {
    let tree = Tree::new();
    for by in [VersionBy::Mtime, VersionBy::Content] {
        let error = WritableDirectoryStore::new(open(&tree.root(), by), WriteOptions::new()).expect_err("refused");
        assert!(error.to_string().contains("versions by inode"), "{error}");
    }
}
