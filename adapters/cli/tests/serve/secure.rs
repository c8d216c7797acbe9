//! Serving encrypted: the options, the files of keys, and who is served.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use coracle::channel::{
    ChannelTransport, KeyPair, connect, create_psk, create_secret_key, new_psk, new_secret_key, read_psk,
};
use coracle::transport::TcpTransport;
use embedded_io::{Read as _, Write as _};
use socket2::Socket;

use crate::fixture::{HELLO, Program, code};

/// The files of a server's keys, and its clients.
struct Keys {
    directory: tempfile::TempDir,
    reader: KeyPair,
    writer: KeyPair,
}

impl Keys {
    fn new() -> Self {
        let pair = || KeyPair::new(new_secret_key().expect("random"));
        let this = Self { directory: tempfile::tempdir().expect("a directory"), reader: pair(), writer: pair() };
        create_secret_key(Path::new(&this.path("key")), &pair()).expect("written");
        create_psk(Path::new(&this.path("psk")), &new_psk().expect("random")).expect("written");
        this.authorize("");
        this
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("text").to_owned()
    }

    /// Writes the list, with `more` lines.
    fn authorize(&self, more: &str) {
        let list = format!("{} read\n{} read write # Ada\n{more}", self.reader.public(), self.writer.public());
        let new = self.path("new");
        fs::write(&new, list).expect("written");
        fs::rename(new, self.path("authorized")).expect("renamed");
    }

    /// The options for these files, and `more`.
    fn options(&self, more: &[&str]) -> Vec<String> {
        let files = [("--key", "key"), ("--psk", "psk"), ("--authorized", "authorized")];
        let options = files.iter().flat_map(|(option, name)| [(*option).to_owned(), self.path(name)]);
        options.chain(more.iter().map(|one| (*one).to_owned())).collect()
    }

