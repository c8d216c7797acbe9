//! Target: the client's reading of responses.

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, DigestKind, EntryKind, FileName, GetRequest, Header,
    Hello, Instant, Refusal,
};
use serde_json::Value;

use crate::judge;

const NAME: FileName<'static> = FileName::from_static("a");
const NOW: Instant = Instant::from_millis(0);
const ASKS: [ClientRequest<'static>; 6] = [
    ClientRequest::Hello,
    ClientRequest::List { path: None },
    ClientRequest::List { path: Some(FileName::from_static("d")) },
    ClientRequest::Stat { name: NAME, digest: None },
    ClientRequest::Stat { name: NAME, digest: Some(DigestKind::Crc32) },
    ClientRequest::Get(GetRequest::new(NAME).with_offset(7).with_digest_from(Some(7))),
];

/// The client's events have the values that another parser finds in the line; an accepted line is one JSON object without
/// duplicated members that it uses, and matches the request.
pub fn target(data: &[u8]) {
    let Some((choice, line)) = data.split_first() else { return };
    let mut session = ClientSession::new([0; 1024]);
    session.start(ASKS[usize::from(*choice) % ASKS.len()], NOW).expect("idle");
    while let ClientAction::SendBytes { bytes } = session.action() {
        let len = bytes.len();
        session.sent(len, NOW);
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = [line.trim_ascii(), b"\n"].concat();
    let (taken, event) = session.receive(&line, NOW);
    assert!(taken > 0 && taken <= line.len(), "took {taken}");
    let Some(event) = event else { return };
    assert_eq!(taken, line.len(), "an event before the line's end");
    // Skipped values may be invalid to the other parser: half of a surrogate pair, 1e999.
    let Ok(value) = serde_json::from_slice(&line) else {
        return assert!(judge::is_object(line.trim_ascii()), "no JSON was believed");
    };
    match event {
        ClientEvent::Hello(hello) => hello_is(&hello, &value),
        ClientEvent::Header(header) => header_is(&header, &value),
        ClientEvent::Entry(entry) => {
            assert_eq!(value["fileName"], entry.name.as_str());
            match entry.kind {
                EntryKind::File { size, modified } => {
                    assert_eq!(value["fileSize"], size);
                    assert_eq!(value["modified"].as_u64(), modified);
                }
                EntryKind::Directory { link } => {
                    assert_eq!(value["directory"], true);
                    assert_eq!(value["link"] == true, link);
                }
                kind => panic!("a kind that no line has: {kind:?}"),
            }
        }
        ClientEvent::Listed(listing) => {
            assert_eq!(value["count"], listing.count);
            assert_eq!(value["skipped"].as_u64().unwrap_or(0), listing.skipped);
        }
        ClientEvent::Refused(refusal) => refusal_is(&refusal, &value),
        ClientEvent::ServerClosing(code) => assert_eq!(value["code"], code.as_str()),
        ClientEvent::Body { .. } | ClientEvent::End(_) => panic!("{event:?} for a line"),
        other => panic!("{other:?}: not known here"),
    }
    let refusal = session.refusal();
    assert_eq!(refusal.is_some(), value["type"] == "error", "a refusal that is none");
    if let Some(refusal) = refusal {
        refusal_is(&refusal, &value);
    }
}

fn hello_is(hello: &Hello<'_>, value: &Value) {
    assert_eq!(value["type"], "hello");
    assert_eq!(value["server"], hello.server);
    assert_eq!(value["name"].as_str().unwrap_or(""), hello.name);
    let numbers = [
        ("protocol", hello.protocol),
        ("maxRequest", hello.max_request),
        ("chunkSize", hello.chunk_size),
        ("idle_ms", hello.idle_ms),
        ("request_ms", hello.request_ms),
        ("stall_ms", hello.stall_ms),
    ];
    numbers.iter().for_each(|(member, number)| assert_eq!(value[*member], *number));
    let has = |member: &str, word: &str| value[member].as_array().expect("words").iter().any(|known| known == word);
    assert_eq!(has("features", "list"), hello.features.list);
    assert_eq!(has("features", "stat"), hello.features.stat);
    assert_eq!(has("features", "get"), hello.features.get);
    assert_eq!(has("digests", "crc32"), hello.digests.crc32);
    assert_eq!(has("digests", "sha256"), hello.digests.sha256);
}

fn header_is(header: &Header, value: &Value) {
    assert_eq!(value["type"], "file");
    assert_eq!(value["fileName"], NAME.as_str());
    assert_eq!(value["version"], header.version.as_str());
    let numbers = [
        ("fileSize", header.size),
        ("offset", header.offset),
        ("length", header.length),
        ("chunkSize", header.chunk_size),
    ];
    numbers.iter().for_each(|(member, number)| assert_eq!(value[*member], *number));
    assert_eq!(value["modified"].as_u64(), header.modified);
    assert!(header.offset.checked_add(header.length).is_some_and(|end| end <= header.size), "a body past the end");
    assert!(header.chunk_size > 0, "chunks of nothing");
    if let Some(digest) = header.digest {
        assert_eq!(value["crc32"], digest.to_hex().as_str());
    }
}

fn refusal_is(refusal: &Refusal<'_>, value: &Value) {
    assert_eq!(value["type"], "error");
    assert_eq!(value["code"], refusal.word);
    assert_eq!(value["message"].as_str().unwrap_or(""), refusal.text);
    assert_eq!(refusal.code.map(coracle_core::Code::as_str), refusal.code.map(|_| refusal.word));
}
