//! The server's store: files that change while they are served, and every version that they had.

use std::cell::RefCell;
use std::rc::Rc;

use coracle_core::{Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Listed, StoreError, Version};

use crate::random::Random;

/// Names of the served files.
pub const NAMES: [&str; 3] = ["a.log", "d/\"b\" \u{1F6F6}.bin", "c"];

/// An open file. It keeps its contents when another file takes its name.
pub type Handle = Rc<RefCell<Inode>>;

/// Contents of a file.
#[derive(Debug)]
pub struct Inode {
    pub bytes: Vec<u8>,
    version: u32,
}

/// The served files, and their past.
#[derive(Debug)]
pub struct Store {
    slots: Vec<Slot>,
    versions: u32,
    largest: usize,
    /// Probability that a call fails, per mille.
    pub faults: usize,
    random: Random,
    digests: Vec<(u32, usize, Digest)>,
}

#[derive(Debug)]
struct Slot {
    current: Option<Handle>,
    past: Vec<Past>,
    changes: u32,
}

/// A version of a file, and every size that it had.
#[derive(Debug)]
struct Past {
    version: u32,
    bytes: Vec<u8>,
    sizes: Vec<usize>,
}

impl Store {
    /// A store of `count` files of at most `largest` bytes each, before they grow.
    pub fn new(count: usize, largest: usize, random: &mut Random) -> Self {
        let mut store = Self {
            slots: Vec::new(),
            versions: 0,
            largest,
            faults: 0,
            random: Random::new(random.next()),
            digests: Vec::new(),
        };
        for slot in 0..count {
            store.slots.push(Slot { current: None, past: Vec::new(), changes: 0 });
            store.replace(slot, random);
        }
        store
    }

    /// Number of files, including removed ones.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Number of the file with this name.
    pub fn slot_of(&self, name: &str) -> Option<usize> {
        NAMES.iter().take(self.slots.len()).position(|known| *known == name)
    }

    /// How often the file has changed.
    pub fn changes(&self, slot: usize) -> u32 {
        self.slots[slot].changes
    }

    /// Length of the file in bytes.
    pub fn size(&self, slot: usize) -> usize {
        self.slots[slot].current.as_ref().map_or(0, |handle| handle.borrow().bytes.len())
    }

    /// Whether the file exists.
    pub fn exists(&self, slot: usize) -> bool {
        self.slots[slot].current.is_some()
    }

    /// Whether the file ever had the contents `bytes`, in that version if one is given.
    pub fn ever_was(&self, slot: usize, named: Option<&Version>, bytes: &[u8]) -> bool {
        self.slots[slot].past.iter().any(|past| {
            named.is_none_or(|named| *named == version(past.version))
                && past.sizes.contains(&bytes.len())
                && past.bytes.get(..bytes.len()) == Some(bytes)
        })
    }

    /// Contents of the file in that version, when it had that size.
    pub fn past(&self, slot: usize, named: &Version, size: u64) -> Option<&[u8]> {
        let past = self.slots[slot].past.iter().find(|past| version(past.version) == *named)?;
        let size = past.sizes.iter().find(|known| **known as u64 == size)?;
        past.bytes.get(..*size)
    }

