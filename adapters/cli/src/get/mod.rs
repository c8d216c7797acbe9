//! `coracle get`: fetches files, resumes and verifies them, and only then gives them their names.

mod batches;
mod commit;
mod file;
mod known;
mod listed;
mod newer;
mod preview;
mod queue;
pub mod report;
mod store;
mod stream;
mod summary;
mod task;
mod threads;
mod transfer;
mod tree;
mod worker;

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use coracle::client::{Error, GetOptions};
use coracle::local::{Directory, LocalError};
use coracle_core::FileName;

use self::known::Listed;
pub use self::listed::{ListedDirectory, ListedTree};
use self::newer::NewerArg;
use self::preview::{Preview, Wanted};
pub use self::store::Fsync;
use self::store::Store;
use self::task::{Context, FileTask, Task};
use crate::client_args::{ClientArgs, DigestArg};
use crate::exit::{Exit, print_error, report_failure};
use crate::filter::{self, Filter};
use crate::names::{parse_file_name, parse_path, tidy};
use crate::progress::ProgressDisplay;
use crate::standard_output;
use crate::sys;
use crate::values::parse_size;

/// Fetch files, resume and verify them, and only then give them their names
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", filter::HELP, report::HELP))]
pub struct Get {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// The files; with -r also directories, and all that is served where there is no NAME.
    /// With -r, 'DIR/' stands for the contents of DIR
    #[arg(value_name = "NAME", required_unless_present = "recursive", value_hint = ValueHint::Other)]
    names: Vec<String>,

    /// The target: a file, a directory, or '-' for standard output. Its last directory is made where
    /// it is missing
    #[arg(short, long, value_name = "FILE|DIR|-", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Fetch directories with their contents; skip files that are here with the size and time that the
    /// server lists
    #[arg(short, long)]
    recursive: bool,

    /// The digest that verifies the files
    #[arg(long, value_enum, default_value_t = DigestArg::Crc32)]
    digest: DigestArg,

    /// Replace existing files
    #[arg(short, long)]
    force: bool,

    /// When files are made durable: [default: batch with -r or several files, else file]
    #[arg(long, value_enum, value_name = "WHEN", hide_default_value = true)]
    fsync: Option<Fsync>,

    /// With -r, compare the digests of files that are here, not only sizes and times
    #[arg(long, requires = "recursive")]
    checksum: bool,

    /// Start unfinished downloads over
    #[arg(long)]
    no_resume: bool,

    /// Fetch the bytes from this one on, counted from 0; verified by a digest of what is fetched
    #[arg(long, value_name = "SIZE", value_parser = parse_size, value_hint = ValueHint::Other, conflicts_with = "recursive")]
    offset: Option<u64>,

    /// Fetch so many bytes, or fewer where the file ends before
    #[arg(long, value_name = "SIZE", value_parser = parse_size, value_hint = ValueHint::Other, conflicts_with = "recursive")]
    length: Option<u64>,

    /// Refuse larger files
    #[arg(long, value_name = "SIZE", value_parser = parse_size, value_hint = ValueHint::Other)]
    max_size: Option<u64>,

    /// Accept a file that changes while it is fetched, as it was sent, if its digest is right
    #[arg(long)]
    snapshot: bool,

    /// Print errors only: no progress, no notes on retries and restarts, no counts
    #[arg(short, long)]
    quiet: bool,

    /// Also tell what the file system here cannot do, and what that means: locks, syncs of directories
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,

    /// Fetch only what was modified after this time (2026-11-22, '2026-11-22 05:02:54' in UTC), after so long ago (2h), or
    /// after this local file
    #[arg(long, value_name = "TIME|FILE", value_hint = ValueHint::AnyPath, help_heading = "Selection")]
    newer: Option<NewerArg>,

    /// Change nothing, and print what would be fetched
    #[arg(long, conflicts_with_all = ["offset", "length"])]
    dry_run: bool,

    /// Write a line of JSON for each file, and one at the end; --help describes them
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: Filter,

