//! `coracle put`: sends files, which the server stores once they are whole and verified.

mod report;
mod tree;

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use coracle::client::{Client, Error, PutOptions, PutReplace};
use coracle_core::{FileName, Version};

use crate::client_args::ClientArgs;
use crate::exit::{Exit, print_error, report_failure};
use crate::names::{parse_file_name, parse_path, tidy};
use crate::progress::ProgressDisplay;

/// Send files, which the server stores once they are whole and verified
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle put board-7 config.json              as config.json
  coracle put board-7 new.json -o config.json -f   replaces what is there
  coracle put board-7 a.bin b.bin -o tables/   as tables/a.bin and tables/b.bin
  coracle put -r nas logs -o boards/7/         the directory, as boards/7/logs
  dmesg | coracle put nas - -o dmesg.txt       standard input

Nothing is replaced without --force or --if-version. A file is sent again from where an
interrupted run got to, and not at all if it is there already.")]
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

    /// Write a JSON object a line for each file
    #[arg(long)]
    json: bool,

    /// Print errors only: no progress, no notes
    #[arg(short, long)]
    quiet: bool,
}

/// A file to send, and its name at the server.
struct Job {
    path: PathBuf,
    name: String,
}

pub fn run(args: &Put) -> Exit {
    let jobs = match plan(args) {
        Ok(jobs) => jobs,
        Err(exit) => return exit,
    };
    let display = ProgressDisplay::new(false, args.quiet);
    let notes = display.clone();
    let mut client = args.client_args.client().with_retry_observer(move |event| notes.note(event));
    let mut exit = Exit::Done;
    let len = jobs.len();
    for (at, job) in jobs.into_iter().enumerate() {
        let Err(error) = send(args, &mut client, &display, &job) else { continue };
        let failed = display.suspend(|| report_failure(&job.name, &error));
        if args.json && report::failed(&job.name, &error).is_err() {
            return Exit::LocalFile;
        }
        if exit == Exit::Done {
            exit = failed;
        }
        // A server that cannot be reached for this file cannot be reached for the next ones either.
        if failed == Exit::Network {
            if at + 1 < len {
                print_error(format_args!("{} more were not tried", len - at - 1));
            }
            break;
        }
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
            jobs.push(Job { path: path.clone(), name });
        }
    }
    Ok(jobs)
}

fn send(args: &Put, client: &mut Client, display: &ProgressDisplay, job: &Job) -> Result<(), Error> {
    let name = FileName::new(&job.name).map_err(|_| Error::Read(io::ErrorKind::InvalidFilename.into()))?;
    let file = open(&job.path).map_err(Error::Read)?;
    let replace = match &args.if_version {
        Some(version) => PutReplace::Version(version.clone()),
        None if args.force => PutReplace::Anything,
        None => PutReplace::Nothing,
    };
    let options = PutOptions::new()
        .with_replace(replace)
        .with_parents(args.parents || args.recursive)
        .with_time(job.path != Path::new("-"));
    let mut bar = display.bar(name.as_str());
    let sent = client.put(name, &file, &options, &mut bar);
    drop(bar);
    let summary = sent?;
    display.note(report::describe(&job.path, &job.name, &summary));
    if args.json { report::sent(&job.name, &job.path, &summary).map_err(Error::Write) } else { Ok(()) }
}

/// Opens a regular file. Of standard input and devices the length is unknown, so they are copied to a file first.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return spool(&mut io::stdin().lock());
    }
    let mut file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, which -r sends"));
    }
    if kind.is_file() { Ok(file) } else { spool(&mut file) }
}

fn spool(input: &mut dyn io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(input, &mut file)?;
    file.rewind()?;
    Ok(file)
}

fn parse_version(text: &str) -> Result<Version, String> {
    Version::new(text).map_err(|error| error.to_string())
}
