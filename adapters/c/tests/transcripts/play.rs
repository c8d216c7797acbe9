//! Plays a transcript against a session, by the functions of C.

use std::ffi::CString;
use std::rc::Rc;

use coracle_c::*;
use coracle_core::{Close, CloseHow as CoreCloseHow, CloseReason as CoreCloseReason};

use super::callbacks::{Served, callbacks, rights};
use super::document::{Step, StoreLine, Transcript};
use super::output::Output;
use super::settings::Pieces;
use super::store::ScriptedStore;
use super::writing::writer;

/// Memory for a session, with room for what other crates' features add to the core in a build of the whole workspace.
type Memory = [u64; 512];

struct Owner<'a> {
    session: Box<Memory>,
    served: Box<Served>,
    pieces: Pieces,
    input: Vec<u8>,
    eof: bool,
    unread: bool,
    output: Output<'a>,
    closed: Option<Close>,
    deadline_ms: u64,
}

/// Plays `transcript`, and compares every byte of the output.
///
/// # Errors
///
/// The step at which the session differs from the transcript, and how.
pub fn play(transcript: &Transcript, lines: &[StoreLine], pieces: Pieces) -> Result<(), String> {
    let mut served = Box::new(Served::new(ScriptedStore::new(lines, Rc::default())));
    served.rights = transcript.rights.clone().map(CString::new).transpose().map_err(|error| error.to_string())?;
    let store = Box::new(callbacks(&mut served));
    let writer = Box::new(writer(&transcript.features, reads_back(transcript, lines)));
    let name = CString::new("bench-7").map_err(|error| error.to_string())?;
    let waits = transcript.features.iter().any(|word| word == "wait");
    let config = Config {
        name: name.as_ptr(),
        busy_retry_ms: transcript.retry_ms,
        stop_retry_ms: transcript.retry_ms,
        wait_max_ms: if waits { 60_000 } else { 0 },
        ..coracle_config_default()
    };
    let (mut server, mut session) = (Box::new([0_u64; 64]), Box::new([0_u64; 512]));
    let server = (&raw mut *server).cast();
    let place = (&raw mut *session).cast();
    // SAFETY: all of it stays where it is until the session has ended.
    let outcomes = unsafe {
        let mut outcomes = vec![];
        outcomes.push(coracle_server_init(server, size_of::<[u64; 64]>(), &raw const config, &raw const *store));
        let offers = |word: &&str| transcript.features.iter().any(|feature| feature == *word);
        if ["put", "delete", "rename", "makeDir", "space", "do"].iter().any(offers) {
            outcomes.push(coracle_server_set_writer(server, &raw const *writer));
        }
        if transcript.rights.is_some() {
            outcomes.push(coracle_server_set_rights(server, Some(rights)));
        }
        let begun = match transcript.refusing {
            None => coracle_session_init(place, size_of::<Memory>(), server, 0),
            Some(_) => coracle_session_init_busy(place, size_of::<Memory>(), server, 0),
        };
        outcomes.push(begun);
        outcomes
    };
    if outcomes.iter().any(|outcome| *outcome != Outcome::Ok) {
        return Err(format!("{outcomes:?}"));
    }
    let output = Output::new(lines, None);
    let (input, deadline_ms) = (Vec::new(), UNKNOWN);
    let mut owner =
        Owner { session, served, pieces, input, eof: false, unread: false, output, closed: None, deadline_ms };
    let outcome = owner.play(transcript);
    // SAFETY: as above.
    unsafe { coracle_session_end(owner.place()) };
    outcome.map_err(|error| format!("{}: {error}", transcript.name))?;
    let open = owner.served.open;
    if open == 0 { Ok(()) } else { Err(format!("{}: {open} files or listings were not closed", transcript.name)) }
}

/// Whether an upload of the transcript is read back: a writer in C does that with all or with none.
fn reads_back(transcript: &Transcript, lines: &[StoreLine]) -> bool {
    let mut names = lines.iter().filter(|line| line.reads_back).filter_map(|line| line.upload.as_deref());
    names.any(|name| {
        let is_in = |bytes: &[u8]| bytes.windows(name.len()).any(|part| part == name.as_bytes());
        transcript.steps.iter().any(|step| matches!(step, Step::Send(bytes) if is_in(bytes)))
    })
}

