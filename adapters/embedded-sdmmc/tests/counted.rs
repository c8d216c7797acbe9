//! Cards that the firmware writes too, by other means and without a clock.

mod client;
mod image;

use client::{name, put};
use coracle_core::{CountedStore, Delete, Replace, Store, WritableStore};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use embedded_sdmmc::{Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use image::{Image, Maker, Tree, contents, sample};

struct NoClock;

impl TimeSource for NoClock {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp::from_calendar(1980, 1, 1, 0, 0, 0).expect("a time")
    }
}

/// Writes a file of the second partition by the file system of embedded-sdmmc.
fn write(image: &Image, path: &str, bytes: &[u8]) {
    let manager = VolumeManager::new(image, NoClock);
    let volume = manager.open_volume(VolumeIdx(1)).expect("a volume");
    let root = volume.open_root_dir().expect("the root");
    let file = root.open_file_in_dir(path, Mode::ReadWriteCreateOrTruncate).expect("a file");
    file.write(bytes).expect("written");
    file.close().expect("closed");
}

fn version<S: Store>(store: &mut S, path: &str) -> String {
    let file = store.open(name(path)).expect("a file");
    store.info(&file).expect("known").version.as_str().into()
}

#[test]
fn v10_what_the_firmware_writes_on_a_card_without_a_clock_has_another_version() {
    let image = Maker::new(8_192, "-F 16 -s 1").with_tree(&Tree::from([("other".into(), vec![1])])).disk();
    write(&image, "LOG.CSV", &sample(1, 3_000));
    let volume = || FatVolume::new(&image).expect("a volume");
    let mut plain = FatStore::new(volume());
    let mut counted = CountedStore::<_, 8>::new(FatStore::new(volume()), 1);
    assert_eq!(contents(&mut counted, "LOG.CSV"), Ok(sample(1, 3_000)));
    let before = (version(&mut plain, "LOG.CSV"), version(&mut counted, "LOG.CSV"));
    let (open, beside) = (counted.open(name("LOG.CSV")).expect("a file"), version(&mut counted, "other"));

    write(&image, "LOG.CSV", &sample(2, 3_000));
    plain.volume().refresh();
    counted.inner().volume().refresh();
    counted.changed(name("log.csv"));
    assert_eq!(contents(&mut counted, "LOG.CSV"), Ok(sample(2, 3_000)));
    assert_eq!(
        version(&mut plain, "LOG.CSV"),
        before.0,
        "it begins where it did, with the same size and the same time"
    );
    assert_ne!(version(&mut counted, "LOG.CSV"), before.1);
    assert_ne!(counted.info(&open).expect("known").version.as_str(), before.1);
    assert_eq!(version(&mut counted, "other"), beside);
    let mut restarted = CountedStore::<_, 8>::new(FatStore::new(volume()), 2);
    assert_ne!(version(&mut restarted, "LOG.CSV"), version(&mut counted, "LOG.CSV"));
}

#[test]
fn a_counted_card_takes_files() {
    let image = Maker::new(8_192, "-F 16 -s 1").disk();
    let store = FatStore::writable(FatVolume::new(&image).expect("a volume"), 7).expect("a writable one");
    let mut store = CountedStore::<_, 8>::new(store, 7);
    let first = put(&mut store, "d/file", b"first").expect("put").version;
    assert_eq!(version(&mut store, "D/FILE"), first.as_str());
    let by_version = |version| {
        let put = coracle_core::Put::new(name("d/file"), 5, client::digest(b"other"));
        put.with_replace(Replace::Version(version))
    };
    let stale = client::send(&mut store, &by_version("000000070000000"), b"other");
    assert_eq!(stale.err(), Some(coracle_core::WriteError::Changed));
    let second = client::send(&mut store, &by_version(first.as_str()), b"other").expect("put").version;
    assert_ne!(first, second);
    store.delete(&Delete::File { name: name("d/file"), version: Some(second.as_str()) }).expect("deleted");
}

/// Another system adds a file, and takes room, between two that clients put.
#[test]
fn a_writable_card_that_was_written_to_by_other_means_is_looked_at_again() {
    let image = Maker::new(8_192, "-F 16 -s 1").disk();
    let mut store = FatStore::writable(FatVolume::new(&image).expect("a volume"), 7).expect("a writable one");
    put(&mut store, "FIRST", &sample(1, 2_000)).expect("put");
    let free = store.space().expect("known").free.expect("known");
    write(&image, "LOG.CSV", &sample(2, 5_120));
    store.volume().refresh();
    put(&mut store, "SECOND", &sample(3, 2_000)).expect("put");
    assert_eq!(store.space().expect("known").free, Some(free - 5_120 - 2_048));
    for (path, seed, len) in [("FIRST", 1, 2_000), ("LOG.CSV", 2, 5_120), ("SECOND", 3, 2_000)] {
        assert_eq!(contents(&mut store, path), Ok(sample(seed, len)), "{path}");
    }
}
