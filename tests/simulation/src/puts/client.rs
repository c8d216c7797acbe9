//! A client that writes: one file or name after the other, until each is answered.

use std::rc::Rc;

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Code, DigestKind, End, Instant, ServerConfig, Version,
    WriteRequest,
};

use super::job::{Job, PATHS, Precondition, What, digest, version};
use super::server::Connection;
use super::{Scene, Server};
use crate::context::{LATEST, trace};

/// How long a client waits for its server, in milliseconds.
const STALL_MS: u64 = 30_000;
/// Once faults have ended, a job takes fewer attempts than this.
const CALM_ATTEMPTS: u32 = 60;

/// A client, and the job that it works on.
#[derive(Debug)]
pub struct Client {
    number: usize,
    jobs_left: u32,
    pub job: Option<Rc<Job>>,
    /// What had the name when the job was begun, and when the attempt was.
    marks: [usize; 2],
    state: State,
    wakes_at: u64,
    session: ClientSession<[u8; 1024]>,
    connection: Option<u64>,
    moved_at: u64,
    late_ms: u64,
    /// The process ends after so many steps.
    dies_in: Option<usize>,
    /// Where the server wanted the body to begin.
    ready_at: Option<u64>,
    /// What it has read of a file.
    read: Vec<u8>,
    outcome: Option<Outcome>,
    /// The file was sent, and is to be durable.
    is_syncing: bool,
    errors_before: u64,
    calm_attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pausing,
    Talking,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Stored {
        was_there: bool,
    },
    /// It is stored later: by a sync at the latest.
    Deferred,
    Deleted,
    Read,
    Refused(Code),
    Broken,
}

impl Client {
    pub fn new(number: usize, scene: &mut Scene) -> Self {
        Self {
            number,
            jobs_left: 1 + u32::try_from(scene.random.below(5)).expect("small"),
            job: None,
            marks: [0; 2],
            state: State::Pausing,
            wakes_at: scene.random.millis(3_000),
            session: ClientSession::new([0; 1024]),
            connection: None,
            moved_at: 0,
            late_ms: 0,
            dies_in: None,
            ready_at: None,
            read: Vec::new(),
            outcome: None,
            is_syncing: false,
            errors_before: 0,
            calm_attempts: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// When it has something to do by itself.
    pub fn next_event(&self) -> Option<u64> {
        match self.state {
            State::Pausing => Some(self.wakes_at),
            State::Talking => self.session.deadline().map(|(when, _)| when.as_millis() + self.late_ms),
            State::Done => None,
        }
    }

    /// Does one step; false where there is nothing to do. `others` are jobs of other clients.
    pub fn step<'c>(
        &mut self,
        server: &mut Server<'c>,
        config: &'c ServerConfig<'c>,
        others: &[Rc<Job>],
        scene: &mut Scene,
    ) -> bool {
        match self.state {
            State::Done => false,
            State::Pausing if scene.now < self.wakes_at => false,
            State::Pausing => {
                self.begin(server, config, others, scene);
                true
            }
            State::Talking => {
                if !scene.is_calm && self.dies_in.is_some_and(|steps| steps == 0) {
                    self.die(server, scene);
                    return true;
                }
                self.talk(server, scene)
            }
        }
    }

    /// Begins an attempt.
    fn begin<'c>(
        &mut self,
        server: &mut Server<'c>,
        config: &'c ServerConfig<'c>,
        others: &[Rc<Job>],
        scene: &mut Scene,
    ) {
        if self.job.is_none() {
            if self.jobs_left == 0 {
                self.state = State::Done;
                self.leave(server, true, scene);
                return;
            }
            self.jobs_left -= 1;
            let job = choose(others, scene);
            trace!(scene, "client {}: {}", self.number, describe(&job));
            self.marks[0] = scene.ledger.mark(job.path);
            self.job = Some(Rc::new(job));
        }
        let job = self.job.clone().expect("a job");
        self.calm_attempts += u32::from(scene.is_calm);
        assert!(self.calm_attempts < CALM_ATTEMPTS, "client {}: no answer to {}", self.number, describe(&job));
        let kept = self.connection.and_then(|number| server.connections.iter_mut().find(|one| one.number == number));
        if let Some(kept) = kept {
            kept.job = job.clone();
            kept.mark = scene.ledger.mark(job.path);
        } else if server.takes_connections() {
            let connection = Connection::new(config, &job, scene);
            self.connection = Some(connection.number);
            self.session = ClientSession::new([0; 1024]);
            server.connections.push(connection);
            scene.counts.sessions += 1;
        } else {
            return self.pause(1_000, scene);
        }
        let now = Instant::from_millis(scene.now);
        self.session.start(job.request(), now).expect("an idle session starts");
        self.marks[1] = scene.ledger.mark(job.path);
        self.errors_before = scene.disk.errors();
        self.moved_at = scene.now;
        self.late_ms = scene.random.millis(scene.lateness);
        let steps = 100 + 3 * job.result().map_or(0, |contents| contents.len()) / scene.piece;
        self.dies_in = scene.random.chance(120).then(|| scene.random.below(steps));
        (self.ready_at, self.outcome) = (None, None);
        self.read.clear();
        self.state = State::Talking;
    }

