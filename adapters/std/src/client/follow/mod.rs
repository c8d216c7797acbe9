//! Follows a file that grows, as `tail -F` does.
//!
//! Each request asks for what stands behind the bytes that are there already, with a digest that covers the last 4 KiB of
//! them too: a right digest proves that the new bytes continue the old ones. A wrong one, or a file that is shorter than
//! what is there, is another file of the same name, and is followed from its beginning.

mod piece;
mod start;

use std::fmt;
use std::time::Duration;

use coracle_core::{Code, End, FileName, Version};

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
/// Wrong digests in a row that mean another file. The first may be an error of the transmission.
const MISMATCHES: u32 = 2;

/// What a [`Follower`] yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowEvent<'a> {
    /// The next bytes of the file, at most 512 KiB. They were verified, and each comes once.
    Bytes(&'a [u8]),
    /// The file was truncated, replaced or rewritten: its bytes come from the first one on.
    BeginsAnew {
        /// How much of the old file was yielded, in bytes from its beginning, where it is not known whether it had more;
        /// `None` where it was read to its end.
        known_to: Option<u64>,
    },
    /// The server cannot be reached, has no place, or does not have the file: it is asked again, for as long as it takes.
    /// Comes once before a [`FollowEvent::Resumed`].
    Waiting {
        /// Why.
        error: Error,
    },
    /// The server has answered again.
    Resumed,
}

/// What a [`Follower`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowOptions {
    from: FollowFrom,
    follows: bool,
}

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
/// It keeps one connection, and at most 1 MiB: while nobody calls [`Follower::next_event`], nothing is asked for.
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
    /// Answers with a wrong digest since the last right one.
    mismatches: u32,
    /// Where to end, without following.
    end: u64,
    backoff: Backoff,
    /// Whether the file has answered, so that all that comes is to be yielded.
    has_begun: bool,
    /// Whether a [`FollowEvent::Waiting`] was the last word on the server.
    is_waiting: bool,
    /// What came with the answer that ended it.
    held_back: Option<Outcome>,
    /// Before the next request.
    pause: Duration,
    /// After the last answer with nothing new.
    idle_pause: Duration,
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
    Failed(FailedAttempt),
}

impl FollowOptions {
    /// The last 10 lines, and what is appended.
    #[must_use]
    pub const fn new() -> Self {
        Self { from: FollowFrom::Lines(10), follows: true }
    }

    /// Sets where to begin. Default: 10 lines before the end. A file that is not there at first is followed from its beginning.
    #[must_use]
    pub const fn with_from(self, from: FollowFrom) -> Self {
        Self { from, ..self }
    }

