//! The transcripts of `core/PROTOCOL.md` and `core/TRANSCRIPTS.md`, replayed against the server's session.

mod coverage;
mod document;
#[cfg(feature = "blocking")]
mod driven;
mod other_server;
mod output;
#[cfg(feature = "rights")]
mod permits;
mod replay;
mod settings;
mod store;
#[cfg(feature = "manage")]
mod uploads;

use std::collections::BTreeSet;

use coracle_core::{DigestKind, ServerConfig, ServerName};
use document::{Document, Step, StoreLine, Transcript};
#[cfg(feature = "blocking")]
use driven::drive;
use other_server::OtherServer;
use replay::{replay, replay_with};
use settings::Pieces;

const PROTOCOL: &str = include_str!("../../PROTOCOL.md");
const TRANSCRIPTS: &str = include_str!("../../TRANSCRIPTS.md");

fn document() -> Document {
    let mut document = Document::default();
    for text in [PROTOCOL, TRANSCRIPTS] {
        document.read(text).expect("the notation is kept");
    }
    document
}

/// Whether this build of the core can play it: SHA-256 and the classic dialect are optional; `!` requires their absence.
fn is_playable(transcript: &Transcript) -> bool {
    let has_rights = transcript.rights.is_some() || transcript.unknown.is_some();
    let is_encrypted = transcript.refusing.as_deref() == Some("encrypted");
    (cfg!(feature = "rights") || !has_rights && !is_encrypted)
        && (cfg!(feature = "replaced") || transcript.store != "kept")
        && transcript.features.iter().all(|word| match word.as_str() {
            "sha256" => DigestKind::Sha256.is_supported(),
            "classic" => cfg!(feature = "classic"),
            "!classic" => !cfg!(feature = "classic"),
            "wait" => cfg!(feature = "wait"),
            "absolute" => cfg!(feature = "absolute"),
            "sync" => cfg!(feature = "sync"),
            word if WRITING.contains(&word) => cfg!(feature = "manage"),
            _ => true,
        })
}

/// The features that need the cargo feature `write`.
const WRITING: [&str; 6] = ["put", "delete", "rename", "makeDir", "space", "do"];

fn store_of<'d>(document: &'d Document, transcript: &Transcript) -> &'d [StoreLine] {
    document.store(&transcript.store).expect("the store is described")
}

fn replay_all(input: &Pieces, output: &Pieces) {
    let document = document();
    let played = document.transcripts.iter().filter(|transcript| is_playable(transcript));
    let mut failures = Vec::new();
    for transcript in played {
        let outcome = replay(transcript, store_of(&document, transcript), input.clone(), output.clone());
        failures.extend(outcome.err());
    }
    assert!(failures.is_empty(), "input {input:?}, output {output:?}:\n{}", failures.join("\n"));
}

#[test]
fn whole() {
    replay_all(&Pieces::Whole, &Pieces::Whole);
}

#[test]
fn byte_by_byte() {
    replay_all(&Pieces::Each(1), &Pieces::Whole);
    replay_all(&Pieces::Whole, &Pieces::Each(1));
    replay_all(&Pieces::Each(1), &Pieces::Each(1));
}

#[test]
fn odd_pieces() {
    for len in [2, 3, 7, 64, 511, 512, 513, 1000] {
        replay_all(&Pieces::Each(len), &Pieces::Each(len));
    }
}

#[test]
fn random_splits() {
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 5 } else { 200 };
    for seed in 1..=rounds {
        replay_all(&Pieces::Random(seed), &Pieces::Random(seed << 32 | 7));
    }
}

