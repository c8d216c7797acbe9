//! Servers without a free place, or that stop: clients come again when the server says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::json;

use crate::support::{Server, TestDirectory, finish};

const HELLO: &[(&str, &[u8])] = &[("hello", b"hello, world")];

/// More often than there are retries; a server of today says when to come again, an older one does not.
#[test]
fn c20_a_full_server_is_waited_for() {
    for (code, retry_ms) in [("busy", None), ("busy", Some(json!(1))), ("shuttingDown", Some(json!(0)))] {
        let local = TestDirectory::new();
        let told = retry_ms.clone();
        let server = Server::new(move |mut exchange| match exchange.number {
            0..3 => {
                let mut line = json!({"type": "error", "code": code, "message": "full"});
                if let Some(retry_ms) = &told {
                    line["retry_ms"] = retry_ms.clone();
                }
                exchange.line(&line);
                exchange.cut();
            }
            _ => exchange.honest(HELLO),
        });
        local.get(&server, &["hello", "--retries", "1"]).exits_with(0).prints_error("trying again in");
        assert_eq!((server.requests(), local.read("hello")), (4, b"hello, world".to_vec()), "{code} {retry_ms:?}");
        // Who wants no retries does not wait.
        let full = Server::new(move |mut exchange| {
            exchange.line(&json!({"type": "error", "code": code, "message": "full", "retry_ms": 600_000}));
            exchange.cut();
        });
        local.get(&full, &["hello", "--force", "--retries", "0"]).exits_with(3);
        assert_eq!(full.requests(), 1);
    }
}

#[test]
fn m30_ls_and_stat_tell_of_their_retries() {
    let local = TestDirectory::new();
    for command in [["ls", "."], ["stat", "hello"]] {
        for quiet in [false, true] {
            let server = Server::new(move |mut exchange| match (exchange.number, exchange.kind()) {
                (0, _) => exchange.cut(),
                (_, "list") => exchange.line(&json!({"type": "end", "count": 0})),
                _ => exchange.honest(HELLO),
            });
            let mut args = vec![command[0], &server.address, command[1]];
            args.extend(quiet.then_some("-q"));
            let result = local.run(&args);
            result.exits_with(0);
            assert_eq!(result.stderr.contains("trying again in"), !quiet, "{}", result.stderr);
        }
    }
}

/// Twice as many tries as there are retries by default would not have been enough for most of them.
#[test]
fn c20_twenty_clients_of_a_server_with_two_places_are_all_served() {
    const CLIENTS: usize = 20;
    let (local, served) = (TestDirectory::new(), TestDirectory::new());
    served.write("hello", "hello, world");
    let mut server = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", "127.0.0.1:0", "--max-clients", "2"])
        .arg(served.root.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server");
    let mut first = String::new();
    BufReader::new(server.stdout.take().expect("its output")).read_line(&mut first).expect("a line");
    let address = first.trim().strip_prefix("listening on ").expect("an address").to_owned();
    let mut log = BufReader::new(server.stderr.take().expect("its log")).lines().map_while(Result::ok);
    // Both places are taken until everybody was refused at least once.
    let taken: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut client = TcpStream::connect(&address).expect("connected");
            client.write_all(b"{\"type\":\"hello\"}").expect("sent");
            client.read_exact(&mut [0]).expect("answered");
            client
        })
        .collect();
    let names: Vec<String> = (0..CLIENTS).map(|number| format!("copy-{number}")).collect();
    let clients: Vec<_> = names.iter().map(|name| local.start(&["get", &address, "hello", "-o", name])).collect();
    assert_eq!(log.by_ref().filter(|line| line.contains("busy")).take(CLIENTS).count(), CLIENTS);
    drop(taken);
    let log = thread::spawn(move || log.for_each(drop));
    for (client, name) in clients.into_iter().zip(&names) {
        finish(client).exits_with(0);
        assert_eq!(local.read(name), b"hello, world");
    }
    server.kill().expect("killed");
    server.wait().expect("waited for");
    log.join().expect("read to its end");
}
