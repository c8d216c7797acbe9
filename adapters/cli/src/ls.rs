//! `coracle ls`: what a server serves, streamed.

use std::io::{self, BufWriter, IsTerminal, LineWriter, Write};

use clap::{Args, ValueHint};
use coracle::client::{Client, Error};
use coracle::local::{Escaped, escape_json};
use coracle_core::{Code, Entry, EntryKind, FileName};
use serde::Serialize;

use crate::client_args::{ClientArgs, parse_file_name};
use crate::exit::{Exit, print_error, report_failure};
use crate::standard_output;
use crate::values::format_time;

/// The memory that the names of waiting directories may occupy with `-r`, in bytes.
const PENDING_MAX: usize = 256 * 1024 * 1024;

/// List what a server serves
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle ls 192.168.7.2                   the names, as 'coracle get' takes them
  coracle ls [fe80::1%eth0]:9000 logs -l   a directory, with sizes and times (UTC)
  coracle ls board-7 -r --json             everything, one JSON object per line

The order is the server's; pipe it through sort for another one. Directories end in '/', and links
to directories, which -r does not follow, in '/@'.")]
pub struct Ls {
    #[command(flatten)]
    client_args: ClientArgs,

    /// The directory or file [default: all that is served]
    #[arg(value_hint = ValueHint::Other)]
    path: Option<String>,

    /// Also show sizes and times of modification
    #[arg(short, long)]
    long: bool,

    /// Also list subdirectories
    #[arg(short, long)]
    recursive: bool,

    /// Write one JSON object per line: fileName, and fileSize and modified (seconds since 1970), or directory and link
    #[arg(long)]
    json: bool,

    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: &Ls) -> Exit {
    let path = match args.path.as_deref().map(|path| path.trim_end_matches('/')) {
        None | Some("" | ".") => None,
        Some(path) => match parse_file_name(path) {
            Ok(path) => Some(path),
            Err(exit) => return exit,
        },
    };
    let stdout = io::stdout();
    let out: Box<dyn Write> =
        if stdout.is_terminal() { Box::new(LineWriter::new(stdout)) } else { Box::new(BufWriter::new(stdout)) };
    let mut lister = Lister { args, out, pending: Vec::new(), pending_len: 0, skipped: 0, exit: Exit::Done };
    if let Err(error) = standard_output::check() {
        lister.fail("standard output", &Error::Write(error));
        return lister.exit;
    }
    lister.walk(&mut args.client_args.telling_client(args.quiet), path);
    if let Err(error) = lister.out.flush() {
        lister.fail("standard output", &Error::Write(error));
    }
    if lister.skipped > 0 {
        print_error(format_args!(
            "{} more cannot be served (for their names, links or kinds) and are left out",
            lister.skipped
        ));
    }
    lister.exit
}

/// Walks the directories and prints their entries.
struct Lister<'a> {
    args: &'a Ls,
    out: Box<dyn Write>,
    /// Directories to list. The last one is next.
    pending: Vec<String>,
    pending_len: usize,
    skipped: u64,
    /// The exit code of the first failure.
    exit: Exit,
}

impl Lister<'_> {
    fn walk(&mut self, client: &mut Client, path: Option<FileName<'_>>) {
        let first = self.directory(client, path);
        match (first, path) {
            (Err(Error::Refused { code: Some(Code::NotDirectory), .. }), Some(name)) => self.file(client, name),
            (Err(error), path) => self.fail(path.map_or("/", FileName::as_str), &error),
            (Ok(()), _) => {}
        }
        while let Some(next) = self.pending.pop() {
            self.pending_len -= next.len();
            let Ok(name) = FileName::new(&next) else { continue };
            match self.directory(client, Some(name)) {
                Ok(()) => {}
                Err(error) => {
                    self.fail(&next, &error);
                    if !matches!(error, Error::Refused { .. }) {
                        return;
                    }
                }
            }
        }
    }

    fn directory(&mut self, client: &mut Client, path: Option<FileName<'_>>) -> Result<(), Error> {
        let depth = self.pending.len();
        let listing = client.list(path, |entry| {
            if let (true, EntryKind::Directory { link: false }) = (self.args.recursive, entry.kind) {
                self.pending_len += entry.name.as_str().len();
                if self.pending_len > PENDING_MAX {
                    return Err(Error::ListingTooLarge { limit: PENDING_MAX });
                }
                self.pending.push(entry.name.as_str().to_owned());
            }
            self.write(entry).map_err(Error::Write)
        })?;
        // The last one is next.
        self.pending[depth..].reverse();
        self.skipped = self.skipped.saturating_add(listing.skipped);
        Ok(())
    }

    /// Prints the one entry of a path that is a file.
    fn file(&mut self, client: &mut Client, name: FileName<'_>) {
        let written = client.stat(name, None).and_then(|header| {
            let kind = EntryKind::File { size: header.size, modified: header.modified };
            self.write(Entry::new(name, kind)).map_err(Error::Write)
        });
        if let Err(error) = written {
            self.fail(name.as_str(), &error);
        }
    }

    fn write(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let name = entry.name.as_str();
        if self.args.json {
            let json = serde_json::to_string(&JsonEntry::new(name, entry.kind)).map_err(io::Error::from)?;
            return writeln!(self.out, "{}", escape_json(&json));
        }
        let (size, modified, mark) = match entry.kind {
            EntryKind::File { size, modified } => (size.to_string(), modified, ""),
            EntryKind::Directory { link: false } => ("-".to_owned(), None, "/"),
            EntryKind::Directory { link: true } => ("-".to_owned(), None, "/@"),
            _ => ("-".to_owned(), None, "?"),
        };
        if self.args.long {
            write!(self.out, "{size:>14}  {}  ", format_time(modified))?;
        }
        writeln!(self.out, "{}{mark}", Escaped(name))
    }

    fn fail(&mut self, what: &str, error: &Error) {
        let exit = report_failure(what, error);
        if self.exit == Exit::Done {
            self.exit = exit;
        }
    }
}

/// An entry as JSON, with the members of the protocol.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonEntry<'a> {
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<bool>,
}

impl<'a> JsonEntry<'a> {
    fn new(file_name: &'a str, kind: EntryKind) -> Self {
        let empty = JsonEntry { file_name, file_size: None, modified: None, directory: None, link: None };
        match kind {
            EntryKind::File { size, modified } => JsonEntry { file_size: Some(size), modified, ..empty },
            EntryKind::Directory { link } => JsonEntry { directory: Some(true), link: link.then_some(true), ..empty },
            _ => empty,
        }
    }
}
