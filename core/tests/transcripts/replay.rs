//! Plays a transcript against a server session, in pieces of any size and with a virtual clock.

use std::cell::Cell;
use std::rc::Rc;

use coracle_core::{
    Action, Close, Code, Finished, Hasher, Instant, Reply, Request, ServerConfig, ServerSession, Store,
};

use super::document::{Step, StoreLine, Transcript};
use super::other_server::OtherServer;
use super::output::Output;
use super::settings::{Pieces, documented, has_arrivals, max_request, with_retry};
use super::store::{Listing, Open, ScriptedStore};

/// Plays `transcript` against a server with the settings of the documents, and compares every byte of its output.
///
/// # Errors
///
/// The step at which the session differs from the transcript, and how.
pub fn replay(transcript: &Transcript, store: &[StoreLine], input: Pieces, output: Pieces) -> Result<(), String> {
    let config = documented()?;
    replay_with(transcript, store, input, output, &config, None)
}

/// The same against a server with other settings; `other` has its values in place of those in the documents.
///
/// # Errors
///
/// As [`replay`].
pub fn replay_with(
    transcript: &Transcript,
    store: &[StoreLine],
    input: Pieces,
    output: Pieces,
    config: &ServerConfig<'_>,
    other: Option<&OtherServer>,
) -> Result<(), String> {
    let config = &with_retry(with_features(*config, transcript), transcript);
    let (input, output) = if has_arrivals(transcript) { (Pieces::Whole, output) } else { (input, output) };
    let clock_ms = Rc::new(Cell::new(0));
    let buf = vec![0; max_request(transcript)];
    let session = match &transcript.refusing {
        None => ServerSession::new(config, buf, Instant::from_millis(0)),
        Some(word) => {
            let code = Code::from_word(word).ok_or_else(|| format!("no such code: {word}"))?;
            ServerSession::refusing(code, config, buf, Instant::from_millis(0))
        }
    };
    let mut owner = Owner {
        session,
        store: ScriptedStore::new(store, clock_ms.clone()),
        #[cfg(feature = "manage")]
        writing: super::uploads::Writing::default(),
        #[cfg(feature = "rights")]
        permits: super::permits::Permits::of(transcript),
        clock_ms,
        input_pieces: input,
        output_pieces: output,
        input: Vec::new(),
        eof: false,
        unread: false,
        output: Output::new(store, other),
        other,
        file: None,
        listing: None,
        hasher: None,
        hashed: 0,
        closed: None,
    };
    owner.run()?;
    for (step, index) in transcript.steps.iter().zip(0..) {
        owner.step(step).map_err(|error| format!("{}, step {index}, {step:?}: {error}", transcript.name))?;
    }
    let ends_closed = matches!(transcript.steps.last(), Some(Step::Close | Step::Abort));
    if !ends_closed && owner.closed.is_some() {
        return Err(format!("{}: closed at the end: {:?}", transcript.name, owner.closed));
    }
    owner.output.rest().map_err(|error| format!("{}, at the end: {error}", transcript.name))
}

/// `config` with the text policy of `transcript`, and what it offers.
pub fn with_features<'a>(config: ServerConfig<'a>, transcript: &'a Transcript) -> ServerConfig<'a> {
    #[cfg(feature = "manage")]
    let config = super::uploads::offering(config, &transcript.features);
    #[cfg(feature = "rights")]
    let config = super::permits::asking(config, transcript);
    #[cfg(any(feature = "wait", feature = "absolute"))]
    let has = |word: &str| transcript.features.iter().any(|feature| feature == word);
    #[cfg(feature = "wait")]
    let config = config.with_wait_max_ms(if has("wait") { 60_000 } else { 0 });
    #[cfg(feature = "absolute")]
    let config = config.with_absolute(has("absolute"));
    with_text(config, transcript)
}

/// `config` with the text policy of `transcript`.
#[cfg(feature = "classic")]
fn with_text<'a>(config: ServerConfig<'a>, transcript: &'a Transcript) -> ServerConfig<'a> {
    let config = config.with_classic(true);
    use coracle_core::TextPolicy;
    match transcript.text.as_deref() {
        None => config,
        Some(text) => config.with_text_policy(text.strip_prefix("reply:").map_or(TextPolicy::Echo, TextPolicy::Reply)),
    }
}

/// Without the classic dialect there is only one text policy.
#[cfg(not(feature = "classic"))]
fn with_text<'a>(config: ServerConfig<'a>, _: &'a Transcript) -> ServerConfig<'a> {
    config
}

/// The owner of one connection: performs the session's actions, and plays the client.
struct Owner<'a> {
    session: ServerSession<'a, Vec<u8>>,
    store: ScriptedStore,
    #[cfg(feature = "manage")]
    writing: super::uploads::Writing,
    #[cfg(feature = "rights")]
    permits: super::permits::Permits,
    clock_ms: Rc<Cell<u64>>,
    input_pieces: Pieces,
    output_pieces: Pieces,
    /// Bytes of the client that were not taken.
    input: Vec<u8>,
    eof: bool,
    unread: bool,
    output: Output<'a>,
    other: Option<&'a OtherServer>,
    file: Option<Open>,
    listing: Option<Listing>,
    hasher: Option<Hasher>,
    /// Number of bytes hashed.
    hashed: u64,
    closed: Option<Close>,
}

