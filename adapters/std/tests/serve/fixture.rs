//! A running server with a directory of its own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coracle::server::{Event, Limits, ProxyNetwork, RequestOutcome, Server, ServerHandle, Summary};
use coracle::store::DirectoryStore;
use tempfile::TempDir;

pub use crate::client::{Client, HELLO, TIMEOUT, code, in_time, pattern, settled, settled_file, wait_for};

/// The events so far, a line each.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Events {
    fn record(&self, event: &Event<'_>) {
        let line = match event {
            Event::Connected { peer, live } if peer.is_proxy() => format!("checked {} live {live}", peer.address()),
            Event::Connected { peer, live } => format!("connected {} live {live}", peer.address()),
            Event::Refused { code, is_over_address_limit: false, .. } => format!("refused {code}"),
            Event::Refused { address, code, .. } => format!("over address limit {} {code}", address.ip()),
            Event::ProxyRefused { fault, .. } => format!("proxy {}", fault.as_str()),
            Event::Queued { address, .. } => format!("queued {address}"),
            Event::Dequeued { address, reason, .. } => format!("dequeued {address} {reason:?}"),
            Event::Finished { summary, .. } => {
                let kind = summary.kind.map_or("unreadable", |kind| kind.as_str());
                let outcome = match summary.outcome {
                    RequestOutcome::CutShort(reason) => format!("cut short: {reason}"),
                    outcome => outcome.to_string(),
                };
                format!("{kind} {} {} {outcome}", summary.name, summary.body_len)
            }
            Event::Disconnected { summary, live, .. } => format!("left {} live {live}", summary.reason),
            Event::Warning { what, error } => format!("trouble {what}: {error}"),
            Event::Stopping { .. } => "stopping".to_owned(),
            Event::Aborting { live } => format!("cutting {live}"),
            _ => return,
        };
        self.0.0.lock().expect("no panic").push(line);
        self.0.1.notify_all();
    }

    /// Waits until `count` lines begin with `start`, and returns them.
    pub fn wait_for(&self, start: &str, count: usize) -> Vec<String> {
        let few = |lines: &mut Vec<String>| lines.iter().filter(|line| line.starts_with(start)).count() < count;
        let waited = self.0.1.wait_timeout_while(self.0.0.lock().expect("no panic"), TIMEOUT, few);
        let (lines, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "not {count} times {start:?} in {lines:#?}");
        lines.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }

    /// How many lines begin with `start` now.
    pub fn count(&self, start: &str) -> usize {
        self.0.0.lock().expect("no panic").iter().filter(|line| line.starts_with(start)).count()
    }
}

/// A server in this process.
pub struct Running {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub events: Events,
    pub directory: TempDir,
    thread: Option<JoinHandle<io::Result<Summary>>>,
}

impl Running {
    /// With default limits.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        Self::over(&path, directory, change)
    }

    /// With proxies at `networks`.
    pub fn behind(networks: &[&str], change: impl FnOnce(&mut Limits)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
        Self::start(move || DirectoryStore::open(path), directory, networks, change)
    }

    /// A server of [`settled`], which no test changes.
    pub fn settled(change: impl FnOnce(&mut Limits)) -> Self {
        Self::over(&settled().0, tempfile::tempdir().expect("a directory"), change)
    }

    /// A server of the store that `open` makes in the thread of the server.
    pub fn with_store(
        open: impl FnOnce(&Path) -> io::Result<DirectoryStore> + Send + 'static,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        Self::start(move || open(&path), directory, Vec::new(), change)
    }

    fn over(path: &Path, directory: TempDir, change: impl FnOnce(&mut Limits)) -> Self {
        let path = path.to_owned();
        Self::start(move || DirectoryStore::open(path), directory, Vec::new(), change)
    }

    fn start(
        open: impl FnOnce() -> io::Result<DirectoryStore> + Send + 'static,
        directory: TempDir,
        proxies: Vec<ProxyNetwork>,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let events = Events::default();
        let told = mpsc::channel();
        let (sender, recorded) = (told.0, events.clone());
        let thread = thread::spawn(move || {
            let store = open()?;
            let server = Server::new(&store)
                .with_address("127.0.0.1:0".parse().expect("an address"))
                .with_limits(limits)
                .with_proxy_protocol(proxies)
                .with_observer(move |event: &Event<'_>| recorded.record(event))
                .bind()?;
            sender.send((server.addresses()[0], server.handle())).expect("the receiver is there");
            server.run()
        });
        let (address, handle) = told.1.recv_timeout(TIMEOUT).expect("bound");
        Self { address, handle, events, directory, thread: Some(thread) }
    }

    /// Makes a settled file of `len` bytes.
    pub fn file(&self, name: &str, len: usize) -> Vec<u8> {
        settled_file(&self.directory.path().join(name), len)
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// Connects, and waits until the client is admitted, so that later ones come after it.
    pub fn connect_admitted(&self) -> Client {
        self.admitted(self.connect())
    }

    /// Waits until `client` is admitted.
    pub fn admitted(&self, client: Client) -> Client {
        let address = client.stream.local_addr().expect("an address");
        self.events.wait_for(&format!("connected {address} "), 1);
        client
    }

    /// Waits for the end of the server.
    pub fn join(mut self) -> Summary {
        let thread = self.thread.take().expect("joined once");
        let started = Instant::now();
        while !thread.is_finished() {
            assert!(started.elapsed() < TIMEOUT, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
        thread.join().expect("no panic").expect("no error")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop_now();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().expect("no panic").expect("no error");
        }
    }
}
