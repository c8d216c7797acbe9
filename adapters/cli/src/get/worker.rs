//! A worker: takes tasks from the queue and asks the server for what they need, over one connection, many requests ahead.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use coracle::client::{Download, Error, PipelineAnswer, PipelineRequest, RequestQueue};
use coracle::local::DownloadTarget;
use coracle_core::{Entry, Header};

use super::commit::Committer;
use super::file::{self, FileStep, First};
use super::queue::Queue;
use super::task::{Context, FileTask, Task, TaskOutcome};
use super::tree::{self, Found};
use crate::progress::FileBar;

/// Does tasks until there are no more, or until the server has no place for this worker while others have one. Leaves downloads
/// to the `committer`.
pub fn work(queue: &Queue, context: &Context<'_>, committer: &Committer<'_>) {
    let display = context.display.clone();
    let mut client = context.client_args.client().with_retry_observer(move |event| display.note(event));
    let peer = client.address().to_string();
    if let Err(error) = context.store.ask_clock(&mut client)
        && let Some(task) = queue.take()
    {
        queue.done(context, &task, Err(error));
    }
    let is_alone = queue.has_one_worker();
    let mut worker =
        Worker { queue, context, committer, peer, follow_ups: VecDeque::new(), is_alone, is_retired: false };
    loop {
        // While others have a place, this one does not wait for one.
        client.set_waits_when_busy(worker.is_alone);
        let not_done = client.pipeline(&mut worker);
        worker.follow_ups.extend(not_done);
        if worker.follow_ups.is_empty() {
            return;
        }
        if worker.is_retired || queue.is_over() {
            queue.give_back(worker.follow_ups.into_iter().map(Step::into_task));
            return;
        }
    }
}

struct Worker<'a, 'c> {
    queue: &'a Queue,
    context: &'a Context<'c>,
    committer: &'a Committer<'a>,
    /// The server, as the user wrote it.
    peer: String,
    /// What is asked next.
    follow_ups: VecDeque<Step>,
    /// No other worker has a place at the server.
    is_alone: bool,
    is_retired: bool,
}

/// A task that has ended, and how.
type Ended = (Task, Result<TaskOutcome, Error>);

/// A request of a task.
enum Step {
    List { task: Task, found: Found },
    File { task: FileTask, step: FileStep },
}

impl Step {
    /// What is asked first; else how the task ended, without a request.
    fn first(context: &Context<'_>, peer: &str, task: Task) -> Result<Self, Box<Ended>> {
        match task {
            Task::File(task) => match FileStep::first(context, peer, &task) {
                Ok(First::Step(step)) => Ok(Self::File { task, step }),
                Ok(First::Here) => Err(Box::new((Task::File(task), Ok(TaskOutcome::Unchanged)))),
                Err(error) => Err(Box::new((Task::File(task), Err(error)))),
            },
            task => match tree::listed(context, &task) {
                Some(outcome) => Err(Box::new((task, outcome))),
                None => Ok(Self::List { task, found: Found::default() }),
            },
        }
    }

    fn request(&self, context: &Context<'_>) -> Result<PipelineRequest<FileBar>, Error> {
        match self {
            Self::List { task, .. } => tree::request(task),
            Self::File { task, step } => step.request(context, task),
        }
    }

    fn into_task(self) -> Task {
        match self {
            Self::List { task, .. } => task,
            Self::File { task, .. } => Task::File(task),
        }
    }
}

impl RequestQueue for Worker<'_, '_> {
    type Tag = Step;
    type Progress = FileBar;

    fn next(&mut self, pending: usize) -> Option<(Step, PipelineRequest<FileBar>)> {
        loop {
            let step = match self.follow_ups.pop_front() {
                Some(step) => Ok(step),
                None => {
                    let task = if pending == 0 { self.queue.take() } else { self.queue.take_ahead(pending) };
                    Step::first(self.context, &self.peer, task?)
                }
            };
            let ended = match step {
                Ok(step) => match step.request(self.context) {
                    Ok(request) => return Some((step, request)),
                    Err(error) => Box::new((step.into_task(), Err(error))),
                },
                Err(ended) => ended,
            };
            let (task, outcome) = *ended;
            self.queue.done(self.context, &task, outcome);
        }
    }