impl Owner<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(bytes) => match self.other {
                None => self.input.extend_from_slice(bytes),
                Some(other) => self.input.extend_from_slice(&other.request(bytes)),
            },
            Step::Eof => self.eof = true,
            Step::Unread => self.unread = true,
            Step::Read => self.unread = false,
            Step::Stop => self.session.stop(self.now()),
            #[cfg(feature = "rights")]
            Step::Revoke => self.permits.is_revoked = true,
            #[cfg(not(feature = "rights"))]
            Step::Revoke => return Err("there are no rights".into()),
            #[cfg(feature = "wait")]
            Step::Displace => self.session.give_way(self.now()),
            #[cfg(not(feature = "wait"))]
            Step::Displace => return Err("nothing waits".into()),
            Step::Change(change) => {
                self.store.changes.borrow_mut().push_back(change.clone());
                #[cfg(feature = "wait")]
                self.session.look_again(self.now());
            }
            Step::Wait(millis) => {
                self.output.rest()?;
                self.wait(*millis)?;
            }
            Step::Line(_) | Step::Bytes(_) | Step::Message(_) | Step::Slice { .. } => return self.output.expect(step),
            Step::Close | Step::Abort => {
                let close = self.closed.ok_or("it does not close")?;
                return self.output.expect_close(step, close, self.eof, !self.input.is_empty());
            }
        }
        self.run()
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.clock_ms.get())
    }

    /// Performs the session's actions until it waits for something.
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..50_000 {
            let now = self.now();
            if self.session.deadline().is_some_and(|(when, _)| when <= now) {
                self.session.handle_timeout(now);
            }
            if self.session.action() != self.session.action() {
                return Err("asked twice, the session wants two things".into());
            }
            if !self.act(now)? {
                return Ok(());
            }
        }
        Err("no end in sight".into())
    }

    /// Performs one action; false when there is nothing to do.
    fn act(&mut self, now: Instant) -> Result<bool, String> {
        #[cfg(feature = "manage")]
        if self.writing.is_ended(&self.session) {
            self.writing.exchange.end(&mut self.store);
        }
        match self.session.action() {
            #[cfg(feature = "manage")]
            Action::Wait if self.input.is_empty() && !self.eof => return Ok(false),
            #[cfg(feature = "manage")]
            Action::Wait if self.input.is_empty() => self.session.receive_eof(now),
            #[cfg(feature = "manage")]
            Action::Wait => {
                let (taken, _) = self.session.receive(&self.input, now);
                self.input.drain(..taken);
            }
            #[cfg(feature = "wait")]
            Action::Watch { .. } => return Ok(false),
            #[cfg(feature = "manage")]
            Action::Commit(put) => {
                let reply = self.writing.exchange.commit(&mut self.store, &put, now);
                let now = Instant::from_millis(self.clock_ms.get());
                self.session.reply(reply, now);
            }
            #[cfg(feature = "rights")]
            Action::Permit(demand) => {
                let permit = self.permits.permit_reading(&demand, &mut self.store);
                #[cfg(feature = "manage")]
                self.writing.exchange.permit(&permit);
                self.session.permit(permit, now);
            }
            Action::Receive if !self.input.is_empty() => {
                let len = self.input_pieces.next(self.input.len());
                self.session.set_time(self.store.unix_time());
                let (taken, event) = self.session.receive(&self.input[..len], now);
                #[cfg(feature = "manage")]
                if let Some(coracle_core::ServerEvent::Body { offset, bytes }) = event {
                    let written = self.writing.exchange.write(&mut self.store, offset, bytes, now);
                    let now = Instant::from_millis(self.clock_ms.get());
                    match written {
                        Err(error) => self.session.store_failed(error, now),
                        Ok(len) => {
                            self.session.stored(len, now);
                            self.input.drain(..len);
                        }
                    }
                    return Ok(true);
                }
                #[cfg(not(feature = "manage"))]
                let _ = event;
                if taken > len || (taken == 0 && self.session.action() == Action::Receive) {
                    return Err(format!("took {taken} of {len} bytes"));
                }
                self.input.drain(..taken);
            }
            Action::Receive if self.eof => self.session.receive_eof(now),
            Action::Receive => return Ok(false),
            Action::Reply(_) => self.reply(now),
            Action::Entry => {
                let listing = self.listing.as_mut().ok_or("an entry without a listing")?;
                self.session.entry(self.store.next(listing), now);
            }
            Action::SendBytes { .. } | Action::SendFile { .. } if self.unread => return Ok(false),
            Action::SendBytes { bytes, .. } => {
                if bytes.is_empty() {
                    return Err("no bytes to send".into());
                }
                let len = self.output_pieces.next(bytes.len());
                self.output.push(&bytes[..len]);
                self.session.sent(len, now);
            }
            Action::SendFile { offset, len, hash, .. } => match self.read(offset, len)? {
                None => self.session.file_fault(self.now()),
                Some(bytes) => {
                    if let (true, Some(hasher)) = (hash, &mut self.hasher) {
                        hasher.update(&bytes);
                        self.hashed += bytes.len() as u64;
                    }
                    self.output.push(&bytes);
                    self.session.sent(bytes.len(), self.now());
                }
            },
            #[cfg(feature = "manage")]
            Action::Hash { offset, len } if self.writing.is_active => {
                let mut buf = vec![0; self.output_pieces.next(len)];
                match self.writing.exchange.hash(&mut self.store, offset, &mut buf, now) {
                    Ok(len) => self.session.hashed(len, self.now()),
                    Err(error) => self.session.store_failed(error, self.now()),
                }
            }
            #[cfg(feature = "manage")]
            Action::Finish { from, to } if self.writing.is_active => {
                let finished = self.writing.exchange.finish(&mut self.store, from, to);
                self.session.finished(finished.map_err(|error| error.to_string())?, now);
            }
            Action::Hash { offset, len } => match self.read(offset, len)? {
                None => self.session.file_fault(self.now()),
                Some(bytes) => {
                    self.hasher.as_mut().ok_or("nothing to hash with")?.update(&bytes);
                    self.hashed += bytes.len() as u64;
                    self.session.hashed(bytes.len(), self.now());
                }
            },
            Action::Finish { from, to } => self.finish(from, to, now)?,
            #[cfg(feature = "classic")]
            Action::Text(_) => self.session.text_seen(now),
            Action::Close(close) => {
                self.closed = Some(close);
                return Ok(false);
            }
            other => return Err(format!("what is {other:?}?")),
        }
        Ok(true)
    }

    fn reply(&mut self, now: Instant) {
        let Action::Reply(request) = self.session.action() else { return };
        #[cfg(feature = "manage")]
        if let Some(reply) = self.writing.answer(&mut self.store, &request, now) {
            let now = Instant::from_millis(self.clock_ms.get());
            return self.session.reply(reply, now);
        }
        self.hasher = request.digest().and_then(Hasher::new);
        self.hashed = 0;
        let (mut info, mut known) = (None, None);
        let refused = match request {
            Request::List { path } => self.store.list(path).map(|listing| self.listing = Some(listing)).err(),
            _ => request.name().and_then(|name| {
                let opened = match &request {
                    #[cfg(feature = "absolute")]
                    Request::Stat { absolute: true, .. } | Request::Get { absolute: true, .. } => {
                        self.store.open_absolute(name)
                    }
                    #[cfg(feature = "replaced")]
                    Request::Get { version: Some(version), .. } => self.store.open_version(name, version),
                    _ => self.store.open(name),
                };
                let opened = opened.and_then(|file| Ok((self.store.info(&file)?, file)));
                opened
                    .map(|(file_info, file)| {
                        known = request.digest().and_then(|kind| self.store.known_digest(&file, kind));
                        info = Some(file_info);
                        self.file = Some(file);
                    })
                    .err()
            }),
        };
        let reply = match (refused, &info) {
            (Some(error), _) => Reply::Refuse(error.code()),
            (None, Some(info)) => Reply::File { info, known },
            (None, None) => Reply::Listing,
        };
        self.session.reply(reply, now);
    }

    /// Some of the file's bytes; `None` where it has none there or cannot be read.
    fn read(&mut self, offset: u64, len: usize) -> Result<Option<Vec<u8>>, String> {
        if len == 0 {
            return Err("no bytes to read".into());
        }
        let file = self.file.as_mut().ok_or("no file is open")?;
        let mut bytes = vec![0; self.output_pieces.next(len)];
        let read = self.store.read(file, offset, &mut bytes).unwrap_or(0);
        bytes.truncate(read);
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    fn finish(&mut self, from: u64, to: u64, now: Instant) -> Result<(), String> {
        let file = self.file.as_ref().ok_or("no file is open")?;
        let info = self.store.info(file).map_err(|error| error.to_string())?;
        if from > to || to > info.size {
            return Err(format!("a digest of {from}..{to}"));
        }
        // Where the digest was known, nothing was hashed, and nothing may be reported.
        let hasher = self.hasher.take().filter(|_| self.hashed == to - from);
        let digest = hasher.map(Hasher::finish);
        self.session.finished(Finished::new(digest, info.version.as_str() == file.version()), now);
        Ok(())
    }

    /// Advances the clock, and handles each deadline.
    fn wait(&mut self, millis: u64) -> Result<(), String> {
        let end = self.clock_ms.get() + millis;
        while let Some((when, _)) = self.session.deadline().filter(|(when, _)| when.as_millis() <= end) {
            self.clock_ms.set(self.clock_ms.get().max(when.as_millis()));
            let before = self.session.deadline();
            self.run()?;
            if self.session.deadline() == before {
                return Err("a deadline that has passed is still there".into());
            }
        }
        self.clock_ms.set(end);
        Ok(())
    }
}
