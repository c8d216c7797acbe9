//! `coracle tail`: the end of a file, and what is appended to it.

mod notice;
mod printer;
mod until;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use clap::{Args, ValueHint};
use coracle::client::{Client, Error, FollowEvent, FollowFrom, FollowOptions};
use coracle_core::FileName;

use crate::client_args::{NetworkArgs, report};
use crate::exit::{Exit, print_error, report_failure};
use crate::inventory::{Condition, HostsArg, InventoryError, Member, members};
use crate::names::{parse_file_name, tidy};
use crate::values::parse_size;
use notice::Notice;
use printer::{Output, Printer};

/// The stack of a thread that follows one host, in bytes.
const STACK_LEN: usize = 512 * 1024;

/// Print the end of a file, and what is appended to it
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle tail [OPTIONS] <HOST[:PORT]|@FILE>... <NAME>",
    after_help = "\
Examples:
  coracle tail -f 192.168.7.2 boot.log               the last 10 lines, and all that come
  coracle tail -n 100 board-7 boot.log               the last 100 lines
  coracle tail -f bench-7 bench-8 boot.log           of two boards at once
  coracle tail -f @bench.txt --where rack=b boot.log of those of a list
  coracle tail -f bench-7 boot.log --until 'login:'  until it is up
  coracle tail -f -n 0 bench-7 boot.log --json | jq -r .line

With -f a file is followed by its name, whatever happens: what it has is printed once, in its
order, and what cannot be is told on standard error:
  -- boot.log begins anew --              it was truncated, replaced or rewritten
  -- what boot.log had behind byte 5,321 is not known --   where that was not read in time, or a file in between
  -- 1,204 bytes dropped before they could be read --      by a log that drops its head
  -- unreachable, trying again --         the server, for as long as it takes, and wherever its name leads then
A file that is not there is waited for. End it with Ctrl-C, --until or --max-time.

Of several hosts each line has the name of its host in front, and is printed when it is complete."
)]
pub struct Tail {
    /// The servers: names or addresses, with a port where it is not 8888; or @FILE with a host a line: HOST[:PORT] key=value...
    #[arg(value_name = "HOST[:PORT]|@FILE", required = true, value_hint = ValueHint::Hostname)]
    hosts: Vec<HostsArg>,

    /// The file
    #[arg(value_hint = ValueHint::Other)]
    name: String,

    /// Go on with what is appended
    #[arg(short, long)]
    follow: bool,

    /// How many lines before the end to begin; 'all' for the whole file
    #[arg(short = 'n', long, value_name = "LINES", default_value = "10", conflicts_with = "bytes", value_hint = ValueHint::Other)]
    lines: LinesArg,

    /// How many bytes before the end to begin
    #[arg(short = 'c', long, value_name = "SIZE", value_parser = parse_size, value_hint = ValueHint::Other)]
    bytes: Option<u64>,

    /// End with the line that has this text, of each host; exit code 1 where none has it
    #[arg(long, value_name = "TEXT", value_parser = parse_text, value_hint = ValueHint::Other)]
    until: Option<String>,

    /// Only hosts of @FILE whose lines have this; may be given more than once, and all have to be met
    #[arg(long = "where", value_name = "KEY=VALUE", value_hint = ValueHint::Other)]
    conditions: Vec<Condition>,

    /// Write a JSON object a line: host and fileName, with line (or hex, for what is no UTF-8), or with notice
    #[arg(long)]
    json: bool,

    /// Print errors only: nothing of files that begin anew and servers that are waited for
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    network: NetworkArgs,
}

/// A number of lines; `None` for all.
#[derive(Clone, Copy, Debug)]
struct LinesArg(Option<u64>);

impl FromStr for LinesArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self(None)),
            number => number.parse().map(|lines| Self(Some(lines))).map_err(|_| "a number of lines, or 'all'"),
        }
    }
}

/// How one host ended.
enum Ended {
    Done,
    /// The text of `--until` did not come.
    Unmet,
    Failed(Error),
    /// Standard output takes nothing more.
    Closed(std::io::Error),
}

