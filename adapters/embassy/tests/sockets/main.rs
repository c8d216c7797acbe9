//! Real sockets: the transcripts that need no owner and no time, over tokio.

#[path = "../../../../core/tests/transcripts/document.rs"]
mod document;
#[path = "../../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[path = "../../../../core/tests/transcripts/over_tcp.rs"]
mod over_tcp;
mod over_tokio;
#[path = "../../../../core/tests/transcripts/settings.rs"]
#[allow(dead_code)]
mod settings;
mod socket;
#[path = "../../../../core/tests/transcripts/store.rs"]
#[allow(dead_code)]
mod store;
#[path = "../../../../core/tests/transcripts/uploads.rs"]
#[allow(dead_code)]
mod uploads;

use std::collections::BTreeSet;
use std::rc::Rc;

use document::Document;
use over_tcp::Server;
use settings::documented;
use store::ScriptedStore;

#[test]
fn transcripts() {
    let mut document = Document::default();
    for text in [include_str!("../../../../core/PROTOCOL.md"), include_str!("../../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    let (mut failures, mut played) = (Vec::new(), BTreeSet::new());
    for (name, lines) in &document.stores {
        let served = lines.clone();
        let store = move || (ScriptedStore::new(&served, Rc::default()), (), usize::MAX);
        let address = over_tokio::start(documented().expect("a name"), store);
        for piece_len in [usize::MAX, 7] {
            let Ok(server) = Server::at(address, false, lines) else { continue };
            let server = server.with_pieces(piece_len);
            for transcript in document.transcripts.iter().filter(|transcript| transcript.store == *name) {
                if transcript.arrives_whole || !server.can_play(transcript, 0) {
                    continue;
                }
                failures.extend(server.play(transcript, lines).err().map(|error| format!("{error} ({piece_len})")));
                played.insert(&transcript.name);
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played.len() >= 25, "{} transcripts", played.len());
}
