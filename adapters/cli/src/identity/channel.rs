//! The server that HOST stands for, and how it is talked to.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueHint};
use coracle::channel::{KeyFileError, KeyPair, PublicKey, read_psk, read_secret_key};
use coracle::client::{Address, AddressError, ClientChannel, Error};
use coracle_core::{Code, Failure};

use super::hosts::{Host, Hosts};
use super::lines::FileProblem;
use super::paths::own;
use super::pins::{Pin, Pins};
use super::trust::Trust;
use crate::discovery::{Located, locate, locate_again};

/// A host has a pre-shared key and the next one.
const MAX_PSKS: usize = 2;

/// Whether this run has a key that was made for it.
static IS_NAMELESS: AtomicBool = AtomicBool::new(false);

/// Whether this run has shown a key that stays.
static HAS_KEY: AtomicBool = AtomicBool::new(false);

/// What a server says to a key that it does not know, with what to do about it.
const UNKNOWN_KEY: &str = "not a known key";

/// A server as typed: a name of the hosts file, or an address.
#[derive(Clone, Debug)]
pub struct HostArg {
    address: Address,
    has_port: bool,
}

/// How the server is talked to: encrypted where one of these is given, or something is known of the server.
#[derive(Debug, Default, Args)]
pub struct ChannelArgs {
    /// Talk encrypted, with the pre-shared key in this file; a second one is tried where the first is not answered
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Encryption")]
    psk: Vec<PathBuf>,

    /// Talk encrypted, with your key in this file [default: ~/.config/coracle/key if it is there, or else one for this run]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Encryption")]
    key: Option<PathBuf>,

    /// Talk encrypted, and only with a server that has this key, or one of these [default: those of 'coracle key pin' and of
    /// ~/.config/coracle/hosts]
    #[arg(long, value_name = "KEY", value_hint = ValueHint::Other, help_heading = "Encryption")]
    pin: Vec<PublicKey>,

    /// Whether the user is not asked about a server that is not known.
    #[arg(skip)]
    asks_nobody: bool,
}

/// A server, and the channel to it; `None` for plain text.
#[derive(Debug)]
pub struct Resolved {
    pub address: Address,
    pub channel: Option<ClientChannel>,
    /// Where it was not the resolver that knew the host.
    pub locator: Option<Locator>,
    /// What the user should know of how it was found.
    pub note: Option<String>,
}

/// Finds a host again that was found in the local network.
#[derive(Clone, Debug)]
pub struct Locator {
    host: HostArg,
    address: Address,
    has_line: bool,
}

/// Why it is not known how to talk to a server.
#[derive(Debug)]
pub enum ResolveError {
    /// The arguments are wrong.
    Usage(String),
    /// A file cannot be read, or is malformed.
    File(String),
    /// The server's address is not known, or more than one has its name.
    Network(String),
}

impl FromStr for HostArg {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = text.parse()?;
        let behind_brackets = text.rsplit_once(']').map_or(text, |(_, rest)| rest);
        Ok(Self { address, has_port: behind_brackets.contains(':') })
    }
}

impl HostArg {
    /// What was typed for the host, without the port.
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// The address with where the server is, at the port that is announced, unless the user named one.
    fn at(&self, address: Address, mut located: Located, has_line: bool) -> (Address, Located) {
        if self.has_port || has_line {
            located.addresses.iter_mut().for_each(|located| located.set_port(address.port()));
        }
        let port = located.addresses.first().map_or(address.port(), SocketAddr::port);
        (address.with_port(port).with_addresses(&located.addresses), located)
    }

    /// The server's address, its name as pins have it, and its line in the hosts file.
    pub fn look_up<'a>(&self, hosts: &'a Hosts) -> (Address, String, Option<&'a Host>) {
        let Some(host) = hosts.find(self.address.host()) else {
            return (self.address.clone(), self.address.to_string(), None);
        };
        let address =
            if self.has_port { host.address.clone().with_port(self.address.port()) } else { host.address.clone() };
        let server = format!("{}:{}", host.name, address.port());
        (address, server, Some(host))
    }
}

impl Locator {
    /// The addresses that the host has now, in the order in which to try them; `None` where nobody says.
    pub fn locate(&self) -> Option<Vec<SocketAddr>> {
        let located = locate_again(&self.address)?;
        Some(self.host.at(self.address.clone(), located, self.has_line).1.addresses)
    }
}

impl ChannelArgs {
    /// Does not ask the user about a server that is not known.
    pub fn ask_nobody(&mut self) {
        self.asks_nobody = true;
    }

    /// As without arguments, and without questions to the user.
    pub fn asking_nobody() -> Self {
        Self { asks_nobody: true, ..Self::default() }
    }

    /// Finds out what `host` is and where, and how it is talked to.
    pub fn resolve(&self, host: &HostArg) -> Result<Resolved, ResolveError> {
        self.resolve_with(host, |address| locate(address).map_err(|error| ResolveError::Network(error.to_string())))
    }

    /// Finds out how `host` is talked to, which was located before.
    pub fn resolve_at(&self, host: &HostArg, located: Located) -> Result<Resolved, ResolveError> {
        self.resolve_with(host, |_| Ok(Some(located)))
    }

