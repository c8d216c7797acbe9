//! The queue of tasks, and the threads that work on it.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use coracle::client::{Client, Download, Error, ErrorKind};
use coracle_core::Code;

use super::summary::Summary;
use super::task::{Context, Task, TaskOutcome};
use super::{file, tree};
use crate::exit::{Exit, print_error, report_failure};

/// How many files of `-r` are synced at the same time: one flush of the file system's journal serves all of them.
const COMMITTERS: usize = 16;

/// Does `tasks` and those that come of them, with `workers` connections.
pub fn run(context: &Context<'_>, mut tasks: Vec<Task>, workers: usize) -> Exit {
    tasks.reverse();
    let len = tasks.iter().map(Task::len).sum();
    let state = State { tasks, len, workers, ..State::default() };
    let queue = Queue { state: Mutex::new(state), changed: Condvar::new() };
    let (sender, receiver) = mpsc::sync_channel(COMMITTERS);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let mut committers = 0;
        while context.recursive && committers < COMMITTERS {
            if !spawn(scope, format!("commit-{committers}"), || queue.commit(context, &receiver)) {
                break;
            }
            committers += 1;
        }
        let sender = (committers > 0).then_some(sender);
        for number in 1..workers {
            let (queue, sender) = (&queue, sender.clone());
            if !spawn(scope, format!("get-{number}"), move || queue.work(context, sender)) {
                queue.lock().workers = number;
                break;
            }
        }
        queue.work(context, sender);
    });
    context.display.finish();
    let State { summary, first_failure, .. } = queue.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if context.recursive && !context.quiet {
        // A closed standard output does not change what was fetched.
        drop(writeln!(io::stdout(), "{summary}"));
    } else if !context.recursive && summary.not_tried > 0 {
        print_error(format_args!("{} more were not tried", summary.not_tried));
    }
    first_failure.unwrap_or(Exit::Done)
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The last one is next.
    tasks: Vec<Task>,
    /// The memory that they occupy, in bytes.
    len: usize,
    /// How many tasks are being worked on.
    busy: usize,
    /// How many workers there are that have not retired.
    workers: usize,
    /// The network failed: the other tasks are given up.
    is_over: bool,
    summary: Summary,
    first_failure: Option<Exit>,
}

/// A file that was received, to be made durable.
type Uncommitted = (Task, Download);

impl Queue {
    /// A worker: takes tasks until there are no more, or until the server has no place for it. Leaves downloads to the `committers`, where there are any.
    fn work(&self, context: &Context<'_>, committers: Option<SyncSender<Uncommitted>>) {
        let display = context.display.clone();
        let mut client = context.client_args.client().with_retry_observer(move |event| display.note(event));
        // While others have a place, this one does not wait for one.
        let mut is_alone = self.lock().workers <= 1;
        client.set_waits_when_busy(is_alone);
        while let Some(mut task) = self.take() {
            let mut outcome = perform(context, &mut client, &task);
            if !is_alone && outcome.as_ref().is_err_and(Error::is_busy) {
                task = match self.retire(task) {
                    Ok(others) => {
                        context
                            .display
                            .note(format_args!("the server is busy: going on with {others} connections at most"));
                        return;
                    }
                    Err(task) => task,
                };
                is_alone = true;
                client.set_waits_when_busy(true);
                outcome = perform(context, &mut client, &task);
            }
            match (outcome, &committers) {
                (Ok(TaskOutcome::Downloaded(download)), Some(committers)) => {
                    if let Err(mpsc::SendError((task, download))) = committers.send((task, *download)) {
                        self.done(context, &task, commit(download));
                    }
                }
                (Ok(TaskOutcome::Downloaded(download)), None) => self.done(context, &task, commit(*download)),
                (outcome, _) => self.done(context, &task, outcome),
            }
        }
    }

    /// A committer: makes downloads durable, so that the workers do not wait for the disk.
    fn commit(&self, context: &Context<'_>, downloads: &Mutex<Receiver<Uncommitted>>) {
        loop {
            let next = downloads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((task, download)) = next else { return };
            self.done(context, &task, commit(download));
        }
    }

