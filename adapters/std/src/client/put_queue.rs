//! Many files over one connection: the request of each follows the body of the one before directly.

use std::fs::File;
use std::ops::ControlFlow;

use coracle_core::{FileName, Put};

use super::error::Error;
use super::outgoing::Outgoing;
use super::progress::Progress;
use super::reading::READ_LEN;
use super::requester::Requester;
use super::unsettled::Unsettled;
use super::upload::{Ahead, PutOptions, PutSummary, digest_kind, request, send};

/// Files of at most so many bytes are hashed before the file ahead of them is sent, and kept in memory.
const AHEAD_MAX: u64 = 1 << 20;

/// Where [`Client::put_all`](super::Client::put_all) takes its files from, and what it tells of their outcome.
///
/// ```
/// use std::fs::File;
/// use std::ops::ControlFlow;
///
/// use coracle::FileName;
/// use coracle::client::{Error, PutOptions, PutQueue, PutRequest, PutSummary, QueuedPut};
///
/// /// Sends the logs of yesterday and today.
/// struct Logs(Vec<&'static str>);
///
/// impl PutQueue for Logs {
///     type Tag = &'static str;
///     type Progress = ();
///
///     fn next(&mut self) -> Option<QueuedPut<&'static str, ()>> {
///         let name = self.0.pop()?;
///         let file = File::open(name).map_err(Error::Read);
///         Some((name, file.map(|file| PutRequest::new(FileName::from_static("logs/a.txt"), file, PutOptions::new(), ()))))
///     }
///
///     fn again(&mut self, name: &'static str, _: PutSummary) {
///         // Nothing is deferred here.
///         self.0.push(name);
///     }
///
///     fn done(&mut self, name: &'static str, outcome: Result<PutSummary, Error>) -> ControlFlow<()> {
///         match outcome {
///             Ok(summary) => println!("{name}: {} bytes", summary.size),
///             Err(error) => eprintln!("{name}: {error}"),
///         }
///         ControlFlow::Continue(())
///     }
/// }
/// ```
pub trait PutQueue {
    /// What the owner of the queue knows a file by.
    type Tag;
    /// What is told while a file is sent.
    type Progress: Progress;

    /// The next file, or why it cannot be sent; `None` where there are no more. Called while the file before is not sent yet.
    fn next(&mut self) -> Option<QueuedPut<Self::Tag, Self::Progress>>;

    /// Takes back a file that was sent [deferred](PutOptions::with_deferred), and whose connection broke, or whose server failed, before
    /// it was known to be durable. It is to be sent once more, and not deferred: that ends at once where it is stored.
    fn again(&mut self, tag: Self::Tag, first: PutSummary);

    /// Takes the outcome of a file. `Break` ends the queue.
    fn done(&mut self, tag: Self::Tag, outcome: Result<PutSummary, Error>) -> ControlFlow<()>;
}

/// What the owner of a queue knows a file by; and the file, or why it cannot be sent.
pub type QueuedPut<T, P> = (T, Result<PutRequest<P>, Error>);

/// A file that is sent.
#[derive(Debug)]
pub struct PutRequest<P> {
    name: String,
    file: File,
    options: PutOptions,
    progress: P,
}

impl<P: Progress> PutRequest<P> {
    /// Sends `file` as `name`.
    pub fn new(name: FileName<'_>, file: File, options: PutOptions, progress: P) -> Self {
        Self { name: name.as_str().to_owned(), file, options, progress }
    }
}

/// A file that was hashed.
struct Ready<T, P> {
    tag: T,
    name: String,
    options: PutOptions,
    progress: P,
    file: Outgoing,
}

impl<T, P> Ready<T, P> {
    fn put(&self) -> Result<Put<'_>, Error> {
        Ok(request(name(&self.name)?, &self.file, &self.options))
    }
}

/// A file of the queue.
enum Taken<T, P> {
    Ready(Ready<T, P>),
    /// Hashed when it is its turn.
    Large(T, PutRequest<P>),
}

pub(super) fn run<Q: PutQueue>(requester: &mut Requester, queue: &mut Q) -> Option<Q::Tag> {
    let mut run = Run { requester, queue, buf: vec![0; READ_LEN], was_sent: false, unsettled: Unsettled::new() };
    let mut waiting = None;
    while run.step(&mut waiting).is_continue() {}
    if run.was_sent {
        // Nothing else may be asked before that is answered.
        run.requester.drop_connection();
    }
    // The queue has ended already.
    let _ = run.settle();
    waiting.map(|taken| match taken {
        Taken::Ready(ready) => ready.tag,
        Taken::Large(tag, _) => tag,
    })
}