    /// With -r, also follow links to directories
    #[arg(long, requires = "recursive")]
    follow_links: bool,

    /// Fetch this many files at once, each over a connection of its own
    #[arg(short, long, value_name = "N", default_value_t = 1, value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

const EXAMPLES: &str = "\
Examples:
  coracle get 192.168.7.2 boot.log         to ./boot.log
  coracle get board-7 boot.log             again after an interruption: resumes
  coracle get board-7 a.bin b.bin -o new/  to new/a.bin and new/b.bin
  coracle get board-7 logs/boot.log -o -   to standard output
  coracle get board-7 a.bin --length 4KiB  its first 4096 bytes, and no more is sent
  coracle get -r board-7 logs -o /srv      the directory, to /srv/logs; again: what is new
  coracle get -r board-7 -o mirror         everything, to mirror/
  coracle get -r board-7 logs --exclude '*.tmp' --exclude cache/ --dry-run

A download is at .coracle-NAME.part, and its state at .coracle-NAME.part.json, until it is whole
and its digest is right. Files of at most 1 MiB are in .coracle-batch-N instead, with -r or several
NAMEs, and are fetched again after a kill. Nothing is replaced without --force, but with -r what was
fetched before and is unchanged here: .coracle-index notes it.";

pub fn run(args: &Get) -> Exit {
    let names: Vec<String> = args.names.iter().map(|name| tidy(name)).collect();
    if args.dry_run {
        return match wanted(args, &names) {
            Ok(wanted) => preview::run(&preview_of(args), &mut args.client_args.client(), wanted),
            Err(exit) => exit,
        };
    }
    match plan(args, &names) {
        Ok(Plan::Stdout(names)) => match standard_output::check() {
            Ok(()) => stream::run(args, &names, &mut io::stdout().lock(), None),
            Err(error) => report_failure("standard output", &Error::Write(error)),
        },
        Ok(Plan::Device(names, path)) => match OpenOptions::new().write(true).open(path) {
            Ok(mut device) => stream::run(args, &names, &mut device, Some(path)),
            Err(error) => report_failure(&path.to_string_lossy(), &Error::Write(error)),
        },
        Ok(Plan::Tasks(tasks, root)) => {
            let is_many = args.recursive || tasks.len() > 1;
            let fsync = args.fsync.unwrap_or(if is_many { Fsync::Batch } else { Fsync::File });
            let store = Store::new(&root, fsync, args.recursive, args.checksum, args.force);
            let context = Context {
                client_args: &args.client_args,
                options: options(args),
                recursive: args.recursive,
                follow_links: args.follow_links,
                filter: args.filter.clone(),
                newer: args.newer,
                json: args.json,
                quiet: args.quiet,
                verbose: args.verbose,
                root,
                store,
                listed: ListedTree::default(),
                display: if args.recursive {
                    ProgressDisplay::of_tree(args.quiet)
                } else {
                    ProgressDisplay::new(false, args.quiet)
                },
            };
            transfer::run(&context, tasks, usize::from(args.jobs))
        }
        Err(exit) => exit,
    }
}

/// What `--dry-run` looks at.
fn wanted(args: &Get, names: &[String]) -> Result<Vec<Wanted>, Exit> {
    let output = args.output.as_deref().unwrap_or(Path::new("."));
    if is_stream(output) {
        print_error(format_args!("--dry-run compares with files, and '-o {}' is none", output.display()));
        return Err(Exit::Usage);
    }
    if args.recursive {
        let tasks = named_tasks(names)?;
        let wanted = tasks.into_iter().filter_map(|task| match task {
            Task::Named { name, local } => {
                let local = local.map_or_else(|| output.to_owned(), |local| output.join(local));
                Some(Wanted { name, local, root: Some(output.to_owned()) })
            }
            Task::Directory { .. } | Task::File(_) => None,
        });
        return Ok(wanted.collect());
    }
    let names = files(args, names)?;
    let is_directory = names.len() > 1 || output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let wanted = names.into_iter().map(|name| {
        let local = if is_directory { output.join(name.last()) } else { output.to_owned() };
        Wanted { name: Some(name.as_str().to_owned()), local, root: None }
    });
    Ok(wanted.collect())
}

fn preview_of(args: &Get) -> Preview<'_> {
    Preview {
        filter: &args.filter,
        newer: args.newer,
        follow_links: args.follow_links,
        digest: args.digest.kind(),
        compares: args.checksum,
        json: args.json,
        quiet: args.quiet,
    }
}

