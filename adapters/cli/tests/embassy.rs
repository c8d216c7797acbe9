//! The program against the server of `coracle-embassy`, over tokio's sockets.

#[path = "../../embassy/tests/sockets/over_tokio.rs"]
mod over_tokio;
#[path = "../../embassy/tests/sockets/socket.rs"]
mod socket;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use coracle::DirectoryStore;
use coracle_core::ServerConfig;
use coracle_embassy::Observer;

/// Counts the bytes of bodies.
struct Counter(Arc<AtomicU64>);

impl Observer for Counter {
    fn body(&mut self, len: usize) {
        self.0.fetch_add(len as u64, Ordering::Relaxed);
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0_u32..).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).take(len).collect()
}

/// A server of `directory`, the first of whose connections breaks after `first` bytes; and the number of bytes of bodies.
fn serve(directory: &Path, first: usize) -> (SocketAddr, Arc<AtomicU64>) {
    let store: &'static DirectoryStore = Box::leak(Box::new(DirectoryStore::open(directory).expect("a directory")));
    let (counted, left) = (Arc::<AtomicU64>::default(), AtomicUsize::new(first));
    let counter = counted.clone();
    let connection = move || (store, Counter(counter.clone()), left.swap(usize::MAX, Ordering::Relaxed));
    (over_tokio::start(ServerConfig::new(), connection), counted)
}

fn coracle(directory: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_coracle")).args(args).current_dir(directory).output();
    let output = output.expect("the program");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// All files beneath `directory`, by their paths.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory_here) = waiting.pop() {
        for entry in fs::read_dir(directory_here).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(directory).expect("beneath").to_str().expect("text").to_owned();
            if path.is_dir() {
                waiting.push(path);
            } else if !name.rsplit('/').next().expect("a name").starts_with('.') {
                found.insert(name, fs::read(path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn a_tree_is_fetched_whole() {
    let (served, local) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    for index in 0..60 {
        let directory = served.path().join(format!("d{}/e{}", index % 5, index % 3));
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join(format!("f{index}")), bytes(index * 700)).expect("written");
    }
    fs::write(served.path().join("large"), bytes(3_000_000)).expect("written");
    let (address, _) = serve(served.path(), usize::MAX);
    for jobs in ["1", "4"] {
        let target = format!("jobs{jobs}");
        coracle(local.path(), &["get", "-r", &address.to_string(), "-j", jobs, "-o", &target]);
        assert!(files(&local.path().join(&target)) == files(served.path()), "with {jobs} jobs");
    }
}

#[test]
fn ranges_and_listings() {
    let (served, local) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fs::write(served.path().join("f"), bytes(100_000)).expect("written");
    let address = serve(served.path(), usize::MAX).0.to_string();
    let range = ["get", &address, "f", "--offset", "70000", "--length", "5000", "--digest", "sha256", "-o", "-"];
    assert!(coracle(local.path(), &range).stdout == bytes(100_000)[70_000..75_000]);
    let listed = coracle(local.path(), &["ls", &address]).stdout;
    assert_eq!(listed.escape_ascii().to_string(), "f\\n");
}

/// What was received before a connection broke is not sent again.
#[test]
fn a_broken_fetch_is_resumed() {
    let (served, local) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fs::write(served.path().join("f"), bytes(2_000_000)).expect("written");
    let (address, counted) = serve(served.path(), 1_200_000);
    coracle(local.path(), &["get", &address.to_string(), "f"]);
    assert!(fs::read(local.path().join("f")).expect("fetched") == bytes(2_000_000));
    // A chunk was read for the connection that broke, and what the reset has thrown away on its way.
    let counted = counted.load(Ordering::Relaxed);
    assert!((2_000_001..3_200_000).contains(&counted), "{counted} bytes");
}
