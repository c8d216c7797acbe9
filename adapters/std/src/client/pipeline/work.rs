//! A request that was taken from the queue, and the receiving of its answer.

use std::time::Duration;

use coracle_core::blocking::ClientError;
use coracle_core::exec::Sink;
use coracle_core::{ClientRequest, DigestKind, End, FileName, Header, Listing};

use super::{Kind, PipelineAnswer, PipelineRequest, RequestQueue};
use crate::client::attempt::FailedAttempt;
use crate::client::backoff::RetryPolicy;
use crate::client::download::{Fetch, Next};
use crate::client::error::Error;
use crate::client::progress::Progress;
use crate::client::requester::{ClientConnection, Requester};
use crate::transport::TransportError;

/// The length in bytes that an answer of unknown length is taken to have.
const UNKNOWN_LEN: u64 = super::MAX_ANSWER_BYTES / super::MAX_REQUESTS as u64;
/// What is left of a body, in bytes, that is received for nothing rather than to lose the connection, and the requests that
/// were sent on it, where the file cannot be stored.
const MAX_DISCARDED: u64 = 256 * 1024;
/// The same for a listing, in entries.
const MAX_DISCARDED_ENTRIES: usize = 1_000;

/// A request, what it is for, and what receives its answer.
pub struct Work<T, P> {
    pub tag: T,
    pub exchange: Exchange<P>,
    /// How many bytes its answer has, as far as that is known.
    pub answer_len: u64,
}

pub enum Exchange<P> {
    Get(Box<Fetch<P>>),
    Stat { name: String, digest: Option<DigestKind> },
    List { path: Option<String> },
}

/// A complete answer.
pub enum Received {
    Body(End),
    Header(Header),
    Listing(Listing),
}

impl<T, P: Progress> Work<T, P> {
    /// What `request` has to do before it is sent. Gives the tag back where that fails.
    pub fn new(requester: &Requester, tag: T, request: PipelineRequest<P>) -> Result<Self, (T, Error)> {
        let (exchange, answer_len) = match request.kind {
            Kind::Get { name, target, options, progress, size } => {
                match Fetch::new(&requester.address, file_name(&name), target, options, progress) {
                    Ok(fetch) => (Exchange::Get(Box::new(fetch)), size.unwrap_or(UNKNOWN_LEN)),
                    Err(error) => return Err((tag, error)),
                }
            }
            Kind::Stat { name, digest } => (Exchange::Stat { name, digest }, 0),
            Kind::List { path } => (Exchange::List { path }, UNKNOWN_LEN),
        };
        Ok(Self { tag, exchange, answer_len })
    }

    pub fn request(&self) -> ClientRequest<'_> {
        match &self.exchange {
            Exchange::Get(fetch) => ClientRequest::Get(fetch.request()),
            Exchange::Stat { name, digest } => ClientRequest::Stat { name: file_name(name), digest: *digest },
            Exchange::List { path } => ClientRequest::List { path: path.as_deref().map(file_name) },
        }
    }

    /// Whether it is made with nothing sent ahead of it: what is there of an earlier run is hashed before it is sent.
    pub fn reads_back(&self) -> bool {
        matches!(&self.exchange, Exchange::Get(fetch) if fetch.reads_back())
    }

    /// Receives the answer to its request, which was sent.
    pub fn receive<Q: RequestQueue<Tag = T>>(
        &mut self,
        queue: &mut Q,
        connection: &mut ClientConnection,
    ) -> Result<Received, ClientError<TransportError, Error>> {
        connection.start_sent(self.request()).map_err(ClientError::Start)?;
        match &mut self.exchange {
            Exchange::Get(fetch) => {
                let mut sink = Discarding { sink: &mut **fetch, failed: None, end: 0 };
                let received = connection.finish_get(&mut sink);
                match sink.failed {
                    Some(error) => Err(ClientError::Sink(error)),
                    None => received.map(Received::Body),
                }
            }
            Exchange::Stat { .. } => connection.finish_stat().map(Received::Header).map_err(without_sink),
            Exchange::List { .. } => {
                queue.listing_started(&mut self.tag);
                let (mut failed, mut discarded) = (None, 0);
                let received = connection.finish_list(|entry| {
                    if failed.is_none() {
                        failed = queue.entry(&mut self.tag, entry).err();
                        return Ok(());
                    }
                    discarded += 1;
                    if discarded < MAX_DISCARDED_ENTRIES { Ok(()) } else { Err(Abandoned) }
                });
                match (failed, received) {
                    (Some(error), _) => Err(ClientError::Sink(error)),
                    (None, received) => received.map(Received::Listing).map_err(without_sink),
                }
            }
        }
    }

    /// Makes the request and receives its answer with nothing sent ahead, and with the retries that are left after a `first`
    /// attempt that failed.
    pub fn run_alone<Q: RequestQueue<Tag = T>>(
        self,
        requester: &mut Requester,
        queue: &mut Q,
        first: Option<FailedAttempt>,
    ) -> (T, Result<PipelineAnswer, Error>) {
        let Self { mut tag, exchange, .. } = self;
        let outcome = match exchange {
            Exchange::Get(fetch) => fetch.run(requester).map(Box::new).map(PipelineAnswer::Downloaded),
            Exchange::Stat { name, digest } => {
                let name = file_name(&name);
                let attempt = |requester: &mut Requester| requester.attempt(|connection| connection.stat(name, digest));
                let first = first.map_or_else(|| attempt(requester), Err);
                requester.retry_after(first, attempt).map(PipelineAnswer::Described)
            }
            Exchange::List { path } => {
                let path = path.as_deref().map(file_name);
                let mut attempt = |requester: &mut Requester| {
                    queue.listing_started(&mut tag);
                    requester.attempt(|connection| connection.list(path, |entry| queue.entry(&mut tag, entry)))
                };
                let first = first.map_or_else(|| attempt(requester), Err);
                requester.retry_after(first, attempt).map(PipelineAnswer::Listed)
            }
        };
        (tag, outcome)
    }
}

