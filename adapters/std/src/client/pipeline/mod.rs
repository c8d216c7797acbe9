//! Many requests over one connection, sent ahead: a link with a long round trip costs one for dozens of them.

mod engine;
mod link;
mod work;

use std::ops::ControlFlow;

use coracle_core::{DigestKind, Entry, FileName, Header, Listing};

use super::download::Download;
use super::error::Error;
use super::options::GetOptions;
use super::progress::Progress;
use super::requester::Requester;
use crate::local::DownloadTarget;

/// How many requests are sent before the first of them is answered, at most.
const MAX_REQUESTS: usize = 64;
/// How many bytes such requests have together, at most.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// No more requests are sent ahead while the answers to those that were have so many bytes, as far as that is known.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;

/// Where [`Client::pipeline`](super::Client::pipeline) takes its requests from, and what it gives the answers to.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use coracle::client::{Error, PipelineAnswer, PipelineRequest, RequestQueue};
/// use coracle_core::{DigestKind, FileName, Header};
///
/// /// Asks for the digests of many files.
/// struct Digests {
///     names: Vec<String>,
///     told: Vec<(String, Result<Header, Error>)>,
/// }
///
/// impl RequestQueue for Digests {
///     type Tag = String;
///     type Progress = ();
///
///     fn next(&mut self, _pending: usize) -> Option<(String, PipelineRequest<()>)> {
///         let name = self.names.pop()?;
///         let request = PipelineRequest::stat(FileName::new(&name).ok()?, Some(DigestKind::Crc32));
///         Some((name, request))
///     }
///
///     fn done(&mut self, name: String, outcome: Result<PipelineAnswer, Error>) -> ControlFlow<()> {
///         let header = outcome.map(|answer| match answer {
///             PipelineAnswer::Described(header) => header,
///             _ => unreachable!("only stat is asked"),
///         });
///         self.told.push((name, header));
///         ControlFlow::Continue(())
///     }
/// }
/// ```
pub trait RequestQueue {
    /// What the owner of the queue knows a request by.
    type Tag;
    /// What observes the progress of a fetch.
    type Progress: Progress;

    /// The next request, and its tag; `None` when there is none now. `pending` requests have been taken and are not done. Asked
    /// again after each of them, so that a queue of several connections need not give many requests to one of them. May wait
    /// for a request to come where `pending` is 0, and never else. `None` where `pending` is 0 ends the pipeline.
    fn next(&mut self, pending: usize) -> Option<(Self::Tag, PipelineRequest<Self::Progress>)>;

    /// An entry of the listing that `tag` asked for.
    ///
    /// # Errors
    ///
    /// Why the listing is of no use; it is the outcome of that request.
    fn entry(&mut self, tag: &mut Self::Tag, entry: Entry<'_>) -> Result<(), Error> {
        let (_, _) = (tag, entry);
        Ok(())
    }

    /// The listing that `tag` asked for begins: again, where there were entries already.
    fn listing_started(&mut self, tag: &mut Self::Tag) {
        let _ = tag;
    }

    /// A request is done: once for each, mostly in the order in which they were taken. `Break` ends the pipeline.
    fn done(&mut self, tag: Self::Tag, outcome: Result<PipelineAnswer, Error>) -> ControlFlow<()>;
}

/// A request of a [`RequestQueue`]. `P` observes the progress of a fetch.
#[derive(Debug)]
pub struct PipelineRequest<P = ()> {
    kind: Kind<P>,
}

#[derive(Debug)]
enum Kind<P> {
    Get { name: String, target: DownloadTarget, options: GetOptions, progress: P, size: Option<u64> },
    Stat { name: String, digest: Option<DigestKind> },
    List { path: Option<String> },
}

/// The answer to a [`PipelineRequest`].
#[derive(Debug)]
#[non_exhaustive]
pub enum PipelineAnswer {
    /// To a fetch: the file was received and verified, and does not have its name yet.
    Downloaded(Box<Download>),
    /// To a `stat`.
    Described(Header),
    /// To a `list`: its end.
    Listed(Listing),
}

impl<P> PipelineRequest<P> {
    /// Fetches the file `name` to `target`, as [`Client::download`](super::Client::download) does.
    #[must_use]
    pub fn get(name: FileName<'_>, target: DownloadTarget, options: GetOptions, progress: P) -> Self {
        let name = name.as_str().to_owned();
        Self { kind: Kind::Get { name, target, options, progress, size: None } }
    }

    /// Sets the size in bytes that the file to fetch is said to have, so that one large file delays no others that another
    /// connection could fetch.
    #[must_use]
    pub fn with_size(mut self, known: Option<u64>) -> Self {
        if let Kind::Get { size, .. } = &mut self.kind {
            *size = known;
        }
        self
    }

    /// Asks for the size, time and version of the file `name`, and for a digest of its contents.
    #[must_use]
    pub fn stat(name: FileName<'_>, digest: Option<DigestKind>) -> Self {
        Self { kind: Kind::Stat { name: name.as_str().to_owned(), digest } }
    }

    /// Lists the directory `path`, or the root for `None`.
    #[must_use]
    pub fn list(path: Option<FileName<'_>>) -> Self {
        Self { kind: Kind::List { path: path.map(|path| path.as_str().to_owned()) } }
    }
}

/// Makes the requests of `queue`. Returns the tags of those that were taken and are not done.
pub(super) fn run<Q: RequestQueue>(requester: &mut Requester, queue: &mut Q) -> Vec<Q::Tag> {
    engine::Engine::new(requester, queue).run()
}
