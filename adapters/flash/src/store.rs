//! A store of read-only files, an image slot and small files: what is read.

use coracle_core::{
    Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Listed, Store, StoreError, UploadTurn, Version,
};
use embedded_storage::nor_flash::NorFlash;

use crate::image::{Image, Slot};
use crate::log::SMALL_NAME_LEN;
use crate::rules::StoreRules;
use crate::slots::ImageSlots;
use crate::small_files::{SmallFile, SmallFiles};

/// The name of the image that waits, which is put to update the board.
pub(crate) const IMAGE: FileName<'static> = FileName::from_static("image");
/// The name of the image that runs.
pub(crate) const RUNNING: FileName<'static> = FileName::from_static("image.running");

/// A store that clients can write to, on a board: `image` and `image.running`, small files, and the read-only files of `S`.
///
/// - `image` is the image that waits to be started: absent once it runs. Putting it updates the board; putting the image that
///   runs or waits already ends at once. It takes uploads by SHA-256 only, which the boot loader checks. While the image that
///   runs is not confirmed, it is `denied`, since the other slot has the only one to return to. Deleting it reverts it.
/// - `image.running` is the image that runs, read-only.
/// - Files of `S` are read-only.
/// - All other names in the root are small files.
///
/// One image and one small file are uploaded at a time. Another image is `inUse` meanwhile; another small file waits until the one
/// under way is there, or its client was silent for [`UploadTurn::SILENCE_MS`]. What was received of an image is there after a restart, of a small
/// file it is not.
///
/// `I` and `C` are the flashes of the slots and of the small files: [`SharedFlash`](crate::SharedFlash) where it is the same one.
pub struct FlashStore<S, I, C, R> {
    /// The read-only files.
    pub files: S,
    /// What the owner allows.
    pub rules: R,
    pub(crate) slots: ImageSlots<I>,
    pub(crate) small: SmallFiles<C>,
    pub(crate) running: Slot,
    pub(crate) image_turn: UploadTurn,
    pub(crate) small_turn: UploadTurn,
    /// The small file that is being uploaded.
    pub(crate) small_upload: Option<SmallUpload>,
}

/// Name, its length, size and digest of a small file that is being uploaded.
pub(crate) type SmallUpload = ([u8; SMALL_NAME_LEN], u8, u32, Digest);

/// An open file of a [`FlashStore`].
#[derive(Debug)]
pub struct FlashFile<F>(pub(crate) Opened<F>);

#[derive(Debug)]
pub(crate) enum Opened<F> {
    ReadOnly(F),
    Image { slot: Slot, number: u32 },
    Small(SmallFile),
}

/// A position in a listing of a [`FlashStore`].
#[derive(Debug)]
pub struct FlashListing<L> {
    files: L,
    stage: Stage,
    name: [u8; SMALL_NAME_LEN],
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Image,
    Running,
    Small { after: Option<u32> },
    ReadOnly,
}

impl<S: Store, I: NorFlash, C: NorFlash, R: StoreRules> FlashStore<S, I, C, R> {
    /// A store of `files`, the slots, of which the board runs from `running`, and the small files.
    #[must_use]
    pub const fn new(files: S, slots: ImageSlots<I>, running: Slot, small: SmallFiles<C>, rules: R) -> Self {
        Self {
            files,
            rules,
            slots,
            small,
            running,
            image_turn: UploadTurn::new(),
            small_turn: UploadTurn::new(),
            small_upload: None,
        }
    }

    /// The slots, to confirm or to revert the image that runs.
    pub const fn slots(&mut self) -> &mut ImageSlots<I> {
        &mut self.slots
    }

    /// The small files. They must not be written here while a client uploads one.
    pub const fn small_files(&mut self) -> &mut SmallFiles<C> {
        &mut self.small
    }

    /// The slot that the board runs from.
    #[must_use]
    pub const fn running(&self) -> Slot {
        self.running
    }

    /// Where `name` is, as far as it is not a file of `files`.
    pub(crate) fn find(&mut self, name: FileName<'_>) -> Option<Opened<S::File>> {
        let slot = match name {
            RUNNING => self.running,
            IMAGE => {
                self.slots.waiting(self.running)?;
                self.running.other()
            }
            _ => return self.small.find(name.as_str()).map(Opened::Small),
        };
        let number = self.slots.image(slot)?.number;
        Some(Opened::Image { slot, number })
    }

    /// Information on a file outside `files`; `None` where its contents are no longer there.
    pub(crate) fn own_info(&mut self, file: &Opened<S::File>) -> Option<FileInfo> {
        match file {
            Opened::ReadOnly(_) => None,
            Opened::Image { slot, number } => {
                let image = self.slots.image(*slot).filter(|image| image.number == *number)?;
                Some(FileInfo::new(image.size.into(), image_version(&image)?))
            }
            Opened::Small(file) => {
                self.small.read(file, 0, &mut []).ok()?;
                Some(FileInfo::new(file.size.into(), small_version(file)?))
            }
        }
    }
}

