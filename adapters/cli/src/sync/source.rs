//! Lists all of the source of a mirror.

use coracle::client::{Client, Error, ErrorKind};
use coracle_core::{Entry, EntryKind, FileName};

use super::plan::{Source, SourceKind};
use crate::exit::{Exit, report_failure};
use crate::filter::Filter;

/// The memory that the names may occupy, in bytes.
const MAX_LEN: usize = 256 * 1024 * 1024;

/// What the source has, and whether that is all.
#[derive(Debug, Default)]
pub struct Listed {
    pub source: Source,
    /// Why something may be missing: what is not in `source` may be there nevertheless.
    pub is_incomplete: bool,
}

/// Lists the directory `root`, all that is served for `None`, with all that is beneath it, but for what `filter` excludes.
/// Prints why a listing failed.
pub fn list(client: &mut Client, root: Option<FileName<'_>>, filter: &Filter) -> Result<Listed, Exit> {
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
            found.add(entry, prefix_len, filter);
            let is_too_large = len + found.len > MAX_LEN;
            if is_too_large { Err(Error::ListingTooLarge { limit: MAX_LEN }) } else { Ok(()) }
        });
        let end = match outcome {
            Ok(end) => end,
            Err(error) if !below.is_empty() && error.kind() == ErrorKind::Refused => {
                // The fetch that follows says why.
                listed.is_incomplete = true;
                continue;
            }
            Err(error) => return Err(report_failure(if full.is_empty() { "/" } else { &full }, &error)),
        };
        listed.is_incomplete |= end.missing() > 0;
        len += found.len;
        for (name, kind) in found.entries {
            if matches!(kind, SourceKind::Directory { .. }) {
                waiting.push(name.clone());
            }
            listed.source.insert(name, kind);
        }
        listed.source.insert(below, SourceKind::Directory { has_hidden: end.hidden > 0 });
    }
    Ok(listed)
}

/// What a directory contains.
#[derive(Default)]
struct Found {
    entries: Vec<(String, SourceKind)>,
    /// The memory that they occupy, in bytes.
    len: usize,
}

impl Found {
    fn add(&mut self, entry: Entry<'_>, prefix_len: usize, filter: &Filter) {
        // Entries lie directly beneath what was asked for: the client checks that.
        let Some(name) = entry.name.as_str().get(prefix_len..) else { return };
        let kind = match entry.kind {
            EntryKind::File { .. } => SourceKind::File,
            // Until it is listed.
            EntryKind::Directory { link: false } => SourceKind::Directory { has_hidden: true },
            _ => SourceKind::Opaque,
        };
        if !filter.excludes(name, matches!(entry.kind, EntryKind::Directory { .. })) {
            self.len += name.len() + size_of::<(String, SourceKind)>();
            self.entries.push((name.to_owned(), kind));
        }
    }
}
