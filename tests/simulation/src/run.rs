//! One run: a server, its clients and their links, until every client has its files.

use std::num::NonZeroU32;

use coracle_core::ServerConfig;

use crate::client::Client;
use crate::connection::LinkConditions;
use crate::context::{Context, Counts, LATEST, trace};
use crate::random::Random;
use crate::registry::ConnectionRegistry;
use crate::server::Limits;
use crate::store::Store;

/// A run takes no more steps than this.
const MAX_STEPS: u64 = 3_000_000;

/// Runs the simulation of `seed`.
///
/// # Panics
///
/// When a rule is broken.
#[must_use]
pub fn run(seed: u64, is_traced: bool) -> Counts {
    let mut random = Random::new(seed);
    let scale = random.one_of(&[0, 0, 0, 1, 1, 1, 2, 2]);
    let largest = [300, 5_000, 65_536][scale];
    let conditions = LinkConditions {
        piece: [random.one_of(&[1, 7, 60]), random.one_of(&[60, 500, 1_460]), random.one_of(&[1_460, 9_000, 65_536])]
            [scale],
        window: [random.one_of(&[3, 20, 400]), random.one_of(&[200, 3_000]), random.one_of(&[4_096, 65_536])][scale],
        corrupts: random.chance(50),
    };
    let number = |number: usize| NonZeroU32::new(u32::try_from(number).expect("small")).expect("not 0");
    let limits = random.one_of(&[
        Limits { idle: 60_000, request: 10_000, stall: 30_000 },
        Limits { idle: 5_000, request: 2_000, stall: 4_000 },
    ]);
    let millis = |millis: u64| u32::try_from(millis).expect("small");
    let config = ServerConfig::new()
        .with_chunk_size(number(random.one_of(&[1 + largest / 300, 1_024, 4_096])))
        .with_send_max(number(random.one_of(&[1, 10_000, 1 << 20])))
        .with_idle_ms(millis(limits.idle))
        .with_request_ms(millis(limits.request))
        .with_stall_ms(millis(limits.stall));
    let max_active = 1 + random.below(8);
    let (files, clients) = (1 + random.below(3), 1 + random.below(4));
    let mut store = Store::new(files, largest, &mut random);
    store.faults = random.one_of(&[0, 0, 10, 40]);
    let mut context = Context {
        now: 0,
        store,
        buf: vec![0; 65_536],
        counts: Counts::default(),
        lateness: random.one_of(&[1, 50, LATEST]),
        is_calm: false,
        is_corrupt: conditions.corrupts,
        piece: conditions.piece,
        is_traced,
        random,
    };
    trace!(context, "{clients} clients, {files} files of at most {largest} bytes, {conditions:?}, {limits:?}");
    let mut registry = ConnectionRegistry::new(&config, limits, max_active, conditions);
    let mut clients: Vec<Client<'_>> = (0..clients)
        .map(|number| {
            let left = 1 + u32::try_from(context.random.below(4)).expect("small");
            Client::new(number, left, &mut context)
        })
        .collect();
    let calm_after = 8 + context.random.below(40) as u64;
    let mut steps = 0;
    while !clients.iter().all(Client::is_done) || !registry.abandoned.is_empty() {
        steps += 1;
        assert!(steps < MAX_STEPS, "no end in sight");
        if !context.is_calm && context.counts.sessions >= calm_after {
            calm(&mut context);
        }
        if context.random.chance(15) {
            context.now += context.random.millis(30);
        }
        if !context.is_calm && context.random.below(20_000) == 0 && !registry.is_stopping {
            let connections = clients.iter_mut().filter_map(|client| client.connection.as_deref_mut());
            registry.stop(connections, &mut context);
        }
        let first = context.random.below(clients.len());
        let mut has_moved = false;
        for index in 0..clients.len() {
            let client = (first + index) % clients.len();
            has_moved |= clients[client].step(&mut registry, &mut context);
        }
        has_moved |= registry.step_abandoned(&mut context);
        if !has_moved {
            let own = clients.iter().filter_map(|client| client.next_event(context.now));
            let next = own.chain(registry.next_event(context.now)).min();
            let next = next.expect("nothing can happen, and no deadline is armed");
            // A deadline that is due, and was handled late on purpose, is tried again at the next millisecond.
            context.now = next.max(context.now + 1);
        }
    }
    for client in &mut clients {
        client.storage.die(true);
    }
    context.counts
}

/// Ends all faults, so that every client has to get its files.
fn calm(context: &mut Context) {
    trace!(context, "calm");
    context.is_calm = true;
    context.store.faults = 0;
    for slot in 0..context.store.len() {
        if !context.store.exists(slot) {
            context.store.replace(slot, &mut context.random);
        }
    }
}
