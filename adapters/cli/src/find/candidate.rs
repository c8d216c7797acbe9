//! A host that may be there, and the question whether it is.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use coracle::client::{Address, Client, Error};
use coracle::discover::Service;
use coracle_core::{Code, Failure};

use super::row::{Answer, Row, Source};
use crate::discovery::{LastKnownHost, Located, host_text};
use crate::identity::{ChannelArgs, Host, HostArg};

/// A host that may be there.
pub struct Candidate {
    name: String,
    /// What stands for it where HOST is asked for.
    text: String,
    /// As it is shown.
    address: String,
    /// None where its name has to be looked up.
    addresses: Vec<SocketAddr>,
    last_seen: Option<SystemTime>,
    source: Source,
}

impl Candidate {
    pub fn of_hosts_file(host: &Host) -> Self {
        Self {
            name: host.name.clone(),
            text: host.name.clone(),
            address: host.address.to_string(),
            addresses: Vec::new(),
            last_seen: None,
            source: Source::Hosts,
        }
    }

    pub fn of_mdns(service: &Service) -> Self {
        Self {
            name: service.name.clone(),
            text: host_text(service),
            address: first(&service.addresses),
            addresses: service.addresses.clone(),
            last_seen: None,
            source: Source::Mdns,
        }
    }

    pub fn of_cache(host: &LastKnownHost) -> Self {
        let addresses = vec![host.address];
        Self {
            name: host.name.clone(),
            text: host.name.clone(),
            address: first(&addresses),
            addresses,
            last_seen: Some(host.seen),
            source: Source::Cache,
        }
    }

    /// Asks it what it is. What is known of its keys is compared before.
    pub fn ask(&self, timeout: Duration) -> Row {
        self.row(Some(self.server(timeout).map_err(|reason| match self.source {
            Source::Cache => format!("no answer to mDNS; at its last address: {reason}"),
            _ => reason,
        })))
    }

    /// What is known of it without asking.
    pub fn unasked(&self) -> Row {
        self.row(None)
    }

    fn row(&self, answer: Option<Answer>) -> Row {
        let addresses = self.addresses.iter().map(ToString::to_string).collect();
        Row::new(&self.name, &self.address, addresses, self.source, answer)
    }

    fn server(&self, timeout: Duration) -> Answer {
        let host: HostArg = self.text.parse().map_err(|error| format!("{error}"))?;
        let channel = ChannelArgs::asking_nobody();
        let resolved = if self.addresses.is_empty() {
            channel.resolve(&host)
        } else {
            channel.resolve_at(&host, Located { addresses: self.addresses.clone(), last_seen: self.last_seen })
        };
        let resolved = resolved.map_err(|error| error.to_string())?;
        let mut client = Client::new(resolved.address)
            .with_channel(resolved.channel)
            .with_retries(0)
            .with_connect_timeout(Some(timeout))
            .with_stall_timeout(Some(timeout));
        client.set_waits_when_busy(false);
        match client.hello(|hello| hello.server.to_owned()) {
            Ok(server) => Ok(server),
            Err(error) if error.is_busy() => Ok("busy".to_owned()),
            Err(
                Error::Refused { code: Some(Code::Encrypted), .. }
                | Error::Connection { failure: Failure::Ended(Code::Encrypted), .. },
            ) => Ok("encrypted".to_owned()),
            Err(error) => Err(reason(&error, timeout)),
        }
    }
}

fn first(addresses: &[SocketAddr]) -> String {
    addresses.first().map(|address| Address::from(*address).to_string()).unwrap_or_default()
}

/// Why a host does not answer, in few words where there are such.
fn reason(error: &Error, timeout: Duration) -> String {
    match error {
        Error::Connect { error, .. } => match error.kind() {
            ErrorKind::ConnectionRefused => {
                "connection refused: it is there, and nothing listens at the port".to_owned()
            }
            ErrorKind::TimedOut => format!("no answer within {}", humantime::format_duration(timeout)),
            ErrorKind::HostUnreachable => "the host is not there".to_owned(),
            ErrorKind::NetworkUnreachable => "no network leads there".to_owned(),
            _ => error.to_string(),
        },
        error => error.to_string(),
    }
}
