//! Arguments of the commands that are clients: the server, time-outs, digests.

use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::time::Instant;

use clap::{Args, ValueHint};
use coracle::client::{AddressFamily, Client};
use coracle::rate_limit::RateLimit;
use coracle_core::DigestKind;

use crate::exit::{Exit, print_error};
use crate::identity::{ChannelArgs, HostArg, ResolveError, Resolved};
use crate::values::{DurationArg, parse_limit, parse_rate};

/// The server, and how it is talked to.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// The server: a name or an address, with a port where it is not 8888; IPv6 in brackets. Names of
    /// ~/.config/coracle/hosts come first, and those that 'coracle find' lists after what the resolver knows
    #[arg(value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    host: HostArg,

    #[command(flatten)]
    network: NetworkArgs,

    /// Where the server is, and how it is talked to.
    #[arg(skip)]
    server: OnceLock<Resolved>,
}

/// Keys, retries and time-outs, of a command that is a client of one server or of many.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    #[command(flatten)]
    channel: ChannelArgs,

    /// How many retries without progress may follow each other, after growing pauses; 0: none at all. Those for a server that
    /// is busy, restarts or, where --patience tells to wait for that, refuses connections are not counted
    #[arg(long, value_name = "N", default_value_t = 3, value_hint = ValueHint::Other, help_heading = "Network")]
    retries: u32,

    /// How long to wait in all, without progress, for a server that is busy, restarts or refuses connections; as given, for the
    /// pauses of --retries too; 0 for as long as it takes [default: 10m; 30s where it says nothing but resets encrypted connections;
    /// 10s where it refuses them though it answered before, or a key of it is given; --retries where it refuses and nothing is known
    /// of it]
    #[arg(long, value_name = "DURATION", value_hint = ValueHint::Other, help_heading = "Network")]
    patience: Option<DurationArg>,

    /// How long connecting may take, over all addresses of the host
    #[arg(long, value_name = "DURATION", default_value = "10s", value_hint = ValueHint::Other, help_heading = "Network")]
    connect_timeout: DurationArg,

    /// How long the server may send nothing during a request
    #[arg(long, value_name = "DURATION", default_value = "30s", value_hint = ValueHint::Other, help_heading = "Network")]
    stall_timeout: DurationArg,

    /// How long all may take, pauses included; then the program ends with exit code 3. What was fetched stays and is resumed
    #[arg(long, value_name = "DURATION", default_value = "0", value_hint = ValueHint::Other, help_heading = "Network")]
    max_time: DurationArg,

    /// Leave a server that sends fewer bytes a second, on average over --stall-timeout; not while it computes a digest. 0 for
    /// any
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_rate, value_hint = ValueHint::Other, help_heading = "Network")]
    min_rate: u32,

    /// Receive and send at most this many bytes a second, over all connections together
    #[arg(long, value_name = "SIZE", value_parser = parse_limit, value_hint = ValueHint::Other, help_heading = "Network")]
    limit_rate: Option<NonZeroU64>,

    /// Connect to IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Network")]
    ipv4: bool,

    /// Connect to IPv6 addresses only
    #[arg(short = '6', long, help_heading = "Network")]
    ipv6: bool,

    /// What the clients of all connections share.
    #[arg(skip)]
    shared: OnceLock<Shared>,
}

/// What the clients of one run share.
#[derive(Debug)]
struct Shared {
    deadline: Option<Instant>,
    rate_limit: Option<RateLimit>,
}

impl ClientArgs {
    /// Finds out which server is meant and how it is talked to, before anything else is done. Prints what is wrong.
    pub fn prepare(&self) -> Result<(), Exit> {
        let server = self.network.resolve(&self.host).map_err(|error| report(&error))?;
        if let Some(note) = &server.note {
            print_error(note);
        }
        self.server.get_or_init(|| server);
        Ok(())
    }

    /// A client of the server. It connects with its first request.
    ///
    /// # Panics
    ///
    /// Before [`ClientArgs::prepare`].
    pub fn client(&self) -> Client {
        self.network.client(self.server.get().expect("main prepares the arguments"))
    }

    /// The same, which tells of its retries on standard error, unless it `is_quiet`.
    pub fn telling_client(&self, is_quiet: bool) -> Client {
        let client = self.client();
        if is_quiet { client } else { client.with_retry_observer(|event| print_error(event)) }
    }
}

impl NetworkArgs {
    /// Does not ask the user about a server whose key is not known, and does not trust it.
    pub fn asking_nobody(mut self) -> Self {
        self.channel.ask_nobody();
        self
    }

    /// Finds out which server `host` is and how it is talked to. The time of --max-time begins with the first one.
    pub fn resolve(&self, host: &HostArg) -> Result<Resolved, ResolveError> {
        self.shared();
        self.channel.resolve(host)
    }

    /// A client of a server. It connects with its first request.
    pub fn client(&self, server: &Resolved) -> Client {
        let shared = self.shared();
        let client = Client::new(server.address.clone())
            .with_channel(server.channel.clone())
            .with_retries(self.retries)
            .with_connect_timeout(self.connect_timeout.0)
            .with_stall_timeout(self.stall_timeout.0)
            .with_min_rate(self.min_rate)
            .with_deadline(shared.deadline)
            .with_rate_limit(shared.rate_limit.clone())
            .with_address_family(match (self.ipv4, self.ipv6) {
                (true, _) => Some(AddressFamily::V4),
                (_, true) => Some(AddressFamily::V6),
                _ => None,
            });
        let client = match server.locator.clone() {
            Some(locator) => client.with_locator(move || locator.locate()),
            None => client,
        };
        match self.patience {
            Some(patience) => client.with_patience(patience.0),
            None => client,
        }
    }

    /// When all has to be done.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared().deadline
    }

    fn shared(&self) -> &Shared {
        self.shared.get_or_init(|| Shared {
            deadline: self.max_time.0.and_then(|max| Instant::now().checked_add(max)),
            rate_limit: self.limit_rate.map(RateLimit::new),
        })
    }
}

/// Prints why it is not known how to talk to a server.
pub fn report(error: &ResolveError) -> Exit {
    print_error(error);
    match error {
        ResolveError::Usage(_) => Exit::Usage,
        ResolveError::File(_) => Exit::LocalFile,
        ResolveError::Network(_) => Exit::Network,
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
