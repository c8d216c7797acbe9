//! Follows a file that grows, as `tail -F` does.
//!
//! Each request asks for what stands behind the bytes that are there already, with a digest that covers the last 4 KiB of
//! them too: a right digest proves that the new bytes continue the old ones. A wrong one, or a file that is shorter than
//! what is there, is another file of the same name, and is followed from its beginning. A server that can wait does so until
//! something is appended; others are asked again and again.

mod event;
mod piece;
mod start;

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coracle_core::{Code, End, FileName, Hello, Version};

pub use event::{FollowEvent, FollowOptions};
pub use start::FollowFrom;

use self::piece::{Piece, Question, Window, ask};
use self::start::{find, is_range_error};
use super::Client;
use super::attempt::FailedAttempt;
use super::backoff::{Backoff, RetryPolicy};
use super::error::Error;
use super::requester::Requester;

/// The most that is asked for at a time, in bytes.
const PIECE_LEN: u64 = 256 * 1024;
/// The pause after an answer with nothing new; each further one is half as long again, up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before a server that could not be reached is tried again.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(5);
/// How long a server that can is asked to wait for something new, in milliseconds.
const WAIT_MS: u64 = 30_000;
/// An answer with nothing new that came sooner was not waited for.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// Between the heartbeats of a server that waits, with some time on the way.
const HEARTBEATS: Duration = Duration::from_secs(15);
/// Wrong digests in a row that mean another file. The first may be an error of the transmission.
const MISMATCHES: u32 = 2;

/// A file of a server that is followed: the end of it, and what is appended to it, whatever happens to it and to the server.
///
/// ```no_run
/// use std::io::Write;
///
/// use coracle::client::{Client, FollowEvent, FollowFrom, FollowOptions};
/// use coracle_core::FileName;
///
/// let client = Client::new("192.168.7.2".parse()?);
/// let options = FollowOptions::new().with_from(FollowFrom::Lines(10));
/// let mut follower = client.follow(FileName::new("boot.log")?, options);
/// while let Some(event) = follower.next_event()? {
///     match event {
///         FollowEvent::Bytes(bytes) => std::io::stdout().write_all(bytes)?,
///         FollowEvent::BeginsAnew { .. } => eprintln!("-- boot.log begins anew --"),
///         FollowEvent::Waiting { error } => eprintln!("{error}"),
///         _ => {}
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It keeps one connection, and at most 1 MiB: between calls of [`Follower::next_event`] nothing is asked for.
pub struct Follower {
    requester: Requester,
    name: String,
    options: FollowOptions,
    stage: Stage,
    /// What was yielded last.
    window: Window,
    /// The version of the file that the window belongs to.
    version: Option<Version>,
    /// What follows the window and is yielded next.
    fresh: Vec<u8>,
    /// What follows the window and came from a file that changed under way: the next answer proves it.
    unproved: Vec<u8>,
    /// Whether the file keeps its version when it grows: then the server can say at once that it is another file.
    is_version_stable: bool,
    /// Whether the next answer has to be of that version: the window alone cannot prove it.
    names_version: bool,
    /// Whether to look at once whether the file is another one.
    is_in_doubt: bool,
    /// What the server can do; `None` before it has said so.
    features: Option<FollowFeatures>,
    /// Answers with a wrong digest since the last right one.
    mismatches: u32,
    /// Where to end, without following.
    end: u64,
    backoff: Backoff,
    /// Whether the file has answered, so that all that comes is to be yielded.
    has_begun: bool,
    /// Whether a [`FollowEvent::Waiting`] was the last word on the server.
    is_waiting: bool,
    /// Where the server was before that.
    peer: Option<SocketAddr>,
    /// What came with the answer that ended it.
    held_back: Option<Outcome>,
    /// Before the next request.
    pause: Duration,
    /// After the last answer with nothing new.
    idle_pause: Duration,
}

/// What a server says that it can do.
#[derive(Clone, Copy, Debug)]
struct FollowFeatures {
    waits: bool,
    absolute: bool,
}

/// What to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Where to begin.
    Find(FollowFrom),
    /// What follows.
    Read,
    /// The rest of a file that another one has replaced, which the server may have kept.
    ReadReplaced(Version),
    /// Nothing: all was yielded.
    Over,
}

/// What came of a request.
enum Outcome {
    Again,
    Bytes,
    BeginsAnew { known_to: Option<u64> },
    Dropped { bytes: u64 },
    Failed(FailedAttempt),
}