    /// Takes the next task; `None` when none is left and none can come of those that are being worked on.
    fn take(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.len -= task.len();
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Leaves the task to the other workers, and returns how many they are; gives it back where there are none.
    fn retire(&self, task: Task) -> Result<usize, Task> {
        let mut state = self.lock();
        if state.workers <= 1 || state.is_over {
            return Err(task);
        }
        state.workers -= 1;
        state.busy -= 1;
        state.len += task.len();
        state.tasks.push(task);
        self.changed.notify_all();
        Ok(state.workers)
    }

    fn done(&self, context: &Context<'_>, task: &Task, outcome: Result<TaskOutcome, Error>) {
        let outcome = outcome.and_then(|outcome| self.check_room(outcome));
        let failure = outcome.as_ref().err().map(|error| {
            let exit = context.display.suspend(|| {
                let exit = report_failure(task.name(), error);
                if !context.recursive && matches!(error, Error::Refused { code: Some(Code::NotFile), .. }) {
                    print_error("'coracle get -r' fetches directories");
                }
                exit
            });
            (exit, error.kind() == ErrorKind::Network)
        });
        if let Ok(TaskOutcome::Listed { skipped: skipped @ 1.., .. }) = &outcome {
            context.display.suspend(|| report_skipped(task.name(), *skipped));
        }
        show_progress(context, task, &outcome);
        let mut state = self.lock();
        state.busy -= 1;
        match outcome {
            Ok(TaskOutcome::Fetched(summary)) => {
                state.summary.fetched += 1;
                state.summary.bytes += summary.size - summary.resumed;
            }
            Ok(TaskOutcome::Unchanged) => state.summary.unchanged += 1,
            Ok(TaskOutcome::Downloaded(_)) => {}
            Ok(TaskOutcome::Listed { tasks, skipped, links }) => {
                state.summary.skipped += skipped;
                if skipped > 0 {
                    // Files that can be read at the server may be among them, and are missing here.
                    state.first_failure.get_or_insert(Exit::Refused);
                }
                state.summary.links += links;
                state.len += tasks.iter().map(Task::len).sum::<usize>();
                state.tasks.extend(tasks.into_iter().rev());
            }
            Err(_) => state.summary.failed += 1,
        }
        if let Some((exit, is_network)) = failure {
            state.first_failure.get_or_insert(exit);
            if is_network {
                // A server that cannot be reached for this task cannot be reached for the next ones either.
                state.is_over = true;
                state.summary.not_tried = state.tasks.len();
            }
        }
        self.changed.notify_all();
    }

    /// Errs where a listing is too large to be held beside the tasks that wait already.
    fn check_room(&self, outcome: TaskOutcome) -> Result<TaskOutcome, Error> {
        match &outcome {
            TaskOutcome::Listed { tasks, .. }
                if self.lock().len + tasks.iter().map(Task::len).sum::<usize>() > tree::PENDING_MAX =>
            {
                Err(Error::ListingTooLarge { limit: tree::PENDING_MAX })
            }
            _ => Ok(outcome),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread; says so and returns false where there can be none.
fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, name: String, work: impl FnOnce() + Send + 'scope) -> bool {
    let spawned = thread::Builder::new().name(name).spawn_scoped(scope, work);
    spawned.map_err(|error| print_error(format_args!("fewer at work, since no thread can be started: {error}"))).is_ok()
}

/// Lets the line of the tree count what became of `task`.
fn show_progress(context: &Context<'_>, task: &Task, outcome: &Result<TaskOutcome, Error>) {
    let size = |task: &Task| match task {
        Task::File(file) => Some(file.size.unwrap_or(0)),
        Task::Named { .. } | Task::Directory { .. } => None,
    };
    match (outcome, size(task)) {
        (Ok(TaskOutcome::Listed { tasks, .. }), _) => {
            let sizes = tasks.iter().filter_map(size);
            context.display.expect(sizes.clone().count() as u64, sizes.sum());
        }
        (Ok(TaskOutcome::Unchanged), Some(size)) => context.display.file_done(size),
        (Ok(TaskOutcome::Downloaded(_)), _) | (_, None) => {}
        (_, Some(_)) => context.display.file_done(0),
    }
}

fn report_skipped(directory: &str, count: u64) {
    let (entries, are) = if count == 1 { ("entry", "is") } else { ("entries", "are") };
    print_error(format_args!(
        "{directory}: {count} {entries} cannot be served (for name, link or kind) and {are} missing here"
    ));
}

fn perform(context: &Context<'_>, client: &mut Client, task: &Task) -> Result<TaskOutcome, Error> {
    match task {
        Task::Named { name, local } => tree::named(context, client, name.as_deref(), local.as_deref()),
        Task::Directory { name, local, top_len, links } => {
            tree::directory(context, client, name, local, *top_len, *links)
        }
        Task::File(task) => file::fetch(context, client, task),
    }
}

fn commit(download: Download) -> Result<TaskOutcome, Error> {
    Ok(TaskOutcome::Fetched(download.commit()?))
}
