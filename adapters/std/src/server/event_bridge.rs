//! Turns the events of a session into those of the server.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coracle_core::blocking::SessionObserver;
use coracle_core::{Close, CloseHow, Delete, Exchange, FileInfo, FileName, Replace, Request, RequestKind};

use super::context::ServerContext;
#[cfg(feature = "channel")]
use super::encryption::Asker;
use super::entry::{ConnectionEntry, ForcedClose};
use super::event::{ConnectionSummary, DisconnectReason, Event, Peer, RequestOutcome, RequestSummary};
#[cfg(feature = "channel")]
use crate::channel::RecordError;
#[cfg(feature = "channel")]
use coracle_core::{Demand, Permit};

pub(super) struct EventBridge<'c> {
    context: &'c ServerContext<'c>,
    entry: Arc<ConnectionEntry>,
    peer: Peer,
    /// The request that is being answered.
    current: Option<CurrentRequest>,
    /// Its name, where an observer sees requests.
    name: String,
    requests: u64,
    /// More came than an answered `hello`.
    is_used: bool,
    body_len: u64,
    /// Who asks, where there are keys.
    #[cfg(feature = "channel")]
    asker: Option<Asker>,
}

struct CurrentRequest {
    kind: RequestKind,
    /// Where an observer sees requests.
    started: Option<Instant>,
    file_size: Option<u64>,
    body_len: u64,
    /// The new name, of a rename.
    to: Option<String>,
    /// The version that a request that writes expects.
    expected: Option<String>,
    /// The version of a file that was put.
    version: Option<String>,
    /// Whether it has waited for its file to change.
    has_waited: bool,
    /// Whether its file is looked up again.
    is_repeated: bool,
}

impl CurrentRequest {
    const fn new(kind: RequestKind, started: Option<Instant>) -> Self {
        Self {
            kind,
            started,
            file_size: None,
            body_len: 0,
            to: None,
            expected: None,
            version: None,
            has_waited: false,
            is_repeated: false,
        }
    }
}

impl<'c> EventBridge<'c> {
    pub(super) fn new(context: &'c ServerContext<'c>, entry: &Arc<ConnectionEntry>, peer: Peer) -> Self {
        Self {
            context,
            entry: Arc::clone(entry),
            peer,
            current: None,
            name: String::new(),
            requests: 0,
            is_used: false,
            body_len: 0,
            #[cfg(feature = "channel")]
            asker: None,
        }
    }

    /// Sets who asks.
    #[cfg(feature = "channel")]
    pub(super) fn set_asker(&mut self, asker: Option<Asker>) {
        self.asker = asker;
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The request waits for its file to change.
    pub(super) fn begin_waiting(&mut self) {
        if let Some(current) = self.current.as_mut().filter(|current| !current.has_waited) {
            (current.has_waited, current.is_repeated) = (true, true);
            self.context.registry.note_waiting(&self.entry);
        }
    }

    /// The request waits for its store, which is not ready.
    pub(super) fn begin_preparing(&mut self) {
        if let Some(current) = &mut self.current {
            current.is_repeated = true;
        }
    }

    /// The session has ended. Removes the connection from the registry, and returns how the socket is to be closed.
    pub(super) fn finish(self, close: Close, error: Option<ErrorKind>) -> CloseHow {
        let (how, reason) = match self.entry.forced_close() {
            Some(ForcedClose::Evicted) => (CloseHow::Finish, DisconnectReason::Evicted),
            Some(ForcedClose::Aborted) => (CloseHow::Abort, DisconnectReason::Aborted),
            None | Some(ForcedClose::Stopping) => (close.how, DisconnectReason::new(close.why, error)),
        };
        self.end(reason);
        how
    }

    /// What arrived over an encrypted connection was not what the client sent. The same as [`EventBridge::finish`].
    #[cfg(feature = "channel")]
    pub(super) fn finish_altered(self, fault: RecordError) -> CloseHow {
        if self.entry.forced_close() == Some(ForcedClose::Evicted) {
            self.end(DisconnectReason::Evicted);
        } else {
            self.end(DisconnectReason::Altered(fault));
        }
        CloseHow::Abort
    }

    /// Removes the connection, which ends so, from the registry.
    pub(super) fn end(mut self, reason: DisconnectReason) {
        if let Some(current) = &self.current {
            let (kind, body_len) = (current.kind, current.body_len);
            self.request_finished(Some(kind), body_len, RequestOutcome::CutShort(reason));
        }
        let duration = self.entry.admitted.elapsed();
        let summary = ConnectionSummary {
            requests: self.requests,
            is_probe: !self.is_used && matches!(reason, DisconnectReason::Done | DisconnectReason::Lost(_)),
            body_len: self.body_len,
            duration,
            ..ConnectionSummary::new(reason)
        };
        let live = self.context.registry.remove(&self.entry);
        self.context.emit(&Event::Disconnected { peer: &self.peer, summary: &summary, live });
    }

    fn request_finished(&mut self, kind: Option<RequestKind>, body_len: u64, outcome: RequestOutcome) {
        self.requests += 1;
        self.is_used |= kind != Some(RequestKind::Hello) || outcome != RequestOutcome::Done;
        let current = self.current.take();
        if current.as_ref().is_some_and(|current| current.has_waited) {
            self.entry.set_wait(0);
        }
        let summary = RequestSummary {
            kind,
            name: current.as_ref().map_or("", |_| &self.name),
            to: current.as_ref().and_then(|current| current.to.as_deref()),
            expected: current.as_ref().and_then(|current| current.expected.as_deref()),
            version: current.as_ref().and_then(|current| current.version.as_deref()),
            file_size: current.as_ref().and_then(|current| current.file_size),
            body_len,
            has_waited: current.as_ref().is_some_and(|current| current.has_waited),
            duration: current
                .as_ref()
                .and_then(|current| current.started)
                .map_or(Duration::ZERO, |started| started.elapsed()),
            outcome,
        };
        self.emit_request(&Event::Finished { peer: &self.peer, summary: &summary });
    }

    /// Emits an event of a single request, where an observer sees those.
    fn emit_request(&self, event: &Event<'_>) {
        if self.context.sees_requests {
            self.context.emit(event);
        }
    }
}

impl SessionObserver for EventBridge<'_> {
    #[cfg(feature = "channel")]
    fn permit<'a>(&'a mut self, demand: &Demand<'_>) -> Permit<'a> {
        let (Some(encryption), Some(asker)) = (&self.context.encryption, &self.asker) else { return Permit::Denied };
        let permit = encryption.permit(asker, demand);
        // What is denied never becomes a request.
        if !matches!(permit, Permit::Granted(_)) && self.current.is_none() && self.context.sees_requests {
            self.name.clear();
            self.name.push_str(demand.name().map_or("", FileName::as_str));
            self.current = Some(CurrentRequest::new(demand.kind, Some(Instant::now())));
        }
        permit
    }

