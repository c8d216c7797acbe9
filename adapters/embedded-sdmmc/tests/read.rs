//! Volumes made by mkfs.fat and mtools, read whole.

mod image;

use coracle_core::{EntryKind, FileName, Listed, Store, StoreError};
use coracle_embedded_sdmmc::{FatFile, FatKind, FatListing, FatStore, FatVolume, MountError};
use image::{Image, Maker, Tree, assert_tree, contents, everything, sample};

/// FAT16 and FAT32 with small and large clusters, as (KiB, options, kind).
const VOLUMES: [(u32, &str, FatKind); 4] = [
    (8_192, "-F 16 -s 1", FatKind::Fat16),
    (40_960, "-F 16 -s 16 -f 1", FatKind::Fat16),
    (36_864, "-F 32 -s 1", FatKind::Fat32),
    (2_400, "-F 16 -s 1 -r 1024", FatKind::Fat16),
];

fn tree() -> Tree {
    let mut tree = Tree::new();
    let mut add = |name: &str, len: usize| tree.insert(name.into(), sample(name.len(), len));
    for (name, len) in [("empty", 0), ("one", 1), ("block", 512), ("behind a block", 513), ("large.bin", 70_000)] {
        add(name, len);
    }
    add("MiXed Case.Txt", 100);
    add("UPPER.TXT", 7);
    add("lower.txt", 7);
    add("Upper.TXT.backup", 7);
    add(".hidden", 3);
    add("ends with space .and dot.x", 3);
    add("grüße/日本語/Ω shell.txt", 600);
    add("deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z.txt", 42);
    // Names of 255 bytes: 255 and 85 units of UTF-16.
    add(&"n".repeat(255), 1);
    add(&"語".repeat(85), 2);
    add(&format!("{}/{}", "d".repeat(127), "f".repeat(127)), 4);
    tree
}

fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a name")
}

#[test]
fn trees_that_others_wrote_are_read() {
    for (kib, options, kind) in VOLUMES {
        let mut tree = tree();
        if kind == FatKind::Fat32 {
            // mtools makes a directory larger by one cluster at a time, which is too small for a name of 255 characters.
            tree.retain(|name, _| name.chars().count() < 200);
        }
        let maker = Maker::new(kib, options).with_tree(&tree);
        for image in [maker.image(), maker.disk()] {
            let mut store = image.store();
            assert_eq!(store.volume().kind(), kind, "{options}");
            assert_tree(&mut store, &tree);
        }
    }
}

#[test]
fn a_thousand_files_are_listed_once_each_however_many_clients_ask() {
    let tree: Tree = (0..1_000).map(|index| (format!("logs/{index:04} measurement.csv"), sample(index, 40))).collect();
    for (kib, options) in [(8_192, "-F 16 -s 1"), (36_864, "-F 32 -s 1")] {
        let image = Maker::new(kib, options).with_tree(&tree).image();
        let mut store = image.store();
        assert_tree(&mut store, &tree);

        // Listings in turns, with files that are opened and read in between.
        let mut listings = [0, 1].map(|_| store.list(Some(name("logs"))).expect("a listing"));
        let mut listed = [Vec::new(), Vec::new()];
        for index in 0..1_000 {
            for (listing, names) in listings.iter_mut().zip(&mut listed) {
                let Ok(Listed::Entry(entry)) = store.next(listing) else { panic!("entry {index}") };
                names.push(entry.name.as_str().to_owned());
            }
            if index % 100 == 0 {
                assert_eq!(contents(&mut store, &listed[0][index]).as_ref(), Ok(&tree[&listed[0][index]]));
            }
        }
        for (listing, names) in listings.iter_mut().zip(&mut listed) {
            assert_eq!(store.next(listing), Ok(Listed::End));
            assert_eq!(store.next(listing), Ok(Listed::End));
            names.sort();
            assert!(names.iter().eq(tree.keys()));
        }

        // A step costs what it has to read, however far it is from the beginning.
        image.reads.set(0);
        let mut listing = store.list(Some(name("logs"))).expect("a listing");
        while store.next(&mut listing) != Ok(Listed::End) {}
        let reads = image.reads.get();
        assert!(reads < 1_000, "{reads} blocks were read to list 1,000 files of three entries, sixteen a block");
    }
}

#[test]
fn two_clients_read_one_file_from_where_they_are() {
    let tree = Tree::from([("a".into(), sample(1, 50_000))]);
    let image = Maker::new(8_192, "-F 16 -s 1").with_tree(&tree).image();
    let mut store = image.store();
    let mut files = [0, 1].map(|_| store.open(name("a")).expect("a file"));
    for (offset, which) in [(0, 0), (49_990, 1), (25_000, 0), (100, 1), (511, 0), (512, 1), (49_999, 0), (0, 1)] {
        let mut buf = [0; 1_100];
        let len = store.read(&mut files[which], offset as u64, &mut buf).expect("bytes");
        assert_eq!(buf[..len], tree["a"][offset..(offset + 1_100).min(50_000)]);
    }
    for offset in [50_000, 50_001, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(store.read(&mut files[0], offset, &mut [0; 10]), Ok(0));
    }
}