impl Client {
    /// Follows the file `name`. Asks for nothing before the first [`Follower::next_event`].
    #[must_use]
    pub fn follow(self, name: FileName<'_>, options: FollowOptions) -> Follower {
        let mut requester = self.requester;
        if options.follows {
            let patience = requester.policy.patience;
            requester.policy = RetryPolicy { retries: u32::MAX, ..RetryPolicy::new() }.with_patience(patience);
        }
        Follower {
            name: name.as_str().to_owned(),
            options,
            stage: Stage::Find(options.from),
            window: Window::at(0),
            version: None,
            fresh: Vec::new(),
            unproved: Vec::new(),
            is_version_stable: true,
            names_version: false,
            is_in_doubt: false,
            features: None,
            mismatches: 0,
            end: 0,
            backoff: Backoff::new(requester.policy),
            has_begun: false,
            is_waiting: false,
            peer: None,
            held_back: None,
            pause: Duration::ZERO,
            idle_pause: SHORTEST_PAUSE,
            requester,
        }
    }
}

impl Follower {
    /// Waits for what comes next; `None` at the end, where nothing is waited for.
    ///
    /// # Errors
    ///
    /// What no waiting mends: a server that is not trusted or violates the protocol, a limit of the client. Before the first
    /// answer also a request that is refused, unless it is because the file is not there.
    pub fn next_event(&mut self) -> Result<Option<FollowEvent<'_>>, Error> {
        let mut next = self.held_back.take();
        if next.is_none() {
            self.window.push(&self.fresh);
            self.fresh.clear();
        }
        loop {
            match next.take() {
                Some(Outcome::Bytes) => return Ok(Some(FollowEvent::Bytes(&self.fresh))),
                Some(Outcome::BeginsAnew { known_to }) => return Ok(Some(FollowEvent::BeginsAnew { known_to })),
                Some(Outcome::Dropped { bytes }) => return Ok(Some(FollowEvent::Dropped { bytes })),
                Some(Outcome::Failed(failed)) => {
                    if let Some(error) = self.wait_after(failed)? {
                        return Ok(Some(FollowEvent::Waiting { error }));
                    }
                }
                Some(Outcome::Again) | None => {}
            }
            if self.stage == Stage::Over {
                return Ok(None);
            }
            self.requester.pause(std::mem::take(&mut self.pause));
            let outcome = self.ask();
            if !matches!(outcome, Outcome::Failed(_)) {
                self.backoff = Backoff::new(self.requester.policy);
                if self.peer.is_none() {
                    self.peer = self.requester.peer();
                }
                if std::mem::take(&mut self.is_waiting) {
                    self.held_back = Some(outcome);
                    let before = std::mem::replace(&mut self.peer, self.requester.peer());
                    let moved_to = self.peer.filter(|_| before.is_some() && before != self.peer);
                    return Ok(Some(FollowEvent::Resumed { moved_to }));
                }
            }
            next = Some(outcome);
        }
    }

    fn ask(&mut self) -> Outcome {
        let features = match self.features {
            Some(features) => features,
            None => {
                let hello = |hello: &Hello<'_>| FollowFeatures {
                    waits: hello.features.wait,
                    absolute: hello.features.absolute,
                };
                match self.requester.attempt(|connection| connection.hello(hello)) {
                    Ok(features) => *self.features.insert(features),
                    Err(failed) => return Outcome::Failed(failed),
                }
            }
        };
        match self.stage.clone() {
            Stage::Find(from) => self.find(from, features.absolute),
            Stage::Read => self.read(features),
            Stage::ReadReplaced(version) => self.read_replaced(&version, features.absolute),
            Stage::Over => Outcome::Again,
        }
    }

    fn find(&mut self, from: FollowFrom, absolute: bool) -> Outcome {
        match find(&mut self.requester, file_name(&self.name), absolute, from) {
            Ok(Some(start)) => {
                (self.window, self.end, self.stage) = (start.window, start.size, Stage::Read);
                self.end_if_complete();
            }
            Ok(None) => self.pause_longer(),
            Err(failed) => return Outcome::Failed(failed),
        }
        Outcome::Again
    }

    fn read(&mut self, features: FollowFeatures) -> Outcome {
        let rest = self.end.saturating_sub(self.window.position()).saturating_sub(self.unproved.len() as u64);
        let length = if self.options.follows { PIECE_LEN } else { rest.min(PIECE_LEN) };
        let is_certain = self.unproved.is_empty() && self.mismatches == 0 && !self.is_in_doubt;
        let waits = self.options.follows && features.waits && is_certain;
        let names_version = self.names_version || (waits && self.is_version_stable);
        let question = Question {
            name: file_name(&self.name),
            length,
            version: self.version.as_ref().filter(|_| names_version),
            wait_ms: if waits { wait_ms(self.requester.stall_timeout) } else { 0 },
            absolute: features.absolute,
        };
        let (begin, looks) = (Instant::now(), features.waits && self.is_in_doubt);
        let failed = match ask(&mut self.requester, question, &self.window, &self.unproved) {
            Ok((End::Verified(_), piece)) => {
                let outcome = self.proved(piece, true);
                if waits {
                    let is_new = matches!(outcome, Outcome::Bytes);
                    if is_new || begin.elapsed() >= SHORTEST_WAIT {
                        (self.pause, self.idle_pause) = (Duration::ZERO, SHORTEST_PAUSE);
                    }
                    // A server that waits may do so for a file whose name is gone, or may say so by waiting no longer.
                    self.is_in_doubt = !is_new;
                }
                if looks {
                    self.pause = Duration::ZERO;
                }
                return outcome;
            }
            // It grew meanwhile, or was rewritten: the next answer tells which.
            Ok((End::Changed { snapshot: Some(_) }, piece)) => return self.proved(piece, false),
            // The server has read its bytes twice. Now that it has changed a moment ago, it reads them once.
            Ok(_) => return self.again_soon(),
            Err(failed) => failed,
        };
        match failed.error {
            Error::Refused { code: Some(Code::Changed), .. } if self.names_version => self.is_replaced(),
            Error::Refused { code: Some(Code::Changed), .. } if names_version => {
                self.is_in_doubt = true;
                Outcome::Again
            }
            Error::Refused { code: Some(Code::Changed), .. } => self.again_soon(),
            Error::DigestMismatch | Error::Refused { code: Some(Code::BadRange), .. } if !self.unproved.is_empty() => {
                self.unproved.clear();
                Outcome::Again
            }
            Error::DigestMismatch => {
                self.mismatches = self.mismatches.saturating_add(1);
                if self.mismatches < MISMATCHES { Outcome::Again } else { self.is_replaced() }
            }
            ref error if is_range_error(error) => self.out_of_range(failed.first),
            _ => Outcome::Failed(failed),
        }
    }

    /// Takes a piece that continues what was there. Unless it is `whole`, only what came before it is proved by it.
    fn proved(&mut self, mut piece: Piece, is_whole: bool) -> Outcome {
        let received = piece.bytes.len() as u64;
        let position = self.window.position().saturating_add(self.unproved.len() as u64).saturating_add(received);
        let is_at_end = piece.header.as_ref().is_none_or(|header| position >= header.size);
        let version = piece.header.map(|header| header.version);
        if received > 0 && self.version.is_some() {
            self.is_version_stable = version == self.version;
        }
        (self.version, self.is_in_doubt) = (version, false);
        (self.has_begun, self.mismatches, self.names_version) = (true, 0, false);
        if is_whole {
            self.fresh = std::mem::take(&mut self.unproved);
            self.fresh.append(&mut piece.bytes);
        } else {
            self.fresh = std::mem::replace(&mut self.unproved, piece.bytes);
        }
        match (self.fresh.is_empty(), self.unproved.is_empty()) {
            (false, is_known) => {
                self.idle_pause = SHORTEST_PAUSE;
                if is_known && is_at_end {
                    self.pause = SHORTEST_PAUSE;
                }
                self.end_if_complete();
                Outcome::Bytes
            }
            (true, false) => Outcome::Again,
            (true, true) => {
                self.pause_longer();
                self.end_if_complete();
                Outcome::Again
            }
        }
    }

    /// What was asked for is not there: the file is shorter, or a log has dropped what is before `first`.
    fn out_of_range(&mut self, first: Option<u64>) -> Outcome {
        let Some(first) = first.filter(|first| *first > self.window.from()) else { return self.is_replaced() };
        // A log that began anew may have dropped as much.
        if self.version.is_some() && !std::mem::replace(&mut self.names_version, true) {
            return Outcome::Again;
        }
        let position = self.window.position();
        if first <= position {
            self.window.forget_before(first);
            return Outcome::Again;
        }
        self.window = Window::at(first);
        Outcome::Dropped { bytes: first.saturating_sub(position) }
    }

    /// The file is another one now.
    fn is_replaced(&mut self) -> Outcome {
        (self.mismatches, self.names_version) = (0, false);
        match self.version.take() {
            _ if !self.has_begun => {
                self.stage = Stage::Find(self.options.from);
                self.again_soon()
            }
            _ if !self.options.follows => Outcome::Failed(FailedAttempt::new(Error::Changed)),
            Some(version) => {
                self.stage = Stage::ReadReplaced(version);
                Outcome::Again
            }
            None => self.begin_anew(true),
        }
    }

    /// Reads on in the file that was there before.
    fn read_replaced(&mut self, version: &Version, absolute: bool) -> Outcome {
        let name = file_name(&self.name);
        let question = Question { name, length: PIECE_LEN, version: Some(version), wait_ms: 0, absolute };
        // From the last byte that is known on: where the server has kept the file, it answers with that one at least.
        let (window, last) = self.window.without_last();
        match ask(&mut self.requester, question, &window, &[]) {
            Ok((End::Verified(_), mut piece)) => {
                let known = last.is_some().into();
                if piece.bytes.get(..known) != Some(last.as_slice()) {
                    return self.begin_anew(true);
                }
                piece.bytes.drain(..known);
                if piece.bytes.is_empty() {
                    return self.go_on(piece.header.and_then(|header| header.next));
                }
                self.fresh = piece.bytes;
                Outcome::Bytes
            }
            Err(failed) if !matches!(failed.error, Error::Refused { .. } | Error::DigestMismatch) => {
                Outcome::Failed(failed)
            }
            // The server has not kept it, or not to its end: a restart closes it, and so does time.
            _ => self.begin_anew(true),
        }
    }

    /// Goes on with the file that got the name of one that was read to its end. Where the server does not know it, others may have
    /// had the name in between.
    fn go_on(&mut self, next: Option<Version>) -> Outcome {
        let outcome = self.begin_anew(next.is_none());
        self.names_version = next.is_some();
        self.version = next;
        outcome
    }

    fn begin_anew(&mut self, may_have_had_more: bool) -> Outcome {
        let known_to = may_have_had_more.then_some(self.window.position());
        (self.window, self.stage) = (Window::at(0), Stage::Read);
        (self.is_version_stable, self.is_in_doubt) = (true, false);
        Outcome::BeginsAnew { known_to }
    }

    /// Prepares for another request; returns the error where it is the first one of several.
    fn wait_after(&mut self, failed: FailedAttempt) -> Result<Option<Error>, Error> {
        let code = match &failed.error {
            Error::Refused { code, .. } => Some(*code),
            _ => None,
        };
        match code {
            // What is refused now may be allowed later, and a file come back; but not what was never right.
            Some(code) if self.options.follows && (self.has_begun || code == Some(Code::NotFound)) => {
                if matches!(self.stage, Stage::Find(_)) {
                    self.stage = Stage::Find(FollowFrom::Beginning);
                }
                self.pause_longer();
            }
            None if failed.error.is_temporary() || self.may_be_another(&failed.error) => {
                let Some(pause) = self.backoff.next_pause(&failed, false) else { return Err(failed.error) };
                if !failed.error.is_busy() {
                    // Another host may have its address, and answer there.
                    self.requester.lose();
                }
                // The connection was an old one.
                if pause.is_zero() {
                    return Ok(None);
                }
                // Another one may answer next.
                self.features = None;
                self.pause = if failed.retry_ms.is_none() { pause.min(LONGEST_OUTAGE_PAUSE) } else { pause };
            }
            _ => return Err(failed.error),
        }
        let is_first = !std::mem::replace(&mut self.is_waiting, true);
        Ok(Some(failed.error).filter(|_| is_first))
    }

    /// Whether another host may have the address of this one, which is elsewhere or not back yet.
    fn may_be_another(&self, error: &Error) -> bool {
        self.has_begun && self.options.follows && self.requester.locator.is_some() && error.is_of_another_server()
    }

    fn again_soon(&mut self) -> Outcome {
        self.pause = SHORTEST_PAUSE;
        Outcome::Again
    }

    fn pause_longer(&mut self) {
        self.pause = self.idle_pause;
        self.idle_pause = self.idle_pause.saturating_mul(3).div_f32(2.0).min(LONGEST_PAUSE);
    }

    fn end_if_complete(&mut self) {
        let position = self.window.position().saturating_add(self.fresh.len() as u64);
        if !self.options.follows && position >= self.end {
            self.stage = Stage::Over;
        }
    }
}

/// How long the server is asked to wait: at most half of the time after which it would be given up, unless heartbeats come
/// before that.
fn wait_ms(stall_timeout: Option<Duration>) -> u64 {
    match stall_timeout.filter(|timeout| *timeout < HEARTBEATS) {
        Some(timeout) => u64::try_from(timeout.as_millis()).unwrap_or(WAIT_MS) / 2,
        None => WAIT_MS,
    }
}

/// The name that was checked when following began.
fn file_name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("it was a file name before")
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, position) = (&self.requester.address, self.window.position());
        f.debug_struct("Follower")
            .field("address", address)
            .field("name", &self.name)
            .field("position", &position)
            .finish()
    }
}
