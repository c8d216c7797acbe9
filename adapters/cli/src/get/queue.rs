//! The queue of tasks, which the workers share.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use coracle::client::{Error, ErrorKind};
use coracle_core::Code;

use super::report;
use super::summary::Summary;
use super::task::{Context, Task, TaskOutcome};
use super::tree;
use crate::exit::{Exit, print_error, report_failure};

/// How many directories are listed at the same time.
const MAX_LISTINGS: usize = 64;

/// The tasks that wait, and what has become of the others.
pub struct Queue {
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
    /// How many of those are listings.
    listings: usize,
    /// How many workers there are that have not retired.
    workers: usize,
    /// How many workers wait for a task.
    waiting: usize,
    /// The network failed: the other tasks are given up.
    is_over: bool,
    summary: Summary,
    first_failure: Option<Exit>,
}

impl State {
    fn pop(&mut self) -> Option<Task> {
        let task = self.tasks.pop()?;
        self.len -= task.len();
        self.enter(&task);
        Some(task)
    }

    fn enter(&mut self, task: &Task) {
        self.busy += 1;
        self.listings += usize::from(!matches!(task, Task::File(_)));
    }

    fn put_back(&mut self, task: Task) {
        self.leave(&task);
        self.len += task.len();
        self.tasks.push(task);
    }

    fn leave(&mut self, task: &Task) {
        self.busy -= 1;
        self.listings -= usize::from(!matches!(task, Task::File(_)));
    }
}

