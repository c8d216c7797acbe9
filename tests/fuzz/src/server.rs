//! Target: a server's session, from any bytes to its output.

use coracle_core::exec::StoreExchange;
use coracle_core::{
    Action, Close, CloseReason, Digest, DigestKind, FileInfo, FileName, Instant, Listed, RequestKind, ServerConfig,
    ServerSession, StaticFile, StaticStore, Store, StoreError, TextPolicy, Version,
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
/// Maximum number of actions for each byte of input.
const MOST_STEPS: usize = 40_000;

/// Any split of the input gets the same output, in a bounded number of actions; everything but bodies and text is JSON, in lines
/// for the native dialect; a body has exactly the announced length.
pub fn target(data: &[u8]) {
    let [seed, choice, input @ ..] = data else { return };
    let text = [TextPolicy::Reject, TextPolicy::Echo, TextPolicy::Reply("ok")][usize::from(*choice) % 3];
    let config = ServerConfig::new().with_text_policy(text).with_classic(true);
    let whole = Run::new(&config, *choice, usize::MAX).all(&[input]);
    // A fixed reply, and a selected file's name, depend on how the input is split.
    if text == TextPolicy::Reject || text == TextPolicy::Echo && !whole.has_selected {
        let parted = Run::new(&config, *choice, 1 + usize::from(*seed) % 50).all(&pieces(input, *seed));
        assert_eq!(whole.output.escape_ascii().to_string(), parted.output.escape_ascii().to_string(), "split");
        assert_eq!((whole.exchanges, &whole.end), (parted.exchanges, &parted.end), "split");
    }
}

/// The result.
struct Run<'c> {
    session: ServerSession<'c, [u8; 512]>,
    store: FaultyStore,
    exchange: StoreExchange<FaultyStore>,
    output: Vec<u8>,
    end: String,
    exchanges: u32,
    has_selected: bool,
    piece: usize,
    kind: Option<RequestKind>,
    /// The output of the current response, without bodies.
    line: Vec<u8>,
    body: u64,
}

static STORE: [StaticFile<'static>; 4] = FILES;

/// [`FILES`], on a medium that may fail.
struct FaultyStore {
    files: StaticStore<'static>,
    /// Reading fails from this offset on, and so does listing where it is given.
    breaks_at: Option<u64>,
    /// Files change while they are sent.
    changes: bool,
    /// The open file was looked at.
    is_known: bool,
}

impl<'c> Run<'c> {
    fn new(config: &'c ServerConfig<'c>, choice: u8, piece: usize) -> Self {
        Self {
            session: ServerSession::new(config, [0; 512], NOW),
            store: FaultyStore {
                files: StaticStore::new(&STORE),
                breaks_at: (choice >= 128).then_some(1_030),
                changes: choice & 64 != 0,
                is_known: false,
            },
            exchange: StoreExchange::new(),
            output: Vec::new(),
            end: String::new(),
            exchanges: 0,
            has_selected: false,
            piece,
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

    /// Performs one action; false where there is nothing to do.
    fn step(&mut self) -> bool {
        match self.session.action() {
            Action::Receive | Action::Close(_) => {
                self.check_line();
                return false;
            }
            Action::Reply(request) => {
                self.kind = Some(request.kind());
                self.has_selected |= request.kind() == RequestKind::Select;
                let reply = self.exchange.open(&mut self.store, &request);
                self.session.reply(reply, NOW);
            }
            Action::Entry => self.session.entry(self.exchange.entry(&mut self.store), NOW),
            Action::SendBytes { bytes, .. } => {
                assert!(!bytes.is_empty(), "nothing to send");
                let len = bytes.len().min(self.piece);
                self.line.extend_from_slice(&bytes[..len]);
                self.output.extend_from_slice(&bytes[..len]);
                self.session.sent(len, NOW);
            }
            Action::SendFile { offset, len, hash, .. } => {
                assert!(len > 0, "nothing to send");
                let mut buf = [0; 4_096];
                match self.exchange.read(&mut self.store, offset, &mut buf[..len.min(self.piece).min(4_096)], hash) {
                    Ok(len) => {
                        self.output.extend_from_slice(&buf[..len]);
                        self.body += len as u64;
                        self.session.sent(len, NOW);
                    }
                    Err(_) => self.session.file_fault(NOW),
                }
            }
            Action::Hash { offset, len } => {
                let mut buf = [0; 4_096];
                match self.exchange.read(&mut self.store, offset, &mut buf[..len.min(self.piece).min(4_096)], true) {
                    Ok(len) => self.session.hashed(len, NOW),
                    Err(_) => self.session.file_fault(NOW),
                }
            }
            Action::Finish { from, to } => {
                self.check_body();
                let finished = self.exchange.finish(&mut self.store, from, to).expect("a file that is open");
                self.session.finished(finished, NOW);
            }
            Action::Text(_) => {
                self.check_line();
                self.session.text_seen(NOW);
                // An echo or a reply may be any bytes.
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

    /// Checks a body at its end.
    fn check_body(&mut self) {
        if self.kind == Some(RequestKind::Get) {
            let header = judge::line(self.line.trim_ascii_start());
            assert_eq!(header["length"], self.body, "a body of another length");
            self.line.clear();
            self.body = 0;
        }
    }

    /// Checks a response without its body: a sequence of JSON objects.
    fn check_line(&mut self) {
        if let Action::Close(Close { why: CloseReason::Classic, .. }) = self.session.action() {
            // A classic list that fails is incomplete.
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

impl Store for FaultyStore {
    type File = &'static StaticFile<'static>;
    type Listing = <StaticStore<'static> as Store>::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.is_known = false;
        self.files.open(name)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        let info = self.files.info(file)?;
        if std::mem::replace(&mut self.is_known, true) && self.changes {
            let version = Version::new("v2").expect("a version");
            return Ok(FileInfo::new(info.size, version));
        }
        Ok(info)
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let end = offset.saturating_add(buf.len() as u64);
        assert!(end <= file.bytes().len() as u64, "a range past the end");
        let left = self.breaks_at.map_or(u64::MAX, |breaks_at| breaks_at.saturating_sub(offset));
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        if len == 0 { Err(StoreError::Io) } else { self.files.read(file, offset, &mut buf[..len]) }
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        self.files.list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        if self.breaks_at.is_some() { Err(StoreError::Io) } else { self.files.next(listing) }
    }

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        self.files.known_digest(file, kind)
    }
}