#[test]
fn names_are_found_in_any_case_and_shown_as_they_are() {
    let maker = Maker::new(8_192, "-F 16 -s 1").with_tree(&tree());
    let image = maker.image();
    let mut store = image.store();
    for asked in
        ["upper.txt", "UPPER.TXT", "mixed case.txt", "DEEP/A/b/C/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/Z.TXT"]
    {
        assert!(store.open(name(asked)).is_ok(), "{asked}");
    }
    for (asked, error) in [
        ("nothing", StoreError::NotFound),
        ("deep/nothing", StoreError::NotFound),
        ("one/nothing", StoreError::NotFound),
        ("deep/a", StoreError::NotFile),
        // A short name beside a long one.
        ("MIXEDC~1.TXT", StoreError::NotFound),
    ] {
        assert_eq!(store.open(name(asked)).err(), Some(error), "{asked}");
    }
    assert_eq!(store.list(Some(name("one"))).err(), Some(StoreError::NotDirectory));
    assert_eq!(store.list(Some(name("none"))).err(), Some(StoreError::NotFound));
}

/// What has a name that no client can ask for is counted.
#[test]
fn v8_names_that_cannot_be_requested_are_counted() {
    let long = "語".repeat(86);
    let maker = Maker::new(8_192, "-F 16 -s 1").with_tree(&Tree::from([("a".into(), Vec::new())]));
    let file = maker.path().with_file_name("empty");
    std::fs::write(&file, b"").expect("a file");
    let file = file.display().to_string();
    let maker = maker.with("mcopy", &["-i", "{}", &file, &format!("::/{long}")]);
    let mut bytes = maker.image().bytes();
    // A short name, which has no long one, in another code page.
    let at = bytes.windows(11).position(|bytes| bytes == b"A          ").expect("the entry");
    bytes[at..at + 4].copy_from_slice(b"\xe0BER");
    let image = Image::new(&bytes);
    assert_eq!(everything(&mut image.store()), Ok((Tree::new(), 2)));
}

#[test]
fn short_names_are_shown_in_the_case_that_their_flags_say() {
    let maker = Maker::new(8_192, "-F 16 -s 1").with_tree(&Tree::from([("README.TXT".into(), Vec::new())]));
    let mut bytes = maker.image().bytes();
    let at = bytes.windows(11).position(|bytes| bytes == b"README  TXT").expect("the entry");
    for (flags, expected) in [(0, "README.TXT"), (0x08, "readme.TXT"), (0x10, "README.txt"), (0x18, "readme.txt")] {
        bytes[at + 12] = flags;
        let (tree, _) = everything(&mut Image::new(&bytes).store()).expect("read");
        assert_eq!(tree.keys().collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn versions_change_with_times_and_sizes_and_are_the_same_after_a_restart() {
    let tree = Tree::from([("a".into(), sample(1, 100)), ("b".into(), sample(1, 100))]);
    let maker = Maker::new(8_192, "-F 16 -s 1").with_tree(&tree);
    let mut bytes = maker.image().bytes();
    let info = |bytes: &[u8], which: &str| {
        let image = Image::new(bytes);
        let mut store = image.store();
        let file = store.open(name(which)).expect("a file");
        store.info(&file).expect("information")
    };
    let first = info(&bytes, "a");
    assert_eq!((first.size, &first), (100, &info(&bytes, "a")));
    assert_ne!(first.version, info(&bytes, "b").version);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    // mtools writes local time, which no zone has by more than a day.
    assert!(first.modified.is_some_and(|modified| modified.abs_diff(now) < 100_000), "{first:?}");
    let at = bytes.windows(11).position(|bytes| bytes == b"A          ").expect("the entry");
    bytes[at + 22] ^= 1;
    assert_ne!(first.version, info(&bytes, "a").version);
}

#[test]
fn what_is_no_volume_is_refused_with_a_reason() {
    let mount = |image: &Image| FatVolume::new(image).err();
    let volume = Maker::new(8_192, "-F 16 -s 1").image().bytes();
    for (image, error) in [
        (Image::new(&[]), MountError::Device),
        (Image::new(&[0; 512]), MountError::NoVolume),
        (Image::new(&volume[..4_000 * 512]), MountError::Corrupt),
        (Maker::new(1_440, "-F 12").image(), MountError::Fat12),
        (Maker::new(80_000, "-F 16 -S 2048").image(), MountError::SectorLen(2_048)),
    ] {
        assert_eq!(mount(&image), Some(error));
        assert!(!error.to_string().is_empty());
    }
    for (at, bytes) in [(13, &[3][..]), (13, &[0]), (14, &[0, 0]), (16, &[0]), (16, &[9]), (22, &[1, 0]), (19, &[0; 2])]
    {
        let mut damaged = volume.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(mount(&Image::new(&damaged)), Some(MountError::Corrupt), "{at}: {bytes:?}");
    }
}

#[test]
fn a_listing_tells_sizes_and_directories() {
    let image = Maker::new(8_192, "-F 16 -s 1").with_tree(&tree()).image();
    let mut store = image.store();
    let mut listing = store.list(None).expect("a listing");
    let mut found = Vec::new();
    while let Listed::Entry(entry) = store.next(&mut listing).expect("an entry") {
        found.push((entry.name.as_str().to_owned(), entry.kind));
    }
    let kind = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, kind)| *kind);
    assert!(matches!(kind("large.bin"), Some(EntryKind::File { size: 70_000, modified: Some(_) })));
    assert_eq!(kind("deep"), Some(EntryKind::Directory { link: false }));
}

/// What the README says of memory, rounded up.
#[test]
fn files_and_listings_are_small() {
    assert_eq!(size_of::<FatFile>(), 48);
    assert_eq!(size_of::<FatListing>(), 296);
    println!("{}", size_of::<FatStore<()>>());
    assert!(size_of::<FatStore<()>>() <= 2_300);
}
