//! A file of `coracle get`: what is asked about it, and whether that is necessary.

use std::path::Path;

use coracle::client::{Download, Error, GetSummary, PipelineRequest};
use coracle::local::{DownloadTarget, Escaped, Fetched, LocalError, Origin, Replace, escape_path, name_restriction};
use coracle_core::{DigestKind, FileName, Header, Violation};

use super::known::{Decision, Judgement};
use super::store::Receipt;
use super::task::{Context, FileTask};
use crate::progress::FileBar;

/// What is asked about a file.
pub enum FileStep {
    /// When it was modified, where that decides whether it is meant and no listing has told it.
    Time { target: DownloadTarget },
    /// The version and the digest, to compare them with those of the file that is here.
    Version { target: DownloadTarget, fetched: Option<Box<Fetched>> },
    /// The file itself. `settled` as it was when it was asked for.
    Contents { target: DownloadTarget, replace: Replace, settled: Option<u64> },
}

/// What is done about a file.
pub enum First {
    /// Nothing: it is here.
    Here,
    /// Something is asked.
    Step(FileStep),
}

impl FileStep {
    /// What is asked first about `task`, a file of the server `peer`.
    pub fn first(context: &Context<'_>, peer: &str, task: &FileTask) -> Result<First, Error> {
        let name = parse_name(&task.name)?;
        if let (None, Some(why)) = (&task.leaf, name_restriction(name.last())) {
            return Err(LocalError::Name { name: name.as_str().to_owned(), why }.into());
        }
        let leaf = task.leaf.as_deref().unwrap_or(name.last().as_ref());
        let target = DownloadTarget::new(task.directory.clone(), leaf);
        if context.newer.is_some() && task.listed.size.is_none() {
            return Ok(First::Step(Self::Time { target }));
        }
        Self::of_meant(context, peer, task, target)
    }

    /// What is asked about a file that is meant.
    pub fn of_meant(
        context: &Context<'_>,
        peer: &str,
        task: &FileTask,
        target: DownloadTarget,
    ) -> Result<First, Error> {
        let name = parse_name(&task.name)?;
        let (store, rules) = (&context.store, context.store.rules());
        if !context.recursive {
            return Ok(First::Step(Self::contents(context, target, rules.replace_none())));
        }
        let fetched = store.fetched(&local_path(name, task), name.as_str(), peer);
        Ok(match rules.decide(&task.listed, &target, fetched.as_ref())? {
            Decision::Skip => here(task, &target)?,
            Decision::Fetch(replace) => First::Step(Self::contents(context, target, replace)),
            Decision::Ask => First::Step(Self::Version { target, fetched: fetched.map(Box::new) }),
        })
    }

    /// The request for it.
    pub fn request(&self, context: &Context<'_>, task: &FileTask) -> Result<PipelineRequest<FileBar>, Error> {
        let name = parse_name(&task.name)?;
        Ok(match self {
            Self::Time { .. } => PipelineRequest::stat(name, None),
            Self::Version { .. } => {
                PipelineRequest::stat(name, Some(context.options.digest().unwrap_or(DigestKind::Crc32)))
            }
            Self::Contents { target, replace, .. } => {
                let options = context.options.clone().with_replace(*replace).with_staging(context.store.staging());
                let bar = context.display.bar(name.as_str());
                PipelineRequest::get(name, target.clone(), options, bar).with_size(task.listed.size)
            }
        })
    }

    /// What is to be done by the answer to it.
    pub fn judge(self, context: &Context<'_>, peer: &str, task: &FileTask, header: &Header) -> Result<First, Error> {
        let Self::Version { target, fetched } = self else { return Ok(First::Step(self)) };
        let (store, rules) = (&context.store, context.store.rules());
        let stamp = match rules.judge(&target, fetched.as_deref(), header)? {
            Judgement::Fetch(replace) => return Ok(First::Step(Self::contents(context, target, replace))),
            Judgement::Equal(stamp) => stamp,
        };
        let name = parse_name(&task.name)?;
        let (size, version, modified) = (header.size, header.version.clone(), header.modified);
        let origin = Origin { name: name.as_str().to_owned(), peer: peer.to_owned(), size, version };
        let is_settled = is_settled(modified, rules.settled);
        let receipt = Receipt { path: local_path(name, task), origin, modified, is_settled };
        store.note(receipt, header.digest, Some(stamp));
        here(task, &target)
    }

    fn contents(context: &Context<'_>, target: DownloadTarget, replace: Replace) -> Self {
        Self::Contents { target, replace, settled: context.store.settled() }
    }
}

/// What to note of a file that was received.
pub fn receipt(task: &FileTask, step: &FileStep, download: &Download) -> Option<Receipt> {
    let FileStep::Contents { settled, .. } = step else { return None };
    let (origin, modified) = (download.origin()?.clone(), download.modified());
    let path = local_path(FileName::new(&task.name).ok()?, task);
    Some(Receipt { path, origin, modified, is_settled: is_settled(modified, *settled) })
}

/// A file that is here already.
fn here(task: &FileTask, target: &DownloadTarget) -> Result<First, Error> {
    if task.directory.had_parts() {
        // A run that ended between the rename and the removal of the sidecar left it behind: finding it removes it.
        target.find_part()?;
    }
    Ok(First::Here)
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

/// The line that tells of a file that was fetched.
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
