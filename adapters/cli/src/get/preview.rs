//! `--dry-run`: says what would be fetched, and changes nothing.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use coracle::client::{Client, Error};
use coracle::local::{Escaped, LocalError};
use coracle_core::{Code, DigestKind, Entry, EntryKind, FileName};

use super::newer::NewerArg;
use super::report;
use super::summary::Summary;
use super::tree::PENDING_MAX;
use crate::exit::{Exit, report_failure};
use crate::filter::Filter;
use crate::local_digest::digest_of;

/// More links than this on the way to a directory lead in a circle.
const LINKS_MAX: u32 = 8;

/// What would be fetched how.
pub struct Preview<'a> {
    pub filter: &'a Filter,
    pub newer: Option<NewerArg>,
    pub follow_links: bool,
    pub digest: Option<DigestKind>,
    /// Contents are compared also where size and time are equal.
    pub compares: bool,
    pub json: bool,
    pub quiet: bool,
}

/// What would be fetched where.
pub struct Wanted {
    /// A directory or file of the server's; `None` for all that is served.
    pub name: Option<String>,
    /// Where the file, or what is in the directory, goes.
    pub local: PathBuf,
    /// `None` for a file. What may be a directory goes to this one where it is none.
    pub root: Option<PathBuf>,
}

/// A directory that is to be listed.
struct Waiting {
    name: String,
    local: PathBuf,
    /// How many bytes of the name are that of the argument, with the `/` behind it.
    top_len: usize,
    links: u32,
}

struct Walk<'a> {
    preview: &'a Preview<'a>,
    summary: Summary,
    /// The exit code of the first failure.
    exit: Exit,
    /// Standard output is closed or full: nothing more is asked.
    is_over: bool,
}

/// Prints what would be fetched of `wanted`.
pub fn run(preview: &Preview<'_>, client: &mut Client, wanted: Vec<Wanted>) -> Exit {
    let mut walk = Walk { preview, summary: Summary::default(), exit: Exit::Done, is_over: false };
    for one in wanted {
        walk.wanted(client, one);
    }
    if preview.json {
        let line = report::summary(&walk.summary, walk.exit);
        walk.written(line);
    } else {
        let line = format!("{:#}", walk.summary);
        walk.say(&line);
    }
    walk.exit
}

