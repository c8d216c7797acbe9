//! Volumes that were written to, judged by fsck.fat and mtools.

mod client;
mod image;

use client::{begin, digest, name, put, send, send_rest};
use coracle_core::{Delete, Put, Replace, Store, StoreError, WritableStore, WriteError};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use image::{Checker, Image, Maker, Tree, assert_tree, contents, sample};

const VOLUMES: [(u32, &str); 3] = [(8_192, "-F 16 -s 1"), (34_000, "-F 32 -s 1"), (40_960, "-F 16 -s 16 -f 1")];

type Writable<'a> = FatStore<&'a Image>;

fn writable(image: &Image) -> Writable<'_> {
    FatStore::writable(FatVolume::new(image).expect("a volume"), 1).expect("a writable one")
}

fn judge(checker: &Checker, image: &Image, tree: &Tree) {
    while !writable(image).tidy().expect("tidy") {}
    assert_eq!(checker.fsck(image), "");
    assert_tree(&mut image.store(), tree);
    let found = checker.tree(image);
    assert!(found.keys().eq(tree.keys()), "mtools finds {:?} and not {:?}", found.keys(), tree.keys());
    assert!(found == *tree, "mtools reads other bytes");
}

#[test]
fn files_are_put_replaced_renamed_and_deleted() {
    for (kib, options) in VOLUMES {
        let maker = Maker::new(kib, options);
        let image = maker.image();
        let checker = Checker::new(maker);
        let mut store = writable(&image);
        let mut tree = Tree::new();
        let mut add = |store: &mut Writable<'_>, path: &str, len: usize| {
            let bytes = sample(len, len);
            let info = put(store, path, &bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(info.size, len as u64);
            tree.insert(path.into(), bytes);
            info.version
        };
        for (path, len) in [("A.TXT", 10), ("empty", 0), ("block", 512), ("d/e/f/deep", 513), ("large", 300_000)] {
            add(&mut store, path, len);
        }
        add(&mut store, &"n".repeat(255), 1);
        add(&mut store, &"語".repeat(84), 2);
        // Directories grow, and short names beside long ones differ.
        for index in 0..60 {
            add(&mut store, &format!("many/the same beginning {index}.text"), index);
        }
        let first = add(&mut store, "block", 5_000);
        assert_ne!(first, add(&mut store, "block", 5_000), "the same bytes are another version");
        add(&mut store, "large", 20);
        store.delete(&Delete::File { name: name("A.TXT"), version: None }).expect("deleted");
        tree.remove("A.TXT");
        store.rename(&coracle_core::Rename::new(name("d/e/f/deep"), name("many/Ärger mit Namen"))).expect("renamed");
        let deep = tree.remove("d/e/f/deep").expect("there");
        tree.insert("many/Ärger mit Namen".into(), deep);
        for path in ["d/e/f", "d/e", "d"] {
            let full = store.delete(&Delete::Directory { path: name("d") });
            assert_eq!(full.err(), Some(WriteError::NotEmpty).filter(|_| path != "d"));
            if path != "d" {
                store.delete(&Delete::Directory { path: name(path) }).expect("deleted");
            }
        }
        let space = store.space().expect("known");
        judge(&checker, &image, &tree);
        assert_eq!(space, writable(&image).space().expect("known"), "what was counted is what there is");
    }
}

