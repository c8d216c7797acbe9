//! Starts a run: its hosts, its journal, its limits; and tells what became of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::amount::{Amount, Waves};
use super::journal::{Header, HostLine, Journal, Past};
use super::operation::Operation;
use super::options::{FleetArgs, JournalArgs};
use super::report;
use super::run::{Plan, Run};
use super::state::worst;
use super::table::Table;
use super::target::{Target, targets};
use crate::exit::{Exit, print_error};
use crate::inventory::{HostsArg, InventoryError, members};
use crate::sys;

/// Open files that a host may need at once: sockets to two of its addresses, a directory, a file, its temporary file and what
/// describes that.
const DESCRIPTORS_A_HOST: u64 = 8;
/// Standard streams, the journal, the file that is sent, signals.
const OTHER_DESCRIPTORS: u64 = 16;

/// What is done, and how.
#[derive(Debug)]
pub struct Job {
    pub command: String,
    pub name: String,
    pub sha256: Option<String>,
    pub activate: bool,
    /// `None` where nothing is changed that a journal would have to tell.
    pub journal: Option<JournalArgs>,
    pub waves: Waves,
    pub bake: Option<Duration>,
    /// What happens where the user sets no budgets.
    pub max_failed: Amount,
    pub max_unreachable: Amount,
}

impl Job {
    /// Changes nothing anywhere.
    pub fn reading(what: &str) -> Self {
        Self {
            command: what.to_owned(),
            name: String::new(),
            sha256: None,
            activate: false,
            journal: None,
            waves: Waves::default(),
            bake: None,
            max_failed: Amount::Percent(100),
            max_unreachable: Amount::Percent(100),
        }
    }

    /// Changes nothing at the hosts.
    pub fn fetching(command: &str, name: &str, journal: JournalArgs) -> Self {
        Self { name: name.to_owned(), journal: Some(journal), ..Self::reading(command) }
    }

    /// Changes the hosts.
    pub fn writing(command: &str, name: &str, journal: JournalArgs) -> Self {
        Self {
            max_failed: Amount::Hosts(0),
            max_unreachable: Amount::Percent(10),
            ..Self::fetching(command, name, journal)
        }
    }

    fn header(&self, targets: &[Target]) -> Header {
        let line = |target: &Target| HostLine { name: target.name().to_owned(), host: target.member.written.clone() };
        Header {
            command: self.command.clone(),
            file_name: self.name.clone(),
            sha256: self.sha256.clone(),
            activate: self.activate,
            hosts: targets.iter().map(line).collect(),
            wave_ends: self.waves.ends(targets.len()),
        }
    }
}

/// Runs `job` on all hosts, with the operation that `make` gives, and tells what became of them.
pub fn start<'o>(
    args: FleetArgs,
    hosts: &[HostsArg],
    job: Job,
    make: impl FnOnce(&[Target]) -> Result<Box<dyn Operation + 'o>, Exit>,
) -> Exit {
    try_start(args, hosts, job, make).unwrap_or_else(|exit| exit)
}

fn try_start<'o>(
    args: FleetArgs,
    hosts: &[HostsArg],
    job: Job,
    make: impl FnOnce(&[Target]) -> Result<Box<dyn Operation + 'o>, Exit>,
) -> Result<Exit, Exit> {
    let members = members(hosts, &args.conditions).map_err(|error| {
        print_error(&error);
        match error {
            InventoryError::File(_) => Exit::LocalFile,
            InventoryError::Search(_) => Exit::Network,
            InventoryError::SameName(_) | InventoryError::Empty(_) => Exit::Usage,
        }
    })?;
    let jobs = jobs(usize::from(args.jobs).min(members.len()), args.quiet);
    let network = args.network.asking_nobody();
    let mut targets = targets(members, &network, jobs)?;
    let operation = make(&targets)?;
    let (journal, past, wave_ends) = journal(&job, &mut targets)?;
    let is_own_name = job.journal.as_ref().is_some_and(|args| args.journal.is_none() && args.continued.is_none());
    let journal_path = journal.as_ref().map(|journal| journal.path().to_owned());
    let title = format!("{} {}", job.command, job.name);
    let table = Table::new(title.trim_end(), args.quiet);
    if let (Some(path), true, true) = (&journal_path, is_own_name, table.is_drawn()) {
        table.note(format_args!("if it is interrupted, the same with --continue {} goes on", path.display()));
    }
    let budget = |given: Option<Amount>, usual: Amount| given.unwrap_or(usual).at_most(targets.len());
    let plan = Plan {
        jobs,
        wave_ends,
        bake: job.bake,
        bakes_each: job.activate,
        max_failed: budget(args.max_failed, job.max_failed),
        max_unreachable: budget(args.max_unreachable, job.max_unreachable),
    };
    let run = Run { operation: &*operation, targets: &targets, network: &network, plan, journal, table };
    let finished = run.run(&past);
    let all_good = finished.outcomes.iter().all(|outcome| outcome.state.is_good());
    if let (Some(path), true) = (&journal_path, is_own_name) {
        if all_good {
            // Left over, it does no harm.
            drop(fs::remove_file(path));
        } else if !args.quiet {
            print_error(format_args!(
                "the same with --continue {} goes on with those that were not tried",
                path.display()
            ));
        }
    }
    let exit = match finished.exit {
        Exit::Done => worst(finished.outcomes.iter().map(|outcome| outcome.exit)),
        exit => exit,
    };
    Ok(report::tell(&targets, &finished, exit, args.json, args.quiet))
}

/// How many hosts can be talked to at once, of `wanted`.
fn jobs(wanted: usize, is_quiet: bool) -> usize {
    let Some(limit) = sys::raise_descriptor_limit() else { return wanted.max(1) };
    let possible = limit.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_A_HOST;
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).max(1);
    if possible < wanted && !is_quiet {
        print_error(format_args!("{possible} hosts at once, since {limit} files may be open (see 'ulimit -Hn')"));
    }
    wanted.clamp(1, possible)
}

/// The journal of the run, what it says of an earlier one, and the ends of the waves. Targets get the order of the earlier one.
fn journal(job: &Job, targets: &mut [Target]) -> Result<(Option<Journal>, Past, Vec<usize>), Exit> {
    let header = job.header(targets);
    let Some(args) = &job.journal else { return Ok((None, Past::default(), header.wave_ends)) };
    let failed = |why: String| {
        print_error(why);
        Exit::LocalFile
    };
    let Some(path) = &args.continued else {
        let path = args.journal.clone().unwrap_or_else(own_name);
        let journal = Journal::create(&path, &header).map_err(failed)?;
        return Ok((Some(journal), Past::default(), header.wave_ends));
    };
    let (journal, was, mut past) = Journal::open(path).map_err(failed)?;
    was.check_continued_by(&header).map_err(|what| {
        print_error(format_args!("{}: {what}", path.display()));
        Exit::Usage
    })?;
    was.check_waves().map_err(|what| failed(format!("{}: {what}", path.display())))?;
    targets.sort_by_key(|target| was.hosts.iter().position(|host| host.name == target.name()));
    if args.retry_failed {
        past.ended.retain(|_, ended| ended.state.is_good());
    }
    Ok((Some(journal), past, was.wave_ends))
}

fn own_name() -> PathBuf {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    PathBuf::from(format!("coracle-fleet-{}.journal", time.replace([':', '.'], "-")))
}
