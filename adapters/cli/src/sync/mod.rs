//! `coracle sync`: makes a local directory the same as one of the server's.

mod limit;
mod local_tree;
mod plan;
mod source;

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use coracle::local::escape_path;
use coracle_core::FileName;

use self::limit::DeleteLimit;
use self::local_tree::LocalTree;
use self::plan::Deletion;
use self::source::Listed;
use crate::client_args::{ClientArgs, DigestArg};
use crate::exit::{Exit, print_error};
use crate::filter::{self, Filter};
use crate::get::{self, Fsync, report};
use crate::names::{parse_path, tidy};

/// Make a local directory the same as one of the server's
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{LONG_HELP}\n\n{}\n\n{}", filter::HELP, report::HELP))]
pub struct Sync {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// The directory at the server; '/' for all that is served
    #[arg(value_name = "DIR", value_hint = ValueHint::Other)]
    directory: String,

    /// The local directory, which is created where it is missing. Files that were changed here are replaced
    #[arg(value_name = "LOCAL", value_hint = ValueHint::DirPath)]
    local: PathBuf,

    /// Also delete what is not at the server
    #[arg(long)]
    delete: bool,

    /// Change nothing where more than N entries, or N% of those in LOCAL, would be deleted [default: 50%, and 10 in any case]
    #[arg(long, value_name = "N|N%", requires = "delete", value_hint = ValueHint::Other)]
    max_delete: Option<DeleteLimit>,

    /// Change nothing, and print what would be deleted and fetched
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

    /// Fetch this many files at once, each over a connection of its own
    #[arg(short, long, value_name = "N", default_value_t = 1, value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

const EXAMPLES: &str = "\
Examples:
  coracle sync board-7 logs /srv/logs              what is new or changed; deletes nothing
  coracle sync board-7 logs /srv/logs --delete     deletes what is not at the server, too
  coracle sync board-7 / here --delete --dry-run   only says what would be done
  coracle sync nas / /mirror --delete --max-delete 10% --exclude cache/";

const LONG_HELP: &str = "\
What is deleted is deleted before anything is fetched. Nothing is deleted
  - unless all of DIR was listed to its end, and all files in it can be served,
  - where DIR is empty,
  - where it would be more than --max-delete allows: then nothing is fetched either.

Never deleted are
  - what --exclude matches, and unfinished downloads ('.coracle-...'),
  - names that begin with a dot, in a directory of which the server hides some,
  - what lies behind a link to a directory of the server's, which is not followed,
  - what is on another file system that is mounted beneath LOCAL,
  - anything outside of LOCAL: a symbolic link is deleted itself,
and directories in which such a thing lies.

With --delete, a file here that is a directory there makes room for it, and a directory
for a file.";

pub fn run(args: &Sync) -> Exit {
    let name = tidy(&args.directory);
    let root = match parse_path(&name) {
        Ok(root) => root,
        Err(exit) => return exit,
    };
    let deleted = if args.delete { delete_absent(args, root) } else { Ok(Exit::Done) };
    let deleted = match deleted {
        Ok(exit) => exit,
        Err(exit) => return exit,
    };
    let fetched = get::mirror(&get::Mirror {
        client_args: &args.client_args,
        name: root.map(|root| root.as_str().to_owned()),
        local: &args.local,
        digest: args.digest,
        fsync: args.fsync,
        checksum: args.checksum,
        filter: &args.filter,
        dry_run: args.dry_run,
        json: args.json,
        quiet: args.quiet,
        verbose: args.verbose,
        jobs: args.jobs,
    });
    if deleted == Exit::Done { fetched } else { deleted }
}

/// Deletes what the server does not have. Errs where nothing is to be fetched either.
fn delete_absent(args: &Sync, root: Option<FileName<'_>>) -> Result<Exit, Exit> {
    let mut tree = match LocalTree::open(&args.local) {
        Ok(Some(tree)) => tree,
        Ok(None) => return Ok(Exit::Done),
        Err(error) => return Err(fail(args, Path::new(""), "open directory", &error)),
    };
    let shown_root = root.map_or("/", FileName::as_str);
    let Listed { source, is_incomplete } = source::list(&mut args.client_args.client(), root, &args.filter)?;
    if is_incomplete {
        print_error(format_args!("{shown_root}: not all of it can be listed, so nothing is deleted"));
        return Ok(Exit::Refused);
    }
    let walked = tree.walk().map_err(|error| fail(args, Path::new(""), "read directory", &error))?;
    let mut exit = Exit::Done;
    for (path, error) in &walked.unreadable {
        exit = fail(args, path, "read directory", error);
    }
    let plan = plan::plan(&source, &walked.entries, &args.filter);
    let counts = Counts::of(plan.deletions.iter());
    if plan.deletions.is_empty() {
        return Ok(exit);
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
            escape_path(&args.local)
        ));
        return Err(Exit::LocalFile);
    }
    if args.dry_run {
        for deletion in plan.deletions.iter().rev() {
            if args.json {
                told(report::deleted(&args.local.join(&deletion.path), true))?;
                continue;
            }
            let mark = if deletion.is_directory { "/" } else { "" };
            say(args, format_args!("delete {}{mark}", escape_path(&deletion.path)));
        }
        say(args, format_args!("{counts} would be deleted"));
        return Ok(exit);
    }
    say(args, format_args!("{counts} not at the server: deleting"));
    let mut deleted = Vec::new();
    for deletion in &plan.deletions {
        match tree.delete(deletion) {
            Ok(()) => {
                deleted.push(deletion);
                if args.json {
                    told(report::deleted(&args.local.join(&deletion.path), false))?;
                }
            }
            Err(error) => exit = fail(args, &deletion.path, "delete", &error),
        }
    }
    say(args, format_args!("{} deleted", Counts::of(deleted.into_iter())));
    Ok(exit)
}

/// How many entries of each kind.
struct Counts {
    files: usize,
    directories: usize,
}

impl Counts {
    fn of<'d>(deletions: impl Iterator<Item = &'d Deletion>) -> Self {
        let (directories, files): (Vec<_>, Vec<_>) = deletions.partition(|deletion| deletion.is_directory);
        Self { files: files.len(), directories: directories.len() }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize, one: &'static str, many: &'static str| if count == 1 { one } else { many };
        let Self { files, directories } = *self;
        write!(f, "{files} {}", plural(files, "file", "files"))?;
        write!(f, " and {directories} {}", plural(directories, "directory", "directories"))
    }
}

/// Ends the run where nobody learns what it does.
fn told(told: io::Result<()>) -> Result<(), Exit> {
    told.map_err(report::cannot_tell)
}

/// Prints a line on standard output. A closed one does not change what is done.
fn say(args: &Sync, line: impl Display) {
    if !args.quiet && !args.json {
        drop(writeln!(io::stdout(), "{line}"));
    }
}

fn fail(args: &Sync, path: &Path, doing: &str, error: &io::Error) -> Exit {
    print_error(format_args!("cannot {doing} {}: {error}", escape_path(&args.local.join(path))));
    Exit::LocalFile
}
