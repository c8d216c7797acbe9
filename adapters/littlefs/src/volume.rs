//! A littlefs volume: its superblock, directories, and the contents of files.

use core::cmp::Ordering;
use core::fmt;

use coracle_core::{FileName, StoreError};
use embedded_storage::nor_flash::ReadNorFlash;

use crate::medium::Medium;
use crate::metadata::{Metadata, Pair, Place, is_same};
use crate::tag::{CHAIN, DIRECTORY, DIRECTORY_PAIR, INLINE, MOVE_STATE, NAMES, REGULAR, STRUCTS, SUPERBLOCK, Tag};

/// The most components of a name.
const MAX_DEPTH: usize = FileName::MAX_LEN.div_ceil(2);

/// Why a flash has no volume that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MountError {
    /// The flash has no whole blocks of the given length: a multiple of 64 bytes, at least 128; or reads units that do not divide 64.
    BlockLen,
    /// There is no littlefs, or the flash failed.
    NoVolume,
    /// The volume's format is of this version: the major one in the upper 16 bits, the minor one in the lower.
    Version(u32),
    /// The volume has blocks of another length, in bytes.
    OtherBlockLen(u32),
    /// The volume is larger than the flash.
    TooLarge,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockLen => f.write_str("the flash does not consist of such blocks"),
            Self::NoVolume => f.write_str("no littlefs volume"),
            Self::Version(version) => {
                write!(f, "littlefs {}.{}; 2.0 and 2.1 are supported", version >> 16, version & 0xffff)
            }
            Self::OtherBlockLen(len) => write!(f, "the volume has blocks of {len} bytes"),
            Self::TooLarge => f.write_str("the volume is larger than the flash"),
        }
    }
}

impl core::error::Error for MountError {}

/// A littlefs volume, of which format 2.0 and 2.1 are read.
pub struct LittleVolume<F> {
    pub(crate) medium: Medium<F>,
    root: Pair,
    /// An entry that was moved, and is still where it was before.
    moved: Option<(Pair, u32)>,
    /// The pair that was read last.
    fetched: Option<Metadata>,
    /// Number of times that it was looked at again.
    pub(crate) refreshed: u32,
}

/// The next entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pair: Pair,
    id: u32,
    /// Number of pairs that were passed.
    pairs: u32,
    is_over: bool,
}

/// A file or directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirEntry {
    pub kind: Content,
    /// Where its name is, and how long it is.
    pub name: (u32, u32),
    pub name_len: u32,
    /// Where its contents are told, which is written nowhere else as long as they are the same.
    pub place: (u32, u32, u32),
}

/// What an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Directory(Pair),
    /// A file in the metadata block itself.
    Inline {
        block: u32,
        offset: u32,
        size: u32,
    },
    /// A file in blocks of its own, of which this is the last one.
    Chain {
        head: u32,
        size: u32,
    },
}

impl<F: ReadNorFlash> LittleVolume<F> {
    /// Looks for a volume of blocks of `block_len` bytes that begins where `flash` does.
    ///
    /// # Errors
    ///
    /// Why there is none that can be served.
    pub fn new(flash: F, block_len: u32) -> Result<Self, MountError> {
        let medium = Medium::new(flash, block_len).ok_or(MountError::BlockLen)?;
        let mut volume = Self { medium, root: [0, 1], moved: None, fetched: None, refreshed: 0 };
        volume.mount()?;
        Ok(volume)
    }

    /// Looks at the volume again, after it was written to by other means.
    ///
    /// # Errors
    ///
    /// As [`LittleVolume::new`].
    pub fn refresh(&mut self) -> Result<(), MountError> {
        self.medium.refresh();
        (self.fetched, self.moved) = (None, None);
        self.refreshed = self.refreshed.wrapping_add(1);
        self.mount()
    }

    /// Ends the use of the volume.
    pub fn into_flash(self) -> F {
        self.medium.into_flash()
    }

    fn mount(&mut self) -> Result<(), MountError> {
        let first = self.medium.fetch([0, 1]).map_err(|_| MountError::NoVolume)?;
        let found = self.medium.find(&first, 0x7ff, INLINE, Some(0));
        let place = found.ok().flatten().filter(|place| place.tag.len() >= 24).ok_or(MountError::NoVolume)?;
        let mut number =
            |index: u32| self.medium.number(first.block, place.offset + 4 * index).map_err(|_| MountError::NoVolume);
        let (version, block_len, blocks) = (number(0)?, number(1)?, number(2)?);
        if !matches!(version, 0x0002_0000 | 0x0002_0001) {
            return Err(MountError::Version(version));
        }
        if block_len != self.medium.block_len {
            return Err(MountError::OtherBlockLen(block_len));
        }
        if blocks > self.medium.blocks {
            return Err(MountError::TooLarge);
        }
        self.medium.blocks = blocks;
        self.walk(first).map_err(|_| MountError::NoVolume)
    }

    /// Goes through all pairs: the last one with a superblock is the root, and together they tell what was moved.
    fn walk(&mut self, first: Metadata) -> Result<(), StoreError> {
        let mut state = [0; 3];
        let mut metadata = first;
        for _ in 0..self.medium.blocks {
            let mut magic = [0; 8];
            if let Some(place) = self.medium.find(&metadata, 0x7ff, SUPERBLOCK, Some(0))?
                && place.tag.len() == 8
            {
                self.medium.read(metadata.block, place.offset, &mut magic)?;
                self.root = if &magic == b"littlefs" { metadata.pair } else { self.root };
            }
            if let Some(place) = self.medium.find(&metadata, 0x7ff, MOVE_STATE, None)?
                && place.tag.len() >= 12
            {
                for (number, index) in state.iter_mut().zip(0..) {
                    *number ^= self.medium.number(metadata.block, place.offset + 4 * index)?;
                }
            }
            let Some(tail) = metadata.tail else {
                let [tag, one, other] = state;
                self.moved = (Tag(tag).group() != 0).then_some(([one, other], Tag(tag).id()));
                return Ok(());
            };
            metadata = self.medium.fetch(tail)?;
        }
        // The list leads in a circle.
        Err(StoreError::Io)
    }

