//! Small files that are replaced whole.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use crate::layout::LayoutError;
use crate::log::{Entries, EntryHeader, EntryKind, Log, SMALL_NAME_LEN, SmallUpload};

/// Small files in NOR flash, a configuration for instance, each replaced whole or not at all: a power cut at any moment leaves the
/// old contents or the new ones.
///
/// They are kept in two areas of one or a few sectors, of which the second is needed to replace the first. All files together
/// with the largest that is to be replaced have to fit in one area. Nothing is kept in RAM but the position; a file is found by
/// walking over the headers of the files.
///
/// ```
/// # use coracle_flash::{SmallFiles, FileError};
/// # use embedded_storage::nor_flash::NorFlash;
/// fn rename_board<F: NorFlash>(flash: F) -> Result<(), FileError<F::Error>> {
///     let Ok(mut files) = SmallFiles::open(flash, 0..2 * F::ERASE_SIZE as u32) else { return Ok(()) };
///     files.put("config.json", br#"{"name":"bench-7"}"#)?;
///     let mut buf = [0; 64];
///     if let Some(file) = files.find("config.json") {
///         let len = files.read(&file, 0, &mut buf)?;
///         assert_eq!(&buf[..len], br#"{"name":"bench-7"}"#);
///     }
///     files.delete("config.json")
/// }
/// ```
pub struct SmallFiles<F> {
    pub(crate) log: Log<F>,
    /// Whether everything behind the tail is erased, for certain: not after a restart.
    pub(crate) may_append: bool,
    /// Number of bytes of the other area that are erased, while the files are about to be copied there.
    pub(crate) erased: u32,
    pub(crate) upload: Option<SmallUpload>,
}

/// A file of [`SmallFiles`], as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct SmallFile {
    /// Length in bytes.
    pub size: u32,
    /// Another one for all contents that a file ever had: a version.
    pub number: u32,
    area_number: u32,
    offset: u32,
    name_len: u8,
}

/// Why a small file cannot be written or read. `E` is the flash's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FileError<E> {
    /// The flash failed.
    Flash(E),
    /// What was written cannot be read back: the flash is worn out or write-protected.
    NotWritten,
    /// The name is empty, or longer than 64 bytes.
    BadName,
    /// There is no room beside the files that are there.
    NoSpace {
        /// Number of bytes that the contents of a file of this name may have.
        free: u32,
    },
    /// No upload was begun, or more bytes were written than it was to have.
    NoUpload,
    /// Another upload is under way.
    InUse,
    /// Not all bytes of the upload were written.
    Incomplete,
    /// The file was replaced or deleted, and its contents are no longer there.
    Gone,
}

impl<F: NorFlash> SmallFiles<F> {
    /// The files in `range` of `flash`, in bytes, half of which is an area. A range that never had files is empty.
    ///
    /// # Errors
    ///
    /// The range or the flash does not fit: see [`LayoutError`].
    pub fn open(flash: F, range: Range<u32>) -> Result<Self, LayoutError> {
        Ok(Self { log: Log::open(flash, range)?, may_append: false, erased: 0, upload: None })
    }

    /// The flash, for what else is in it. The range of the files must not be changed.
    pub const fn flash_mut(&mut self) -> &mut F {
        &mut self.log.flash
    }

    /// The flash.
    #[must_use]
    pub fn into_flash(self) -> F {
        self.log.flash
    }

    /// The file `name`; `None` where there is none.
    pub fn find(&mut self, name: &str) -> Option<SmallFile> {
        let mut found = None;
        let mut entries = Entries::of(&self.log);
        while let Some((offset, header)) = entries.next(&mut self.log) {
            if header.kind != EntryKind::Skipped && self.has_name(offset, &header, name.as_bytes()) {
                found = (header.kind == EntryKind::File).then_some((offset, header));
            }
        }
        found.map(|(offset, header)| self.file(offset, &header))
    }

