//! Directories that were listed before the fetch begins.

use std::collections::HashMap;

use coracle_core::{EntryKind, Listing};

/// What was listed to its end, by the names of the directories at the server; the root has the empty one.
#[derive(Debug, Default)]
pub struct ListedTree(HashMap<String, ListedDirectory>);

/// What is in a directory.
#[derive(Debug)]
pub struct ListedDirectory {
    /// By names at the server.
    pub entries: Vec<(String, EntryKind)>,
    pub listing: Listing,
}

impl ListedTree {
    pub fn new(directories: HashMap<String, ListedDirectory>) -> Self {
        Self(directories)
    }

    /// The directory `name`, if it was listed.
    pub fn get(&self, name: &str) -> Option<&ListedDirectory> {
        self.0.get(name)
    }
}
