//! The hosts of a run: where each is and how it is talked to, and that no two are one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use coracle::channel::PublicKey;
use coracle::client::Client;

use crate::client_args::{NetworkArgs, report};
use crate::exit::{Exit, print_error};
use crate::identity::{Hosts, Pins, ResolveError, Resolved};
use crate::inventory::Member;

/// A host of a run.
#[derive(Debug)]
pub struct Target {
    pub member: Member,
    server: Resolved,
}

impl Target {
    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// A client of the host, which is not connected yet.
    pub fn client(&self, network: &NetworkArgs) -> Client {
        network.client(&self.server)
    }

    /// The address, as it is connected to.
    pub fn address(&self) -> String {
        self.server.address.to_string()
    }
}

/// Finds out where the hosts are and how they are talked to, `jobs` at once. Two of one address and port, or of one key, are an
/// error: what is done to a board twice, or counted twice, would be wrong. Prints what is wrong.
pub fn targets(members: Vec<Member>, network: &NetworkArgs, jobs: usize) -> Result<Vec<Target>, Exit> {
    let keys = keys(&members).map_err(|error| report(&error))?;
    let mut targets = Vec::with_capacity(members.len());
    for member in members {
        let server = network.resolve(&member.host).map_err(|error| report(&error))?;
        targets.push(Target { member, server });
    }
    let mut places = HashMap::new();
    for (at, addresses) in look_up(&targets, jobs).into_iter().enumerate() {
        for address in addresses {
            check_one(&targets, &mut places, at, address, format_args!("both are at {address}"))?;
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

/// The addresses of each host; none where they cannot be looked up now, which is found out again when it is its turn.
fn look_up(targets: &[Target], jobs: usize) -> Vec<Vec<SocketAddr>> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); targets.len()]));
    let work = || {
        while let Some((at, target)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            targets.get(at).map(|target| (at, target))
        } {
            let addresses = target.server.address.resolve().unwrap_or_default();
            found.lock().expect("nobody panics with it")[at] = addresses;
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(targets.len()) {
            // With fewer threads it takes longer.
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    found.into_inner().expect("nobody panics with it")
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
