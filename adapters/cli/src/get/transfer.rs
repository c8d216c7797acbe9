//! The threads that do the tasks of `coracle get`.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use coracle::client::Error;

use super::file::{self, Uncommitted};
use super::queue::Queue;
use super::report;
use super::task::{Context, Task};
use super::worker;
use crate::exit::{Exit, print_error, report_failure};

/// How many files of `-r` are synced at the same time: one flush of the file system's journal serves all of them.
const COMMITTERS: usize = 16;

/// Does `tasks` and those that come of them, with `workers` connections.
pub fn run(context: &Context<'_>, tasks: Vec<Task>, workers: usize) -> Exit {
    let queue = Queue::new(tasks, workers);
    let (sender, receiver) = mpsc::sync_channel(COMMITTERS);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let mut committers = 0;
        while context.recursive && committers < COMMITTERS {
            if !spawn(scope, format!("commit-{committers}"), || commit_all(&queue, context, &receiver)) {
                break;
            }
            committers += 1;
        }
        let sender = (committers > 0).then_some(sender);
        for number in 1..workers {
            let (queue, sender) = (&queue, sender.clone());
            if !spawn(scope, format!("get-{number}"), move || worker::work(queue, context, sender)) {
                queue.set_workers(number);
                break;
            }
        }
        worker::work(&queue, context, sender);
    });
    context.display.finish();
    let (summary, first_failure) = queue.finish();
    let exit = first_failure.unwrap_or(Exit::Done);
    if context.json {
        let told = report::summary(&summary, exit);
        return told.map_or_else(|error| report_failure("standard output", &Error::Write(error)), |()| exit);
    }
    if context.recursive && !context.quiet {
        // A closed standard output does not change what was fetched.
        drop(writeln!(io::stdout(), "{summary}"));
    } else if !context.recursive && summary.not_tried > 0 {
        print_error(format_args!("{} more were not tried", summary.not_tried));
    }
    exit
}

/// A committer: makes downloads durable, so that the workers do not wait for the disk.
fn commit_all(queue: &Queue, context: &Context<'_>, downloads: &Mutex<Receiver<Uncommitted>>) {
    loop {
        let next = downloads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((task, download)) = next else { return };
        queue.done(context, &task, file::commit(download));
    }
}

/// Starts a thread; says so and returns false where there can be none.
fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, name: String, work: impl FnOnce() + Send + 'scope) -> bool {
    let spawned = thread::Builder::new().name(name).spawn_scoped(scope, work);
    spawned.map_err(|error| print_error(format_args!("fewer at work, since no thread can be started: {error}"))).is_ok()
}
