//! The threads that send files, each over a connection of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek};
use std::mem;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use coracle::client::{Error, PutOptions, PutQueue, PutRequest, PutSummary, QueuedPut};
use coracle_core::FileName;

use super::report;
use super::summary::Summary;
use crate::client_args::ClientArgs;
use crate::exit::{Exit, print_error, report_failure};
use crate::progress::{FileBar, ProgressDisplay};

/// A file to send, and its name at the server.
#[derive(Debug)]
pub struct Job {
    pub path: PathBuf,
    pub name: String,
    /// Its size in bytes when it was found; 0 where that is unknown.
    pub size: u64,
    /// What was sent of it before; then the server is to store it at once.
    pub first: Option<PutSummary>,
}

impl Job {
    pub const fn new(path: PathBuf, name: String, size: u64) -> Self {
        Self { path, name, size, first: None }
    }
}

/// How files are sent.
pub struct Transfer<'a> {
    pub client_args: &'a ClientArgs,
    pub options: PutOptions,
    pub display: ProgressDisplay,
    pub json: bool,
    /// A line on standard error for each file.
    pub tells_each: bool,
}

/// Sends `jobs` over so many connections at most. Returns what was done, and the exit code of the first failure.
pub fn run(transfer: &Transfer<'_>, jobs: Vec<Job>, connections: usize) -> (Summary, Option<Exit>) {
    let connections = connections.min(jobs.len()).max(1);
    transfer.display.expect(jobs.len() as u64, jobs.iter().map(|job| job.size).sum());
    let state = State { jobs: jobs.into(), workers: connections, ..State::default() };
    let shared = Shared { transfer, state: Mutex::new(state) };
    thread::scope(|scope| {
        for number in 1..connections {
            let work = || Worker::new(&shared).run();
            let spawned = thread::Builder::new().name(format!("put-{number}")).spawn_scoped(scope, work);
            if let Err(error) = spawned {
                print_error(format_args!("fewer at work, since no thread can be started: {error}"));
                shared.lock().workers -= connections - number;
                break;
            }
        }
        Worker::new(&shared).run();
    });
    transfer.display.finish();
    let mut state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.summary.not_tried = state.jobs.len();
    (state.summary, state.first_failure)
}

/// What the workers share.
struct Shared<'a> {
    transfer: &'a Transfer<'a>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first one is next.
    jobs: VecDeque<Job>,
    /// How many have a place at the server, or may get one.
    workers: usize,
    /// The server had no place for one of them.
    was_busy: bool,
    summary: Summary,
    first_failure: Option<Exit>,
    /// Nothing more is sent.
    is_over: bool,
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker<'a> {
    shared: &'a Shared<'a>,
    /// No other worker has a place at the server.
    is_alone: bool,
    /// The server has answered.
    has_place: bool,
    is_retired: bool,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, is_alone: shared.lock().workers == 1, has_place: false, is_retired: false }
    }

    fn run(mut self) {
        let transfer = self.shared.transfer;
        let display = transfer.display.clone();
        let mut client = transfer.client_args.client().with_retry_observer(move |event| display.note(event));
        loop {
            // While others have a place, this one does not wait for one.
            client.set_waits_when_busy(self.is_alone);
            if let Some(job) = client.put_all(&mut self) {
                self.shared.lock().jobs.push_front(job);
            }
            let state = self.shared.lock();
            if self.is_retired || state.is_over || state.jobs.is_empty() {
                return;
            }
        }
    }

    /// Leaves `job` to the others, which have a place; where there are none, this one waits for one.
    fn leave_place(&mut self, job: Job, is_busy: bool) {
        let mut state = self.shared.lock();
        state.jobs.push_front(job);
        if state.workers > 1 {
            state.workers -= 1;
            self.is_retired = true;
            let is_first = is_busy && !mem::replace(&mut state.was_busy, true);
            drop(state);
            if is_first {
                self.shared.transfer.display.note("the server is busy: going on with fewer connections");
            }
        } else {
            self.is_alone = true;
        }
    }

    fn tell(&self, job: &Job, outcome: &Result<PutSummary, Error>) -> io::Result<()> {
        let Transfer { display, json, tells_each, .. } = self.shared.transfer;
        match outcome {
            Ok(summary) => {
                if *tells_each {
                    display.note(report::describe(&job.path, &job.name, summary));
                }
                if *json { display.suspend(|| report::sent(&job.name, &job.path, summary)) } else { Ok(()) }
            }
            Err(error) if *json => display.suspend(|| report::failed(&job.name, error)),
            Err(_) => Ok(()),
        }
    }
}

