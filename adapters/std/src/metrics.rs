//! Metrics of a server: an observer that counts events, and their text for Prometheus.
//!
//! ```
//! use coracle::metrics::Metrics;
//! use coracle::server::Server;
//! use coracle_core::StaticStore;
//!
//! let metrics = Metrics::new();
//! let server = Server::new(StaticStore::new(&[])).with_observer(metrics.clone());
//! assert!(metrics.text().contains("coracle_clients 0\n"));
//! ```

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::server::{DequeueReason, Event, Observer, RequestOutcome};

/// Counts the events of a server. Clones share their counts.
///
/// | name | type | labels | what |
/// | --- | --- | --- | --- |
/// | `coracle_clients` | gauge | | clients that have a place |
/// | `coracle_draining` | gauge | | 1 while the server is being stopped, and finishes what is under way |
/// | `coracle_clients_waiting` | gauge | | clients that wait for a place |
/// | `coracle_connections_total` | counter | | clients that were given a place |
/// | `coracle_refused_total` | counter | `code` | clients that were refused |
/// | `coracle_refused_over_share_total` | counter | | those of them that were refused for the limit of their address |
/// | `coracle_wait_seconds` | histogram | `end`: `served`, `gone` or a code | time in the queue |
/// | `coracle_disconnections_total` | counter | `reason` | connections that ended: `done`, `dropped`, `idle`, `lost` … |
/// | `coracle_requests_total` | counter | `request`, `outcome` | answers that ended, with `ok`, a code, or a reason |
/// | `coracle_request_duration_seconds` | histogram | `request` | from a request to the last byte of its answer |
/// | `coracle_body_bytes_total` | counter | | bytes of bodies that were sent |
/// | `coracle_text_arrivals_total` | counter | | pieces of plain text that arrived |
/// | `coracle_text_bytes_total` | counter | | bytes of plain text |
/// | `coracle_handshakes_total` | counter | `outcome`: `ok`, `otherPsk`, `left`, `barred` … | handshakes of encrypted connections |
/// | `coracle_proxy_refused_total` | counter | `fault`: `missing`, `version1`, `malformed`, `timeout` … | connections of proxies that did not say whose they are |
/// | `coracle_troubles_total` | counter | | errors of the server itself |
///
/// The values of the labels are a fixed set, whatever clients send. A request that cannot be parsed is `unreadable`.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    numbers: Numbers,
}

#[derive(Clone)]
struct Numbers {
    clients: Gauge,
    draining: Gauge,
    waiting: Gauge,
    connections: Counter,
    refused: Family<CodeLabel, Counter>,
    refused_over_share: Counter,
    waits: Family<EndLabel, Histogram, fn() -> Histogram>,
    disconnections: Family<ReasonLabel, Counter>,
    requests: Family<AnswerLabels, Counter>,
    durations: Family<RequestLabel, Histogram, fn() -> Histogram>,
    body_bytes: Counter,
    text_arrivals: Counter,
    text_bytes: Counter,
    troubles: Counter,
    proxy_refused: Family<FaultLabel, Counter>,
    handshakes: Family<OutcomeLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabel {
    fault: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    request: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    request: &'static str,
}

impl Metrics {
    /// All metrics at 0.
    #[must_use]
    pub fn new() -> Self {
        let numbers = Numbers {
            clients: Gauge::default(),
            draining: Gauge::default(),
            waiting: Gauge::default(),
            connections: Counter::default(),
            refused: Family::default(),
            refused_over_share: Counter::default(),
            waits: Family::new_with_constructor(durations),
            disconnections: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            body_bytes: Counter::default(),
            text_arrivals: Counter::default(),
            text_bytes: Counter::default(),
            troubles: Counter::default(),
            proxy_refused: Family::default(),
            handshakes: Family::default(),
        };
        let mut registry = Registry::with_prefix("coracle");
        let all = numbers.clone();
        registry.register("clients", "Clients that have a place", all.clients);
        registry.register("draining", "1 while the server is being stopped", all.draining);
        registry.register("clients_waiting", "Clients that wait for a place", all.waiting);
        registry.register("connections", "Clients that were given a place", all.connections);
        registry.register("refused", "Clients that were refused", all.refused);
        let help = "Clients that were refused for the limit of their address";
        registry.register("refused_over_share", help, all.refused_over_share);
        registry.register_with_unit("wait", "Time in the queue", Unit::Seconds, all.waits);
        registry.register("disconnections", "Connections that ended", all.disconnections);
        registry.register("requests", "Answers that ended", all.requests);
        let help = "From a request to the last byte of its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, all.durations);
        registry.register_with_unit("body", "Bytes of bodies that were sent", Unit::Bytes, all.body_bytes);
        registry.register("text_arrivals", "Pieces of plain text that arrived", all.text_arrivals);
        registry.register_with_unit("text", "Bytes of plain text", Unit::Bytes, all.text_bytes);
        registry.register("handshakes", "Handshakes of encrypted connections", all.handshakes);
        let help = "Connections of proxies that did not say whose they are";
        registry.register("proxy_refused", help, all.proxy_refused);
        registry.register("troubles", "Errors of the server itself", all.troubles);
        Self(Arc::new(Inner { registry, numbers }))
    }

