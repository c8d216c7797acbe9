//! A server's session, from any bytes to what goes out.

use coracle_core::{
    Action, Close, CloseReason, Finished, Hasher, Instant, Reply, RequestKind, ServerConfig, ServerSession, StaticFile,
    StaticStore, Store, StoreError, TextPolicy,
};
use serde_json::{Deserializer, Value};

use crate::{judge, pieces};

const FILES: [StaticFile<'static>; 4] = [
    StaticFile::new("a", "v1", b"hello, world"),
    StaticFile::new("d/\"e\" \u{1f600}", "v1", &[b'{'; 2049]),
    StaticFile::new("empty", "v1", b""),
    StaticFile::new("known", "v1", b"123456789").with_crc32(0xcbf4_3926),
];
const NOW: Instant = Instant::from_millis(0);
/// A session wants no more than so many things done for a byte.
const MOST_STEPS: usize = 40_000;

/// Any split of the input gets the same answers, in steps that end; everything but bodies and text is JSON, a line each where it
/// is native; a body is exactly as long as announced.
pub fn target(data: &[u8]) {
    let [seed, choice, input @ ..] = data else { return };
    let text = [TextPolicy::Reject, TextPolicy::Echo, TextPolicy::Reply("ok")][usize::from(*choice) % 3];
    let config = ServerConfig::new().with_text_policy(text).with_classic(true);
    let whole = Run::new(&config, *choice, usize::MAX).all(&[input]);
    // A fixed reply answers arrivals, and a selected file's name counts at the start of one.
    if text == TextPolicy::Reject || text == TextPolicy::Echo && !whole.has_selected {
        let parted = Run::new(&config, *choice, 1 + usize::from(*seed) % 50).all(&pieces(input, *seed));
        assert_eq!(whole.output.escape_ascii().to_string(), parted.output.escape_ascii().to_string(), "split");
        assert_eq!((whole.exchanges, &whole.end), (parted.exchanges, &parted.end), "split");
    }
}

/// What came of it.
struct Run<'c> {
    session: ServerSession<'c, [u8; 512]>,
    store: StaticStore<'static>,
    output: Vec<u8>,
    end: String,
    exchanges: u32,
    has_selected: bool,
    /// The file breaks after so many bytes.
    breaks_at: u64,
    /// No file changes meanwhile.
    is_same: bool,
    piece: usize,
    file: Option<&'static StaticFile<'static>>,
    listing: Option<<StaticStore<'static> as Store>::Listing>,
    hasher: Option<Hasher>,
    kind: Option<RequestKind>,
    /// What was sent of the answer under way, but for bodies.
    line: Vec<u8>,
    body: u64,
}