    fn serve(&self, more: &[&str]) -> Program {
        let options = self.options(more);
        Program::start(&options.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What `serve` says that does not begin.
    fn refused(&self, more: &[&str]) -> (Option<i32>, String) {
        refused(&self.options(more))
    }

    fn connect(&self, program: &Program, key: &KeyPair) -> Sealed {
        let stream = std::net::TcpStream::connect(program.address).expect("connected");
        let psk = read_psk(Path::new(&self.path("psk"))).expect("read");
        let deadline = Instant::now() + Duration::from_secs(60);
        let transport = TcpTransport::new(Socket::from(stream));
        Sealed(connect(transport, key, Some(&psk), deadline, |_| true).expect("the handshake is made"))
    }
}

fn refused(options: &[String]) -> (Option<i32>, String) {
    let program = Command::new(env!("CARGO_BIN_EXE_coracle"));
    let output = run(program, options);
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

fn run(mut program: Command, options: &[String]) -> Output {
    program.args(["serve", "--listen", "127.0.0.1:0"]).args(options).output().expect("it ran")
}

struct Sealed(ChannelTransport<TcpTransport<Socket>>);

impl Sealed {
    /// What comes in answer to `text`, up to its line feed.
    fn ask(&mut self, text: impl AsRef<[u8]>) -> String {
        self.0.write_all(text.as_ref()).expect("sent");
        self.0.flush().expect("sent");
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\n") && self.0.read(&mut byte).expect("received") == 1 {
            answer.push(byte[0]);
        }
        String::from_utf8(answer).expect("text")
    }
}

const STAT: &str = r#"{"type":"stat","fileName":"a"}"#;
const PUT: &str = "{\"type\":\"put\",\"fileName\":\"b\",\"fileSize\":10,\"crc32\":\"a684c7c6\"}\n";

#[test]
fn with_a_key_only_encrypted_connections_are_served() {
    let keys = Keys::new();
    // Writing needs no other permission than the list's.
    let program = keys.serve(&["--write"]);
    let mut plain = program.connect();
    plain.send(HELLO);
    assert_eq!(code(&plain.line()), "encrypted");

    let mut reader = keys.connect(&program, &keys.reader);
    assert!(reader.ask(STAT).contains(r#""fileSize":5"#));
    assert_eq!(code(&reader.ask(PUT)), "denied");
    let mut writer = keys.connect(&program, &keys.writer);
    assert!(writer.ask(PUT).contains(r#""ready""#));
    assert!(writer.ask("0123456789").contains(r#""end""#));
    assert_eq!(fs::read(program.path("b")).expect("put"), b"0123456789");
    wait_for(&program, "put b 10 B");
    let log = program.log();
    let put = log.lines().find(|line| line.contains("put b ") && line.ends_with("ok")).expect("logged");
    assert!(put.contains(&format!("Ada {}", keys.writer.public())) && put.contains("version "), "{put}");
}

#[test]
fn e5_a_list_that_changes_is_in_force_and_a_wrong_one_is_not() {
    let keys = Keys::new();
    let program = keys.serve(&[]);
    let stranger = KeyPair::new(new_secret_key().expect("random"));
    let answer = keys.connect(&program, &stranger).ask(HELLO);
    assert!(code(&answer) == "denied" && answer.contains(&stranger.public().to_string()), "{answer}");
    keys.authorize(&format!("{} raed\n", stranger.public()));
    wait_for(&program, "the old ones stay in force");
    assert_eq!(code(&keys.connect(&program, &stranger).ask(HELLO)), "denied");
    keys.authorize(&format!("{} read\n", stranger.public()));
    wait_for(&program, "reloaded keys of 3 clients");
    assert!(keys.connect(&program, &stranger).ask(HELLO).contains(r#""type":"hello""#));
}

fn wait_for(program: &Program, text: &str) {
    for _ in 0..1200 {
        if program.log().contains(text) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{text:?} is not in\n{}", program.log());
}

#[test]
fn both_kinds_are_served_on_one_port_where_that_is_offered() {
    let keys = Keys::new();
    keys.authorize("plain read\n");
    let program = keys.serve(&["--encrypt", "offer", "--write"]);
    let mut plain = program.connect();
    plain.send(STAT);
    assert!(plain.line().contains(r#""fileSize":5"#));
    plain.send(PUT);
    assert_eq!(code(&plain.line()), "denied");
    assert!(keys.connect(&program, &keys.writer).ask(PUT).contains(r#""ready""#));

    // Writing in plain takes the owner's word beside the list's.
    keys.authorize("plain read write\n");
    let (exit, message) = keys.refused(&["--encrypt", "offer", "--write"]);
    assert!(
        exit == Some(5) && message.contains("authorized: line 3: ") && message.contains("--allow-plain-writes"),
        "{message}"
    );
    let program = keys.serve(&["--encrypt", "offer", "--write", "--allow-plain-writes"]);
    let mut plain = program.connect();
    plain.send(PUT);
    assert!(plain.line().contains(r#""ready""#));
}

#[test]
fn e10_no_server_begins_where_a_file_of_keys_is_wrong() {
    let keys = Keys::new();
    for name in ["key", "psk", "authorized"] {
        let path = keys.path(name);
        let good = fs::read(&path).expect("read");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("set");
        let (exit, message) = keys.refused(&[]);
        assert!(exit == Some(5) && message.contains(&path) && message.contains("others can"), "{message}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        fs::write(&path, "nothing of that kind\n").expect("written");
        let (exit, message) = keys.refused(&["--encrypt", "offer"]);
        assert!(exit == Some(5) && message.contains(&path), "{message}");
        fs::remove_file(&path).expect("removed");
        let (exit, message) = keys.refused(&[]);
        assert!(exit == Some(5) && message.contains(&path) && message.contains("No such file"), "{message}");
        fs::write(&path, good).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
    }
}

#[test]
fn e10_no_server_begins_where_it_would_serve_its_own_keys() {
    let keys = Keys::new();
    let outside = tempfile::tempdir().expect("a directory");
    let link = outside.path().join("key");
    std::os::unix::fs::symlink(keys.path("key"), &link).expect("linked");
    let key = link.to_str().expect("text");
    for (file, served) in [("key", ""), ("key", "key"), ("psk", ""), ("authorized", "")] {
        let option = format!("--{file}");
        let mut options = vec![keys.path(served), option, keys.path(file)];
        if file != "key" {
            options.extend(["--key".to_owned(), key.to_owned()]);
        }
        let (exit, message) = refused(&options);
        assert!(exit == Some(2) && message.contains("lies in what is served"), "{options:?}: {message}");
    }
    let (exit, message) = refused(&[keys.path(""), "--key".to_owned(), key.to_owned()]);
    assert!(exit == Some(2) && message.contains(key), "a link leads into it: {message}");
}

#[test]
fn options_that_contradict_each_other_are_named() {
    let keys = Keys::new();
    let key = keys.path("key");
    for (options, named) in [
        (vec!["--encrypt", "only"], "--key"),
        (vec!["--encrypt", "offer"], "--key"),
        (vec!["--key", &key, "--encrypt", "no"], "--encrypt"),
        (vec!["--key", &key, "--write"], "--authorized"),
        (vec!["--psk", &key], "--key"),
        (vec!["--authorized", &key], "--key"),
        (vec!["--write"], "--allow-plain-writes"),
    ] {
        let options: Vec<String> = options.into_iter().map(str::to_owned).collect();
        let (exit, message) = refused(&options);
        assert!(exit == Some(2) && message.contains(named), "{options:?}: {message}");
    }
}
