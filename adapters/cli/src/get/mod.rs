//! `coracle get`: fetches files, resumes and verifies them, and only then gives them their names.

mod batches;
mod commit;
mod file;
mod known;
mod queue;
mod store;
mod summary;
mod task;
mod threads;
mod transfer;
mod tree;
mod worker;

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use coracle::client::{Error, GetOptions};
use coracle::local::{Directory, LocalError};
use coracle_core::FileName;

use self::known::Listed;
use self::store::{Fsync, Store};
use self::task::{Context, FileTask, Task};
use crate::client_args::{ClientArgs, DigestArg};
use crate::exit::{Exit, print_error, report_failure};
use crate::names::{parse_file_name, parse_path, tidy};
use crate::progress::ProgressDisplay;
use crate::standard_output;
use crate::values::parse_size;

/// Fetch files, resume and verify them, and only then give them their names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle get 192.168.7.2 boot.log         to ./boot.log
  coracle get board-7 boot.log             again after an interruption: resumes
  coracle get board-7 a.bin b.bin -o new/  to new/a.bin and new/b.bin
  coracle get board-7 logs/boot.log -o -   to standard output
  coracle get board-7 a.bin -o - --length 4k    its first 4000 bytes; only they are sent
  coracle get -r board-7 logs -o /srv      the directory, to /srv/logs; again: what is new
  coracle get -r board-7 -o mirror         everything, to mirror/

A download is at .coracle-NAME.part, and its state at .coracle-NAME.part.json, until it is whole
and its digest is right. Files of at most 1 MiB are in .coracle-batch-N instead, with -r or several
NAMEs, and are fetched again after a kill. Nothing is replaced without --force, but with -r what was
fetched before and is unchanged here: .coracle-index notes it.")]
pub struct Get {
    #[command(flatten)]
    client_args: ClientArgs,

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

    /// With -r, also follow links to directories
    #[arg(long, requires = "recursive")]
    follow_links: bool,

    /// Fetch this many files at once, each over a connection of its own
    #[arg(short, long, value_name = "N", default_value_t = 1, value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

pub fn run(args: &Get) -> Exit {
    let names: Vec<String> = args.names.iter().map(|name| tidy(name)).collect();
    match plan(args, &names) {
        Ok(Plan::Stdout(names)) => match standard_output::check() {
            Ok(()) => stream(args, &names, &mut io::stdout().lock(), true),
            Err(error) => report_failure("standard output", &Error::Write(error)),
        },
        Ok(Plan::Device(names, path)) => match OpenOptions::new().write(true).open(path) {
            Ok(mut device) => stream(args, &names, &mut device, false),
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
                quiet: args.quiet,
                root,
                store,
                display: ProgressDisplay::new(false, args.quiet),
            };
            transfer::run(&context, tasks, usize::from(args.jobs))
        }
        Err(exit) => exit,
    }
}

enum Plan<'a> {
    Stdout(Vec<FileName<'a>>),
    /// To a device or FIFO, to which nothing can be renamed.
    Device(Vec<FileName<'a>>, &'a Path),
    Tasks(Vec<Task>, Arc<Directory>),
}

fn plan<'a>(args: &'a Get, names: &'a [String]) -> Result<Plan<'a>, Exit> {
    let output = args.output.as_deref();
    let kind = output.and_then(|path| fs::metadata(path).ok()).map(|metadata| metadata.file_type());
    let is_stdout = output.is_some_and(is_stdout);
    let is_device = kind.is_some_and(|kind| kind.is_char_device() || kind.is_fifo());
    if args.recursive {
        if let Some(path) = output.filter(|_| is_stdout || is_device) {
            print_error(format_args!("-r needs a directory to fetch to, and '-o {}' is none", path.display()));
            return Err(Exit::Usage);
        }
        let root = destination(output)?;
        let mut tasks = names.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
        if tasks.is_empty() {
            tasks.push(Task::Named { name: None, local: None });
        }
        check_distinct(tasks.iter().filter_map(local_path))?;
        return Ok(Plan::Tasks(tasks, root));
    }
    let names = names.iter().map(|name| parse_file_name(name)).collect::<Result<Vec<_>, _>>()?;
    match output {
        Some(_) if is_stdout => return Ok(Plan::Stdout(names)),
        Some(path) if is_device => return Ok(Plan::Device(names, path)),
        _ => {}
    }
    if names.len() > 1 && (args.offset.is_some() || args.length.is_some()) {
        print_error("--offset and --length are for one file at a time");
        return Err(Exit::Usage);
    }
    check_distinct(names.iter().map(|name| name.last()))?;
    let (&[name], Some(path)) = (names.as_slice(), output) else {
        let root = destination(output)?;
        let tasks = names.iter().map(|name| {
            let (name, directory) = (name.as_str().to_owned(), root.clone());
            Task::File(FileTask { name, directory, leaf: None, listed: Listed::default() })
        });
        return Ok(Plan::Tasks(tasks.collect(), root));
    };
    let is_directory = kind.is_some_and(|kind| kind.is_dir()) || path.as_os_str().as_encoded_bytes().ends_with(b"/");
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

fn stream(args: &Get, names: &[FileName<'_>], out: &mut dyn Write, to_stdout: bool) -> Exit {
    let mut client = args.client_args.client();
    let display = ProgressDisplay::new(to_stdout, args.quiet);
    for name in names {
        let mut bar = display.bar(name.as_str());
        let fetched = client.get_to_writer(*name, out, &options(args), &mut bar);
        drop(bar);
        // The next file would be taken for the rest of one that is not whole.
        if let Err(error) = fetched {
            return display.suspend(|| report_failure(name.as_str(), &error));
        }
    }
    Exit::Done
}
