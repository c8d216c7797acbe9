//! Damaged volumes: errors, and neither panics nor loops.

mod client;
mod image;

use client::{name, put};
use coracle_core::{Delete, EntryKind, FileName, Listed, Store, StoreError, WritableStore, WriteError};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use image::{Image, Maker, Tree, everything, sample};

/// Pseudo-random numbers: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What came of a walk through a volume.
#[derive(Default)]
struct Walk {
    files: u32,
    errors: u32,
}

/// Lists all that can be listed, and reads all that can be read, as clients do that go on after an error.
fn walk(image: &Image) -> Walk {
    let mut walk = Walk::default();
    let Ok(volume) = FatVolume::new(image) else {
        walk.errors += 1;
        return walk;
    };
    let mut store = FatStore::new(volume);
    let mut directories = vec![None::<String>];
    while let Some(path) = directories.pop() {
        let listing = store.list(path.as_deref().map(|path| FileName::new(path).expect("a name")));
        let Ok(mut listing) = listing else {
            walk.errors += 1;
            continue;
        };
        let mut files = Vec::new();
        loop {
            match store.next(&mut listing) {
                Ok(Listed::Entry(entry)) => match entry.kind {
                    EntryKind::Directory { .. } => directories.push(Some(entry.name.as_str().into())),
                    _ => files.push(entry.name.as_str().to_owned()),
                },
                Ok(Listed::End) => break,
                Ok(_) => {}
                Err(_) => {
                    walk.errors += 1;
                    break;
                }
            }
        }
        for name in files {
            match read(&mut store, &name) {
                Ok(()) => walk.files += 1,
                Err(_) => walk.errors += 1,
            }
        }
    }
    walk
}

fn read(store: &mut FatStore<&Image>, name: &str) -> Result<(), StoreError> {
    let mut file = store.open(FileName::new(name).expect("a name"))?;
    let (mut offset, mut buf) = (0, [0; 4_096]);
    loop {
        match store.read(&mut file, offset, &mut buf)? {
            0 => return store.info(&file).map(|_| ()),
            len => offset += len as u64,
        }
    }
}

/// Writes to what may be damaged in every way; the number of refusals.
fn change(image: &Image) -> u32 {
    let Ok(volume) = FatVolume::new(image) else { return 1 };
    let mut store = match FatStore::writable(volume, 1) {
        Ok(store) => store,
        Err(WriteError::Store(StoreError::Io) | WriteError::NoSpace { .. }) => return 1,
        Err(error) => panic!("{error}"),
    };
    let results = [
        put(&mut store, "d0/a new file with a long name", &sample(5, 2_000)).map(|_| ()),
        put(&mut store, "top", &sample(6, 3_000)).map(|_| ()),
        put(&mut store, "new/directory/x", b"x").map(|_| ()),
        store.delete(&Delete::File { name: name("d1/file 1"), version: None }),
        store.delete(&Delete::Directory { path: name("d2") }),
        store.rename(&coracle_core::Rename::new(name("d3/file 3"), name("d0/moved"))),
    ];
    results.into_iter().map(|result| u32::from(result.is_err())).sum()
}

fn small_tree() -> Tree {
    let mut tree: Tree = (0..40).map(|index| (format!("d{}/file {index}", index % 4), sample(index, 900))).collect();
    tree.insert("d0/sub/deeper/large".into(), sample(3, 20_000));
    tree.insert("top".into(), sample(3, 5_000));
    tree
}