static STORE: [StaticFile<'static>; 4] = FILES;

impl<'c> Run<'c> {
    fn new(config: &'c ServerConfig<'c>, choice: u8, piece: usize) -> Self {
        Self {
            session: ServerSession::new(config, [0; 512], NOW),
            store: StaticStore::new(&STORE),
            output: Vec::new(),
            end: String::new(),
            exchanges: 0,
            has_selected: false,
            breaks_at: if choice >= 128 { 1_030 } else { u64::MAX },
            is_same: choice & 64 == 0,
            piece,
            file: None,
            listing: None,
            hasher: None,
            kind: None,
            line: Vec::new(),
            body: 0,
        }
    }

    fn all(mut self, pieces: &[&[u8]]) -> Self {
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && !self.is_closed() {
                let (taken, _) = self.session.receive(rest, NOW);
                assert!(taken > 0, "a session that receives took nothing");
                rest = &rest[taken..];
                self.work();
            }
        }
        self.session.receive_eof(NOW);
        self.work();
        assert!(self.is_closed(), "the input has ended, and the session has not");
        self.end = format!("{:?}", self.session.action());
        self.exchanges = self.session.exchanges();
        self
    }

    fn is_closed(&self) -> bool {
        matches!(self.session.action(), Action::Close(_))
    }

    fn work(&mut self) {
        for _ in 0..MOST_STEPS {
            if !self.step() {
                return;
            }
        }
        panic!("no end of what the session wants");
    }

    /// One thing; false where there is nothing to do.
    fn step(&mut self) -> bool {
        match self.session.action() {
            Action::Receive | Action::Close(_) => {
                self.check_line();
                return false;
            }
            Action::Reply(request) => {
                self.kind = Some(request.kind());
                self.has_selected |= request.kind() == RequestKind::Select;
                self.hasher = request.digest().and_then(Hasher::new);
                let digest = request.digest();
                let opened = match request.name() {
                    Some(name) if request.kind() != RequestKind::List => self.store.open(name).map(Some),
                    path => self.store.list(path).map(|listing| {
                        self.listing = Some(listing);
                        None
                    }),
                };
                match opened {
                    Ok(Some(file)) => {
                        self.file = Some(file);
                        let info = self.store.info(&file).expect("a good version");
                        let known = digest.and_then(|kind| self.store.known_digest(&file, kind));
                        self.session.reply(Reply::File { info: &info, known }, NOW);
                    }
                    Ok(None) => self.session.reply(Reply::Listing, NOW),
                    Err(error) => self.session.reply(Reply::Refuse(error.code()), NOW),
                }
            }
            Action::Entry => {
                let listing = self.listing.as_mut().expect("a listing");
                let entry = self.store.next(listing);
                let entry = if self.breaks_at == u64::MAX { entry } else { Err(StoreError::Io) };
                self.session.entry(entry, NOW);
            }
            Action::SendBytes { bytes, .. } => {
                assert!(!bytes.is_empty(), "nothing to send");
                let len = bytes.len().min(self.piece);
                self.line.extend_from_slice(&bytes[..len]);
                self.output.extend_from_slice(&bytes[..len]);
                self.session.sent(len, NOW);
            }
            Action::SendFile { offset, len, hash, .. } => {
                assert!(len > 0, "nothing to send");
                let bytes = self.range(offset, len);
                if bytes.is_empty() {
                    self.session.file_fault(NOW);
                    return true;
                }
                if let (true, Some(hasher)) = (hash, &mut self.hasher) {
                    hasher.update(bytes);
                }
                self.output.extend_from_slice(bytes);
                self.body += bytes.len() as u64;
                self.session.sent(bytes.len(), NOW);
            }
            Action::Hash { offset, len } => {
                let bytes = self.range(offset, len);
                if bytes.is_empty() {
                    self.session.file_fault(NOW);
                    return true;
                }
                self.hasher.as_mut().expect("a hasher").update(bytes);
                self.session.hashed(bytes.len(), NOW);
            }
            Action::Finish { .. } => {
                self.check_body();
                let digest = self.hasher.take().map(Hasher::finish);
                self.session.finished(Finished::new(digest, self.is_same), NOW);
            }
            Action::Text(_) => {
                self.check_line();
                self.session.text_seen(NOW);
                // An echo or a reply is whatever it is.
                while let Action::SendBytes { bytes, .. } = self.session.action() {
                    let len = bytes.len().min(self.piece);
                    self.output.extend_from_slice(&bytes[..len]);
                    self.session.sent(len, NOW);
                }
            }
            other => panic!("{other:?}: not known here"),
        }
        true
    }

    fn range(&self, offset: u64, len: usize) -> &'static [u8] {
        let end = offset.saturating_add(len as u64);
        let bytes = self.file.expect("a file").bytes();
        assert!(end <= bytes.len() as u64, "a range past the end");
        let start = usize::try_from(offset).expect("short");
        let len = if end > self.breaks_at { self.breaks_at.saturating_sub(offset) } else { len as u64 };
        let len = usize::try_from(len).expect("short").min(self.piece);
        &bytes[start..start + len]
    }

    /// The body that was announced has been sent.
    fn check_body(&mut self) {
        if self.kind == Some(RequestKind::Get) {
            let header = judge::line(self.line.trim_ascii_start());
            assert_eq!(header["length"], self.body, "a body of another length");
            self.line.clear();
            self.body = 0;
        }
    }

    /// An answer, or all but the body of one, has been sent: one JSON object behind the other.
    fn check_line(&mut self) {
        if let Action::Close(Close { why: CloseReason::Classic, .. }) = self.session.action() {
            // A classic list that fails half-way just ends.
            return;
        }
        let is_native = ![&b"{\"type\":1,"[..], b"{\"type\":2,"].iter().any(|start| self.line.starts_with(start));
        for line in self.line.split_inclusive(|byte| is_native && *byte == b'\n') {
            if is_native {
                judge::line(line.trim_ascii_start());
            } else {
                let objects = Deserializer::from_slice(line).into_iter::<Value>();
                assert!(objects.into_iter().all(|object| object.is_ok()), "no JSON: {}", line.escape_ascii());
            }
        }
        self.line.clear();
        self.body = 0;
    }
}
