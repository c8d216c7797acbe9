//! `coracle fleet`: one request to many hosts, in waves, each of which ends in exactly one state.

mod activation;
mod amount;
mod fetching;
mod journal;
mod operation;
mod options;
mod reading;
mod report;
mod run;
mod sending;
mod source;
mod start;
mod state;
mod table;
mod target;
mod writing;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// Ask, fetch from, or change many hosts
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", report::HELP))]
pub struct Fleet {
    #[command(subcommand)]
    command: FleetCommand,
}

const EXAMPLES: &str = "\
Examples:
  coracle fleet get @bench.txt boot.log -o 'logs/{name}/'
  coracle fleet check @bench.txt image.bin --like image.bin
  coracle fleet put @bench.txt image.bin -f --waves 1,5%,100% --bake 10m --max-failed 2

bench.txt has a host a line, and what is to be said of it:
  192.168.7.2       name=bench-2 rack=a
  192.168.7.3:9000  name=bench-3 rack=b    # by the door

Each host ends as one of: done, unchanged (it was as it should be), failed, unreachable, not tried. The
exit code is that of the worst.";

#[derive(Debug, Subcommand)]
enum FleetCommand {
    Ls(Box<reading::Ls>),
    Stat(Box<reading::Stat>),
    Check(Box<reading::Check>),
    Get(Box<fetching::Get>),
    Put(Box<writing::Put>),
    Delete(Box<writing::DeleteArgs>),
}

pub fn run(args: Fleet) -> Exit {
    match args.command {
        FleetCommand::Ls(args) => reading::ls(*args),
        FleetCommand::Stat(args) => reading::stat(*args),
        FleetCommand::Check(args) => reading::check(*args),
        FleetCommand::Get(args) => fetching::get(*args),
        FleetCommand::Put(args) => writing::put(*args),
        FleetCommand::Delete(args) => writing::delete(*args),
    }
}
