//! Servers that are known by their keys: `--pin`, `--key`, `--psk`, pins and the hosts file.

mod asking;
mod commands;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use support::{Server, User, key, psk};

#[test]
fn a_pin_of_the_run_encrypts_it() {
    let (server, user) = (Server::start(0x51, Vec::new()), User::new());
    let pin = key(0x51).public().to_string();
    user.run(&["ls", &server.address(), "--pin", &pin]).prints(0, "motd\n");
    user.run(&["get", &server.address(), "motd", "-q", "--pin", &pin]).prints(0, "");
    assert_eq!(fs::read_to_string(user.path("motd")).expect("fetched"), "Mind the step.\n");
    let load = user.run(&["load", &server.address(), "--pin", &pin, "-n", "20", "-c", "2", "--json"]);
    assert_eq!(load.code, Some(0), "{load:?}");
    assert!(!user.configuration("pins").exists(), "what is given for a run is not kept");
}

#[test]
fn e4_another_server_is_told_with_both_keys_and_with_whose_it_is() {
    let (server, user) = (Server::start(0x52, Vec::new()), User::new());
    let (meant, shown) = (key(0x51).public().to_string(), key(0x52).public().to_string());
    let ended = user.run(&["get", &server.address(), "motd", "--pin", &meant]);
    ended.fails(4, &[&meant, &shown, "somebody is in between"]);
    user.configure("hosts", &format!("bench-12 10.0.0.9 pin={shown}\nbench-17 {} pin={meant}\n", server.address()));
    let ended = user.run(&["get", "bench-17", "motd"]);
    ended.fails(4, &[&meant, &shown, "This is bench-12:8888, not bench-17:"]);
    assert!(!ended.err.contains("coracle key"), "nothing to paste: {}", ended.err);
    assert!(!user.path("motd").exists() && server.clients.lock().expect("no panic").is_empty());
}

#[test]
fn an_unknown_server_is_refused_where_nobody_can_be_asked() {
    let (server, user) = (Server::start(0x51, Vec::new()), User::new());
    user.keep_key("mine", 0x61);
    let ended = user.run(&["ls", &server.address(), "--key", "mine"]);
    ended.fails(4, &[&key(0x51).public().to_string(), "--pin"]);
    assert!(!user.configuration("pins").exists() && server.clients.lock().expect("no panic").is_empty());
}

