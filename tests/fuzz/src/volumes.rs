//! Target: FAT and littlefs volumes that were damaged anywhere, read as clients do, and the first written to.

use std::sync::OnceLock;

use coracle_core::{
    Begun, Committed, Delete, Digest, DigestKind, EntryKind, FileName, Hasher, Instant, Listed, Put, PutAttempt,
    Rename, Replace, Store, StoreError, WritableStore, WriteError,
};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use coracle_littlefs::{LittleStore, LittleVolume};

use crate::media::{Blocks, Card, Flash, Log, mend};

/// Length of a block of the littlefs volume.
const BLOCK_LEN: usize = 512;
/// No call reads more blocks of a card: a directory has at most 4,096 of them, each perhaps with one of the table, and the names
/// that are asked for here lead through few.
const MOST_BLOCKS: u64 = 80_000;
/// Nor more often from a flash: for each of 1,024 entries the whole log, of all twelve blocks.
const MOST_WINDOWS: u64 = 400_000;
/// Clients of volumes that lead in circles end some time.
const MOST_DIRECTORIES: usize = 12;
const MOST_FILES: usize = 12;
const MOST_ENTRIES: usize = 70_000;
const NOW: Instant = Instant::from_millis(0);

/// Whatever a volume consists of: errors, a bounded number of reads in each call, and as many bytes of a file as it says.
pub fn target(data: &[u8]) {
    let [choice, edits @ ..] = data else { return };
    match choice % 4 {
        0 => fat(fat16(), edits),
        1 => fat(fat32(), edits),
        2 => littlefs(edits, false),
        _ => littlefs(edits, true),
    }
}

fn fat(base: &Blocks, edits: &[u8]) {
    let mut blocks = base.clone();
    let used: Vec<u32> = blocks.used.keys().copied().collect();
    for edit in edits.chunks_exact(4) {
        let block = blocks.used.get_mut(&used[usize::from(edit[0]) % used.len()]).expect("it is there");
        block[usize::from(u16::from_le_bytes([edit[1], edit[2]])) % 512] = edit[3];
    }
    let card = Card::new(blocks);
    for is_changed in [false, true] {
        if let Ok(volume) = FatVolume::new(&card) {
            walk(&mut FatStore::new(volume), &|| card.reads(), MOST_BLOCKS);
        }
        if !is_changed {
            change(&card);
        }
    }
}

fn change(card: &Card) {
    let Ok(volume) = FatVolume::new(card) else { return };
    let Ok(mut store) = FatStore::writable(volume, 1) else { return };
    for (path, len) in [("d/a new file with a long name", 900), ("top", 700), ("new/dir/x", 0)] {
        put(&mut store, name(path), &vec![5; len]);
    }
    let results = [
        store.delete(&Delete::File { name: name("d/file 1"), version: None }),
        store.delete(&Delete::Directory { path: name("d/sub") }),
        store.rename(&Rename::new(name("d/file 2"), name("moved"))),
        store.make_dir(name("made")),
    ];
    // No other client is there, and no version was asked for.
    let is_possible = |error| !matches!(error, WriteError::InUse | WriteError::Changed | WriteError::Unsupported);
    assert!(results.into_iter().filter_map(Result::err).all(is_possible), "{results:?}");
    assert!(store.space().is_ok(), "what is free was counted");
}

fn put<S: WritableStore>(store: &mut S, name: FileName<'_>, bytes: &[u8]) -> Option<()> {
    let put = Put::new(name, bytes.len() as u64, crc32(bytes)).with_replace(Replace::Anything).with_parents(true);
    let mut begun = std::iter::repeat_with(|| store.begin(&put, PutAttempt::new(NOW, false), NOW));
    let begun = begun.by_ref().take(10_000).find(|begun| !matches!(begun, Ok(Begun::Wait))).expect("no end of waiting");
    let Ok(Begun::Upload { mut upload, have }) = begun else { return None };
    let mut done = usize::try_from(have).expect("small");
    while done < bytes.len() {
        match store.write(&mut upload, done as u64, &bytes[done..], NOW) {
            Ok(len) => done += len,
            Err(_) => {
                store.keep(upload);
                return None;
            }
        }
    }
    for _ in 0..10_000 {
        match store.commit(&mut upload, &put, NOW) {
            Ok(Committed::Pending) => {}
            Ok(_) => return Some(()),
            Err(_) => {
                store.discard(upload);
                return None;
            }
        }
    }
    panic!("no end of a commit");
}

fn littlefs(edits: &[u8], is_mended: bool) {
    let mut bytes = little().to_vec();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[at] = edit[2];
    }
    if is_mended {
        bytes.chunks_mut(BLOCK_LEN).take(4).for_each(mend);
    }
    let flash = Flash::new(bytes);
    if let Ok(volume) = LittleVolume::new(&flash, BLOCK_LEN as u32) {
        walk(&mut LittleStore::new(volume), &|| flash.reads(), MOST_WINDOWS);
    }
}

