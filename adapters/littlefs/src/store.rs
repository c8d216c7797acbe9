//! A littlefs volume as a store.

use core::fmt::{self, Write as _};

use coracle_core::{Entry, EntryKind, FileInfo, FileName, Listed, Store, StoreError, Version};
use embedded_storage::nor_flash::ReadNorFlash;

use crate::chain::locate;
use crate::metadata::Pair;
use crate::volume::{Content, Cursor, DirEntry, LittleVolume};

/// The files of a littlefs volume, read-only.
///
/// Names are those of the volume, in UTF-8; what no client can ask for is counted. A version tells where the volume has noted a file's
/// contents: it changes with them, and also where a directory that is written to is compacted. There are no times.
///
/// A damaged volume leads to errors of what is damaged, never to a loop.
pub struct LittleStore<F> {
    volume: LittleVolume<F>,
}

/// An open file of a [`LittleStore`].
#[derive(Clone, Debug)]
pub struct LittleFile {
    directory: Pair,
    content: Content,
    place: (u32, u32, u32),
    /// When it was last known to be there.
    refreshed: u32,
    /// The block that was read last, and its number in the file.
    block: Option<(u32, u32)>,
}

/// A position in a listing of a [`LittleStore`].
#[derive(Clone, Debug)]
pub struct LittleListing {
    cursor: Cursor,
    path: [u8; FileName::MAX_LEN],
    /// Length of the directory's path, with the slash behind it, and of that of the last entry.
    path_len: usize,
    end: usize,
    /// When the cursor was right.
    refreshed: u32,
}

impl<F: ReadNorFlash> LittleStore<F> {
    /// A store of the files of `volume`.
    #[must_use]
    pub const fn new(volume: LittleVolume<F>) -> Self {
        Self { volume }
    }

    /// The volume: to be [refreshed](LittleVolume::refresh) after every change by other means, before a client reads again.
    pub const fn volume(&mut self) -> &mut LittleVolume<F> {
        &mut self.volume
    }

    /// Ends the use of the volume.
    pub fn into_volume(self) -> LittleVolume<F> {
        self.volume
    }

    /// Goes on behind the last entry, by its name, in a volume that was written to meanwhile.
    fn find_again(&mut self, listing: &mut LittleListing) -> Result<(), StoreError> {
        let path = listing.path.get(..listing.path_len.saturating_sub(1)).unwrap_or_default();
        let path = core::str::from_utf8(path).map_err(|_| StoreError::Io)?;
        let path = if path.is_empty() { None } else { Some(FileName::new(path).map_err(|_| StoreError::Io)?) };
        let mut cursor = Cursor::new(self.find_directory(path)?);
        let last = listing.path.get(listing.path_len..listing.end).unwrap_or_default();
        let mut next = cursor;
        while let Some(entry) = self.volume.next_entry(&mut next)? {
            let (block, offset) = entry.name;
            if self.volume.compare(block, offset, entry.name_len, last)?.is_gt() {
                break;
            }
            cursor = next;
        }
        (listing.cursor, listing.refreshed) = (cursor, self.volume.refreshed);
        Ok(())
    }

    fn find_directory(&mut self, path: Option<FileName<'_>>) -> Result<Pair, StoreError> {
        match self.volume.find(path)? {
            (root, None) => Ok(root),
            (_, Some(DirEntry { kind: Content::Directory(pair), .. })) => Ok(pair),
            _ => Err(StoreError::NotDirectory),
        }
    }