    /// Moves bytes between the session and the link.
    fn talk(&mut self, server: &mut Server<'_>, scene: &mut Scene) -> bool {
        let number = self.connection.expect("talks on a connection");
        let connection = server.connections.iter_mut().find(|one| one.number == number).expect("it is kept");
        let now = Instant::from_millis(scene.now);
        if self.session.deadline().is_some_and(|(when, _)| when.after(self.late_ms) <= now) {
            self.session.handle_timeout(now);
            self.late_ms = scene.random.millis(scene.lateness);
            self.moved_at = scene.now;
        }
        let waited = scene.now - self.moved_at;
        assert!(waited <= STALL_MS + LATEST, "a client has waited for {waited} ms");
        if matches!(self.session.action(), ClientAction::Receive | ClientAction::SendFile { .. })
            && self.receive(connection, scene)
        {
            self.moved_at = scene.now;
            return true;
        }
        let most = connection.up.room().min(scene.piece);
        let is_broken = connection.client_knows;
        let sent = match self.session.action() {
            ClientAction::Receive => return false,
            ClientAction::Idle | ClientAction::Close(_) => {
                self.finish(server, scene);
                return true;
            }
            ClientAction::SendBytes { .. } | ClientAction::SendFile { .. } if is_broken => {
                self.session.send_failed();
                return true;
            }
            ClientAction::SendBytes { .. } | ClientAction::SendFile { .. } if most == 0 => return false,
            ClientAction::SendBytes { bytes } => {
                let len = 1 + scene.random.below(bytes.len().min(most));
                connection.up.put(&bytes[..len], scene.now);
                len
            }
            ClientAction::SendFile { offset, .. } => {
                let contents = self.job.as_ref().and_then(|job| job.result()).expect("a file that is put");
                let rest = &contents[usize::try_from(offset).expect("64 bits")..];
                let len = 1 + scene.random.below(rest.len().min(most));
                connection.up.put(&rest[..len], scene.now);
                len
            }
            other => panic!("a client that is connected wants {other:?}"),
        };
        self.session.sent(sent, now);
        self.moved_at = scene.now;
        self.dies_in = self.dies_in.and_then(|steps| steps.checked_sub(1));
        connection.tear(scene);
        true
    }