/// Lists and reads what there is, as far as a patient client goes.
fn walk<S: Store>(store: &mut S, reads: &dyn Fn() -> u64, most: u64) {
    let mut before = reads();
    let mut check = |what: &str| {
        let now = reads();
        assert!(now - before <= most, "{what}: {} reads", now - before);
        before = now;
    };
    let (mut directories, mut at) = (vec![None::<String>], 0);
    while let Some(path) = directories.get(at).cloned() {
        at += 1;
        let listing = store.list(path.as_deref().map(name));
        check("list");
        let Ok(mut listing) = listing else { continue };
        let mut files = Vec::new();
        for count in 0.. {
            assert!(count < MOST_ENTRIES, "no end of a listing");
            let listed = store.next(&mut listing);
            match listed {
                Ok(Listed::Entry(entry)) => match entry.kind {
                    EntryKind::Directory { .. } if directories.len() < MOST_DIRECTORIES => {
                        directories.push(Some(entry.name.as_str().into()));
                    }
                    EntryKind::File { size, .. } if files.len() < MOST_FILES => {
                        files.push((entry.name.as_str().to_owned(), size));
                    }
                    _ => {}
                },
                Ok(Listed::End) | Err(_) => break,
                Ok(_) => {}
            }
            check("next");
        }
        for (path, size) in files {
            let file = store.open(name(&path));
            check("open");
            let Ok(mut file) = file else { continue };
            let info = store.info(&file);
            check("info");
            assert_eq!(store.info(&file), info, "nothing has changed");
            read(store, &mut file, size, &mut check);
        }
    }
}

fn read<S: Store>(store: &mut S, file: &mut S::File, size: u64, check: &mut dyn FnMut(&str)) {
    let (mut offset, mut buf) = (0, [0; 1_500]);
    while offset < 20_000 {
        let read = store.read(file, offset, &mut buf);
        check("read");
        match read {
            Ok(0) => break,
            Ok(len) => offset += len as u64,
            Err(_) => return,
        }
    }
    assert!(offset <= size && (offset == size || offset >= 20_000), "a file has {offset} bytes of {size}");
    for offset in [size.saturating_sub(1), size, u64::MAX] {
        let read = store.read(file, offset, &mut buf);
        check("read at an end");
        assert!(offset < size || read == Ok(0) || read == Err(StoreError::Io), "bytes behind the end: {read:?}");
    }
}

fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a listed name can be asked for")
}

fn crc32(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("CRC-32");
    hasher.update(bytes);
    hasher.finish()
}

/// A volume with files.
fn filled(blocks: Blocks) -> Blocks {
    let card = Card::new(blocks);
    let mut store = FatStore::writable(FatVolume::new(&card).expect("a volume"), 7).expect("a writable one");
    for (path, len) in [("top", 1_400), ("d/file 1", 600), ("d/file 2", 10), ("d/sub/deep/é.txt", 600), ("EMPTY", 0)] {
        put(&mut store, name(path), &vec![0xaa; len]).expect("put");
    }
    put(&mut store, name(&"n".repeat(255)), b"long").expect("put");
    store.delete(&Delete::File { name: name("d/sub/deep/é.txt"), version: None }).expect("deleted");
    card.into_blocks()
}

fn fat16() -> &'static Blocks {
    static CARD: OnceLock<Blocks> = OnceLock::new();
    CARD.get_or_init(|| filled(Blocks::fat16(4_200)))
}

fn fat32() -> &'static Blocks {
    static CARD: OnceLock<Blocks> = OnceLock::new();
    CARD.get_or_init(|| filled(Blocks::fat32(400)))
}

/// A volume of littlefs: a root, a directory, files in the metadata and in blocks of their own.
fn little() -> &'static [u8] {
    static VOLUME: OnceLock<Vec<u8>> = OnceLock::new();
    VOLUME.get_or_init(|| {
        const BLOCKS: u32 = 12;
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let mut root = Log::new(5);
        root.push(0x401, 0, &[]).push(0x0ff, 0, b"littlefs");
        root.push(0x201, 0, &numbers(&[0x0002_0001, BLOCK_LEN as u32, BLOCKS, 255, i32::MAX as u32, 1_022]));
        root.push(0x401, 1, &[]).push(0x002, 1, b"d").push(0x200, 1, &numbers(&[2, 3]));
        root.push(0x600, 0x3ff, &numbers(&[2, 3])).commit();
        root.push(0x401, 2, &[]).push(0x001, 2, b"large").push(0x202, 2, &numbers(&[6, 1_300])).commit();
        root.push(0x401, 2, &[]).push(0x001, 2, b"inline").push(0x201, 2, b"0123456789").commit();
        let mut directory = Log::new(9);
        directory.push(0x401, 0, &[]).push(0x001, 0, "é".as_bytes()).push(0x201, 0, b"deep");
        directory.push(0x401, 1, &[]).push(0x001, 1, b"gone").push(0x201, 1, b"").push(0x4ff, 1, &[]);
        directory.commit();
        let mut bytes = vec![0xff; BLOCK_LEN * BLOCKS as usize];
        let mut place =
            |block: usize, contents: &[u8]| bytes[block * BLOCK_LEN..][..contents.len()].copy_from_slice(contents);
        place(0, &root.bytes);
        place(1, &Log::new(4).bytes);
        place(2, &directory.bytes);
        place(3, &Log::new(8).bytes);
        // Three blocks, each behind the first with the numbers of earlier ones.
        place(4, &[1; BLOCK_LEN]);
        place(5, &numbers(&[4]));
        place(6, &numbers(&[5, 4]));
        let flash = Flash::new(bytes.clone());
        let mut store = LittleStore::new(LittleVolume::new(&flash, BLOCK_LEN as u32).expect("a volume"));
        for (path, size) in [("d/é", 4), ("large", 1_300), ("inline", 10)] {
            let file = store.open(name(path)).expect(path);
            assert_eq!(store.info(&file).expect("known").size, size, "{path}");
        }
        assert_eq!(store.open(name("d/gone")).err(), Some(StoreError::NotFound));
        bytes
    })
}
