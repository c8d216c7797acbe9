//! Lists a directory of the server, creates it here, and makes tasks of its entries.

use std::sync::Arc;

use coracle::client::{Client, Error};
use coracle::local::Directory;
use coracle_core::{Code, EntryKind, FileName};

use super::file::{self, parse_name};
use super::known::Listed;
use super::task::{Context, FileTask, Task, TaskOutcome};

/// The memory that waiting tasks may occupy, in bytes: enough for two million files.
pub const PENDING_MAX: usize = 256 * 1024 * 1024;

/// More links than this on the way to a directory lead in a circle.
const LINKS_MAX: u32 = 8;

/// Processes an argument of `-r`, which names a directory or a file.
pub fn named(
    context: &Context<'_>,
    client: &mut Client,
    name: Option<&str>,
    local: Option<&str>,
) -> Result<TaskOutcome, Error> {
    let path = name.map(parse_name).transpose()?;
    match (list(context, client, path, local, 0), path) {
        (Err(Error::Refused { code: Some(Code::NotDirectory), .. }), Some(path)) => {
            let (name, directory) = (path.as_str().to_owned(), context.root.clone());
            let task = FileTask { name, directory, leaf: None, listed: Listed::default() };
            file::fetch(context, client, &task)
        }
        (listed, _) => listed,
    }
}

/// Processes a directory that was listed.
pub fn directory(
    context: &Context<'_>,
    client: &mut Client,
    name: &str,
    local: &str,
    links: u32,
) -> Result<TaskOutcome, Error> {
    list(context, client, Some(parse_name(name)?), Some(local), links)
}

#[derive(Default)]
struct Found {
    tasks: Vec<Task>,
    len: usize,
    links: u64,
}

fn list(
    context: &Context<'_>,
    client: &mut Client,
    path: Option<FileName<'_>>,
    local: Option<&str>,
    links: u32,
) -> Result<TaskOutcome, Error> {
    context.store.ask_clock(client)?;
    // Created with the first entry, since the path may be no directory.
    let mut created: Option<Arc<Directory>> = None;
    let mut found = Found::default();
    let clear = |found: &mut Found| *found = Found::default();
    let listing = client.list_into(path, &mut found, clear, |found, entry| {
        let leaf = entry.name.last();
        let task = match entry.kind {
            EntryKind::File { size, modified } => {
                let directory = match &mut created {
                    Some(directory) => directory,
                    none => none.insert(open(context, local)?),
                };
                let (name, directory) = (entry.name.as_str().to_owned(), directory.clone());
                Task::File(FileTask { name, directory, leaf: None, listed: Listed { size: Some(size), modified } })
            }
            EntryKind::Directory { link } if link && (!context.follow_links || links == LINKS_MAX) => {
                found.links += 1;
                return Ok(());
            }
            EntryKind::Directory { link } => Task::Directory {
                name: entry.name.as_str().to_owned(),
                local: local.map_or_else(|| leaf.to_owned(), |local| format!("{local}/{leaf}")),
                links: links + u32::from(link),
            },
            // No kind that this version can fetch.
            _ => return Ok(()),
        };
        found.len += task.len();
        if found.len > PENDING_MAX {
            return Err(Error::ListingTooLarge { limit: PENDING_MAX });
        }
        found.tasks.push(task);
        Ok(())
    })?;
    if created.is_none() {
        open(context, local)?;
    }
    // Files first, so that few directories are open at a time.
    found.tasks.sort_by_key(|task| matches!(task, Task::Directory { .. }));
    Ok(TaskOutcome::Listed { tasks: found.tasks, skipped: listing.skipped, links: found.links })
}

fn open(context: &Context<'_>, local: Option<&str>) -> Result<Arc<Directory>, Error> {
    match local {
        None => Ok(context.root.clone()),
        Some(local) => Ok(Arc::new(context.root.open_below(parse_name(local)?)?)),
    }
}
