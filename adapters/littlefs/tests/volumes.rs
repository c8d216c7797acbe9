//! Volumes made by PyPI's littlefs-python, read whole, and damaged.

mod python;

use std::cell::RefCell;

use coracle_core::{EntryKind, FileName, Listed, Store, StoreError};
use coracle_littlefs::{LittleStore, LittleVolume, MountError};
use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};
use python::Tree;

/// A flash in memory that counts its reads.
struct Flash<'a> {
    bytes: &'a [u8],
    reads: u64,
}

impl ErrorType for Flash<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash<'_> {
    const READ_SIZE: usize = 16;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.reads += 1;
        let offset = offset as usize;
        assert!(offset.is_multiple_of(16) && bytes.len().is_multiple_of(16), "reads are of whole units");
        bytes.copy_from_slice(self.bytes.get(offset..offset + bytes.len()).ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// A volume with `tree`.
fn volume(tree: &Tree, block_len: u32, blocks: u32, version: &str) -> Vec<u8> {
    changed(None, tree, block_len, blocks, version)
}

/// A volume to which `tree` was written, new or not.
fn changed(before: Option<&[u8]>, tree: &Tree, block_len: u32, blocks: u32, version: &str) -> Vec<u8> {
    let home = tempfile::tempdir().expect("a directory");
    let (image, top) = (home.path().join("image"), home.path().join("tree"));
    python::plant(&top, tree);
    if let Some(before) = before {
        std::fs::write(&image, before).expect("the image");
    }
    python::make_volume(&image, block_len, blocks, version, &top);
    std::fs::read(image).expect("the image")
}

fn store(bytes: &[u8], block_len: u32) -> LittleStore<Flash<'_>> {
    LittleStore::new(LittleVolume::new(Flash { bytes, reads: 0 }, block_len).expect("a volume"))
}

fn sample(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (seed.wrapping_mul(31) + index + index / 509 * 7) as u8).collect()
}

fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a name")
}

fn contents(store: &mut LittleStore<Flash<'_>>, path: &str) -> Result<Vec<u8>, StoreError> {
    let mut file = store.open(name(path))?;
    let (mut bytes, mut buf) = (Vec::new(), [0; 700]);
    loop {
        match store.read(&mut file, bytes.len() as u64, &mut buf)? {
            0 => return Ok(bytes),
            len => bytes.extend(&buf[..len]),
        }
    }
}

/// What can be listed and read, and the number of errors and of names that cannot be requested.
fn walk(store: &mut LittleStore<Flash<'_>>) -> (Tree, usize, usize) {
    let (mut tree, mut errors, mut unnameable) = (Tree::new(), 0, 0);
    let mut directories = vec![None::<String>];
    while let Some(path) = directories.pop() {
        // As deep as names can be, a damaged volume may lead in a circle.
        assert!(directories.len() < 100_000);
        let Ok(mut listing) = store.list(path.as_deref().map(name)) else {
            errors += 1;
            continue;
        };
        loop {
            match store.next(&mut listing) {
                Ok(Listed::Entry(entry)) => match entry.kind {
                    EntryKind::File { size, .. } => match contents(store, entry.name.as_str()) {
                        Ok(bytes) => {
                            assert_eq!(bytes.len() as u64, size);
                            tree.insert(entry.name.as_str().into(), bytes);
                        }
                        Err(_) => errors += 1,
                    },
                    _ => directories.push(Some(entry.name.as_str().into())),
                },
                Ok(Listed::End) => break,
                Ok(_) => unnameable += 1,
                Err(_) => {
                    errors += 1;
                    break;
                }
            }
        }
    }
    (tree, errors, unnameable)
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    for (path, len) in
        [("empty", 0), ("one", 1), ("inline", 60), ("block", 4_096), ("more.bin", 9_000), ("large", 200_000)]
    {
        tree.insert(path.into(), sample(len, len));
    }
    tree.insert("Größe/日本語/🐚 shell".into(), sample(1, 3_000));
    tree.insert("deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z".into(), sample(2, 10));
    tree.insert("n".repeat(255), sample(3, 10));
    tree.insert(format!("{}/{}", "d".repeat(127), "f".repeat(127)), sample(4, 10));
    tree
}

#[test]
fn volumes_of_both_formats_are_read() {
    let tree = tree();
    for (block_len, blocks, version) in [(4_096, 256, "2.0"), (4_096, 256, "2.1"), (512, 2_048, "2.1")] {
        let bytes = volume(&tree, block_len, blocks, version);
        let (found, errors, unnameable) = walk(&mut store(&bytes, block_len));
        assert_eq!((errors, unnameable), (0, 0), "{version}");
        assert!(found.keys().eq(tree.keys()), "{version}: {:?}", found.keys());
        assert!(found == tree, "{version}: other bytes");
    }
}

