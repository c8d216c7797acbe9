//! The transcripts of the protocol, over TCP, against `coracle serve`.

#[path = "../../../core/tests/transcripts/document.rs"]
mod document;
#[path = "../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[path = "../../../core/tests/transcripts/over_tcp.rs"]
mod over_tcp;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use document::{Document, Step, StoreLine};
use over_tcp::Server;

/// The program, killed at the end of the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().expect("the program runs until here");
        self.0.wait().expect("the program ends");
    }
}

fn serve(directory: &Path, text: Option<&str>) -> (Program, SocketAddr) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", "127.0.0.1:0", "--on-text", text.unwrap_or("reject")])
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

#[test]
fn over_tcp_from_a_directory() {
    let mut document = Document::default();
    for text in [include_str!("../../../core/PROTOCOL.md"), include_str!("../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    let store = document.store("bench").expect("the store is described");
    let directory = tempfile::tempdir().expect("a fresh directory");
    for line in store {
        let path = directory.path().join(line.file_name.as_ref().expect("only files"));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        std::fs::write(path, line.contents()).expect("written");
    }
    let mut policies: Vec<Option<&str>> = document.transcripts.iter().map(|one| one.text.as_deref()).collect();
    policies.sort_unstable();
    policies.dedup();
    assert!(policies.len() >= 3, "{policies:?}");
    for text in policies {
        let (_program, address) = serve(directory.path(), text);
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
