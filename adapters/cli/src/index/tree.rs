//! The files beneath a directory, as a server lists them.

use std::collections::BTreeMap;

use coracle::store::DirectoryStore;
use coracle_core::{EntryKind, FileName, Listed, Store, StoreError};

use crate::exit::print_error;

/// The files of a tree.
#[derive(Debug, Default)]
pub struct Tree {
    /// Their sizes, by their names.
    pub files: BTreeMap<String, u64>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Directories that could not be listed.
    pub failed: u64,
}

impl Tree {
    /// Lists all directories of `store`, but those behind links. Prints which cannot be.
    pub fn list(store: &DirectoryStore) -> Self {
        let mut tree = Self::default();
        let mut rest = vec![None];
        while let Some(path) = rest.pop() {
            if let Err(error) = tree.add(store, path.as_deref(), &mut rest) {
                // One that was removed meanwhile has no files.
                if error != StoreError::NotFound || path.is_none() {
                    tree.failed += 1;
                    print_error(format_args!("{}: {error}", path.as_deref().unwrap_or(".")));
                }
            }
        }
        tree
    }

    /// Leaves the file `name` out, if it is there.
    pub fn leave_out(&mut self, name: &str) {
        if let Some(size) = self.files.remove(name) {
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    /// Adds the files of the directory `path`, and its directories to `rest`.
    fn add(
        &mut self,
        mut store: &DirectoryStore,
        path: Option<&str>,
        rest: &mut Vec<Option<String>>,
    ) -> Result<(), StoreError> {
        let path = path.map(FileName::new).transpose().map_err(|_| StoreError::BadName)?;
        let mut listing = store.list(path)?;
        loop {
            match store.next(&mut listing)? {
                Listed::Entry(entry) => match entry.kind {
                    EntryKind::File { size, .. } => {
                        self.bytes = self.bytes.saturating_add(size);
                        self.files.insert(entry.name.as_str().to_owned(), size);
                    }
                    EntryKind::Directory { link: false } => rest.push(Some(entry.name.as_str().to_owned())),
                    _ => {}
                },
                Listed::End => return Ok(()),
                _ => {}
            }
        }
    }
}
