//! What is told of each file that was sent.

use std::io;
use std::path::Path;

use coracle::client::{Error, PutSummary};
use coracle::local::{Escaped, escape_json, escape_path};
use coracle_core::Code;
use serde_json::json;

use super::summary::Summary;
use crate::exit::Exit;
use crate::standard_output;

/// What the help of `--json` says.
pub const HELP: &str = "\
With --json a line stands on standard output for each file, with fileName and outcome:
  'sent' and 'equal': path, fileSize, resumed (bytes of an earlier run), sha256 or crc32, and
    version, but with --fsync batch; of what sync did not send fileSize alone
  'wouldSend', with --dry-run: path, fileSize, and reason, which is 'new' or 'changed'
  'deleted' and, with --dry-run, 'wouldDelete', of sync
  'failed': reason, which is the protocol's word ('exists', 'denied', ...), or 'changed',
    'network', 'busy', 'violation', 'local'; and message, for people
The last line has outcome 'summary', and sent, bytes, equal, failed, notTried and exitCode.";

/// The line for people.
pub fn describe(path: &Path, name: &str, summary: &PutSummary) -> String {
    let PutSummary { size, resumed, digest, version, was_there, .. } = summary;
    let how = match (*was_there, *resumed) {
        (true, _) => ", was there already".to_owned(),
        (_, 0) => String::new(),
        (_, resumed) => format!(", resumed at {resumed}"),
    };
    let (path, name, kind) = (escape_path(path), Escaped(name), digest.kind());
    let version = version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    format!("{path} -> {name}: {size} bytes, {kind} {digest}{version}{how}")
}

/// A file was stored.
pub fn sent(name: &str, path: &Path, summary: &PutSummary) -> io::Result<()> {
    let outcome = if summary.was_there { "equal" } else { "sent" };
    let mut line = json!({
        "fileName": name,
        "outcome": outcome,
        "path": path.to_string_lossy(),
        "fileSize": summary.size,
        "resumed": summary.resumed,
    });
    if let Some(version) = &summary.version {
        line["version"] = version.as_str().into();
    }
    line[summary.digest.kind().as_str()] = summary.digest.to_string().into();
    write(&line)
}

/// A file that the server lists as it is here, and that was not sent.
pub fn equal(name: &str, size: u64) -> io::Result<()> {
    write(&json!({ "fileName": name, "outcome": "equal", "fileSize": size }))
}

/// A file would be sent.
pub fn would_send(name: &str, path: &Path, size: u64, reason: &str) -> io::Result<()> {
    let path = path.to_string_lossy();
    write(&json!({ "fileName": name, "outcome": "wouldSend", "path": path, "fileSize": size, "reason": reason }))
}

/// A file would be refused.
pub fn would_fail(name: &str, code: Code, text: &str) -> io::Result<()> {
    write(&json!({ "fileName": name, "outcome": "failed", "reason": code.as_str(), "message": text }))
}

/// An entry at the server was deleted, or would be.
pub fn deleted(name: &str, is_dry_run: bool) -> io::Result<()> {
    write(&json!({ "fileName": name, "outcome": if is_dry_run { "wouldDelete" } else { "deleted" } }))
}

/// A file was not stored.
pub fn failed(name: &str, error: &Error) -> io::Result<()> {
    let reason = match error {
        Error::Refused { code_name, .. } => code_name,
        error if error.is_busy() => "busy",
        Error::Connect { .. } | Error::Connection { .. } => "network",
        Error::SourceChanged => "changed",
        Error::Violation(_) => "violation",
        _ => "local",
    };
    write(&json!({ "fileName": name, "outcome": "failed", "reason": reason, "message": error.to_string() }))
}

/// The end.
pub fn summary(summary: &Summary, exit: Exit) -> io::Result<()> {
    let mut line = serde_json::to_value(summary).map_err(io::Error::from)?;
    line["outcome"] = "summary".into();
    line["exitCode"] = exit.code().into();
    write(&line)
}

fn write(line: &serde_json::Value) -> io::Result<()> {
    standard_output::write(format!("{}\n", escape_json(&line.to_string())).as_bytes())
}
