//! What is to be fetched, and by how many at once.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use coracle::client::{Blame, Client, Download, Error, Fetched, Options};
use coracle::local::{Directory, DownloadTarget, Escaped, LocalError, Naming, escape_path, name_restriction};
use coracle_core::FileName;

use super::super::peer::{Peer, failed};
use super::super::progress::Screen;
use super::super::{Exit, complain};
use super::tree;

/// So many files of `-r` wait for the disk at the same time: a journal that is synced for one is synced for all.
const COMMITTERS: usize = 16;

/// What is the same for all tasks.
pub struct Job<'a> {
    pub peer: &'a Peer,
    pub options: Options,
    pub recursive: bool,
    pub follow_links: bool,
    pub root: Arc<Directory>,
    pub screen: Screen,
}

/// A piece of work.
#[derive(Debug)]
pub enum Task {
    /// What the user named with `-r`: a directory or a file.
    Named {
        /// Its name at the server; `None`: all that is served.
        name: Option<String>,
        /// Where it goes, beneath the root; `None`: what is in it goes to the root itself.
        local: Option<String>,
    },
    /// A directory that was listed.
    Directory {
        /// Its name at the server.
        name: String,
        /// Where it goes, beneath the root.
        local: String,
        /// How many links lead to it.
        links: u32,
    },
    /// A file.
    File {
        /// Its name at the server.
        name: String,
        /// The directory that it goes to.
        directory: Arc<Directory>,
        /// Its name there; `None`: the last component of its name at the server.
        leaf: Option<OsString>,
        /// How its temporary names are made.
        naming: Naming,
        /// Its size, where it was listed.
        size: Option<u64>,
    },
}

impl Task {
    pub fn named(name: Option<String>, local: Option<String>) -> Self {
        Self::Named { name, local }
    }

    /// Where it goes, beneath the root.
    pub fn local(&self) -> Option<&str> {
        match self {
            Self::Named { local, .. } => local.as_deref(),
            Self::Directory { local, .. } => Some(local),
            Self::File { .. } => None,
        }
    }

    /// What it takes to remember it, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Named { .. } => 0,
            Self::Directory { name, local, .. } => name.len() + local.len() + size_of::<Self>(),
            Self::File { name, .. } => name.len() + size_of::<Self>(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Named { name, .. } => name.as_deref().unwrap_or("/"),
            Self::Directory { name, .. } | Self::File { name, .. } => name,
        }
    }
}

/// What has been done.
#[derive(Debug, Default)]
pub struct Tally {
    pub files: u64,
    pub bytes: u64,
    pub equal: u64,
    pub failed: u64,
    /// What the server left out of its listings.
    pub left_out: u64,
    pub links: u64,
    not_tried: usize,
    first_failure: Option<Exit>,
}

/// Tasks that wait, and who works on others.
#[derive(Debug, Default)]
struct Queue {
    /// The last is done first.
    tasks: Vec<Task>,
    len: usize,
    busy: usize,
    is_over: bool,
    tally: Tally,
}

/// Does `tasks` and all that comes of them.
pub fn run(job: &Job<'_>, mut tasks: Vec<Task>, workers: usize) -> Exit {
    tasks.reverse();
    let len = tasks.iter().map(Task::len).sum();
    let shared = Shared { queue: Mutex::new(Queue { tasks, len, ..Queue::default() }), changed: Condvar::new() };
    let (sender, receiver) = mpsc::sync_channel(COMMITTERS);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let mut committers = 0;
        while job.recursive && committers < COMMITTERS {
            if !spawn(scope, format!("commit-{committers}"), || shared.commit(job, &receiver)) {
                break;
            }
            committers += 1;
        }
        let sender = (committers > 0).then_some(sender);
        for number in 1..workers {
            let (shared, sender) = (&shared, sender.clone());
            if !spawn(scope, format!("get-{number}"), move || shared.work(job, sender)) {
                break;
            }
        }
        shared.work(job, sender);
    });
    let Queue { tally, .. } = shared.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    if job.recursive {
        // Who reads standard output may have gone.
        drop(writeln!(io::stdout(), "{tally}"));
    } else if tally.not_tried > 0 {
        complain(format_args!("{} more were not tried", tally.not_tried));
    }
    tally.first_failure.unwrap_or(Exit::Done)
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Whether there is a thread for `work` now.
fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, name: String, work: impl FnOnce() + Send + 'scope) -> bool {
    let spawned = thread::Builder::new().name(name).spawn_scoped(scope, work);
    spawned.map_err(|error| complain(format_args!("fewer at work, since no thread can be started: {error}"))).is_ok()
}

type Committed = (Task, Download);

impl Shared {
    fn work(&self, job: &Job<'_>, commits: Option<SyncSender<Committed>>) {
        let mut client = job.peer.client();
        while let Some(task) = self.take() {
            let outcome = match &task {
                Task::Named { name, local } => tree::named(job, &mut client, name.as_deref(), local.as_deref()),
                Task::Directory { name, local, links } => tree::directory(job, &mut client, name, local, *links),
                Task::File { name, directory, leaf, naming, size } => {
                    file(job, &mut client, name, directory, leaf.as_deref(), *naming, *size)
                }
            };
            match (outcome, &commits) {
                (Ok(Outcome::Downloaded(download)), Some(commits)) => {
                    if let Err(mpsc::SendError((task, download))) = commits.send((task, *download)) {
                        self.done(job, &task, commit(download));
                    }
                }
                (Ok(Outcome::Downloaded(download)), None) => self.done(job, &task, commit(*download)),
                (outcome, _) => self.done(job, &task, outcome),
            }
        }
    }