    /// The metrics in the text format of OpenMetrics 1.0, which Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &self.0.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Observer for Metrics {
    fn event(&self, event: &Event<'_>) {
        let numbers = &self.0.numbers;
        match *event {
            Event::Connected { .. } => {
                numbers.clients.inc();
                numbers.connections.inc();
            }
            Event::Disconnected { summary, .. } => {
                numbers.disconnections.get_or_create(&ReasonLabel { reason: summary.reason.as_str() }).inc();
                numbers.clients.dec();
            }
            Event::Refused { code, is_over_address_limit, .. } => {
                numbers.refused_over_share.inc_by(u64::from(is_over_address_limit));
                numbers.refused.get_or_create(&CodeLabel { code: code.as_str() }).inc();
            }
            Event::Queued { .. } => {
                numbers.waiting.inc();
            }
            Event::Dequeued { reason, waited, .. } => {
                numbers.waiting.dec();
                let end = match reason {
                    DequeueReason::Served => "served",
                    DequeueReason::Gone => "gone",
                    DequeueReason::Refused(code) => code.as_str(),
                };
                numbers.waits.get_or_create(&EndLabel { end }).observe(waited.as_secs_f64());
            }
            Event::Finished { summary, .. } => {
                let request = summary.kind.map_or("unreadable", |kind| kind.as_str());
                let outcome = match summary.outcome {
                    RequestOutcome::Done => "ok",
                    RequestOutcome::Refused(code) => code.as_str(),
                    RequestOutcome::CutShort(reason) => reason.as_str(),
                };
                numbers.requests.get_or_create(&AnswerLabels { request, outcome }).inc();
                let duration = summary.duration.as_secs_f64();
                numbers.durations.get_or_create(&RequestLabel { request }).observe(duration);
            }
            Event::Progress { body_len, .. } => {
                numbers.body_bytes.inc_by(body_len);
            }
            Event::Text { bytes, .. } => {
                numbers.text_arrivals.inc();
                numbers.text_bytes.inc_by(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
            #[cfg(feature = "channel")]
            Event::Handshake { outcome, .. } => {
                let outcome = outcome.err().map_or("ok", |fault| fault.as_str());
                numbers.handshakes.get_or_create(&OutcomeLabel { outcome }).inc();
            }
            #[cfg(feature = "channel")]
            Event::Barred { is_new: false, .. } => {
                numbers.handshakes.get_or_create(&OutcomeLabel { outcome: "barred" }).inc();
            }
            Event::ProxyRefused { fault, .. } => {
                numbers.proxy_refused.get_or_create(&FaultLabel { fault: fault.as_str() }).inc();
            }
            Event::Stopping { .. } => {
                numbers.draining.set(1);
            }
            Event::Warning { .. } => {
                numbers.troubles.inc();
            }
            _ => {}
        }
    }
}

/// Buckets from 100 µs to 1,678 s, by factors of four.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 4.0, 13))
}

#[cfg(test)]
mod tests {
    use std::io;

    use coracle_core::Code;

    use super::Metrics;
    use crate::server::{Event, Observer, ProxyFault};

    #[test]
    fn events_are_counted() {
        let metrics = Metrics::new();
        let address = "127.0.0.1:1".parse().expect("an address");
        let other = metrics.clone();
        for is_over_address_limit in [true, false, true] {
            other.event(&Event::Refused { address, code: Code::Busy, is_over_address_limit });
        }
        other.event(&Event::Refused { address, code: Code::ShuttingDown, is_over_address_limit: false });
        other.event(&Event::Queued { address, waiting: 1 });
        other.event(&Event::ProxyRefused { address, fault: ProxyFault::Version1 });
        other.event(&Event::Warning { what: "a test", error: &io::Error::other("none") });
        let text = metrics.text();
        for line in [
            "# TYPE coracle_clients gauge",
            "coracle_clients 0",
            "coracle_clients_waiting 1",
            "coracle_refused_total{code=\"busy\"} 3",
            "coracle_refused_total{code=\"shuttingDown\"} 1",
            "coracle_refused_over_share_total 2",
            "coracle_body_bytes_total 0",
            "coracle_troubles_total 1",
            "coracle_proxy_refused_total{fault=\"version1\"} 1",
            "coracle_draining 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        other.event(&Event::Stopping { live: 3 });
        assert!(metrics.text().contains("\ncoracle_draining 1\n"));
    }
}
