//! A directory of the server, as it is listed: it is created here, and tasks are made of its entries.

use std::sync::Arc;

use coracle::client::{Error, PipelineRequest};
use coracle::local::Directory;
use coracle_core::{Code, Entry, EntryKind, Listing};

use super::file::parse_name;
use super::known::Listed;
use super::task::{Context, FileTask, Task, TaskOutcome};
use crate::progress::FileBar;

/// The memory that waiting tasks may occupy, in bytes: enough for two million files.
pub const PENDING_MAX: usize = 256 * 1024 * 1024;

/// More links than this on the way to a directory lead in a circle.
const LINKS_MAX: u32 = 8;

/// What has been listed of a directory.
#[derive(Default)]
pub struct Found {
    tasks: Vec<Task>,
    len: usize,
    links: u64,
    not_newer: u64,
    /// Created with the first entry, since the path may be no directory.
    created: Option<Arc<Directory>>,
}

/// The request for the directory that `task` names.
pub fn request(task: &Task) -> Result<PipelineRequest<FileBar>, Error> {
    Ok(PipelineRequest::list(path(task).map(parse_name).transpose()?))
}

/// The outcome of `task`, if it is a directory that was listed before.
pub fn listed(context: &Context<'_>, task: &Task) -> Option<Result<TaskOutcome, Error>> {
    let directory = context.listed.get(path(task).unwrap_or_default())?;
    let mut found = Found::default();
    for (name, kind) in &directory.entries {
        if let Err(error) = parse_name(name).and_then(|name| found.add(context, task, Entry::new(name, *kind))) {
            return Some(Err(error));
        }
    }
    Some(found.finish(context, task, directory.listing))
}

/// The file that `task` names, where it was refused as no directory.
pub fn as_file(context: &Context<'_>, task: &Task, error: &Error) -> Option<FileTask> {
    match (task, error) {
        (Task::Named { name: Some(name), .. }, Error::Refused { code: Some(Code::NotDirectory), .. }) => {
            Some(FileTask {
                name: name.clone(),
                directory: context.root.clone(),
                leaf: None,
                listed: Listed::default(),
            })
        }
        _ => None,
    }
}

impl Found {
    /// Adds an entry of the directory that `task` names.
    pub fn add(&mut self, context: &Context<'_>, task: &Task, entry: Entry<'_>) -> Result<(), Error> {
        let (local, links) = destination(task);
        let leaf = entry.name.last();
        let top_len = top_len(task);
        let below = entry.name.as_str().get(top_len..).unwrap_or(leaf);
        if context.filter.excludes(below, matches!(entry.kind, EntryKind::Directory { .. })) {
            return Ok(());
        }
        let task = match entry.kind {
            EntryKind::File { modified, .. } if context.newer.is_some_and(|newer| !newer.includes(modified)) => {
                self.not_newer += 1;
                return Ok(());
            }
            EntryKind::File { size, modified } => {
                let directory = match &mut self.created {
                    Some(directory) => directory,
                    none => none.insert(open(context, local)?),
                };
                let (name, directory) = (entry.name.as_str().to_owned(), directory.clone());
                Task::File(FileTask { name, directory, leaf: None, listed: Listed { size: Some(size), modified } })
            }
            EntryKind::Directory { link } if link && (!context.follow_links || links == LINKS_MAX) => {
                self.links += 1;
                return Ok(());
            }
            EntryKind::Directory { link } => Task::Directory {
                name: entry.name.as_str().to_owned(),
                local: local.map_or_else(|| leaf.to_owned(), |local| format!("{local}/{leaf}")),
                top_len,
                links: links + u32::from(link),
            },
            // No kind that this version can fetch.
            _ => return Ok(()),
        };
        self.len += task.len();
        if self.len > PENDING_MAX {
            return Err(Error::ListingTooLarge { limit: PENDING_MAX });
        }
        self.tasks.push(task);
        Ok(())
    }

    /// The tasks of a listing that is complete.
    pub fn finish(mut self, context: &Context<'_>, task: &Task, listing: Listing) -> Result<TaskOutcome, Error> {
        if self.created.is_none() {
            open(context, destination(task).0)?;
        }
        // Files first, so that few directories are open at a time.
        self.tasks.sort_by_key(|task| matches!(task, Task::Directory { .. }));
        let missing = listing.missing();
        let Listing { skipped, hidden, .. } = listing;
        let Self { tasks, links, not_newer, .. } = self;
        Ok(TaskOutcome::Listed { tasks, skipped, missing, hidden, not_newer, links })
    }
}

/// The path at the server; `None` for the root.
fn path(task: &Task) -> Option<&str> {
    match task {
        Task::Named { name, .. } => name.as_deref(),
        Task::Directory { name, .. } => Some(name),
        Task::File(file) => Some(&file.name),
    }
}

/// How many bytes of the names of entries are that of the argument they come of, with the `/` behind it.
fn top_len(task: &Task) -> usize {
    match task {
        Task::Named { name, .. } => name.as_ref().map_or(0, |name| name.len() + 1),
        Task::Directory { top_len, .. } => *top_len,
        Task::File(_) => 0,
    }
}

/// The local path below the root, and how many links lead there.
fn destination(task: &Task) -> (Option<&str>, u32) {
    match task {
        Task::Named { local, .. } => (local.as_deref(), 0),
        Task::Directory { local, links, .. } => (Some(local), *links),
        Task::File(_) => (None, 0),
    }
}

fn open(context: &Context<'_>, local: Option<&str>) -> Result<Arc<Directory>, Error> {
    match local {
        None => Ok(context.root.clone()),
        Some(local) => Ok(Arc::new(context.root.open_below(parse_name(local)?)?)),
    }
}
