//! The client's part of a transcript, and the time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use coracle_core::{Close, Instant};
use coracle_embassy::Clock;

use super::document::{Change, Step};
use super::output::Output;
use super::settings::Pieces;

/// A clock that is set.
pub struct VirtualClock {
    pub ms: Rc<Cell<u64>>,
    /// The earliest time that is awaited.
    next: Cell<Option<u64>>,
}

impl VirtualClock {
    pub fn new(ms: Rc<Cell<u64>>) -> Self {
        Self { ms, next: Cell::new(None) }
    }

    /// Forgets what is awaited, before everything is polled again.
    pub fn forget(&self) {
        self.next.set(None);
    }

    /// Lets at most `millis` pass, up to the earliest time that is awaited. Returns how many have passed.
    fn pass(&self, millis: u64) -> u64 {
        let now = self.ms.get();
        let passes = self.next.get().map_or(millis, |next| millis.min(next.saturating_sub(now)));
        self.ms.set(now + passes);
        passes
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.ms.get())
    }

    async fn sleep_until(&self, when: Instant) {
        poll_fn(|_| {
            if self.now() >= when {
                return Poll::Ready(());
            }
            let next = self.next.get().map_or(when.as_millis(), |next| next.min(when.as_millis()));
            self.next.set(Some(next));
            Poll::Pending
        })
        .await;
    }
}

pub struct Script<'a> {
    steps: std::iter::Peekable<std::slice::Iter<'a, Step>>,
    /// The rest of the current wait.
    wait_ms: u64,
    /// Sent by the client and not received.
    pub input: Vec<u8>,
    pub eof: bool,
    /// The client takes no bytes.
    pub unread: bool,
    pub output: Output<'a>,
    pub pieces: Pieces,
    pub is_stopping: bool,
    pub is_revoked: bool,
    /// The store's.
    changes: Rc<RefCell<VecDeque<Change>>>,
    /// Whether one came since a file was last looked up.
    pub has_changed: bool,
}

impl<'a> Script<'a> {
    pub fn new(steps: &'a [Step], output: Output<'a>, pieces: Pieces, changes: Rc<RefCell<VecDeque<Change>>>) -> Self {
        Self {
            steps: steps.iter().peekable(),
            wait_ms: 0,
            input: Vec::new(),
            eof: false,
            unread: false,
            output,
            pieces,
            is_stopping: false,
            is_revoked: false,
            changes,
            has_changed: false,
        }
    }

    /// How many steps are left.
    pub fn left(&self) -> usize {
        self.steps.len()
    }

    /// Goes on while the server waits.
    ///
    /// # Errors
    ///
    /// How the server differs from the transcript.
    pub fn advance(&mut self, clock: &VirtualClock) -> Result<(), String> {
        if self.wait_ms > 0 {
            self.wait_ms -= clock.pass(self.wait_ms);
            return Ok(());
        }
        let Some(step) = self.steps.peek() else {
            // It is to end with its input.
            return if std::mem::replace(&mut self.eof, true) { Err("the server goes on".into()) } else { Ok(()) };
        };
        match step {
            Step::Send(bytes) => self.input.extend_from_slice(bytes),
            Step::Eof => self.eof = true,
            Step::Unread => self.unread = true,
            Step::Read => self.unread = false,
            Step::Wait(millis) => {
                self.output.rest()?;
                self.wait_ms = *millis;
            }
            Step::Stop => self.is_stopping = true,
            Step::Revoke => self.is_revoked = true,
            Step::Change(change) => {
                self.changes.borrow_mut().push_back(change.clone());
                self.has_changed = true;
            }
            Step::Line(_) | Step::Bytes(_) | Step::Message(_) | Step::Slice { .. } => self.output.expect(step)?,
            Step::Displace => return Err("not by this owner".into()),
            Step::Close | Step::Abort => return Err("the server does not close".into()),
        }
        self.steps.next();
        Ok(())
    }

    /// Compares the rest, after the server has closed.
    ///
    /// # Errors
    ///
    /// How the server differs from the transcript.
    pub fn end(&mut self, close: Close) -> Result<(), String> {
        loop {
            match self.steps.peek() {
                Some(step @ (Step::Line(_) | Step::Bytes(_) | Step::Message(_) | Step::Slice { .. })) => {
                    self.output.expect(step)?
                }
                Some(step @ (Step::Close | Step::Abort)) => {
                    return self.output.expect_close(step, close, self.eof, !self.input.is_empty());
                }
                // What the client sends after that is lost.
                Some(Step::Send(_)) => {}
                Some(Step::Eof) => self.eof = true,
                Some(step) => return Err(format!("closed before {step:?}")),
                None => return self.output.rest(),
            }
            self.steps.next();
        }
    }
}
