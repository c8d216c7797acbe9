//! A long row of changes with power cuts among them, compared with what should be there after each.

mod client;
mod image;

use client::{name, put};
use coracle_core::{Delete, Rename, WritableStore, WriteError};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use image::{Checker, Image, Maker, Tree, everything, sample};

/// Pseudo-random numbers: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

enum Change {
    Put(String, Vec<u8>),
    Delete(String),
    Rename(String, String),
}

impl Change {
    fn any(random: &mut Random) -> Self {
        let mut path = || {
            let directory = ["", "d/", "a directory/inner/"][random.below(3) as usize];
            let name =
                ["SHORT.BIN", "a file with a long name", "and one with an even longer name, of four entries", "x"];
            format!("{directory}{} {}", random.below(6), name[random.below(4) as usize])
        };
        let (path, other) = (path(), path());
        match random.below(5) {
            0 => Self::Delete(path),
            1 => Self::Rename(path, other),
            _ => {
                let len = [0, 1, 511, 512, 513, 5_000, 60_000][random.below(7) as usize];
                Self::Put(path, sample(random.below(1_000) as usize, len))
            }
        }
    }

    fn make(&self, store: &mut FatStore<&Image>) -> Result<(), WriteError> {
        match self {
            Self::Put(path, bytes) => put(store, path, bytes).map(|_| ()),
            Self::Delete(path) => store.delete(&Delete::File { name: name(path), version: None }),
            Self::Rename(path, other) => store.rename(&Rename::new(name(path), name(other))),
        }
    }

    /// What is there after it, where it can be made.
    fn expect(&self, tree: &Tree) -> Tree {
        let mut tree = tree.clone();
        match self {
            Self::Put(path, bytes) => {
                tree.insert(path.clone(), bytes.clone());
            }
            Self::Delete(path) => {
                tree.remove(path);
            }
            Self::Rename(path, other) => {
                if !tree.contains_key(other)
                    && let Some(bytes) = tree.remove(path)
                {
                    tree.insert(other.clone(), bytes);
                }
            }
        }
        tree
    }
}

#[test]
fn v4_any_row_of_changes_and_cuts_ends_with_what_was_written() {
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 60 } else { 300 };
    for (kib, options, seed) in [(2_400, "-F 16 -s 1", 0x5eed_0002), (34_000, "-F 32 -s 1", 0x5eed_0003)] {
        let maker = Maker::new(kib, options);
        let image = maker.image();
        let checker = Checker::new(maker);
        let mut random = Random(seed);
        let mut tree = Tree::new();
        let mut store = FatStore::writable(FatVolume::new(&image).expect("a volume"), 0).expect("writable");
        // Directories are there from the beginning, as a cut may leave them.
        for path in ["d", "a directory", "a directory/inner"] {
            store.make_dir(name(path)).expect("made");
        }
        let mut cuts = 0;
        for round in 0..rounds {
            let change = Change::any(&mut random);
            let after = change.expect(&tree);
            if random.below(3) == 0 {
                image.power.set(random.below(60));
            }
            let done = change.make(&mut store);
            let was_cut = image.power.get() == 0;
            image.power.set(u64::MAX);
            if was_cut {
                cuts += 1;
                store = FatStore::writable(FatVolume::new(&image).expect("a volume"), round).expect("writable");
            }
            if let (false, Err(error), Change::Put(path, _)) = (was_cut, &done, &change) {
                assert!(matches!(error, WriteError::NoSpace { .. }), "round {round}, {path}: {error}");
            }
            let (found, _) = everything(&mut store).expect("readable");
            let is_after = found == after;
            assert!(is_after || (was_cut || done.is_err()) && found == tree, "{options}, round {round}");
            tree = found;
        }
        assert!(cuts > rounds / 20, "{cuts}");
        while !store.tidy().expect("tidy") {}
        assert_eq!(checker.fsck(&image), "");
        assert!(checker.tree(&image) == tree, "mtools reads other files");
    }
}
