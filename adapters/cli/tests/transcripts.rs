//! The transcripts of the protocol, over TCP, against `coracle serve`.

#[path = "../../../core/tests/transcripts/document.rs"]
mod document;
#[path = "../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[path = "../../../core/tests/transcripts/over_tcp.rs"]
mod over_tcp;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use coracle_core::{DigestKind, Hasher};
use document::{Document, Step, StoreLine, Transcript};
use over_tcp::Server;

/// The program, killed at the end of the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().expect("the program runs until here");
        self.0.wait().expect("the program ends");
    }
}

fn serve(directory: &Path, arguments: &[&str]) -> (Program, SocketAddr) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let output = program.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut line).expect("a first line");
    let address = line.trim().strip_prefix("listening on ").expect("where it listens");
    (Program(program), address.parse().expect("an address"))
}

fn read_document() -> Document {
    let mut document = Document::default();
    for text in [include_str!("../../../core/PROTOCOL.md"), include_str!("../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    document
}

/// A directory with the files of `store`.
fn directory_of(store: &[StoreLine]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a fresh directory");
    for (name, line) in store.iter().filter_map(|line| Some((line.file_name.as_ref()?, line))) {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        std::fs::write(path, line.contents()).expect("written");
    }
    directory
}

/// Those that need nobody else, no waiting and no fault of the store, each in a directory of its own: whole, and in pieces.
#[test]
fn over_tcp_to_a_directory() {
    let document = read_document();
    let mut failures = Vec::new();
    let mut played = 0;
    for transcript in document.transcripts.iter().filter(|transcript| is_of_a_client_that_writes(transcript)) {
        let store = document.store(&transcript.store).expect("the store is described");
        for piece_len in [usize::MAX, 1, 7] {
            let directory = directory_of(store);
            let used: usize =
                store.iter().filter(|line| line.file_name.is_some()).map(|line| line.contents().len()).sum();
            let quota = (used + 20_000).to_string();
            let arguments = ["--write", "--allow-plain-writes", "--max-file", "32768", "--quota", &quota];
            let (_program, address) = serve(directory.path(), &arguments);
            leave_uploads(address, store);
            let server = Server::at(address, true, store).expect("it answers").with_pieces(piece_len);
            if !server.can_play(transcript, 0) {
                continue;
            }
            failures.extend(server.play(transcript, store).err().map(|error| format!("{error} ({piece_len})")));
            played += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played > 3 * 20, "{played} times");
}

/// Whether what the transcript is about is nothing but the client and its files.
fn is_of_a_client_that_writes(transcript: &Transcript) -> bool {
    const WORKSHOP: [&str; 3] = ["put-resumes", "resume-of-other-bytes", "other-contents-for-a-name"];
    // A file that its owner has sealed is not written to by root alone.
    let is_of_desk = transcript.store == "desk" && transcript.name != "order-of-errors";
    // Windows stores at once what a client lets it defer, and tells the version, as the protocol allows.
    let is_answered_otherwise = cfg!(windows) && transcript.name == "sync";
    (is_of_desk && !is_answered_otherwise) || WORKSHOP.contains(&&transcript.name[..])
}

/// Puts the beginnings of files that earlier connections have left.
fn leave_uploads(address: SocketAddr, store: &[StoreLine]) {
    for line in store.iter().filter(|line| line.holder.is_none() && line.byte_ms == 0) {
        let (Some(name), Some(of)) = (&line.upload, &line.of) else { continue };
        let mut hasher = Hasher::new(DigestKind::Sha256).expect("it is there");
        hasher.update(of.as_bytes());
        let put = serde_json::json!({
            "type": "put", "fileName": name, "fileSize": of.len(), "sha256": hasher.finish().to_string()
        });
        let mut stream = BufReader::new(TcpStream::connect(address).expect("it listens"));
        stream.get_mut().write_all(format!("{put}\n").as_bytes()).expect("sent");
        let mut ready = String::new();
        stream.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("{\"type\":\"ready\""), "{ready}");
        stream.get_mut().write_all(&line.contents()).expect("sent");
        stream.get_mut().shutdown(Shutdown::Write).expect("connected");
        assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    }
}

#[test]
fn over_tcp_from_a_directory() {
    let document = read_document();
    let store = document.store("bench").expect("the store is described");
    let directory = directory_of(store);
    let mut policies: Vec<Option<&str>> = document.transcripts.iter().map(|one| one.text.as_deref()).collect();
    policies.sort_unstable();
    policies.dedup();
    assert!(policies.len() >= 3, "{policies:?}");
    for text in policies {
        let (_program, address) = serve(directory.path(), &["--on-text", text.unwrap_or("reject")]);
        let mut server = Server::at(address, true, store).expect("it answers");
        if let Some(text) = text {
            server = server.with_text(text);
        }
        play(&server, &document, store, if text.is_some() { 1 } else { 25 });
    }
}

/// Plays the transcripts that apply to `server`, of which there are at least `count`.
fn play(server: &Server, document: &Document, store: &[StoreLine], count: usize) {
    let transcripts = document.transcripts.iter().filter(|transcript| transcript.store == "bench");
    let played: Vec<_> = transcripts.filter(|transcript| server.can_play(transcript, 0)).collect();
    let outcomes = played.iter().map(|transcript| server.play(transcript, store));
    let failures: Vec<String> = outcomes.filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played.len() >= count, "{} transcripts", played.len());

    // Notices what the server does not send.
    for transcript in played {
        for index in 0..transcript.steps.len() {
            let mut wrong = transcript.clone();
            match &mut wrong.steps[index] {
                Step::Line(line) | Step::Message(line) => *line = line.replacen("\":", "_\":", 1),
                Step::Bytes(bytes) => bytes[0] ^= 1,
                Step::Slice { to, .. } => *to -= 1,
                _ => continue,
            }
            assert!(server.play(&wrong, store).is_err(), "{}, step {index}", wrong.name);
        }
    }
}