    fn listing_started(&mut self, step: &mut Step) {
        if let Step::List { found, .. } = step {
            *found = Found::default();
        }
    }

    fn entry(&mut self, step: &mut Step, entry: Entry<'_>) -> Result<(), Error> {
        match step {
            Step::List { task, found } => found.add(self.context, task, entry),
            Step::File { .. } => Ok(()),
        }
    }

    fn done(&mut self, step: Step, outcome: Result<PipelineAnswer, Error>) -> ControlFlow<()> {
        if !self.is_alone && outcome.as_ref().is_err_and(Error::is_busy) {
            self.leave_place(step.into_task());
            return ControlFlow::Break(());
        }
        match (step, outcome) {
            (Step::List { task, found }, Ok(PipelineAnswer::Listed(listing))) => {
                let outcome = found.finish(self.context, &task, listing);
                self.queue.done(self.context, &task, outcome);
            }
            (Step::List { task, .. }, Err(error)) => match tree::as_file(self.context, &task, &error) {
                Some(file) => self.replace(&task, file),
                None => self.queue.done(self.context, &task, Err(error)),
            },
            (Step::File { task, step: FileStep::Time { target } }, Ok(PipelineAnswer::Described(header))) => {
                self.choose(task, target, &header);
            }
            (Step::File { task, step }, Ok(PipelineAnswer::Described(header))) => self.compare(task, step, &header),
            (Step::File { task, step }, Ok(PipelineAnswer::Downloaded(download))) => self.store(task, &step, *download),
            (step, Err(error)) => self.queue.done(self.context, &step.into_task(), Err(error)),
            (_, Ok(_)) => unreachable!("an answer is of the kind that was asked for"),
        }
        if self.queue.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Worker<'_, '_> {
    /// Leaves the tasks to the other workers, which have a place; where there are none, this one waits for one.
    fn leave_place(&mut self, task: Task) {
        match self.queue.retire(task) {
            Ok(others) => {
                self.is_retired = true;
                self.context
                    .display
                    .note(format_args!("the server is busy: going on with {others} connections at most"));
            }
            Err(task) => {
                self.is_alone = true;
                self.begin(task);
            }
        }
    }

    fn begin(&mut self, task: Task) {
        match Step::first(self.context, &self.peer, task) {
            Ok(step) => self.follow_ups.push_back(step),
            Err(ended) => self.queue.done(self.context, &ended.0, ended.1),
        }
    }

    /// Goes on with a file that was taken for a directory.
    fn replace(&mut self, task: &Task, file: FileTask) {
        let file = Task::File(file);
        self.queue.replace(task, &file);
        self.begin(file);
    }

    /// Goes on with a file that is new enough.
    fn choose(&mut self, task: FileTask, target: DownloadTarget, header: &Header) {
        if self.context.newer.is_some_and(|newer| !newer.includes(header.modified)) {
            self.context.display.note(format_args!("{}: not modified since then", task.name));
            return self.queue.done(self.context, &Task::File(task), Ok(TaskOutcome::NotNewer));
        }
        match FileStep::of_meant(self.context, &self.peer, &task, target) {
            Ok(First::Here) => self.queue.done(self.context, &Task::File(task), Ok(TaskOutcome::Unchanged)),
            Ok(First::Step(step)) => self.follow_ups.push_back(Step::File { task, step }),
            Err(error) => self.queue.done(self.context, &Task::File(task), Err(error)),
        }
    }

    /// Fetches a file unless it is here already.
    fn compare(&mut self, task: FileTask, step: FileStep, header: &Header) {
        match step.judge(self.context, &self.peer, &task, header) {
            Ok(First::Here) => self.queue.done(self.context, &Task::File(task), Ok(TaskOutcome::Unchanged)),
            Ok(First::Step(step)) => self.follow_ups.push_back(Step::File { task, step }),
            Err(error) => self.queue.done(self.context, &Task::File(task), Err(error)),
        }
    }

    fn store(&mut self, task: FileTask, step: &FileStep, download: Download) {
        let receipt = self.context.recursive.then(|| file::receipt(&task, step, &download)).flatten();
        self.committer.commit(Task::File(task), download, receipt);
    }
}