impl Owner<'_> {
    fn play(&mut self, transcript: &Transcript) -> Result<(), String> {
        self.run()?;
        for (step, index) in transcript.steps.iter().zip(0..) {
            self.step(step).map_err(|error| format!("step {index}, {step:?}: {error}"))?;
        }
        let ends_closed = matches!(transcript.steps.last(), Some(Step::Close | Step::Abort));
        if !ends_closed && self.closed.is_some() {
            return Err(format!("closed at the end: {:?}", self.closed));
        }
        self.output.rest().map_err(|error| format!("at the end: {error}"))
    }

    fn place(&mut self) -> *mut SessionMemory {
        (&raw mut *self.session).cast()
    }

    fn now(&self) -> u64 {
        self.served.store.clock_ms.get()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let (place, now) = (self.place(), self.now());
        match step {
            Step::Send(bytes) => self.input.extend_from_slice(bytes),
            Step::Eof => self.eof = true,
            Step::Unread => self.unread = true,
            Step::Read => self.unread = false,
            // SAFETY: the session has not ended.
            Step::Stop => unsafe { coracle_session_stop(place, now) },
            Step::Change(change) => {
                self.served.store.changes.borrow_mut().push_back(change.clone());
                // SAFETY: the same.
                unsafe { coracle_session_look_again(place, now) };
            }
            Step::Wait(millis) => {
                self.output.rest()?;
                self.wait(*millis)?;
            }
            Step::Close | Step::Abort => {
                let close = self.closed.ok_or("it does not close")?;
                return self.output.expect_close(step, close, self.eof, !self.input.is_empty());
            }
            Step::Line(line) => {
                // What sessions are that can also rename.
                let line = line.replace("\"maxRequest\":512", "\"maxRequest\":768");
                let line = line.replace("\"maxRequest\":640", "\"maxRequest\":768");
                // Only `begin` says how much room there is.
                let line = line.replace(",\"free\":0}", "}");
                return self.output.expect(&Step::Line(line));
            }
            Step::Bytes(_) | Step::Message(_) | Step::Slice { .. } => return self.output.expect(step),
            Step::Revoke => {
                self.served.rights = Some(CString::default());
                return Ok(());
            }
            Step::Displace => return Err("there is no such function".into()),
        }
        self.run()
    }

    /// Does what the session asks for until it waits for something.
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..50_000 {
            let (place, now) = (self.place(), self.now());
            // SAFETY: the session has not ended.
            let action = unsafe { coracle_session_poll(place, now) };
            self.deadline_ms = action.deadline_ms;
            if action.deadline_ms <= self.now() {
                // SAFETY: the same.
                unsafe { coracle_session_timeout(place, self.now()) };
                continue;
            }
            if !self.act(&action)? {
                return Ok(());
            }
        }
        Err("no end in sight".into())
    }

    /// Does what an action asks for; false when there is nothing to do.
    fn act(&mut self, action: &Action) -> Result<bool, String> {
        let (place, now) = (self.place(), self.now());
        match action.kind {
            ActionKind::Receive if !self.input.is_empty() => {
                let len = self.pieces.next(self.input.len());
                // SAFETY: the session has not ended, and so many bytes are there.
                let taken = unsafe { coracle_session_receive(place, self.input.as_ptr(), len, now) };
                self.input.drain(..taken);
            }
            // SAFETY: the session has not ended.
            ActionKind::Receive if self.eof => unsafe { coracle_session_receive_eof(place, now) },
            ActionKind::SendBytes | ActionKind::SendFile if self.unread => return Ok(false),
            ActionKind::Receive | ActionKind::Watch => return Ok(false),
            ActionKind::SendBytes => {
                let len = self.pieces.next(action.len);
                // SAFETY: so many bytes are there until the next call.
                self.output.push(unsafe { std::slice::from_raw_parts(action.bytes, len) });
                // SAFETY: the session has not ended.
                unsafe { coracle_session_sent(place, len, now) };
            }
            ActionKind::SendFile => {
                let mut file = vec![0; self.pieces.next(action.len)];
                // SAFETY: so many bytes can be written.
                let len = unsafe { coracle_session_read(place, file.as_mut_ptr(), file.len(), now) };
                self.output.push(&file[..len]);
            }
            ActionKind::Again => {}
            ActionKind::Close => {
                let how = match action.how {
                    CloseHow::Finish => CoreCloseHow::Finish,
                    CloseHow::Linger => CoreCloseHow::Linger,
                    CloseHow::Abort => CoreCloseHow::Abort,
                };
                self.closed = Some(Close::new(how, CoreCloseReason::Done));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Advances the clock, and handles each deadline.
    fn wait(&mut self, millis: u64) -> Result<(), String> {
        let end = self.now() + millis;
        while self.deadline_ms <= end {
            let before = self.deadline_ms;
            self.served.store.clock_ms.set(self.now().max(before));
            self.run()?;
            if self.deadline_ms == before {
                return Err("a deadline that has passed is still there".into());
            }
        }
        self.served.store.clock_ms.set(end);
        Ok(())
    }
}
