//! Shared by the tests of the client: a client session that is given the bytes of a server.
#![allow(dead_code, reason = "each test program uses a part of it")]

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Digest, DigestKind, End, EntryKind, Failure, FileName,
    GetRequest, Hasher, Instant, Verified,
};

pub const NAME: FileName<'static> = FileName::from_static("a.txt");
pub const GET: ClientRequest<'static> = ClientRequest::Get(GetRequest::new(NAME));

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The events as text; bodies are in `body`.
    pub events: Vec<String>,
    pub body: Vec<u8>,
    /// `None`: idle.
    pub last: Option<Wants>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    Receive,
    Close(Failure),
}

impl Seen {
    pub fn failure(&self) -> Option<Failure> {
        match self.last {
            Some(Wants::Close(failure)) => Some(failure),
            _ => None,
        }
    }
}

/// A session with a started request, given the earlier bytes `held` where it needs them.
pub fn asked(ask: ClientRequest<'_>, held: &[u8]) -> ClientSession<[u8; 1_024]> {
    let now = Instant::from_millis(0);
    let mut session = ClientSession::new([0xAA; 1_024]);
    session.start(ask, now).expect("idle");
    let mut steps = 0;
    while let ClientAction::Rehash { offset, len } = session.action() {
        steps += 1;
        assert!(steps < 10_000, "no end in sight");
        let offset = usize::try_from(offset).expect("short");
        let len = usize::try_from(len).expect("short").min(3);
        session.rehashed(&held[offset..offset + len], now);
    }
    while let ClientAction::SendBytes { bytes } = session.action() {
        steps += 1;
        assert!(steps < 10_000, "no end in sight");
        let len = bytes.len().min(100);
        session.sent(len, now);
    }
    session
}

/// Starts `ask`, and responds with `input`, in pieces of the lengths `pieces`, repeated.
pub fn answered_in(ask: ClientRequest<'_>, held: &[u8], input: &[u8], pieces: &[usize]) -> Seen {
    let now = Instant::from_millis(0);
    let mut session = asked(ask, held);
    let mut seen = Seen { events: Vec::new(), body: Vec::new(), last: None };
    let mut next = 0;
    let mut sizes = pieces.iter().cycle();
    while next < input.len() && !matches!(session.action(), ClientAction::Close(_)) {
        let len = (*sizes.next().expect("pieces")).clamp(1, input.len() - next);
        let mut piece = &input[next..next + len];
        next += len;
        while !piece.is_empty() && !matches!(session.action(), ClientAction::Close(_)) {
            let (taken, event) = session.receive(piece, now);
            assert!(taken > 0, "no progress");
            if let Some(event) = event {
                match event {
                    ClientEvent::Body { offset, bytes } => {
                        assert!(!bytes.is_empty());
                        if seen.body.is_empty() {
                            seen.events.push(format!("body from {offset}"));
                        }
                        seen.body.extend_from_slice(bytes);
                    }
                    event => seen.events.push(describe(&event)),
                }
            }
            piece = &piece[taken..];
        }
    }
    seen.last = match session.action() {
        ClientAction::Idle => None,
        ClientAction::Receive => Some(Wants::Receive),
        ClientAction::Close(failure) => Some(Wants::Close(failure)),
        other => panic!("{other:?} after an answer"),
    };
    seen
}

/// Starts `ask`, and responds with `input`, whole, byte by byte and in pieces of 7: all three have the same result.
pub fn answered(ask: ClientRequest<'_>, held: &[u8], input: impl AsRef<[u8]>) -> Seen {
    let input = input.as_ref();
    let whole = answered_in(ask, held, input, &[usize::MAX]);
    for piece in [1, 7] {
        assert_eq!(answered_in(ask, held, input, &[piece]), whole, "in pieces of {piece}");
    }
    whole
}

pub fn describe(event: &ClientEvent<'_>) -> String {
    match event {
        ClientEvent::Hello(hello) => format!("{hello:?}"),
        ClientEvent::Header(header) => format!(
            "header {}+{}/{} chunks {} version {} modified {:?} digest {:?}",
            header.offset,
            header.length,
            header.size,
            header.chunk_size,
            header.version,
            header.modified,
            header.digest.map(|digest| digest.to_string())
        ),
        ClientEvent::End(End::Verified(verified)) => format!("verified {}", range(verified)),
        ClientEvent::End(End::Unchecked) => "unchecked".to_owned(),
        ClientEvent::End(End::Changed { snapshot }) => format!("changed {:?}", snapshot.as_ref().map(range)),
        ClientEvent::Entry(entry) => match entry.kind {
            EntryKind::File { size, modified } => format!("file {} {size} {modified:?}", entry.name),
            EntryKind::Directory { link } => format!("directory {} {link}", entry.name),
            kind => panic!("{kind:?}"),
        },
        ClientEvent::Listed(listing) => {
            format!("listed {} skipped {} hidden {}", listing.count, listing.skipped, listing.hidden)
        }
        ClientEvent::Refused(refusal) => format!("refused {:?} {:?} {:?}", refusal.code, refusal.word, refusal.text),
        ClientEvent::ServerClosing(code) => format!("unasked {code}"),
        other => panic!("{other:?}"),
    }
}

fn range(verified: &Verified) -> String {
    format!("{}..{}/{} {}", verified.from(), verified.to(), verified.size(), verified.digest())
}

pub fn digest(kind: DigestKind, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(kind).expect("supported");
    hasher.update(bytes);
    hasher.finish()
}

/// The header of a valid response to a `get` of [`NAME`] with a CRC-32, of the bytes from `offset` on.
pub fn header(file: &[u8], offset: usize) -> String {
    let length = file.len() - offset;
    format!(
        "{{\"type\":\"file\",\"fileName\":\"a.txt\",\"fileSize\":{},\"offset\":{offset},\"length\":{length},\"chunkSize\":1024,\
         \"readCnt\":{},\"lastSize\":{},\"version\":\"v1\",\"digest\":\"crc32\"}}\n",
        file.len(),
        length.div_ceil(1_024),
        if length == 0 { 0 } else { (length - 1) % 1_024 + 1 }
    )
}

/// A valid response to a `get` of [`NAME`] with a CRC-32 from its first byte on.
pub fn answer(file: &[u8], offset: usize) -> Vec<u8> {
    let mut answer = header(file, offset).into_bytes();
    answer.extend_from_slice(&file[offset..]);
    let trailer = format!("{{\"type\":\"end\",\"crc32\":\"{}\"}}\n", digest(DigestKind::Crc32, file));
    answer.extend_from_slice(trailer.as_bytes());
    answer
}
