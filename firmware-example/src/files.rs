//! The board's store: files in flash, the log in RAM, and the status, which is made on request.

use core::cell::RefCell;

use coracle_core::{
    Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Listed, StaticFile, StaticListing, StaticStore, Store,
    StoreError, Version,
};

use crate::status::{STATUS_LEN, Shared};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The log.
pub const BOOT_LOG: FileName<'static> = FileName::from_static("boot.log");
const STATUS: FileName<'static> = FileName::from_static("status.json");

/// The board's store.
pub struct Files<'a> {
    flash: StaticStore<'static>,
    shared: &'a RefCell<Shared>,
    name: &'a str,
    /// Whether `boot.log` and `status.json` are served.
    has_made: bool,
    /// Unique to this start of this board.
    boot: u64,
    /// Number of times that the status was opened.
    told: u32,
}

/// An open file.
// Without a heap the largest variant cannot be boxed; each session has room for any of them.
#[allow(clippy::large_enum_variant)]
pub enum OpenFile {
    Flash(&'static StaticFile<'static>),
    /// What of the log is there now.
    Log {
        generation: u32,
    },
    /// The log, with offsets that count from the start of the board.
    AbsoluteLog,
    Status {
        text: [u8; STATUS_LEN],
        len: usize,
        number: u32,
    },
}

/// A position in a listing: the two files of the root that are not in flash come first.
pub struct Listing {
    made: u8,
    flash: StaticListing<'static>,
}

impl<'a> Files<'a> {
    /// `boot` is a part of the versions of files in RAM: a random number here, a counter in flash in a product.
    pub const fn new(shared: &'a RefCell<Shared>, name: &'a str, has_made: bool, boot: u64) -> Self {
        Self { flash: StaticStore::new(&FILES), shared, name, has_made, boot, told: 0 }
    }

    /// The number of this start.
    #[cfg(feature = "media")]
    pub const fn boot(&self) -> u64 {
        self.boot
    }

    /// The version of a file in RAM, of which `kind` is the first character, in state `number` since this start.
    fn version(&self, kind: u8, number: u32) -> Result<Version, StoreError> {
        let mut text = [kind; 1 + 16 + 8];
        let numbers = self.boot.to_be_bytes().into_iter().chain(number.to_be_bytes());
        let digits = numbers.flat_map(|byte| [byte >> 4, byte & 0xf]);
        for (place, digit) in text.iter_mut().skip(1).zip(digits) {
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        }
        let text = core::str::from_utf8(&text).map_err(|_| StoreError::Io)?;
        Version::new(text).map_err(|_| StoreError::Io)
    }
}

impl Store for Files<'_> {
    type File = OpenFile;
    type Listing = Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<OpenFile, StoreError> {
        if self.has_made && name.as_str() == BOOT_LOG.as_str() {
            let generation = self.shared.borrow().log.generation();
            return Ok(OpenFile::Log { generation });
        }
        if self.has_made && name.as_str() == STATUS.as_str() {
            let mut text = [0; STATUS_LEN];
            let len = self.shared.borrow().write(self.name, &mut text);
            self.told = self.told.wrapping_add(1);
            return if len > 0 { Ok(OpenFile::Status { text, len, number: self.told }) } else { Err(StoreError::Io) };
        }
        self.flash.open(name).map(OpenFile::Flash)
    }

    fn open_absolute(&mut self, name: FileName<'_>) -> Result<OpenFile, StoreError> {
        if self.has_made && name.as_str() == BOOT_LOG.as_str() {
            return Ok(OpenFile::AbsoluteLog);
        }
        self.open(name)
    }

    fn info(&mut self, file: &OpenFile) -> Result<FileInfo, StoreError> {
        let (len, version) = match file {
            OpenFile::Flash(file) => return self.flash.info(file),
            OpenFile::AbsoluteLog => {
                let log = &self.shared.borrow().log;
                return Ok(FileInfo::new(log.end(), self.version(b'A', 0)?).with_first(log.first()));
            }
            // A log that is only appended to keeps its version.
            OpenFile::Log { .. } => {
                let log = &self.shared.borrow().log;
                (log.bytes().len(), self.version(b'L', log.generation())?)
            }
            OpenFile::Status { len, number, .. } => (*len, self.version(b'S', *number)?),
        };
        Ok(FileInfo::new(u64::try_from(len).map_err(|_| StoreError::Io)?, version))
    }

    fn read(&mut self, file: &mut OpenFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        match file {
            OpenFile::Flash(file) => self.flash.read(file, offset, buf),
            OpenFile::AbsoluteLog => {
                let log = &self.shared.borrow().log;
                // Before that, the announced bytes are gone.
                let offset = offset.checked_sub(log.first()).ok_or(StoreError::Io)?;
                Ok(copy(log.bytes(), offset, buf))
            }
            OpenFile::Log { generation } => {
                let log = &self.shared.borrow().log;
                if log.generation() != *generation {
                    // The announced bytes are gone.
                    return Err(StoreError::Io);
                }
                Ok(copy(log.bytes(), offset, buf))
            }
            OpenFile::Status { text, len, .. } => Ok(copy(text.get(..*len).unwrap_or(text), offset, buf)),
        }
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        let made = if path.is_some() || !self.has_made { 2 } else { 0 };
        match path {
            Some(path) if self.has_made && [BOOT_LOG, STATUS].iter().any(|made| made.as_str() == path.as_str()) => {
                Err(StoreError::NotDirectory)
            }
            _ => Ok(Listing { made, flash: self.flash.list(path)? }),
        }
    }

    fn next<'b>(&mut self, listing: &'b mut Listing) -> Result<Listed<'b>, StoreError> {
        let made = listing.made;
        listing.made = made.saturating_add(1);
        let (name, len) = match made {
            0 => (BOOT_LOG, self.shared.borrow().log.bytes().len()),
            1 => (STATUS, self.shared.borrow().write(self.name, &mut [0; STATUS_LEN])),
            _ => return self.flash.next(&mut listing.flash),
        };
        let size = u64::try_from(len).map_err(|_| StoreError::Io)?;
        Ok(Listed::Entry(Entry::new(name, EntryKind::File { size, modified: None })))
    }

    fn known_digest(&mut self, file: &OpenFile, kind: DigestKind) -> Option<Digest> {
        match file {
            OpenFile::Flash(file) => self.flash.known_digest(file, kind),
            OpenFile::Log { .. } | OpenFile::AbsoluteLog | OpenFile::Status { .. } => None,
        }
    }
}

fn copy(from: &[u8], offset: u64, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| from.get(offset..)).unwrap_or_default();
    let len = rest.len().min(buf.len());
    if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
        to.copy_from_slice(from);
    }
    len
}