#[test]
fn many_files_are_listed_once_each_while_others_are_read() {
    let tree: Tree = (0..1_000).map(|index| (format!("logs/{index:04}.csv"), sample(index, index % 300))).collect();
    let bytes = volume(&tree, 4_096, 512, "2.1");
    let mut store = store(&bytes, 4_096);
    let mut listings = [0, 1].map(|_| store.list(Some(name("logs"))).expect("a listing"));
    let mut listed = [Vec::new(), Vec::new()];
    for step in 0..1_000 {
        for (listing, names) in listings.iter_mut().zip(&mut listed) {
            let Ok(Listed::Entry(entry)) = store.next(listing) else { panic!("an entry") };
            names.push(entry.name.as_str().to_owned());
        }
        if step % 10 == 0 {
            let last = &listed[1][step];
            assert_eq!(contents(&mut store, last).as_ref(), Ok(&tree[last]));
        }
    }
    for (listing, mut names) in listings.iter_mut().zip(listed) {
        assert_eq!(store.next(listing), Ok(Listed::End));
        names.sort();
        assert!(names.iter().eq(tree.keys()));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let bytes = volume(&tree(), 4_096, 256, "2.1");
    let mut own = store(&bytes, 4_096);
    for (path, error) in
        [("none", StoreError::NotFound), ("one/x", StoreError::NotFound), ("deep", StoreError::NotFile)]
    {
        assert_eq!(own.open(name(path)).err(), Some(error), "{path}");
    }
    assert_eq!(own.list(Some(name("one"))).err(), Some(StoreError::NotDirectory));
    let error = |bytes, block_len| LittleVolume::new(Flash { bytes, reads: 0 }, block_len).err();
    for (bytes, block_len, expected) in [
        (&bytes[..], 100, MountError::BlockLen),
        (&bytes, 8_192, MountError::OtherBlockLen(4_096)),
        (&bytes[..4_096 * 100], 4_096, MountError::TooLarge),
        (&[0xff; 16_384], 4_096, MountError::NoVolume),
    ] {
        assert_eq!(error(bytes, block_len), Some(expected));
        assert!(!expected.to_string().is_empty());
    }
}

/// A flash whose contents another one writes.
struct Shared<'a>(&'a RefCell<Vec<u8>>);

impl ErrorType for Shared<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Shared<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        Flash { bytes: &self.0.borrow(), reads: 0 }.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().len()
    }
}

#[test]
fn v9_a_file_has_another_version_once_it_is_another_one() {
    let tree = tree();
    let bytes = RefCell::new(volume(&tree, 4_096, 256, "2.1"));
    let mut own = LittleStore::new(LittleVolume::new(Shared(&bytes), 4_096).expect("a volume"));
    let files = ["one", "large", "more.bin"].map(|path| own.open(name(path)).expect("a file"));
    let versions = files.each_ref().map(|file| own.info(file).expect("known").version);
    own.volume().refresh().expect("the same volume");
    assert_eq!(files.each_ref().map(|file| own.info(file).expect("known").version), versions);

    // The same size, and the same bytes.
    let new = Tree::from([("one".into(), b"2".into()), ("large".into(), tree["large"].clone())]);
    let after = changed(Some(&bytes.borrow()), &new, 4_096, 256, "2.1");
    bytes.replace(after);
    own.volume().refresh().expect("a volume");
    for (file, version) in files.iter().zip(&versions).take(2) {
        assert_ne!(own.info(file).expect("known").version, *version);
    }
    let mut file = own.open(name("one")).expect("a file");
    let mut buf = [0; 2];
    assert_eq!((own.read(&mut file, 0, &mut buf), buf[0]), (Ok(1), b'2'));
    assert_ne!(own.info(&file).expect("known").version, versions[0]);
}

#[test]
fn v2_a_littlefs_directory_in_itself_is_an_error() {
    let tree = Tree::from([("top/inner/file".into(), vec![1]), ("file".into(), vec![2])]);
    let mut bytes = volume(&tree, 512, 64, "2.1");
    let mut own = store(&bytes, 512);
    assert_eq!(walk(&mut own), (tree, 0, 0));
    // What names the pair of `inner` in the blocks of `top` names another one above it.
    let changed = (0..64).filter(|block| lead_back(&mut bytes[block * 512..][..512], b"inner")).count();
    assert!(changed > 0);
    let mut own = store(&bytes, 512);
    assert!(own.list(Some(name("top"))).is_ok());
    assert_eq!(own.list(Some(name("top/inner/top"))).err(), Some(StoreError::Io));
    assert_eq!(own.open(name("top/inner/top/inner/file")).err(), Some(StoreError::Io));
}

