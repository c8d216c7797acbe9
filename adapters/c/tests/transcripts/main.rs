//! The transcripts of the protocol, played against the functions of C with a virtual clock.
#![allow(unexpected_cfgs, reason = "the documents' store has features of the core's, which this crate has not")]

mod callbacks;
// The core's own test uses the rest of these.
#[path = "../../../../core/tests/transcripts/document.rs"]
mod document;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[path = "../../../../core/tests/transcripts/output.rs"]
mod output;
mod play;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/settings.rs"]
mod settings;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/store.rs"]
mod store;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/uploads.rs"]
mod uploads;
mod writing;

use document::{Document, Step, StoreLine, Transcript};
use play::play;
use settings::{Pieces, has_arrivals};

fn document() -> Document {
    let mut document = Document::default();
    for text in [include_str!("../../../../core/PROTOCOL.md"), include_str!("../../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    document
}

/// Whether the functions can: they have no dialect and no log that drops its head, keep no file that was replaced, refuse as `busy`
/// alone, tell no key but of an encrypted client, and have requests of one length.
fn is_playable(transcript: &Transcript, store: &[StoreLine]) -> bool {
    let known = ["list", "stat", "get", "put", "delete", "rename", "makeDir", "space", "do", "wait", "sha256"];
    transcript.features.iter().all(|word| known.contains(&word.trim_start_matches('!')))
        && transcript.text.is_none()
        && transcript.unknown.is_none()
        && transcript.max_request.is_none()
        && transcript.refusing.as_deref().is_none_or(|word| word == "busy")
        && !transcript.steps.contains(&Step::Displace)
        && !transcript.steps.iter().any(|step| matches!(step, Step::Line(line) if line.contains("tooLong")))
        && !store.iter().any(|line| line.kept)
}

fn playable(document: &Document) -> Vec<(&Transcript, &[StoreLine])> {
    let stores = document.transcripts.iter().map(|transcript| document.store(&transcript.store).expect("its store"));
    document.transcripts.iter().zip(stores).filter(|(transcript, store)| is_playable(transcript, store)).collect()
}

fn play_all(pieces: &Pieces) {
    let document = document();
    let played = playable(&document);
    let in_pieces = |transcript| if has_arrivals(transcript) { Pieces::Whole } else { pieces.clone() };
    let outcomes = played.iter().map(|(transcript, store)| play(transcript, store, in_pieces(transcript)));
    let failures: Vec<String> = outcomes.filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{pieces:?}:\n{}", failures.join("\n"));
    let writing = played.iter().filter(|(transcript, _)| ["desk", "workshop"].contains(&&transcript.store[..])).count();
    let limited = played.iter().filter(|(transcript, _)| transcript.rights.is_some()).count();
    assert!(played.len() > 120 && writing > 40 && limited > 5, "{}: {writing}, {limited}", played.len());
}

#[test]
fn i3_whole() {
    play_all(&Pieces::Whole);
}

#[test]
fn i3_byte_by_byte() {
    play_all(&Pieces::Each(1));
}

#[test]
fn random_splits() {
    for seed in 1..=3 {
        play_all(&Pieces::Random(seed));
    }
}

/// Each transcript fails when one of its lines is another one.
#[test]
fn a_wrong_answer_is_noticed() {
    let document = document();
    let mut altered = 0;
    for (transcript, store) in playable(&document) {
        for index in 0..transcript.steps.len() {
            let mut wrong = transcript.clone();
            let Step::Line(line) = &mut wrong.steps[index] else { continue };
            line.insert(line.len() - 1, ' ');
            assert!(play(&wrong, store, Pieces::Whole).is_err(), "{}, {index}", transcript.name);
            altered += 1;
        }
    }
    assert!(altered > 60, "{altered}");
}
