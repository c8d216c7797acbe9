//! A store with two more beneath directories of its root: what is read.

use coracle_core::{
    CountedFile, CountedStore, Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Listed, Store, StoreError,
};
use coracle_embedded_sdmmc::{FatFile, FatListing, FatStore};
use coracle_littlefs::{LittleFile, LittleListing, LittleStore};

use super::image::Image;

/// The directories that they are in.
pub(super) const CARD: &str = "card";
pub(super) const FLASH: &str = "littlefs";

/// The card. The board has no clock, so versions are counted.
pub(super) type Card = CountedStore<FatStore<Image>, 16>;
/// The volume in flash, which something else on the board would write.
pub(super) type Flash = LittleStore<Image>;

/// The files of `S`, those of a card in `card/`, and those of a littlefs volume in `littlefs/`.
pub struct Media<S> {
    pub(super) files: S,
    pub(super) card: Option<Card>,
    flash: Option<Flash>,
}

/// An open file.
pub enum MediaFile<F> {
    Inner(F),
    Card(CountedFile<FatFile>),
    Flash(LittleFile),
}

/// A position in a listing, and the last name in it.
pub struct MediaListing<L> {
    at: At<L>,
    name: [u8; FileName::MAX_LEN],
}

// Without a heap the largest variant cannot be boxed; each session has room for any of them.
#[allow(clippy::large_enum_variant)]
enum At<L> {
    /// In the root: `card/` and `littlefs/` come first.
    Root(u8, L),
    Inner(L),
    Card(FatListing),
    Flash(LittleListing),
}

/// Where a name leads; the rest of it is `None` for the directory itself.
pub(super) enum Place<'a> {
    Inner,
    Card(Option<FileName<'a>>),
    Flash(Option<FileName<'a>>),
}

impl<S> Media<S> {
    /// Those that are there, beside `files`.
    pub(super) const fn new(files: S, card: Option<Card>, flash: Option<Flash>) -> Self {
        Self { files, card, flash }
    }

    pub(super) fn place<'a>(&self, name: FileName<'a>) -> Place<'a> {
        let (first, rest) = match name.as_str().split_once('/') {
            Some((first, rest)) => (first, FileName::new(rest).ok()),
            None => (name.as_str(), None),
        };
        match first {
            CARD if self.card.is_some() => Place::Card(rest),
            FLASH if self.flash.is_some() => Place::Flash(rest),
            _ => Place::Inner,
        }
    }

    pub(super) fn card(&mut self) -> Result<&mut Card, StoreError> {
        self.card.as_mut().ok_or(StoreError::NotFound)
    }

    fn flash(&mut self) -> Result<&mut Flash, StoreError> {
        self.flash.as_mut().ok_or(StoreError::NotFound)
    }
}

impl<S: Store> Store for Media<S> {
    type File = MediaFile<S::File>;
    type Listing = MediaListing<S::Listing>;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        match self.place(name) {
            Place::Inner => self.files.open(name).map(MediaFile::Inner),
            Place::Card(Some(name)) => self.card()?.open(name).map(MediaFile::Card),
            Place::Flash(Some(name)) => self.flash()?.open(name).map(MediaFile::Flash),
            _ => Err(StoreError::NotFile),
        }
    }

    // Out of line: what it takes of the stack is not to be beneath what `open` takes.
    #[inline(never)]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        match self.place(name) {
            Place::Inner => self.files.open_absolute(name).map(MediaFile::Inner),
            _ => self.open(name),
        }
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        match file {
            MediaFile::Inner(file) => self.files.info(file),
            MediaFile::Card(file) => self.card()?.info(file),
            MediaFile::Flash(file) => self.flash()?.info(file),
        }
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        match file {
            MediaFile::Inner(file) => self.files.read(file, offset, buf),
            MediaFile::Card(file) => self.card()?.read(file, offset, buf),
            MediaFile::Flash(file) => self.flash()?.read(file, offset, buf),
        }
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        let at = match path.map(|path| self.place(path)) {
            None => At::Root(0, self.files.list(None)?),
            Some(Place::Inner) => At::Inner(self.files.list(path)?),
            Some(Place::Card(path)) => At::Card(self.card()?.list(path)?),
            Some(Place::Flash(path)) => At::Flash(self.flash()?.list(path)?),
        };
        Ok(MediaListing { at, name: [0; FileName::MAX_LEN] })
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        let MediaListing { at, name } = listing;
        let (directory, listed) = match at {
            At::Root(told, inner) => loop {
                let directory = match *told {
                    0 => self.card.is_some().then_some(CARD),
                    1 => self.flash.is_some().then_some(FLASH),
                    _ => return self.files.next(inner),
                };
                *told += 1;
                if let Some(directory) = directory {
                    let kind = EntryKind::Directory { link: false };
                    return Ok(Listed::Entry(Entry::new(FileName::from_static(directory), kind)));
                }
            },
            At::Inner(inner) => return self.files.next(inner),
            At::Card(inner) => (CARD, self.card.as_mut().ok_or(StoreError::Io)?.next(inner)?),
            At::Flash(inner) => (FLASH, self.flash.as_mut().ok_or(StoreError::Io)?.next(inner)?),
        };
        let Listed::Entry(entry) = listed else {
            // None of these has a name.
            return Ok(match listed {
                Listed::Skipped => Listed::Skipped,
                Listed::Unnameable => Listed::Unnameable,
                Listed::Hidden => Listed::Hidden,
                _ => Listed::End,
            });
        };
        Ok(join(name, directory, entry.name)
            .map_or(Listed::Unnameable, |name| Listed::Entry(Entry::new(name, entry.kind))))
    }

    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        match self.place(name) {
            Place::Inner => self.files.is_linkless(name),
            _ => true,
        }
    }

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        match file {
            MediaFile::Inner(file) => self.files.known_digest(file, kind),
            _ => None,
        }
    }
}

/// `directory/name`, where that is not too long.
fn join<'a>(buf: &'a mut [u8; FileName::MAX_LEN], directory: &str, name: FileName<'_>) -> Option<FileName<'a>> {
    let len = directory.len() + 1 + name.as_str().len();
    let bytes = directory.bytes().chain([b'/']).chain(name.as_str().bytes());
    let place = buf.get_mut(..len)?;
    place.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    FileName::new(core::str::from_utf8(place).ok()?).ok()
}
