//! A task of `coracle get`: a directory or a file to fetch, and its outcome.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use coracle::client::{GetOptions, GetSummary};
use coracle::local::Directory;

use super::known::Listed;
use super::listed::ListedTree;
use super::newer::NewerArg;
use super::store::Store;
use crate::client_args::ClientArgs;
use crate::filter::Filter;
use crate::progress::ProgressDisplay;

/// What all tasks of a run share.
pub struct Context<'a> {
    pub client_args: &'a ClientArgs,
    pub options: GetOptions,
    pub recursive: bool,
    pub follow_links: bool,
    /// With `-r`, what of a tree is meant.
    pub filter: Filter,
    /// A file that was not modified later is left out.
    pub newer: Option<NewerArg>,
    /// What becomes of each file is told in JSON.
    pub json: bool,
    /// Only errors are printed.
    pub quiet: bool,
    /// What was gone without is told.
    pub verbose: bool,
    /// The directory that files are fetched to.
    pub root: Arc<Directory>,
    /// What was fetched there.
    pub store: Store,
    /// Directories that need not be listed.
    pub listed: ListedTree,
    pub display: ProgressDisplay,
}

/// A directory or a file to fetch.
#[derive(Debug)]
pub enum Task {
    /// An argument of `-r`: a directory or a file.
    Named {
        /// Its name at the server; `None`: all that is served.
        name: Option<String>,
        /// The local path below the root; `None`: its contents go to the root itself.
        local: Option<String>,
    },
    /// A directory that was listed.
    Directory {
        /// Its name at the server.
        name: String,
        /// The local path below the root.
        local: String,
        /// How many bytes of `name` are that of the argument it comes of, with the `/` behind it.
        top_len: usize,
        /// How many symbolic links were followed to get to it.
        links: u32,
    },
    /// A file.
    File(FileTask),
}

/// A file to fetch.
#[derive(Debug)]
pub struct FileTask {
    /// Its name at the server.
    pub name: String,
    /// The local directory.
    pub directory: Arc<Directory>,
    /// The local name; `None`: the last component of its name at the server.
    pub leaf: Option<OsString>,
    /// What was listed of it.
    pub listed: Listed,
}

impl FileTask {
    /// The local path.
    pub fn path(&self) -> PathBuf {
        let leaf = self.name.rsplit('/').next().unwrap_or_default();
        self.directory.path_of(self.leaf.as_deref().unwrap_or(leaf.as_ref()))
    }
}

/// How a task ended.
pub enum TaskOutcome {
    /// A file was fetched.
    Fetched(GetSummary),
    /// The local file is equal already.
    Unchanged,
    /// It is not new enough.
    NotNewer,
    /// A directory was listed.
    Listed {
        /// What it contains, in the order in which it is to be fetched.
        tasks: Vec<Task>,
        /// Entries that the server cannot serve.
        skipped: u64,
        /// How many of them are files or directories, or may be some.
        missing: u64,
        /// Entries that the server keeps hidden.
        hidden: u64,
        /// Files that are not new enough.
        not_newer: u64,
        /// Links to directories that are not followed.
        links: u64,
    },
}

impl Task {
    /// The name at the server, for messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Named { name, .. } => name.as_deref().unwrap_or("/"),
            Self::Directory { name, .. } | Self::File(FileTask { name, .. }) => name,
        }
    }

    /// The memory that it occupies, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Named { .. } => 0,
            Self::Directory { name, local, .. } => name.len() + local.len() + size_of::<Self>(),
            Self::File(file) => file.name.len() + size_of::<Self>(),
        }
    }
}