impl Queue {
    /// A queue for so many workers. The first of `tasks` is the next.
    pub fn new(mut tasks: Vec<Task>, workers: usize) -> Self {
        tasks.reverse();
        let len = tasks.iter().map(Task::len).sum();
        let state = State { tasks, len, workers, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Sets how many workers there are.
    pub fn set_workers(&self, workers: usize) {
        self.lock().workers = workers;
    }

    /// What was done, and the exit code of the first failure.
    pub fn finish(self) -> (Summary, Option<Exit>) {
        let State { tasks, mut summary, first_failure, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.not_tried = tasks.len();
        (summary, first_failure)
    }

    /// Takes the next task; `None` when none is left and none can come of those that are being worked on.
    pub fn take(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(task) = state.pop() {
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Takes one more task for a worker that has `pending` ones, where no other worker will be idle for it.
    pub fn take_ahead(&self, pending: usize) -> Option<Task> {
        let mut state = self.lock();
        let others = state.workers.saturating_sub(1);
        let is_fair = others == 0 || pending < state.tasks.len().div_ceil(others);
        // What is listed is fetched before more is: each directory with files that wait is open.
        let is_listing = state.tasks.last().is_some_and(|task| !matches!(task, Task::File(_)));
        if state.is_over || !is_fair || (is_listing && state.listings >= MAX_LISTINGS) {
            return None;
        }
        state.pop()
    }

    /// Puts tasks back that were taken and not done; the first is the next.
    pub fn give_back(&self, tasks: impl DoubleEndedIterator<Item = Task>) {
        let mut state = self.lock();
        for task in tasks.rev() {
            state.put_back(task);
        }
        self.wake(&state);
    }

    /// Leaves the task to the other workers, and returns how many they are; gives it back where there are none.
    pub fn retire(&self, task: Task) -> Result<usize, Task> {
        let mut state = self.lock();
        if state.workers <= 1 || state.is_over {
            return Err(task);
        }
        state.workers -= 1;
        state.put_back(task);
        self.wake(&state);
        Ok(state.workers)
    }

    /// The task that was taken goes on as `other`.
    pub fn replace(&self, task: &Task, other: &Task) {
        let mut state = self.lock();
        state.leave(task);
        state.enter(other);
    }

    /// Whether there is one worker at most.
    pub fn has_one_worker(&self) -> bool {
        self.lock().workers <= 1
    }

    /// Whether there are tasks to do.
    pub fn has_tasks(&self) -> bool {
        let state = self.lock();
        !state.is_over && !state.tasks.is_empty()
    }

    /// Whether the tasks that are left are given up.
    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// A task that was taken is done.
    pub fn done(&self, context: &Context<'_>, task: &Task, outcome: Result<TaskOutcome, Error>) {
        self.report(context, task, outcome);
        self.leave(task);
    }

    /// The work on a task has ended, whether it was reported or will be.
    pub fn leave(&self, task: &Task) {
        let mut state = self.lock();
        state.leave(task);
        self.wake(&state);
    }

    /// Does a task again that was taken, and has been left.
    pub fn again(&self, task: Task) {
        let mut state = self.lock();
        state.len += task.len();
        state.tasks.push(task);
    }

    /// Reports how a task ended, and queues those that come of it.
    pub fn report(&self, context: &Context<'_>, task: &Task, outcome: Result<TaskOutcome, Error>) {
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
        if let Ok(TaskOutcome::Listed { skipped, missing, .. }) = &outcome {
            if *missing > 0 {
                context.display.suspend(|| report_missing(task.name(), *missing));
            }
            if let others @ 1.. = skipped.saturating_sub(*missing) {
                let words = "neither files nor directories, or lead nowhere, and are left out";
                context.display.note(format_args!("{}: {others} entries are {words}", task.name()));
            }
        }
        show_progress(context, task, &outcome);
        let told = if context.json { tell(context, task, &outcome) } else { Ok(()) };
        let mut state = self.lock();
        if let Err(error) = told {
            // The report has ended: what becomes of the others cannot be told.
            state.is_over = true;
            state.first_failure.get_or_insert_with(|| report::cannot_tell(error));
        }
        match outcome {
            Ok(TaskOutcome::Fetched(summary)) => {
                state.summary.fetched += 1;
                state.summary.bytes += summary.size - summary.resumed;
            }
            Ok(TaskOutcome::Unchanged) => state.summary.unchanged += 1,
            Ok(TaskOutcome::NotNewer) => state.summary.not_newer += 1,
            Ok(TaskOutcome::Listed { tasks, skipped, missing, hidden, not_newer, links }) => {
                state.summary.hidden += hidden;
                state.summary.not_newer += not_newer;
                state.summary.skipped += skipped;
                if missing > 0 {
                    // Files that can be read at the server, or what may be some.
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
            }
        }
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

    /// Wakes the workers that wait, which costs a system call even where there are none.
    fn wake(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells in JSON what became of `task`.
fn tell(context: &Context<'_>, task: &Task, outcome: &Result<TaskOutcome, Error>) -> io::Result<()> {
    context.display.suspend(|| match (outcome, task) {
        (Err(error), _) => report::failed(task.name(), error),
        (Ok(TaskOutcome::Fetched(summary)), Task::File(file)) => report::fetched(&file.name, &file.path(), summary),
        (Ok(TaskOutcome::Unchanged), Task::File(file)) => report::equal(&file.name, file.listed.size),
        _ => Ok(()),
    })
}

/// Lets the line of the tree count what became of `task`.
fn show_progress(context: &Context<'_>, task: &Task, outcome: &Result<TaskOutcome, Error>) {
    let size = |task: &Task| match task {
        Task::File(file) => Some(file.listed.size.unwrap_or(0)),
        Task::Named { .. } | Task::Directory { .. } => None,
    };
    match (outcome, size(task)) {
        (Ok(TaskOutcome::Listed { tasks, .. }), _) => {
            let sizes = tasks.iter().filter_map(size);
            context.display.expect(sizes.clone().count() as u64, sizes.sum());
        }
        (Ok(TaskOutcome::Unchanged), Some(size)) => context.display.file_done(size),
        (_, Some(_)) => context.display.file_done(0),
        (_, None) => {}
    }
}

fn report_missing(directory: &str, count: u64) {
    let (entries, are) = if count == 1 { ("entry", "is") } else { ("entries", "are") };
    print_error(format_args!(
        "{directory}: {count} {entries} cannot be served (for name, link or kind) and {are} missing here"
    ));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coracle::local::Directory;

    use super::super::known::Listed;
    use super::super::task::FileTask;
    use super::{MAX_LISTINGS, Queue, Task};

    fn files(count: usize) -> Vec<Task> {
        let directory = Arc::new(Directory::open(".".as_ref()).expect("open"));
        let file = |at| FileTask {
            name: format!("f{at}"),
            directory: Arc::clone(&directory),
            leaf: None,
            listed: Listed::default(),
        };
        (0..count).map(|at| Task::File(file(at))).collect()
    }

    /// Takes as many as a worker may have. Returns how many they are.
    fn take_all(queue: &Queue) -> usize {
        let mut taken = usize::from(queue.take().is_some());
        while taken > 0 && queue.take_ahead(taken).is_some() {
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_worker_leaves_tasks_to_the_others() {
        assert_eq!(take_all(&Queue::new(files(100), 1)), 100);
        let queue = Queue::new(files(100), 4);
        assert_eq!([(); 3].map(|()| take_all(&queue)), [25, 19, 14]);
        assert_eq!(take_all(&Queue::new(files(4), 4)), 1);
        assert_eq!(take_all(&Queue::new(files(3), 64)), 1);
    }

    #[test]
    fn what_is_given_back_is_next() {
        let queue = Queue::new(files(10), 1);
        let taken: Vec<_> = std::iter::repeat_with(|| queue.take()).take(5).flatten().collect();
        let names: Vec<_> = taken.iter().map(|task| task.name().to_owned()).collect();
        queue.give_back(taken.into_iter());
        let again: Vec<_> = std::iter::repeat_with(|| queue.take()).take(5).flatten().collect();
        assert_eq!(again.iter().map(|task| task.name().to_owned()).collect::<Vec<_>>(), names);
        let state = queue.lock();
        assert_eq!((state.busy, state.tasks.len()), (5, 5));
    }

    #[test]
    fn listings_at_a_time_are_bounded() {
        let directory = |at| Task::Directory { name: format!("d{at}"), local: format!("d{at}"), top_len: 0, links: 0 };
        let queue = Queue::new((0..100).map(directory).collect(), 1);
        assert_eq!(take_all(&queue), MAX_LISTINGS);
        assert!(queue.take().is_some(), "a worker that has nothing else to do waits for none");
    }
}
