//! What the clients measured, as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use coracle::Escaped;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::connection::ByteCounts;
use crate::standard_output;

/// The reported latencies: their names, and the share of requests that took at most so long.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// The measurements of one client, or of all.
#[derive(Clone, Debug)]
pub struct ClientStats {
    start: Option<Instant>,
    end: Option<Instant>,
    /// In nanoseconds, to three digits.
    latencies: Histogram<u64>,
    failures: BTreeMap<String, u64>,
    received: u64,
    body: u64,
}

impl Default for ClientStats {
    fn default() -> Self {
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let latencies = Histogram::new_with_bounds(1, longest, 3).expect("1 to 5 digits, and a range that is one");
        Self { start: None, end: None, latencies, failures: BTreeMap::new(), received: 0, body: 0 }
    }
}

impl ClientStats {
    /// Those of a client that panicked.
    pub fn of_panicked() -> Self {
        let mut stats = Self::default();
        stats.failures.insert("a fault of this program".to_owned(), 1);
        stats
    }

    pub fn start(&mut self, start: Instant) {
        self.start = Some(start);
        self.end = Some(start);
    }

    pub fn record_success(&mut self, latency: Duration, bytes: ByteCounts) {
        // The histogram ends at a day.
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.count(bytes);
    }

    pub fn record_failure(&mut self, kind: String, bytes: ByteCounts) {
        *self.failures.entry(kind).or_default() += 1;
        self.count(bytes);
    }

    fn count(&mut self, bytes: ByteCounts) {
        self.received += bytes.received;
        self.body += bytes.body;
        self.end = Some(Instant::now());
    }

    fn merge(&mut self, other: &Self) {
        self.start = self.start.into_iter().chain(other.start).min();
        self.end = self.end.into_iter().chain(other.end).max();
        // Adding fails only where the bounds differ.
        let _ = self.latencies.add(&other.latencies);
        for (kind, count) in &other.failures {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
        self.received += other.received;
        self.body += other.body;
    }
}

/// The measurements of all clients.
#[derive(Debug)]
pub struct Report {
    clients: usize,
    all: ClientStats,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonReport<'a> {
    clients: usize,
    requests: u64,
    succeeded: u64,
    failed: u64,
    failures: &'a BTreeMap<String, u64>,
    #[serde(rename = "duration_ms")]
    duration_ms: f64,
    requests_per_second: f64,
    received_bytes: u64,
    body_bytes: u64,
    bytes_per_second: f64,
    /// Names as in the table; `None` where nothing succeeded.
    #[serde(rename = "latency_ms")]
    latency_ms: Option<BTreeMap<&'static str, f64>>,
}

impl Report {
    pub fn new(clients: usize, stats: Vec<ClientStats>) -> Self {
        let mut all = ClientStats::default();
        for one in &stats {
            all.merge(one);
        }
        Self { clients, all }
    }

    pub fn failed(&self) -> u64 {
        self.all.failures.values().sum()
    }

    /// Writes it to standard output.
    pub fn print(&self, json: bool) -> io::Result<()> {
        let text = if json { self.json() } else { self.table() };
        standard_output::write(text.as_bytes())
    }

    fn succeeded(&self) -> u64 {
        self.all.latencies.len()
    }

    fn seconds(&self) -> f64 {
        let (start, end) = (self.all.start, self.all.end);
        start.zip(end).map_or(0.0, |(start, end)| end.saturating_duration_since(start).as_secs_f64())
    }

