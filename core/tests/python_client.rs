//! The hand-written client of `core/PROTOCOL.md`, `tests/python/client.py`, fetches over TCP from the blocking driver.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use coracle_core::blocking::{Buffers, SendFile, Transport, serve};
use coracle_core::{Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

const NAME: &str = "logs/grüße \"😀\".bin";
const LEN: usize = 100_000;

/// A fault on the way to the client, at a number of bytes that the server has written.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    CutAt(usize),
    FlipAt(usize),
}

struct Wire {
    stream: TcpStream,
    written: usize,
    fault: Fault,
}

impl ErrorType for Wire {
    type Error = ErrorKind;
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.stream.read(buf).map_err(|_| ErrorKind::TimedOut)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut bytes = bytes.to_vec();
        match self.fault {
            Fault::CutAt(at) if at <= self.written => return Err(ErrorKind::ConnectionReset),
            Fault::CutAt(at) => bytes.truncate(at - self.written),
            Fault::FlipAt(at) if at >= self.written && at - self.written < bytes.len() => bytes[at - self.written] ^= 1,
            _ => {}
        }
        let len = self.stream.write(&bytes).map_err(|_| ErrorKind::ConnectionReset)?;
        self.written += len;
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Transport for Wire {}
impl<'a> SendFile<StaticStore<'a>> for Wire {}

fn contents(seed: usize) -> Vec<u8> {
    (0..LEN).map(|index| ((index * 7 + seed) % 253) as u8).collect()
}

/// Runs the client against one connection of a server of `bytes`. Returns its output and the number of bytes sent to it.
fn fetch(directory: &Path, version: &'static str, bytes: &[u8], fault: Fault) -> (Output, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/client.py");
    let child = Command::new("python3")
        .arg(client)
        .args(["127.0.0.1", &port.to_string(), NAME])
        .arg(directory.join("copy"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("this test needs Python 3: apt-get install python3");
    let (stream, _) = listener.accept().expect("the client connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");

    let files = [StaticFile::new(NAME, version, bytes)];
    let config = ServerConfig::new();
    let start = std::time::Instant::now();
    let mut clock = || Instant::from_millis(u64::try_from(start.elapsed().as_millis()).expect("a short test"));
    let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
    let mut wire = Wire { stream, written: 0, fault };
    let (mut receive, mut send) = ([0; 512], [0; 2048]);
    let scratch = Buffers { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut wire, &mut StaticStore::new(&files), scratch, &mut clock, &mut ());
    let written = wire.written;
    drop(wire);
    (child.wait_with_output().expect("the client ends"), written)
}

fn fresh_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory).expect("the last run's files go");
    }
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

fn assert_fetched(directory: &Path, output: &Output, bytes: &[u8]) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(directory.join("copy")).expect("the copy") == bytes);
    assert_eq!(std::fs::read_dir(directory).expect("listed").count(), 1, "nothing else is left");
}

fn assert_refused(directory: &Path, output: &Output, why: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(why), "{error}");
    assert!(!directory.join("copy").exists(), "an unverified file has its real name");
}

#[test]
fn fetches() {
    let directory = fresh_directory("python-fetches");
    for bytes in [&contents(1)[..], b""] {
        let (output, _) = fetch(&directory, "v1", bytes, Fault::None);
        assert_fetched(&directory, &output, bytes);
    }
}

#[test]
fn resumes_where_it_was_cut() {
    let bytes = contents(1);
    let (_, all) = fetch(&fresh_directory("python-resumes"), "v1", &bytes, Fault::None);
    let around = all - LEN;
    for cut in [1, around / 2, around, 5_000, 99_000, all - 10, all - 1] {
        let directory = fresh_directory(&format!("python-resumes-{cut}"));
        let (output, _) = fetch(&directory, "v1", &bytes, Fault::CutAt(cut));
        assert_refused(&directory, &output, "run me again");
        let (output, written) = fetch(&directory, "v1", &bytes, Fault::None);
        assert_fetched(&directory, &output, &bytes);
        // All but the bytes that it had; its second header may be a little longer.
        let missing = all - cut.saturating_sub(around).min(LEN);
        assert!(written <= missing + 20, "after {cut} of {all} bytes it was sent {written}");
    }
}

#[test]
fn starts_over_when_the_file_is_another() {
    let directory = fresh_directory("python-starts-over");
    let (output, _) = fetch(&directory, "v1", &contents(1), Fault::CutAt(50_000));
    assert_refused(&directory, &output, "run me again");
    let (output, _) = fetch(&directory, "v2", &contents(2), Fault::None);
    assert_refused(&directory, &output, "changed");
    let (output, _) = fetch(&directory, "v2", &contents(2), Fault::None);
    assert_fetched(&directory, &output, &contents(2));
}

/// A server that has one version for two contents is detected by the digest.
#[test]
fn notices_a_wrong_byte() {
    let directory = fresh_directory("python-notices");
    let (output, _) = fetch(&directory, "v1", &contents(1), Fault::FlipAt(60_000));
    assert_refused(&directory, &output, "start over");
    let (output, _) = fetch(&directory, "v1", &contents(1), Fault::CutAt(50_000));
    assert_refused(&directory, &output, "run me again");
    let (output, _) = fetch(&directory, "v1", &contents(2), Fault::None);
    assert_refused(&directory, &output, "start over");
    let (output, _) = fetch(&directory, "v1", &contents(2), Fault::None);
    assert_fetched(&directory, &output, &contents(2));
}
