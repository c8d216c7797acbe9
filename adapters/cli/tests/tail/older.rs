//! Servers of before there was waiting.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{LOG, Serve, Tail};

/// What they do not know: words of `features`, and members of requests, which they skip.
const UNKNOWN_FEATURES: [&str; 2] = ["wait", "absolute"];
const UNKNOWN_MEMBERS: [&str; 2] = ["wait_ms", "absolute"];

/// A server as it was then: one of today, behind a relay that leaves out what the older one does not know.
struct Older {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Older {
    fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let older = Self { address, requests: Arc::default() };
        let (server, requests) = (server.to_owned(), Arc::clone(&older.requests));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let both = || (client.try_clone().expect("a clone"), server.try_clone().expect("a clone"));
                let ((from_client, to_server), (to_client, from_server)) = (both(), both());
                let requests = Arc::clone(&requests);
                thread::spawn(move || {
                    pass_requests(from_client, &to_server, &requests);
                    // The other end may be gone already.
                    drop(to_server.shutdown(Shutdown::Both));
                });
                thread::spawn(move || {
                    pass_answers(from_server, &to_client);
                    drop(to_client.shutdown(Shutdown::Both));
                });
            }
        });
        older
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn pass_requests(client: TcpStream, mut server: &TcpStream, requests: &AtomicUsize) {
    for request in serde_json::Deserializer::from_reader(client).into_iter::<Value>() {
        let Ok(mut request) = request else { return };
        requests.fetch_add(1, Ordering::SeqCst);
        let members = request.as_object_mut().expect("an object");
        members.retain(|name, _| !UNKNOWN_MEMBERS.contains(&name.as_str()));
        if server.write_all(request.to_string().as_bytes()).is_err() {
            return;
        }
    }
}

/// A client asks for nothing more before it has the answer to its `hello`, so that this begins what is read.
fn pass_answers(server: TcpStream, mut client: &TcpStream) {
    let mut server = BufReader::new(server);
    loop {
        let mut answer = match server.fill_buf() {
            Ok(bytes) if !bytes.is_empty() => bytes.to_vec(),
            _ => return,
        };
        if answer.starts_with(br#"{"type":"hello""#) {
            let mut line = String::new();
            server.read_line(&mut line).expect("a line");
            let mut hello: Value = serde_json::from_str(&line).expect("JSON");
            let features = hello["features"].as_array_mut().expect("a list");
            assert!(features.contains(&"wait".into()), "{line}");
            features.retain(|feature| !UNKNOWN_FEATURES.contains(&feature.as_str().expect("a word")));
            answer = format!("{hello}\n").into_bytes();
        } else {
            server.read_exact(&mut answer).expect("what was read already");
        }
        if client.write_all(&answer).is_err() {
            return;
        }
    }
}

#[test]
fn l1_l4_a_log_of_a_server_that_cannot_wait_is_asked_for_again_and_again() {
    let mut serve = Serve::new(&[]);
    serve.write(LOG, "first\n");
    let older = Older::new(&serve.address);
    let tail = Tail::start(&["-f", &older.address, LOG]);
    let mut printed = "first\n".to_owned();
    tail.prints(&printed);
    let (begin, requests) = (Instant::now(), older.requests());
    for number in 0..3 {
        let line = format!("appended {number}\n");
        serve.append(&line);
        printed.push_str(&line);
        tail.prints(&printed);
    }
    // One may have been on its way; pauses of 50 ms and more are before the others.
    while older.requests() < requests + 10 {
        thread::sleep(Duration::from_millis(2));
    }
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    assert_eq!(tail.err(), "");
    // Rotated, truncated, and written to the size that it had.
    let begins_anew =
        |len| format!("-- what boot.log had behind byte {len} is not known --\n-- boot.log begins anew --\n");
    let mut told = begins_anew(printed.len());
    fs::rename(serve.path(LOG), serve.path("boot.log.1")).expect("renamed");
    let mut replace = |line: &str| {
        serve.write(LOG, line);
        printed.push_str(line);
        tail.prints(&printed);
    };
    replace("renamed\n");
    for line in ["cut\n", "new\n"] {
        replace(line);
    }
    told += &begins_anew("renamed\n".len());
    told += &begins_anew("cut\n".len());
    let without_outages = |told: &str| {
        let mut lines: Vec<_> = told.split_inclusive('\n').collect();
        lines.retain(|line| !["-- boot.log is not there, waiting for it --\n", "-- going on --\n"].contains(line));
        lines.concat()
    };
    // A look may have fallen between the two steps of the rotation.
    assert_eq!(without_outages(&tail.err()), told);
    serve.stop();
    tail.tells("-- unreachable, trying again --", 1);
    serve.restart();
    serve.append("back\n");
    tail.prints(printed + "back\n");
    tail.tells("-- boot.log begins anew --", 3);
}
