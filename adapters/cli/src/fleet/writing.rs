//! `coracle fleet put` and `delete`: changes the hosts, in waves.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use coracle::client::{Client, Error, PutOptions, PutReplace};
use coracle_core::{Code, Delete, FileName};

use super::activation::Activation;
use super::amount::Waves;
use super::operation::{Begun, Operation, Visit};
use super::options::{FleetArgs, JournalArgs};
use super::sending::Sending;
use super::source::Source;
use super::start::{Job, start};
use super::state::{Outcome, State};
use crate::exit::{Exit, print_error};
use crate::names::{parse_file_name, tidy};
use crate::values::DurationArg;

/// Send a file to each host, in waves, and ask each for its SHA-256 afterwards
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle fleet put [OPTIONS] <@FILE|mdns:|HOST>... <FILE>",
    after_help = "\
Examples:
  coracle fleet put @bench.txt config.json -f
  coracle fleet put @bench.txt image.bin -f --waves 1,5%,100% --bake 10m --max-failed 2
  coracle fleet put @bench.txt image.bin -f --waves 1,5%,100% --bake 10m --continue JOURNAL
  coracle fleet put @bench.txt firmware-2.bin -o image --activate --bake 20s

'done' has answered with the SHA-256 of the file after it was sent; 'unchanged' had it before. With
--bake the hosts of a wave are asked again after that time, and the next wave begins if the budgets
allow it. With --activate the file is an image for boards with two slots: it is sent, the board is
restarted, has to run it and to answer for the time of --bake, and is told to keep it. Choose a
shorter time than that after which a board that is not told so goes back by itself."
)]
pub struct Put {
    #[command(flatten)]
    pub fleet: FleetArgs,

    #[command(flatten)]
    pub journal: JournalArgs,

    /// Its name at the hosts [default: that of FILE; 'image' with --activate]
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other)]
    output: Option<String>,

    /// Replace what is there
    #[arg(short, long)]
    force: bool,

    /// Make missing directories
    #[arg(short, long)]
    parents: bool,

    /// How many hosts are tried, in all, by the end of each wave: numbers, or parts of all
    #[arg(long, value_name = "N,P%,100%", default_value = "100%", hide_default_value = true, value_hint = ValueHint::Other)]
    waves: Waves,

    /// How long the hosts of a wave are left alone before they are asked again
    #[arg(long, value_name = "DURATION", default_value = "0", value_hint = ValueHint::Other)]
    bake: DurationArg,

    /// Restart each board, see that it runs the file, and tell it to keep it
    #[arg(long)]
    activate: bool,

    /// With --activate: how long a board may take to come back
    #[arg(long, value_name = "DURATION", default_value = "2m", value_hint = ValueHint::Other, requires = "activate")]
    restart_timeout: DurationArg,
}

/// Delete a file of each host
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle fleet delete [OPTIONS] <@FILE|mdns:|HOST>... <NAME>",
    after_help = "\
Example:
  coracle fleet delete @bench.txt old.log --where rack=b

'unchanged' had no such file."
)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub fleet: FleetArgs,

    #[command(flatten)]
    pub journal: JournalArgs,
}

pub fn put(args: Put) -> Exit {
    let (file, hosts) = match args.fleet.split() {
        Ok((file, hosts)) => (PathBuf::from(file), hosts),
        Err(exit) => return exit,
    };
    let source = match Source::open(&file) {
        Ok(source) => source,
        Err(why) => {
            print_error(why);
            return Exit::LocalFile;
        }
    };
    let name = match (&args.output, file.file_name().and_then(|leaf| leaf.to_str())) {
        (Some(name), _) => tidy(name),
        (None, _) if args.activate => "image".to_owned(),
        (None, Some(leaf)) => leaf.to_owned(),
        (None, None) => {
            print_error(format_args!("{} has no name that a server could take: give one with -o", file.display()));
            return Exit::Usage;
        }
    };
    let name = match parse_file_name(&name) {
        Ok(name) => name,
        Err(exit) => return exit,
    };
    let replace = if args.force { PutReplace::Anything } else { PutReplace::Nothing };
    let job = Job {
        sha256: Some(source.sha256.to_hex().as_str().to_owned()),
        activate: args.activate,
        waves: args.waves,
        bake: args.bake.0,
        ..Job::writing("put", name.as_str(), args.journal)
    };
    let options = PutOptions::new().with_replace(replace).with_parents(args.parents);
    let sending = Sending { name, source, options };
    if args.activate {
        let activation = Activation { sending, restart_timeout: args.restart_timeout.0 };
        return start(args.fleet, &hosts, job, |_| Ok(Box::new(activation)));
    }
    start(args.fleet, &hosts, job, |_| Ok(Box::new(sending)))
}

pub fn delete(args: DeleteArgs) -> Exit {
    let (name, hosts) = match args.fleet.split_file() {
        Ok(words) => words,
        Err(exit) => return exit,
    };
    let name = name.as_file_name();
    start(args.fleet, &hosts, Job::writing("delete", name.as_str(), args.journal), |_| Ok(Box::new(Deletion { name })))
}

/// Deletes a file.
struct Deletion<'a> {
    name: FileName<'a>,
}

impl Deletion<'_> {
    fn is_there(&self, client: &mut Client) -> Result<bool, Outcome> {
        match client.stat(self.name, None) {
            Ok(_) => Ok(true),
            Err(Error::Refused { code: Some(Code::NotFound), .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn ensure(&self, visit: &mut Visit<'_>) -> Result<State, Outcome> {
        let mut client = visit.client()?;
        if !self.is_there(&mut client)? {
            return Ok(if visit.was_begun { State::Done } else { State::Unchanged });
        }
        visit.note_begun()?;
        visit.row.step("deleting");
        client.delete(Delete::File { name: self.name, version: None })?;
        if self.is_there(&mut client)? {
            return Err(Outcome::failed(Exit::Verification, "the server says that it was deleted, and has it still"));
        }
        Ok(State::Done)
    }
}

impl Operation for Deletion<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        Begun::Ended(self.ensure(visit).map_or_else(|outcome| outcome, Outcome::new))
    }
}