/// A server with another name, other chunks, no times and its own versions, like a board.
#[test]
fn by_another_server() {
    let document = document();
    let name = ServerName::new("on the roof").expect("a name");
    let chunk_size = std::num::NonZeroU32::new(100).expect("not 0");
    let config = ServerConfig::new().with_name(name).with_chunk_size(chunk_size);
    for transcript in document.transcripts.iter().filter(|transcript| is_playable(transcript)) {
        let other = OtherServer::default();
        let mut store = store_of(&document, transcript).to_vec();
        for line in &mut store {
            let real = format!("{}/{}", line.version, line.contents().len());
            if let Some(name) = &line.file_name {
                other.set_version(name, &line.version, &real);
                for first in line.first.into_iter().flat_map(|first| first..first + line.contents().len() as u64) {
                    other.set_version(name, &format!("{}.{first}", line.version), &format!("{real}.{first}"));
                }
            }
            line.version = real;
            line.modified = None;
        }
        let outcome = replay_with(transcript, &store, Pieces::Whole, Pieces::Whole, &config, Some(&other));
        assert_eq!(outcome, Ok(()));
        if transcript.steps.iter().any(|step| matches!(step, Step::Line(line) if line.contains("chunkSize"))) {
            let outcome = replay_with(transcript, &store, Pieces::Whole, Pieces::Whole, &config, None);
            assert!(outcome.is_err(), "{}", transcript.name);
        }
    }
}

#[cfg(feature = "blocking")]
#[test]
fn by_the_driver() {
    let document = document();
    let mut failures = BTreeSet::new();
    for transcript in document.transcripts.iter().filter(|transcript| is_playable(transcript)) {
        for (pieces, scratch_len, is_direct) in [
            (Pieces::Whole, 4096, false),
            (Pieces::Whole, 4096, true),
            (Pieces::Each(1), 1, false),
            (Pieces::Each(7), 64, true),
            (Pieces::Random(1), 1024, false),
            (Pieces::Random(2), 100, true),
        ] {
            let setting = format!("{pieces:?}, buffers of {scratch_len}, direct: {is_direct}");
            let outcome = drive(transcript, store_of(&document, transcript), pieces, scratch_len, is_direct);
            failures.extend(outcome.err().map(|error| format!("{error} ({setting})")));
        }
    }
    assert!(failures.is_empty(), "{}", Vec::from_iter(failures).join("\n"));
}

#[test]
fn names_are_distinct_and_stores_are_used() {
    let document = document();
    let names: BTreeSet<&str> = document.transcripts.iter().map(|transcript| &transcript.name[..]).collect();
    assert_eq!(names.len(), document.transcripts.len());
    for (name, _) in &document.stores {
        assert!(document.transcripts.iter().any(|transcript| transcript.store == *name), "{name}");
    }
}

/// Every transcript fails when any line of its server is left out or changed.
#[test]
fn a_wrong_answer_is_noticed() {
    let document = document();
    let mut altered = 0;
    for transcript in document.transcripts.iter().filter(|transcript| is_playable(transcript)) {
        for index in 0..transcript.steps.len() {
            let mut wrong = transcript.clone();
            match &mut wrong.steps[index] {
                Step::Line(line) | Step::Message(line) => line.insert(line.len() - 1, ' '),
                Step::Bytes(bytes) => bytes[0] ^= 1,
                Step::Slice { to, .. } => *to -= 1,
                step @ Step::Close => *step = Step::Abort,
                step @ Step::Abort => *step = Step::Close,
                _ => continue,
            }
            let store = store_of(&document, transcript);
            assert!(replay(&wrong, store, Pieces::Whole, Pieces::Whole).is_err(), "{}, {index}", transcript.name);
            wrong.steps.remove(index);
            assert!(replay(&wrong, store, Pieces::Whole, Pieces::Whole).is_err(), "{}, {index}", transcript.name);
            altered += 1;
        }
    }
    assert!(altered > 150, "{altered}");
}

#[test]
fn the_document_shows_the_python_client() {
    let client = include_str!("../../../tests/python/client.py");
    assert!(
        PROTOCOL.contains(&format!("```python\n{client}```\n")),
        "core/PROTOCOL.md and tests/python/client.py differ"
    );
    assert!(client.lines().count() <= 45);
}