    /// The file behind `after`, by its [`SmallFile::number`], the first one for `None`, with its name, which is put into `name`.
    /// `None` behind the last one.
    pub fn next<'a>(&mut self, after: Option<u32>, name: &'a mut [u8; SMALL_NAME_LEN]) -> Option<(SmallFile, &'a str)> {
        let mut entries = Entries::of(&self.log);
        while let Some((offset, header)) = entries.next(&mut self.log) {
            let is_behind = after.is_none_or(|after| header.number > after);
            if header.kind == EntryKind::File && is_behind && self.counts(offset, &header) {
                let found = self.file(offset, &header);
                let name = name.get_mut(..header.name_len.into()).unwrap_or_default();
                self.log.read(self.log.body(offset), name).ok()?;
                return Some((found, core::str::from_utf8(name).unwrap_or_default()));
            }
        }
        None
    }

    /// Reads `file` from `offset` on into `buf`; returns the number of bytes, less than `buf.len()` only at its end.
    ///
    /// # Errors
    ///
    /// [`FileError::Gone`], [`FileError::Flash`].
    pub fn read(&mut self, file: &SmallFile, offset: u32, buf: &mut [u8]) -> Result<usize, FileError<F::Error>> {
        let at = self.locate(file).ok_or(FileError::Gone)?;
        let len = usize::try_from(file.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let body = self.log.body(at) + u32::from(file.name_len);
        self.log
            .read(body + offset.min(file.size), buf.get_mut(..len).unwrap_or_default())
            .map_err(FileError::Flash)?;
        Ok(len)
    }

    /// Number of bytes that the contents of a new file with a name of `name_len` bytes may have.
    pub fn free(&mut self, name_len: usize) -> u32 {
        self.max_file(name_len).saturating_sub(self.used())
    }

    /// Number of bytes that the contents of a file with a name of `name_len` bytes may have where there is no other file.
    #[must_use]
    pub fn max_file(&self, name_len: usize) -> u32 {
        let overhead = self.log.entry_len(u32::try_from(name_len).unwrap_or(u32::MAX));
        self.log.capacity().saturating_sub(overhead)
    }

    /// Number of bytes of the files that count, with what they need beside their contents.
    fn used(&mut self) -> u32 {
        let mut used: u32 = 0;
        let mut entries = Entries::of(&self.log);
        while let Some((offset, header)) = entries.next(&mut self.log) {
            if header.kind == EntryKind::File && self.counts(offset, &header) {
                used = used.saturating_add(self.log.entry_len(header.body_len()));
            }
        }
        used
    }

    /// Whether no later entry has the name of this one.
    pub(crate) fn counts(&mut self, offset: u32, header: &EntryHeader) -> bool {
        let mut name = [0; SMALL_NAME_LEN];
        let name = name.get_mut(..header.name_len.into()).unwrap_or_default();
        if self.log.read(self.log.body(offset), name).is_err() {
            return false;
        }
        let mut entries = Entries { offset: self.log.end(offset, header) };
        while let Some((later, header)) = entries.next(&mut self.log) {
            if header.kind != EntryKind::Skipped && self.has_name(later, &header, name) {
                return false;
            }
        }
        true
    }

    pub(crate) fn has_name(&mut self, offset: u32, header: &EntryHeader, name: &[u8]) -> bool {
        let mut stored = [0; SMALL_NAME_LEN];
        let stored = stored.get_mut(..header.name_len.into()).unwrap_or_default();
        stored.len() == name.len() && self.log.read(self.log.body(offset), stored).is_ok() && stored == name
    }

    fn file(&self, offset: u32, header: &EntryHeader) -> SmallFile {
        let area_number = self.log.active.map_or(0, |active| active.number);
        let (size, number, name_len) = (header.size, header.number, header.name_len);
        SmallFile { size, number, area_number, offset, name_len }
    }

    /// Where the entry of `file` is now, which may have been copied since.
    fn locate(&mut self, file: &SmallFile) -> Option<u32> {
        if self.log.active.is_some_and(|active| active.number == file.area_number) {
            return Some(file.offset);
        }
        let mut entries = Entries::of(&self.log);
        loop {
            let (offset, header) = entries.next(&mut self.log)?;
            if header.number == file.number && header.kind == EntryKind::File {
                return Some(offset);
            }
        }
    }
}
