//! `coracle fleet ls`, `stat` and `check`: what the hosts have. Nothing is changed.

use clap::{Args, ValueHint};
use coracle::local::Escaped;
use coracle_core::{Digest, DigestKind, FileName, Header};
use serde_json::Value;

use super::operation::{Begun, Operation, Visit, differs, sha256};
use super::options::FleetArgs;
use super::start::{Job, start};
use super::state::{Outcome, State};
use crate::client_args::DigestArg;
use crate::exit::{Exit, print_error};
use crate::ls::Format;
use crate::names::{parse_path, tidy};
use crate::values::format_time;

/// List a directory of each host
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle fleet ls [OPTIONS] <@FILE|mdns:|HOST>... <DIR>",
    after_help = "\
Examples:
  coracle fleet ls @bench.txt /            all that is served
  coracle fleet ls @bench.txt logs -l --where rack=b

Each line begins with the name of the host."
)]
pub struct Ls {
    #[command(flatten)]
    pub fleet: FleetArgs,

    /// Also show sizes and times of modification
    #[arg(short, long)]
    long: bool,
}

/// Show the size, time, version and digest of a file of each host
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle fleet stat [OPTIONS] <@FILE|mdns:|HOST>... <NAME>",
    after_help = "\
Example:
  coracle fleet stat @bench.txt boot.log --digest sha256"
)]
pub struct Stat {
    #[command(flatten)]
    pub fleet: FleetArgs,

    /// Ask for this digest of the whole file, for which the host may have to read it
    #[arg(long, value_enum, default_value_t = DigestArg::None)]
    digest: DigestArg,
}

/// Report which hosts have other contents than they should; changes nothing
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle fleet check [OPTIONS] <@FILE|mdns:|HOST>... <NAME>",
    after_help = "\
Examples:
  coracle fleet check @bench.txt image.bin --sha256 9f86d081884c7d65...
  coracle fleet check @bench.txt config.json --like config.json

'unchanged' has the contents; 'failed' has others, or none: exit code 4 or 1."
)]
pub struct Check {
    #[command(flatten)]
    pub fleet: FleetArgs,

    /// The SHA-256 that it should have
    #[arg(long, value_name = "HEX", value_parser = parse_sha256, value_hint = ValueHint::Other, required_unless_present = "like")]
    sha256: Option<Digest>,

    /// The local file that it should be like
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "sha256")]
    like: Option<std::path::PathBuf>,
}

pub fn ls(args: Ls) -> Exit {
    let (path, hosts) = match args.fleet.split() {
        Ok(words) => words,
        Err(exit) => return exit,
    };
    let path = tidy(&path);
    let path = match parse_path(&path) {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let operation = Listing { path, format: if args.long { Format::Long } else { Format::Short } };
    let what = format!("ls {}", path.map_or("/", |path| path.as_str()));
    start(args.fleet, &hosts, Job::reading(&what), |_| Ok(Box::new(operation)))
}

pub fn stat(args: Stat) -> Exit {
    let (name, hosts) = match args.fleet.split_file() {
        Ok(words) => words,
        Err(exit) => return exit,
    };
    let name = name.as_file_name();
    let operation = Status { name, digest: args.digest.kind() };
    start(args.fleet, &hosts, Job::reading(&format!("stat {name}", name = name.as_str())), |_| Ok(Box::new(operation)))
}

pub fn check(args: Check) -> Exit {
    let (name, hosts) = match args.fleet.split_file() {
        Ok(words) => words,
        Err(exit) => return exit,
    };
    let name = name.as_file_name();
    let wanted = match (args.sha256, &args.like) {
        (Some(wanted), _) => wanted,
        (None, Some(path)) => match super::source::Source::open(path) {
            Ok(source) => source.sha256,
            Err(why) => {
                print_error(why);
                return Exit::LocalFile;
            }
        },
        (None, None) => unreachable!("clap demands one of them"),
    };
    let operation = Comparison { name, wanted };
    start(args.fleet, &hosts, Job::reading(&format!("check {}", name.as_str())), |_| Ok(Box::new(operation)))
}

fn parse_sha256(text: &str) -> Result<Digest, String> {
    Digest::from_hex(DigestKind::Sha256, text).ok_or_else(|| "64 hexadecimal digits in lower case".to_owned())
}

struct Listing<'a> {
    path: Option<FileName<'a>>,
    format: Format,
}

impl Operation for Listing<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        let mut entries = Vec::new();
        let mut client = match visit.client() {
            Ok(client) => client,
            Err(outcome) => return Begun::Ended(outcome),
        };
        let listed = client.list_into(self.path, &mut entries, Vec::clear, |entries, entry| {
            entries.push((entry.name.as_str().to_owned(), entry.kind));
            Ok(())
        });
        let listing = match listed {
            Ok(listing) => listing,
            Err(error) => return Begun::Ended(error.into()),
        };
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let (mut text, mut objects) = (Vec::new(), Vec::<Value>::new());
        for (name, kind) in &entries {
            let mut object = Vec::new();
            text.extend_from_slice(format!("{}: ", Escaped(visit.target.name())).as_bytes());
            // Writing to a vector cannot fail.
            drop(self.format.write(&mut text, name, *kind));
            drop(Format::Json.write(&mut object, name, *kind));
            objects.extend(serde_json::from_slice::<Value>(&object));
        }
        let outcome = Outcome::new(State::Done).with_text(String::from_utf8_lossy(&text).into_owned());
        Begun::Ended(outcome.with_member("entries", objects).with_member("skipped", listing.skipped))
    }
}

struct Status<'a> {
    name: FileName<'a>,
    digest: Option<DigestKind>,
}

impl Operation for Status<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        let header = visit.client().and_then(|mut client| Ok(client.stat(self.name, self.digest)?));
        Begun::Ended(header.map_or_else(|outcome| outcome, |header| described(visit.target.name(), &header)))
    }
}

fn described(host: &str, header: &Header) -> Outcome {
    let digest = header.digest.as_ref();
    let digest_text = digest.map(|digest| format!("  {} {}", digest.kind().as_str(), digest.to_hex().as_str()));
    let text = format!(
        "{}: {} bytes  {}  version {}{}\n",
        Escaped(host),
        header.size,
        format_time(header.modified),
        Escaped(header.version.as_str()),
        digest_text.unwrap_or_default()
    );
    let mut outcome = Outcome::new(State::Done)
        .with_text(text)
        .with_member("fileSize", header.size)
        .with_member("version", header.version.as_str());
    if let Some(modified) = header.modified {
        outcome = outcome.with_member("modified", modified);
    }
    match digest {
        Some(digest) => outcome.with_member(digest.kind().as_str(), digest.to_hex().as_str()),
        None => outcome,
    }
}

struct Comparison<'a> {
    name: FileName<'a>,
    wanted: Digest,
}

impl Operation for Comparison<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        Begun::Ended(match visit.client().and_then(|mut client| sha256(&mut client, self.name)) {
            Ok(Some(is)) if is == self.wanted => Outcome::new(State::Unchanged),
            Ok(is) => differs(self.name, is.as_ref(), &self.wanted),
            Err(outcome) => outcome,
        })
    }
}
