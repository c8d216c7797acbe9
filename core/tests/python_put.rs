//! A client written from `core/PROTOCOL.md` alone, `tests/python/put.py`, puts files over TCP to the blocking driver.

#[allow(dead_code, reason = "shared by tests that need less each")]
mod memory;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use coracle_core::blocking::{Buffers, SendFile, Transport, serve_writable};
use coracle_core::{FileName, Instant, RequestKind, ServerConfig, ServerSession};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use memory::Memory;

const NAME: FileName<'static> = FileName::from_static("logs/grüße \"😀\".bin");
const LEN: usize = 100_000;

/// A connection that breaks when the server has read so many bytes.
struct Wire {
    stream: TcpStream,
    left: usize,
}

impl ErrorType for Wire {
    type Error = ErrorKind;
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.left == 0 {
            return Err(ErrorKind::ConnectionReset);
        }
        let len = buf.len().min(self.left);
        let len = self.stream.read(&mut buf[..len]).map_err(|_| ErrorKind::TimedOut)?;
        self.left -= len;
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.stream.write(bytes).map_err(|_| ErrorKind::ConnectionReset)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Transport for Wire {}
impl SendFile<Memory> for Wire {}

fn contents(seed: usize) -> Vec<u8> {
    (0..LEN).map(|index| ((index * 7 + seed) % 253) as u8).collect()
}

/// A file of these bytes, for the client.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("a file for the client");
    path
}

/// Runs the client against one connection to `store`, which breaks after so many bytes.
fn put(store: &mut Memory, file: &Path, replace: Option<&str>, left: usize) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/put.py");
    let child = Command::new("python3")
        .arg(client)
        .args(["127.0.0.1", &port.to_string()])
        .arg(file)
        .arg(NAME.as_str())
        .args(replace)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs Python 3.11: apt-get install python3");
    let (stream, _) = listener.accept().expect("the client connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");

    let config = ServerConfig::new().with_offered(RequestKind::Put);
    let start = std::time::Instant::now();
    let mut clock = || Instant::from_millis(u64::try_from(start.elapsed().as_millis()).expect("a short test"));
    let mut session = ServerSession::new(&config, [0; 640], Instant::from_millis(0));
    let mut wire = Wire { stream, left };
    let (mut receive, mut send) = ([0; 1024], [0; 2048]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    serve_writable(&mut session, &mut wire, store, buffers, &mut clock, &mut ());
    drop(wire);
    child.wait_with_output().expect("the client ends")
}

fn assert_put(store: &Memory, output: &Output, bytes: &[u8]) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (stored, version) = &store.files[NAME.as_str()];
    assert!(stored == bytes);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), version.as_str());
}

fn assert_refused(output: &Output, why: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(why), "{error}");
}

#[test]
fn puts_and_replaces() {
    let mut store = Memory::default();
    let (first, second) = (contents(1), contents(2));
    let output = put(&mut store, &file("put-first", &first), None, usize::MAX);
    assert_put(&store, &output, &first);
    let output = put(&mut store, &file("put-first", &first), None, usize::MAX);
    assert_put(&store, &output, &first);
    assert_eq!(store.stores, 1, "it was there");
    let second_file = file("put-second", &second);
    assert_refused(&put(&mut store, &second_file, None, usize::MAX), "exists");
    assert_refused(&put(&mut store, &second_file, Some("v0"), usize::MAX), "changed");
    let output = put(&mut store, &second_file, Some("v1"), usize::MAX);
    assert_put(&store, &output, &second);
    let output = put(&mut store, &file("put-empty", b""), Some("*"), usize::MAX);
    assert_put(&store, &output, b"");
}

#[test]
fn resumes_where_it_was_cut() {
    let bytes = contents(3);
    let path = file("put-resumed", &bytes);
    for cut in [200, 1_000, 50_000, 100_000] {
        let mut store = Memory::default();
        assert_refused(&put(&mut store, &path, None, cut), "");
        assert!(store.files.is_empty());
        let kept = store.partials[NAME.as_str()].bytes.len();
        assert!(kept > 0 && kept < LEN, "cut after {cut}: {kept}");
        // What is missing and the request, and no more.
        let output = put(&mut store, &path, None, LEN - kept + 300);
        assert_put(&store, &output, &bytes);
    }
}
