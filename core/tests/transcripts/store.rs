//! The stores of the documents, with their documented faults.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use coracle_core::{
    Code, Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Hasher, Listed, Store, StoreError, Version,
};

use super::document::{Change, StoreLine};

/// A file that takes time is read in pieces of this length, as from a slow medium.
const SLOW_READ_LEN: usize = 100;

/// Serves a documented store. Reading advances the clock, where its line says so.
pub struct ScriptedStore {
    pub lines: Vec<StoreLine>,
    pub clock_ms: Rc<Cell<u64>>,
    /// What has happened to the files since one was opened last.
    pub changes: Rc<RefCell<VecDeque<Change>>>,
    /// Files that were replaced.
    replaced: Vec<StoreLine>,
    #[cfg(feature = "manage")]
    pub uploads: Vec<super::uploads::Partial>,
    /// How many files were put.
    #[cfg(feature = "manage")]
    pub puts: u32,
    /// Uploads that are stored by a sync, with their times; and how many of them failed.
    #[cfg(feature = "sync")]
    pub deferred: Vec<(String, Option<u64>)>,
    #[cfg(feature = "sync")]
    pub failures: u64,
}

/// An open file.
pub struct Open {
    line: StoreLine,
    contents: Vec<u8>,
    /// Where the contents begin.
    first: u64,
    #[cfg_attr(not(feature = "replaced"), expect(dead_code, reason = "a server that keeps no file has no use for it"))]
    is_replaced: bool,
    /// The version of the file that took its name.
    #[cfg_attr(not(feature = "replaced"), expect(dead_code, reason = "a server that keeps no file has no use for it"))]
    next: Option<String>,
    was_asked: Cell<bool>,
}

/// The rest of a listing.
pub struct Listing {
    items: std::vec::IntoIter<Item>,
    current: String,
}

enum Item {
    Entry(String, EntryKind),
    Skipped,
    Hidden,
    Unnameable,
    Fault,
}

impl ScriptedStore {
    pub fn new(lines: &[StoreLine], clock_ms: Rc<Cell<u64>>) -> Self {
        Self {
            lines: lines.to_vec(),
            clock_ms,
            changes: Rc::default(),
            replaced: Vec::new(),
            #[cfg(feature = "manage")]
            uploads: super::uploads::left(lines),
            #[cfg(feature = "manage")]
            puts: 0,
            #[cfg(feature = "sync")]
            deferred: Vec::new(),
            #[cfg(feature = "sync")]
            failures: 0,
        }
    }

    /// Makes the changes that have happened.
    fn catch_up(&mut self) {
        while let Some(change) = { self.changes.borrow_mut().pop_front() } {
            let (Change::Append { name, .. } | Change::Replace { name, .. } | Change::Drop { name, .. }) = &change;
            let line = self.lines.iter_mut().find(|line| line.file_name.as_ref() == Some(name));
            let line = line.expect("a file of the store");
            let old = line.text.get_or_insert_default();
            match change {
                Change::Append { text, .. } => old.push_str(&text),
                Change::Drop { len, .. } => {
                    old.drain(..len);
                    *line.first.get_or_insert(0) += len as u64;
                }
                Change::Replace { version, text, .. } => {
                    let new = StoreLine { version, text: Some(text), ..line.clone() };
                    let old = std::mem::replace(line, new);
                    self.replaced.extend(Some(old).filter(|old| old.kept));
                }
            }
        }
    }

    /// Opens the file `name`: with absolute offsets, if it says so, or one that was replaced, of this version.
    fn open_as(&mut self, name: FileName<'_>, version: Option<&str>, is_absolute: bool) -> Result<Open, StoreError> {
        self.catch_up();
        let has_name = |line: &&StoreLine| line.file_name.as_deref() == Some(name.as_str());
        let mut kept = self.replaced.iter().filter(has_name).skip_while(|line| Some(&line.version[..]) != version);
        let replaced = kept.next();
        let current = self.lines.iter().find(has_name);
        let next = kept.next().or(current).filter(|_| replaced.is_some()).map(|line| line.version.clone());
        let found = replaced.or(current);
        match found {
            Some(line) => match line.refused.as_deref().and_then(Code::from_word) {
                Some(Code::Denied) => Err(StoreError::Denied),
                Some(_) => Err(StoreError::Io),
                None => {
                    let (mut line, contents) = (line.clone(), line.contents());
                    let first = line.first.filter(|_| is_absolute);
                    if let (Some(dropped), None) = (line.first, first) {
                        line.version = format!("{}.{dropped}", line.version);
                    }
                    let (first, is_replaced, was_asked) = (first.unwrap_or(0), replaced.is_some(), Cell::new(false));
                    Ok(Open { line, contents, first, is_replaced, next, was_asked })
                }
            },
            None if self.is_directory(name.as_str()) => Err(StoreError::NotFile),
            None => Err(StoreError::NotFound),
        }
    }

    pub fn is_directory(&self, path: &str) -> bool {
        self.lines.iter().any(|line| match (&line.file_name, &line.directory) {
            (Some(name), _) => child(name, path).is_some(),
            (_, Some(directory)) => directory == path || child(directory, path).is_some(),
            _ => false,
        })
    }
}

impl Open {
    /// The version that it had when it was opened.
    pub fn version(&self) -> &str {
        &self.line.version
    }
}

