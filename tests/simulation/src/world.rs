//! One run: everything that a seed decides, and the clock.

use std::num::NonZeroU32;

use coracle_core::ServerConfig;

use crate::client::Client;
use crate::connection::LinkConditions;
use crate::random::Random;
use crate::registry::ConnectionRegistry;
use crate::server::Limits;
use crate::store::Store;

/// A deadline is handled at most this late, in milliseconds.
pub const LATEST: u64 = 400;
/// A run takes no more steps than this.
const MOST_STEPS: u64 = 3_000_000;

/// What everybody in a run shares.
#[derive(Debug)]
pub struct Context {
    /// Milliseconds since the run began.
    pub now: u64,
    pub random: Random,
    pub store: Store,
    /// For bytes between a file and a connection.
    pub buf: Vec<u8>,
    pub counts: Counts,
    /// Deadlines are handled less than so many milliseconds late.
    pub lateness: u64,
    /// From now on nothing new goes wrong.
    pub is_calm: bool,
    pub is_corrupt: bool,
    /// The most bytes that are moved at once.
    pub piece: usize,
    pub is_traced: bool,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// What happened, added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Adds another run's.
            pub const fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// Each with its words.
            #[must_use]
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name),)*]
            }
        }
    };
}

counts! {
    /// Connections that a server took.
    sessions: "sessions",
    /// Those in which a request was read.
    asked: "asked something",
    /// Those whose link tore.
    cut: "cut",
    /// Those whose file had changed since its client last asked, or changed meanwhile.
    met_change: "met a changed file",
    busy: "more were refused as busy",
    files: "files reported",
    bytes: "bytes in them",
    resumes: "resumes",
    changed: "files begun anew for a change",
    wrong_digests: "parts found damaged by their digest",
    kills: "clients killed",
    power_cuts: "clients without power",
    disk_errors: "programs ended by an error of the disk",
    not_replaced: "programs that were not to replace a file",
    foreign: "programs that left a file alone that was not theirs",
    locked: "programs that left a download to another one",
    set_aside: "parts set aside",
    timeouts: "deadlines passed",
    broken_bodies: "bodies broken off",
    stops: "servers stopped",
}

/// Prints a line of the trace.
macro_rules! trace {
    ($context:expr, $($words:tt)*) => {
        if $context.is_traced {
            println!("{:>9} ms  {}", $context.now, format_args!($($words)*));
        }
    };
}
pub(crate) use trace;

/// Runs everything that `seed` decides.
///
/// # Panics
///
/// When something happens that must not.
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
    let places = 1 + random.below(8);
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
    let mut registry = ConnectionRegistry::new(&config, limits, places, conditions);
    let mut clients: Vec<Client<'_>> = (0..clients)
        .map(|number| {
            let left = 1 + u32::try_from(context.random.below(4)).expect("small");
            Client::new(number, left, &mut context)
        })
        .collect();
    let patience = 8 + context.random.below(40) as u64;
    let mut steps = 0;
    while !clients.iter().all(Client::is_done) || !registry.abandoned.is_empty() {
        steps += 1;
        assert!(steps < MOST_STEPS, "no end in sight");
        if !context.is_calm && context.counts.sessions >= patience {
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
            let next = next.expect("nobody can do anything, and no deadline is armed");
            // What is due and was let pass for once is tried again at the next millisecond.
            context.now = next.max(context.now + 1);
        }
    }
    for client in &mut clients {
        client.storage.die(true);
    }
    context.counts
}

/// From now on nothing goes wrong, so that everybody has to come to an end.
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
