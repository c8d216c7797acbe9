//! `coracle put`: sends files, which the server stores once they are whole and verified.

mod preview;
pub mod report;
pub mod summary;
pub mod transfer;
pub mod tree;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use coracle::client::{PutOptions, PutReplace};
use coracle_core::Version;

use self::preview::Preview;
use self::transfer::{Job, Transfer};
use crate::client_args::ClientArgs;
use crate::exit::{Exit, print_error};
use crate::names::{parse_file_name, parse_path, tidy};
use crate::progress::ProgressDisplay;

/// Send files, which the server stores once they are whole and verified
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", report::HELP))]
pub struct Put {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// The files; '-' for standard input; with -r also directories
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::AnyPath)]
    files: Vec<PathBuf>,

    /// The name at the server; 'DIR/' for that directory
    #[arg(short, long, value_name = "NAME|DIR/", value_hint = ValueHint::Other)]
    output: Option<String>,

    /// Send directories with their contents; links are not followed
    #[arg(short, long)]
    recursive: bool,

    /// Replace what is there
    #[arg(short, long, conflicts_with = "if_version")]
    force: bool,

    /// Replace only a file in this version, as 'coracle stat' tells it
    #[arg(long, value_name = "VERSION", value_parser = parse_version, value_hint = ValueHint::Other, conflicts_with = "recursive")]
    if_version: Option<Version>,

    /// Make missing directories; done with -r in any case
    #[arg(short, long)]
    parents: bool,

    /// Send this many files at once, each over a connection of its own [default: 1; 64 with -r]
    #[arg(short, long, value_name = "N", value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,

    /// When the server makes small files durable: [default: batch with -r, else file; file with --json]
    #[arg(long, value_enum, value_name = "WHEN", hide_default_value = true)]
    fsync: Option<PutFsync>,

    /// Write a line of JSON for each file, and one at the end; --help describes them
    #[arg(long)]
    json: bool,

    /// Print errors only: no progress, no notes
    #[arg(short, long)]
    quiet: bool,

    /// With -r, also tell of each file what became of it
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,

    /// Change nothing, and print what would be sent
    #[arg(long)]
    dry_run: bool,
}

/// When the server makes files durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PutFsync {
    /// Many together, where it can do that. None counts as sent before it is durable; what version it has is not known
    Batch,
    /// Each by itself: slower for many small files
    File,
}

const EXAMPLES: &str = "\
Examples:
  coracle put board-7 config.json              as config.json
  coracle put board-7 new.json -o config.json -f   replaces what is there
  coracle put board-7 a.bin b.bin -o tables/   as tables/a.bin and tables/b.bin
  coracle put -r nas logs -o boards/7/         the directory, as boards/7/logs
  coracle put -r nas logs -o new -j 4          as 'new', over 4 connections
  coracle put -r nas logs --dry-run            only says what would be sent
  dmesg | coracle put nas - -o dmesg.txt       standard input

Nothing is replaced without --force or --if-version. A file is sent again from where an
interrupted run got to, and not at all if it is there already.";

/// How many connections send a tree: the disk of the server stores many small files together.
pub const TREE_JOBS: u16 = 64;

pub fn run(args: &Put) -> Exit {
    let jobs = match plan(args) {
        Ok(jobs) => jobs,
        Err(exit) => return exit,
    };
    let replace = match &args.if_version {
        Some(version) => PutReplace::Version(version.clone()),
        None if args.force => PutReplace::Anything,
        None => PutReplace::Nothing,
    };
    if args.dry_run {
        let preview = Preview { replace: &replace, json: args.json, quiet: args.quiet };
        return preview::run(&preview, &mut args.client_args.telling_client(args.quiet), &jobs);
    }
    let is_tree = args.recursive;
    let fsync = args.fsync.unwrap_or(if is_tree && !args.json { PutFsync::Batch } else { PutFsync::File });
    let options = PutOptions::new().with_replace(replace).with_parents(args.parents || is_tree);
    let transfer = Transfer {
        client_args: &args.client_args,
        options: options.with_deferred(fsync == PutFsync::Batch),
        display: if is_tree { ProgressDisplay::of_tree(args.quiet) } else { ProgressDisplay::new(false, args.quiet) },
        json: args.json,
        tells_each: !is_tree || args.verbose,
    };
    let connections = args.jobs.unwrap_or(if is_tree { TREE_JOBS } else { 1 });
    let (summary, failure) = transfer::run(&transfer, jobs, usize::from(connections));
    let exit = failure.unwrap_or(Exit::Done);
    if args.json {
        return report::summary(&summary, exit).map_or(Exit::LocalFile, |()| exit);
    }
    if is_tree && !args.quiet {
        // A closed standard output does not change what was sent.
        drop(writeln!(io::stdout(), "{summary}"));
    } else if !is_tree && summary.not_tried > 0 {
        print_error(format_args!("{} more were not tried", summary.not_tried));
    }
    exit
}

fn plan(args: &Put) -> Result<Vec<Job>, Exit> {
    let output = args.output.as_deref().map(tidy);
    let is_directory = args.output.as_deref().is_some_and(|output| output.ends_with('/') || tidy(output).is_empty());
    if args.files.len() > 1 && output.is_some() && !is_directory {
        print_error("several files need a directory: -o 'DIR/'");
        return Err(Exit::Usage);
    }
    if args.files.len() > 1 && args.if_version.is_some() {
        print_error("--if-version is of one file");
        return Err(Exit::Usage);
    }
    let mut jobs = Vec::new();
    for path in &args.files {
        let is_stdin = path == Path::new("-");
        if is_stdin && args.dry_run {
            print_error("--dry-run does not read standard input");
            return Err(Exit::Usage);
        }
        let name = match (&output, path.file_name().and_then(|leaf| leaf.to_str())) {
            (Some(output), _) if !is_directory => output.clone(),
            _ if is_stdin => {
                print_error("standard input has no name: give one with -o NAME");
                return Err(Exit::Usage);
            }
            (output, Some(leaf)) => format!("{}{leaf}", output.as_deref().unwrap_or_default()),
            (_, None) => {
                print_error(format_args!("{} has no name that a server could take: give one with -o", path.display()));
                return Err(Exit::Usage);
            }
        };
        if args.recursive && path.is_dir() {
            let top = parse_path(&name)?;
            jobs.extend(tree::files(path, top.map_or("", |top| top.as_str()))?);
        } else {
            parse_file_name(&name)?;
            let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            jobs.push(Job::new(path.clone(), name, size));
        }
    }
    Ok(jobs)
}

fn parse_version(text: &str) -> Result<Version, String> {
    Version::new(text).map_err(|error| error.to_string())
}