    fn receive(&mut self, connection: &mut Connection<'_>, scene: &mut Scene) -> bool {
        let arrived = connection.down.arrived(scene.now);
        if arrived.is_empty() {
            let is_at_end = connection.down.is_at_end(scene.now);
            if is_at_end {
                self.session.receive_eof();
            }
            return is_at_end;
        }
        let len = 1 + scene.random.below(arrived.len().min(scene.piece));
        let (taken, event) = self.session.receive(&arrived[..len], Instant::from_millis(scene.now));
        match event {
            Some(ClientEvent::Ready(ready)) => self.ready_at = Some(ready.offset),
            Some(ClientEvent::Stored(stored)) => {
                let contents = self.job.as_ref().and_then(|job| job.result()).expect("a file that is put");
                self.outcome = Some(match stored.version {
                    Some(stored) if stored != version(contents) => panic!("another version was stored"),
                    Some(_) => Outcome::Stored { was_there: stored.was_there },
                    None => Outcome::Deferred,
                });
            }
            Some(ClientEvent::Done) if self.is_syncing => {
                scene.counts.synced += 1;
                self.outcome = Some(Outcome::Stored { was_there: false });
            }
            Some(ClientEvent::Done) => self.outcome = Some(Outcome::Deleted),
            Some(ClientEvent::Refused(refusal)) => {
                self.outcome = Some(Outcome::Refused(refusal.code.expect("a code that is known")));
            }
            Some(ClientEvent::Body { offset, bytes }) => {
                assert_eq!(offset, self.read.len() as u64, "a body out of order");
                self.read.extend_from_slice(bytes);
            }
            Some(ClientEvent::End(End::Verified(verified))) => {
                assert!(
                    verified.is_whole() && verified.size() == self.read.len() as u64,
                    "verified, and not the whole"
                );
                self.outcome = Some(Outcome::Read);
            }
            Some(ClientEvent::ServerClosing(_) | ClientEvent::Header(_)) | None => {}
            Some(other) => panic!("{other:?}: nobody asked for that"),
        }
        connection.down.take(taken);
        taken > 0
    }

    /// Decides what follows an attempt.
    fn finish(&mut self, server: &mut Server<'_>, scene: &mut Scene) {
        let mut outcome = self.outcome.take().unwrap_or(Outcome::Broken);
        let job = self.job.clone().expect("a job");
        if outcome == Outcome::Deferred && self.session.action() == ClientAction::Idle && !scene.random.chance(100) {
            let sync = ClientRequest::Write(WriteRequest::Sync);
            self.session.start(sync, Instant::from_millis(scene.now)).expect("an idle session starts");
            (self.is_syncing, self.moved_at) = (true, scene.now);
            return;
        }
        let is_uncertain = std::mem::take(&mut self.is_syncing) && !matches!(outcome, Outcome::Stored { .. });
        if is_uncertain || outcome == Outcome::Deferred {
            // Nobody has said that it is durable, nor why not.
            outcome = Outcome::Broken;
            self.job = Some(Rc::new(job.at_once()));
        }
        trace!(scene, "client {}: {outcome:?} for {}, from {:?}", self.number, describe(&job), self.ready_at);
        if self.session.action() != ClientAction::Idle || scene.random.chance(500) {
            self.leave(server, true, scene);
        }
        scene.counts.resumes += u64::from(self.ready_at.is_some_and(|offset| offset > 0));
        let is_final = self.check(outcome, &job, scene);
        if is_final || !scene.is_calm && scene.random.chance(60) {
            self.job = None;
            self.calm_attempts = 0;
        }
        // Within the silence after which a server gives an upload to another connection, and later.
        self.pause(if is_final { 300 } else { 3_000 }, scene);
    }

    /// Checks that there was a reason for the answer; whether it is the last one.
    fn check(&self, outcome: Outcome, job: &Job, scene: &mut Scene) -> bool {
        let was = |since: usize, is_it: &dyn Fn(Option<&super::job::Bytes>) -> bool| {
            scene.ledger.was_since(job.path, self.marks[since], is_it)
        };
        let had_errors = scene.disk.errors() > self.errors_before;
        let is_put = matches!(job.what, What::Put { .. });
        match outcome {
            Outcome::Stored { was_there } => {
                assert!(is_put && was(0, &|seen| seen == job.result()), "'{}' was never stored", job.path);
                scene.counts.stored += 1;
                scene.counts.were_there += u64::from(was_there);
            }
            Outcome::Deleted => {
                assert!(!is_put && was(0, &|seen| seen.is_none()), "'{}' was never deleted", job.path);
                scene.counts.deleted += 1;
            }
            Outcome::Read => {
                // Whoever has the old file open reads it to its end.
                let was_there = was(1, &|seen| seen.is_some_and(|seen| **seen == *self.read));
                assert!(was_there, "'{}': what was read never had the name", job.path);
                scene.counts.read += 1;
            }
            Outcome::Refused(Code::Exists | Code::Changed) => {
                let is_refusable = was(1, &|seen| !job.may_replace(seen));
                assert!(is_refusable, "'{}': refused, and the precondition held all the time", job.path);
                scene.counts.refused += 1;
            }
            Outcome::Refused(Code::NotFound) => match &job.what {
                What::Put { parents, .. } => assert!(!parents, "'{}': a directory is missing", job.path),
                What::Delete { .. } | What::Get => {
                    assert!(was(1, &|seen| seen.is_none()), "'{}' was not found", job.path)
                }
            },
            Outcome::Refused(Code::Corrupt) => {
                let is_damaged = scene.had_power_cut && self.ready_at.is_some_and(|offset| offset > 0);
                assert!(is_damaged, "'{}': corrupt, and nothing was damaged", job.path);
                scene.counts.damaged += 1;
                return false;
            }
            Outcome::Refused(Code::Io | Code::NoSpace) => {
                assert!(had_errors, "'{}': refused, and nothing had failed", job.path);
                return false;
            }
            Outcome::Refused(Code::InUse) => {
                scene.counts.in_use += 1;
                return false;
            }
            Outcome::Refused(Code::Timeout | Code::ShuttingDown) | Outcome::Broken | Outcome::Deferred => return false,
            Outcome::Refused(code) => panic!("'{}': refused: {code:?}", job.path),
        }
        true
    }

