//! Sends requests ahead, and receives the answers in their order.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use coracle_core::Failure;
use coracle_core::blocking::ClientError;

use super::link::{Link, MAX_LEN};
use super::work::{Concluded, Received, Work};
use super::{MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, MAX_REQUESTS, RequestQueue};
use crate::client::attempt::FailedAttempt;
use crate::client::error::Error;
use crate::client::requester::Requester;

/// By what the number of requests ahead grows with each answer on a new connection: a server that has no place for it, or
/// closes early, has been asked little by then.
const GROWTH: usize = 8;

/// A request that was sent, or is being sent.
struct Asked<W> {
    work: W,
    len: usize,
    /// The position behind it in all that is sent on the connection.
    end: u64,
}

/// A request of which the next attempt is made with nothing sent ahead.
struct PutOff<W> {
    work: W,
    pause: Duration,
    /// The attempt that was made.
    failed: Option<FailedAttempt>,
}

impl<W> PutOff<W> {
    /// One of which no attempt was made.
    const fn new(work: W) -> Self {
        Self { work, pause: Duration::ZERO, failed: None }
    }
}

type WorkOf<Q> = Work<<Q as RequestQueue>::Tag, <Q as RequestQueue>::Progress>;

/// Each request is first asked here. One that needs another attempt, or cannot be sent ahead, is put off until nothing is
/// under way, and then made as if it were the only one: so its retries are those of [`Requester`] and of a single fetch.
/// Requests without an answer on a connection that ends are asked again on the next one.
pub struct Engine<'a, Q: RequestQueue> {
    requester: &'a mut Requester,
    queue: &'a mut Q,
    link: Option<Link>,
    /// Asked on `link`, the next to be answered first.
    asked: VecDeque<Asked<WorkOf<Q>>>,
    /// To be asked next, the first first.
    waiting: VecDeque<WorkOf<Q>>,
    put_off: VecDeque<PutOff<WorkOf<Q>>>,
    /// How many requests may be under way now, and ever.
    window: usize,
    max_window: usize,
}

impl<'a, Q: RequestQueue> Engine<'a, Q> {
    pub fn new(requester: &'a mut Requester, queue: &'a mut Q) -> Self {
        Self {
            requester,
            queue,
            link: None,
            asked: VecDeque::new(),
            waiting: VecDeque::new(),
            put_off: VecDeque::new(),
            window: 1,
            max_window: MAX_REQUESTS,
        }
    }

    /// Runs until the queue has no more requests, or wants none to be made. Returns the tags of those that are not done.
    pub fn run(mut self) -> Vec<Q::Tag> {
        while self.step().is_continue() {}
        if let Some(link) = self.link.filter(|_| self.asked.is_empty()) {
            self.requester.keep_connection(link.connection);
        }
        let asked = self.asked.into_iter().map(|asked| asked.work);
        let put_off = self.put_off.into_iter().map(|put_off| put_off.work);
        asked.chain(put_off).chain(self.waiting).map(|work| work.tag).collect()
    }

