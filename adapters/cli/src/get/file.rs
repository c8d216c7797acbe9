//! Fetches one file of `coracle get`.

use std::path::Path;

use coracle::client::{Client, Download, Error, GetSummary};
use coracle::local::{DownloadTarget, Escaped, LocalError, Origin, Replace, escape_path, name_restriction};
use coracle_core::{DigestKind, FileName, Violation};

use super::known::{Decision, Judgement};
use super::store::Receipt;
use super::task::{Context, FileTask, TaskOutcome};

/// Fetches `task`, and leaves the download to the caller to commit. With `-r`, a file that is here already is not fetched.
pub fn fetch(context: &Context<'_>, client: &mut Client, task: &FileTask) -> Result<TaskOutcome, Error> {
    let name = parse_name(&task.name)?;
    if let (None, Some(why)) = (&task.leaf, name_restriction(name.last())) {
        return Err(LocalError::Name { name: name.as_str().to_owned(), why }.into());
    }
    let leaf = task.leaf.as_deref().unwrap_or(name.last().as_ref());
    let target = &DownloadTarget::new(task.directory.clone(), leaf);
    let settled = context.store.settled();
    let mut options = context.options.clone().with_staging(context.store.staging());
    if context.recursive {
        match known(context, client, name, target, task)? {
            None => return Ok(TaskOutcome::Unchanged),
            Some(replace) => options = options.with_replace(replace),
        }
    }
    let mut bar = context.display.bar(name.as_str());
    let download = client.download(name, target, &options, &mut bar)?;
    drop(bar);
    let receipt = context.recursive.then(|| receipt(name, task, &download, settled)).flatten();
    Ok(TaskOutcome::Downloaded(Box::new(download), receipt))
}

/// Finds out whether the file is here already: `None`. Else what may be replaced.
fn known(
    context: &Context<'_>,
    client: &mut Client,
    name: FileName<'_>,
    target: &DownloadTarget,
    task: &FileTask,
) -> Result<Option<Replace>, Error> {
    let store = &context.store;
    let path = local_path(name, task);
    let peer = client.address().to_string();
    let fetched = store.fetched(&path, name.as_str(), &peer);
    let rules = store.rules();
    match rules.decide(&task.listed, target, fetched.as_ref())? {
        Decision::Skip => {}
        Decision::Fetch(replace) => return Ok(Some(replace)),
        Decision::Ask => {
            let header = client.stat(name, Some(context.options.digest().unwrap_or(DigestKind::Crc32)))?;
            let stamp = match rules.judge(target, fetched.as_ref(), &header)? {
                Judgement::Fetch(replace) => return Ok(Some(replace)),
                Judgement::Equal(stamp) => stamp,
            };
            let origin =
                Origin { name: name.as_str().to_owned(), peer, size: header.size, version: header.version.clone() };
            let is_settled = is_settled(header.modified, rules.settled);
            let receipt = Receipt { path, origin, modified: header.modified, is_settled };
            store.note(receipt, header.digest, Some(stamp));
        }
    }
    if task.directory.had_parts() {
        // A run that ended between the rename and the removal of the sidecar left it behind: finding it removes it.
        target.find_part()?;
    }
    Ok(None)
}

/// What to note of a file that was received.
fn receipt(name: FileName<'_>, task: &FileTask, download: &Download, settled: Option<u64>) -> Option<Receipt> {
    let modified = download.modified();
    let (path, origin) = (local_path(name, task), download.origin()?.clone());
    Some(Receipt { path, origin, modified, is_settled: is_settled(modified, settled) })
}

fn is_settled(modified: Option<u64>, settled: Option<u64>) -> bool {
    modified.zip(settled).is_some_and(|(modified, settled)| modified <= settled)
}

/// The path below the root.
fn local_path(name: FileName<'_>, task: &FileTask) -> String {
    match task.directory.below() {
        "" => name.last().to_owned(),
        below => format!("{below}/{}", name.last()),
    }
}

/// Parses a name that is a listed name, or a path made of such: one that is none is the server's mistake.
pub fn parse_name(path: &str) -> Result<FileName<'_>, Error> {
    FileName::new(path).map_err(|_| Error::Violation(Violation::EntryName))
}

/// The line for a file that was fetched.
pub fn describe(name: &str, path: &Path, summary: &GetSummary) -> String {
    let verified = match summary.digest {
        Some(digest) => format!("{} {digest}", digest.kind()),
        None => "not verified".to_owned(),
    };
    let resumed = if summary.resumed > 0 { format!(", resumed at {}", summary.resumed) } else { String::new() };
    let snapshot = if summary.is_snapshot { ", a snapshot: it changed meanwhile" } else { "" };
    let path = escape_path(path);
    format!("{} -> {path}: {} bytes, {verified}{resumed}{snapshot}", Escaped(name), summary.size)
}