pub fn run(mut args: Tail) -> Exit {
    let name = tidy(&args.name);
    if let Err(exit) = parse_file_name(&name) {
        return exit;
    }
    let members = match members(&args.hosts, &args.conditions) {
        Ok(members) => members,
        Err(error) => {
            print_error(&error);
            return if matches!(error, InventoryError::File(_)) { Exit::LocalFile } else { Exit::Usage };
        }
    };
    if members.len() > 1 {
        // The questions of several threads would be in each other's way, and in that of what is printed.
        args.network = args.network.asking_nobody();
    }
    let mut clients = Vec::new();
    for member in &members {
        match args.network.resolve(&member.host) {
            Ok(server) => {
                if let Some(note) = &server.note {
                    print_error(note);
                }
                clients.push(args.network.client(&server));
            }
            Err(error) => return report(&error),
        }
    }
    let from = match (args.bytes, args.lines.0) {
        (Some(bytes), _) => FollowFrom::Bytes(bytes),
        (None, Some(lines)) => FollowFrom::Lines(lines),
        (None, None) => FollowFrom::Beginning,
    };
    let options = FollowOptions::new().with_from(from).with_following(args.follow);
    let labels = members.iter().map(|member| member.name.clone());
    let output = Arc::new(Output::new(labels.collect(), &name, args.json, args.quiet));
    follow_all(&args, &members, clients, options, &output)
}

/// Follows all hosts, each in a thread, until all have ended.
fn follow_all(
    args: &Tail,
    members: &[Member],
    clients: Vec<Client>,
    options: FollowOptions,
    output: &Arc<Output>,
) -> Exit {
    let (sender, ended) = mpsc::channel();
    for (index, client) in clients.into_iter().enumerate() {
        let printer = Printer::new(Arc::clone(output), index, args.until.as_deref());
        let sender = sender.clone();
        // Not waited for: where standard output is closed, nothing is to be done but to end.
        let follow = move || drop(sender.send((index, follow(client, options, printer))));
        if let Err(error) = thread::Builder::new().stack_size(STACK_LEN).spawn(follow) {
            print_error(format_args!("cannot start a thread: {error}"));
            return Exit::LocalFile;
        }
    }
    drop(sender);
    let mut worst = Exit::Done;
    for (index, ended) in ended {
        let member = members.get(index).map_or("", |member| member.name.as_str());
        let exit = match ended {
            Ended::Done => Exit::Done,
            Ended::Unmet => {
                let text = args.until.as_deref().unwrap_or_default();
                print_error(format_args!("{member}: no line has {text:?}"));
                Exit::Refused
            }
            Ended::Failed(error) if members.len() > 1 => {
                report_failure(&format!("{member}: {}", output.name()), &error)
            }
            Ended::Failed(error) => report_failure(output.name(), &error),
            Ended::Closed(error) => return report_failure("standard output", &Error::Write(error)),
        };
        if exit.code() > worst.code() {
            worst = exit;
        }
    }
    worst
}

/// Follows one host to its end.
fn follow(client: Client, options: FollowOptions, mut printer: Printer) -> Ended {
    let name = printer.name().to_owned();
    let mut follower = client.follow(FileName::new(&name).expect("it was checked"), options);
    loop {
        let printed = match follower.next_event() {
            Ok(Some(FollowEvent::Bytes(bytes))) => match printer.bytes(bytes) {
                Ok(true) => return Ended::Done,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            },
            Ok(Some(FollowEvent::BeginsAnew { known_to })) => printer.notice(&Notice::BeginsAnew { known_to }),
            Ok(Some(FollowEvent::Dropped { bytes })) => printer.notice(&Notice::Dropped { bytes }),
            Ok(Some(FollowEvent::Waiting { error })) => printer.notice(&Notice::Waiting(error)),
            Ok(Some(FollowEvent::Resumed { moved_to })) => printer.notice(&Notice::Resumed { moved_to }),
            Ok(Some(_)) => Ok(()),
            Ok(None) => match printer.finish() {
                Ok(()) if printer.is_unmet() => return Ended::Unmet,
                Ok(()) => return Ended::Done,
                Err(error) => Err(error),
            },
            Err(error) => {
                drop(printer.finish());
                return Ended::Failed(error);
            }
        };
        if let Err(error) = printed {
            return Ended::Closed(error);
        }
    }
}

fn parse_text(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a text is needed".to_owned()),
        _ if text.contains('\n') => Err("it is looked for in one line".to_owned()),
        text => Ok(text.to_owned()),
    }
}