/// A name that another file has as its short one, beside its own.
#[test]
fn a_name_may_be_the_short_one_of_another_file() {
    let maker = Maker::new(8_192, "-F 16 -s 1");
    let image = maker.image();
    let checker = Checker::new(maker);
    let mut store = writable(&image);
    put(&mut store, "a long name.text", b"long").expect("put");
    let bytes = image.bytes();
    let at = bytes.windows(5).position(|bytes| bytes == b"~1TEX").expect("its short name");
    let short = String::from_utf8_lossy(&bytes[at - 6..at + 2]).into_owned() + ".TEX";
    assert!(short.starts_with("AL"), "{short}");
    put(&mut store, &short, b"short").expect("put");
    put(&mut store, &short, b"again").expect("put");
    let tree = Tree::from([("a long name.text".into(), b"long".into()), (short, b"again".into())]);
    judge(&checker, &image, &tree);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let maker = Maker::new(8_192, "-F 16 -s 1").with_tree(&Tree::from([("dir/file".into(), vec![1])]));
    let image = maker.image();
    let mut store = writable(&image);
    let error = |store: &mut Writable<'_>, path: &str, parents: bool| {
        begin(store, &Put::new(name(path), 1, digest(b"1")).with_parents(parents)).map(|_| ()).err()
    };
    for (path, expected) in [
        ("dir", WriteError::Store(StoreError::NotFile)),
        ("dir/file", WriteError::Exists),
        ("DIR/FILE", WriteError::Exists),
        ("none/file", WriteError::Store(StoreError::NotFound)),
        ("dir/file/x", WriteError::Store(StoreError::NotFound)),
        ("a:b", WriteError::Store(StoreError::BadName)),
        ("a./b", WriteError::Store(StoreError::BadName)),
        ("CORACLE.TMP", WriteError::Store(StoreError::Denied)),
        ("CORACLE.JNL", WriteError::Store(StoreError::Denied)),
    ] {
        assert_eq!(error(&mut store, path, false), Some(expected), "{path}");
    }
    assert_eq!(error(&mut store, "dir/file/x", true), Some(StoreError::NotFound.into()));
    let large = Put::new(name("large"), 1 << 32, digest(b""));
    assert_eq!(begin(&mut store, &large).map(|_| ()).err(), Some(WriteError::TooLarge { max: u32::MAX.into() }));
    let read_only = begin(&mut image.store(), &Put::new(name("a"), 1, digest(b"1"))).map(|_| ()).err();
    assert_eq!(read_only, Some(StoreError::Denied.into()));
    let put = Put::new(name("dir/file"), 1, digest(b"1")).with_replace(Replace::Version("other"));
    assert_eq!(begin(&mut store, &put).map(|_| ()).err(), Some(WriteError::Changed));
    let delete = |name, version| Delete::File { name, version };
    assert_eq!(store.delete(&delete(name("dir/file"), Some("other"))), Err(WriteError::Changed));
    assert_eq!(store.delete(&delete(name("dir"), None)), Err(StoreError::NotFile.into()));
    assert_eq!(store.delete(&delete(name("none"), None)), Err(StoreError::NotFound.into()));
    assert_eq!(store.delete(&Delete::Directory { path: name("dir/file") }), Err(StoreError::NotDirectory.into()));
    assert_eq!(store.make_dir(name("dir/file")), Err(WriteError::Exists));
    assert_eq!(store.make_dir(name("DIR")), Ok(()));
    let rename = coracle_core::Rename::new(name("dir/file"), name("dir"));
    assert_eq!(store.rename(&rename), Err(WriteError::Exists));
}

#[test]
fn v6_a_full_volume_says_so_and_takes_files_again_when_some_are_gone() {
    let maker = Maker::new(2_200, "-F 16 -s 1");
    let image = maker.image();
    let checker = Checker::new(maker);
    let mut store = writable(&image);
    let mut tree = Tree::new();
    let free = store.space().expect("known").free.expect("known");
    let too_much = vec![1; free as usize + 1];
    assert_eq!(put(&mut store, "too much", &too_much).err(), Some(WriteError::NoSpace { free: Some(free) }));
    for index in 0.. {
        let (path, bytes) = (format!("file {index}"), sample(index, 100_000));
        match put(&mut store, &path, &bytes) {
            Ok(_) => tree.insert(path, bytes),
            Err(error) => {
                assert!(matches!(error, WriteError::NoSpace { free: Some(0..100_000) }), "{error}");
                break;
            }
        };
    }
    assert!(tree.len() > 15, "{}", tree.len());
    let left = store.space().expect("known").free.expect("known");
    put(&mut store, "the rest", &vec![7; left as usize]).expect("all of it");
    assert_eq!(store.space().expect("known").free, Some(0));
    assert_eq!(store.make_dir(name("a directory")), Err(WriteError::NoSpace { free: Some(0) }));
    store.delete(&Delete::File { name: name("the rest"), version: None }).expect("deleted");
    put(&mut store, "file 0", &sample(9, 100_000)).expect_err("the old one is there until the new one is");
    store.delete(&Delete::File { name: name("file 1"), version: None }).expect("deleted");
    tree.remove("file 1");
    put(&mut store, "file 0", &sample(9, 100_000)).expect("room");
    tree.insert("file 0".into(), sample(9, 100_000));
    judge(&checker, &image, &tree);
}

