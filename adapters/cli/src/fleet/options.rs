//! Arguments that the commands of a fleet share.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::amount::Amount;
use crate::client_args::NetworkArgs;
use crate::exit::{Exit, print_error};
use crate::inventory::{Condition, HostsArg};
use crate::names::CheckedName;

/// The hosts, and how many may be talked to and fail.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// The hosts: '@FILE' for a file with one a line, 'HOST[:PORT] key=value...', of which 'name=' is its name; 'mdns:' for
    /// those that 'coracle find' lists; or hosts as in 'coracle get'. Behind them the last word, which is the file or directory
    #[arg(value_name = "WORD", required = true, value_hint = ValueHint::AnyPath)]
    words: Vec<String>,

    /// Only hosts whose line has this
    #[arg(long = "where", value_name = "KEY=VALUE", value_hint = ValueHint::Other, help_heading = "Hosts")]
    pub conditions: Vec<Condition>,

    /// Talk to this many hosts at once; to fewer where so many files may not be open
    #[arg(short, long, value_name = "N", default_value_t = 32, value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Hosts")]
    pub jobs: u16,

    /// Try no more hosts when more than so many have failed, as 2 or 10% [default: 0 where hosts are changed, or else 100%]
    #[arg(long, value_name = "N|P%", value_hint = ValueHint::Other, help_heading = "Hosts")]
    pub max_failed: Option<Amount>,

    /// The same of hosts that cannot be reached [default: 10% where hosts are changed, or else 100%]
    #[arg(long, value_name = "N|P%", value_hint = ValueHint::Other, help_heading = "Hosts")]
    pub max_unreachable: Option<Amount>,

    #[command(flatten)]
    pub network: NetworkArgs,

    /// At the end write a line of JSON for each host, and one for all; 'coracle fleet --help' describes them
    #[arg(long)]
    pub json: bool,

    /// Print errors only: no table, no counts
    #[arg(short, long)]
    pub quiet: bool,
}

impl FleetArgs {
    /// The last word, and the hosts before it. Prints what is wrong.
    pub fn split(&self) -> Result<(String, Vec<HostsArg>), Exit> {
        // Not two arguments to clap, which would take the host for the last word where an option stands between them.
        let (last, hosts) = match self.words.split_last() {
            Some((last, hosts)) if !hosts.is_empty() => (last, hosts),
            _ => {
                print_error("hosts are needed, and behind them a file or directory: @bench.txt boot.log");
                return Err(Exit::Usage);
            }
        };
        let hosts = hosts.iter().map(|word| {
            word.parse().map_err(|why| {
                print_error(format_args!("{word:?}: {why}"));
                Exit::Usage
            })
        });
        Ok((last.clone(), hosts.collect::<Result<_, _>>()?))
    }

    /// The file that the last word names, and the hosts before it. Prints what is wrong.
    pub fn split_file(&self) -> Result<(CheckedName, Vec<HostsArg>), Exit> {
        let (name, hosts) = self.split()?;
        Ok((CheckedName::parse(&name)?, hosts))
    }
}

/// The journal.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// Note here what is done, so that the run can be continued; a new file [default: coracle-fleet-TIME.journal, which is
    /// removed when all hosts are as they should be]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "continued", help_heading = "Journal")]
    pub journal: Option<PathBuf>,

    /// Go on with the run of this journal, whose arguments are repeated: hosts that ended are not asked again
    #[arg(long = "continue", value_name = "JOURNAL", value_hint = ValueHint::FilePath, help_heading = "Journal")]
    pub continued: Option<PathBuf>,

    /// With --continue, try hosts again that failed or could not be reached
    #[arg(long, requires = "continued", help_heading = "Journal")]
    pub retry_failed: bool,
}
