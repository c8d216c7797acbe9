//! The hosts of a run: where each is and how it is talked to, and that no two are one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use coracle::channel::PublicKey;
use coracle::client::Client;

use super::state::{Outcome, State};
use crate::client_args::{NetworkArgs, report};
use crate::exit::{Exit, print_error};
use crate::identity::{Hosts, Pins, ResolveError, Resolved};
use crate::inventory::Member;

/// A host of a run.
#[derive(Debug)]
pub struct Target {
    pub member: Member,
    server: Server,
}

/// Where a host is.
#[derive(Debug)]
enum Server {
    Known(Box<Resolved>),
    /// Its address is not known now.
    Unknown(String),
}

impl Target {
    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// A client of the host, which is not connected yet.
    ///
    /// # Errors
    ///
    /// It is not known where the host is.
    pub fn client(&self, network: &NetworkArgs) -> Result<Client, Outcome> {
        match &self.server {
            Server::Known(server) => Ok(network.client(server)),
            Server::Unknown(why) => {
                Err(Outcome { reason: Some(why.clone()), exit: Exit::Network, ..Outcome::new(State::Unreachable) })
            }
        }
    }

    /// The address, as it is connected to; as it was written where that is not known.
    pub fn address(&self) -> String {
        match &self.server {
            Server::Known(server) => server.address.to_string(),
            Server::Unknown(_) => self.member.written.clone(),
        }
    }
}

/// Finds out where the hosts are and how they are talked to, `jobs` at once. Two of one address and port, or of one key, are an
/// error: what is done to a board twice, or counted twice, would be wrong. Prints what is wrong.
pub fn targets(members: Vec<Member>, network: &NetworkArgs, jobs: usize) -> Result<Vec<Target>, Exit> {
    let keys = keys(&members).map_err(|error| report(&error))?;
    let places = find(&members, network, jobs);
    let mut targets = Vec::with_capacity(members.len());
    let mut all_addresses = Vec::with_capacity(members.len());
    for (member, place) in members.into_iter().zip(places) {
        let (server, addresses) = match place {
            Ok((server, addresses)) => (Server::Known(Box::new(server)), addresses),
            Err(ResolveError::Network(why)) => (Server::Unknown(why), Vec::new()),
            Err(error) => return Err(report(&error)),
        };
        targets.push(Target { member, server });
        all_addresses.push(addresses);
    }
    let mut owners = HashMap::new();
    for (at, addresses) in all_addresses.into_iter().enumerate() {
        for address in addresses {
            check_one(&targets, &mut owners, at, address, format_args!("both are at {address}"))?;
        }
    }
    let mut owners = HashMap::new();
    for (at, keys) in keys.into_iter().enumerate() {
        for key in keys {
            check_one(&targets, &mut owners, at, key.to_string(), format_args!("both have the key {key}"))?;
        }
    }
    Ok(targets)
}

/// The keys that each is known by, of the hosts file and the pins.
fn keys(members: &[Member]) -> Result<Vec<Vec<PublicKey>>, ResolveError> {
    let hosts = Hosts::load()?;
    let pins = Pins::open().map_or_else(|| Ok(Vec::new()), |pins| pins.load())?;
    let of = |member: &Member| {
        let (_, server, line) = member.host.look_up(&hosts);
        let of_line = line.into_iter().flat_map(|line| line.pins.clone());
        of_line.chain(pins.iter().filter(|pin| pin.server == server).map(|pin| pin.key)).collect()
    };
    Ok(members.iter().map(of).collect())
}

/// A server with its addresses: none where they cannot be looked up now, which is found out again when it is its turn.
type Place = Result<(Resolved, Vec<SocketAddr>), ResolveError>;

fn find(members: &[Member], network: &NetworkArgs, jobs: usize) -> Vec<Place> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(members.len())));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(member) = members.get(at) else { return };
            let place = network.resolve(&member.host).map(|server| {
                let addresses = server.address.resolve().unwrap_or_default();
                (server, addresses)
            });
            found.lock().expect("nobody panics with it").push((at, place));
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(members.len()) {
            // With fewer threads it takes longer.
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    let mut found = found.into_inner().expect("nobody panics with it");
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, place)| place).collect()
}

fn check_one<K: std::hash::Hash + Eq>(
    targets: &[Target],
    seen: &mut HashMap<K, usize>,
    at: usize,
    key: K,
    why: std::fmt::Arguments<'_>,
) -> Result<(), Exit> {
    match seen.insert(key, at) {
        Some(other) if other != at => {
            let [one, two] = [other, at].map(|at| &targets[at].member);
            print_error(format_args!(
                "{}: {} is the same board as {} ({}): {why}",
                two.place(),
                two.name,
                one.name,
                one.place()
            ));
            Err(Exit::Usage)
        }
        _ => Ok(()),
    }
}