    /// Waits for the disk, so that the network need not.
    fn commit(&self, job: &Job<'_>, downloads: &Mutex<Receiver<Committed>>) {
        loop {
            let next = downloads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((task, download)) = next else { return };
            self.done(job, &task, commit(download));
        }
    }

    /// The next task; `None` when there is nothing more, and nobody from whose work more could come.
    fn take(&self) -> Option<Task> {
        let mut queue = self.lock();
        loop {
            if queue.is_over {
                return None;
            }
            if let Some(task) = queue.tasks.pop() {
                queue.len -= task.len();
                queue.busy += 1;
                return Some(task);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, job: &Job<'_>, task: &Task, outcome: Result<Outcome, Error>) {
        let outcome = outcome.and_then(|outcome| self.check(outcome));
        let failure = outcome.as_ref().err().map(|error| {
            let exit = job.screen.suspend(|| failed(task.name(), error));
            (exit, error.blame() == Blame::Network)
        });
        let mut queue = self.lock();
        queue.busy -= 1;
        match outcome {
            Ok(Outcome::Fetched(fetched)) => {
                queue.tally.files += 1;
                queue.tally.bytes += fetched.size - fetched.resumed;
            }
            Ok(Outcome::Equal) => queue.tally.equal += 1,
            Ok(Outcome::Downloaded(_)) => {}
            Ok(Outcome::Listed { tasks, left_out, links }) => {
                queue.tally.left_out += left_out;
                queue.tally.links += links;
                queue.len += tasks.iter().map(Task::len).sum::<usize>();
                queue.tasks.extend(tasks.into_iter().rev());
            }
            Err(_) => queue.tally.failed += 1,
        }
        if let Some((exit, is_network)) = failure {
            queue.tally.first_failure.get_or_insert(exit);
            if is_network {
                // Whoever is not there for this one is not there for the next ones either.
                queue.is_over = true;
                queue.tally.not_tried = queue.tasks.len();
            }
        }
        self.changed.notify_all();
    }

    /// Errs where a listing is more than can be remembered beside what waits already.
    fn check(&self, outcome: Outcome) -> Result<Outcome, Error> {
        match &outcome {
            Outcome::Listed { tasks, .. }
                if self.lock().len + tasks.iter().map(Task::len).sum::<usize>() > tree::PENDING_MAX =>
            {
                Err(Error::TooMany { limit: tree::PENDING_MAX })
            }
            _ => Ok(outcome),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn commit(download: Download) -> Result<Outcome, Error> {
    Ok(Outcome::Fetched(download.commit()?))
}

/// What came of a task.
pub enum Outcome {
    /// A file has come, and is not committed yet.
    Downloaded(Box<Download>),
    /// A file was fetched.
    Fetched(Fetched),
    /// The file was here already, the same.
    Equal,
    /// More is to be done, in this order.
    Listed {
        /// What.
        tasks: Vec<Task>,
        /// What the server left out.
        left_out: u64,
        /// Links to directories that are not entered.
        links: u64,
    },
}

/// Fetches one file.
pub fn file(
    job: &Job<'_>,
    client: &mut Client,
    name: &str,
    directory: &Arc<Directory>,
    leaf: Option<&OsStr>,
    naming: Naming,
    size: Option<u64>,
) -> Result<Outcome, Error> {
    let name = tree::file_name(name)?;
    if let (None, Some(why)) = (leaf, name_restriction(name.last())) {
        return Err(LocalError::Name { name: name.as_str().to_owned(), why }.into());
    }
    let place = &DownloadTarget::new(directory.clone(), leaf.unwrap_or(name.last().as_ref()), naming);
    if job.recursive && tree::is_equal(client, name, place, size, job.options.digest)? {
        return Ok(Outcome::Equal);
    }
    let mut bar = job.screen.bar(name.as_str());
    let download = client.download(name, place, &job.options, &mut bar)?;
    drop(bar);
    if job.recursive {
        return Ok(Outcome::Downloaded(Box::new(download)));
    }
    let fetched = download.commit()?;
    job.screen.say(&saved(name, place, &fetched));
    Ok(Outcome::Fetched(fetched))
}

fn saved(name: FileName<'_>, place: &DownloadTarget, fetched: &Fetched) -> String {
    let verified = match fetched.digest {
        Some(digest) => format!("{} {digest}", digest.kind()),
        None => "not verified".to_owned(),
    };
    let resumed = if fetched.resumed > 0 { format!(", resumed at {}", fetched.resumed) } else { String::new() };
    let snapshot = if fetched.is_snapshot { ", a snapshot: it changed meanwhile" } else { "" };
    let path = escape_path(&place.path());
    format!("{} -> {path}: {} bytes, {verified}{resumed}{snapshot}", Escaped(name.as_str()), fetched.size)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, bytes, equal, failed, left_out, links, not_tried, .. } = self;
        write!(f, "{files} fetched ({bytes} bytes), {equal} equal and skipped, {failed} failed")?;
        if *left_out > 0 {
            write!(f, ", {left_out} that the server cannot serve")?;
        }
        if *links > 0 {
            write!(f, ", {links} links to directories not followed")?;
        }
        if *not_tried > 0 {
            write!(f, ", {not_tried} not tried")?;
        }
        Ok(())
    }
}
