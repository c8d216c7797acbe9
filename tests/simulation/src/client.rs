//! A client: the program that fetches one file after the other, with retries and resumes like those of
//! `coracle::client`, and is now and then killed.

use coracle::local::LocalError;
use coracle_core::{ClientAction, ClientEvent, ClientRequest, ClientSession, Code, DigestKind, Failure, Instant};

use crate::attempt::{Asked, Attempt, Outcome, get, name};
use crate::hall::{Connection, Hall};
use crate::storage::{Found, Storage};
use crate::store::NAMES;
use crate::world::{Context, LATEST, say};

/// How long a client waits for a byte.
const STALL_MS: u64 = 30_000;
/// Tries without progress, and changes, before the program gives up.
const RETRIES: u32 = 3;
/// Once nothing goes wrong any more, a client must not need more runs of the program than this.
const CALM_RUNS: u32 = 40;

/// A client, and the machine that it runs on.
#[derive(Debug)]
pub struct Client<'c> {
    number: usize,
    pub storage: Storage,
    state: State,
    /// When it goes on.
    wakes_at: u64,
    session: Option<ClientSession<[u8; 1024]>>,
    /// For what is read back.
    buf: Vec<u8>,
    pub connection: Option<Box<Connection<'c>>>,
    slot: usize,
    kind: DigestKind,
    left: u32,
    calm_runs: u32,
    run: Run,
    attempt: Attempt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    Pausing,
    Rehashing,
    Connecting,
    Talking,
    Promoting,
    Done,
}

/// What one run of the program remembers.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    fruitless: u32,
    changes: u32,
    was_wrong: bool,
}

