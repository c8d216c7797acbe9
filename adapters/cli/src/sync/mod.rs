//! `coracle sync`: makes a local directory the same as one of the server's, or one of the server's the same as a local one.

mod limit;
mod local_tree;
mod outward;
mod plan;
mod source;
mod telling;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use clap::{Args, ValueHint};
use coracle::local::escape_path;
use coracle_core::FileName;

use self::limit::DeleteLimit;
use self::local_tree::LocalTree;
use self::outward::Outward;
use self::telling::{Counts, Telling};
use crate::client_args::{ClientArgs, DigestArg};
use crate::exit::{Exit, print_error, report_failure};
use crate::filter::{self, Filter};
use crate::get::{self, Fsync, ListedTree, report};
use crate::names::{parse_path, tidy};

/// Make a local directory the same as one of the server's, or the other way round
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{LONG_HELP}\n\n{}\n\n{}", filter::HELP, report::HELP))]
pub struct Sync {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// The directory at the server, '/' for all that is served; with --put the local directory
    #[arg(value_name = "FROM", value_hint = ValueHint::DirPath)]
    from: OsString,

    /// The local directory, with --put that at the server, which becomes the same. It is created where it is missing, and
    /// files that were changed in it are replaced
    #[arg(value_name = "TO", value_hint = ValueHint::DirPath)]
    to: OsString,

    /// Send: make the directory at the server the same as the local one
    #[arg(long, conflicts_with_all = ["digest", "fsync"])]
    put: bool,

    /// Also delete what is not in FROM
    #[arg(long)]
    delete: bool,

    /// Change nothing where more than N entries, or N% of those in TO, would be deleted [default: 50%, and 10 in any case]
    #[arg(long, value_name = "N|N%", requires = "delete", value_hint = ValueHint::Other)]
    max_delete: Option<DeleteLimit>,

    /// Change nothing, and print what would be deleted and fetched or sent
    #[arg(long)]
    dry_run: bool,

    /// Write a line of JSON for each file and each deletion, and one at the end; --help describes them
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: Filter,

    /// The digest that verifies the files
    #[arg(long, value_enum, default_value_t = DigestArg::Crc32)]
    digest: DigestArg,

    /// When files are made durable
    #[arg(long, value_enum, value_name = "WHEN", default_value = "batch")]
    fsync: Fsync,

    /// Compare the digests of files that are here, not only sizes and times
    #[arg(long)]
    checksum: bool,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,

    /// Also tell what the file system here cannot do, and what that means: locks, syncs of directories
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,

    /// Fetch or send this many files at once, each over a connection of its own [default: 1; 16 with --put]
    #[arg(short, long, value_name = "N", value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
}

impl Sync {
    /// The local directory of a mirror of the server's.
    fn local(&self) -> &Path {
        Path::new(&self.to)
    }

    fn telling(&self) -> Telling {
        Telling { json: self.json, quiet: self.quiet }
    }
}

const EXAMPLES: &str = "\
Examples:
  coracle sync board-7 logs /srv/logs              what is new or changed; deletes nothing
  coracle sync board-7 logs /srv/logs --delete     deletes what is not at the server, too
  coracle sync board-7 / here --delete --dry-run   only says what would be done
  coracle sync nas / /mirror --delete --max-delete 10% --exclude cache/
  coracle sync --put nas /srv/logs backup/logs     the other way: sends what is new or changed";

const LONG_HELP: &str = "\
What is deleted is deleted before anything is fetched. Nothing is deleted
  - unless all of the server's directory was listed to its end, and all files in it can be
    served,
  - where FROM is empty,
  - where it would be more than --max-delete allows: then nothing is fetched or sent either.

Never deleted are
  - what --exclude matches, and unfinished downloads ('.coracle-...'),
  - names that begin with a dot, in a directory of which the server hides some,
  - what lies behind a link to a directory of the server's, which is not followed,
  - what is on another file system that is mounted beneath a local TO,
  - anything outside of TO: a symbolic link is deleted itself,
and directories in which such a thing lies.

With --delete, a file in TO that is a directory in FROM makes room for it, and a directory
for a file.

With --put a file is sent unless the server lists it with the same size and the same time in
seconds, and with --checksum unless it has the same contents. Local links are neither
followed nor sent, and what has their names at the server is kept.";

