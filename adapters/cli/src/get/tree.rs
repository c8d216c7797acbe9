//! Directories: what is in them, where it goes, and what of it is here already.

use std::sync::Arc;

use coracle::client::{Client, Error};
use coracle::local::{Directory, DownloadTarget, LocalError, Naming};
use coracle_core::{Code, Digest, DigestKind, EntryKind, FileName, Hasher, Violation};

use super::work::{Job, Outcome, Task, file};

/// What waits to be fetched is remembered up to this many bytes: some two million files.
pub const PENDING_MAX: usize = 256 * 1024 * 1024;

/// More links than this on the way to a directory lead in a circle.
const LINKS_MAX: u32 = 8;

/// Does what the user named, be it a directory or a file.
pub fn named(job: &Job<'_>, client: &mut Client, name: Option<&str>, local: Option<&str>) -> Result<Outcome, Error> {
    let path = name.map(file_name).transpose()?;
    match (list(job, client, path, local, 0), path) {
        (Err(Error::Refused { code: Some(Code::NotDirectory), .. }), Some(path)) => {
            file(job, client, path.as_str(), &job.root, None, Naming::Several, None)
        }
        (listed, _) => listed,
    }
}

/// Makes the directory here, and finds out what is in it there.
pub fn directory(job: &Job<'_>, client: &mut Client, name: &str, local: &str, links: u32) -> Result<Outcome, Error> {
    list(job, client, Some(file_name(name)?), Some(local), links)
}

/// Whether what stands at `place` has the server's size and digest.
pub fn is_equal(
    client: &mut Client,
    name: FileName<'_>,
    place: &DownloadTarget,
    size: Option<u64>,
    digest: Option<DigestKind>,
) -> Result<bool, Error> {
    let Some(status) = place.status()? else { return Ok(false) };
    if size.is_some_and(|size| size != status.size) {
        return Ok(false);
    }
    let kind = digest.unwrap_or(DigestKind::Crc32);
    let header = client.stat(name, Some(kind))?;
    if header.size != status.size || header.digest.is_none() || header.digest != digest_of(place, kind)? {
        return Ok(false);
    }
    // A sidecar may be left over from a run that ended right behind the rename; looking for it removes it.
    place.find()?;
    Ok(true)
}

struct Found {
    tasks: Vec<Task>,
    len: usize,
    links: u64,
}

fn list(
    job: &Job<'_>,
    client: &mut Client,
    path: Option<FileName<'_>>,
    local: Option<&str>,
    links: u32,
) -> Result<Outcome, Error> {
    // Only a directory that is there is made here.
    let mut here: Option<Arc<Directory>> = None;
    let mut found = Found { tasks: Vec::new(), len: 0, links: 0 };
    let forget = |found: &mut Found| *found = Found { tasks: Vec::new(), len: 0, links: 0 };
    let listing = client.list_whole(path, &mut found, forget, |found, entry| {
        let leaf = entry.name.last();
        let task = match entry.kind {
            EntryKind::File { size, .. } => {
                let here = match &mut here {
                    Some(here) => here,
                    here => here.insert(open(job, local)?),
                };
                let name = entry.name.as_str().to_owned();
                Task::File { name, directory: here.clone(), leaf: None, naming: Naming::Several, size: Some(size) }
            }
            EntryKind::Directory { link } if link && (!job.follow_links || links == LINKS_MAX) => {
                found.links += 1;
                return Ok(());
            }
            EntryKind::Directory { link } => Task::Directory {
                name: entry.name.as_str().to_owned(),
                local: local.map_or_else(|| leaf.to_owned(), |local| format!("{local}/{leaf}")),
                links: links + u32::from(link),
            },
        };
        found.len += task.len();
        if found.len > PENDING_MAX {
            return Err(Error::TooMany { limit: PENDING_MAX });
        }
        found.tasks.push(task);
        Ok(())
    })?;
    if here.is_none() {
        open(job, local)?;
    }
    // Files first: then few directories are open at a time.
    found.tasks.sort_by_key(|task| matches!(task, Task::Directory { .. }));
    Ok(Outcome::Listed { tasks: found.tasks, left_out: listing.skipped, links: found.links })
}

fn open(job: &Job<'_>, local: Option<&str>) -> Result<Arc<Directory>, Error> {
    match local {
        None => Ok(job.root.clone()),
        Some(local) => Ok(Arc::new(job.root.open_below(file_name(local)?)?)),
    }
}

/// Paths here are made of components that were checked.
pub fn file_name(path: &str) -> Result<FileName<'_>, Error> {
    FileName::new(path).map_err(|_| Error::Violation(Violation::EntryName))
}

fn digest_of(place: &DownloadTarget, kind: DigestKind) -> Result<Option<Digest>, Error> {
    let (Some(file), Some(mut hasher)) = (place.open_target()?, Hasher::new(kind)) else { return Ok(None) };
    let mut buf = vec![0; 256 * 1024];
    let mut reader = file;
    loop {
        match std::io::Read::read(&mut reader, &mut buf) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(len) => hasher.update(&buf[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LocalError::Io { doing: "read", path: place.path(), error }.into()),
        }
    }
}
