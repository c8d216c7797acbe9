//! Lines of JSON on what became of each file, for `--json`.

use std::io;
use std::path::Path;

use coracle::client::{Error, GetSummary};
use coracle::local::{LocalError, escape_json};
use serde::Serialize;

use super::summary::Summary;
use crate::exit::{Exit, report_failure};
use crate::standard_output;

/// What the help of `--json` says.
pub const HELP: &str = "\
With --json a line stands on standard output for each file, with fileName and outcome:
  'fetched': fileSize, path, resumed (bytes of an earlier run), isSnapshot, crc32 or sha256
  'equal': fileSize
  'wouldFetch', with --dry-run: fileSize, and reason, which is 'new' or 'changed'
  'deleted' and, with --dry-run, 'wouldDelete', of sync: path and no fileName
  'failed': reason, which is the protocol's word ('notFound', 'denied', ...), or 'changed',
    'network', 'busy', 'violation', 'digest', 'exists', 'noSpace', 'locked', 'name',
    'tooLarge', 'local'; and message, for people
The last line has outcome 'summary', and fetched, bytes, equal, notNewer, failed, skipped,
hidden, links, notTried and exitCode.";

/// A line about a file.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileLine<'a> {
    file_name: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_snapshot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crc32: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Debug, Serialize)]
struct DeletionLine {
    path: String,
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryLine<'a> {
    outcome: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
    exit_code: u8,
}

/// A file was fetched to `path`.
pub fn fetched(name: &str, path: &Path, summary: &GetSummary) -> io::Result<()> {
    let digest = |kind| summary.digest.filter(|digest| digest.kind() == kind).map(|digest| digest.to_string());
    write(&FileLine {
        file_name: name,
        outcome: "fetched",
        path: Some(path.to_string_lossy().into_owned()),
        file_size: Some(summary.size),
        resumed: Some(summary.resumed),
        is_snapshot: Some(summary.is_snapshot),
        crc32: digest(coracle_core::DigestKind::Crc32),
        sha256: digest(coracle_core::DigestKind::Sha256),
        ..FileLine::default()
    })
}

/// A file is here already.
pub fn equal(name: &str, size: Option<u64>) -> io::Result<()> {
    write(&FileLine { file_name: name, outcome: "equal", file_size: size, ..FileLine::default() })
}

/// A file or directory could not be fetched.
pub fn failed(name: &str, error: &Error) -> io::Result<()> {
    write(&FileLine {
        file_name: name,
        outcome: "failed",
        reason: Some(reason(error)),
        message: Some(error.to_string()),
        ..FileLine::default()
    })
}

/// A file would be fetched.
pub fn would_fetch(name: &str, size: u64, reason: &str) -> io::Result<()> {
    let line = FileLine { file_name: name, outcome: "wouldFetch", reason: Some(reason), ..FileLine::default() };
    write(&FileLine { file_size: Some(size), ..line })
}

/// An entry was deleted, or would be.
pub fn deleted(path: &Path, is_dry_run: bool) -> io::Result<()> {
    let outcome = if is_dry_run { "wouldDelete" } else { "deleted" };
    write(&DeletionLine { path: path.to_string_lossy().into_owned(), outcome })
}

/// The end.
pub fn summary(summary: &Summary, exit: Exit) -> io::Result<()> {
    write(&SummaryLine { outcome: "summary", summary, exit_code: exit.code() })
}

/// The exit code where a line could not be written: also of a reader that wants no more, since not all was done.
pub fn cannot_tell(error: io::Error) -> Exit {
    match report_failure("standard output", &Error::Write(error)) {
        Exit::Done => Exit::LocalFile,
        exit => exit,
    }
}

/// The code for `error`, which does not change with the words of messages.
fn reason(error: &Error) -> &str {
    match error {
        Error::Refused { code_name, .. } => code_name,
        Error::Changed => "changed",
        error if error.is_busy() => "busy",
        Error::Connect { .. } | Error::Connection { .. } => "network",
        Error::Violation(_) => "violation",
        Error::DigestMismatch => "digest",
        Error::TooLarge { .. } | Error::ListingTooLarge { .. } => "tooLarge",
        Error::Local(LocalError::Exists(_)) => "exists",
        Error::Local(LocalError::NoSpace { .. }) => "noSpace",
        Error::Local(LocalError::Locked(_)) => "locked",
        Error::Local(LocalError::Name { .. }) => "name",
        _ => "local",
    }
}

/// Writes a line in one piece, so that those of several threads do not mix.
fn write(line: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(line).map_err(io::Error::from)?;
    standard_output::write(format!("{}\n", escape_json(&json)).as_bytes())
}