struct Run<'a, Q: PutQueue> {
    requester: &'a mut Requester,
    queue: &'a mut Q,
    buf: Vec<u8>,
    /// The request of the next file was sent behind the body of the last one.
    was_sent: bool,
    unsettled: Unsettled<Q::Tag>,
}

type TakenOf<Q> = Taken<<Q as PutQueue>::Tag, <Q as PutQueue>::Progress>;
type ReadyOf<Q> = Ready<<Q as PutQueue>::Tag, <Q as PutQueue>::Progress>;

impl<Q: PutQueue> Run<'_, Q> {
    /// Sends the file that is `waiting`, or the next one; then the one behind it is waiting.
    fn step(&mut self, waiting: &mut Option<TakenOf<Q>>) -> ControlFlow<()> {
        let taken = match waiting.take() {
            Some(taken) => taken,
            None => match self.take()? {
                Some(taken) => taken,
                None if self.unsettled.is_empty() => return ControlFlow::Break(()),
                // Then there may be more.
                None => return self.settle(),
            },
        };
        let Some(current) = self.hash(taken)? else { return ControlFlow::Continue(()) };
        match self.take() {
            ControlFlow::Continue(next) => *waiting = next,
            ControlFlow::Break(()) => {
                *waiting = Some(Taken::Ready(current));
                return ControlFlow::Break(());
            }
        }
        self.send(current, waiting.as_ref())?;
        if self.unsettled.is_full() && !self.was_sent { self.settle() } else { ControlFlow::Continue(()) }
    }

    /// Lets the server make durable what was deferred, and tells the outcomes.
    fn settle(&mut self) -> ControlFlow<()> {
        let (done, again) = self.unsettled.settle(self.requester);
        for (tag, first) in again {
            self.queue.again(tag, first);
        }
        let mut flow = ControlFlow::Continue(());
        for (tag, summary) in done {
            if self.queue.done(tag, Ok(summary)).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        flow
    }

    /// The next file that can be sent. A small one is hashed, unless the connection is busy: what digest the server takes has to
    /// be asked first.
    fn take(&mut self) -> ControlFlow<(), Option<TakenOf<Q>>> {
        loop {
            let Some((tag, file)) = self.queue.next() else { return ControlFlow::Continue(None) };
            let file = match file {
                Ok(file) => file,
                Err(error) => {
                    self.queue.done(tag, Err(error))?;
                    continue;
                }
            };
            let is_small = file.file.metadata().is_ok_and(|metadata| metadata.len() <= AHEAD_MAX);
            if !is_small || self.requester.put_digest.is_none() {
                return ControlFlow::Continue(Some(Taken::Large(tag, file)));
            }
            if let Some(ready) = self.hash(Taken::Large(tag, file))? {
                return ControlFlow::Continue(Some(Taken::Ready(ready)));
            }
        }
    }

    /// Hashes a file that was not; `None` where that has failed.
    fn hash(&mut self, taken: TakenOf<Q>) -> ControlFlow<(), Option<ReadyOf<Q>>> {
        let (tag, PutRequest { name, file, options, progress }) = match taken {
            Taken::Ready(ready) => return ControlFlow::Continue(Some(ready)),
            Taken::Large(tag, file) => (tag, file),
        };
        let hashed = digest_kind(self.requester).and_then(|kind| Outgoing::hash(file, kind, &mut self.buf, AHEAD_MAX));
        match hashed {
            Ok(file) => ControlFlow::Continue(Some(Ready { tag, name, options, progress, file })),
            Err(error) => {
                self.queue.done(tag, Err(error))?;
                ControlFlow::Continue(None)
            }
        }
    }

    fn send(&mut self, mut current: ReadyOf<Q>, next: Option<&TakenOf<Q>>) -> ControlFlow<()> {
        let next = match next {
            // Nothing else may be asked while the answer to one that is sent ahead is awaited.
            Some(Taken::Ready(ready)) if !self.unsettled.is_almost_full() => ready.put().ok(),
            _ => None,
        };
        let mut ahead = Ahead { was_sent: self.was_sent, next: next.as_ref() };
        let outcome = name(&current.name).and_then(|name| {
            let put = request(name, &current.file, &current.options);
            send(self.requester, &put, &current.file, &mut current.progress, &mut self.buf, &mut ahead)
        });
        self.was_sent = ahead.was_sent;
        drop(current.progress);
        self.unsettled.note_connection(self.requester);
        match outcome {
            Ok(summary) if summary.version.is_none() => {
                self.unsettled.add(current.tag, summary);
                ControlFlow::Continue(())
            }
            outcome => self.queue.done(current.tag, outcome),
        }
    }
}

fn name(text: &str) -> Result<FileName<'_>, Error> {
    FileName::new(text).map_err(|_| Error::Read(std::io::ErrorKind::InvalidFilename.into()))
}
