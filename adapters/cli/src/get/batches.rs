//! Batches of received files, which are made durable and named together while the next ones are received.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle::local::FinishedPart;

/// A batch has at most so many files,
const MAX_FILES: usize = 1_000;

/// so many bytes, but for the last file,
const MAX_LEN: u64 = 64 * 1024 * 1024;

/// and waits for more no longer than this, so that the files of a slow server appear.
const MAX_AGE: Duration = Duration::from_secs(5);

/// A received file, by what the caller knows it by.
pub type Received<T> = (T, FinishedPart);

/// The batch that is being filled. One thread takes it when it is full or old.
#[derive(Debug)]
pub struct Batches<T> {
    filling: Mutex<Filling<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Filling<T> {
    files: Vec<Received<T>>,
    /// How many bytes they have.
    len: u64,
    /// When the first one was added, or the last batch was taken.
    since: Instant,
    is_closed: bool,
}

/// What [`Batches::next`] returns.
#[derive(Debug)]
pub enum Next<T> {
    /// A batch to commit.
    Batch(Vec<Received<T>>),
    /// There is none, and the last one has waited for another long enough.
    Idle,
    /// There will be none.
    Closed,
}

impl<T> Batches<T> {
    /// An empty batch.
    pub fn new() -> Self {
        let filling = Filling { files: Vec::new(), len: 0, since: Instant::now(), is_closed: false };
        Self { filling: Mutex::new(filling), changed: Condvar::new() }
    }

    /// Adds a file. Waits while the batch is full, which the disk is then slower than the network to take.
    pub fn add(&self, file: T, part: FinishedPart) {
        let mut filling = self.lock();
        while filling.is_full() {
            filling = self.changed.wait(filling).unwrap_or_else(PoisonError::into_inner);
        }
        let is_first = filling.files.is_empty();
        if is_first {
            filling.since = Instant::now();
        }
        filling.len += part.size();
        filling.files.push((file, part));
        // The files in between need no thread that wakes for each of them.
        if is_first || filling.is_full() {
            self.changed.notify_all();
        }
    }

    /// Ends the batch: no file follows.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for the next batch. With `is_pending`, the last one waits for it, too, but no longer than for files.
    pub fn next(&self, is_pending: bool) -> Next<T> {
        let mut filling = self.lock();
        loop {
            let is_due = filling.since.elapsed() >= MAX_AGE;
            if filling.is_full() || !filling.files.is_empty() && (is_due || filling.is_closed) {
                filling.len = 0;
                filling.since = Instant::now();
                let files = mem::take(&mut filling.files);
                self.changed.notify_all();
                return Next::Batch(files);
            }
            if filling.is_closed {
                return Next::Closed;
            }
            let is_waiting = is_pending || !filling.files.is_empty();
            if is_pending && is_due {
                filling.since = Instant::now();
                return Next::Idle;
            }
            filling = if is_waiting {
                let left = MAX_AGE.saturating_sub(filling.since.elapsed());
                self.changed.wait_timeout(filling, left).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(filling).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Filling<T>> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Filling<T> {
    fn is_full(&self) -> bool {
        self.files.len() >= MAX_FILES || self.len >= MAX_LEN
    }
}