    fn resolve_with(
        &self,
        host: &HostArg,
        locate: impl FnOnce(&Address) -> Result<Option<Located>, ResolveError>,
    ) -> Result<Resolved, ResolveError> {
        if self.psk.len() > MAX_PSKS {
            return Err(ResolveError::Usage("--psk: a host has two pre-shared keys at most".to_owned()));
        }
        let hosts = Hosts::load()?;
        let pins = Pins::open().map_or_else(|| Ok(Vec::new()), |pins| pins.load())?;
        let (address, server, line) = host.look_up(&hosts);
        let mut locator = None;
        let (address, located) = match locate(&address)? {
            Some(located) => {
                locator = Some(Locator { host: host.clone(), address: address.clone(), has_line: line.is_some() });
                let (address, located) = host.at(address, located, line.is_some());
                (address, Some(located))
            }
            None => (address, None),
        };
        let note = located.as_ref().and_then(|located| note(host, located));
        let mut keys = self.pin.clone();
        if keys.is_empty() {
            keys.extend(line.iter().flat_map(|host| &host.pins));
            keys.extend(pins.iter().filter(|pin| pin.server == server).map(|pin| pin.key));
        }
        if let (true, Some(located)) = (keys.is_empty(), &located) {
            keys.extend(pins_of_located(host, located, &pins));
        }
        let psk_files = match line {
            Some(host) if self.psk.is_empty() => &host.psks,
            _ => &self.psk,
        };
        let key_file = self.key.as_ref().or_else(|| line?.key.as_ref());
        if keys.is_empty() && psk_files.is_empty() && key_file.is_none() {
            return Ok(Resolved { address, channel: None, locator, note });
        }
        let mut known: Vec<_> = pins.into_iter().map(|pin| (pin.server, pin.key)).collect();
        for host in hosts.iter() {
            let server = format!("{}:{}", host.name, host.address.port());
            known.extend(host.pins.iter().map(|key| (server.clone(), *key)));
        }
        let trust = Trust::new(server, host.address.host(), keys, known).with_asking(!self.asks_nobody);
        let no_random = |error| ResolveError::File(format!("the system gives no random bytes: {error}"));
        let mut channel = ClientChannel::new(trust).map_err(no_random)?;
        let psks = psk_files.iter().map(|path| read_psk(path).map_err(|error| of_file(path, &error)));
        channel = channel.with_psks(psks.collect::<Result<_, _>>()?);
        match own_key(key_file)? {
            Some(key) => {
                channel = channel.with_key(key);
                HAS_KEY.store(true, Ordering::Relaxed);
            }
            None => IS_NAMELESS.store(true, Ordering::Relaxed),
        }
        Ok(Resolved { address, channel: Some(channel), locator, note })
    }
}

impl From<FileProblem> for ResolveError {
    fn from(problem: FileProblem) -> Self {
        Self::File(problem.to_string())
    }
}

/// What the user can do about an error that only the keys of this machine explain.
pub fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Refused { code: Some(Code::Denied), .. } if IS_NAMELESS.load(Ordering::Relaxed) => Some(
            "this run had a key that was made for it alone: 'coracle key new' makes one that stays, whose public half a server \
             can be given",
        ),
        Error::Refused { code: Some(Code::Denied), message, .. }
            if HAS_KEY.load(Ordering::Relaxed) && !message.starts_with(UNKNOWN_KEY) =>
        {
            Some("'coracle info' shows what your key may do there; it stands in the owner's list of clients")
        }
        Error::Refused { code: Some(Code::Encrypted), .. }
        | Error::Connection { failure: Failure::Ended(Code::Encrypted), .. } => Some(
            "to talk encrypted, name the server's key: --pin for this time, 'coracle key pin' for every time; and --psk where it \
             has a pre-shared key",
        ),
        _ => None,
    }
}

/// That a server is sought where it was, which may be another's place now.
fn note(host: &HostArg, located: &Located) -> Option<String> {
    let ago = Duration::from_secs(located.last_seen?.elapsed().unwrap_or_default().as_secs());
    let at = located.addresses.first()?;
    Some(format!("{}: no answer to mDNS; {} ago it was at {at}", host.host(), humantime::format_duration(ago)))
}

/// The keys of a server that anybody may have announced: those of its name at any port, as the port is what was announced, or
/// else those of its addresses.
fn pins_of_located(host: &HostArg, located: &Located, pins: &[Pin]) -> Vec<PublicKey> {
    let of_name =
        |pin: &&Pin| !host.has_port && pin.server.rsplit_once(':').is_some_and(|(name, _)| name == host.host());
    let of_address =
        |pin: &&Pin| located.addresses.iter().any(|address| pin.server == Address::from(*address).to_string());
    let named: Vec<_> = pins.iter().filter(of_name).map(|pin| pin.key).collect();
    if named.is_empty() { pins.iter().filter(of_address).map(|pin| pin.key).collect() } else { named }
}

/// The user's key: that of a file, or the one that has a place of its own; `None` where there is none.
fn own_key(file: Option<&PathBuf>) -> Result<Option<KeyPair>, ResolveError> {
    let path = match file {
        Some(path) => path.clone(),
        None => match own("key").filter(|path| path.symlink_metadata().is_ok()) {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let secret = read_secret_key(&path).map_err(|error| of_file(&path, &error))?;
    Ok(Some(KeyPair::new(secret)))
}

fn of_file(path: &Path, error: &KeyFileError) -> ResolveError {
    ResolveError::File(format!("{}: {error}", path.display()))
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::File(what) | Self::Network(what) => f.write_str(what),
        }
    }
}
