//! The objects and directories beneath a path of an object store, page by page.

use std::vec;

use coracle_core::{Entry, EntryKind, FileName, Listed, StoreError};

use super::error::S3Error;
use super::page::{Page, PageEntry};
use super::request::{S3Client, S3Request};
use crate::local::name_restriction;

/// Keys that are asked for at a time: as many as S3 sends at most.
const PAGE_KEYS: usize = 1000;

/// A place in a listing of an [`S3Store`](super::S3Store), in the order of the keys, directories last within each page.
///
/// It holds one page of 1,000 keys at most, however many objects there are.
#[derive(Debug)]
pub struct S3Listing {
    /// What the listed keys begin with.
    prefix: String,
    /// How much of a key is no part of a file's name.
    root_len: usize,
    entries: vec::IntoIter<PageEntry>,
    token: Option<String>,
    name: String,
    hidden: bool,
}

impl S3Listing {
    /// Begins a listing of the keys that begin with `prefix`, of which the first `root_len` bytes belong to no name. `None` where
    /// there is no such key.
    pub(super) fn new(
        client: &S3Client,
        prefix: String,
        root_len: usize,
        hidden: bool,
    ) -> Result<Option<Self>, S3Error> {
        let page = fetch(client, &prefix, None)?;
        let is_empty = page.entries.is_empty() && page.token.is_none();
        let Page { entries, token } = page;
        let listing = Self { prefix, root_len, entries: entries.into_iter(), token, name: String::new(), hidden };
        Ok((!is_empty).then_some(listing))
    }

    /// A listing of nothing.
    pub(super) fn empty() -> Self {
        Self {
            prefix: String::new(),
            root_len: 0,
            entries: Vec::new().into_iter(),
            token: None,
            name: String::new(),
            hidden: false,
        }
    }

    /// What the listed keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The next entry, or the end.
    pub(super) fn next_entry(&mut self, client: &S3Client) -> Result<Option<PageEntry>, S3Error> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            let Some(token) = self.token.take() else { return Ok(None) };
            let page = fetch(client, &self.prefix, Some(&token))?;
            if page.token.as_ref() == Some(&token) {
                return Err(S3Error::Protocol("a page of the list comes again"));
            }
            (self.entries, self.token) = (page.entries.into_iter(), page.token);
        }
    }

    /// Whether clients are told of `entry`: neither of the object that some tools make for a directory, nor of what is not complete.
    pub(super) fn is_told(&self, entry: &PageEntry) -> Result<bool, StoreError> {
        let last = self.last_component(entry)?;
        Ok(!(last.is_empty() && entry.object.is_some()) && name_restriction(last).is_none())
    }

    /// What `entry` is to clients.
    pub(super) fn step(&mut self, entry: &PageEntry) -> Result<Listed<'_>, StoreError> {
        let last = self.last_component(entry)?;
        if last.starts_with('.') && !self.hidden {
            return Ok(Listed::Hidden);
        }
        if last.is_empty() || last.contains('/') {
            return Ok(Listed::Unnameable);
        }
        let name = format!("{}{last}", self.prefix.get(self.root_len..).ok_or(StoreError::Io)?);
        self.name = name;
        let kind = entry.object.map_or(EntryKind::Directory { link: false }, |object| EntryKind::File {
            size: object.size,
            modified: object.modified,
        });
        Ok(FileName::new(&self.name).map_or(Listed::Unnameable, |name| Listed::Entry(Entry::new(name, kind))))
    }

    /// What `entry` is called in its directory.
    fn last_component<'e>(&self, entry: &'e PageEntry) -> Result<&'e str, StoreError> {
        let key = entry.key.strip_prefix(&self.prefix).ok_or(StoreError::Io)?;
        Ok(if entry.object.is_some() { key } else { key.strip_suffix('/').unwrap_or(key) })
    }
}

fn fetch(client: &S3Client, prefix: &str, token: Option<&str>) -> Result<Page, S3Error> {
    Page::fetch(client, &S3Request::List { prefix, token, max_keys: PAGE_KEYS })
}

#[cfg(test)]
mod tests {
    use coracle_core::{EntryKind, Listed};

    use super::super::page::ListedObject;
    use super::{PageEntry, S3Listing};

    fn told(key: &str, is_object: bool, hidden: bool) -> String {
        let mut listing = S3Listing { prefix: "root/sub/".to_owned(), root_len: 5, hidden, ..S3Listing::empty() };
        let object = is_object.then_some(ListedObject { size: 7, modified: Some(8) });
        let entry = PageEntry { key: key.to_owned(), object };
        if listing.is_told(&entry) == Ok(false) {
            return "left out".to_owned();
        }
        match listing.step(&entry) {
            Ok(Listed::Entry(entry)) => match entry.kind {
                EntryKind::File { size: 7, modified: Some(8) } => format!("file {}", entry.name.as_str()),
                EntryKind::Directory { link: false } => format!("directory {}", entry.name.as_str()),
                kind => panic!("{kind:?}"),
            },
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn keys_are_paths_where_they_can_be_names() {
        for (key, is_object, wanted) in [
            ("root/sub/a.bin", true, "file sub/a.bin"),
            ("root/sub/b/", false, "directory sub/b"),
            ("root/sub/", true, "left out"),
            ("root/sub/.coracle-a.part", true, "left out"),
            ("root/sub/.git/", false, "Hidden"),
            ("root/sub//", false, "Unnameable"),
            ("root/sub/a\\b", true, "Unnameable"),
            ("root/sub/\u{1}", true, "Unnameable"),
            ("other", true, "Io"),
        ] {
            assert_eq!(told(key, is_object, false), wanted, "{key:?}");
        }
        assert_eq!(told("root/sub/.git/", false, true), "directory sub/.git");
        assert_eq!(told("root/sub/..", true, true), "Unnameable");
        assert_eq!(told(&format!("root/sub/{}", "x".repeat(300)), true, true), "Unnameable");
    }
}
