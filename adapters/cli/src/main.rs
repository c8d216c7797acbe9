//! The `coracle` program: its arguments, subcommands and exit codes. One file a subcommand.

mod append;
mod change;
mod client_args;
mod console;
mod descriptor_limit;
mod discovery;
mod draw_target;
mod exit;
mod filter;
mod find;
mod fleet;
mod generate;
mod get;
mod identity;
mod index;
mod info;
mod inventory;
mod key;
mod listen_address;
mod load;
mod local_digest;
mod ls;
mod names;
mod progress;
mod put;
mod serve;
mod signals;
mod standard_output;
mod stat;
mod sync;
mod sys;
mod tail;
mod values;
mod versions;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use coracle::client::Error;

use self::client_args::ClientArgs;
use self::exit::{Exit, report_failure};

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
    Index(index::Index),
    Ls(ls::Ls),
    Stat(stat::Stat),
    Info(info::Info),
    Get(Box<get::Get>),
    Tail(Box<tail::Tail>),
    Sync(Box<sync::Sync>),
    Put(Box<put::Put>),
    Rm(change::Rm),
    Mv(change::Mv),
    Mkdir(change::Mkdir),
    Df(change::Df),
    Do(change::Do),
    Find(find::Find),
    Fleet(fleet::Fleet),
    Load(Box<load::Load>),
    Key(key::Key),
    Completions(generate::Completions),
    Man(generate::Man),
}

const EXAMPLES: &str = "\
Examples:
  coracle serve .                          serve this directory on port 8888
  coracle ls 192.168.7.2 -l                list what another machine serves
  coracle get 192.168.7.2 boot.log         fetch a file, resume it, verify it
  coracle tail -f 192.168.7.2 boot.log     print what is appended to it
  coracle sync 192.168.7.2 logs ./logs     make a local directory the same
  coracle find                             list the servers that announce themselves
  coracle put 192.168.7.2 config.json      send a file, where the server allows it

'coracle help COMMAND' describes a command.";

const LONG_HELP: &str = "\
Examples:
  coracle serve .                          serve this directory on port 8888
  coracle ls 192.168.7.2 -l                list what another machine serves
  coracle get 192.168.7.2 boot.log         fetch a file, resume it, verify it
  coracle tail -f 192.168.7.2 boot.log     print what is appended to it
  coracle sync 192.168.7.2 logs ./logs     make a local directory the same
  coracle find                             list the servers that announce themselves
  coracle put 192.168.7.2 config.json      send a file, where the server allows it

Exit codes:
  0  done
  1  the server refused: not found, not allowed, and so on; with get -r also where the
     server has entries that it cannot serve
  2  wrong usage
  3  the network failed or timed out, after all retries; an address cannot be listened on
  4  verification failed: what was received is not what the server has, or the server is not
     the one that is meant
  5  a local file cannot be read or written, or there is no space; sync would delete too much
  128 + N  ended by signal N (130 for Ctrl-C)

Durations are numbers with a unit (500ms, 10s, 2m, '1h 30m'); 0 is never.
Sizes are bytes, or numbers with a unit: 64KiB is 65536, 64k or 64kB is 64000.";

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) if error.use_stderr() => error.exit(),
        Err(help) => return print_help(&help).into(),
    };
    // A server catches them itself.
    if !matches!(program.command, Command::Serve(_))
        && let Err(error) = sys::end_on_signals_as_init()
    {
        exit::print_error(format_args!("cannot catch signals: {error}"));
    }
    if let Some(Err(exit)) = client_args(&program.command).map(ClientArgs::prepare) {
        return exit.into();
    }
    let exit = match program.command {
        Command::Serve(args) => serve::serve(&args),
        Command::Index(args) => index::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Tail(args) => tail::run(*args),
        Command::Sync(args) => sync::run(&args),
        Command::Put(args) => put::run(&args),
        Command::Rm(args) => change::rm(&args),
        Command::Mv(args) => change::mv(&args),
        Command::Mkdir(args) => change::mkdir(&args),
        Command::Df(args) => change::df(&args),
        Command::Do(args) => change::perform(&args),
        Command::Find(args) => find::run(&args),
        Command::Fleet(args) => fleet::run(args),
        Command::Load(args) => load::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Completions(args) => generate::completions(&args, &mut Program::command()),
        Command::Man(args) => generate::man(&args, Program::command()),
    };
    exit.into()
}

/// The arguments that say which server a command is a client of.
fn client_args(command: &Command) -> Option<&ClientArgs> {
    match command {
        Command::Ls(args) => Some(&args.client_args),
        Command::Stat(args) => Some(&args.client_args),
        Command::Info(args) => Some(&args.client_args),
        Command::Get(args) => Some(&args.client_args),
        Command::Sync(args) => Some(&args.client_args),
        Command::Put(args) => Some(&args.client_args),
        Command::Rm(args) => Some(&args.client_args),
        Command::Mv(args) => Some(&args.client_args),
        Command::Mkdir(args) => Some(&args.client_args),
        Command::Df(args) => Some(&args.client_args),
        Command::Do(args) => Some(&args.client_args),
        // Of several servers, which it finds itself.
        Command::Tail(_) => None,
        Command::Serve(_)
        | Command::Index(_)
        | Command::Find(_)
        | Command::Fleet(_)
        | Command::Load(_)
        | Command::Key(_)
        | Command::Completions(_)
        | Command::Man(_) => None,
    }
}

/// Prints the help or the version that was asked for.
fn print_help(help: &clap::Error) -> Exit {
    let printed = standard_output::check().and_then(|()| help.print()).and_then(|()| io::stdout().flush());
    match printed {
        Ok(()) => Exit::Done,
        Err(error) => report_failure("standard output", &Error::Write(error)),
    }
}
