//! Lists all of the server's side of a mirror.

use std::collections::HashMap;

use coracle::client::{Client, Error, ErrorKind};
use coracle_core::{Entry, EntryKind, FileName, Listing};

use super::plan::{Source, SourceKind};
use crate::filter::Filter;
use crate::get::{ListedDirectory, ListedTree};

/// The memory that the names may occupy, in bytes.
const MAX_LEN: usize = 256 * 1024 * 1024;

/// What the server has, and whether that is all.
#[derive(Debug, Default)]
pub struct Listed {
    /// By names below the root.
    pub entries: Vec<(String, EntryKind)>,
    /// The directories that were listed to their end, the root by the empty name.
    pub directories: Vec<(String, Listing)>,
    /// Something may be missing: what is not in `entries` may be there nevertheless.
    pub is_incomplete: bool,
}

impl Listed {
    /// What a mirror is made of.
    pub fn source(&self) -> Source {
        let entries = self.entries.iter().map(|(name, kind)| {
            let kind = match kind {
                EntryKind::File { .. } => SourceKind::File,
                // Until it is listed.
                EntryKind::Directory { link: false } => SourceKind::Directory { has_hidden: true },
                _ => SourceKind::Opaque,
            };
            (name.clone(), kind)
        });
        let mut source: Source = entries.collect();
        for (name, listing) in &self.directories {
            source.insert(name.clone(), SourceKind::Directory { has_hidden: listing.hidden > 0 });
        }
        source
    }

    /// What was listed of `root`, for a fetch.
    pub fn into_tree(self, root: Option<FileName<'_>>) -> ListedTree {
        let full = |name: &str| match root {
            Some(root) if name.is_empty() => root.as_str().to_owned(),
            Some(root) => format!("{root}/{name}"),
            None => name.to_owned(),
        };
        let directories = self.directories.iter();
        let empty = |(name, listing): &(String, Listing)| {
            (full(name), ListedDirectory { entries: Vec::new(), listing: *listing })
        };
        let mut tree: HashMap<String, ListedDirectory> = directories.map(empty).collect();
        for (name, kind) in self.entries {
            let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
            if let Some(directory) = tree.get_mut(&full(parent)) {
                directory.entries.push((full(&name), kind));
            }
        }
        ListedTree::new(tree)
    }
}

/// Lists the directory `root`, all that is served for `None`, with all that is beneath it, but for what `filter` excludes. Where it
/// `has_excluded`, that is among the entries, and nothing that is in it.
///
/// # Errors
///
/// What could not be listed, and why.
pub fn list(
    client: &mut Client,
    root: Option<FileName<'_>>,
    filter: &Filter,
    has_excluded: bool,
) -> Result<Listed, (String, Error)> {
    let mut listed = Listed::default();
    let mut len = 0;
    let mut waiting = vec![String::new()];
    while let Some(below) = waiting.pop() {
        let full = match root {
            Some(root) if below.is_empty() => root.as_str().to_owned(),
            Some(root) => format!("{root}/{below}"),
            None => below.clone(),
        };
        let path = (!full.is_empty()).then(|| FileName::new(&full)).transpose();
        // It was listed as a name, or begins with one.
        let Ok(path) = path else {
            listed.is_incomplete = true;
            continue;
        };
        let prefix_len = root.map_or(0, |root| root.as_str().len() + 1);
        let mut found = Found::default();
        let clear = |found: &mut Found| *found = Found::default();
        let outcome = client.list_into(path, &mut found, clear, |found, entry| {
            found.add(entry, prefix_len, filter, has_excluded);
            let is_too_large = len + found.len > MAX_LEN;
            if is_too_large { Err(Error::ListingTooLarge { limit: MAX_LEN }) } else { Ok(()) }
        });
        let end = match outcome {
            Ok(end) => end,
            Err(error) if !below.is_empty() && error.kind() == ErrorKind::Refused => {
                // What follows says why.
                listed.is_incomplete = true;
                continue;
            }
            Err(error) => return Err((if full.is_empty() { "/".to_owned() } else { full }, error)),
        };
        listed.is_incomplete |= end.missing() > 0;
        len += found.len;
        waiting.append(&mut found.directories);
        listed.entries.append(&mut found.entries);
        listed.directories.push((below, end));
    }
    Ok(listed)
}

/// What a directory contains.
#[derive(Default)]
struct Found {
    entries: Vec<(String, EntryKind)>,
    /// Those that are listed as well.
    directories: Vec<String>,
    /// The memory that they occupy, in bytes.
    len: usize,
}

impl Found {
    fn add(&mut self, entry: Entry<'_>, prefix_len: usize, filter: &Filter, has_excluded: bool) {
        // Entries lie directly beneath what was asked for: the client checks that.
        let Some(name) = entry.name.as_str().get(prefix_len..) else { return };
        let is_excluded = filter.excludes(name, matches!(entry.kind, EntryKind::Directory { .. }));
        if is_excluded && !has_excluded {
            return;
        }
        if !is_excluded && entry.kind == (EntryKind::Directory { link: false }) {
            self.directories.push(name.to_owned());
        }
        self.len += name.len() + size_of::<(String, EntryKind)>();
        self.entries.push((name.to_owned(), entry.kind));
    }
}
