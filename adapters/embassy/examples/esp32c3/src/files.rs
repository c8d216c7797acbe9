//! The chip's store: a file in flash, and the log in RAM.

use coracle_core::{
    Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Listed, StaticFile, StaticListing, StaticStore, Store,
    StoreError, Version,
};

use crate::boot_log;

static FILES: [StaticFile<'static>; 1] =
    [StaticFile::new("welcome.txt", env!("CARGO_PKG_VERSION"), include_bytes!("../welcome.txt"))];
const BOOT_LOG: FileName<'static> = FileName::from_static("boot.log");

/// The chip's store. Each socket has one.
pub struct Files {
    flash: StaticStore<'static>,
    /// Unique to this start of this chip.
    boot: u64,
}

/// An open file.
pub enum OpenFile {
    Flash(&'static StaticFile<'static>),
    /// What of the log is there now.
    Log {
        generation: u32,
    },
    /// The log, with offsets that count from the start of the chip.
    AbsoluteLog,
}

/// A position in a listing: in the root the log comes first.
pub struct Listing {
    has_log: bool,
    flash: StaticListing<'static>,
}

impl Files {
    /// `boot` is a part of the log's versions.
    pub const fn new(boot: u64) -> Self {
        Self { flash: StaticStore::new(&FILES), boot }
    }

    /// A version of the log, whose `kind` is the first character, in state `number` since this start.
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

impl Store for Files {
    type File = OpenFile;
    type Listing = Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<OpenFile, StoreError> {
        if name == BOOT_LOG {
            return Ok(OpenFile::Log { generation: boot_log::with(|log| log.generation()) });
        }
        self.flash.open(name).map(OpenFile::Flash)
    }

    fn open_absolute(&mut self, name: FileName<'_>) -> Result<OpenFile, StoreError> {
        if name == BOOT_LOG { Ok(OpenFile::AbsoluteLog) } else { self.open(name) }
    }

    fn info(&mut self, file: &OpenFile) -> Result<FileInfo, StoreError> {
        let (first, len, generation) = boot_log::with(|log| (log.first(), log.bytes().len() as u64, log.generation()));
        match file {
            OpenFile::Flash(file) => self.flash.info(file),
            // A log that is only appended to keeps its version.
            OpenFile::Log { .. } => Ok(FileInfo::new(len, self.version(b'L', generation)?)),
            OpenFile::AbsoluteLog => Ok(FileInfo::new(first + len, self.version(b'A', 0)?).with_first(first)),
        }
    }

    fn read(&mut self, file: &mut OpenFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        boot_log::with(|log| {
            let offset = match file {
                OpenFile::Flash(file) => return self.flash.read(file, offset, buf),
                OpenFile::Log { generation } if log.generation() == *generation => Some(offset),
                OpenFile::Log { .. } => None,
                OpenFile::AbsoluteLog => offset.checked_sub(log.first()),
            };
            // Otherwise the announced bytes are gone.
            let offset = offset.ok_or(StoreError::Io)?;
            let rest = usize::try_from(offset).ok().and_then(|offset| log.bytes().get(offset..)).unwrap_or_default();
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        if path == Some(BOOT_LOG) {
            return Err(StoreError::NotDirectory);
        }
        Ok(Listing { has_log: path.is_none(), flash: self.flash.list(path)? })
    }

    fn next<'b>(&mut self, listing: &'b mut Listing) -> Result<Listed<'b>, StoreError> {
        if core::mem::take(&mut listing.has_log) {
            let size = boot_log::with(|log| log.bytes().len() as u64);
            return Ok(Listed::Entry(Entry::new(BOOT_LOG, EntryKind::File { size, modified: None })));
        }
        self.flash.next(&mut listing.flash)
    }

    fn known_digest(&mut self, file: &OpenFile, kind: DigestKind) -> Option<Digest> {
        match file {
            OpenFile::Flash(file) => self.flash.known_digest(file, kind),
            OpenFile::Log { .. } | OpenFile::AbsoluteLog => None,
        }
    }
}