    fn step(&mut self) -> ControlFlow<()> {
        if self.asked.is_empty()
            && let Some(put_off) = self.put_off.pop_front()
        {
            return self.run_alone(put_off);
        }
        self.fill()?;
        if self.asked.is_empty() && self.waiting.is_empty() {
            return if self.put_off.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        if let Err(failed) = self.send() {
            let Some(work) = self.waiting.pop_front() else { return ControlFlow::Continue(()) };
            return self.conclude(work, Err(failed));
        }
        match self.asked.pop_front() {
            Some(front) => self.receive(front),
            None => ControlFlow::Continue(()),
        }
    }

    /// Takes requests from the queue.
    fn fill(&mut self) -> ControlFlow<()> {
        // Some at a time, so that they are sent by one call.
        let enough = self.window - self.window / 4;
        if self.asked.len() + self.waiting.len() > enough {
            return ControlFlow::Continue(());
        }
        let asked = self.asked.iter().map(|asked| &asked.work);
        let mut answer_bytes = asked.chain(&self.waiting).fold(0_u64, |sum, work| sum.saturating_add(work.answer_len));
        while self.put_off.is_empty() && answer_bytes < MAX_ANSWER_BYTES {
            let pending = self.asked.len() + self.waiting.len();
            if pending >= self.window {
                break;
            }
            let Some((tag, request)) = self.queue.next(pending) else { break };
            match Work::new(self.requester, tag, request) {
                Ok(work) if work.reads_back() => self.put_off.push_back(PutOff::new(work)),
                Ok(work) => {
                    answer_bytes = answer_bytes.saturating_add(work.answer_len);
                    self.waiting.push_back(work);
                }
                Err((tag, error)) => self.queue.done(tag, Err(error))?,
            }
        }
        ControlFlow::Continue(())
    }

    /// Sends requests, as far as there is room for them now. An error is the outcome of the first one that waits.
    fn send(&mut self) -> Result<(), FailedAttempt> {
        let link = match &mut self.link {
            Some(link) => link,
            none => {
                let (connection, was_used) = match self.requester.take_connection() {
                    Some(connection) => (connection, true),
                    None => (self.requester.connect_idle()?, false),
                };
                none.insert(Link::new(connection, was_used))
            }
        };
        let mut request_bytes: usize = self.asked.iter().map(|asked| asked.len).sum();
        while self.asked.len() < self.window
            && request_bytes <= MAX_REQUEST_BYTES - MAX_LEN
            && self.put_off.is_empty()
            && let Some(work) = self.waiting.pop_front()
        {
            match link.push(&work.request()) {
                Ok(len) => {
                    request_bytes += len;
                    self.asked.push_back(Asked { work, len, end: link.end() });
                }
                // Its name is too long for a server that has not told its limit, for example.
                Err(_) => self.put_off.push_back(PutOff::new(work)),
            }
        }
        link.send();
        Ok(())
    }

    /// Receives the answer to the request that was asked first.
    fn receive(&mut self, front: Asked<WorkOf<Q>>) -> ControlFlow<()> {
        let Asked { mut work, end, .. } = front;
        let Some(link) = &mut self.link else { return ControlFlow::Continue(()) };
        let sent = link.send_until(end, self.requester.stall_timeout);
        let received = match sent {
            Ok(()) => work.receive(self.queue, &mut link.connection),
            Err(failure) => Err(ClientError::Failed(failure)),
        };
        let was_used = link.was_used;
        let outcome = received.map_err(|error| self.requester.failed(error, &mut link.connection, was_used));
        link.was_used = true;
        if sent.is_ok() && link.connection.is_idle() {
            self.window = (self.window * GROWTH).min(self.max_window);
        } else {
            let is_stalled = matches!(
                &outcome,
                Err(FailedAttempt { error: Error::Connection { failure: Failure::Stalled, .. }, .. })
            );
            self.lose_link(is_stalled);
        }
        self.conclude(work, outcome)
    }

    /// Asks what was sent ahead again, later.
    fn lose_link(&mut self, is_stalled: bool) {
        if is_stalled && !self.asked.is_empty() {
            // It may be a server that drops what arrives behind a request.
            self.max_window = 1;
        }
        self.link = None;
        self.window = 1;
        while let Some(asked) = self.asked.pop_back() {
            self.waiting.push_front(asked.work);
        }
    }

    fn conclude(&mut self, work: WorkOf<Q>, outcome: Result<Received, FailedAttempt>) -> ControlFlow<()> {
        match work.conclude(outcome, self.requester.policy) {
            Concluded::Done(tag, outcome) => self.queue.done(tag, outcome),
            Concluded::Again(work, pause, failed) => {
                self.put_off.push_back(PutOff { work, pause, failed });
                ControlFlow::Continue(())
            }
        }
    }

    fn run_alone(&mut self, put_off: PutOff<WorkOf<Q>>) -> ControlFlow<()> {
        if let Some(link) = self.link.take() {
            self.requester.keep_connection(link.connection);
        }
        self.requester.pause(put_off.pause);
        let (tag, outcome) = put_off.work.run_alone(self.requester, self.queue, put_off.failed);
        self.queue.done(tag, outcome)
    }
}
