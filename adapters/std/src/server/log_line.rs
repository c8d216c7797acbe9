//! The lines of a log: what is said of each event, and how.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use coracle_core::RequestKind;
use serde::Serialize;

use super::event::{ClientIdentity, DequeueReason, Event, Peer, RequestOutcome};
use super::proxy::ProxyFault;
use crate::Escaped;

/// Format of a log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people: time, peer, thread, event, bytes, duration, outcome.
    #[default]
    Text,
    /// A JSON object in each line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// Failures of the server itself.
    Quiet,
    /// A line for each response, for each connection that ends or is refused, and for text.
    #[default]
    Normal,
    /// A line for each new connection and each request, too, and for clients that only say `hello`.
    Verbose,
}

/// A line.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'a> {
    pub(super) time: String,
    pub(super) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<&'a str>,
    /// The name of the client's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<&'a str>,
    /// The key itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<usize>,
    #[serde(rename = "duration_ms", skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<String>,
}

impl Line<'_> {
    pub(super) fn formatted(&self, format: LogFormat) -> Vec<u8> {
        let mut text = match format {
            LogFormat::Text => self.to_text(),
            // Nothing in a line can fail to be JSON.
            LogFormat::Json => crate::escape_json(&serde_json::to_string(self).unwrap_or_default()),
        };
        text.push('\n');
        text.into_bytes()
    }

    fn to_text(&self) -> String {
        let mut text = self.time.clone();
        // Writing to a string does not fail.
        let mut put = |piece: &dyn Display| write!(text, " {piece}").unwrap_or_default();
        if let Some(peer) = self.peer {
            put(&peer);
            put(&self.thread.unwrap_or("-"));
        }
        if let Some(name) = self.client.filter(|name| !name.is_empty()) {
            put(&Escaped(name));
        }
        if let Some(key) = self.key {
            put(&key);
        }
        put(&self.what.unwrap_or(self.event));
        if let Some(name) = self.file_name {
            put(&Escaped(if name.is_empty() { "/" } else { name }));
        }
        if let Some(name) = self.to {
            put(&format_args!("to {}", Escaped(name)));
        }
        if let Some(words) = &self.text {
            put(&Escaped(words));
        }
        if let Some(answers) = self.answers {
            put(&format_args!("{answers} answers"));
        }
        if let Some(bytes) = self.bytes {
            put(&format_args!("{bytes} B"));
        }
        if let Some(duration_ms) = self.duration_ms {
            put(&format_args!("{duration_ms} ms"));
        }
        if let Some(version) = self.expected {
            put(&format_args!("expected {}", Escaped(version)));
        }
        if let Some(version) = self.version {
            put(&format_args!("version {}", Escaped(version)));
        }
        if let Some(live) = self.live {
            put(&format_args!("{live} live"));
        }
        if let Some(outcome) = &self.outcome {
            put(&outcome);
        }
        text
    }
}

/// The time of a line.
pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// The lowest level that has a line for an event.
pub(super) const fn level_of(event: &Event<'_>) -> Option<LogLevel> {
    match event {
        // A quiet log is no news.
        Event::Finished { summary, .. }
            if summary.has_waited && summary.body_len == 0 && matches!(summary.outcome, RequestOutcome::Done) =>
        {
            Some(LogLevel::Verbose)
        }
        // What only looks whether the server is there.
        Event::Finished { summary, .. }
            if matches!((summary.kind, summary.outcome), (Some(RequestKind::Hello), RequestOutcome::Done)) =>
        {
            Some(LogLevel::Verbose)
        }
        Event::Disconnected { summary, .. } if summary.is_probe => Some(LogLevel::Verbose),
        Event::Finished { peer, .. } | Event::Disconnected { peer, .. } if peer.is_proxy() => Some(LogLevel::Verbose),
        Event::ProxyRefused { fault: ProxyFault::Left, .. } => Some(LogLevel::Verbose),
        Event::Warning { .. } | Event::Aborting { .. } => Some(LogLevel::Quiet),
        Event::Refused { .. }
        | Event::ProxyRefused { .. }
        | Event::Dequeued { reason: DequeueReason::Gone, .. }
        | Event::Text { .. }
        | Event::Finished { .. }
        | Event::Disconnected { .. }
        | Event::Stopping { .. } => Some(LogLevel::Normal),
        #[cfg(feature = "channel")]
        Event::Barred { is_new: true, .. } | Event::KeysReloaded { .. } => Some(LogLevel::Normal),
        #[cfg(feature = "channel")]
        Event::Handshake { outcome: Ok(()), .. } => Some(LogLevel::Verbose),
        // The line of the end of its connection says what went wrong.
        #[cfg(feature = "channel")]
        Event::Handshake { .. } | Event::Barred { .. } => None,
        Event::Listening { .. }
        | Event::ListenerClosed { .. }
        | Event::Connected { .. }
        | Event::Queued { .. }
        | Event::Requested { .. } => Some(LogLevel::Verbose),
        // Clients that are served or refused have other lines that say so.
        Event::Dequeued { .. } | Event::Opened { .. } | Event::Progress { .. } => None,
    }
}

