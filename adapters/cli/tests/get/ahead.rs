//! `coracle get` against a server at the end of a long link: it answers only when the requests have arrived that a client
//! sends which does not wait for each answer.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::support::{HELLO, TestDirectory, crc32};

/// How many requests arrive before the first answer, then before the next ones, and so on. With `-r` the first is a hello.
type RoundTrips = &'static [usize];

/// A server of one connection. The root holds `f0` to `f59`; `dirs` holds 60 empty directories. Returns its address, and the
/// thread, which ends with the connection.
fn serve(round_trips: RoundTrips) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address").to_string();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        // The client may have ended, which its own output tells.
        let send = |answer: String| drop((&stream).write_all(answer.as_bytes()));
        let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("a line"));
        for count in round_trips {
            let requests: Vec<_> = lines.by_ref().take(*count).collect();
            for request in requests {
                send(answer(&serde_json::from_str(&request).expect("JSON")));
            }
        }
        assert!(lines.next().is_none(), "a request more");
    });
    (address, thread)
}

fn answer(request: &Value) -> String {
    if request["type"] == "hello" {
        return String::from_utf8(HELLO.to_vec()).expect("UTF-8");
    }
    let lines: Vec<Value> = match (request["type"].as_str(), request["path"].as_str()) {
        (Some("list"), path @ (None | Some("dirs"))) => {
            let entry = |at| match path {
                None => json!({"type": "entry", "fileName": format!("f{at}"), "fileSize": 4}),
                Some(path) => json!({"type": "entry", "fileName": format!("{path}/{at}"), "directory": true}),
            };
            (0..60).map(entry).chain([json!({"type": "end", "count": 60})]).collect()
        }
        (Some("list"), Some(_)) => vec![json!({"type": "end", "count": 0})],
        _ => {
            let header = json!({"type": "file", "fileName": request["fileName"], "fileSize": 4, "offset": 0, "length": 4,
                "chunkSize": 1024, "readCnt": 1, "lastSize": 4, "version": "v1", "digest": "crc32"});
            return format!("{header}\nabcd{}\n", json!({"type": "end", "crc32": crc32(b"abcd")}));
        }
    };
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn c24_files_of_the_command_line_are_asked_for_ahead() {
    let local = TestDirectory::new();
    let names: Vec<_> = (0..60).map(|at| format!("f{at}")).collect();
    let mut args = vec!["get", "--stall-timeout", "20s"];
    let (address, server) = serve(&[1, 8, 51]);
    args.push(&address);
    args.extend(names.iter().map(String::as_str));
    local.run(&args).exits_with(0);
    server.join().expect("no request more");
    assert!(names.iter().all(|name| local.read(name) == b"abcd"));
}

#[test]
fn c24_files_of_a_directory_are_asked_for_ahead() {
    let local = TestDirectory::new();
    let (address, server) = serve(&[1, 1, 8, 52]);
    local.run(&["get", "--stall-timeout", "20s", "-r", &address]).exits_with(0);
    server.join().expect("no request more");
    assert!((0..60).all(|at| local.read(&format!("f{at}")) == b"abcd"));
}

#[test]
fn c24_directories_are_listed_ahead() {
    let local = TestDirectory::new();
    let (address, server) = serve(&[1, 1, 8, 52]);
    local.run(&["get", "--stall-timeout", "20s", "-r", &address, "dirs"]).exits_with(0);
    server.join().expect("no request more");
    assert!((0..60).all(|at| local.path(&format!("dirs/{at}")).is_dir()));
}
