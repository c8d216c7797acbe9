//! One live connection: its session and the open file.

#[cfg(feature = "manage")]
use coracle_core::Request;
use coracle_core::exec::StoreExchange;
use coracle_core::{Action, Close, CloseHow, CloseReason, Instant, Reply, ServerSession, Store};
#[cfg(feature = "write")]
use coracle_core::{ServerEvent, WriteError};
use smoltcp::socket::tcp;

use crate::access::ServerAccess;
use crate::link::Link;
use crate::observer::{DisconnectReason, Observer};
use crate::received::Received;

/// Maximum number of actions for one connection in a poll, so that one connection does not delay the others.
const ACTIONS_A_POLL: usize = 16;
/// How long the end of the channel may wait for room behind what is on its way.
#[cfg(feature = "channel")]
const FINISH_MS: u64 = 10_000;
/// Number of bytes read at a time for a digest of bytes that are not sent.
const HASH_LEN: usize = 256;

pub(crate) struct Connection<'c, S: Store, A: ServerAccess<S>, const BUF: usize> {
    session: ServerSession<'c, [u8; BUF]>,
    link: Link,
    /// How the connection ends once the end of the channel has left, and until when that is tried.
    #[cfg(feature = "channel")]
    ending: Option<(Close, Instant)>,
    connected: Instant,
    exchange: StoreExchange<S, A>,
    exchanges: u32,
    has_asked: bool,
    /// Since when it waits for its file to change.
    #[cfg(feature = "wait")]
    waiting_since: Option<Instant>,
    /// Nothing is looked up for it, since it has no place of its own yet.
    #[cfg(feature = "wait")]
    is_held: bool,
}

/// Result of a poll.
pub(crate) enum PollOutcome {
    /// Nothing to do until bytes can be transferred, or until this time.
    Waiting(Option<Instant>),
    /// More can be done immediately.
    Busy,
    Over(Close),
}

/// Result of one action.
enum Step {
    Done,
    /// The store has worked, perhaps for as long as it takes to erase a sector: the others' turn.
    #[cfg(feature = "write")]
    Worked,
    Blocked,
    Over(Close),
}

/// What a poll works with.
struct Owner<'p, 's, S, O> {
    slot: usize,
    socket: &'p mut tcp::Socket<'s>,
    store: &'p mut S,
    observer: &'p mut O,
    now: Instant,
}

impl<'c, S: Store, A: ServerAccess<S>, const BUF: usize> Connection<'c, S, A, BUF> {
    // Inlined, so that it is built once where it is moved from.
    #[inline(always)]
    pub(crate) fn new(session: ServerSession<'c, [u8; BUF]>, now: Instant) -> Self {
        Self {
            session,
            link: Link::plain(),
            #[cfg(feature = "channel")]
            ending: None,
            connected: now,
            exchange: A::exchange(),
            exchanges: 0,
            has_asked: false,
            #[cfg(feature = "wait")]
            waiting_since: None,
            #[cfg(feature = "wait")]
            is_held: false,
        }
    }