    fn request(&mut self, request: &Request<'_>) {
        self.entry.mark_active();
        if self.entry.is_spare.swap(false, Ordering::Relaxed) {
            self.context.registry.displace_waiting();
        }
        if self.current.as_ref().is_some_and(|current| current.is_repeated) {
            // The same request, of which the file is looked up again.
            return;
        }
        if let Request::Put(_) = request {
            self.entry.set_sending(true);
        }
        let is_seen = self.context.sees_requests;
        if is_seen {
            self.name.clear();
            self.name.push_str(request.name().map_or("", FileName::as_str));
        }
        let started = is_seen.then(Instant::now);
        let (to, expected) = if is_seen { written_names(request) } else { (None, None) };
        self.current = Some(CurrentRequest { to, expected, ..CurrentRequest::new(request.kind(), started) });
        self.emit_request(&Event::Requested { peer: &self.peer, request });
    }

    fn opened(&mut self, info: &FileInfo) {
        if let Some(current) = &mut self.current {
            current.file_size = Some(info.size);
        }
        self.emit_request(&Event::Opened { peer: &self.peer, file_size: info.size });
    }

    fn body(&mut self, body_len: usize) {
        let body_len = u64::try_from(body_len).unwrap_or(u64::MAX);
        self.body_len += body_len;
        if let Some(current) = &mut self.current {
            current.body_len += body_len;
        }
        self.emit_request(&Event::Progress { peer: &self.peer, body_len });
    }

    fn stored(&mut self, info: &FileInfo) {
        if let Some(current) = self.current.as_mut().filter(|current| current.started.is_some()) {
            current.file_size = Some(info.size);
            current.version = Some(info.version.as_str().to_owned());
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.is_used = true;
        self.entry.mark_active();
        self.emit_request(&Event::Text { peer: &self.peer, bytes: text });
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.entry.mark_active();
        if exchange.kind == Some(RequestKind::Put) {
            self.entry.set_sending(false);
        }
        let outcome = exchange.error.map_or(RequestOutcome::Done, RequestOutcome::Refused);
        self.request_finished(exchange.kind, exchange.body_len, outcome);
    }

    fn should_stop(&mut self) -> bool {
        self.context.registry.is_stopping()
    }
}

/// The new name and the expected version of a request that writes.
fn written_names(request: &Request<'_>) -> (Option<String>, Option<String>) {
    let expected = |version: Option<&str>| version.map(str::to_owned);
    match request {
        Request::Put(put) => match put.replace {
            Replace::Nothing => (None, None),
            Replace::Anything => (None, expected(Some("*"))),
            Replace::Version(version) => (None, expected(Some(version))),
        },
        Request::Delete(Delete::File { version, .. }) => (None, expected(*version)),
        Request::Rename(rename) => (Some(rename.to.as_str().to_owned()), expected(rename.version)),
        _ => (None, None),
    }
}