/// The line of an event, if it has one.
pub(super) fn describe<'a>(event: &'a Event<'a>) -> Option<Line<'a>> {
    let line = Line { time: now(), ..Line::default() };
    let at = |peer: &'a Peer| (Some(peer.address()), Some(peer.thread()));
    Some(match *event {
        Event::Listening { address } => Line { event: "listening", text: Some(address.to_string()), ..line },
        Event::ListenerClosed { address } => Line { event: "unlistened", text: Some(address.to_string()), ..line },
        Event::Connected { peer, live } => {
            let (peer, thread) = at(peer);
            Line { event: "connected", peer, thread, live: Some(live), ..line }
        }
        Event::Refused { address, code, is_over_address_limit } => {
            let outcome = Some(code.to_string());
            let text = is_over_address_limit.then(|| "its address has its share of places".to_owned());
            Line { event: "refused", peer: Some(address), outcome, text, ..line }
        }
        Event::ProxyRefused { address, fault } => {
            let outcome = Some(fault.to_string());
            Line { event: "proxy", peer: Some(address), outcome, ..line }
        }
        Event::Queued { address, waiting } => {
            let text = Some(format!("with {waiting} in the queue"));
            Line { event: "queued", peer: Some(address), text, ..line }
        }
        Event::Dequeued { address, reason: DequeueReason::Gone, waited } => {
            let (duration_ms, outcome) = (Some(rounded_ms(waited)), Some("gone".to_owned()));
            Line { event: "queued", peer: Some(address), duration_ms, outcome, ..line }
        }
        Event::Requested { peer, request } => {
            let (peer, thread) = at(peer);
            let what = Some(request.kind().as_str());
            let file_name = Some(request.name().map_or("", |name| name.as_str()));
            let text = Some("begins".to_owned());
            Line { event: "requested", peer, thread, what, file_name, text, ..line }
        }
        Event::Text { peer, bytes } => {
            let (peer, thread) = at(peer);
            let text = Some(String::from_utf8_lossy(bytes).into_owned());
            Line { event: "text", peer, thread, text, ..line }
        }
        Event::Finished { peer, summary } => {
            let (client, key) = known(peer, summary.kind.is_some_and(changes));
            let (peer, thread) = at(peer);
            let what = Some(summary.kind.map_or("unreadable", |kind| kind.as_str()));
            let is_named = summary.kind.is_some_and(|kind| kind != RequestKind::Hello);
            Line {
                event: "finished",
                peer,
                thread,
                client,
                key,
                what,
                file_name: Some(summary.name).filter(|_| is_named),
                to: summary.to,
                expected: summary.expected,
                version: summary.version,
                bytes: Some(summary.body_len),
                duration_ms: Some(rounded_ms(summary.duration)),
                outcome: Some(match summary.outcome {
                    RequestOutcome::CutShort(reason) => format!("cut short: {reason}"),
                    outcome => outcome.to_string(),
                }),
                ..line
            }
        }
        Event::Disconnected { peer, summary, live } => {
            let (client, key) = known(peer, false);
            let (peer, thread) = at(peer);
            Line {
                event: "disconnected",
                peer,
                thread,
                client,
                key,
                bytes: Some(summary.body_len),
                answers: Some(summary.requests),
                duration_ms: Some(rounded_ms(summary.duration)),
                live: Some(live),
                outcome: Some(summary.reason.to_string()),
                ..line
            }
        }
        #[cfg(feature = "channel")]
        Event::Handshake { peer, outcome: Ok(()) } => {
            let (client, key) = known(peer, true);
            let (peer, thread) = at(peer);
            Line { event: "encrypted", peer, thread, client, key, ..line }
        }
        #[cfg(feature = "channel")]
        Event::Barred { address, is_new: true } => {
            let text = Some("too many of its handshakes have failed".to_owned());
            Line { event: "barred", peer: Some(address), text, ..line }
        }
        #[cfg(feature = "channel")]
        Event::KeysReloaded { clients } => {
            Line { event: "reloaded", text: Some(format!("keys of {clients} clients")), ..line }
        }
        #[cfg(feature = "channel")]
        Event::Handshake { .. } | Event::Barred { .. } => return None,
        Event::Warning { what, error } => {
            let outcome = Some(error.to_string());
            Line { event: "trouble", text: Some(what.to_owned()), outcome, ..line }
        }
        Event::Stopping { live } => Line { event: "stopping", live: Some(live), ..line },
        Event::Aborting { live } => Line { event: "cutting", live: Some(live), ..line },
        Event::Opened { .. } | Event::Progress { .. } | Event::Dequeued { .. } => return None,
    })
}

/// The name of a client's key; the key where it has no name, and `with_key`.
fn known(peer: &Peer, with_key: bool) -> (Option<&str>, Option<&str>) {
    let client = peer.client();
    let name = client.map(ClientIdentity::name).filter(|name| !name.is_empty());
    (name, client.map(ClientIdentity::key).filter(|_| with_key || name.is_none()))
}

/// Whether a request changes files, or does something: its line tells the whole key.
const fn changes(kind: RequestKind) -> bool {
    !matches!(kind, RequestKind::Hello | RequestKind::List | RequestKind::Stat | RequestKind::Get)
}

/// Milliseconds with three decimals.
fn rounded_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