#[test]
fn an_upload_goes_on_after_a_broken_connection_and_gives_way_to_another() {
    let maker = Maker::new(8_192, "-F 16 -s 1");
    let image = maker.image();
    let checker = Checker::new(maker);
    let mut store = writable(&image);
    let bytes = sample(3, 20_000);
    let request = Put::new(name("file"), 20_000, digest(&bytes));
    let now = coracle_core::Instant::from_millis(0);
    let (mut upload, have) = begin(&mut store, &request).expect("begun");
    assert_eq!(have, 0);
    assert_eq!(store.write(&mut upload, 0, &bytes[..700], now), Ok(700));
    store.keep(upload);
    let (mut upload, have) = begin(&mut store, &request).expect("begun");
    assert_eq!(have, 700);
    assert_eq!(store.delete(&Delete::Partial { name: name("file") }), Err(WriteError::InUse));
    let other = Put::new(name("file"), 3, digest(b"abc"));
    assert!(matches!(store.begin(&other, coracle_core::PutAttempt::new(now, false), now), Err(WriteError::InUse)));
    send_rest(&mut store, &mut upload, &request, &bytes, 700).expect("sent");
    assert_eq!(contents(&mut store, "file").as_ref(), Ok(&bytes));

    // Another file takes its place where no one sends it.
    let request = Put::new(name("second"), 20_000, digest(&bytes));
    let (mut upload, _) = begin(&mut store, &request).expect("begun");
    store.write(&mut upload, 0, &bytes[..300], now).expect("taken");
    store.keep(upload);
    send(&mut store, &Put::new(name("third"), 3, digest(b"abc")), b"abc").expect("sent");
    let (upload, have) = begin(&mut store, &request).expect("begun");
    assert_eq!(have, 0);
    store.discard(upload);
    assert_eq!(store.delete(&Delete::Partial { name: name("second") }), Err(StoreError::NotFound.into()));
    judge(&checker, &image, &Tree::from([("file".into(), bytes), ("third".into(), b"abc".into())]));
}

/// Clusters are used again, so no one may take the new bytes for the old ones.
#[test]
fn v7_who_reads_what_is_replaced_learns_it() {
    let maker = Maker::new(8_192, "-F 16 -s 1").with_tree(&Tree::from([("file".into(), sample(1, 2_000))]));
    let image = maker.image();
    let mut store = writable(&image);
    let file = store.open(name("file")).expect("there");
    let before = store.info(&file).expect("known");
    put(&mut store, "other", b"other").expect("put");
    assert_eq!(store.info(&file).expect("known"), before);
    put(&mut store, "file", &sample(1, 2_000)).expect("put");
    assert_ne!(store.info(&file).expect("known").version, before.version);
    let file = store.open(name("file")).expect("there");
    let before = store.info(&file).expect("known");
    store.delete(&Delete::File { name: name("file"), version: Some(before.version.as_str()) }).expect("deleted");
    assert_ne!(store.info(&file).expect("known").version, before.version);
    put(&mut store, "file", &sample(1, 2_000)).expect("put");
    assert_ne!(store.info(&file).expect("known").version, before.version);
}

#[test]
fn a_change_costs_as_many_writes_as_the_readme_says() {
    let maker = Maker::new(8_192, "-F 16 -s 1");
    let image = maker.image();
    let mut store = writable(&image);
    put(&mut store, "file", b"old").expect("put");
    let before = image.writes.get();
    put(&mut store, "file", b"new").expect("put");
    let writes = image.writes.get() - before;
    assert_eq!(writes, 1 + 22);
}

/// The same driver's own file system, on a disk with partitions.
#[test]
fn embedded_sdmmc_reads_what_was_written() {
    struct NoClock;

    impl embedded_sdmmc::TimeSource for NoClock {
        fn get_timestamp(&self) -> embedded_sdmmc::Timestamp {
            embedded_sdmmc::Timestamp::from_calendar(2026, 1, 1, 0, 0, 0).expect("a time")
        }
    }

    for (kib, options) in VOLUMES {
        let image = Maker::new(kib, options).disk();
        let bytes = sample(7, 30_000);
        put(&mut writable(&image), "DIR/A.TXT", &bytes).expect("put");
        let manager = embedded_sdmmc::VolumeManager::new(&image, NoClock);
        let volume = manager.open_volume(embedded_sdmmc::VolumeIdx(1)).expect("a volume");
        let directory = volume.open_root_dir().expect("the root").open_dir("DIR").expect("a directory");
        let file = directory.open_file_in_dir("A.TXT", embedded_sdmmc::Mode::ReadOnly).expect("a file");
        let mut found = vec![0; 40_000];
        let mut len = 0;
        while let read @ 1.. = file.read(&mut found[len..]).expect("readable") {
            len += read;
        }
        assert!(found[..len] == bytes, "{options}: other bytes");
    }
}