    /// What `path` leads to; `None` is the root. With the directory that it is in.
    pub(crate) fn find(&mut self, path: Option<FileName<'_>>) -> Result<(Pair, Option<DirEntry>), StoreError> {
        let mut found = (self.root, None);
        let Some(path) = path else { return Ok(found) };
        let mut above = [u32::MAX; MAX_DEPTH];
        for (component, depth) in path.components().zip(0..) {
            let directory = match found {
                (root, None) => root,
                (_, Some(DirEntry { kind: Content::Directory(pair), .. })) => pair,
                _ => return Err(StoreError::NotFound),
            };
            let first = directory[0].min(directory[1]);
            // On a damaged volume a directory may be in itself.
            if above.contains(&first) {
                return Err(StoreError::Io);
            }
            if let Some(place) = above.get_mut(depth) {
                *place = first;
            }
            found = (directory, Some(self.find_in(directory, component.as_bytes())?.ok_or(StoreError::NotFound)?));
        }
        Ok(found)
    }

    /// The entry of `directory` with this name.
    fn find_in(&mut self, directory: Pair, name: &[u8]) -> Result<Option<DirEntry>, StoreError> {
        let mut cursor = Cursor::new(directory);
        while let Some((metadata, id, place)) = self.next_name(&mut cursor)? {
            let len = place.tag.len();
            let is_long = usize::try_from(len) == Ok(name.len());
            if is_long && self.compare(metadata.block, place.offset, len, name)?.is_eq() {
                return self.entry(&metadata, id, place);
            }
        }
        Ok(None)
    }

    /// Compares a name of the volume with `name`, in the order of directories.
    pub(crate) fn compare(
        &mut self,
        block: u32,
        mut offset: u32,
        len: u32,
        name: &[u8],
    ) -> Result<Ordering, StoreError> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        for part in name.get(..len.min(name.len())).unwrap_or_default().chunks(32) {
            let mut own = [0; 32];
            let own = own.get_mut(..part.len()).unwrap_or_default();
            self.medium.read(block, offset, own)?;
            let order = (*own).cmp(part);
            if order.is_ne() {
                return Ok(order);
            }
            offset += 32;
        }
        // The longer one comes first.
        Ok(name.len().cmp(&len))
    }

    /// The next file or directory; `None` at the end.
    pub(crate) fn next_entry(&mut self, cursor: &mut Cursor) -> Result<Option<DirEntry>, StoreError> {
        while let Some((metadata, id, name)) = self.next_name(cursor)? {
            if let Some(entry) = self.entry(&metadata, id, name)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The pair, the number and the name of the next entry.
    fn next_name(&mut self, cursor: &mut Cursor) -> Result<Option<(Metadata, u32, Place)>, StoreError> {
        while !cursor.is_over {
            let metadata = self.fetch(cursor.pair)?;
            if cursor.id >= metadata.count {
                match metadata.tail.filter(|_| metadata.goes_on) {
                    // The list leads in a circle.
                    Some(_) if cursor.pairs >= self.medium.blocks => return Err(StoreError::Io),
                    Some(tail) => *cursor = Cursor { pair: tail, id: 0, pairs: cursor.pairs + 1, is_over: false },
                    None => cursor.is_over = true,
                }
                continue;
            }
            let id = cursor.id;
            cursor.id += 1;
            if self.moved.is_some_and(|(pair, moved)| is_same(pair, metadata.pair) && moved == id) {
                continue;
            }
            if let Some(name) = self.medium.find(&metadata, 0x780, NAMES, Some(id))? {
                return Ok(Some((metadata, id, name)));
            }
        }
        Ok(None)
    }

    /// Entry `id`, where it is a file or a directory.
    fn entry(&mut self, metadata: &Metadata, id: u32, name: Place) -> Result<Option<DirEntry>, StoreError> {
        let structure = self.medium.find(metadata, 0x700, STRUCTS, Some(id))?.ok_or(StoreError::Io)?;
        let (block, offset, len) = (metadata.block, structure.offset, structure.tag.len());
        let kind = match (name.tag.kind(), structure.tag.kind()) {
            (DIRECTORY, DIRECTORY_PAIR) if len >= 8 => Content::Directory(self.medium.numbers(block, offset)?),
            (REGULAR, INLINE) => Content::Inline { block, offset, size: len },
            (REGULAR, CHAIN) if len >= 8 => {
                let [head, size] = self.medium.numbers(block, offset)?;
                Content::Chain { head, size }
            }
            (DIRECTORY | REGULAR, _) => return Err(StoreError::Io),
            _ => return Ok(None),
        };
        let place = (block, metadata.revision, offset);
        Ok(Some(DirEntry { kind, name: (block, name.offset), name_len: name.tag.len(), place }))
    }

    /// Reads `pair`, or takes what was read before where its revisions are the same.
    fn fetch(&mut self, pair: Pair) -> Result<Metadata, StoreError> {
        if let Some(metadata) = self.fetched.filter(|metadata| metadata.pair == pair) {
            return Ok(metadata);
        }
        let metadata = self.medium.fetch(pair)?;
        self.fetched = Some(metadata);
        Ok(metadata)
    }
}

impl Cursor {
    /// The first entry of `directory`.
    pub const fn new(directory: Pair) -> Self {
        Self { pair: directory, id: 0, pairs: 0, is_over: false }
    }
}
