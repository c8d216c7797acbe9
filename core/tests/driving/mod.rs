//! Shared by the tests of the server's driver: a scripted transport and a scripted store.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use coracle_core::blocking::{Buffers, SendFile, SendFileError, SessionObserver, Transport, serve};
use coracle_core::{
    Action, Close, CloseHow, CloseReason, Digest, DigestKind, Entry, EntryKind, Exchange, FileInfo, FileName, Instant,
    Listed, Request, ServerConfig, ServerSession, Store, StoreError, Version,
};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

/// The result of a read; after the last one comes the end of input.
pub enum Arrival {
    Bytes(Vec<u8>),
    Fail(ErrorKind),
    /// Blocks until the limit.
    Silence,
}

/// The transport and the other end of the connection.
#[derive(Default)]
pub struct Wire {
    pub now: Rc<Cell<u64>>,
    pub reads: VecDeque<Arrival>,
    /// How much each write takes, or how it fails; after the last one everything is taken.
    pub writes: VecDeque<Result<usize, ErrorKind>>,
    /// The result of each `send_file`; after the last one the transport cannot send files.
    pub direct: VecDeque<Result<usize, SendFileError<ErrorKind>>>,
    /// Number of limits that can be set before that fails.
    pub limits_left: Option<usize>,
    pub limits: Vec<Option<u64>>,
    pub sent: Vec<u8>,
    /// The lengths of the writes, and whether more was announced.
    pub parts: Vec<(usize, bool)>,
    pub flushes: usize,
}

/// No test has so many calls or bytes: the driver loops.
const ENDLESS: usize = 50_000;

impl ErrorType for Wire {
    type Error = ErrorKind;
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        match self.reads.pop_front() {
            None => Ok(0),
            Some(Arrival::Fail(kind)) => Err(kind),
            Some(Arrival::Silence) => {
                let limit_ms = self.limits.last().copied().flatten().expect("a limit");
                self.now.set(self.now.get() + limit_ms);
                Err(ErrorKind::TimedOut)
            }
            Some(Arrival::Bytes(mut bytes)) => {
                let len = bytes.len().min(buf.len());
                buf[..len].copy_from_slice(&bytes[..len]);
                bytes.drain(..len);
                if !bytes.is_empty() {
                    self.reads.push_front(Arrival::Bytes(bytes));
                }
                Ok(len)
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.write_part(bytes, false)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.flushes += 1;
        Ok(())
    }
}

impl Transport for Wire {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), ErrorKind> {
        self.limits.push(limit_ms);
        assert!(self.limits.len() < ENDLESS, "the session makes no progress");
        match &mut self.limits_left {
            Some(0) => Err(ErrorKind::Other),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, ErrorKind> {
        assert!(!bytes.is_empty());
        let outcome = self.writes.pop_front().unwrap_or(Ok(usize::MAX));
        if outcome == Err(ErrorKind::TimedOut) {
            let limit_ms = self.limits.last().copied().flatten().expect("a limit");
            self.now.set(self.now.get() + limit_ms);
        }
        let len = outcome?.min(bytes.len());
        self.sent.extend_from_slice(&bytes[..len]);
        self.parts.push((len, more));
        Ok(len)
    }
}

impl SendFile<Shelf> for Wire {
    fn send_file(
        &mut self,
        store: &mut Shelf,
        _: &mut (),
        offset: u64,
        len: usize,
        more: bool,
    ) -> Option<Result<usize, SendFileError<ErrorKind>>> {
        let outcome = self.direct.pop_front()?;
        if let Ok(told) = outcome {
            let offset = usize::try_from(offset).expect("short");
            let bytes = &store.bytes[offset..offset + len.min(told).min(store.bytes.len() - offset)];
            self.sent.extend_from_slice(bytes);
            self.parts.push((bytes.len(), more));
        }
        Some(outcome)
    }
}

/// A store of one file, with scripted failures.
pub struct Shelf {
    pub bytes: Vec<u8>,
    /// The result of each read: the maximum length, or an error; after the last one everything is read.
    pub reads: VecDeque<Result<usize, StoreError>>,
    /// The version at each `info`; after the last one `v1`.
    pub versions: VecDeque<Result<&'static str, StoreError>>,
    pub known: Option<Digest>,
    pub remembered: Vec<(u64, Digest)>,
    /// The steps of a listing; after the last one comes its end.
    pub listing: VecDeque<Result<bool, StoreError>>,
    pub read_len: usize,
}

impl Shelf {
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            reads: VecDeque::new(),
            versions: VecDeque::new(),
            known: None,
            remembered: Vec::new(),
            listing: VecDeque::new(),
            read_len: 0,
        }
    }
}

