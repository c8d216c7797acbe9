//! `coracle sync --put`: makes a directory of the server's the same as a local one.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use coracle::client::{Client, Error, PutOptions, PutReplace};
use coracle::local::{Escaped, escape_path};
use coracle_core::{Code, Delete, EntryKind, FileName};

use super::limit::DeleteLimit;
use super::plan::{self, Deletion, LocalEntry, LocalKind, Plan, Source, SourceKind};
use super::source::{self, Listed};
use super::telling::{Counts, Telling};
use crate::client_args::ClientArgs;
use crate::exit::{Exit, print_error, report_failure};
use crate::filter::Filter;
use crate::progress::ProgressDisplay;
use crate::put::transfer::{self, Job, Transfer};
use crate::put::tree::{self, Entry, Kind, Walked, join};
use crate::put::{TREE_JOBS, report, summary::Summary};

/// What stands for that which a directory of the server's has and does not list, so that the directory is kept. No name that a
/// server lists begins like this.
const UNLISTED: &str = ".coracle-unlisted";

/// A local directory, and the one of the server's that is to become the same.
pub struct Outward<'a> {
    pub client_args: &'a ClientArgs,
    pub local: &'a Path,
    /// `None` for all that is served.
    pub root: Option<FileName<'a>>,
    pub filter: &'a Filter,
    /// How much may be deleted; `None`: nothing.
    pub deletes: Option<DeleteLimit>,
    /// Change nothing, and print what would be done.
    pub dry_run: bool,
    /// Compare contents, whatever size and time are.
    pub checksum: bool,
    pub telling: Telling,
    pub jobs: Option<u16>,
}

