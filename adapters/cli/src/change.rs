//! `coracle rm`, `mv`, `mkdir`, `df` and `do`: the small requests that write.

use clap::{Args, ValueHint};
use coracle::client::{Client, Error};
use coracle::local::escape_json;
use coracle_core::{Code, Delete, EntryKind, FileName, Rename, Version};
use serde_json::json;

use crate::client_args::ClientArgs;
use crate::exit::{Exit, print_error, report_failure};
use crate::names::{parse_file_name, parse_path, tidy};
use crate::standard_output;

/// Delete files at the server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle rm board-7 old.log
  coracle rm -r board-7 logs/2024    the directory with all that is in it")]
pub struct Rm {
    #[command(flatten)]
    pub client_args: ClientArgs,
    /// The files; with -r also directories
    #[arg(value_name = "NAME", required = true, value_hint = ValueHint::Other)]
    names: Vec<String>,
    /// Delete directories with their contents
    #[arg(short, long)]
    recursive: bool,
    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

/// Rename a file at the server; nothing is replaced
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  coracle mv board-7 boot.log logs/boot-1.log")]
pub struct Mv {
    #[command(flatten)]
    pub client_args: ClientArgs,
    /// The file
    #[arg(value_name = "FROM", value_hint = ValueHint::Other)]
    from: String,
    /// Its new name
    #[arg(value_name = "TO", value_hint = ValueHint::Other)]
    to: String,
    /// Rename only a file in this version, as 'coracle stat' tells it
    #[arg(long, value_name = "VERSION", value_hint = ValueHint::Other)]
    if_version: Option<String>,
    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

/// Make directories at the server
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  coracle mkdir board-7 logs logs/2026")]
pub struct Mkdir {
    #[command(flatten)]
    pub client_args: ClientArgs,
    /// The directories; those that exist are no error
    #[arg(value_name = "DIR", required = true, value_hint = ValueHint::Other)]
    directories: Vec<String>,
    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

/// Show how much room the server has
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  coracle df board-7 --json")]
pub struct Df {
    #[command(flatten)]
    pub client_args: ClientArgs,
    /// Write a JSON object, with what is known in bytes: total, free, maxFile
    #[arg(long)]
    json: bool,
    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

/// Let the server do one of its actions, which 'coracle info' lists
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  coracle do board-7 restart")]
pub struct Do {
    #[command(flatten)]
    pub client_args: ClientArgs,
    /// The action
    #[arg(value_name = "ACTION", value_hint = ValueHint::Other)]
    action: String,
    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

pub fn rm(args: &Rm) -> Exit {
    let mut client = args.client_args.telling_client(args.quiet);
    let mut exit = Exit::Done;
    for name in args.names.iter().map(|name| tidy(name)) {
        let removed = match if args.recursive { parse_path(&name) } else { parse_file_name(&name).map(Some) } {
            Ok(Some(path)) if args.recursive => remove_tree(&mut client, path),
            Ok(Some(name)) => client.delete(Delete::File { name, version: None }),
            Ok(None) => {
                print_error("all that is served cannot be deleted: name what is in it");
                return Exit::Usage;
            }
            Err(exit) => return exit,
        };
        if let Err(error) = removed {
            let failed = report_failure(&name, &error);
            if exit == Exit::Done {
                exit = failed;
            }
            if matches!(error, Error::Refused { code: Some(Code::NotFile), .. }) && !args.recursive {
                print_error("'coracle rm -r' deletes directories");
            }
        }
    }
    exit
}

pub fn mv(args: &Mv) -> Exit {
    let (from, to) = (tidy(&args.from), tidy(&args.to));
    let version = match args.if_version.as_deref().map(Version::new).transpose() {
        Ok(version) => version,
        Err(error) => {
            print_error(format_args!("--if-version: {error}"));
            return Exit::Usage;
        }
    };
    match (parse_file_name(&from), parse_file_name(&to)) {
        (Ok(name), Ok(to)) => {
            let rename = Rename::new(name, to).with_version(version.as_ref().map(Version::as_str));
            told(name.as_str(), args.client_args.telling_client(args.quiet).rename(rename))
        }
        (Err(exit), _) | (_, Err(exit)) => exit,
    }
}

pub fn mkdir(args: &Mkdir) -> Exit {
    let mut client = args.client_args.telling_client(args.quiet);
    let mut exit = Exit::Done;
    for name in args.directories.iter().map(|name| tidy(name)) {
        let made = match parse_path(&name) {
            Ok(Some(path)) => told(path.as_str(), client.make_dir(path)),
            // It exists.
            Ok(None) => Exit::Done,
            Err(exit) => return exit,
        };
        if exit == Exit::Done {
            exit = made;
        }
    }
    exit
}

pub fn df(args: &Df) -> Exit {
    let space = match args.client_args.telling_client(args.quiet).space() {
        Ok(space) => space,
        Err(error) => return report_failure("space", &error),
    };
    let known = [("total", space.total), ("free", space.free), ("maxFile", space.max_file)];
    let text = if args.json {
        let mut object = json!({});
        for (name, bytes) in known {
            if let Some(bytes) = bytes {
                object[name] = bytes.into();
            }
        }
        format!("{}\n", escape_json(&object.to_string()))
    } else {
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{bytes} bytes"));
        known.map(|(name, value)| format!("{name:<8} {}\n", bytes(value))).concat()
    };
    told("standard output", standard_output::write(text.as_bytes()).map_err(Error::Write))
}

pub fn perform(args: &Do) -> Exit {
    told(&args.action, args.client_args.telling_client(args.quiet).perform(&args.action))
}

fn told(what: &str, outcome: Result<(), Error>) -> Exit {
    outcome.map_or_else(|error| report_failure(what, &error), |()| Exit::Done)
}

/// Deletes a directory with its contents, or a file. Links to directories are not followed.
fn remove_tree(client: &mut Client, path: FileName<'_>) -> Result<(), Error> {
    let mut entries = Vec::new();
    let add = |entries: &mut Vec<(String, EntryKind)>, entry: coracle_core::Entry<'_>| {
        entries.push((entry.name.as_str().to_owned(), entry.kind));
        Ok(())
    };
    match client.list_into(Some(path), &mut entries, Vec::clear, add) {
        Err(Error::Refused { code: Some(Code::NotDirectory), .. }) => {
            return client.delete(Delete::File { name: path, version: None });
        }
        listed => listed?,
    };
    for (name, kind) in &entries {
        let Ok(name) = FileName::new(name) else { continue };
        match kind {
            EntryKind::Directory { link: false } => remove_tree(client, name)?,
            _ => client.delete(Delete::File { name, version: None })?,
        }
    }
    client.delete(Delete::Directory { path })
}