impl PutQueue for Worker<'_> {
    type Tag = Job;
    type Progress = FileBar;

    fn next(&mut self) -> Option<QueuedPut<Job, FileBar>> {
        let job = {
            let mut state = self.shared.lock();
            if state.is_over {
                return None;
            }
            state.jobs.pop_front()?
        };
        let request = request(self.shared.transfer, &job);
        Some((job, request))
    }

    fn again(&mut self, mut job: Job, first: PutSummary) {
        job.first = Some(first);
        self.shared.lock().jobs.push_front(job);
    }

    fn done(&mut self, job: Job, outcome: Result<PutSummary, Error>) -> ControlFlow<()> {
        let outcome = outcome.map(|summary| with_first(summary, job.first.as_ref()));
        let is_busy = outcome.as_ref().is_err_and(Error::is_busy);
        // A small server may not even take the connection, or what stands before it closes it.
        let is_refused = !self.has_place && matches!(outcome, Err(Error::Connect { .. } | Error::Handshake { .. }));
        if !self.is_alone && (is_busy || is_refused) {
            self.leave_place(job, is_busy);
            return ControlFlow::Break(());
        }
        self.has_place |= matches!(outcome, Ok(_) | Err(Error::Refused { .. }));
        let display = &self.shared.transfer.display;
        display.file_done(if outcome.as_ref().is_ok_and(|summary| summary.was_there) { job.size } else { 0 });
        let told = self.tell(&job, &outcome);
        let failure = outcome.as_ref().err().map(|error| display.suspend(|| report_failure(&job.name, error)));
        let mut state = self.shared.lock();
        state.summary.count(&outcome);
        if let Some(exit) = failure {
            state.first_failure.get_or_insert(exit);
            // A server that cannot be reached for this file cannot be reached for the next ones either.
            state.is_over |= exit == Exit::Network;
        }
        if told.is_err() {
            // The report has ended: what is done cannot be told.
            state.first_failure.get_or_insert(Exit::LocalFile);
            state.is_over = true;
        }
        if state.is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn request(transfer: &Transfer<'_>, job: &Job) -> Result<PutRequest<FileBar>, Error> {
    let name = FileName::new(&job.name).map_err(|_| Error::Read(io::ErrorKind::InvalidFilename.into()))?;
    let file = open(&job.path).map_err(Error::Read)?;
    let mut options = transfer.options.clone().with_time(job.path != Path::new("-"));
    if job.first.is_some() {
        options = options.with_deferred(false);
    }
    Ok(PutRequest::new(name, file, options, transfer.display.bar(name.as_str())))
}

/// What was done of a file that was sent again, and of which it was not known whether the server had it.
fn with_first(summary: PutSummary, first: Option<&PutSummary>) -> PutSummary {
    match first {
        Some(first) if summary.was_there && first.digest == summary.digest => {
            let mut whole = first.clone();
            whole.version = summary.version;
            whole
        }
        _ => summary,
    }
}

/// Opens a regular file. Of standard input and devices the length is unknown, so they are copied to a file first.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return spool(&mut io::stdin().lock());
    }
    let mut file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, which -r sends"));
    }
    if kind.is_file() { Ok(file) } else { spool(&mut file) }
}

fn spool(input: &mut dyn io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(input, &mut file)?;
    file.rewind()?;
    Ok(file)
}