/// What is to be done, but for what is deleted.
#[derive(Debug, Default)]
struct Work {
    /// Files, and why each is sent.
    jobs: Vec<(Job, &'static str)>,
    /// Directories without files that are missing at the server, by their names there; each behind the one that it lies in.
    directories: Vec<String>,
    /// Files that the server lists with the same size and time.
    unchanged: Vec<(String, u64)>,
    exit: Option<Exit>,
}

pub fn run(outward: &Outward<'_>) -> Exit {
    let top = outward.root.map_or("", |root| root.as_str());
    let mut walked = tree::walk(outward.local, top, outward.filter);
    let walk_failure = report_walk(&walked);
    if walked.unreadable.iter().any(|(name, _, _)| name.is_empty()) {
        return Exit::LocalFile;
    }
    let mut client = outward.client_args.telling_client(outward.telling.quiet);
    let listed = match source::list(&mut client, outward.root, outward.filter, true) {
        Ok(listed) => listed,
        // It is made with the first thing in it.
        Err((_, Error::Refused { code: Some(Code::NotFound), .. })) if outward.root.is_some() => Listed::default(),
        Err((what, error)) => return report_failure(&what, &error),
    };
    let deletion_failure = match outward.deletes {
        None => None,
        Some(limit) => match delete(outward, &mut client, &walked, &listed, limit) {
            Ok(failure) => failure,
            Err(exit) => return exit,
        },
    };
    let mut work = work(outward, &mut walked, &listed);
    let (mut summary, send_failure) = if outward.dry_run {
        (preview(outward, &work), None)
    } else {
        let jobs = std::mem::take(&mut work.jobs).into_iter().map(|(job, _)| job).collect();
        let (summary, failure) = send(outward, jobs);
        (summary, failure.or_else(|| make_directories(&mut client, &work.directories)))
    };
    summary.unchanged += work.unchanged.len() as u64;
    let failures = [deletion_failure, send_failure, work.exit, walk_failure];
    let exit = failures.into_iter().flatten().next().unwrap_or(Exit::Done);
    if outward.telling.json {
        let told = work.unchanged.iter().try_for_each(|(name, size)| report::equal(name, *size));
        return told.and_then(|()| report::summary(&summary, exit)).map_or(Exit::LocalFile, |()| exit);
    }
    if outward.dry_run {
        outward.telling.say(format_args!("{summary:#}"));
    } else {
        outward.telling.say(&summary);
    }
    exit
}

/// Says what cannot be sent.
fn report_walk(walked: &Walked) -> Option<Exit> {
    for path in &walked.unnameable {
        print_error(format_args!("{} has a name that no server takes", escape_path(path)));
    }
    for (_, path, error) in &walked.unreadable {
        print_error(format_args!("cannot read {}: {error}", escape_path(path)));
    }
    for entry in walked.entries.iter().filter(|entry| entry.kind == Kind::Other) {
        print_error(format_args!("{} is neither a file nor a directory, and is left out", escape_path(&entry.path)));
    }
    let is_whole = walked.unnameable.is_empty() && walked.unreadable.is_empty();
    (!is_whole).then_some(Exit::LocalFile)
}

/// Deletes what is not in the local directory. Errs where nothing is to be sent either.
fn delete(
    outward: &Outward<'_>,
    client: &mut Client,
    walked: &Walked,
    listed: &Listed,
    limit: DeleteLimit,
) -> Result<Option<Exit>, Exit> {
    let shown_root = outward.root.map_or("/", |root| root.as_str());
    if listed.is_incomplete {
        print_error(format_args!("{shown_root}: not all of it can be listed, so nothing is deleted"));
        return Ok(Some(Exit::Refused));
    }
    let Plan { deletions, total } = plan::plan(&local_source(walked), &server_entries(listed), outward.filter);
    if deletions.is_empty() {
        return Ok(None);
    }
    if walked.entries.is_empty() {
        print_error(format_args!("{}: there is nothing in it, so nothing is deleted", escape_path(outward.local)));
        return Err(Exit::LocalFile);
    }
    if !limit.allows(deletions.len(), total) {
        let len = deletions.len();
        print_error(format_args!(
            "{len} of {total} entries of {shown_root} are not in {}, more than --max-delete {limit}: nothing is changed",
            escape_path(outward.local)
        ));
        return Err(Exit::LocalFile);
    }
    let counts = Counts::of(deletions.iter());
    let Telling { json, .. } = outward.telling;
    let name_of = |deletion: &Deletion| full_name(outward, &deletion.path.to_string_lossy());
    if outward.dry_run {
        for deletion in deletions.iter().rev() {
            if json {
                told(report::deleted(&name_of(deletion), true))?;
                continue;
            }
            let mark = if deletion.is_directory { "/" } else { "" };
            outward.telling.say(format_args!("delete {}{mark}", Escaped(&name_of(deletion))));
        }
        outward.telling.say(format_args!("{counts} would be deleted"));
        return Ok(None);
    }
    outward.telling.say(format_args!("{counts} not in {}: deleting", escape_path(outward.local)));
    let (mut deleted, mut failure) = (Vec::new(), None);
    for deletion in &deletions {
        let name = name_of(deletion);
        match delete_one(client, &name, deletion.is_directory) {
            Ok(()) => {
                deleted.push(deletion);
                if json {
                    told(report::deleted(&name, false))?;
                }
            }
            Err(error) => {
                let exit = report_failure(&name, &error);
                failure.get_or_insert(exit);
                if exit == Exit::Network {
                    return Err(exit);
                }
            }
        }
    }
    outward.telling.say(format_args!("{} deleted", Counts::of(deleted.into_iter())));
    Ok(failure)
}

/// Deletes what has `name`; what is gone already is no error.
fn delete_one(client: &mut Client, name: &str, is_directory: bool) -> Result<(), Error> {
    let name = file_name(name)?;
    let delete = if is_directory { Delete::Directory { path: name } } else { Delete::File { name, version: None } };
    match client.delete(delete) {
        Err(Error::Refused { code: Some(Code::NotFound), .. }) => Ok(()),
        deleted => deleted,
    }
}

/// The local directory as that which is mirrored.
fn local_source(walked: &Walked) -> Source {
    let kind = |kind| match kind {
        Kind::File { .. } => SourceKind::File,
        Kind::Directory => SourceKind::Directory { has_hidden: false },
        Kind::Other => SourceKind::Opaque,
    };
    let mut source: Source = walked.entries.iter().map(|entry| (entry.name.clone(), kind(entry.kind))).collect();
    source.insert(String::new(), SourceKind::Directory { has_hidden: false });
    // What is in them is unknown.
    source.extend(walked.unreadable.iter().map(|(name, _, _)| (name.clone(), SourceKind::Opaque)));
    source
}

/// What the server has as that which becomes the same, sorted.
fn server_entries(listed: &Listed) -> Vec<LocalEntry> {
    let kind = |kind| match kind {
        EntryKind::File { .. } => LocalKind::File,
        EntryKind::Directory { link: false } => LocalKind::Directory,
        _ => LocalKind::Closed,
    };
    let entries = listed.entries.iter().map(|(name, entry)| LocalEntry { path: name.into(), kind: kind(*entry) });
    let unlisted = listed.directories.iter().filter(|(_, listing)| listing.hidden > 0 || listing.skipped > 0);
    let unlisted =
        unlisted.map(|(name, _)| LocalEntry { path: Path::new(name).join(UNLISTED), kind: LocalKind::Other });
    let mut entries: Vec<LocalEntry> = entries.chain(unlisted).collect();
    entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    entries
}

/// What is to be sent and made.
fn work(outward: &Outward<'_>, walked: &mut Walked, listed: &Listed) -> Work {
    let there: HashMap<&str, EntryKind> = listed.entries.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let mut work = Work::default();
    let links: HashSet<PathBuf> = listed
        .entries
        .iter()
        .filter(|(_, kind)| *kind == EntryKind::Directory { link: true })
        .map(|(name, _)| PathBuf::from(name))
        .collect();
    let mut missing = Vec::new();
    for Entry { path, name, kind } in std::mem::take(&mut walked.entries) {
        if kind == Kind::Directory && links.contains(Path::new(&name)) {
            let name = full_name(outward, &name);
            print_error(format_args!("{}: a link at the server, which is not followed", Escaped(&name)));
            work.exit.get_or_insert(Exit::Refused);
        }
        if Path::new(&name).ancestors().any(|ancestor| links.contains(ancestor)) && kind != Kind::Other {
            continue;
        }
        match (kind, there.get(name.as_str())) {
            (Kind::Other, _) | (Kind::Directory, Some(EntryKind::Directory { .. })) => {}
            (Kind::Directory, _) => missing.push(name),
            (
                Kind::File { size, modified: Some(time) },
                Some(EntryKind::File { size: other, modified: Some(then) }),
            ) if !outward.checksum && size == *other && time == *then => {
                work.unchanged.push((full_name(outward, &name), size));
            }
            (Kind::File { size, .. }, there) => {
                let reason = if there.is_some() { "changed" } else { "new" };
                work.jobs.push((Job::new(path, full_name(outward, &name), size), reason));
            }
        }
    }
    // A file makes the directories that it lies in.
    let made: HashSet<&Path> = work.jobs.iter().flat_map(|(job, _)| Path::new(&job.name).ancestors().skip(1)).collect();
    let missing = missing.iter().map(|name| full_name(outward, name));
    work.directories = missing.filter(|name| !made.contains(Path::new(name))).collect();
    if let Some(root) =
        outward.root.filter(|root| listed.directories.is_empty() && !made.contains(Path::new(root.as_str())))
    {
        work.directories.insert(0, root.as_str().to_owned());
    }
    work
}

fn preview(outward: &Outward<'_>, work: &Work) -> Summary {
    let mut summary = Summary::default();
    for (job, reason) in &work.jobs {
        summary.sent += 1;
        summary.bytes += job.size;
        if outward.telling.json {
            // Where nobody listens, nothing is lost.
            drop(report::would_send(&job.name, &job.path, job.size, reason));
        }
        outward.telling.say(format_args!("send {} ({reason}, {} bytes)", Escaped(&job.name), job.size));
    }
    for name in &work.directories {
        outward.telling.say(format_args!("make {}/", Escaped(name)));
    }
    summary
}

fn send(outward: &Outward<'_>, jobs: Vec<Job>) -> (Summary, Option<Exit>) {
    let transfer = Transfer {
        client_args: outward.client_args,
        // What is told tells versions, which are not known of what is durable later.
        options: PutOptions::new()
            .with_replace(PutReplace::Anything)
            .with_parents(true)
            .with_deferred(!outward.telling.json),
        display: ProgressDisplay::of_tree(outward.telling.quiet),
        json: outward.telling.json,
        tells_each: false,
    };
    transfer::run(&transfer, jobs, usize::from(outward.jobs.unwrap_or(TREE_JOBS)))
}

fn make_directories(client: &mut Client, directories: &[String]) -> Option<Exit> {
    let mut failure = None;
    for name in directories {
        if let Err(error) = file_name(name).and_then(|path| client.make_dir(path)) {
            let exit = report_failure(name, &error);
            failure.get_or_insert(exit);
            if exit == Exit::Network {
                break;
            }
        }
    }
    failure
}

/// The name at the server of what is `below` the directory.
fn full_name(outward: &Outward<'_>, below: &str) -> String {
    join(outward.root.map_or("", |root| root.as_str()), below)
}

fn file_name(name: &str) -> Result<FileName<'_>, Error> {
    FileName::new(name).map_err(|_| Error::Read(io::ErrorKind::InvalidFilename.into()))
}

/// Ends the run where its report cannot be written.
fn told(told: io::Result<()>) -> Result<(), Exit> {
    told.map_err(|_| Exit::LocalFile)
}