impl Walk<'_> {
    fn wanted(&mut self, client: &mut Client, wanted: Wanted) {
        let Wanted { name, local, root } = wanted;
        let name = name.unwrap_or_default();
        let Some(root) = root else { return self.named_file(client, &name, &local) };
        let top_len = if name.is_empty() { 0 } else { name.len() + 1 };
        let mut waiting = vec![Waiting { name, local, top_len, links: 0 }];
        let mut is_first = true;
        while let Some(directory) = waiting.pop().filter(|_| !self.is_over) {
            match self.directory(client, &directory, &mut waiting) {
                Err(Error::Refused { code: Some(Code::NotDirectory), .. }) if is_first => {
                    let leaf = directory.name.rsplit('/').next().unwrap_or_default();
                    self.named_file(client, &directory.name, &root.join(leaf));
                }
                Err(error) => self.fail(if directory.name.is_empty() { "/" } else { &directory.name }, &error),
                Ok(()) => {}
            }
            is_first = false;
        }
    }

    fn directory(&mut self, client: &mut Client, directory: &Waiting, waiting: &mut Vec<Waiting>) -> Result<(), Error> {
        let path = FileName::new(&directory.name).ok();
        let (mut found, mut len) = (Vec::new(), 0);
        let listing =
            client.list_into(path, &mut found, Vec::clear, |found: &mut Vec<(String, EntryKind)>, entry| {
                len = if found.is_empty() { 0 } else { len }
                    + entry.name.as_str().len()
                    + size_of::<(String, EntryKind)>();
                if len > PENDING_MAX {
                    return Err(Error::ListingTooLarge { limit: PENDING_MAX });
                }
                if self.is_meant(entry, directory.top_len) {
                    found.push((entry.name.as_str().to_owned(), entry.kind));
                }
                Ok(())
            })?;
        self.summary.hidden += listing.hidden;
        if listing.skipped > 0 {
            self.summary.skipped += listing.skipped;
            self.fail_with(Exit::Refused);
        }
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut below = Vec::new();
        for (name, kind) in found {
            let local = directory.local.join(name.rsplit('/').next().unwrap_or_default());
            match kind {
                EntryKind::File { size, modified } => self.file(client, &name, &local, size, modified),
                EntryKind::Directory { link }
                    if link && (!self.preview.follow_links || directory.links == LINKS_MAX) =>
                {
                    self.summary.links += 1;
                }
                EntryKind::Directory { link } => {
                    let links = directory.links + u32::from(link);
                    below.push(Waiting { name, local, top_len: directory.top_len, links });
                }
                // No kind that this version can fetch.
                _ => {}
            }
        }
        // The last one is next.
        waiting.extend(below.into_iter().rev());
        Ok(())
    }

    fn is_meant(&self, entry: Entry<'_>, top_len: usize) -> bool {
        let below = entry.name.as_str().get(top_len..).unwrap_or_default();
        !self.preview.filter.excludes(below, matches!(entry.kind, EntryKind::Directory { .. }))
    }

    fn named_file(&mut self, client: &mut Client, name: &str, local: &Path) {
        let header = FileName::new(name).map_err(|_| Error::Violation(coracle_core::Violation::EntryName));
        match header.and_then(|name| client.stat(name, None)) {
            Ok(header) => self.file(client, name, local, header.size, header.modified),
            Err(error) => self.fail(name, &error),
        }
    }

    fn file(&mut self, client: &mut Client, name: &str, local: &Path, size: u64, modified: Option<u64>) {
        if self.is_over {
            return;
        }
        if self.preview.newer.is_some_and(|newer| !newer.includes(modified)) {
            self.summary.not_newer += 1;
            return;
        }
        let reason = match self.compare(client, name, local, size, modified) {
            Ok(reason) => reason,
            Err(error) => return self.fail(name, &error),
        };
        let Some(reason) = reason else {
            self.summary.unchanged += 1;
            let line = if self.preview.json { report::equal(name, Some(size)) } else { Ok(()) };
            return self.written(line);
        };
        self.summary.fetched += 1;
        self.summary.bytes += size;
        if self.preview.json {
            let line = report::would_fetch(name, size, reason);
            self.written(line);
        } else {
            self.say(&format!("fetch {} ({reason}, {size} bytes)", Escaped(name)));
        }
    }

    /// Why the file would be fetched; `None` where it is here already.
    fn compare(
        &self,
        client: &mut Client,
        name: &str,
        local: &Path,
        size: u64,
        modified: Option<u64>,
    ) -> Result<Option<&'static str>, Error> {
        let metadata = match fs::symlink_metadata(local) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Some("new"));
            }
            Err(error) => return Err(LocalError::Io { doing: "look at", path: local.to_owned(), error }.into()),
        };
        if !metadata.is_file() || metadata.len() != size {
            return Ok(Some("changed"));
        }
        let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        if !self.preview.compares && modified.is_some() && time.map(|time| time.as_secs()) == modified {
            return Ok(None);
        }
        let kind = self.preview.digest.unwrap_or(DigestKind::Crc32);
        let name = FileName::new(name).map_err(|_| Error::Violation(coracle_core::Violation::EntryName))?;
        let header = client.stat(name, Some(kind))?;
        let is_equal = header.size == size && header.digest.is_some() && header.digest == digest_of(local, kind)?;
        Ok((!is_equal).then_some("changed"))
    }

    fn fail(&mut self, name: &str, error: &Error) {
        self.summary.failed += 1;
        let exit = report_failure(name, error);
        self.fail_with(exit);
        if self.preview.json {
            let line = report::failed(name, error);
            self.written(line);
        }
        self.is_over |= error.kind() == coracle::client::ErrorKind::Network;
    }

    fn fail_with(&mut self, exit: Exit) {
        if self.exit == Exit::Done {
            self.exit = exit;
        }
    }

    /// Prints a line, which is all that `--dry-run` is for.
    fn say(&mut self, line: &str) {
        if !self.preview.quiet {
            let written = writeln!(io::stdout(), "{line}");
            self.written(written);
        }
    }

    fn written(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && !self.is_over
        {
            self.is_over = true;
            let exit = report_failure("standard output", &Error::Write(error));
            self.fail_with(exit);
        }
    }
}
