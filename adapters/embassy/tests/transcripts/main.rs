//! The transcripts of the protocol, played against `serve` with a virtual clock.

// The core's own test uses the rest of these.
#[path = "../../../../core/tests/transcripts/document.rs"]
mod document;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[path = "../../../../core/tests/transcripts/output.rs"]
mod output;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/permits.rs"]
mod permits;
mod play;
mod script;
#[path = "../../../../core/tests/transcripts/settings.rs"]
mod settings;
mod slow;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/store.rs"]
mod store;
#[allow(dead_code)]
#[path = "../../../../core/tests/transcripts/uploads.rs"]
mod uploads;

use document::{Document, Step, StoreLine, Transcript};
use play::{Kind, play};
use settings::Pieces;

fn document() -> Document {
    let mut document = Document::default();
    for text in [include_str!("../../../../core/PROTOCOL.md"), include_str!("../../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    document
}

/// Whether this owner can play it: it has no classic dialect and no policy for text, and ends no session in favour of another.
fn is_playable(transcript: &Transcript) -> bool {
    transcript.text.is_none()
        && !transcript.steps.contains(&Step::Displace)
        && !transcript.features.iter().any(|word| word == "classic" || word == "sync")
}

fn store_of<'d>(document: &'d Document, transcript: &Transcript) -> &'d [StoreLine] {
    document.store(&transcript.store).expect("the store is described")
}

fn play_all(kind: Kind, pieces: &Pieces, buf_len: usize) {
    let document = document();
    let played: Vec<_> = document.transcripts.iter().filter(|transcript| is_playable(transcript)).collect();
    let outcomes = played
        .iter()
        .map(|transcript| play(transcript, store_of(&document, transcript), kind, pieces.clone(), buf_len));
    let failures: Vec<String> = outcomes.filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{kind:?}, {pieces:?}, buffers of {buf_len}:\n{}", failures.join("\n"));
    let writing = played.iter().filter(|transcript| ["desk", "workshop"].contains(&&transcript.store[..])).count();
    assert!(writing > 40 && played.len() > writing + 40, "{writing} of {} transcripts write", played.len());
}

#[test]
fn whole() {
    for kind in Kind::ALL {
        play_all(kind, &Pieces::Whole, 4096);
    }
}

#[test]
fn byte_by_byte() {
    for kind in Kind::ALL {
        play_all(kind, &Pieces::Each(1), 1);
    }
}

#[test]
fn odd_pieces() {
    for (kind, (len, buf_len)) in Kind::ALL.into_iter().zip([(7, 64), (100, 300), (3, 512)]) {
        play_all(kind, &Pieces::Each(len), buf_len);
    }
}

#[test]
fn random_splits() {
    let seeds = if std::env::var_os("CORACLE_QUICK").is_some() { 1..=1 } else { 1..=5 };
    for (seed, buf_len) in seeds.zip([1024, 100, 31, 513, 2000]) {
        for kind in Kind::ALL {
            play_all(kind, &Pieces::Random(seed), buf_len);
        }
    }
}

/// Each transcript fails when one of its lines is another one, or its end is.
#[test]
fn a_wrong_answer_is_noticed() {
    let document = document();
    let mut altered = 0;
    for transcript in document.transcripts.iter().filter(|transcript| is_playable(transcript)) {
        for index in 0..transcript.steps.len() {
            let mut wrong = transcript.clone();
            match &mut wrong.steps[index] {
                Step::Line(line) => line.insert(line.len() - 1, ' '),
                Step::Slice { to, .. } => *to -= 1,
                step @ Step::Close => *step = Step::Abort,
                step @ Step::Abort => *step = Step::Close,
                _ => continue,
            }
            let outcome = play(&wrong, store_of(&document, transcript), Kind::Stream, Pieces::Whole, 4096);
            assert!(outcome.is_err(), "{}, {index}", transcript.name);
            altered += 1;
        }
    }
    assert!(altered > 150, "{altered}");
}
