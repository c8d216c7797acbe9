//! `coracle load`.

mod connection;
mod coordination;
mod plan;
mod report;
mod worker;

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::client_args::{DigestArg, report as report_unresolved};
use crate::descriptor_limit;
use crate::exit::{Exit, print_error};
use crate::identity::{ChannelArgs, HostArg};
use crate::names::{parse_file_name, tidy};
use crate::values::DurationArg;
use coordination::{StartBarrier, TurnQueue};
use plan::{Plan, RequestKind, StopCondition};
use report::{ClientStats, Report};
use worker::Worker;

/// Make requests with many clients at the same time, and measure the answers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = LONG_HELP)]
pub struct Load {
    /// The server: a name or an address, with a port where it is not 8888; IPv6 in brackets
    #[arg(value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    host: HostArg,
    #[command(flatten)]
    channel: ChannelArgs,
    /// How many clients, each with a thread and a connection
    #[arg(long, short, value_name = "N", default_value = "10", value_parser = client_count)]
    clients: NonZeroUsize,
    /// How many requests of all clients together [default: one for each client]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Make requests for this long
    #[arg(long, short, value_name = "DURATION", conflicts_with = "requests", value_parser = positive_duration)]
    duration: Option<Duration>,
    /// Fetch this file, and verify it
    #[arg(long, value_name = "NAME", group = "what")]
    get: Option<String>,
    /// Send this text, and wait for the first bytes in reply
    #[arg(long, group = "what", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    text: Option<String>,
    /// List the root directory
    #[arg(long, group = "what")]
    list: bool,
    /// The digest that verifies the file
    #[arg(long, value_enum, default_value = "crc32", requires = "get")]
    digest: DigestArg,
    /// Make a new connection for each request, as a part of its latency
    #[arg(long)]
    new_connection: bool,
    /// How many requests a second are due for all clients together; the latency of a late one counts from when it was due
    #[arg(long, value_name = "N", value_parser = request_rate)]
    rate: Option<f64>,
    /// One client after the other: all connect at once, then each makes its requests and disconnects
    #[arg(long, conflicts_with_all = ["rate", "duration"])]
    serial: bool,
    /// With --serial, pause for this long after each request
    #[arg(long, value_name = "DURATION", default_value = "0", requires = "serial")]
    pause: DurationArg,
    /// How long connecting may take
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    connect_timeout: DurationArg,
    /// How long the server may send nothing during a request
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    stall_timeout: DurationArg,
    /// Print the report as a JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  coracle load 127.0.0.1 --clients 64 --requests 10000 --get boot.log
  coracle load 127.0.0.1 --clients 100 --text 'client says hello'    each sends it once
  coracle load board-7 -c 8 -d 30s --rate 500 --list --json";

const LONG_HELP: &str = "\
Examples:
  coracle load 127.0.0.1 --clients 64 --requests 10000 --get boot.log
  coracle load 127.0.0.1 --clients 100 --text 'client says hello'    each sends it once
  coracle load board-7 -c 8 -d 30s --rate 500 --list --json

Without --get, --text and --list each request is a 'hello', which costs a server little:
it measures the connection.

There are no retries: a failed request is counted by its kind, and the client goes on with
a new connection. Latencies are those of the requests that succeeded.

Without --rate a client makes its next request as soon as it has the answer, so a server
that stalls gets fewer. With --rate requests are due at fixed times, and delays count.

Exit codes:
  0  every request succeeded
  1  a request failed
  2  wrong usage
  3  the host is not known
  5  this machine cannot run so many clients

Durations are numbers with a unit (500ms, 10s, 2m); 0 is never.";

pub fn run(args: &Load) -> Exit {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if let Some(warning) = descriptor_limit::raise(plan.clients, 0) {
        print_error(warning);
    }
    let (barrier, turns) = (StartBarrier::default(), TurnQueue::default());
    let stats = thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..plan.clients {
            let worker = Worker::new(&plan, number, &barrier, &turns);
            let thread = thread::Builder::new().name(format!("load-{}", number + 1)).stack_size(128 * 1024);
            match thread.spawn_scoped(scope, || worker.run()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    barrier.cancel();
                    print_error(format_args!("no thread for client {} of {}: {error}", number + 1, plan.clients));
                    return None;
                }
            }
        }
        barrier.start_when_ready(plan.clients);
        // The panic message is on standard error. What the client did until then is unknown, and counts as a failure.
        Some(threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| ClientStats::of_panicked())).collect())
    });
    let Some(stats) = stats else { return Exit::LocalFile };
    let report = Report::new(plan.clients, stats);
    match report.print(args.json) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            print_error(format_args!("cannot write the report: {error}"));
            Exit::LocalFile
        }
        _ if report.failed() > 0 => Exit::Refused,
        _ => Exit::Done,
    }
}

fn plan(args: &Load) -> Result<Plan, Exit> {
    let request = match (&args.get, &args.text, args.list) {
        (Some(name), ..) => RequestKind::Get(parse_file_name(&tidy(name))?.as_str().to_owned(), args.digest.kind()),
        (_, Some(text), _) => RequestKind::Text(text.clone()),
        (.., true) => RequestKind::List,
        _ => RequestKind::Hello,
    };
    let server = args.channel.resolve(&args.host).map_err(|error| report_unresolved(&error))?;
    if let Some(note) = &server.note {
        print_error(note);
    }
    if server.channel.is_some() && args.text.is_some() {
        print_error("--text is sent in plain, and this server is talked to encrypted");
        return Err(Exit::Usage);
    }
    let addresses = server.address.resolve().map_err(|error| {
        print_error(format_args!("{}: {error}", server.address));
        Exit::Network
    })?;
    let clients = args.clients.get();
    Ok(Plan {
        addresses,
        channel: server.channel,
        request,
        clients,
        stop: match (args.requests, args.duration) {
            (_, Some(duration)) => StopCondition::After(duration),
            (Some(requests), _) => StopCondition::Requests(requests),
            _ => StopCondition::Requests(u64::try_from(clients).unwrap_or(u64::MAX)),
        },
        new_connection: args.new_connection,
        rate: args.rate,
        serial: args.serial.then_some(args.pause.0.unwrap_or_default()),
        connect_timeout: args.connect_timeout.0,
        stall_timeout: args.stall_timeout.0,
    })
}

fn client_count(text: &str) -> Result<NonZeroUsize, String> {
    let clients = text.parse::<NonZeroUsize>().ok().filter(|clients| clients.get() <= 20_000);
    clients.ok_or_else(|| "a number from 1 to 20000".to_owned())
}

fn request_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "requests a second, from 0.001 to 10000000".to_owned())
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    text.parse::<DurationArg>()?.0.ok_or_else(|| "more than 0".to_owned())
}
