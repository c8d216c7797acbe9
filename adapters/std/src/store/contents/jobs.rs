//! Large files that are hashed by threads of their own, while those who asked are told to come again.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use coracle_core::{Digest, StoreError};

use super::asked::{Asked, sha256_of_state};
use super::record::Record;
use crate::sys::FileStamp;

/// Files that are hashed at a time: more would only take turns at the disk.
const MAX_THREADS: usize = 2;
/// For how long a file waits that no client has asked for since, and for how long it is known how one ended.
const KEPT: Duration = Duration::from_secs(10);

/// What became of a file.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is, or will be, hashed.
    Pending,
    /// `None` where it changed meanwhile, or could not be read.
    Done(Option<Digest>),
}

/// Files that are hashed. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By device and inode.
    jobs: HashMap<(u64, u64), Job>,
    /// Those that wait, in order.
    queue: VecDeque<(u64, u64)>,
    threads: usize,
}

#[derive(Debug)]
struct Job {
    stamp: FileStamp,
    /// When it was asked for last, or ended.
    seen: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Waiting(Task),
    Running,
    Done { digest: Option<Digest>, was_settled: bool },
}

/// What a thread needs.
#[derive(Debug)]
struct Task {
    file: File,
    name: String,
    has_lasting_inode: bool,
    record: Arc<Record>,
}

impl Jobs {
    /// Has the file hashed, unless it is or was. What is settled is noted in `record`.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn ask(&self, asked: &Asked<'_>, record: &Arc<Record>) -> Result<Outcome, StoreError> {
        let key = (asked.stamp.device, asked.stamp.inode);
        let now = Instant::now();
        let mut state = self.state();
        state.forget(now);
        if let Some(job) = state.jobs.get_mut(&key) {
            let is_same = job.stamp == asked.stamp;
            match job.stage {
                // Until its changes show, it may have been another one then.
                Stage::Done { was_settled: false, .. } if is_same && asked.is_settled => {}
                Stage::Done { digest, .. } if is_same => return Ok(Outcome::Done(digest)),
                // It is being changed, and that may go on.
                Stage::Done { .. } | Stage::Running if !is_same => return Ok(Outcome::Done(None)),
                _ => {
                    (job.stamp, job.seen) = (asked.stamp, now);
                    return Ok(Outcome::Pending);
                }
            }
        }
        let task = Task {
            file: asked.file.try_clone().map_err(|_| StoreError::Busy)?,
            name: asked.name.to_owned(),
            has_lasting_inode: asked.has_lasting_inode,
            record: Arc::clone(record),
        };
        state.jobs.insert(key, Job { stamp: asked.stamp, seen: now, stage: Stage::Waiting(task) });
        state.queue.push_back(key);
        if state.threads < MAX_THREADS {
            let jobs = Arc::downgrade(&self.0);
            match thread::Builder::new().name("coracle-hash".into()).spawn(move || run(&jobs)) {
                Ok(_) => state.threads += 1,
                // It comes to it later, or the client gives up.
                Err(_) if state.threads > 0 => {}
                Err(_) => {
                    state.jobs.remove(&key);
                    return Err(StoreError::Busy);
                }
            }
        }
        Ok(Outcome::Pending)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    /// Forgets what no client has asked for in a while, and how others ended.
    fn forget(&mut self, now: Instant) {
        let is_running = |job: &Job| matches!(job.stage, Stage::Running);
        self.jobs.retain(|_, job| is_running(job) || now.duration_since(job.seen) < KEPT);
    }

    /// The next file to hash.
    fn next(&mut self) -> Option<((u64, u64), FileStamp, Task)> {
        self.forget(Instant::now());
        while let Some(key) = self.queue.pop_front() {
            let Some(job) = self.jobs.get_mut(&key) else { continue };
            // It may stand in the queue twice, after it was forgotten.
            if !matches!(job.stage, Stage::Waiting(_)) {
                continue;
            }
            if let Stage::Waiting(task) = std::mem::replace(&mut job.stage, Stage::Running) {
                return Some((key, job.stamp, task));
            }
        }
        None
    }
}

/// Hashes what waits, until nothing does, or the store is gone.
fn run(jobs: &Weak<Mutex<State>>) {
    while let Some(state) = jobs.upgrade() {
        let next = {
            let mut state = lock(&state);
            let next = state.next();
            if next.is_none() {
                state.threads -= 1;
            }
            next
        };
        drop(state);
        let Some((key, stamp, Task { file, name, has_lasting_inode, record })) = next else { return };
        let is_settled = stamp.is_settled(SystemTime::now());
        let digest = sha256_of_state(&file, &stamp, || jobs.strong_count() > 0);
        if let (Some(digest), true) = (digest, is_settled) {
            record.insert(&name, stamp.lasting(has_lasting_inode), digest);
        }
        if let Some(state) = jobs.upgrade()
            && let Some(job) = lock(&state).jobs.get_mut(&key)
        {
            let stage = Stage::Done { digest, was_settled: is_settled };
            (job.stamp, job.seen, job.stage) = (stamp, Instant::now(), stage);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A thread that panicked here has at worst left a file out.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
