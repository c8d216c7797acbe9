//! What every subcommand that talks to a server is told, and how its errors become exit codes.

use std::time::SystemTime;

use clap::Args;
use coracle::client::{Address, Blame, Client, Error};
use coracle_core::{DigestKind, FileName};

use super::values::Limit;
use super::{Exit, complain};

/// The server, and how patient to be with it.
#[derive(Debug, Args)]
pub struct Peer {
    /// The server: a name or an address, with a port where it is not 8888; IPv6 in brackets
    #[arg(value_name = "HOST[:PORT]")]
    host: Address,

    /// Try again this often in a row without progress, after a growing pause
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Network")]
    retries: u32,

    /// How long connecting may take, over all of the host's addresses
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = "Network")]
    connect_timeout: Limit,

    /// How long the server may send nothing while something is awaited
    #[arg(long, value_name = "DURATION", default_value = "30s", help_heading = "Network")]
    stall_timeout: Limit,
}

impl Peer {
    /// A client of that server; it connects when it is asked something.
    pub fn client(&self) -> Client {
        Client::new(self.host.clone())
            .with_retries(self.retries)
            .with_connect_timeout(self.connect_timeout.0)
            .with_stall_timeout(self.stall_timeout.0)
    }
}

/// A digest as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DigestArg {
    /// CRC-32: finds accidents
    Crc32,
    /// SHA-256: finds malice on the way, too
    Sha256,
    /// Nothing is verified
    None,
}

impl DigestArg {
    pub fn kind(self) -> Option<DigestKind> {
        match self {
            Self::Crc32 => Some(DigestKind::Crc32),
            Self::Sha256 => Some(DigestKind::Sha256),
            Self::None => None,
        }
    }
}

impl From<Blame> for Exit {
    fn from(blame: Blame) -> Self {
        match blame {
            Blame::Refused => Self::Refused,
            Blame::Usage => Self::Usage,
            Blame::Network => Self::Network,
            Blame::Verification => Self::Verification,
            Blame::Local => Self::LocalFile,
        }
    }
}

/// Says what went wrong with `what`, and which exit code that is.
pub fn failed(what: &str, error: &Error) -> Exit {
    match error {
        // Who reads standard output has seen enough, as `head` has.
        Error::Write(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        error => {
            complain(format_args!("{what}: {error}"));
            error.blame().into()
        }
    }
}

/// Reads a name that is to be asked for; says what is wrong with it.
pub fn file_name(text: &str) -> Result<FileName<'_>, Exit> {
    FileName::new(text).map_err(|error| {
        complain(format_args!("{text:?} cannot be asked for: {error}"));
        Exit::Usage
    })
}

/// Seconds since 1970 as people read them, always 20 characters: `2025-11-22T04:00:00Z`.
pub fn time(modified: Option<u64>) -> String {
    /// The last second of the year 9999.
    const LAST: u64 = 253_402_300_799;
    match modified.filter(|secs| *secs <= LAST) {
        Some(secs) => {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        None => format!("{:20}", "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn r12_times_have_one_width() {
        assert_eq!(time(Some(1_763_769_600)), "2025-11-22T00:00:00Z");
        assert_eq!(time(Some(253_402_300_799)), "9999-12-31T23:59:59Z");
        for modified in [None, Some(0), Some(4_294_967_296), Some(253_402_300_800), Some(u64::MAX)] {
            assert_eq!(time(modified).len(), 20, "{modified:?}");
        }
    }
}
