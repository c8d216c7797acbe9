//! `coracle find`: the servers that announce themselves in the local network, and those that are known.

mod candidate;
mod row;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueHint};
use coracle::client::Error;
use coracle::discover::{DiscoverError, Found, Search};

use crate::discovery::LastKnown;
use crate::exit::{Exit, print_error, report_failure};
use crate::identity::Hosts;
use crate::standard_output;
use crate::values::DurationArg;
use candidate::Candidate;
use row::Row;

/// How many hosts are asked at a time.
const JOBS: usize = 32;
/// The longest time-out.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// List the servers that announce themselves in the local network, and look after those that are known
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = LONG_HELP)]
pub struct Find {
    /// How long to listen for announcements, and then how long a host may take to answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_timeout, value_hint = ValueHint::Other)]
    timeout: Duration,

    /// Write one JSON object per line: name, addresses, found (mdns, hosts, cache); server where it answered, error where not
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  coracle find
  coracle find --json --timeout 10s
  coracle get bench-7 boot.log             a name that is listed stands for its host";

const LONG_HELP: &str = "\
Examples:
  coracle find
  coracle find --json --timeout 10s
  coracle get bench-7 boot.log             a name that is listed stands for its host

A line has the name, the address, what the server says it is ('encrypted' where it says nothing
in plain) and how it was found:

  mdns    it announces itself, as 'coracle serve --announce' and boards do
  hosts   it stands in ~/.config/coracle/hosts
  cache   it was found before, and stands in ~/.cache/coracle/found, which may be deleted

Those that are known and do not answer are told on standard error, with the reason.

Anybody in the network can announce any name. What a host is known by are its keys: where
'coracle key pin' or the hosts file has them, they are compared before anything is asked.

Exit codes:
  0  at least one server answered
  3  none did";

pub fn run(args: &Find) -> Exit {
    let hosts = match Hosts::load() {
        Ok(hosts) => hosts,
        Err(problem) => {
            print_error(problem);
            return Exit::LocalFile;
        }
    };
    let named: Vec<_> = hosts.iter().map(Candidate::of_hosts_file).collect();
    let (named, searched) = thread::scope(|scope| {
        let search = scope.spawn(|| Search::new().with_timeout(args.timeout).run());
        let rows = ask_all(named, args.timeout);
        (rows, search.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let is_flooded = searched.as_ref().is_ok_and(|found| found.is_flooded);
    let mut rows = match &searched {
        // Not one of them is connected to: they may be a thousand names for one victim.
        Ok(found) if found.is_flooded => {
            found.services.iter().map(|service| Candidate::of_mdns(service).unasked()).collect()
        }
        Ok(found) => {
            LastKnown::remember(&found.services);
            let announced = found.services.iter().map(Candidate::of_mdns);
            ask_all(announced.chain(missing(found)).collect(), args.timeout)
        }
        Err(_) => ask_all(LastKnown::load().iter().map(Candidate::of_cache).collect(), args.timeout),
    };
    Row::merge(&mut rows, named);
    let printed = standard_output::write(row::as_text(&rows, args.json).as_bytes());
    if let Err(error) = printed {
        return report_failure("standard output", &Error::Write(error));
    }
    if !args.json {
        rows.iter().filter_map(Row::complaint).for_each(print_error);
    }
    row::shared_names(&rows).into_iter().for_each(print_error);
    tell(&searched, is_flooded);
    if rows.iter().any(Row::has_answered) { Exit::Done } else { Exit::Network }
}

/// Those that were found before and do not announce themselves now.
fn missing(found: &Found) -> Vec<Candidate> {
    let known = LastKnown::load();
    let is_missing = |name: &str| !found.services.iter().any(|service| service.is_called(name));
    known.iter().filter(|host| is_missing(&host.name)).map(Candidate::of_cache).collect()
}

/// Says why nothing was found by mDNS.
fn tell(searched: &Result<Found, DiscoverError>, is_flooded: bool) {
    match searched {
        Ok(_) if is_flooded => {
            print_error("more was announced than there can be hosts: somebody floods the network; nobody was asked")
        }
        Ok(found) if found.services.is_empty() => {
            print_error(format_args!("no answer to mDNS on {}", found.interfaces))
        }
        Ok(_) => {}
        Err(error) => print_error(error),
    }
}

/// Asks each of them what it is, a few at a time.
fn ask_all(candidates: Vec<Candidate>, timeout: Duration) -> Vec<Row> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let ask = || {
        while let Some(candidate) = candidates.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = candidate.ask(timeout);
            rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        }
    };
    thread::scope(|scope| {
        for _ in 0..candidates.len().min(JOBS) {
            scope.spawn(ask);
        }
    });
    rows.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = text.parse::<DurationArg>()?.0.filter(|timeout| *timeout <= MAX_TIMEOUT);
    timeout.ok_or_else(|| "from 1ms to 10m".to_owned())
}
