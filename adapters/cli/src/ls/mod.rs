//! `coracle ls`: what a server serves, streamed unless it is to be sorted.

mod format;
mod order;

use std::io::{self, BufWriter, IsTerminal, LineWriter, Write};

use clap::{Args, ValueHint};
use coracle::client::{Client, Error};
use coracle_core::{Code, Entry, EntryKind, FileName};

pub use self::format::Format;
use self::order::{Row, SortArg};
use crate::client_args::ClientArgs;
use crate::exit::{Exit, print_error, report_failure};
use crate::names::{parse_path, tidy};
use crate::standard_output;

/// The memory that waiting directories with `-r`, and the entries to be sorted, may occupy, in bytes.
const PENDING_MAX: usize = 256 * 1024 * 1024;

/// List what a server serves
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle ls 192.168.7.2                   the names, as 'coracle get' takes them
  coracle ls [fe80::1%eth0]:9000 logs -l   a directory, with sizes and times (UTC)
  coracle ls board-7 --human --sort time   sizes as 1.5 MiB, and what is new first
  coracle ls board-7 -r --json             everything, one JSON object per line

Without --sort the order is the server's, and entries are printed as they come. Directories end in
'/', and links to directories, which -r does not follow, in '/@'.")]
pub struct Ls {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// The directory or file [default: all that is served]
    #[arg(value_hint = ValueHint::Other)]
    path: Option<String>,

    /// Also show sizes and times of modification
    #[arg(short, long)]
    long: bool,

    /// As --long, with sizes as people read them: 1.5 MiB
    #[arg(long, conflicts_with = "json")]
    human: bool,

    /// Sort the entries of each directory
    #[arg(long, value_enum, value_name = "KEY")]
    sort: Option<SortArg>,

    /// Sort the other way round
    #[arg(long, requires = "sort")]
    reverse: bool,

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
    let path = args.path.as_deref().map(tidy).unwrap_or_default();
    let path = match parse_path(&path) {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let stdout = io::stdout();
    let out: Box<dyn Write> =
        if stdout.is_terminal() { Box::new(LineWriter::new(stdout)) } else { Box::new(BufWriter::new(stdout)) };
    let mut lister = Lister { args, out, pending: Vec::new(), pending_len: 0, skipped: 0, hidden: 0, exit: Exit::Done };
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
    if lister.hidden > 0 {
        print_error(format_args!("{} more are hidden at the server and are left out", lister.hidden));
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
    hidden: u64,
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
        let listing = match self.args.sort {
            None => client.list(path, |entry| self.entry(entry))?,
            Some(by) => {
                let (mut rows, mut len) = (Vec::new(), 0);
                let listing = client.list_into(path, &mut rows, Vec::clear, |rows, entry| {
                    let row = Row { name: entry.name.as_str().to_owned(), kind: entry.kind };
                    len = if rows.is_empty() { 0 } else { len } + row.len();
                    if len > PENDING_MAX {
                        return Err(Error::ListingTooLarge { limit: PENDING_MAX });
                    }
                    rows.push(row);
                    Ok(())
                })?;
                order::sort(&mut rows, by, self.args.reverse);
                for row in &rows {
                    let Ok(name) = FileName::new(&row.name) else { continue };
                    self.entry(Entry::new(name, row.kind))?;
                }
                listing
            }
        };
        // The last one is next.
        self.pending[depth..].reverse();
        self.skipped = self.skipped.saturating_add(listing.skipped);
        self.hidden = self.hidden.saturating_add(listing.hidden);
        Ok(())
    }

    /// Prints an entry of a directory, and notes what is to be listed next.
    fn entry(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        if let (true, EntryKind::Directory { link: false }) = (self.args.recursive, entry.kind) {
            self.pending_len += entry.name.as_str().len();
            if self.pending_len > PENDING_MAX {
                return Err(Error::ListingTooLarge { limit: PENDING_MAX });
            }
            self.pending.push(entry.name.as_str().to_owned());
        }
        self.write(entry).map_err(Error::Write)
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
        let Ls { json, human, long, .. } = *self.args;
        let format = match (json, human, long) {
            (true, ..) => Format::Json,
            (_, true, _) => Format::Human,
            (.., true) => Format::Long,
            _ => Format::Short,
        };
        format.write(&mut self.out, entry.name.as_str(), entry.kind)
    }

    fn fail(&mut self, what: &str, error: &Error) {
        let exit = report_failure(what, error);
        if self.exit == Exit::Done {
            self.exit = exit;
        }
    }
}
