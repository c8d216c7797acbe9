//! A queue of requests, and what became of them.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use coracle::client::{Client, Error, GetOptions, PipelineAnswer, PipelineRequest, RequestQueue};
use coracle::local::{Directory, DownloadTarget};
use coracle::{DigestKind, Entry, FileName};
use tempfile::TempDir;

use crate::scripted::contents;

/// A request: a kind and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    Get(String),
    Stat(String),
    List(String),
}

/// How a request ended: what it brought, or its error.
pub type Ended = (Job, Result<(), Error>);

pub struct Jobs {
    pub jobs: VecDeque<Job>,
    pub directory: TempDir,
    pub options: GetOptions,
    pub sizes_known: bool,
    /// Whether files get their names.
    pub is_committed: bool,
    pub ended: Vec<Ended>,
    /// The greatest `pending` that was named when a request was taken.
    pub most_pending: usize,
    /// Ends the pipeline after so many.
    pub stop_after: usize,
    opened: Arc<Directory>,
}

impl Jobs {
    pub fn new(jobs: impl IntoIterator<Item = Job>) -> Self {
        // In memory where there is such a place, since none of this is about the disk.
        let memory = tempfile::tempdir_in("/dev/shm");
        let directory = memory.or_else(|_| tempfile::tempdir()).expect("a directory");
        let opened = Arc::new(Directory::open(directory.path()).expect("open"));
        let (jobs, options) = (jobs.into_iter().collect(), GetOptions::new());
        let (ended, stop_after) = (Vec::new(), usize::MAX);
        Self {
            jobs,
            directory,
            options,
            sizes_known: false,
            is_committed: true,
            ended,
            most_pending: 0,
            stop_after,
            opened,
        }
    }

    pub fn gets(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(names.into_iter().map(|name| Job::Get(name.into())))
    }

    /// Makes all requests, and returns what is not done.
    pub fn run(&mut self, address: SocketAddr) -> Vec<Job> {
        self.run_with(&mut client(address))
    }

    pub fn run_with(&mut self, client: &mut Client) -> Vec<Job> {
        let tags = client.pipeline(self);
        tags.into_iter().map(|(job, _)| job).collect()
    }

    /// The names of what succeeded, in order.
    pub fn succeeded(&self) -> Vec<&str> {
        self.ended.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(job, _)| job.name()).collect()
    }

    /// The names and errors of what failed.
    pub fn failed(&self) -> Vec<(&str, &Error)> {
        self.ended.iter().filter_map(|(job, outcome)| Some((job.name(), outcome.as_ref().err()?))).collect()
    }
}

impl Job {
    pub fn name(&self) -> &str {
        match self {
            Self::Get(name) | Self::Stat(name) | Self::List(name) => name,
        }
    }
}

pub fn client(address: SocketAddr) -> Client {
    Client::new(address.into()).with_stall_timeout(Some(Duration::from_secs(60)))
}

/// `count` names of files of `len` bytes.
pub fn names(count: usize, len: usize) -> Vec<String> {
    (0..count).map(|at| format!("f{at}-{len}")).collect()
}

impl RequestQueue for Jobs {
    /// The entries of a listing.
    type Tag = (Job, Vec<String>);
    type Progress = ();

    fn next(&mut self, pending: usize) -> Option<(Self::Tag, PipelineRequest<()>)> {
        let job = self.jobs.pop_front()?;
        self.most_pending = self.most_pending.max(pending + 1);
        let name = FileName::new(job.name()).expect("a name");
        let request = match &job {
            Job::Get(name_text) => {
                let leaf = name_text.replace('/', "_");
                let target = DownloadTarget::new(self.opened.clone(), leaf.as_ref());
                let size = Some(contents(name_text).len() as u64).filter(|_| self.sizes_known);
                PipelineRequest::get(name, target, self.options.clone(), ()).with_size(size)
            }
            Job::Stat(_) => PipelineRequest::stat(name, Some(DigestKind::Crc32)),
            Job::List(_) => PipelineRequest::list(Some(name)),
        };
        Some(((job, Vec::new()), request))
    }

    fn entry(&mut self, (_, entries): &mut Self::Tag, entry: Entry<'_>) -> Result<(), Error> {
        entries.push(entry.name.as_str().to_owned());
        Ok(())
    }

    fn listing_started(&mut self, (_, entries): &mut Self::Tag) {
        entries.clear();
    }

    fn done(&mut self, (job, entries): Self::Tag, outcome: Result<PipelineAnswer, Error>) -> ControlFlow<()> {
        let outcome = outcome.and_then(|answer| {
            let file = contents(job.name());
            match answer {
                PipelineAnswer::Downloaded(download) if !self.is_committed => drop(download),
                PipelineAnswer::Downloaded(download) => {
                    let summary = download.commit()?;
                    let path = self.directory.path().join(job.name().replace('/', "_"));
                    assert!(fs::read(&path).expect("it has its name") == file, "{job:?}");
                    assert_eq!(summary.size, file.len() as u64);
                }
                PipelineAnswer::Described(header) => {
                    assert_eq!(header.digest, Some(crate::scripted::digest(&file)), "{job:?}");
                }
                PipelineAnswer::Listed(listing) => {
                    let expected = [0, 1, 2].map(|at| format!("{}/{at}-100", job.name()));
                    assert_eq!((listing.count, entries.as_slice()), (3, expected.as_slice()));
                }
                _ => panic!("no such answer"),
            }
            Ok(())
        });
        self.ended.push((job, outcome));
        if self.ended.len() >= self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