    /// Sets whether what is appended is waited for; otherwise all ends with the last byte that the file had at first, and with
    /// the retries of the client. Default: true.
    #[must_use]
    pub const fn with_following(self, follows: bool) -> Self {
        Self { follows, ..self }
    }
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// Follows the file `name`. Asks for nothing before the first [`Follower::next_event`].
    #[must_use]
    pub fn follow(self, name: FileName<'_>, options: FollowOptions) -> Follower {
        let mut requester = self.requester;
        if options.follows {
            let patience = requester.policy.patience;
            requester.policy =
                RetryPolicy { retries: u32::MAX, busy_patience: patience, patience, waits_when_busy: true };
        }
        Follower {
            name: name.as_str().to_owned(),
            options,
            stage: Stage::Find(options.from),
            window: Window::at(0),
            version: None,
            fresh: Vec::new(),
            unproved: Vec::new(),
            mismatches: 0,
            end: 0,
            backoff: Backoff::new(requester.policy),
            has_begun: false,
            is_waiting: false,
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
                if std::mem::take(&mut self.is_waiting) {
                    self.held_back = Some(outcome);
                    return Ok(Some(FollowEvent::Resumed));
                }
            }
            next = Some(outcome);
        }
    }

    fn ask(&mut self) -> Outcome {
        match self.stage.clone() {
            Stage::Find(from) => self.find(from),
            Stage::Read => self.read(),
            Stage::ReadReplaced(version) => self.read_replaced(&version),
            Stage::Over => Outcome::Again,
        }
    }

    fn find(&mut self, from: FollowFrom) -> Outcome {
        match find(&mut self.requester, file_name(&self.name), from) {
            Ok(Some(start)) => {
                (self.window, self.end, self.stage) = (start.window, start.size, Stage::Read);
                self.end_if_complete();
            }
            Ok(None) => self.pause_longer(),
            Err(failed) => return Outcome::Failed(failed),
        }
        Outcome::Again
    }

    fn read(&mut self) -> Outcome {
        let rest = self.end.saturating_sub(self.window.position()).saturating_sub(self.unproved.len() as u64);
        let length = if self.options.follows { PIECE_LEN } else { rest.min(PIECE_LEN) };
        let question = Question { name: file_name(&self.name), length, version: None };
        let failed = match ask(&mut self.requester, question, &self.window, &self.unproved) {
            Ok((End::Verified(_), piece)) => return self.proved(piece, true),
            // It grew meanwhile, or was rewritten: the next answer tells which.
            Ok((End::Changed { snapshot: Some(_) }, piece)) => return self.proved(piece, false),
            // The server has read its bytes twice. Now that it has changed a moment ago, it reads them once.
            Ok(_) => return self.again_soon(),
            Err(failed) => failed,
        };
        match failed.error {
            Error::Refused { code: Some(Code::Changed), .. } => self.again_soon(),
            Error::DigestMismatch | Error::Refused { code: Some(Code::BadRange), .. } if !self.unproved.is_empty() => {
                self.unproved.clear();
                Outcome::Again
            }
            Error::DigestMismatch => {
                self.mismatches = self.mismatches.saturating_add(1);
                if self.mismatches < MISMATCHES { Outcome::Again } else { self.is_replaced() }
            }
            ref error if is_range_error(error) => self.is_replaced(),
            _ => Outcome::Failed(failed),
        }
    }

    /// Takes a piece that continues what was there. Unless it is `whole`, only what came before it is proved by it.
    fn proved(&mut self, mut piece: Piece, is_whole: bool) -> Outcome {
        let received = piece.bytes.len() as u64;
        let position = self.window.position().saturating_add(self.unproved.len() as u64).saturating_add(received);
        let is_at_end = piece.header.as_ref().is_none_or(|header| position >= header.size);
        self.version = piece.header.map(|header| header.version);
        (self.has_begun, self.mismatches) = (true, 0);
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

    /// The file is another one now.
    fn is_replaced(&mut self) -> Outcome {
        self.mismatches = 0;
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
    fn read_replaced(&mut self, version: &Version) -> Outcome {
        let question = Question { name: file_name(&self.name), length: PIECE_LEN, version: Some(version) };
        match ask(&mut self.requester, question, &self.window, &[]) {
            Ok((End::Verified(_), piece)) if piece.bytes.is_empty() => self.begin_anew(false),
            Ok((End::Verified(_), piece)) => {
                self.fresh = piece.bytes;
                Outcome::Bytes
            }
            Err(failed) if !matches!(failed.error, Error::Refused { .. } | Error::DigestMismatch) => {
                Outcome::Failed(failed)
            }
            _ => self.begin_anew(true),
        }
    }

    fn begin_anew(&mut self, may_have_had_more: bool) -> Outcome {
        let known_to = may_have_had_more.then_some(self.window.position());
        (self.window, self.stage) = (Window::at(0), Stage::Read);
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
            None if failed.error.is_temporary() => {
                let Some(pause) = self.backoff.next_pause(&failed, false) else { return Err(failed.error) };
                // The connection was an old one.
                if pause.is_zero() {
                    return Ok(None);
                }
                self.pause = if failed.retry_ms.is_none() { pause.min(LONGEST_OUTAGE_PAUSE) } else { pause };
            }
            _ => return Err(failed.error),
        }
        let is_first = !std::mem::replace(&mut self.is_waiting, true);
        Ok(Some(failed.error).filter(|_| is_first))
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