#[test]
fn what_is_pinned_is_talked_to_encrypted_until_it_is_forgotten() {
    let (server, user) = (Server::start(0x51, Vec::new()), User::new());
    let (pin, address) = (key(0x51).public().to_string(), server.address());
    let other = key(0x52).public().to_string();
    user.run(&["key", "pin", &address, &pin, &other]).prints(0, "");
    let weak = user.run(&["key", "pin", "10.0.0.9", &pin]);
    assert!(weak.code == Some(0) && weak.err.contains("DHCP"), "{weak:?}");
    user.run(&["key", "pin", "-q", "10.0.0.9:1", &pin]).prints(0, "");
    user.run(&["key", "forget", "10.0.0.9"]).prints(0, "");
    user.run(&["key", "forget", "10.0.0.9:1"]).prints(0, "");
    user.run(&["ls", &address]).prints(0, "motd\n");
    user.run(&["key", "list"]).prints(0, &format!("{address} {pin} pins\n{address} {other} pins\n"));
    user.run(&["key", "forget", &address, &other]).prints(0, "");
    let listed = user.run(&["key", "list", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&listed.out).expect("one line");
    assert_eq!(line, serde_json::json!({ "server": address, "key": pin, "from": "pins" }));
    user.run(&["key", "forget", &address]).prints(0, "");
    user.run(&["key", "forget", &address]).fails(5, &["no such pin"]);
    user.run(&["key", "list"]).prints(0, "");
    // In plain again, which this server answers with a close.
    assert_eq!(user.run(&["ls", &address, "--retries", "0"]).code, Some(3));
}

#[test]
fn a_name_stands_for_an_address_and_keys() {
    let (server, user) = (Server::start(0x51, vec![psk(0x71)]), User::new());
    user.keep_psk("configuration/coracle/bench.psk", 0x71);
    user.keep_key("mine", 0x61);
    let line = format!("bench {} psk=bench.psk key=~/mine pin={}", server.address(), key(0x51).public());
    user.configure("hosts", &format!("# benches\n{line} # by the door\nelsewhere 127.0.0.1:1 psk=bench.psk\n"));
    user.run(&["ls", "bench"]).prints(0, "motd\n");
    assert_eq!(server.clients.lock().expect("no panic")[..], [*key(0x61).public()]);
    user.run(&["key", "list"]).prints(0, &format!("bench:{} {} hosts\n", server.address.port(), key(0x51).public()));
    user.run(&["key", "forget", &format!("bench:{}", server.address.port())]).fails(5, &["yours to change"]);
    // A pin of the name counts beside those of the file, and a port that is typed takes the place of the line's.
    let port = server.address.port();
    user.run(&["key", "pin", &format!("elsewhere:{port}"), &key(0x51).public().to_string()]).prints(0, "");
    user.run(&["ls", &format!("elsewhere:{port}")]).prints(0, "motd\n");
}

#[test]
fn ones_own_key_is_shown_where_a_server_is_known() {
    let (server, user) = (Server::start(0x51, Vec::new()), User::new());
    user.run(&["ls", &server.address(), "--pin", &key(0x51).public().to_string()]).prints(0, "motd\n");
    user.keep_key("configuration/coracle/key", 0x61);
    user.run(&["ls", &server.address(), "--pin", &key(0x51).public().to_string()]).prints(0, "motd\n");
    let clients = server.clients.lock().expect("no panic");
    assert!(clients.len() == 2 && clients[0] != *key(0x61).public() && clients[1] == *key(0x61).public());
}

#[test]
fn e5_another_pre_shared_key_is_told_with_the_likely_causes() {
    let (server, user) = (Server::start(0x51, vec![psk(0x71)]), User::new());
    user.keep_psk("old.psk", 0x72);
    user.keep_psk("bench.psk", 0x71);
    let pin = key(0x51).public().to_string();
    for psks in [&["--psk", "old.psk"][..], &[]] {
        let ended = user.run(&[&["get", &server.address(), "motd", "--pin", &pin], psks].concat());
        ended.fails(3, &["message 1 of the handshake was not answered: another pre-shared key", "another program"]);
        assert_eq!(ended.err.lines().count(), 1, "it is not tried again: {}", ended.err);
    }
    server.wait_for_failures(2);
    user.run(&["ls", &server.address(), "--pin", &pin, "--psk", "old.psk", "--psk", "bench.psk"]).prints(0, "motd\n");
    assert!(!user.path("motd").exists());
}

#[test]
fn e10_a_file_that_cannot_be_read_is_no_reason_to_talk_in_plain() {
    let user = User::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("set");
    let address = listener.local_addr().expect("an address").to_string();
    let pin = key(0x51).public().to_string();
    user.keep_key("exposed", 0x61);
    fs::set_permissions(user.path("exposed"), fs::Permissions::from_mode(0o644)).expect("set");
    user.keep_key("mine", 0x61);
    user.run(&["ls", &address, "--key", "none"]).fails(5, &["none: "]);
    user.run(&["ls", &address, "--key", "exposed"]).fails(5, &["exposed: ", "chmod 600"]);
    user.run(&["ls", &address, "--psk", "mine"]).fails(5, &["mine: ", "another kind of key"]);
    user.run(&["ls", &address, "--pin", &pin[..60]]).fails(2, &["mistyped or cut"]);
    user.run(&["ls", &address, "--psk", "a", "--psk", "b", "--psk", "c"]).fails(2, &["two pre-shared keys at most"]);
    user.configure("hosts", "nas 10.0.0.1\nbench\n");
    user.run(&["ls", &address]).fails(5, &["hosts:2: bench has no address"]);
    user.configure("hosts", "bench 127.0.0.1 psk=gone.psk\n");
    user.run(&["ls", "bench"]).fails(5, &["gone.psk: "]);
    user.configure("hosts", "");
    user.configure("pins", &format!("{address} ck1\n"));
    user.run(&["ls", &address]).fails(5, &["pins:1: "]);
    user.run(&["load", &address]).fails(5, &["pins:1: "]);
    user.configure("pins", "");
    user.configure("key", "not a key\n");
    user.run(&["ls", &address, "--pin", &pin]).fails(5, &["coracle/key: "]);
    assert!(listener.accept().is_err(), "nobody has connected");
}

#[test]
fn e4_a_known_server_that_answers_in_plain_is_not_believed() {
    let user = User::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address").to_string();
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut heard = vec![0; 52];
        stream.read_exact(&mut heard).expect("message 1");
        stream
            .write_all(b"{\"type\":\"error\",\"code\":\"notFound\",\"message\":\"no\x1b such file\"}\n")
            .expect("sent");
        stream.read_to_end(&mut heard).expect("the client leaves");
        heard
    });
    let ended = user.run(&["get", &address, "motd", "--pin", &key(0x51).public().to_string()]);
    ended.fails(3, &["answered in plain", "nobody has authenticated it", "notFound"]);
    assert!(!ended.err.contains('\x1b'));
    let heard = heard.join().expect("no panic");
    assert!(heard.len() == 52 && heard.starts_with(&[0xc0, 1]), "{heard:?}");
}