#[test]
fn v1_flipped_bytes_end_in_errors() {
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 100 } else { 400 };
    for (kib, options) in [(2_200, "-F 16 -s 1"), (34_000, "-F 32 -s 1")] {
        let maker = Maker::new(kib, options).with_tree(&small_tree());
        let (image, whole) = (maker.image(), maker.image().bytes());
        let intact = walk(&image);
        assert_eq!((intact.files, intact.errors), (42, 0));
        // Boot sector, tables and directories, of which the last ones lie among the files.
        let used = whole.iter().rposition(|byte| *byte != 0).expect("bytes");
        let mut random = Random(0x5eed_0001);
        let (mut files, mut errors, mut refusals) = (0, 0, 0);
        for round in 0..rounds {
            let damaged = image.copy();
            for _ in 0..1 + random.below(40) {
                // Half of them in the first blocks, which hold all that describes the rest.
                let at =
                    if random.below(2) == 0 { random.below(used) } else { random.below(64) * 32 + random.below(32) };
                damaged.set_byte(at, random.below(256) as u8);
            }
            let found = walk(&damaged);
            (files, errors) = (files + found.files, errors + found.errors);
            if round % 4 == 0 {
                refusals += change(&damaged);
                walk(&damaged);
            }
            let reads = damaged.reads.get();
            assert!(reads < 400_000, "round {round}: {reads} blocks were read of {}", whole.len() / 512);
        }
        assert!(refusals > rounds / 4, "{options}: {refusals}");
        assert!(files > rounds && errors > rounds / 4, "{options}: {files} files were read, {errors} errors came");
    }
}

/// Overwrites the 32 bytes of the entry with this short name, from `at` on.
fn patch(bytes: &mut [u8], short_name: &[u8; 11], at: usize, new: &[u8]) {
    let entry = bytes.windows(11).position(|bytes| bytes == short_name).expect("the entry");
    bytes[entry + at..][..new.len()].copy_from_slice(new);
}

fn cluster(bytes: &[u8], short_name: &[u8; 11]) -> [u8; 2] {
    let entry = bytes.windows(11).position(|bytes| bytes == short_name).expect("the entry");
    bytes[entry + 26..][..2].try_into().expect("two bytes")
}

#[test]
fn v2_directories_in_a_circle_are_errors() {
    let tree = Tree::from([("outer/inner/f".into(), vec![1]), ("other/x".into(), vec![2])]);
    let whole = Maker::new(2_200, "-F 16 -s 1").with_tree(&tree).image().bytes();
    assert_eq!(everything(&mut Image::new(&whole).store()), Ok((tree, 0)));
    let outer = cluster(&whole, b"OUTER      ");
    for target in [outer, [0, 0], [1, 0], [0xff, 0xff], cluster(&whole, b"OTHER      ")] {
        let mut bytes = whole.clone();
        patch(&mut bytes, b"INNER      ", 26, &target);
        let image = Image::new(&bytes);
        let mut store = image.store();
        assert!(store.list(Some(FileName::from_static("outer"))).is_ok());
        let inner = FileName::from_static("outer/inner");
        assert_eq!(store.list(Some(inner)).err(), Some(StoreError::Io), "{target:?}");
        assert_eq!(store.open(inner).err(), Some(StoreError::Io), "{target:?}");
    }
}

/// The root's first two entries say that it is a directory in itself.
#[test]
fn v2_a_root_in_itself_is_an_error() {
    let mut bytes = Maker::new(34_000, "-F 32 -s 1").with_tree(&Tree::from([("d/f".into(), vec![1])])).image().bytes();
    let root = usize::try_from(u32::from_le_bytes(bytes[44..48].try_into().expect("four bytes"))).expect("small");
    let data = 32 + 2 * usize::try_from(u32::from_le_bytes(bytes[36..40].try_into().expect("four"))).expect("small");
    let start = (data + root - 2) * 512;
    let entry = bytes.windows(11).position(|bytes| bytes == b"D          ").expect("the entry");
    let mut slot: [u8; 32] = bytes[entry..][..32].try_into().expect("an entry");
    slot[12] = 0;
    slot[26..28].copy_from_slice(&(root as u16).to_le_bytes());
    for (index, name) in [b".          ", b"..         ", b"SELF       "].into_iter().enumerate() {
        slot[..11].copy_from_slice(name);
        bytes[start + 32 * index..][..32].copy_from_slice(&slot);
    }
    bytes[start + 96] = 0;
    let image = Image::new(&bytes);
    let mut store = image.store();
    let mut listing = store.list(None).expect("a listing");
    assert!(matches!(store.next(&mut listing), Ok(Listed::Entry(entry)) if entry.name.as_str() == "SELF"));
    assert_eq!(store.list(Some(name("SELF"))).err(), Some(StoreError::Io));
    assert_eq!(store.open(name("SELF/SELF/SELF")).err(), Some(StoreError::Io));
}