    /// `count` a second; 0 where no time has passed.
    fn rate(&self, count: u64) -> f64 {
        let seconds = self.seconds();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// Milliseconds, by name; empty where nothing succeeded.
    fn latencies(&self) -> Vec<(&'static str, f64)> {
        let latencies = &self.all.latencies;
        if latencies.is_empty() {
            return Vec::new();
        }
        let quantiles = QUANTILES.map(|(name, share)| (name, millis(latencies.value_at_quantile(share))));
        quantiles.into_iter().chain([("max", millis(latencies.max()))]).collect()
    }

    fn json(&self) -> String {
        let latencies = self.latencies();
        let json = JsonReport {
            clients: self.clients,
            requests: self.succeeded() + self.failed(),
            succeeded: self.succeeded(),
            failed: self.failed(),
            failures: &self.all.failures,
            duration_ms: rounded(self.seconds() * 1000.0),
            requests_per_second: rounded(self.rate(self.succeeded())),
            received_bytes: self.all.received,
            body_bytes: self.all.body,
            bytes_per_second: rounded(self.rate(self.all.received)),
            latency_ms: Some(latencies).filter(|all| !all.is_empty()).map(|all| all.into_iter().collect()),
        };
        // No field of it can fail to be serialized.
        coracle::escape_json(&serde_json::to_string(&json).unwrap_or_default()) + "\n"
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &dyn std::fmt::Display, rate: &dyn std::fmt::Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<10} {:>12}   {rate}", value.to_string());
        };
        let per_second = |bytes: u64| {
            let rate = ByteSize::b(self.rate(bytes).round() as u64).display().iec();
            format!("{rate}/s")
        };
        row("clients", &self.clients, &"");
        row("succeeded", &self.succeeded(), &format_args!("{:.1} requests/s", self.rate(self.succeeded())));
        row("failed", &self.failed(), &"");
        for (kind, count) in &self.all.failures {
            row("", count, &Escaped(kind));
        }
        row("time", &format_args!("{:.3} s", self.seconds()), &"");
        row("received", &ByteSize::b(self.all.received).display().iec(), &per_second(self.all.received));
        if self.all.body > 0 {
            row("of files", &ByteSize::b(self.all.body).display().iec(), &per_second(self.all.body));
        }
        for (name, latency_ms) in self.latencies() {
            row(name, &format_args!("{latency_ms:.3} ms"), &"");
        }
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

fn millis(nanos: u64) -> f64 {
    rounded(nanos as f64 / 1e6)
}

/// With three digits behind the point.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{ByteCounts, ClientStats, Report};

    fn report() -> Report {
        let start = Instant::now() - Duration::from_secs(1);
        let mut stats = vec![ClientStats::default(), ClientStats::default()];
        for one in &mut stats {
            one.start(start);
            for millis in 1..=500 {
                one.record_success(Duration::from_millis(millis), ByteCounts { received: 150, body: 100 });
            }
        }
        stats[1].record_failure("busy".to_owned(), ByteCounts::default());
        stats[0].record_failure("a \x1b[2J".to_owned(), ByteCounts { received: 7, body: 0 });
        Report::new(2, stats)
    }

    #[test]
    fn numbers_add_up() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).expect("JSON");
        assert_eq!(json["requests"], 1002);
        assert_eq!(json["succeeded"], 1000);
        assert_eq!(json["failed"], 2);
        assert_eq!(json["failures"]["busy"], 1);
        assert_eq!(json["receivedBytes"], 150_007);
        assert_eq!(json["bodyBytes"], 100_000);
        let near = |name: &str, millis: f64| {
            let found = json["latency_ms"][name].as_f64().expect("a number");
            assert!((found / millis - 1.0).abs() < 0.003, "{name}: {found}");
        };
        near("p50", 250.0);
        near("p90", 450.0);
        near("p99", 495.0);
        near("max", 500.0);
        assert!(json["duration_ms"].as_f64().is_some_and(|millis| (1000.0..60_000.0).contains(&millis)));
    }

    #[test]
    fn a_table_for_people() {
        let table = report().table();
        assert!(table.contains("\nsucceeded          1000   "), "{table}");
        assert!(table.contains("\nfailed                2\n"), "{table}");
        assert!(table.contains("1   a \\x1b[2J\n") && table.contains("1   busy\n"), "{table}");
        assert!(table.contains("p99.9") && table.contains("of files"), "{table}");
    }

    #[test]
    fn without_success_there_is_no_latency() {
        let report = Report::new(1, vec![ClientStats::of_panicked()]);
        assert_eq!(report.failed(), 1);
        assert!(report.json().contains(r#""latency_ms":null"#) && !report.table().contains("p50"));
    }
}