/// Lets the directory `directory` of a metadata block be the root.
fn lead_back(block: &mut [u8], directory: &[u8]) -> bool {
    let Some(at) = block.windows(directory.len()).position(|bytes| bytes == directory) else { return false };
    // The tag of its pair follows, with the pair.
    block[at + directory.len() + 4..][..8].copy_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
    mend(block)
}

/// Makes the checksums of a metadata block those of its contents; whether there is one.
fn mend(block: &mut [u8]) -> bool {
    let add = |sum: u32, bytes: &[u8]| {
        bytes.iter().fold(sum, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
        })
    };
    let (mut offset, mut before, mut has_any) = (4, u32::MAX, false);
    let mut sum = add(u32::MAX, &block[..4]);
    while offset + 8 <= block.len() {
        let tag = u32::from_be_bytes(block[offset..offset + 4].try_into().expect("four bytes")) ^ before;
        let len = if tag & 0x3ff == 0x3ff { 0 } else { tag as usize & 0x3ff };
        if tag >> 31 == 1 || offset + 4 + len > block.len() {
            break;
        }
        sum = add(sum, &block[offset..offset + 4]);
        before = tag;
        if (tag >> 20) & 0x780 == 0x500 && len >= 4 {
            block[offset + 4..offset + 8].copy_from_slice(&sum.to_le_bytes());
            (sum, has_any) = (u32::MAX, true);
            before ^= ((tag >> 20) & 1) << 31;
        } else {
            sum = add(sum, &block[offset + 4..offset + 4 + len]);
        }
        offset += 4 + len;
    }
    has_any
}

#[test]
fn a_listing_goes_on_while_the_volume_is_written_to() {
    let tree: Tree = (0..100).map(|index| (format!("logs/{index:04}"), vec![])).collect();
    let bytes = RefCell::new(volume(&tree, 4_096, 256, "2.1"));
    let mut own = LittleStore::new(LittleVolume::new(Shared(&bytes), 4_096).expect("a volume"));
    let mut listing = own.list(Some(name("logs"))).expect("a listing");
    let mut names = Vec::new();
    while let Listed::Entry(entry) = own.next(&mut listing).expect("an entry") {
        names.push(entry.name.as_str().to_owned());
        if names.len() == 50 {
            let new: Tree = (0..60).map(|index| (format!("logs/{index:04}.new"), sample(index, 500))).collect();
            let after = changed(Some(&bytes.borrow()), &new, 4_096, 256, "2.1");
            bytes.replace(after);
            own.volume().refresh().expect("a volume");
        }
    }
    let before: Vec<_> = names.iter().filter(|name| !name.ends_with(".new")).collect();
    assert!(before.iter().copied().eq(tree.keys()), "{before:?}");
    assert_eq!(names.len(), 100 + 10, "those that came behind the fiftieth are listed too");
}

#[test]
fn v1_flipped_bytes_of_littlefs_end_in_errors() {
    let mut small: Tree = (0..30).map(|index| (format!("d{}/file {index}", index % 3), sample(index, 50))).collect();
    small.insert("d0/inner/large".into(), sample(1, 9_000));
    let whole = volume(&small, 512, 512, "2.1");
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 100 } else { 400 };
    let metadata: Vec<usize> = (0..512).filter(|block| mend(&mut whole.clone()[block * 512..][..512])).collect();
    assert!(metadata.len() >= 8, "{metadata:?}");
    let used = whole.iter().rposition(|byte| *byte != 0xff).expect("bytes");
    let mut state = 0x5eed_0004_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let (mut files, mut errors, mut differ) = (0, 0, 0);
    for round in 0..rounds {
        let mut bytes = whole.clone();
        for _ in 0..1 + below(20) {
            bytes[below(used)] = below(256) as u8;
        }
        // Logs with whole commits that make no sense.
        for _ in 0..1 + below(20) {
            let block = metadata[below(metadata.len())] * 512;
            bytes[block + below(200)] = below(256) as u8;
        }
        for block in &metadata {
            mend(&mut bytes[block * 512..][..512]);
        }
        let Ok(volume) = LittleVolume::new(Flash { bytes: &bytes, reads: 0 }, 512) else {
            errors += 1;
            continue;
        };
        let mut store = LittleStore::new(volume);
        let (found, failed, _) = walk(&mut store);
        (files, errors) = (files + found.len(), errors + failed);
        differ += usize::from(found != small);
        let reads = store.into_volume().into_flash().reads;
        assert!(reads < 2_000_000, "round {round}: {reads} reads");
    }
    let seen = format!("{files} files were read, {errors} errors came, {differ} of {rounds} trees differ");
    assert!(files > rounds && errors > rounds / 40 && differ > rounds / 4, "{seen}");
}