impl<'c> Client<'c> {
    /// A client that fetches `left` files.
    pub fn new(number: usize, left: u32, context: &mut Context) -> Self {
        let mut client = Self {
            number,
            storage: Storage::new(&mut context.random),
            state: State::Off,
            wakes_at: context.random.millis(3_000),
            session: None,
            buf: vec![0; 65_536],
            connection: None,
            slot: 0,
            kind: DigestKind::Crc32,
            left,
            calm_runs: 0,
            run: Run::default(),
            attempt: Attempt::new(),
        };
        client.choose(context);
        client
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// When something happens here by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let own = match self.state {
            State::Off | State::Pausing => Some(self.wakes_at),
            State::Talking => {
                let deadline = self.session.as_ref().and_then(ClientSession::deadline);
                let deadline = deadline.map(|(when, _)| when.as_millis() + self.attempt.late);
                let sends_at = Some(self.wakes_at).filter(|when| self.attempt.slow_ms > 0 && *when > now);
                [deadline, sends_at].into_iter().flatten().min()
            }
            _ => None,
        };
        let link = self.connection.as_ref().and_then(|connection| connection.next_event(now));
        [own, link].into_iter().flatten().min()
    }

    /// Does one thing, if there is one to do.
    pub fn step(&mut self, hall: &mut Hall<'c>, context: &mut Context) -> bool {
        if !matches!(self.state, State::Off | State::Done) && self.dies(context) {
            self.die(hall, context);
            return true;
        }
        let has_moved = self.connection.as_mut().is_some_and(|connection| hall.step(connection, context));
        match self.state {
            State::Done => return has_moved,
            State::Off | State::Pausing if context.now < self.wakes_at => return has_moved,
            State::Off => self.start_program(hall, context),
            State::Pausing => self.begin(hall, context),
            State::Rehashing => self.rehash(hall, context),
            State::Connecting => self.connect(hall, context),
            State::Talking => return self.talk(hall, context) | has_moved,
            State::Promoting => self.promote(hall, context),
        }
        true
    }

    fn choose(&mut self, context: &mut Context) {
        self.slot = context.random.below(context.store.len());
        self.kind = if context.random.chance(850) { DigestKind::Crc32 } else { DigestKind::Sha256 };
    }

    fn dies(&mut self, context: &Context) -> bool {
        if context.is_calm {
            return false;
        }
        match &mut self.attempt.dies_in {
            None => false,
            Some(0) => true,
            Some(steps) => {
                *steps -= 1;
                false
            }
        }
    }

    /// The process is killed, or the power fails.
    fn die(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        let is_power = context.random.chance(500);
        self.session = None;
        if let Some(connection) = self.connection.take() {
            hall.leave(connection, !is_power, context);
        }
        if is_power {
            context.counts.power_cuts += 1;
        } else {
            context.counts.kills += 1;
        }
        say!(context, "client {} dies{}", self.number, if is_power { ", and its machine" } else { "" });
        self.storage.die(is_power);
        self.rest(State::Off, 200, context);
    }

    /// The disk fails the program, or the process has ended in the middle of an operation.
    fn fail(&mut self, error: &LocalError, hall: &mut Hall<'c>, context: &mut Context) {
        if self.storage.disk.is_stopped() {
            return self.die(hall, context);
        }
        say!(context, "client {}: {error}", self.number);
        match error {
            LocalError::Exists(_) => context.counts.not_replaced += 1,
            LocalError::Foreign(_) => context.counts.foreign += 1,
            LocalError::Locked(_) => context.counts.locked += 1,
            _ => context.counts.disk_errors += 1,
        }
        self.storage.explain(error);
        self.give_up(hall, context);
    }

    fn start_program(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        self.run = Run::default();
        if context.is_calm {
            self.calm_runs += 1;
            assert!(self.calm_runs < CALM_RUNS, "client {} does not get its file", self.number);
        }
        self.storage.disk.stop_after(stops(16, context));
        let found = self.storage.start(context.is_calm, &mut context.random);
        say!(context, "client {} starts, and finds {found:?}", self.number);
        match found {
            Ok(Found::Nothing | Found::APart) => {}
            Ok(Found::SetAside) => context.counts.set_aside += 1,
            Err(error) => return self.fail(&error, hall, context),
        }
        self.storage.disk.stop_after(None);
        self.storage.forget_unless(NAMES[self.slot]);
        self.begin(hall, context);
    }

    /// Begins a try.
    fn begin(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        let random = &mut context.random;
        let offset = self.storage.offset();
        // So that most of them live longer than their try.
        let rest = 100 + 5_000 / context.piece + 2 * self.storage.len() as usize / context.piece;
        self.attempt = Attempt {
            offset,
            also_asks: if random.chance(200) { 1 + random.below(2) } else { 0 },
            began: context.store.changes(self.slot),
            late: random.millis(context.lateness),
            slow_ms: if !context.is_calm && random.chance(30) { random.one_of(&[100, 1_000, 20_000]) } else { 0 },
            dies_in: random.chance(110).then(|| random.below(rest)),
            piece: context.piece,
            ..Attempt::new()
        };
        let stops = !context.is_calm && random.chance(110);
        self.storage.disk.stop_after(stops.then(|| random.below(rest)));
        let kept = self.connection.take();
        if offset == 0 && kept.is_some() {
            self.attempt.is_reused = true;
            self.attempt.moved_at = context.now;
            self.connection = kept;
            self.state = State::Talking;
            return;
        }
        if let Some(connection) = kept {
            hall.leave(connection, true, context);
        }
        let mut session = ClientSession::new([0; 1024]);
        self.state = State::Connecting;
        if offset > 0 {
            context.counts.resumes += 1;
            let version = self.storage.origin().map(|origin| origin.version.clone());
            let ask = get(self.slot, self.kind, offset, version.as_ref());
            session.start(ask, Instant::from_millis(context.now)).expect("a fresh session is idle");
            self.attempt.asked = Asked::Get;
            self.state = State::Rehashing;
        }
        self.session = Some(session);
    }

    /// Reads back what there is, for the digest.
    fn rehash(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        let session = self.session.as_mut().expect("a session");
        let ClientAction::Rehash { offset, len } = session.action() else {
            self.state = State::Connecting;
            return;
        };
        let len = usize::try_from(len).map_or(self.buf.len(), |len| len.min(self.buf.len()));
        let len = 1 + context.random.below(len);
        match self.storage.read_at(&mut self.buf[..len], offset) {
            Ok(len) => {
                assert!(len > 0, "a part is shorter than it was");
                session.rehashed(&self.buf[..len], Instant::from_millis(context.now));
            }
            Err(error) => self.fail(&error, hall, context),
        }
    }

    fn connect(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        let rest = context.store.size(self.slot).saturating_sub(self.storage.len() as usize);
        let stamp = if self.attempt.offset > 0 { self.storage.stamp } else { self.attempt.began };
        match hall.connect(self.slot, stamp, rest, context) {
            Some(connection) => {
                self.connection = Some(connection);
                self.attempt.moved_at = context.now;
                if let Some(session) = &mut self.session {
                    session.connected(Instant::from_millis(context.now));
                }
                self.state = State::Talking;
            }
            None => {
                self.attempt.outcome = Some(Outcome::NobodyAnswers);
                self.conclude(hall, context);
            }
        }
    }

    fn talk(&mut self, hall: &mut Hall<'c>, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let connection = self.connection.as_mut().expect("talks on a connection");
        let session = self.session.as_mut().expect("a session");
        let attempt = &mut self.attempt;
        let mut has_moved = false;
        let waited = context.now - attempt.moved_at;
        if session.deadline().is_some_and(|(when, _)| when.after(attempt.late) <= now) || context.random.chance(10) {
            let was_closed = matches!(session.action(), ClientAction::Close(_));
            session.handle_timeout(now);
            if !was_closed && session.action() == ClientAction::Close(Failure::Stalled) {
                assert!(waited >= STALL_MS, "a client gave up after {waited} ms");
                context.counts.timeouts += 1;
                has_moved = true;
            }
            attempt.late = context.random.millis(context.lateness);
        }
        match session.action() {
            ClientAction::SendBytes { .. } if connection.is_broken_for_client() => session.send_failed(),
            ClientAction::SendBytes { bytes } => {
                let most = connection.up.room().min(attempt.piece).min(bytes.len());
                let is_slow = attempt.slow_ms > 0 && !context.is_calm && context.now < self.wakes_at;
                if most == 0 || is_slow {
                    assert!(waited <= STALL_MS + LATEST, "a client has waited to send for {waited} ms");
                    return has_moved;
                }
                let len = 1 + context.random.below(most);
                connection.up.put(&bytes[..len], context.now);
                session.sent(len, now);
                connection.tear(context);
                self.wakes_at = context.now + attempt.slow_ms;
                attempt.moved_at = context.now;
            }
            ClientAction::Receive => {
                let arrived = connection.down.arrived(context.now);
                if arrived.is_empty() {
                    if !connection.down.is_at_end(context.now) {
                        assert!(waited <= STALL_MS + LATEST, "a client has waited to receive for {waited} ms");
                        return has_moved;
                    }
                    session.receive_eof();
                    return true;
                }
                let len = 1 + context.random.below(arrived.len().min(attempt.piece));
                let (taken, event) = session.receive(&arrived[..len], now);
                assert!(taken > 0 && taken <= len, "a client that receives took {taken} of {len} bytes");
                attempt.moved_at = context.now;
                if matches!((&event, attempt.asked), (Some(ClientEvent::Header(_)), Asked::Get))
                    && let Some(operations) = stops(12, context)
                {
                    self.storage.disk.stop_after(Some(operations));
                }
                let handled = event
                    .map_or(Ok(()), |event| attempt.handle(event, &mut self.storage, self.slot, self.kind, context));
                connection.down.take(taken);
                if let Err(error) = handled {
                    self.fail(&error, hall, context);
                }
            }
            ClientAction::Idle if attempt.outcome.is_some() => self.conclude(hall, context),
            ClientAction::Idle => {
                attempt.asked = if attempt.also_asks > 0 {
                    attempt.also_asks -= 1;
                    context.random.one_of(&[Asked::Hello, Asked::Stat, Asked::List])
                } else {
                    Asked::Get
                };
                let ask = match attempt.asked {
                    Asked::Hello => ClientRequest::Hello,
                    Asked::List => ClientRequest::List { path: None },
                    Asked::Stat => ClientRequest::Stat { name: name(self.slot), digest: Some(self.kind) },
                    Asked::Get | Asked::Nothing => get(self.slot, self.kind, 0, None),
                };
                session.start(ask, now).expect("an idle session starts");
                attempt.moved_at = context.now;
            }
            ClientAction::Close(failure) => {
                if attempt.outcome.is_none() {
                    attempt.outcome = Some(Outcome::Failed(failure));
                }
                self.conclude(hall, context);
            }
            other => panic!("a client that is connected wants {other:?}"),
        }
        true
    }

    /// The try is over: what now, as `Fetch::run` decides.
    fn conclude(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        let outcome = self.attempt.outcome.take().expect("an outcome");
        say!(
            context,
            "client {}: {outcome:?} from {} of file {}, has {}",
            self.number,
            self.attempt.offset,
            self.slot,
            self.storage.len()
        );
        let is_idle = self.session.as_ref().is_some_and(|session| session.action() == ClientAction::Idle);
        if let Some(connection) = self.connection.take_if(|_| !is_idle || context.random.chance(500)) {
            hall.leave(connection, true, context);
        }
        let stamp = if self.attempt.offset > 0 { self.storage.stamp } else { self.attempt.began };
        let has_changed = context.store.changes(self.slot) != stamp;
        let progressed = self.storage.origin().is_some() && self.storage.len() > self.attempt.offset;
        match outcome {
            Outcome::Verified => {
                let header = self.attempt.header.as_ref().expect("a header");
                assert_eq!(
                    header.offset + header.length,
                    self.storage.len(),
                    "a body of another length than announced"
                );
                assert_eq!(header.size, self.storage.len(), "a whole file has another size");
                self.state = State::Promoting;
                self.attempt.dies_in = None;
            }
            Outcome::Changed => {
                assert!(has_changed || context.is_corrupt, "changed, and nothing had happened to the file");
                context.counts.changed += 1;
                self.start_over(100, hall, context);
            }
            Outcome::Refused(Some(Code::Changed | Code::BadRange)) if self.attempt.offset > 0 => {
                assert!(
                    has_changed || context.is_corrupt || self.storage.is_damaged,
                    "another version, and nothing had happened to the file"
                );
                context.counts.changed += 1;
                self.start_over(0, hall, context);
            }
            Outcome::Refused(code) => {
                let is_known = matches!(code, Some(Code::NotFound | Code::Io));
                assert!(is_known || context.is_corrupt, "refused: {code:?}");
                self.give_up(hall, context);
            }
            Outcome::Failed(Failure::Digest) => {
                assert!(self.storage.is_damaged || context.is_corrupt, "a wrong digest, and nothing was damaged");
                context.counts.wrong_digests += 1;
                if let Err(error) = self.storage.discard() {
                    self.fail(&error, hall, context);
                } else if self.run.was_wrong {
                    self.give_up(hall, context);
                } else {
                    self.run.was_wrong = true;
                    self.rest(State::Pausing, 0, context);
                }
            }
            Outcome::Failed(failure) if failure.is_temporary() => {
                if self.attempt.is_reused && !progressed {
                    self.rest(State::Pausing, 0, context);
                } else {
                    self.retry(progressed, hall, context);
                }
            }
            Outcome::NobodyAnswers => self.retry(false, hall, context),
            Outcome::Failed(failure) => {
                assert!(context.is_corrupt, "an honest server's answer was not believed: {failure:?}");
                self.give_up(hall, context);
            }
        }
    }

    fn retry(&mut self, progressed: bool, hall: &mut Hall<'c>, context: &mut Context) {
        self.run.fruitless = if progressed { 0 } else { self.run.fruitless + 1 };
        if self.run.fruitless > RETRIES {
            return self.give_up(hall, context);
        }
        self.rest(State::Pausing, 100 * 3_u64.pow(self.run.fruitless), context);
    }

    fn start_over(&mut self, pause_ms: u64, hall: &mut Hall<'c>, context: &mut Context) {
        if self.run.changes == RETRIES {
            return self.give_up(hall, context);
        }
        self.run.changes += 1;
        self.storage.forget();
        self.rest(State::Pausing, pause_ms * 3_u64.pow(self.run.changes), context);
    }

    /// The program ends with an error, and its user starts it again.
    fn give_up(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        if let Some(connection) = self.connection.take() {
            hall.leave(connection, true, context);
        }
        // What cannot be removed is found by the next run.
        let _ = self.storage.suspend();
        if self.storage.disk.is_stopped() {
            return self.die(hall, context);
        }
        self.rest(State::Off, 5_000, context);
    }

    fn rest(&mut self, state: State, most_ms: u64, context: &mut Context) {
        self.state = state;
        self.wakes_at = context.now + context.random.millis(most_ms + 1);
    }

    /// The file has come: gives it its name.
    fn promote(&mut self, hall: &mut Hall<'c>, context: &mut Context) {
        let proof = self.attempt.proof.take().expect("a verified body");
        let header = self.attempt.header.take().expect("a header");
        self.storage.disk.stop_after(stops(12, context));
        let bytes = match self.storage.promote(proof, header.modified) {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(&error, hall, context),
        };
        self.storage.disk.stop_after(None);
        let version = Some(&header.version).filter(|_| !context.is_corrupt);
        assert!(
            context.store.ever_was(self.slot, version, &bytes),
            "client {} reports {} bytes that file {} never was in version {version:?}",
            self.number,
            bytes.len(),
            self.slot
        );
        say!(context, "client {} has file {}, {} bytes", self.number, self.slot, bytes.len());
        context.counts.files += 1;
        context.counts.bytes += bytes.len() as u64;
        self.left -= 1;
        self.calm_runs = 0;
        self.choose(context);
        if self.left == 0 {
            self.state = State::Done;
            if let Some(connection) = self.connection.take() {
                hall.leave(connection, true, context);
            }
        } else {
            self.rest(State::Off, 2_000, context);
        }
    }
}

/// Whether the process ends within the next `operations` of the disk, and when.
fn stops(operations: usize, context: &mut Context) -> Option<usize> {
    let stops = !context.is_calm && context.random.chance(40);
    stops.then(|| context.random.below(operations))
}
