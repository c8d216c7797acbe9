//! The board fails or loses power, and restarts.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use coracle_core::DigestKind;
use serde_json::json;

use super::client::{Client, hex, image};
use super::emulator::{Board, programs};

/// Boots a board that fails in this way, and checks its exit status and its log.
fn assert_reason(argument: &str, status: i32, reason: &str) {
    let board = Board::boot(&programs().firmware, &["config=none", argument]);
    let (ended, log) = board.wait();
    assert_eq!(ended.code(), Some(status), "{log:#?}");
    assert!(log.iter().any(|line| line.contains(reason)), "{log:#?}");
}

#[test]
fn w13_a_panic_has_a_reason() {
    assert_reason("fail=panic", 101, "panicked at src/fault.rs:");
    assert_reason("fail=fault", 102, "hard fault at 0x");
}

#[test]
fn w14_a_loop_that_stands_still_is_ended_by_the_watchdog() {
    assert_reason("fail=stall", 103, "watchdog: the main loop stood still");
}

/// Files in RAM have new versions after a restart, so that no client resumes old contents.
#[test]
fn versions_are_not_used_again() {
    let mut versions = Vec::new();
    for _ in 0..3 {
        let board = Board::start(&["config=none"]);
        let mut client = Client::connect(&board);
        for name in ["boot.log", "status.json"] {
            let header = client.ask(&json!({"type": "stat", "fileName": name}));
            versions.push(header["version"].as_str().expect("a version").to_owned());
        }
        let image = client.ask(&json!({"type": "stat", "fileName": "image.bin"}));
        assert_eq!(image["version"], "sha256-1639fbbaeb99ef8b", "what is in flash keeps its own");
    }
    let all = versions.len();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), all);
}

/// Power is cut in the middle of a fetch. The program resumes after the board has restarted.
#[test]
fn a_fetch_survives_the_boards_restart() {
    let folder = tempfile::tempdir().expect("a fresh directory");
    let board = Board::start(&["config=none"]);
    let proxy = Proxy::start(&board, 300_000);
    let output = folder.path().join("image.bin");
    let address = format!("127.0.0.1:{}", proxy.port);
    let get = Command::new(&programs().coracle)
        .args(["get", &address, "image.bin", "--digest", "sha256", "--retries", "20", "-o"])
        .arg(&output)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    proxy.wait_until_cut();
    board.kill();
    let board = Board::start(&["config=none"]);
    proxy.lead_to(&board);
    let ended = get.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(hex(DigestKind::Sha256, &fs::read(output).expect("fetched")), hex(DigestKind::Sha256, &image()));
    board.wait_for(" bytes");
    let log = board.log();
    let len = log.iter().find_map(|line| line.strip_suffix(" bytes")?.rsplit(' ').next()?.parse().ok());
    let len: usize = len.expect("the board tells of the body that it sent");
    assert!(len > 0 && len < (1 << 20) - 100_000, "all of it was fetched again: {log:#?}");
}

/// A proxy to the board. Cuts the first connection after so many bytes from it, and accepts none until it is given another
/// board.
struct Proxy {
    port: u16,
    /// 0 without a board.
    board: Arc<AtomicU16>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(board: &Board, cut_after: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
        let port = listener.local_addr().expect("bound").port();
        let this = Self { port, board: Arc::new(AtomicU16::new(board.port())), cuts: Arc::default() };
        let (board, cuts) = (this.board.clone(), this.cuts.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let port = board.load(Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let left = if cuts.load(Ordering::SeqCst) == 0 { cut_after } else { usize::MAX };
                let (board, cuts) = (board.clone(), cuts.clone());
                std::thread::spawn(move || {
                    forward(client, server, left, || {
                        board.store(0, Ordering::SeqCst);
                        cuts.fetch_add(1, Ordering::SeqCst);
                    });
                });
            }
        });
        this
    }

    fn wait_until_cut(&self) {
        let end = std::time::Instant::now() + super::emulator::TIMEOUT;
        while self.cuts.load(Ordering::SeqCst) == 0 {
            assert!(std::time::Instant::now() < end, "nothing was fetched");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn lead_to(&self, board: &Board) {
        self.board.store(board.port(), Ordering::SeqCst);
    }
}

/// Passes bytes both ways, at most `left` from the board; then calls `cut`, and resets the connection.
fn forward(client: TcpStream, server: TcpStream, mut left: usize, cut: impl FnOnce()) {
    let (mut from_client, mut to_server) = (&client, server.try_clone().expect("a socket"));
    let mut there = from_client.try_clone().expect("a socket");
    let thread = std::thread::spawn(move || {
        // Either end may close at any time.
        let _ = std::io::copy(&mut there, &mut to_server);
        // It may be gone.
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut from_server = &server;
    let mut buf = [0; 16 * 1024];
    while let Ok(len) = from_server.read(&mut buf)
        && len > 0
        && left > 0
    {
        let len = len.min(left);
        left -= len;
        if from_client.write_all(&buf[..len]).is_err() {
            break;
        }
    }
    if left == 0 {
        cut();
    }
    for socket in [&client, &server] {
        // It may be closed already.
        let _ = socket.shutdown(Shutdown::Both);
    }
    thread.join().expect("it does not panic");
}
