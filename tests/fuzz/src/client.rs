//! Target: a client's session, against a server that sends anything.

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Digest, DigestKind, End, FileName, GetRequest, Hasher,
    Instant, Version,
};

use crate::pieces;

const NAME: FileName<'static> = FileName::from_static("a");
const NOW: Instant = Instant::from_millis(0);
/// The bytes that the client has already, where it resumes.
const HELD: &[u8] = b"hello";
/// Replaced in the input by the correct digest.
const RIGHT: &[u8] = b"CRC-HERE";

/// Any split of the input gives the same events; a body has exactly the announced length; only bytes with the correct digest are
/// verified; every call takes something; nothing is taken after the session has closed.
pub fn target(data: &[u8]) {
    let [seed, choice, input @ ..] = data else { return };
    let input = with_right_digest(*choice, input);
    let whole = Run::new(*choice).all(&[&input]);
    let parted = Run::new(*choice).all(&pieces(&input, *seed));
    assert_eq!(whole.seen, parted.seen, "split");
    assert_eq!(whole.body.escape_ascii().to_string(), parted.body.escape_ascii().to_string(), "split");
}

/// The events of the client, and what they lead to.
struct Run {
    session: ClientSession<[u8; 1024]>,
    choice: u8,
    seen: Vec<String>,
    body: Vec<u8>,
    /// The end of the current body.
    end: Option<u64>,
    asked: usize,
}

impl Run {
    fn new(choice: u8) -> Self {
        let session = ClientSession::new([0; 1024]);
        let mut run = Self { session, choice, seen: Vec::new(), body: Vec::new(), end: None, asked: 0 };
        run.ask();
        run
    }

    fn resumes(&self) -> bool {
        self.choice & 8 != 0
    }

    /// Starts the next request, by `choice`.
    fn ask(&mut self) {
        let version = Version::new("v1").expect("a version");
        let offset = if self.resumes() { HELD.len() as u64 } else { 0 };
        let get = GetRequest::new(NAME)
            .with_offset(offset)
            .with_length(Some(20).filter(|_| self.choice & 16 != 0))
            .with_version(Some(&version).filter(|_| self.resumes()))
            .with_digest(Some(DigestKind::Crc32).filter(|_| self.choice & 32 == 0))
            .with_digest_from(Some(0));
        let asks = [
            ClientRequest::Get(get),
            ClientRequest::Hello,
            ClientRequest::List { path: None },
            ClientRequest::Stat { name: NAME, digest: Some(DigestKind::Crc32) },
            ClientRequest::List { path: Some(FileName::from_static("d")) },
        ];
        let ask = asks[(usize::from(self.choice & 7) + self.asked) % asks.len()];
        self.asked += 1;
        self.body = if matches!(ask, ClientRequest::Get(_)) && self.resumes() { HELD.to_vec() } else { Vec::new() };
        self.end = None;
        self.session.start(ask, NOW).expect("an idle session starts");
        while let ClientAction::Rehash { offset, len } = self.session.action() {
            let start = usize::try_from(offset).expect("short");
            let len = usize::try_from(len).expect("short");
            self.session.rehashed(&HELD[start..start + len], NOW);
        }
        while let ClientAction::SendBytes { bytes } = self.session.action() {
            let len = bytes.len();
            self.session.sent(len, NOW);
        }
    }

    fn all(mut self, pieces: &[&[u8]]) -> Self {
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match self.session.action() {
                    ClientAction::Receive => {}
                    ClientAction::Idle => self.ask(),
                    ClientAction::Close(_) => break,
                    other => panic!("{other:?} while it is answered"),
                }
                rest = &rest[self.give(rest)..];
            }
        }
        self.session.receive_eof();
        let ClientAction::Close(failure) = self.session.action() else { panic!("open behind the end") };
        assert_eq!(self.session.receive(b"{}\n", NOW), (0, None), "taken when it is over");
        self.seen.push(format!("{failure:?}"));
        self
    }

    fn give(&mut self, bytes: &[u8]) -> usize {
        let (taken, event) = self.session.receive(bytes, NOW);
        assert!(taken > 0 && taken <= bytes.len(), "took {taken} of {} bytes", bytes.len());
        match event {
            None => {}
            Some(ClientEvent::Body { offset, bytes }) => {
                assert_eq!(offset, self.body.len() as u64, "a body out of order");
                self.body.extend_from_slice(bytes);
                assert!(self.end.is_some_and(|end| self.body.len() as u64 <= end), "more than announced");
            }
            Some(ClientEvent::Header(header)) => {
                self.end = Some(header.offset + header.length);
                self.seen.push(format!("{header:?}"));
            }
            Some(ClientEvent::End(end)) => {
                assert_eq!(self.end, Some(self.body.len() as u64), "less than announced");
                if let End::Verified(verified) | End::Changed { snapshot: Some(verified) } = &end {
                    assert_eq!((verified.from(), verified.to()), (0, self.body.len() as u64), "another range");
                    assert_eq!(*verified.digest(), digest(&self.body), "verified by another digest");
                }
                self.seen.push(format!("{end:?} {}", self.body.escape_ascii()));
            }
            Some(event) => self.seen.push(format!("{event:?}")),
        }
        taken
    }
}

/// The input, with the correct digest of its first body where it has a placeholder.
fn with_right_digest(choice: u8, input: &[u8]) -> Vec<u8> {
    let Some(place) = input.windows(RIGHT.len()).position(|window| window == RIGHT) else { return input.to_vec() };
    let mut run = Run::new(choice);
    let mut rest = &input[..place];
    while !rest.is_empty() && run.session.action() == ClientAction::Receive {
        rest = &rest[run.give(rest)..];
    }
    let mut right = input.to_vec();
    right[place..place + RIGHT.len()].copy_from_slice(digest(&run.body).to_hex().as_str().as_bytes());
    right
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("always there");
    hasher.update(bytes);
    hasher.finish()
}
