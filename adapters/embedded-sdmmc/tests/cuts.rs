//! Power cuts at every write: the old file or the new one, and a volume without faults.

mod client;
mod image;

use client::{name, put};
use coracle_core::{Delete, Rename, WritableStore, WriteError};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use image::{Checker, Image, Maker, Tree, everything, sample};

type Change = fn(&mut FatStore<&Image>) -> Result<(), WriteError>;

fn writable(image: &Image) -> Result<FatStore<&Image>, WriteError> {
    FatStore::writable(FatVolume::new(image).expect("a volume"), 7)
}

fn tree() -> Tree {
    let mut tree = Tree::from([("old".into(), sample(1, 3_000)), ("OTHER".into(), sample(2, 700))]);
    tree.insert("dir/a file with a long name".into(), sample(3, 100));
    // The directory's only cluster is full but for three entries.
    for index in 0..2 {
        tree.insert(format!("full/a name of three entries {index}"), vec![1]);
    }
    tree.insert("full/B".into(), vec![2]);
    tree
}

/// What is changed, and what is there with it.
fn changes() -> [(&'static str, Change, Tree); 8] {
    let with = |change: fn(&mut Tree)| {
        let mut tree = tree();
        change(&mut tree);
        tree
    };
    [
        (
            "replace",
            |store| put(store, "old", &sample(9, 4_000)).map(|_| ()),
            with(|tree| {
                tree.insert("old".into(), sample(9, 4_000));
            }),
        ),
        (
            "replace by nothing",
            |store| put(store, "old", b"").map(|_| ()),
            with(|tree| {
                tree.insert("old".into(), vec![]);
            }),
        ),
        (
            "new",
            |store| put(store, "dir/new file with a long name", &sample(8, 1_000)).map(|_| ()),
            with(|tree| {
                tree.insert("dir/new file with a long name".into(), sample(8, 1_000));
            }),
        ),
        (
            "new in a full directory",
            |store| put(store, "full/another name of three", b"x").map(|_| ()),
            with(|tree| {
                tree.insert("full/another name of three".into(), b"x".into());
            }),
        ),
        (
            "delete",
            |store| store.delete(&Delete::File { name: name("old"), version: None }),
            with(|tree| {
                tree.remove("old");
            }),
        ),
        (
            "rename",
            |store| store.rename(&Rename::new(name("old"), name("dir/moved to here.bin"))),
            with(|tree| {
                let bytes = tree.remove("old").expect("there");
                tree.insert("dir/moved to here.bin".into(), bytes);
            }),
        ),
        ("make a directory", |store| store.make_dir(name("dir/inner directory")), tree()),
        (
            "remove a directory",
            |store| {
                store.delete(&Delete::File { name: name("dir/a file with a long name"), version: None })?;
                store.delete(&Delete::Directory { path: name("dir") })
            },
            with(|tree| {
                tree.remove("dir/a file with a long name");
            }),
        ),
    ]
}

#[test]
fn v4_a_cut_at_any_write_leaves_the_old_or_the_new() {
    for (kib, options) in [(2_200, "-F 16 -s 1"), (34_000, "-F 32 -s 1")] {
        let maker = Maker::new(kib, options).with_tree(&tree());
        let image = maker.image();
        let checker = Checker::new(maker);
        writable(&image).expect("prepared");
        assert_eq!(checker.fsck(&image), "");
        for (what, change, after) in changes() {
            let whole = image.copy();
            change(&mut writable(&whole).expect("writable")).unwrap_or_else(|error| panic!("{what}: {error}"));
            let writes = whole.writes.get();
            assert!(writes > 5, "{what}");
            let mut seen = [0, 0];
            for cut in 0..=writes {
                let image = image.copy();
                image.power.set(cut);
                let done = writable(&image).and_then(|mut store| change(&mut store));
                image.power.set(u64::MAX);
                // As another system finds it, without the journal.
                let raw = everything(&mut image.store()).unwrap_or_else(|error| panic!("{what}, {cut}: {error}"));
                let middle = what == "remove a directory" && raw.0.len() == tree().len() - 1;
                assert!(raw.0 == tree() || raw.0 == after || middle || what == "rename", "{what}, {cut}: neither nor");
                // After the next start.
                let mut store = writable(&image).expect("writable");
                while !store.tidy().expect("tidy") {}
                let (found, _) = everything(&mut store).expect("readable");
                assert!(found == tree() || found == after, "{what}, {cut}: {:?}", found.keys());
                assert!(done.is_err() || found == after, "{what}, {cut}: done and not there");
                assert_eq!(checker.fsck(&image), "", "{what}, {cut}");
                seen[usize::from(found == after)] += 1;
            }
            assert!(seen[1] > 0 && (seen[0] > 0 || after == tree()), "{what}: {seen:?}");
        }
    }
}

/// A card that fails for a moment: the store goes on.
#[test]
fn v4_a_failure_at_any_write_is_made_up_for_without_a_restart() {
    for (kib, options) in [(2_200, "-F 16 -s 1"), (34_000, "-F 32 -s 1")] {
        let maker = Maker::new(kib, options).with_tree(&tree());
        let image = maker.image();
        let checker = Checker::new(maker);
        writable(&image).expect("prepared");
        let (what, change, after) = changes().into_iter().next().expect("a change");
        let whole = image.copy();
        change(&mut writable(&whole).expect("writable")).expect("changed");
        for failure in 0..whole.writes.get() {
            let image = image.copy();
            let mut store = writable(&image).expect("writable");
            image.power.set(failure);
            let failed = change(&mut store);
            image.power.set(u64::MAX);
            let (found, _) = everything(&mut store).expect("readable");
            assert!(found == tree() || found == after, "{what}, {failure}: {failed:?}");
            change(&mut store).expect("again");
            while !store.tidy().expect("tidy") {}
            let (found, _) = everything(&mut store).expect("readable");
            assert!(found == after, "{what}, {failure}: {:?}", found.keys());
            let space = store.space().expect("known");
            assert_eq!(space, writable(&image).expect("writable").space().expect("known"), "{what}, {failure}");
            assert_eq!(checker.fsck(&image), "", "{what}, {failure}");
        }
    }
}

/// A card that is changed on a PC between a cut and the next start.
#[test]
fn v4_what_another_system_has_changed_since_a_cut_is_left_as_it_is() {
    let image = Maker::new(2_200, "-F 16 -s 1").with_tree(&tree()).image();
    writable(&image).expect("prepared");
    let whole = image.copy();
    put(&mut writable(&whole).expect("writable"), "old", &sample(9, 4_000)).expect("put");
    let entry = image.bytes().windows(11).position(|bytes| bytes == b"OLD        ").expect("the entry");
    for cut in 0..whole.writes.get() {
        let image = image.copy();
        image.power.set(cut);
        let done = writable(&image).and_then(|mut store| put(&mut store, "old", &sample(9, 4_000)));
        image.power.set(u64::MAX);
        // The date of the last access, which no one else sets.
        let at = entry + 18;
        let byte = image.bytes()[at] ^ 0x55;
        image.set_byte(at, byte);
        writable(&image).expect("writable");
        assert_eq!(image.bytes()[at], byte, "{cut}: {:?}", done.map(|_| ()));
    }
}

/// The first start on a volume that another system made.
#[test]
fn v5_a_cut_while_the_volume_is_prepared_can_be_made_up_for() {
    for (kib, options) in [(2_200, "-F 16 -s 1"), (34_000, "-F 32 -s 1")] {
        let maker = Maker::new(kib, options).with_tree(&tree());
        let image = maker.image();
        let checker = Checker::new(maker);
        let whole = image.copy();
        writable(&whole).expect("prepared");
        for cut in 0..whole.writes.get() {
            let image = image.copy();
            image.power.set(cut);
            assert!(writable(&image).is_err(), "{cut}");
            image.power.set(u64::MAX);
            put(&mut writable(&image).expect("writable"), "new", &sample(4, 900)).expect("put");
            let (mut found, _) = everything(&mut image.store()).expect("readable");
            assert_eq!(found.remove("new"), Some(sample(4, 900)));
            assert!(found == tree(), "{cut}");
            // Clusters without a name are all that may be wrong.
            let said = checker.fsck(&image);
            let is_lost = said.contains("Reclaimed") || said.is_empty();
            assert!(is_lost && !said.contains("share") && !said.contains("Bad"), "{cut}: {said}");
        }
    }
}