    /// What is between session and socket.
    #[cfg(feature = "channel")]
    pub(crate) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Whether there is a channel.
    #[cfg(feature = "channel")]
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.link.is_encrypted()
    }

    /// Why the client is disconnected, where the connection ends like this.
    pub(crate) fn disconnect_reason(&mut self, close: Close) -> DisconnectReason {
        #[cfg(feature = "channel")]
        if let Some(error) = self.link.records().and_then(|records| records.failure()) {
            return DisconnectReason::Record(error);
        }
        DisconnectReason::Closed(close)
    }

    /// Ends the exchange, at the end of the connection.
    pub(crate) fn end(&mut self, store: &mut S) {
        #[cfg(feature = "write")]
        self.exchange.end(store);
        #[cfg(not(feature = "write"))]
        {
            let _: &mut S = store;
            self.exchange.close();
        }
    }

    /// When the client connected, if it has made no request since.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        (!self.has_asked).then_some(self.connected)
    }

    #[cfg(feature = "wait")]
    pub(crate) fn look_again(&mut self, now: Instant) {
        self.session.look_again(now);
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        self.session.stop(now);
    }

    /// Since when it waits for its file to change, if it does.
    #[cfg(feature = "wait")]
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since.filter(|_| matches!(self.session.action(), Action::Watch { .. }))
    }

    /// Ends the wait, and the connection, in favour of another client.
    #[cfg(feature = "wait")]
    pub(crate) fn give_way(&mut self, now: Instant) {
        self.session.give_way(now);
    }

    /// Answers `hello` only from now on, or everything again: a client without a place of its own is held.
    #[cfg(feature = "wait")]
    pub(crate) const fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Whether it answers `hello` only.
    pub(crate) const fn is_held(&self) -> bool {
        #[cfg(feature = "wait")]
        return self.is_held;
        #[cfg(not(feature = "wait"))]
        false
    }

    /// Whether the client has asked for what has to be looked up.
    #[cfg(feature = "wait")]
    pub(crate) fn has_request(&self) -> bool {
        !matches!(self.session.action(), Action::Receive | Action::SendBytes { .. } | Action::Close(_))
    }

    /// Replaces the session by `refusing`; returns false where a part of a line has left.
    #[cfg(feature = "wait")]
    pub(crate) fn refuse(&mut self, refusing: ServerSession<'c, [u8; BUF]>) -> bool {
        let is_between_lines = !matches!(self.session.action(), Action::SendBytes { .. });
        if is_between_lines {
            (self.session, self.exchanges, self.is_held) = (refusing, 0, false);
        }
        is_between_lines
    }

    /// When the client connected.
    #[cfg(feature = "wait")]
    pub(crate) const fn connected(&self) -> Instant {
        self.connected
    }

    /// Performs the session's actions as far as the socket allows.
    pub(crate) fn poll(
        &mut self,
        slot: usize,
        socket: &mut tcp::Socket<'_>,
        store: &mut S,
        observer: &mut impl Observer,
        now: Instant,
    ) -> PollOutcome {
        if !socket.is_open() {
            // Reset by the peer, or the interface has lost its address.
            self.session.send_failed();
        }
        #[cfg(feature = "channel")]
        if let Some((close, until)) = self.ending {
            return self.finish_channel(socket, close, until, now);
        }
        let mut owner = Owner { slot, socket, store, observer, now };
        for _ in 0..ACTIONS_A_POLL {
            let step = self.step(&mut owner);
            self.note_exchange(&mut owner);
            match step {
                Step::Done => {}
                #[cfg(feature = "write")]
                Step::Worked => return PollOutcome::Busy,
                #[cfg(feature = "channel")]
                Step::Over(close) => return self.finish_channel(owner.socket, close, now.after(FINISH_MS), now),
                #[cfg(not(feature = "channel"))]
                Step::Over(close) => return PollOutcome::Over(close),
                Step::Blocked => match self.session.deadline() {
                    Some((when, _)) if when <= now => self.session.handle_timeout(now),
                    deadline => return PollOutcome::Waiting(deadline.map(|(when, _)| when)),
                },
            }
        }
        PollOutcome::Busy
    }

    fn step(&mut self, owner: &mut Owner<'_, '_, S, impl Observer>) -> Step {
        let now = owner.now;
        #[cfg(feature = "wait")]
        if self.is_held && self.has_request() {
            return Step::Blocked;
        }
        let action = self.session.action();
        self.has_asked |= !matches!(action, Action::Receive | Action::Close(_));
        match action {
            Action::Receive => {
                self.session.set_time(owner.store.unix_time());
                return self.receive(owner);
            }
            #[cfg(feature = "rights")]
            Action::Permit(demand) => {
                let permit = owner.observer.permit(owner.slot, &demand);
                self.exchange.permit(&permit);
                self.session.permit(permit, now);
            }
            Action::Reply(_) => self.reply(owner),
            Action::Entry => self.session.entry(self.exchange.entry(owner.store), now),
            Action::SendBytes { bytes, .. } => match self.link.send_slice(owner.socket, bytes) {
                Ok(0) => return Step::Blocked,
                Ok(len) => self.session.sent(len, now),
                Err(tcp::SendError::InvalidState) => self.session.send_failed(),
            },
            Action::SendFile { offset, len, hash, .. } => {
                let (exchange, store) = (&mut self.exchange, &mut *owner.store);
                let sent = self.link.send(owner.socket, len, |place| match exchange.read(store, offset, place, hash) {
                    Ok(read) => (read, Some(read)),
                    Err(_) => (0, None),
                });
                match sent {
                    Ok(None) => return Step::Blocked,
                    Ok(Some(Some(sent))) => {
                        self.session.sent(sent, now);
                        owner.observer.body(owner.slot, sent);
                    }
                    Ok(Some(None)) => self.session.file_fault(now),
                    Err(tcp::SendError::InvalidState) => self.session.send_failed(),
                }
            }
            Action::Hash { offset, len } => self.hash(owner.store, offset, len, now),
            Action::Finish { from, to } => self.finish(owner.store, from, to, now),
            #[cfg(feature = "write")]
            Action::Commit(_) => {
                self.commit(owner);
                return Step::Worked;
            }
            #[cfg(feature = "write")]
            Action::Wait => return self.receive(owner),
            // A file that is not read needs no handle.
            #[cfg(feature = "wait")]
            Action::Watch { .. } => {
                self.waiting_since.get_or_insert(now);
                self.exchange.close();
                return Step::Blocked;
            }
            Action::Close(close) => return Step::Over(close),
            // An action of a newer core that this version does not know.
            _ => return Step::Over(Close::new(CloseHow::Abort, CloseReason::Broken)),
        }
        Step::Done
    }

    /// Sends the end of the channel, where there is one, before the connection ends.
    #[cfg(feature = "channel")]
    fn finish_channel(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        close: Close,
        until: Instant,
        now: Instant,
    ) -> PollOutcome {
        let is_done = close.how == CloseHow::Abort
            || !socket.is_open()
            || self.link.records().is_none_or(|records| records.finish(socket));
        if is_done {
            return PollOutcome::Over(close);
        }
        if now >= until {
            return PollOutcome::Over(Close::new(CloseHow::Abort, CloseReason::Stalled));
        }
        self.ending = Some((close, until));
        PollOutcome::Waiting(Some(until))
    }

    fn note_exchange(&mut self, owner: &mut Owner<'_, '_, S, impl Observer>) {
        let exchanges = self.session.exchanges();
        if exchanges != self.exchanges {
            self.exchanges = exchanges;
            #[cfg(feature = "wait")]
            {
                self.waiting_since = None;
            }
            self.end(owner.store);
            if self.is_held() {
                return;
            }
            owner.observer.exchange(owner.slot, &self.session.last_exchange());
        }
    }

    fn receive(&mut self, owner: &mut Owner<'_, '_, S, impl Observer>) -> Step {
        let Owner { slot, socket, store, observer, now } = owner;
        let (slot, now) = (*slot, *now);
        let (session, exchange) = (&mut self.session, &mut self.exchange);
        let received = self.link.receive(socket, |bytes| {
            let (taken, event) = session.receive(bytes, now);
            #[cfg(feature = "write")]
            if let Some(ServerEvent::Body { offset, bytes }) = event {
                let written = write_body(exchange, store, offset, bytes, now);
                match written {
                    Ok(len) => session.stored(len, now),
                    Err(error) => session.store_failed(error, now),
                }
                let stored = written.unwrap_or(0);
                return (taken + stored, (taken, Some(stored)));
            }
            // Without `write` there is no other event than a request.
            let (_, _, _) = (event, &exchange, &store);
            (taken, (taken, None::<usize>))
        });
        match received {
            #[cfg(feature = "write")]
            Received::Some((_, Some(stored))) => {
                observer.body(slot, stored);
                return Step::Worked;
            }
            Received::Some((0, None)) | Received::Nothing => return Step::Blocked,
            Received::Some(_) => {
                let (_, _) = (slot, observer);
            }
            Received::End => self.session.receive_eof(now),
            Received::Failed => self.session.send_failed(),
        }
        Step::Done
    }

    // Out of line, as `hash` and `finish`: their large frames are not to be beneath the other actions, some of which go deep.
    #[inline(never)]
    fn reply(&mut self, owner: &mut Owner<'_, '_, S, impl Observer>) {
        let Owner { slot, store, observer, now, .. } = owner;
        let (slot, now) = (*slot, *now);
        let Action::Reply(request) = self.session.action() else { return };
        observer.request(slot, &request);
        #[cfg(not(feature = "write"))]
        let reply = self.exchange.open(store, &request);
        #[cfg(feature = "write")]
        let reply = match request {
            #[cfg(feature = "manage")]
            Request::Do { action } => match observer.perform(slot, action) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refuse(error.code()),
            },
            _ => self.exchange.answer(store, &request, now),
        };
        match &reply {
            Reply::File { info, .. } => observer.opened(slot, info),
            #[cfg(feature = "write")]
            Reply::Stored { info } => observer.stored(slot, info),
            _ => {}
        }
        self.session.reply(reply, now);
    }

    #[inline(never)]
    fn hash(&mut self, store: &mut S, offset: u64, len: usize, now: Instant) {
        let mut buf = [0; HASH_LEN];
        let slot = buf.get_mut(..len.min(HASH_LEN)).unwrap_or_default();
        #[cfg(not(feature = "write"))]
        match self.exchange.read(store, offset, slot, true) {
            Ok(read) => self.session.hashed(read, now),
            Err(_) => self.finish(store, offset, offset, now),
        }
        #[cfg(feature = "write")]
        match self.exchange.hash(store, offset, slot, now) {
            Ok(read) => self.session.hashed(read, now),
            Err(error) if self.exchange.is_upload() => self.session.store_failed(error, now),
            Err(_) => self.finish(store, offset, offset, now),
        }
    }

    #[cfg(feature = "write")]
    #[inline(never)]
    fn commit(&mut self, owner: &mut Owner<'_, '_, S, impl Observer>) {
        let Action::Commit(put) = self.session.action() else { return };
        let reply = self.exchange.commit(owner.store, &put, owner.now);
        if let Reply::Stored { info } = &reply {
            owner.observer.stored(owner.slot, info);
        }
        self.session.reply(reply, owner.now);
    }

    #[inline(never)]
    fn finish(&mut self, store: &mut S, from: u64, to: u64, now: Instant) {
        match self.exchange.finish(store, from, to) {
            Ok(finished) => self.session.finished(finished, now),
            Err(_) => self.session.file_fault(now),
        }
    }
}

/// Passes bytes of a body from the socket's buffer to the store; returns how many it took.
// Out of line, as the other calls of the store.
#[cfg(feature = "write")]
#[inline(never)]
fn write_body<S: Store, A: ServerAccess<S>>(
    exchange: &mut StoreExchange<S, A>,
    store: &mut S,
    offset: u64,
    bytes: &[u8],
    now: Instant,
) -> Result<usize, WriteError> {
    exchange.write(store, offset, bytes, now)
}
