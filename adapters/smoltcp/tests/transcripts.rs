//! The transcripts of the protocol, played over sockets in memory with a virtual clock.

// The core's own test uses the rest of these.
#[path = "../../../core/tests/transcripts/document.rs"]
mod document;
mod net;
#[allow(dead_code)]
#[path = "../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[allow(dead_code)]
#[path = "../../../core/tests/transcripts/output.rs"]
mod output;
#[path = "../../../core/tests/transcripts/settings.rs"]
mod settings;
#[allow(dead_code)]
#[path = "../../../core/tests/transcripts/store.rs"]
mod store;
#[allow(dead_code)]
#[path = "../../../core/tests/transcripts/uploads.rs"]
mod uploads;

use std::cell::Cell;
use std::rc::Rc;

use coracle_core::exec::ReadWrite;
use document::{Document, Step, StoreLine, Transcript};
use net::{Link, World};
use output::Output;
use settings::{Pieces, documented, has_arrivals, max_request, with_retry};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use store::ScriptedStore;

/// By how much long waits end earlier and short ones later: the sockets take some time of their own.
const TOLERANCE_MS: u64 = 400;
/// How long what is expected may take, without the time that the store takes.
const PATIENCE_MS: u64 = 5_000;

fn document() -> Document {
    let mut document = Document::default();
    for text in [include_str!("../../../core/PROTOCOL.md"), include_str!("../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    document
}

/// Whether a board can play it: it has no classic dialect and no policy for text. Rights are its owner's. What a client that does
/// not read holds up is still on its way here when the server has stopped.
fn is_playable(transcript: &Transcript) -> bool {
    let has = |step| transcript.steps.contains(&step);
    transcript.text.is_none()
        && !(has(Step::Unread) && has(Step::Stop))
        && transcript.rights.is_none()
        && transcript.unknown.is_none()
        && transcript.refusing.as_ref().is_none_or(|code| code == "busy")
        && !transcript.features.iter().any(|word| word == "classic" || word == "sync")
}

fn play(transcript: &Transcript, store: &[StoreLine], pieces: Pieces) -> Result<(), String> {
    match max_request(transcript) {
        512 => Played::<512>::new(transcript, store, pieces).play(transcript),
        640 => Played::<640>::new(transcript, store, pieces).play(transcript),
        768 => Played::<768>::new(transcript, store, pieces).play(transcript),
        other => Err(format!("{}: no server here has a buffer of {other} bytes", transcript.name)),
    }
}

fn play_all(pieces: &Pieces) {
    let document = document();
    let played: Vec<_> = document.transcripts.iter().filter(|transcript| is_playable(transcript)).collect();
    let outcomes = played.iter().map(|transcript| play(transcript, store_of(&document, transcript), pieces.clone()));
    let failures: Vec<String> = outcomes.filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{pieces:?}:\n{}", failures.join("\n"));
    let writing = played.iter().filter(|transcript| ["desk", "workshop"].contains(&&transcript.store[..])).count();
    assert!(writing > 40 && played.len() > writing + 40, "{writing} of {} transcripts write", played.len());
}

fn store_of<'d>(document: &'d Document, transcript: &Transcript) -> &'d [StoreLine] {
    document.store(&transcript.store).expect("the store is described")
}

/// A client of a server of the documents' files.
struct Played<'a, const BUF: usize> {
    world: World<ScriptedStore, 1, ReadWrite, BUF>,
    clock_ms: Rc<Cell<u64>>,
    client: SocketHandle,
    pieces: Pieces,
    /// Received, and not compared yet.
    heard: Vec<u8>,
    heartbeats: usize,
    output: Output<'a>,
    is_reading: bool,
    /// A reset takes with it what has not been sent.
    may_lose: bool,
}