/// What follows the first attempt of a request.
pub enum Concluded<T, P> {
    Done(T, Result<PipelineAnswer, Error>),
    /// Another attempt, with nothing sent ahead, after a pause.
    Again(Work<T, P>, Duration, Option<FailedAttempt>),
}

impl<T, P: Progress> Work<T, P> {
    pub fn conclude(self, outcome: Result<Received, FailedAttempt>, policy: RetryPolicy) -> Concluded<T, P> {
        let Self { tag, exchange, answer_len } = self;
        let mut fetch = match exchange {
            Exchange::Get(fetch) => fetch,
            exchange => {
                return match outcome {
                    Ok(Received::Header(header)) => Concluded::Done(tag, Ok(PipelineAnswer::Described(header))),
                    Ok(Received::Listing(listing)) => Concluded::Done(tag, Ok(PipelineAnswer::Listed(listing))),
                    Ok(Received::Body(_)) => unreachable!("a body is received by a fetch"),
                    Err(failed) if failed.error.is_temporary() => {
                        Concluded::Again(Self { tag, exchange, answer_len }, Duration::ZERO, Some(failed))
                    }
                    Err(failed) => Concluded::Done(tag, Err(failed.error)),
                };
            }
        };
        let outcome = outcome.map(|received| match received {
            Received::Body(end) => end,
            _ => unreachable!("a fetch receives a body"),
        });
        match fetch.judge(outcome, policy) {
            Ok(Next::Done(proof, summary)) => {
                let download = fetch.finish(proof, summary);
                Concluded::Done(tag, download.map(Box::new).map(PipelineAnswer::Downloaded))
            }
            Ok(Next::Again(pause)) => {
                Concluded::Again(Self { tag, exchange: Exchange::Get(fetch), answer_len }, pause, None)
            }
            Err(error) => Concluded::Done(tag, Err(fetch.fail(error))),
        }
    }
}

/// A sink that goes on after an error where little is to come.
struct Discarding<'a, S> {
    sink: &'a mut S,
    failed: Option<Error>,
    /// Where the body ends.
    end: u64,
}

impl<S: Sink<Error = Error>> Discarding<'_, S> {
    /// Notes an error at `position`, unless so much is to come that it ends the connection.
    fn note(&mut self, outcome: Result<(), Error>, position: u64) -> Result<(), Error> {
        match outcome {
            Err(error) if self.end.saturating_sub(position) <= MAX_DISCARDED => {
                self.failed = Some(error);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl<S: Sink<Error = Error>> Sink for Discarding<'_, S> {
    type Error = Error;

    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        self.end = header.offset.saturating_add(header.length);
        let begun = self.sink.begin(header);
        self.note(begun, header.offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        if self.failed.is_some() {
            return Ok(());
        }
        let written = self.sink.write(offset, bytes);
        self.note(written, offset.saturating_add(bytes.len() as u64))
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.sink.read_back(offset, buf)
    }
}

/// Ends a listing whose entries are of no use.
struct Abandoned;

/// An error of an exchange whose own sink cannot fail, or whose error was noted.
fn without_sink<S>(error: ClientError<TransportError, S>) -> ClientError<TransportError, Error> {
    match error {
        ClientError::Start(error) => ClientError::Start(error),
        ClientError::Refused(code) => ClientError::Refused(code),
        ClientError::Failed(failure) => ClientError::Failed(failure),
        ClientError::Transport(error) => ClientError::Transport(error),
        _ => ClientError::TooFewToReadBack,
    }
}

fn file_name(name: &str) -> FileName<'_> {
    FileName::new(name).unwrap_or_else(|_| unreachable!("it was made of one"))
}
