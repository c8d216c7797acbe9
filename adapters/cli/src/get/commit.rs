//! Commits what was received: makes it durable and gives it its name, so that the workers do not wait for the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use coracle::client::{Download, GetSummary};
use coracle::local::{BatchCommitter, LocalError, Stored};

use super::batches::{Batches, Next};
use super::file::describe;
use super::queue::Queue;
use super::store::Receipt;
use super::task::{Context, Task, TaskOutcome};
use super::threads::spawn;

/// How many files are synced at the same time that are no files of a batch: one flush of the file system's journal serves all
/// of them.
const THREADS: usize = 16;

/// A file that was received.
struct Received {
    task: Task,
    receipt: Option<Receipt>,
}

/// Commits downloads, in threads of its own where it was started.
pub struct Committer<'c> {
    context: &'c Context<'c>,
    queue: &'c Queue,
    batches: Batches<(Received, GetSummary)>,
    has_batch_thread: AtomicBool,
    /// To the threads that commit downloads that are no files of a batch.
    singles: Mutex<Option<SyncSender<(Received, Download)>>>,
}

impl<'c> Committer<'c> {
    /// A committer that was not started: it commits each download when it comes.
    pub fn new(context: &'c Context<'c>, queue: &'c Queue) -> Self {
        Self {
            context,
            queue,
            batches: Batches::new(),
            has_batch_thread: AtomicBool::new(false),
            singles: Mutex::new(None),
        }
    }

    /// Starts the threads. They end after [`close`](Self::close).
    pub fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let started = spawn(scope, "commit".to_owned(), || self.commit_batches());
        self.has_batch_thread.store(started.is_some(), Ordering::Relaxed);
        let (sender, receiver) = mpsc::sync_channel(THREADS);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let receiver = receiver.clone();
            if spawn(scope, format!("sync-{number}"), move || self.commit_singles(&receiver)).is_none() {
                break;
            }
            *self.lock_singles() = Some(sender.clone());
        }
    }

    /// Ends the threads when all is committed.
    pub fn close(&self) {
        self.batches.close();
        *self.lock_singles() = None;
    }

    /// Commits a download, now or later, and ends the work on its task.
    pub fn commit(&self, task: Task, download: Download, receipt: Option<Receipt>) {
        let received = Received { task, receipt };
        if download.is_of_batch() && self.has_batch_thread.load(Ordering::Relaxed) {
            match download.finish() {
                Ok((part, summary)) => {
                    self.queue.leave(&received.task);
                    self.batches.add((received, summary), part);
                }
                Err(error) => self.queue.done(self.context, &received.task, Err(error.into())),
            }
            return;
        }
        let sender = self.lock_singles().clone();
        let unsent = match sender {
            Some(sender) => sender.send((received, download)).err().map(|mpsc::SendError(unsent)| unsent),
            None => Some((received, download)),
        };
        if let Some((received, download)) = unsent {
            self.commit_single(received, download);
        }
    }

    fn commit_batches(&self) {
        let mut committer: Option<BatchCommitter<(Received, GetSummary)>> = None;
        loop {
            let next = self.batches.next(committer.as_ref().is_some_and(BatchCommitter::is_pending));
            let is_last = matches!(next, Next::Closed);
            if let Next::Batch(batch) = &next {
                // Made durable with the contents, before the names.
                let known = batch.iter().filter_map(|((file, summary), _)| Some((file.receipt.as_ref()?, summary)));
                self.context.store.announce(known);
            }
            let outcomes = match (next, &mut committer) {
                (Next::Batch(batch), Some(committer)) => committer.commit(batch),
                // What is of a batch lies there.
                (Next::Batch(batch), none) => match self.context.store.staging() {
                    Some(staging) => {
                        none.insert(BatchCommitter::new(staging, self.context.store.is_durable())).commit(batch)
                    }
                    None => batch.into_iter().map(|(file, part)| (file, part.take_name())).collect(),
                },
                (_, Some(committer)) => committer.flush(),
                (_, None) => Vec::new(),
            };
            for ((received, summary), outcome) in outcomes {
                match outcome {
                    Err(error) if error.is_elsewhere() => self.queue.again(received.task),
                    outcome => self.done(received, outcome.map(|stored| (summary, stored))),
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn commit_singles(&self, downloads: &Mutex<Receiver<(Received, Download)>>) {
        loop {
            let next = downloads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((received, download)) = next else { return };
            self.commit_single(received, download);
        }
    }

    fn commit_single(&self, received: Received, download: Download) {
        let summary = download.summary();
        self.context.store.announce(received.receipt.as_ref().map(|receipt| (receipt, &summary)).into_iter());
        let stored = download.store();
        self.queue.leave(&received.task);
        self.done(received, stored);
    }

    fn lock_singles(&self) -> MutexGuard<'_, Option<SyncSender<(Received, Download)>>> {
        self.singles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, received: Received, outcome: Result<(GetSummary, Stored), LocalError>) {
        let Received { task, receipt } = received;
        match outcome {
            Err(error) => self.queue.report(self.context, &task, Err(error.into())),
            Ok((summary, stored)) => {
                if let Some(receipt) = receipt {
                    self.context.store.note(receipt, summary.digest, stored.stamp);
                }
                if !self.context.recursive {
                    self.context.display.println(&describe(task.name(), &stored.path, &summary));
                }
                self.queue.report(self.context, &task, Ok(TaskOutcome::Fetched(summary)));
            }
        }
    }
}