impl<'a, const BUF: usize> Played<'a, BUF> {
    fn new(transcript: &Transcript, store: &'a [StoreLine], pieces: Pieces) -> Self {
        let clock_ms = Rc::<Cell<u64>>::default();
        let config = with_retry(documented().expect("a name"), transcript);
        let config = uploads::offering(config, &transcript.features);
        let offers = |word: &str| transcript.features.iter().any(|feature| feature == word);
        let config = config.with_wait_max_ms(if offers("wait") { 60_000 } else { 0 }).with_absolute(offers("absolute"));
        let has_unread = transcript.steps.contains(&Step::Unread);
        // Rings that a body does not fit in, where its client does not read.
        let link = if has_unread {
            Link { server_send: 1024, client_receive: 512, ..Link::default() }
        } else {
            Link::default()
        };
        let mut world = World::with_access(ScriptedStore::new(store, clock_ms.clone()), link, config);
        if transcript.refusing.is_some() {
            // The only place is taken.
            world.connect_and_send(b"{\"type\":\"hello\"}");
        }
        let client = world.connect();
        world.client(client).set_nagle_enabled(false);
        let pieces = if has_arrivals(transcript) { Pieces::Whole } else { pieces };
        let output = Output::new(store, None);
        Self {
            world,
            clock_ms,
            client,
            pieces,
            heard: Vec::new(),
            heartbeats: 0,
            output,
            is_reading: true,
            may_lose: transcript.steps.last() == Some(&Step::Abort),
        }
    }

    fn play(mut self, transcript: &Transcript) -> Result<(), String> {
        self.run_until(|this| this.socket().may_send())?;
        // The server has it, too.
        self.pass(10);
        for (step, index) in transcript.steps.iter().zip(0..) {
            self.step(step).map_err(|error| format!("{}, step {index}: {error}", transcript.name))?;
        }
        let waits = transcript.steps.iter().any(|step| matches!(step, Step::Wait(10_000..)));
        if waits && transcript.steps.iter().any(is_heartbeat) && self.heartbeats == 0 {
            return Err(format!("{}: the server sent no heartbeat", transcript.name));
        }
        if !matches!(transcript.steps.last(), Some(Step::Close | Step::Abort)) && self.socket().may_send() {
            // It still waits for requests, and sends nothing more.
            self.send(b"{\"type\":\"fly\"}");
            let is_unknown = Step::Line("{\"type\":\"error\",\"code\":\"unknownType\",\"message\":\"…\"}".into());
            self.step(&is_unknown).map_err(|error| format!("{}, at the end: {error}", transcript.name))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(bytes) => {
                self.send(bytes);
                Ok(())
            }
            Step::Eof => {
                self.socket().close();
                self.pass(10);
                Ok(())
            }
            Step::Unread | Step::Read => {
                self.is_reading = *step == Step::Read;
                Ok(())
            }
            Step::Wait(millis) if *millis < 1_000 => {
                self.pass(millis + TOLERANCE_MS);
                Ok(())
            }
            // Those of whole seconds end at no deadline.
            Step::Wait(millis) if *millis < 10_000 && millis.is_multiple_of(1_000) => {
                self.pass(*millis);
                Ok(())
            }
            Step::Wait(millis) => {
                self.pass(millis - TOLERANCE_MS);
                Ok(())
            }
            Step::Stop => {
                let now = self.world.now;
                self.world.server.stop(now);
                Ok(())
            }
            // How many there are depends on how long the store takes at a time: they are counted where they stand.
            step if is_heartbeat(step) => Ok(()),
            Step::Line(_) => {
                let line_end = |this: &Self| this.heard.iter().position(|byte| *byte == b'\n');
                self.run_until(|this| line_end(this).is_some())?;
                let Some(end) = line_end(self) else { return Ok(()) };
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let heartbeats = line.iter().take_while(|byte| **byte == b' ').count();
                self.heartbeats += heartbeats;
                self.output.push(&line[heartbeats..]);
                self.output.expect(step)
            }
            Step::Bytes(bytes) => self.expect(step, bytes.len()),
            Step::Slice { from, to, .. } => self.expect(step, to - from),
            Step::Close | Step::Abort => {
                let is_over =
                    |this: &mut Self| !this.socket().may_recv() || this.socket().state() == tcp::State::Closed;
                self.run_until(is_over)?;
                if !self.heard.is_empty() {
                    return Err(format!("the server also sent: {}", self.heard.escape_ascii()));
                }
                let is_reset = self.is_reset();
                if is_reset == (*step == Step::Abort) { Ok(()) } else { Err(format!("reset: {is_reset}")) }
            }
            Step::Change(change) => {
                self.world.store.changes.borrow_mut().push_back(change.clone());
                let now = self.world.now;
                self.world.server.look_again(now);
                Ok(())
            }
            Step::Displace => {
                // Another client, of which it is the first request that counts.
                let newcomer = self.world.connect();
                self.run_until(|this| this.world.client(newcomer).may_send())?;
                self.world.send(newcomer, b"{\"type\":\"list\"}");
                Ok(())
            }
            Step::Message(_) | Step::Revoke => Err("not on a board".into()),
        }
    }