    /// Whether `file` is where it was when it was opened.
    fn is_there(&mut self, file: &LittleFile) -> Result<bool, StoreError> {
        if file.refreshed == self.volume.refreshed {
            return Ok(true);
        }
        let mut cursor = Cursor::new(file.directory);
        while let Some(entry) = self.volume.next_entry(&mut cursor)? {
            if entry.place == file.place {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<F: ReadNorFlash> Store for LittleStore<F> {
    type File = LittleFile;
    type Listing = LittleListing;

    fn open(&mut self, name: FileName<'_>) -> Result<LittleFile, StoreError> {
        match self.volume.find(Some(name))? {
            (_, Some(DirEntry { kind: Content::Directory(_), .. }) | None) => Err(StoreError::NotFile),
            (directory, Some(entry)) => {
                let refreshed = self.volume.refreshed;
                Ok(LittleFile { directory, content: entry.kind, place: entry.place, refreshed, block: None })
            }
        }
    }

    fn info(&mut self, file: &LittleFile) -> Result<FileInfo, StoreError> {
        let mut text = VersionText { bytes: [0; Version::MAX_LEN], len: 0 };
        let (block, revision, offset) = file.place;
        let size = file.content.size();
        let written = match self.is_there(file)? {
            true => write!(text, "{block:x}.{revision:x}.{offset:x}.{size:x}"),
            false => write!(text, "gone"),
        };
        written.map_err(|_| StoreError::Io)?;
        let version = core::str::from_utf8(text.bytes.get(..text.len).unwrap_or_default()).ok();
        let version = version.and_then(|text| Version::new(text).ok()).ok_or(StoreError::Io)?;
        Ok(FileInfo::new(size.into(), version))
    }

    fn read(&mut self, file: &mut LittleFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let size = file.content.size();
        let Some(offset) = u32::try_from(offset).ok().filter(|offset| *offset < size) else { return Ok(0) };
        let medium = &mut self.volume.medium;
        let (block, place) = match file.content {
            Content::Inline { block, offset: start, .. } => (block, start + offset),
            Content::Chain { head, size } => {
                let (last, _) = locate(medium.block_len, size - 1);
                let (index, place) = locate(medium.block_len, offset);
                let block = match file.block {
                    Some((block, number)) if number == index => block,
                    _ => medium.chain_block(head, last, index)?,
                };
                file.block = Some((block, index));
                (block, place)
            }
            Content::Directory(_) => return Err(StoreError::Io),
        };
        let left = (size - offset).min(medium.block_len.saturating_sub(place));
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        medium.read(block, place, buf.get_mut(..len).unwrap_or_default())?;
        Ok(len)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<LittleListing, StoreError> {
        let cursor = Cursor::new(self.find_directory(path)?);
        let refreshed = self.volume.refreshed;
        let mut listing = LittleListing { cursor, path: [0; FileName::MAX_LEN], path_len: 0, end: 0, refreshed };
        if let Some(path) = path {
            let bytes = path.as_str().bytes().chain([b'/']);
            listing.path_len = listing.path.iter_mut().zip(bytes).map(|(to, from)| *to = from).count();
            listing.end = listing.path_len;
        }
        Ok(listing)
    }

    fn next<'a>(&mut self, listing: &'a mut LittleListing) -> Result<Listed<'a>, StoreError> {
        if listing.refreshed != self.volume.refreshed {
            self.find_again(listing)?;
        }
        let Some(entry) = self.volume.next_entry(&mut listing.cursor)? else { return Ok(Listed::End) };
        let kind = match entry.kind {
            Content::Directory(_) => EntryKind::Directory { link: false },
            _ => EntryKind::File { size: entry.kind.size().into(), modified: None },
        };
        let end = usize::try_from(entry.name_len).unwrap_or(usize::MAX).saturating_add(listing.path_len);
        let Some(place) = listing.path.get_mut(listing.path_len..end) else { return Ok(Listed::Unnameable) };
        let (block, offset) = entry.name;
        self.volume.medium.read(block, offset, place)?;
        listing.end = end;
        let is_component = !place.contains(&b'/');
        let name = listing.path.get(..end).filter(|_| is_component).and_then(|path| core::str::from_utf8(path).ok());
        let name = name.and_then(|name| FileName::new(name).ok());
        Ok(name.map_or(Listed::Unnameable, |name| Listed::Entry(Entry::new(name, kind))))
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, _: FileName<'_>) -> bool {
        true
    }
}

impl Content {
    const fn size(&self) -> u32 {
        match self {
            Self::Directory(_) => 0,
            Self::Inline { size, .. } | Self::Chain { size, .. } => *size,
        }
    }
}

struct VersionText {
    bytes: [u8; Version::MAX_LEN],
    len: usize,
}

impl fmt::Write for VersionText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
