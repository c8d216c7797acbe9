//! Arguments of the commands that are clients: the server, time-outs, digests.

use clap::{Args, ValueHint};
use coracle::client::{Address, Client};
use coracle_core::DigestKind;

use crate::exit::print_error;
use crate::values::DurationArg;

/// The server, retries and time-outs.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// The server: a name or an address, with a port where it is not 8888; IPv6 in brackets
    #[arg(value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    host: Address,

    /// How many retries without progress may follow each other, after growing pauses; 0: none at all. Those for a server that
    /// is busy or restarts are not counted
    #[arg(long, value_name = "N", default_value_t = 3, value_hint = ValueHint::Other, help_heading = "Network")]
    retries: u32,

    /// How long to wait in all, without progress, for a server that is busy or restarts; as given, for the pauses of
    /// --retries too; 0 for as long as it takes [default: 10m]
    #[arg(long, value_name = "DURATION", value_hint = ValueHint::Other, help_heading = "Network")]
    patience: Option<DurationArg>,

    /// How long connecting may take, over all addresses of the host
    #[arg(long, value_name = "DURATION", default_value = "10s", value_hint = ValueHint::Other, help_heading = "Network")]
    connect_timeout: DurationArg,

    /// How long the server may send nothing during a request
    #[arg(long, value_name = "DURATION", default_value = "30s", value_hint = ValueHint::Other, help_heading = "Network")]
    stall_timeout: DurationArg,
}

impl ClientArgs {
    /// A client of the server. It connects with its first request.
    pub fn client(&self) -> Client {
        let client = Client::new(self.host.clone())
            .with_retries(self.retries)
            .with_connect_timeout(self.connect_timeout.0)
            .with_stall_timeout(self.stall_timeout.0);
        match self.patience {
            Some(patience) => client.with_patience(patience.0),
            None => client,
        }
    }

    /// The same, which tells of its retries on standard error, unless it `is_quiet`.
    pub fn telling_client(&self, is_quiet: bool) -> Client {
        let client = self.client();
        if is_quiet { client } else { client.with_retry_observer(|event| print_error(event)) }
    }
}

/// A digest as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DigestArg {
    /// CRC-32: detects errors of transmission and storage
    Crc32,
    /// SHA-256: as CRC-32, and can be compared with a digest from a source that is trusted
    Sha256,
    /// No verification
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