impl Store for ScriptedStore {
    type File = Open;
    type Listing = Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<Open, StoreError> {
        self.open_as(name, None, false)
    }

    #[cfg(feature = "replaced")]
    fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<Open, StoreError> {
        self.open_as(name, Some(version), false)
    }

    #[cfg(feature = "absolute")]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Open, StoreError> {
        self.open_as(name, None, true)
    }

    fn info(&mut self, file: &Open) -> Result<FileInfo, StoreError> {
        let version = match (&file.line.version_after, file.was_asked.replace(true)) {
            (Some(after), true) => after,
            _ => &file.line.version,
        };
        let version = Version::new(version).map_err(|_| StoreError::Io)?;
        let info = FileInfo::new(file.first + file.contents.len() as u64, version).with_modified(file.line.modified);
        #[cfg(feature = "replaced")]
        let next = file.next.as_deref().map(Version::new).transpose().map_err(|_| StoreError::Io)?;
        #[cfg(feature = "replaced")]
        let info = info.with_replaced(file.is_replaced).with_next(next);
        #[cfg(feature = "absolute")]
        let info = info.with_first(file.first);
        Ok(info)
    }

    fn read(&mut self, file: &mut Open, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let offset = offset.checked_sub(file.first).ok_or(StoreError::Io)?;
        let offset = usize::try_from(offset).map_err(|_| StoreError::Io)?;
        let mut end = file.contents.len().min(file.line.shrinks_to.unwrap_or(usize::MAX));
        if let Some(from) = file.line.unreadable_from {
            if offset >= from {
                return Err(StoreError::Io);
            }
            end = end.min(from);
        }
        let mut len = buf.len().min(end.saturating_sub(offset));
        if file.line.byte_ms > 0 {
            len = len.min(SLOW_READ_LEN);
            self.clock_ms.set(self.clock_ms.get() + file.line.byte_ms * len as u64);
        }
        buf[..len].copy_from_slice(&file.contents[offset..][..len]);
        Ok(len)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        let path = path.map_or("", FileName::as_str);
        if !path.is_empty() && !self.is_directory(path) {
            let is_file = self.lines.iter().any(|line| line.file_name.as_deref() == Some(path));
            return Err(if is_file { StoreError::NotDirectory } else { StoreError::NotFound });
        }
        let mut items = Vec::new();
        let mut seen = Vec::new();
        for line in &self.lines {
            if path.is_empty() {
                items.extend((0..line.skipped.unwrap_or(0)).map(|_| Item::Skipped));
                items.extend((0..line.hidden.unwrap_or(0)).map(|_| Item::Hidden));
                items.extend((0..line.unnameable.unwrap_or(0)).map(|_| Item::Unnameable));
            }
            let Some(name) = line.file_name.as_deref().or(line.directory.as_deref()) else { continue };
            let Some(below) = child(name, path) else { continue };
            let first = below.split('/').next().unwrap_or(below);
            let full = name[..name.len() - below.len() + first.len()].to_owned();
            if seen.contains(&full) {
                continue;
            }
            let kind = if full.len() == name.len() && line.file_name.is_some() {
                EntryKind::File { size: line.contents().len() as u64, modified: line.modified }
            } else {
                EntryKind::Directory { link: line.link }
            };
            seen.push(full.clone());
            items.push(Item::Entry(full, kind));
        }
        let here = self.lines.iter().find(|line| line.directory.as_deref() == Some(path));
        if let Some(len) = here.and_then(|line| line.fails_after) {
            items.truncate(len);
            items.push(Item::Fault);
        }
        Ok(Listing { items: items.into_iter(), current: String::new() })
    }

    fn next<'b>(&mut self, listing: &'b mut Listing) -> Result<Listed<'b>, StoreError> {
        match listing.items.next() {
            Some(Item::Entry(name, kind)) => {
                listing.current = name;
                let name = FileName::new(&listing.current).map_err(|_| StoreError::Io)?;
                Ok(Listed::Entry(Entry::new(name, kind)))
            }
            Some(Item::Skipped) => Ok(Listed::Skipped),
            Some(Item::Hidden) => Ok(Listed::Hidden),
            Some(Item::Unnameable) => Ok(Listed::Unnameable),
            Some(Item::Fault) => Err(StoreError::Io),
            None => Ok(Listed::End),
        }
    }

    fn known_digest(&mut self, file: &Open, kind: DigestKind) -> Option<Digest> {
        let mut hasher = Hasher::new(kind).filter(|_| file.line.remembered)?;
        hasher.update(&file.contents);
        Some(hasher.finish())
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        let links = self.lines.iter().filter(|line| line.link).filter_map(|line| line.directory.as_deref());
        !links.into_iter().any(|link| name.as_str() == link || child(name.as_str(), link).is_some())
    }

    fn unix_time(&mut self) -> Option<u64> {
        let began = self.lines.iter().find_map(|line| line.clock)?;
        Some(began + self.clock_ms.get() / 1000)
    }
}

/// The part of `name` beneath `directory`; all of it for the root, which is empty.
pub fn child<'n>(name: &'n str, directory: &str) -> Option<&'n str> {
    if directory.is_empty() {
        return Some(name);
    }
    name.strip_prefix(directory)?.strip_prefix('/')
}