/// A directory of the server's that is fetched to a local one, where files that differ are replaced.
pub struct Mirror<'a> {
    pub client_args: &'a ClientArgs,
    /// The directory; `None` for all that is served.
    pub name: Option<String>,
    pub local: &'a Path,
    pub digest: DigestArg,
    pub fsync: Fsync,
    /// Compare the digests of files that are here.
    pub checksum: bool,
    pub filter: &'a Filter,
    /// Change nothing, and print what would be fetched.
    pub dry_run: bool,
    /// Tell in JSON what becomes of each file.
    pub json: bool,
    pub quiet: bool,
    /// Tell what was gone without.
    pub verbose: bool,
    pub jobs: u16,
    /// What was listed of it already.
    pub listed: ListedTree,
}

/// Fetches what is new or changed.
pub fn mirror(mirror: Mirror<'_>) -> Exit {
    if mirror.dry_run {
        let preview = Preview {
            filter: mirror.filter,
            newer: None,
            follow_links: false,
            digest: mirror.digest.kind(),
            compares: mirror.checksum,
            json: mirror.json,
            quiet: mirror.quiet,
        };
        let (local, root) = (mirror.local.to_owned(), Some(mirror.local.to_owned()));
        let wanted = Wanted { name: mirror.name.clone(), local, root };
        return preview::run(&preview, &mut mirror.client_args.client(), vec![wanted]);
    }
    let root = match destination(Some(mirror.local)) {
        Ok(root) => root,
        Err(exit) => return exit,
    };
    let store = Store::new(&root, mirror.fsync, true, mirror.checksum, true);
    let context = Context {
        client_args: mirror.client_args,
        options: GetOptions::new()
            .with_digest(mirror.digest.kind())
            .with_force(true)
            .with_durable(mirror.fsync != Fsync::None),
        recursive: true,
        follow_links: false,
        filter: mirror.filter.clone(),
        newer: None,
        json: mirror.json,
        quiet: mirror.quiet,
        verbose: mirror.verbose,
        root,
        store,
        listed: mirror.listed,
        display: ProgressDisplay::of_tree(mirror.quiet),
    };
    transfer::run(&context, vec![Task::Named { name: mirror.name.clone(), local: None }], usize::from(mirror.jobs))
}

enum Plan<'a> {
    Stdout(Vec<FileName<'a>>),
    /// To a device or FIFO, to which nothing can be renamed.
    Device(Vec<FileName<'a>>, &'a Path),
    Tasks(Vec<Task>, Arc<Directory>),
}

fn plan<'a>(args: &'a Get, names: &'a [String]) -> Result<Plan<'a>, Exit> {
    let output = args.output.as_deref();
    let is_stdout = output.is_some_and(is_stdout);
    if args.json && is_stdout {
        print_error("--json writes to standard output, and so would '-o -'");
        return Err(Exit::Usage);
    }
    if args.recursive {
        if let Some(path) = output.filter(|path| is_stream(path)) {
            print_error(format_args!("-r needs a directory to fetch to, and '-o {}' is none", path.display()));
            return Err(Exit::Usage);
        }
        let tasks = named_tasks(names)?;
        return Ok(Plan::Tasks(tasks, destination(output)?));
    }
    let names = files(args, names)?;
    match output {
        Some(_) if is_stdout => return Ok(Plan::Stdout(names)),
        Some(path) if is_stream(path) => return Ok(Plan::Device(names, path)),
        _ => {}
    }
    let (&[name], Some(path)) = (names.as_slice(), output) else {
        let root = destination(output)?;
        let tasks = names.iter().map(|name| {
            let (name, directory) = (name.as_str().to_owned(), root.clone());
            Task::File(FileTask { name, directory, leaf: None, listed: Listed::default() })
        });
        return Ok(Plan::Tasks(tasks.collect(), root));
    };
    let is_directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let (root, leaf) = match path.file_name() {
        Some(leaf) if !is_directory => {
            let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            (destination(Some(parent))?, Some(leaf.to_owned()))
        }
        _ => (destination(Some(path))?, None),
    };
    let (name, directory) = (name.as_str().to_owned(), root.clone());
    let task = FileTask { name, directory, leaf, listed: Listed::default() };
    Ok(Plan::Tasks(vec![Task::File(task)], root))
}