pub fn run(args: &Sync) -> Exit {
    let directory: &OsStr = if args.put { &args.to } else { &args.from };
    let Some(directory) = directory.to_str() else {
        print_error(format_args!("{} is no name that a server takes", escape_path(Path::new(directory))));
        return Exit::Usage;
    };
    let name = tidy(directory);
    let root = match parse_path(&name) {
        Ok(root) => root,
        Err(exit) => return exit,
    };
    if args.put {
        return outward::run(&Outward {
            client_args: &args.client_args,
            local: Path::new(&args.from),
            root,
            filter: &args.filter,
            deletes: args.delete.then(|| args.max_delete.unwrap_or(DeleteLimit::Usual)),
            dry_run: args.dry_run,
            checksum: args.checksum,
            telling: args.telling(),
            jobs: args.jobs,
        });
    }
    let deleted = if args.delete { delete_absent(args, root) } else { Ok((Exit::Done, ListedTree::default())) };
    let (deleted, listed) = match deleted {
        Ok(deleted) => deleted,
        Err(exit) => return exit,
    };
    let fetched = get::mirror(get::Mirror {
        client_args: &args.client_args,
        name: root.map(|root| root.as_str().to_owned()),
        local: args.local(),
        digest: args.digest,
        fsync: args.fsync,
        checksum: args.checksum,
        filter: &args.filter,
        dry_run: args.dry_run,
        json: args.json,
        quiet: args.quiet,
        verbose: args.verbose,
        jobs: args.jobs.unwrap_or(1),
        listed,
    });
    if deleted == Exit::Done { fetched } else { deleted }
}

/// Deletes what the server does not have. Returns what was listed for that; errs where nothing is to be fetched either.
fn delete_absent(args: &Sync, root: Option<FileName<'_>>) -> Result<(Exit, ListedTree), Exit> {
    let mut tree = match LocalTree::open(args.local()) {
        Ok(Some(tree)) => tree,
        Ok(None) => return Ok((Exit::Done, ListedTree::default())),
        Err(error) => return Err(fail(args, Path::new(""), "open directory", &error)),
    };
    let shown_root = root.map_or("/", FileName::as_str);
    let listed = source::list(&mut args.client_args.client(), root, &args.filter, false);
    let listed = listed.map_err(|(what, error)| report_failure(&what, &error))?;
    let (source, is_incomplete) = (listed.source(), listed.is_incomplete);
    let listed = listed.into_tree(root);
    if is_incomplete {
        print_error(format_args!("{shown_root}: not all of it can be listed, so nothing is deleted"));
        return Ok((Exit::Refused, listed));
    }
    let walked = tree.walk().map_err(|error| fail(args, Path::new(""), "read directory", &error))?;
    let mut exit = Exit::Done;
    for (path, error) in &walked.unreadable {
        exit = fail(args, path, "read directory", error);
    }
    let plan = plan::plan(&source, &walked.entries, &args.filter);
    let counts = Counts::of(plan.deletions.iter());
    if plan.deletions.is_empty() {
        return Ok((exit, listed));
    }
    if source.len() <= 1 {
        print_error(format_args!("{shown_root}: there is nothing in it, so nothing is deleted"));
        return Err(Exit::LocalFile);
    }
    let limit = args.max_delete.unwrap_or(DeleteLimit::Usual);
    if !limit.allows(plan.deletions.len(), plan.total) {
        let len = plan.deletions.len();
        print_error(format_args!(
            "{len} of {} entries of {} are not at the server, more than --max-delete {limit}: nothing is changed",
            plan.total,
            escape_path(args.local())
        ));
        return Err(Exit::LocalFile);
    }
    if args.dry_run {
        for deletion in plan.deletions.iter().rev() {
            if args.json {
                told(report::deleted(&args.local().join(&deletion.path), true))?;
                continue;
            }
            let mark = if deletion.is_directory { "/" } else { "" };
            args.telling().say(format_args!("delete {}{mark}", escape_path(&deletion.path)));
        }
        args.telling().say(format_args!("{counts} would be deleted"));
        return Ok((exit, listed));
    }
    args.telling().say(format_args!("{counts} not at the server: deleting"));
    let mut deleted = Vec::new();
    for deletion in &plan.deletions {
        match tree.delete(deletion) {
            Ok(()) => {
                deleted.push(deletion);
                if args.json {
                    told(report::deleted(&args.local().join(&deletion.path), false))?;
                }
            }
            Err(error) => exit = fail(args, &deletion.path, "delete", &error),
        }
    }
    args.telling().say(format_args!("{} deleted", Counts::of(deleted.into_iter())));
    Ok((exit, listed))
}

/// Ends the run where its report cannot be written.
fn told(told: io::Result<()>) -> Result<(), Exit> {
    told.map_err(report::cannot_tell)
}

fn fail(args: &Sync, path: &Path, doing: &str, error: &io::Error) -> Exit {
    print_error(format_args!("cannot {doing} {}: {error}", escape_path(&args.local().join(path))));
    Exit::LocalFile
}