    /// Changes the file, and returns how.
    pub fn change(&mut self, slot: usize, random: &mut Random) -> &'static str {
        let Some(handle) = self.slots[slot].current.clone() else {
            self.replace(slot, random);
            return "appears again";
        };
        match random.below(8) {
            0 | 1 => {
                self.replace(slot, random);
                "is replaced by another file"
            }
            2 => {
                self.slots[slot].current = None;
                self.slots[slot].changes += 1;
                "vanishes"
            }
            3 => {
                let mut inode = handle.borrow_mut();
                let len = random.below(inode.bytes.len() + 1);
                inode.bytes.truncate(len);
                self.rewritten(slot, &mut inode);
                "shrinks"
            }
            4 => {
                let mut inode = handle.borrow_mut();
                let start = random.below(inode.bytes.len());
                let len = 1 + random.below(300);
                let bytes = random.bytes(len);
                for (to, from) in inode.bytes.iter_mut().skip(start).zip(bytes) {
                    *to = from;
                }
                self.rewritten(slot, &mut inode);
                "is overwritten in place"
            }
            5 => {
                let mut inode = handle.borrow_mut();
                let len = random.below(self.largest + 1);
                inode.bytes = random.bytes(len);
                self.rewritten(slot, &mut inode);
                "is rewritten in place"
            }
            _ => {
                let len = 1 + random.below(self.largest / 4 + 1);
                let more = random.bytes(len);
                let mut inode = handle.borrow_mut();
                inode.bytes.extend_from_slice(&more);
                let slot = &mut self.slots[slot];
                if let Some(past) = slot.past.iter_mut().find(|past| past.version == inode.version) {
                    past.bytes.extend_from_slice(&more);
                    past.sizes.push(past.bytes.len());
                }
                slot.changes += 1;
                "grows"
            }
        }
    }

    /// Gives the name to another file.
    pub fn replace(&mut self, slot: usize, random: &mut Random) {
        let len = match random.below(8) {
            0 => 0,
            1 => 1_024 * random.below(self.largest / 1_024 + 1),
            _ => random.below(self.largest + 1),
        };
        let mut inode = Inode { bytes: random.bytes(len), version: 0 };
        self.rewritten(slot, &mut inode);
        self.slots[slot].current = Some(Rc::new(RefCell::new(inode)));
    }

    fn fail(&mut self, per_mille: usize) -> Result<(), StoreError> {
        if per_mille > 0 && self.random.chance(per_mille) { Err(StoreError::Io) } else { Ok(()) }
    }

    /// Gives new contents a new version.
    fn rewritten(&mut self, slot: usize, inode: &mut Inode) {
        self.versions += 1;
        inode.version = self.versions;
        let past = Past { version: self.versions, bytes: inode.bytes.clone(), sizes: vec![inode.bytes.len()] };
        self.slots[slot].past.push(past);
        self.slots[slot].changes += 1;
    }
}

impl coracle_core::Store for Store {
    type File = Handle;
    /// Index of the next name.
    type Listing = usize;

    fn open(&mut self, name: FileName<'_>) -> Result<Handle, StoreError> {
        self.fail(self.faults)?;
        self.slot_of(name.as_str()).and_then(|slot| self.slots[slot].current.clone()).ok_or(StoreError::NotFound)
    }

    fn info(&mut self, file: &Handle) -> Result<FileInfo, StoreError> {
        let inode = file.borrow();
        Ok(FileInfo::new(inode.bytes.len() as u64, version(inode.version)))
    }

    fn read(&mut self, file: &mut Handle, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.fail(self.faults / 20)?;
        let inode = file.borrow();
        let rest = usize::try_from(offset).ok().and_then(|offset| inode.bytes.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn next<'a>(&mut self, told: &'a mut usize) -> Result<Listed<'a>, StoreError> {
        self.fail(self.faults / 4)?;
        let index = *told;
        *told += 1;
        let Some(name) = NAMES.get(index) else { return Ok(Listed::End) };
        Ok(match name.split_once('/') {
            Some((directory, _)) => {
                let kind = EntryKind::Directory { link: false };
                Listed::Entry(Entry::new(FileName::from_static(directory), kind))
            }
            None if self.slots.len() > index && self.exists(index) => {
                let kind = EntryKind::File { size: index as u64, modified: None };
                Listed::Entry(Entry::new(FileName::from_static(name), kind))
            }
            None => Listed::Skipped,
        })
    }

    fn known_digest(&mut self, file: &Handle, kind: DigestKind) -> Option<Digest> {
        let inode = file.borrow();
        let is_it = |(version, len, digest): &&(u32, usize, Digest)| {
            (*version, *len, digest.kind()) == (inode.version, inode.bytes.len(), kind)
        };
        self.digests.iter().find(is_it).map(|(_, _, digest)| *digest)
    }

    fn remember_digest(&mut self, file: &Handle, info: &FileInfo, digest: &Digest) {
        let inode = file.borrow();
        assert_eq!(inode.bytes.len() as u64, info.size, "a digest of another length");
        self.digests.push((inode.version, inode.bytes.len(), *digest));
    }
}

fn version(number: u32) -> Version {
    Version::new(&format!("v{number}")).expect("a version")
}
