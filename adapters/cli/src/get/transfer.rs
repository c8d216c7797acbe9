//! The threads that do the tasks of `coracle get`.

use std::io::{self, Write};
use std::thread;

use super::commit::Committer;
use super::queue::Queue;
use super::report;
use super::task::{Context, Task};
use super::threads::spawn;
use super::worker;
use crate::exit::{Exit, print_error};

/// Does `tasks` and those that come of them, with `workers` connections.
pub fn run(context: &Context<'_>, tasks: Vec<Task>, workers: usize) -> Exit {
    let is_many = context.recursive || tasks.len() > 1;
    let queue = Queue::new(tasks, workers);
    let committer = Committer::new(context, &queue);
    thread::scope(|scope| {
        if is_many {
            committer.start(scope);
        }
        let mut threads = Vec::new();
        for number in 1..workers {
            let (queue, committer) = (&queue, &committer);
            match spawn(scope, format!("get-{number}"), move || worker::work(queue, context, committer)) {
                Some(thread) => threads.push(thread),
                None => {
                    queue.set_workers(number);
                    break;
                }
            }
        }
        worker::work(&queue, context, &committer);
        for thread in threads {
            // A panic is passed on by the scope.
            drop(thread.join());
        }
        committer.close();
    });
    if queue.has_tasks() {
        // What could not be renamed from where batches are written is fetched once more, beside its target.
        worker::work(&queue, context, &Committer::new(context, &queue));
    }
    let stored = context.store.finish();
    context.display.finish();
    if let Err(error) = context.store.write_index() {
        context.display.note(format_args!("{error}: the next run has to ask for more"));
    }
    if context.verbose {
        for unsupported in context.root.unsupported() {
            context.display.note(unsupported);
        }
    }
    let (summary, mut first_failure) = queue.finish();
    if let Err(error) = stored {
        print_error(&error);
        first_failure.get_or_insert(Exit::LocalFile);
    }
    let exit = first_failure.unwrap_or(Exit::Done);
    if context.json {
        let told = report::summary(&summary, exit);
        return told.map_or_else(report::cannot_tell, |()| exit);
    }
    if context.recursive && !context.quiet {
        // A closed standard output does not change what was fetched.
        drop(writeln!(io::stdout(), "{summary}"));
    } else if !context.recursive && summary.not_tried > 0 {
        print_error(format_args!("{} more were not tried", summary.not_tried));
    }
    exit
}
