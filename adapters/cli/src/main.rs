//! The `coracle` program: its arguments, subcommands and exit codes. One file a subcommand.

mod console;
mod generate;
mod get;
mod load;
mod ls;
mod metrics_page;
mod newcomers;
mod peer;
mod progress;
mod serve;
mod stat;
mod values;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use coracle::Escaped;

/// Serves a directory over TCP; fetches from it, resumes and verifies.
#[derive(Debug, Parser)]
#[command(name = "coracle", version, after_help = EXAMPLES, after_long_help = LONG_HELP, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Ls(ls::Ls),
    Stat(stat::Stat),
    Get(Box<get::Get>),
    Load(Box<load::Load>),
    Completions(generate::Completions),
    Man(generate::Man),
}

const EXAMPLES: &str = "\
Examples:
  coracle serve .                          serve this directory on port 8888
  coracle ls 192.168.7.2 -l                list what another machine serves
  coracle get 192.168.7.2 boot.log         fetch a file, resume it, verify it

'coracle help COMMAND' tells more of a command.";

const LONG_HELP: &str = "\
Examples:
  coracle serve .                          serve this directory on port 8888
  coracle ls 192.168.7.2 -l                list what another machine serves
  coracle get 192.168.7.2 boot.log         fetch a file, resume it, verify it

Exit codes:
  0  done
  1  the peer refused: not found, not allowed, and so on
  2  wrong usage
  3  network trouble or a time-out, after all retries; an address that cannot be bound
  4  verification failed: what arrived is not what the server has
  5  local file trouble: unreadable, unwritable, no space
  128 + N  ended by signal N (130 for Ctrl-C)

Durations are numbers with a unit (500ms, 10s, 2m, '1h 30m'); 0 is never.
Sizes are bytes, or numbers with a unit: 64KiB is 65536, 64k or 64kB is 64000.";

/// How the program ended. The numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each subcommand has outcomes of its own")]
pub enum Exit {
    /// Everything was done.
    Done,
    /// The peer refused: not found, not allowed, and so on.
    Refused,
    /// The arguments make no sense together. (clap itself ends with 2 for those that make none alone.)
    Usage,
    /// Network trouble or a time-out.
    Network,
    /// What arrived is not what the server has.
    Verification,
    /// A file or directory of this machine could not be read or written.
    LocalFile,
    /// A signal ended it.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Network => 3,
            Exit::Verification => 4,
            Exit::LocalFile => 5,
            Exit::Signal(number) => number.saturating_add(128),
        })
    }
}

fn main() -> ExitCode {
    let exit = match Program::parse().command {
        Command::Serve(args) => serve::serve(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Completions(args) => generate::completions(&args, &mut Program::command()),
        Command::Man(args) => generate::man(&args, Program::command()),
    };
    exit.into()
}

/// Says on standard error what went wrong: `coracle: ` and the message on one line, with control characters escaped,
/// since messages repeat what peers and file systems say.
pub fn complain(message: impl Display) {
    // In one write, so that programs that share it do not mix their lines.
    let line = format!("coracle: {}\n", Escaped(&message.to_string()));
    // Nobody is left to tell when standard error is gone.
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}
