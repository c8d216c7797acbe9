//! Clients that put, delete and read files on a server whose disk fails and loses power.
//!
//! The rules that are checked, whatever faults are injected:
//!
//! - A name has one of the files that clients put, whole, and each change of it is one that a request's precondition allowed at
//!   that moment; bodies of two writers never mix.
//! - What has a name cannot be spoiled by a power cut, and what a client was told is done survives every one.
//! - A `put` that is told to be stored was: resumed, taken over, or there already. One that is refused had a reason.
//! - A reader gets one of the files that had the name, whole, whatever happens to the name meanwhile.
//! - No session waits for longer than its deadline. Once faults have ended, every client gets its answer.

mod client;
mod job;
mod ledger;
mod server;
mod store;
mod upload;

use std::rc::Rc;

use coracle_core::{RequestKind, ServerConfig};

use self::client::Client;
use self::job::{Job, PATHS};
use self::ledger::Ledger;
use self::server::{Connection, IDLE_MS, STALL_MS};
use self::store::DiskStore;
use crate::context::{LATEST, counts, trace};
use crate::disk::{Behavior, Disk};
use crate::random::Random;

/// A run takes no more steps than this.
const MAX_STEPS: u64 = 2_000_000;

counts! {
    PutCounts:
    sessions: "sessions that write",
    cut: "of them cut",
    /// Answers to clients.
    stored: "files stored",
    were_there: "of them there already",
    deferred: "uploads that may be durable later",
    synced: "of them durable by a sync",
    deleted: "files deleted",
    read: "files read meanwhile",
    refused: "preconditions that did not hold",
    in_use: "uploads that another connection was sending",
    resumes: "uploads resumed",
    damaged: "resumed uploads found damaged by their digest",
    /// Files that got their name.
    named: "commits",
    client_kills: "clients killed while they wrote",
    server_kills: "servers killed while they stored",
    power_cuts: "servers without power",
    stops: "servers stopped while they stored",
    visits: "files of other programs on the server",
}

/// An upload that the server stores later.
#[derive(Debug)]
struct Deferred {
    number: u64,
    job: Rc<Job>,
}

/// State that a whole run shares.
#[derive(Debug)]
struct Scene {
    /// Milliseconds since the run began.
    now: u64,
    random: Random,
    /// The server's.
    disk: Disk,
    ledger: Ledger,
    counts: PutCounts,
    /// Connections, and files that clients put.
    connections: u64,
    files: u64,
    buf: Vec<u8>,
    /// The most bytes that are moved at once, that are on their way in one direction, and of a file.
    piece: usize,
    window: usize,
    largest: usize,
    /// Deadlines are handled late by less than this, in milliseconds.
    lateness: u64,
    /// Probability that an operation of the disk fails, per mille.
    faults: usize,
    had_power_cut: bool,
    /// No new faults are injected any more.
    is_calm: bool,
    is_traced: bool,
}

/// The server's process, and the links to it.
#[derive(Debug)]
struct Server<'c> {
    /// `None` while it does not run.
    store: Option<DiskStore>,
    connections: Vec<Connection<'c>>,
    starts_at: u64,
    is_stopping: bool,
    reads_back: bool,
    /// What its process stores later.
    deferred: Vec<Deferred>,
}

/// Runs the simulation of `seed`.
///
/// # Panics
///
/// When a rule is broken.
#[must_use]
pub fn run(seed: u64, is_traced: bool) -> PutCounts {
    let mut scene = Scene::new(seed, is_traced);
    let config = ServerConfig::new()
        .with_offered(RequestKind::Put)
        .with_offered(RequestKind::Delete)
        .with_offered(RequestKind::Sync)
        .with_idle_ms(IDLE_MS)
        .with_stall_ms(STALL_MS);
    let reads_back = scene.random.chance(250);
    let mut server = Server {
        store: None,
        connections: Vec::new(),
        starts_at: 0,
        is_stopping: false,
        reads_back,
        deferred: Vec::new(),
    };
    let mut clients: Vec<Client> =
        (0..1 + scene.random.below(4)).map(|number| Client::new(number, &mut scene)).collect();
    let calm_after = 6 + scene.random.below(30) as u64;
    let mut steps = 0;
    while !clients.iter().all(Client::is_done) || !server.connections.is_empty() {
        steps += 1;
        assert!(steps < MAX_STEPS, "no end in sight");
        if !scene.is_calm && (scene.counts.sessions >= calm_after || clients.iter().all(Client::is_done)) {
            scene.calm();
        }
        if scene.random.chance(15) {
            scene.now += scene.random.millis(30);
        }
        scene.visit();
        let mut has_moved = server.step(&mut scene);
        let first = scene.random.below(clients.len());
        for index in 0..clients.len() {
            let number = (first + index) % clients.len();
            let others: Vec<Rc<Job>> = clients.iter().filter_map(|client| client.job.clone()).collect();
            has_moved |= clients[number].step(&mut server, &config, &others, &mut scene);
        }
        if !has_moved {
            let own = clients.iter().filter_map(Client::next_event);
            let next = own.chain(server.next_event(scene.now)).min();
            let next = next.expect("nothing can happen, and no deadline is armed");
            scene.now = next.max(scene.now + 1);
        }
    }
    drop(server);
    scene.disk.cut_power();
    scene.ledger.power_cut(&scene.disk);
    scene.counts
}

