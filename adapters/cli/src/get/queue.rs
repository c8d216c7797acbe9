//! The queue of tasks, and the threads that work on it.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use coracle::client::{Client, Error, ErrorKind};
use coracle_core::Code;

use super::commit::{Committer, Reports};
use super::summary::Summary;
use super::task::{Context, Task, TaskOutcome};
use super::threads::spawn;
use super::{file, tree};
use crate::exit::{Exit, print_error, report_failure};

/// Does `tasks` and those that come of them, with `workers` connections.
pub fn run(context: &Context<'_>, mut tasks: Vec<Task>, workers: usize) -> Exit {
    tasks.reverse();
    let len = tasks.iter().map(Task::len).sum();
    let is_many = context.recursive || tasks.len() > 1;
    let state = State { tasks, len, workers, ..State::default() };
    let queue = Queue { context, state: Mutex::new(state), changed: Condvar::new() };
    let committer = Committer::new(context, &queue);
    thread::scope(|scope| {
        if is_many {
            committer.start(scope);
        }
        let mut threads = Vec::new();
        for number in 1..workers {
            let (queue, committer) = (&queue, &committer);
            match spawn(scope, format!("get-{number}"), move || queue.work(committer)) {
                Some(thread) => threads.push(thread),
                None => {
                    queue.lock().workers = number;
                    break;
                }
            }
        }
        queue.work(&committer);
        for thread in threads {
            drop(thread.join());
        }
        committer.close();
    });
    // What could not be renamed from where batches are written is fetched once more, beside its target.
    queue.work(&Committer::new(context, &queue));
    let stored = context.store.finish();
    let State { summary, mut first_failure, .. } = queue.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = stored {
        print_error(&error);
        first_failure.get_or_insert(Exit::LocalFile);
    }
    if context.recursive && !context.quiet {
        // A closed standard output does not change what was fetched.
        drop(writeln!(io::stdout(), "{summary}"));
    } else if !context.recursive && summary.not_tried > 0 {
        print_error(format_args!("{} more were not tried", summary.not_tried));
    }
    first_failure.unwrap_or(Exit::Done)
}

struct Queue<'c> {
    context: &'c Context<'c>,
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

impl Queue<'_> {
    /// A worker: takes tasks until there are no more, or until the server has no place for it. Leaves downloads to the
    /// `committer`.
    fn work(&self, committer: &Committer<'_>) {
        let context = self.context;
        let display = context.display.clone();
        let mut client = context.client_args.client().with_retry_observer(move |event| display.note(event));
        while let Some(task) = self.take() {
            match perform(context, &mut client, &task) {
                Ok(TaskOutcome::Downloaded(download, receipt)) => committer.commit(task, *download, receipt),
                Err(error) if error.is_busy() => match self.retire(task) {
                    Ok(others) => {
                        context
                            .display
                            .note(format_args!("the server is busy: going on with {others} connections at most"));
                        return;
                    }
                    Err(task) => self.done(&task, Err(error)),
                },
                outcome => self.done(&task, outcome),
            }
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

    fn done(&self, task: &Task, outcome: Result<TaskOutcome, Error>) {
        self.report(task, outcome);
        self.release();
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

impl Reports for Queue<'_> {
    fn release(&self) {
        self.lock().busy -= 1;
        self.changed.notify_all();
    }

    fn again(&self, task: Task) {
        let mut state = self.lock();
        state.len += task.len();
        state.tasks.push(task);
    }

    fn report(&self, task: &Task, outcome: Result<TaskOutcome, Error>) {
        let context = self.context;
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
        let mut state = self.lock();
        match outcome {
            Ok(TaskOutcome::Fetched(summary)) => {
                state.summary.fetched += 1;
                state.summary.bytes += summary.size - summary.resumed;
            }
            Ok(TaskOutcome::Unchanged) => state.summary.unchanged += 1,
            Ok(TaskOutcome::Downloaded(..)) => {}
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
    }
}

fn report_skipped(directory: &str, count: u64) {
    let (entries, are) = if count == 1 { ("entry", "is") } else { ("entries", "are") };
    print_error(format_args!(
        "{directory}: {count} {entries} cannot be served (for name, link or kind) and {are} missing here"
    ));
}

/// Performs a task, but for committing what it received.
pub fn perform(context: &Context<'_>, client: &mut Client, task: &Task) -> Result<TaskOutcome, Error> {
    match task {
        Task::Named { name, local } => tree::named(context, client, name.as_deref(), local.as_deref()),
        Task::Directory { name, local, links } => tree::directory(context, client, name, local, *links),
        Task::File(task) => file::fetch(context, client, task),
    }
}
