//! Clients that write to the board.

use std::fs;
use std::net::SocketAddr;
use std::sync::OnceLock;

use coracle_core::DigestKind;
use serde_json::json;

use super::client::{Client, hex};
use super::document::{Document, Step, StoreLine, Transcript};
use super::emulator::{Board, InSlot, programs};
use super::over_tcp::Server;

/// The transcripts that write and that this board's store answers otherwise. All others that need nothing that it does not
/// offer, nobody else and no waiting are played; those are played to the board's adapter by a virtual clock.
const OTHERWISE: [(&str, &str); 24] = [
    ("no-room-before-a-body", "its flash has another size"),
    ("put-of-bad-names", "it has no directories to write to"),
    ("delete", "it has no directories to write to"),
    ("space", "it knows what is free, and no total"),
    ("do", "it has other actions"),
    ("somebody-was-faster", "a store with a fault"),
    ("no-space-inside-a-body", "a store with a fault"),
    ("failing-medium-inside-a-body", "a store with a fault"),
    ("commits-that-fail", "a store with a fault"),
    ("displaced-inside-a-body", "another client"),
    ("half-open-connection", "another client"),
    ("two-that-send", "another client"),
    ("delete-an-upload", "another client"),
    ("body-while-another-sends", "another client"),
    ("commit-of-another", "another client"),
    ("stop-while-another-sends", "another client"),
    ("heartbeats-of-a-slow-store", "a slow store"),
    ("heartbeats-while-reading-back", "a slow store"),
    ("heartbeat-before-ready", "a slow store"),
    ("heartbeats-of-a-commit", "a slow store"),
    ("put-that-stalls", "half a minute"),
    ("body-that-trickles", "a minute"),
    ("slow-line-ending", "ten seconds"),
    ("encrypted-connections-only", "it is not encrypted"),
];
/// What it does not offer.
const NOT_OFFERED: [&str; 3] = ["rename", "makeDir", "sync"];
/// What clients put in the transcripts.
const PUT: [&str; 6] = ["a.txt", "big.bin", "cfg.json", "led.json", "left.txt", "rotten.txt"];

/// The transcripts of PROTOCOL.md that write, on a board with their store: whole, byte by byte, and in pieces.
#[test]
fn the_transcripts_that_write_are_played() {
    let document = document();
    let in_slot = in_slot();
    let chips = tempfile::tempdir().expect("a fresh directory");
    let board = Board::boot_chip(in_slot, &chips.path().join("chip"), &["config=none", "made=off", "write=any"]);
    board.wait_for("listening on port 8888");
    let address: SocketAddr = board.address().parse().expect("an address");

    let is_otherwise = |name: &str| OTHERWISE.iter().any(|(otherwise, _)| *otherwise == name);
    let mut failures = Vec::new();
    let mut played = 0;
    for transcript in document.transcripts.iter().filter(|transcript| is_of_a_client_that_writes(transcript)) {
        if is_otherwise(&transcript.name) {
            continue;
        }
        for piece_len in [usize::MAX, 1, 7] {
            let store = document.store(&transcript.store).expect("the store is described");
            prepare(&board, transcript, store);
            let server = Server::at(address, false, store).expect("it answers").with_pieces(piece_len);
            assert!(server.can_play(transcript, 0), "{} is neither played nor listed", transcript.name);
            failures.extend(server.play(transcript, store).err().map(|error| format!("{error} ({piece_len})")));
        }
        played += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played >= 18, "{played} transcripts");
    for (name, why) in OTHERWISE {
        let is_there = document.transcripts.iter().any(|transcript| transcript.name == name);
        assert!(is_there, "there is no transcript {name} ({why})");
    }
}

fn document() -> Document {
    let mut document = Document::default();
    for text in [include_str!("../../../core/PROTOCOL.md"), include_str!("../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    document
}

/// The firmware in a slot, with the files of the transcripts' store that clients do not write; built once.
pub fn in_slot() -> &'static InSlot {
    static IN_SLOT: OnceLock<InSlot> = OnceLock::new();
    IN_SLOT.get_or_init(|| {
        let document = document();
        let desk = document.store("desk").expect("the store is described");
        let folder = tempfile::tempdir().expect("a fresh directory");
        // What cannot be written, and lies in directories, is compiled in.
        for (name, line) in files(desk).filter(|(name, line)| name.contains('/') || line.unwritable.is_some()) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            fs::write(path, line.contents()).expect("written");
        }
        programs();
        InSlot::build(folder.path())
    })
}

fn is_of_a_client_that_writes(transcript: &Transcript) -> bool {
    ["desk", "workshop"].contains(&&transcript.store[..])
        && transcript.rights.is_none()
        && transcript.unknown.is_none()
        && !transcript.features.iter().any(|word| NOT_OFFERED.contains(&&word[..]))
}

fn files(store: &[StoreLine]) -> impl Iterator<Item = (&str, &StoreLine)> {
    store.iter().filter_map(|line| Some((line.file_name.as_deref()?, line)))
}

/// Removes what an earlier transcript has left, and puts what the store has.
fn prepare(board: &Board, transcript: &Transcript, store: &[StoreLine]) {
    let mut client = Client::admitted(board);
    for name in PUT {
        for partial in [true, false] {
            let delete = json!({"type": "delete", "fileName": name, "partial": partial});
            // An upload is given up when the board has seen the end of its connection.
            while client.ask(&delete)["code"] == "inUse" {}
        }
    }
    for (name, line) in files(store).filter(|(name, line)| !name.contains('/') && line.unwritable.is_none()) {
        let contents = line.contents();
        begin(&mut client, name, &contents);
        client.send(&contents);
        assert_eq!(client.line()["type"], "end");
    }
    // The board keeps one upload: the one that the transcript is about.
    let is_named = |name: &str| {
        let name = format!("\"{name}\"");
        transcript.steps.iter().any(|step| matches!(step, Step::Line(line) if line.contains(&name)))
    };
    for line in store {
        let (Some(name), Some(of)) = (&line.upload, &line.of) else { continue };
        if !is_named(name) {
            continue;
        }
        let mut client = Client::admitted(board);
        begin(&mut client, name, of.as_bytes());
        client.send(&line.contents());
        client.finish();
        assert!(client.is_at_end());
    }
}

fn begin(client: &mut Client, name: &str, contents: &[u8]) {
    let sha256 = hex(DigestKind::Sha256, contents);
    let put = json!({"type": "put", "fileName": name, "fileSize": contents.len(), "sha256": sha256});
    client.send(format!("{put}\n").as_bytes());
    let ready = client.line();
    assert_eq!((ready["type"].as_str(), ready["offset"].as_u64()), (Some("ready"), Some(0)), "{ready}");
}