impl Scene {
    fn new(seed: u64, is_traced: bool) -> Self {
        let mut random = Random::new(seed);
        let behavior = Behavior {
            is_ordered: random.chance(750),
            has_no_replace: random.chance(600),
            has_links: random.chance(600),
            has_file_system_sync: true,
            has_one_group: true,
        };
        let scale = random.below(3);
        Self {
            now: 0,
            disk: Disk::new(behavior, Random::new(random.next())),
            ledger: Ledger::new(),
            counts: PutCounts::default(),
            connections: 0,
            files: 0,
            buf: vec![0; 4_096],
            piece: [random.one_of(&[1, 7, 60]), random.one_of(&[60, 500]), random.one_of(&[1_460, 9_000])][scale],
            window: [random.one_of(&[3, 20, 400]), random.one_of(&[200, 3_000]), random.one_of(&[4_096, 30_000])]
                [scale],
            largest: [300, 3_000, 20_000][scale],
            lateness: random.one_of(&[1, 50, LATEST]),
            faults: random.one_of(&[0, 0, 5, 20]),
            had_power_cut: false,
            is_calm: false,
            is_traced,
            random,
        }
    }

    /// Lets another program on the server's machine put or remove a file, now and then.
    fn visit(&mut self) {
        if self.is_calm || self.random.below(4_000) > 0 {
            return;
        }
        let path = self.random.one_of(&PATHS);
        if path.rsplit_once('/').is_some_and(|(directory, _)| !self.disk.has_directory(directory)) {
            return;
        }
        self.files += 1;
        let contents =
            self.random.chance(700).then(|| format!("{} of another program", self.files).into_bytes().into());
        trace!(self, "another program changes '{path}'");
        self.counts.visits += 1;
        self.ledger.visit(&self.disk, path, contents);
    }

    /// Ends all faults, so that every client has to get its answer.
    fn calm(&mut self) {
        trace!(self, "calm");
        self.is_calm = true;
        self.disk.arm(0);
        self.disk.stop_after(None);
    }
}

impl Server<'_> {
    /// Steps the server's ends of all connections, and starts and ends its process; false where there is nothing to do.
    fn step(&mut self, scene: &mut Scene) -> bool {
        if self.store.is_none() {
            return scene.now >= self.starts_at && self.start(scene);
        }
        if !scene.is_calm {
            match scene.random.below(12_000) {
                0 => return self.end(false, scene),
                1 => return self.end(true, scene),
                2 if !self.is_stopping => {
                    trace!(scene, "the server stops");
                    self.is_stopping = true;
                    scene.counts.stops += 1;
                    self.connections.iter_mut().for_each(|connection| connection.stop(scene.now));
                }
                3 => scene.disk.arm(scene.faults),
                _ => {}
            }
        }
        let mut has_moved = false;
        for index in 0..self.connections.len() {
            let store = self.store.as_mut().expect("it runs");
            has_moved |= self.connections[index].step(store, &mut self.deferred, scene);
            if scene.disk.is_stopped() {
                let is_power = scene.random.chance(600);
                return self.end(is_power, scene);
            }
        }
        has_moved |= self.store_deferred(scene);
        if scene.disk.is_stopped() {
            let is_power = scene.random.chance(600);
            return self.end(is_power, scene);
        }
        let before = self.connections.len();
        self.connections.retain(|connection| connection.has_client || !connection.is_over());
        has_moved |= self.connections.len() < before;
        if self.is_stopping && self.connections.iter().all(Connection::is_over) {
            self.end(false, scene);
        }
        has_moved
    }

    /// Does a step of the commit of an upload that is stored later, as a thread of the server's would; false where there is none.
    fn store_deferred(&mut self, scene: &mut Scene) -> bool {
        let store = self.store.as_mut().expect("it runs");
        let Some(number) = store.next_deferred() else { return false };
        if !scene.is_calm && scene.random.chance(50) {
            scene.disk.stop_after(Some(scene.random.below(9)));
        }
        let index = self.deferred.iter().position(|deferred| deferred.number == number).expect("it was noted");
        let job = self.deferred[index].job.clone();
        let is_over = store.commit_deferred(number, &job);
        let has_changed = scene.ledger.observe(&scene.disk, &job);
        scene.counts.named += u64::from(has_changed);
        if is_over {
            self.deferred.remove(index);
        }
        true
    }

    fn start(&mut self, scene: &mut Scene) -> bool {
        scene.disk.arm(0);
        scene.disk.stop_after(None);
        let random = Random::new(scene.random.next());
        self.store = Some(DiskStore::open(&scene.disk, self.reads_back, random).expect("nothing fails here"));
        if !scene.is_calm {
            scene.disk.arm(scene.faults);
            let stops = scene.random.chance(200);
            scene.disk.stop_after(stops.then(|| scene.random.below(400)));
        }
        true
    }

    /// The server's process ends, or its machine loses its power, in the middle of what it does.
    fn end(&mut self, is_power: bool, scene: &mut Scene) -> bool {
        trace!(scene, "the server {}", if is_power { "loses its power" } else { "ends" });
        self.store = None;
        self.deferred.clear();
        self.connections.iter_mut().for_each(|connection| connection.crash(!is_power, scene));
        self.connections.retain(|connection| connection.has_client);
        if is_power {
            scene.disk.cut_power();
            scene.ledger.power_cut(&scene.disk);
            scene.counts.power_cuts += 1;
            scene.had_power_cut = true;
        } else {
            scene.disk.kill();
            scene.counts.server_kills += u64::from(!self.is_stopping);
        }
        self.is_stopping = false;
        self.starts_at = scene.now + scene.random.millis(3_000);
        true
    }

    const fn takes_connections(&self) -> bool {
        self.store.is_some() && !self.is_stopping
    }

    /// When it has something to do by itself.
    fn next_event(&self, now: u64) -> Option<u64> {
        let deferred = (!self.deferred.is_empty()).then_some(now + 1_000);
        let start = self.store.is_none().then_some(self.starts_at);
        self.connections.iter().filter_map(|connection| connection.next_event(now)).chain(start).chain(deferred).min()
    }
}