impl Store for Shelf {
    type File = ();
    type Listing = ();

    fn open(&mut self, name: FileName<'_>) -> Result<(), StoreError> {
        if name.as_str() == "a.txt" { Ok(()) } else { Err(StoreError::NotFound) }
    }

    fn info(&mut self, (): &()) -> Result<FileInfo, StoreError> {
        let version = self.versions.pop_front().unwrap_or(Ok("v1"))?;
        Ok(FileInfo::new(self.bytes.len() as u64, Version::new(version).expect("good")))
    }

    fn read(&mut self, (): &mut (), offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let most = self.reads.pop_front().unwrap_or(Ok(usize::MAX))?;
        let rest = &self.bytes[usize::try_from(offset).expect("short").min(self.bytes.len())..];
        let len = rest.len().min(buf.len()).min(most);
        buf[..len].copy_from_slice(&rest[..len]);
        self.read_len += len;
        assert!(self.read_len < ENDLESS, "the same is read again and again");
        Ok(len)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Ok(())
    }

    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        let kind = EntryKind::File { size: 1, modified: None };
        let entry = Listed::Entry(Entry::new(FileName::from_static("a"), kind));
        self.listing.pop_front().map_or(Ok(Listed::End), |step| Ok(if step? { entry } else { Listed::Skipped }))
    }

    fn known_digest(&mut self, (): &(), kind: DigestKind) -> Option<Digest> {
        self.known.filter(|digest| digest.kind() == kind)
    }

    fn remember_digest(&mut self, (): &(), info: &FileInfo, digest: &Digest) {
        self.remembered.push((info.size, *digest));
    }
}

/// The events of a session, as text.
#[derive(Default)]
pub struct Log {
    pub lines: Vec<String>,
    pub exchanges: Vec<Exchange>,
    /// The number of calls of `should_stop` after which it returns true.
    pub stop_after: Option<usize>,
    pub asked: usize,
}

impl SessionObserver for Log {
    fn request(&mut self, request: &Request<'_>) {
        self.lines.push(format!("{} {:?}", request.kind().as_str(), request.name().map(FileName::as_str)));
    }

    fn opened(&mut self, info: &FileInfo) {
        self.lines.push(format!("opened {}", info.size));
    }

    fn body(&mut self, body_len: usize) {
        self.lines.push(format!("body {body_len}"));
    }

    #[cfg(feature = "classic")]
    fn text(&mut self, text: &[u8]) {
        self.lines.push(format!("text {:?}", String::from_utf8_lossy(text)));
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.exchanges.push(*exchange);
    }

    fn should_stop(&mut self) -> bool {
        self.asked += 1;
        assert!(self.asked < ENDLESS, "the session makes no progress");
        match &mut self.stop_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

/// The result of a connection.
pub struct Served {
    pub close: Close,
    pub wire: Wire,
    pub store: Shelf,
    pub log: Log,
}

impl Served {
    pub fn text(&self) -> String {
        String::from_utf8(self.wire.sent.clone()).expect("text")
    }

    pub fn why(&self) -> (CloseHow, CloseReason) {
        (self.close.how, self.close.why)
    }
}

/// Serves one connection with buffers of `scratch_len` bytes.
pub fn served(wire: Wire, store: Shelf, scratch_len: usize) -> Served {
    let config = ServerConfig::new();
    #[cfg(feature = "classic")]
    let config = config.with_classic(true);
    let session = ServerSession::new(&config, vec![0; 512], Instant::from_millis(0));
    served_by(session, wire, store, scratch_len, Log::default())
}

pub fn served_by(
    mut session: ServerSession<'_, Vec<u8>>,
    mut wire: Wire,
    mut store: Shelf,
    scratch_len: usize,
    mut log: Log,
) -> Served {
    let now = Rc::clone(&wire.now);
    let mut readings = 0;
    let mut clock = move || {
        readings += 1;
        assert!(readings < ENDLESS, "the session makes no progress");
        Instant::from_millis(now.get())
    };
    let (mut receive, mut send) = (vec![0; scratch_len], vec![0; scratch_len]);
    let scratch = Buffers { receive: &mut receive, send: &mut send };
    let close = serve(&mut session, &mut wire, &mut store, scratch, &mut clock, &mut log);
    assert_eq!(session.action(), Action::Close(close));
    Served { close, wire, store, log }
}

pub fn asking(requests: &str) -> Wire {
    Wire { reads: [Arrival::Bytes(requests.as_bytes().to_vec())].into(), ..Wire::default() }
}