    fn expect(&mut self, step: &Step, len: usize) -> Result<(), String> {
        self.run_until(|this| this.heard.len() >= len)?;
        if self.heard.len() < len {
            return Ok(());
        }
        let bytes: Vec<u8> = self.heard.drain(..len).collect();
        self.output.push(&bytes);
        self.output.expect(step)
    }

    /// Sends `bytes` in pieces, each of which arrives by itself, as far as the server takes them.
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = self.pieces.next(rest.len()).min(rest.len());
            if !self.socket().may_recv() {
                break;
            }
            let Ok(sent) = self.socket().send_slice(&rest[..len]) else { break };
            rest = &rest[sent..];
            self.advance();
        }
        self.pass(10);
    }

    fn run_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let mut passed = Duration::ZERO;
        while !is_so(self) {
            if self.may_lose && self.is_reset() {
                return Ok(());
            }
            if passed > Duration::from_millis(PATIENCE_MS) {
                let excerpt = &self.heard[..self.heard.len().min(200)];
                return Err(format!("not in {PATIENCE_MS} ms; heard: {}", excerpt.escape_ascii()));
            }
            passed += self.advance();
        }
        Ok(())
    }

    fn pass(&mut self, millis: u64) {
        let end = self.world.now + Duration::from_millis(millis);
        while self.world.now < end {
            self.advance();
        }
    }

    /// One step of both hosts, and the time that the store takes in it. Returns how long it took without that.
    fn advance(&mut self) -> Duration {
        let before = self.world.now;
        self.clock_ms.set(u64::try_from(before.total_millis()).expect("behind the start"));
        self.world.step();
        let passed = self.world.now - before;
        let store_at = Instant::from_millis(i64::try_from(self.clock_ms.get()).expect("soon"));
        self.world.now = self.world.now.max(store_at);
        if self.is_reading {
            let (socket, heard) = (self.world.client(self.client), &mut self.heard);
            while let Ok(len) = socket.recv(|bytes| {
                heard.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            }) && len > 0
            {}
        }
        passed
    }

    fn is_reset(&mut self) -> bool {
        self.socket().state() == tcp::State::Closed
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.world.client(self.client)
    }
}

fn is_heartbeat(step: &Step) -> bool {
    matches!(step, Step::Bytes(bytes) if bytes.iter().all(|byte| *byte == b' '))
}

#[test]
fn whole() {
    play_all(&Pieces::Whole);
}

#[test]
fn byte_by_byte() {
    play_all(&Pieces::Each(1));
}

#[test]
fn random_splits() {
    let seeds = if std::env::var_os("CORACLE_QUICK").is_some() { 1..=1 } else { 1..=5 };
    for seed in seeds {
        play_all(&Pieces::Random(seed));
    }
}

/// Each transcript fails when one of its lines is another one; where it ends with a reset, that may be lost.
#[test]
fn a_wrong_answer_is_noticed() {
    let document = document();
    for transcript in document.transcripts.iter().filter(|transcript| is_playable(transcript)) {
        if transcript.steps.last() == Some(&Step::Abort) {
            continue;
        }
        let mut wrong = transcript.clone();
        let Some(line) = wrong.steps.iter_mut().rev().find_map(|step| match step {
            Step::Line(line) => Some(line),
            _ => None,
        }) else {
            continue;
        };
        *line = line.replacen("\":", "_\":", 1);
        assert!(play(&wrong, store_of(&document, transcript), Pieces::Whole).is_err(), "{}", transcript.name);
    }
}