/// The arguments of `-r` as tasks.
fn named_tasks(names: &[String]) -> Result<Vec<Task>, Exit> {
    let mut tasks = names.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
    if tasks.is_empty() {
        tasks.push(Task::Named { name: None, local: None });
    }
    check_distinct(tasks.iter().filter_map(local_path))?;
    Ok(tasks)
}

/// The arguments without `-r`.
fn files<'a>(args: &Get, names: &'a [String]) -> Result<Vec<FileName<'a>>, Exit> {
    if !args.filter.is_empty() {
        print_error("--exclude and --include are for trees: give --recursive as well");
        return Err(Exit::Usage);
    }
    let names = names.iter().map(|name| parse_file_name(name)).collect::<Result<Vec<_>, _>>()?;
    if names.len() > 1 && (args.offset.is_some() || args.length.is_some()) {
        print_error("--offset and --length are for one file at a time");
        return Err(Exit::Usage);
    }
    if !args.output.as_deref().is_some_and(is_stream) {
        check_distinct(names.iter().map(|name| name.last()))?;
    }
    Ok(names)
}

/// Whether `output` is standard output, a device or a FIFO, to which nothing can be renamed.
fn is_stream(output: &Path) -> bool {
    is_stdout(output) || fs::metadata(output).is_ok_and(|metadata| sys::is_device(metadata.file_type()))
}

/// Whether `output` is standard output. By its name in the file system it could be opened a second time only, which would
/// write over what is there already.
fn is_stdout(output: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| output == Path::new(name))
}

/// Parses a tidied NAME of `-r`.
fn named(name: &str) -> Result<Task, Exit> {
    let Some(path) = parse_path(name)? else { return Ok(Task::Named { name: None, local: None }) };
    let local = (!name.ends_with('/')).then(|| path.last().to_owned());
    Ok(Task::Named { name: Some(path.as_str().to_owned()), local })
}

fn local_path(task: &Task) -> Option<&str> {
    match task {
        Task::Named { local, .. } => local.as_deref(),
        Task::Directory { local, .. } => Some(local),
        Task::File(_) => None,
    }
}

fn check_distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Exit> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            print_error(format_args!(
                "two of these would be fetched to the name {name}: fetch them to two directories"
            ));
            return Err(Exit::Usage);
        }
    }
    Ok(())
}

/// Opens the directory that files go to. Creates it where its parent exists.
fn destination(output: Option<&Path>) -> Result<Arc<Directory>, Exit> {
    opened(output.map_or_else(|| Directory::open(Path::new(".")), Directory::open_or_create))
}

fn opened(directory: Result<Directory, LocalError>) -> Result<Arc<Directory>, Exit> {
    directory.map(Arc::new).map_err(|error| {
        print_error(&error);
        Exit::LocalFile
    })
}

fn options(args: &Get) -> GetOptions {
    GetOptions::new()
        .with_digest(args.digest.kind())
        .with_force(args.force)
        .with_resume(!args.no_resume)
        .with_snapshot(args.snapshot)
        .with_max_size(args.max_size)
        .with_durable(args.fsync != Some(Fsync::None))
        .with_range(args.offset.unwrap_or(0), args.length)
}