impl<S: Store, I: NorFlash, C: NorFlash, R: StoreRules> Store for FlashStore<S, I, C, R> {
    type File = FlashFile<S::File>;
    type Listing = FlashListing<S::Listing>;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        match self.find(name) {
            Some(file) => Ok(FlashFile(file)),
            None => self.files.open(name).map(|file| FlashFile(Opened::ReadOnly(file))),
        }
    }

    // Out of line: what it takes of the stack is not to be beneath what `open` takes, where both are inlined.
    #[cfg(feature = "absolute")]
    #[inline(never)]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        match self.find(name) {
            Some(file) => Ok(FlashFile(file)),
            None => self.files.open_absolute(name).map(|file| FlashFile(Opened::ReadOnly(file))),
        }
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        if let Opened::ReadOnly(file) = &file.0 {
            return self.files.info(file);
        }
        match self.own_info(&file.0) {
            Some(info) => Ok(info),
            None => Ok(FileInfo::new(0, Version::new("gone").map_err(|_| StoreError::Io)?)),
        }
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let own_offset = u32::try_from(offset).unwrap_or(u32::MAX);
        match &mut file.0 {
            Opened::ReadOnly(file) => self.files.read(file, offset, buf),
            Opened::Image { slot, number } => {
                let image = self.slots.image(*slot).filter(|image| image.number == *number);
                if image.is_none_or(|image| image.size <= own_offset) {
                    return Ok(0);
                }
                self.slots.read(*slot, own_offset, buf).map_err(|_| StoreError::Io)
            }
            Opened::Small(file) => self.small.read(file, own_offset, buf).map_err(|_| StoreError::Io),
        }
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        let files = match self.files.list(path) {
            Err(StoreError::NotFound) if path.is_some_and(|path| self.find(path).is_some()) => {
                return Err(StoreError::NotDirectory);
            }
            files => files?,
        };
        let stage = if path.is_none() { Stage::Image } else { Stage::ReadOnly };
        Ok(FlashListing { files, stage, name: [0; SMALL_NAME_LEN] })
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        let FlashListing { files, stage, name } = listing;
        loop {
            match *stage {
                Stage::Image => {
                    *stage = Stage::Running;
                    if let Some(image) = self.slots.waiting(self.running) {
                        return Ok(Listed::Entry(entry(IMAGE, image.size)));
                    }
                }
                Stage::Running => {
                    *stage = Stage::Small { after: None };
                    if let Some(image) = self.slots.image(self.running) {
                        return Ok(Listed::Entry(entry(RUNNING, image.size)));
                    }
                }
                Stage::Small { after } => {
                    let Some((file, len)) = self.small.next(after, name).map(|(file, name)| (file, name.len())) else {
                        *stage = Stage::ReadOnly;
                        continue;
                    };
                    *stage = Stage::Small { after: Some(file.number) };
                    let name = name.get(..len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default();
                    return Ok(
                        FileName::new(name).map_or(Listed::Skipped, |name| Listed::Entry(entry(name, file.size)))
                    );
                }
                Stage::ReadOnly => return self.files.next(files),
            }
        }
    }

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        match &file.0 {
            Opened::ReadOnly(file) => self.files.known_digest(file, kind),
            // Of what was announced, and was read back before its commit; the boot loader reads it again at each start.
            Opened::Image { slot, number } => {
                let image = self.slots.image(*slot).filter(|image| image.number == *number)?;
                (image.digest.kind() == kind).then_some(image.digest)
            }
            Opened::Small(_) => None,
        }
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        self.find(name).is_some() || self.files.is_linkless(name)
    }

    fn unix_time(&mut self) -> Option<u64> {
        self.files.unix_time()
    }

    fn remember_digest(&mut self, file: &Self::File, info: &FileInfo, digest: &Digest) {
        if let Opened::ReadOnly(file) = &file.0 {
            self.files.remember_digest(file, info, digest);
        }
    }
}

/// The version of an image: its number and the beginning of its digest, the same while it waits and while it runs.
pub(crate) fn image_version(image: &Image) -> Option<Version> {
    let hex = image.digest.to_hex();
    version(image.number, hex.as_str().get(..16).unwrap_or(hex.as_str()))
}

pub(crate) fn small_version(file: &SmallFile) -> Option<Version> {
    version(file.number, "")
}

/// Eight hexadecimal digits of `number`, and `rest`.
fn version(number: u32, rest: &str) -> Option<Version> {
    let mut text = [b'-'; 32];
    let digits = number.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    let separator = if rest.is_empty() { "" } else { "-" };
    let bytes = digits.chain(separator.bytes()).chain(rest.bytes());
    let len = text.iter_mut().zip(bytes).map(|(to, from)| *to = from).count();
    Version::new(core::str::from_utf8(text.get(..len)?).ok()?).ok()
}

fn entry(name: FileName<'_>, size: u32) -> Entry<'_> {
    Entry::new(name, EntryKind::File { size: size.into(), modified: None })
}