    /// Kills the process, or cuts the power of its machine. Started again it does the same.
    fn die(&mut self, server: &mut Server<'_>, scene: &mut Scene) {
        trace!(scene, "client {} dies", self.number);
        scene.counts.client_kills += 1;
        let is_told = scene.random.chance(500);
        self.leave(server, is_told, scene);
        self.pause(5_000, scene);
    }

    fn leave(&mut self, server: &mut Server<'_>, is_told: bool, scene: &mut Scene) {
        if let Some(number) = self.connection.take()
            && let Some(connection) = server.connections.iter_mut().find(|one| one.number == number)
        {
            connection.leave(is_told, scene);
            connection.has_client = false;
        }
    }

    fn pause(&mut self, most_ms: u64, scene: &mut Scene) {
        self.state = State::Pausing;
        self.wakes_at = scene.now + scene.random.millis(most_ms + 1);
    }
}

/// Something to ask for: now and then the very file that another client puts.
fn choose(others: &[Rc<Job>], scene: &mut Scene) -> Job {
    let random = &mut scene.random;
    let other = (!others.is_empty() && random.chance(250)).then(|| others[random.below(others.len())].clone());
    let path = other.as_ref().map_or_else(|| random.one_of(&PATHS), |other| other.path);
    let current = scene.ledger.current(path).map(|contents| version(contents));
    let unknown = || Version::new("v0").expect("a version");
    if other.is_none() && random.chance(120) {
        let version = random.chance(500).then(|| current.unwrap_or_else(unknown));
        return Job { path, what: What::Delete { version } };
    }
    if other.is_none() && random.chance(170) {
        return Job { path, what: What::Get };
    }
    let replace = match random.below(8) {
        0..3 => Precondition::Nothing,
        3..6 => Precondition::Anything,
        _ => Precondition::Version(current.unwrap_or_else(unknown)),
    };
    let parents = random.chance(850);
    let deferred = random.chance(400);
    if let Some(What::Put { contents, digest, .. }) = other.map(|other| other.what.clone()) {
        return Job { path, what: What::Put { contents, digest, replace, parents, deferred } };
    }
    let len = match random.below(8) {
        0 => 0,
        1 => 1,
        _ => random.below(scene.largest + 1),
    };
    scene.files += 1;
    // No two files are the same.
    let contents = [format!("{} ", scene.files).into_bytes(), random.bytes(len)].concat();
    let contents = if len == 0 { Vec::new() } else { contents };
    let kind = if random.chance(800) { DigestKind::Sha256 } else { DigestKind::Crc32 };
    let digest = digest(&contents, kind);
    Job { path, what: What::Put { contents: contents.into(), digest, replace, parents, deferred } }
}

fn describe(job: &Job) -> String {
    match &job.what {
        What::Put { contents, replace, .. } => {
            format!(
                "put '{}' of {} bytes, version {}, over {replace:?}",
                job.path,
                contents.len(),
                version(contents).as_str()
            )
        }
        What::Delete { version } => format!("delete '{}' in {version:?}", job.path),
        What::Get => format!("get '{}'", job.path),
    }
}
