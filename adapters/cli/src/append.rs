//! `--append`: which files are only appended to.

use clap::{Args, ValueHint};
use coracle::store::{DirectoryStore, SingleFileStore};

use crate::filter::NamePattern;

/// Which files are only appended to.
#[derive(Clone, Debug, Args)]
pub struct AppendArgs {
    /// Promise that files whose names match are only appended to, as logs are: they can be fetched while they grow. May be
    /// given more than once; patterns as for --exclude of sync: '*.log' at any depth, '/var/*.log' from the top
    #[arg(long = "append", value_name = "GLOB", value_hint = ValueHint::Other)]
    patterns: Vec<NamePattern>,
}

impl AppendArgs {
    /// Whether there are any.
    pub fn is_given(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Tells `store` which of its files these are.
    pub fn apply(&self, store: DirectoryStore) -> DirectoryStore {
        if self.patterns.is_empty() {
            return store;
        }
        let patterns = self.patterns.clone();
        store.with_append_only(move |name| patterns.iter().any(|pattern| pattern.is_match(name.as_str())))
    }

    /// Tells `store` whether its file is one.
    pub fn apply_to_file(&self, store: SingleFileStore) -> SingleFileStore {
        let is_append_only = self.patterns.iter().any(|pattern| pattern.is_match(store.name().as_str()));
        store.with_append_only(is_append_only)
    }
}