/// What is emptied in a call is no longer than a directory can be.
#[test]
fn v3_a_directory_without_end_is_not_deleted() {
    let whole = Maker::new(34_000, "-F 32 -s 1").with_tree(&Tree::from([("D/F".into(), vec![1])])).image();
    put(&mut FatStore::writable(FatVolume::new(&whole).expect("a volume"), 1).expect("a writable one"), "x", b"1")
        .expect("put");
    let mut bytes = whole.bytes();
    patch(&mut bytes, b"F          ", 0, &[0]);
    let (first, other) = (cluster(&bytes, b"D          "), cluster(&bytes, b"CORACLE JNL"));
    // To a cluster whose entry lies in another block of the table, and back.
    let fat = 32 * 512;
    let far = u16::from_le_bytes(other) + 5_000;
    for (from, to) in [(u16::from_le_bytes(first), far), (far, u16::from_le_bytes(first))] {
        bytes[fat + 4 * usize::from(from)..][..4].copy_from_slice(&u32::from(to).to_le_bytes());
    }
    let image = Image::new(&bytes);
    let mut store = FatStore::writable(FatVolume::new(&image).expect("a volume"), 2).expect("a writable one");
    let reads = image.reads.get();
    assert_eq!(store.delete(&Delete::Directory { path: name("D") }), Err(StoreError::Io.into()));
    assert!(image.reads.get() - reads < 5_000, "{}", image.reads.get() - reads);
}

#[test]
fn v3_chains_in_a_circle_end() {
    let tree = Tree::from([("f".into(), sample(1, 3_000)), ("d/x".into(), vec![1])]);
    let mut bytes = Maker::new(2_200, "-F 16 -s 1").with_tree(&tree).image().bytes();
    let fat = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    for entry in [b"F          ", b"D          "] {
        let first = cluster(&bytes, entry);
        let at = fat + 2 * usize::from(u16::from_le_bytes(first));
        bytes[at..at + 2].copy_from_slice(&first);
    }
    // All slots of the directory are in use, so that its end is that of its chain.
    let entry = bytes.windows(11).position(|bytes| bytes == b"X          ").expect("the entry") / 512 * 512;
    let slot: [u8; 32] = bytes[entry + 64..][..32].try_into().expect("an entry");
    for index in 3..16 {
        bytes[entry + 32 * index..][..32].copy_from_slice(&slot);
    }
    patch(&mut bytes, b"F          ", 28, &u32::MAX.to_le_bytes());
    let image = Image::new(&bytes);
    let mut store = image.store();
    let mut file = store.open(FileName::from_static("f")).expect("a file");
    assert_eq!(store.read(&mut file, u64::from(u32::MAX) - 1, &mut [0; 4]), Err(StoreError::Io));
    let mut listing = store.list(Some(FileName::from_static("d"))).expect("a listing");
    let mut entries = 0;
    while store.next(&mut listing).is_ok_and(|listed| listed != Listed::End) {
        entries += 1;
    }
    assert!((65_536 / 16 * 13..=65_536).contains(&entries), "{entries}");
    assert_eq!(store.open(FileName::from_static("d/nothing")).err(), Some(StoreError::Io));
}

/// A device that fails is not the end: what can be read later is read then.
#[test]
fn v3_files_that_are_shorter_than_they_say_are_errors() {
    let tree = Tree::from([("f".into(), sample(1, 3_000))]);
    let whole = Maker::new(2_200, "-F 16 -s 1").with_tree(&tree).image().bytes();
    for (at, new) in [(28, &9_000_u32.to_le_bytes()[..]), (26, &[0, 0]), (26, &[1, 0]), (26, &[0xff, 0xff])] {
        let mut bytes = whole.clone();
        patch(&mut bytes, b"F          ", at, new);
        let image = Image::new(&bytes);
        assert_eq!(read(&mut image.store(), "f"), Err(StoreError::Io), "{at} {new:?}");
    }
}
