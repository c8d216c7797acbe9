//! The store's side of exchanges that write, with a store that answers as it is told, and reports of an owner that do not fit.

use std::collections::VecDeque;

use coracle_core::exec::StoreExchange;
use coracle_core::{
    Action, Begun, Close, CloseHow, CloseReason, Code, Committed, Delete, Digest, DigestKind, FileInfo, FileName,
    Finished, Hasher, Instant, Listed, Put, PutAttempt, Reply, Request, RequestKind, ServerConfig, ServerEvent,
    ServerSession, Store, StoreError, UploadTurn, Version, WritableStore, WriteError,
};

const NOW: Instant = Instant::from_millis(7);
const NAME: FileName<'static> = FileName::from_static("d/a");
const FILE: &[u8] = b"0123456789";

/// A store whose writing methods answer as they are told, and that has what it must have, and no more.
#[derive(Debug, Default)]
struct Scripted {
    begun: VecDeque<Begun<Vec<u8>, ()>>,
    commits: VecDeque<Result<Committed, WriteError>>,
    /// The version at each `info`; after the last one it fails.
    versions: VecDeque<&'static str>,
    known: Option<Digest>,
    remembered: Vec<Digest>,
    /// Of uploads that it hashes itself; where there are none it hashes nothing.
    own: VecDeque<Result<Digest, StoreError>>,
    attempts: Vec<PutAttempt>,
    kept: usize,
    discarded: usize,
    listed: usize,
}

fn info(version: &str) -> FileInfo {
    FileInfo::new(10, Version::new(version).expect("a version"))
}

fn digest(kind: DigestKind) -> Digest {
    let mut hasher = Hasher::new(kind).expect("supported");
    hasher.update(FILE);
    hasher.finish()
}

fn put() -> Put<'static> {
    Put::new(NAME, 10, digest(DigestKind::Sha256))
}

impl Store for Scripted {
    type File = ();
    type Listing = ();

    fn open(&mut self, _: FileName<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn info(&mut self, (): &()) -> Result<FileInfo, StoreError> {
        self.versions.pop_front().map(info).ok_or(StoreError::Io)
    }

    fn read(&mut self, (): &mut (), offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = &FILE[usize::try_from(offset).expect("short")..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Ok(())
    }

    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        self.listed += 1;
        let kind = coracle_core::EntryKind::File { size: 1, modified: None };
        Ok(if self.listed == 1 { Listed::Entry(coracle_core::Entry::new(NAME, kind)) } else { Listed::End })
    }

    fn known_digest(&mut self, (): &(), _: DigestKind) -> Option<Digest> {
        self.known
    }

    fn remember_digest(&mut self, (): &(), _: &FileInfo, digest: &Digest) {
        self.remembered.push(*digest);
    }
}

impl WritableStore for Scripted {
    type Upload = Vec<u8>;

    fn begin(&mut self, _: &Put<'_>, attempt: PutAttempt, _: Instant) -> Result<Begun<Vec<u8>, ()>, WriteError> {
        self.attempts.push(attempt);
        self.begun.pop_front().ok_or(WriteError::Exists)
    }

    fn write(&mut self, upload: &mut Vec<u8>, _: u64, bytes: &[u8], _: Instant) -> Result<usize, WriteError> {
        upload.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn hashes_itself(&self, _: &Vec<u8>) -> bool {
        !self.own.is_empty()
    }

    fn digest(&mut self, _: &mut Vec<u8>) -> Result<Digest, StoreError> {
        self.own.pop_front().expect("a digest")
    }

    fn read_back(&mut self, _: &mut Vec<u8>, _: u64, _: &mut [u8], _: Instant) -> Result<usize, WriteError> {
        Err(WriteError::InUse)
    }

    fn commit(&mut self, _: &mut Vec<u8>, _: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        self.commits.pop_front().expect("a commit")
    }

    fn keep(&mut self, _: Vec<u8>) {
        self.kept += 1;
    }

    fn discard(&mut self, _: Vec<u8>) {
        self.discarded += 1;
    }

    fn delete(&mut self, _: &Delete<'_>) -> Result<(), WriteError> {
        Ok(())
    }
}

fn store(begun: impl IntoIterator<Item = Begun<Vec<u8>, ()>>) -> Scripted {
    Scripted { begun: begun.into_iter().collect(), ..Scripted::default() }
}

fn upload() -> Begun<Vec<u8>, ()> {
    Begun::Upload { upload: Vec::new(), have: 0 }
}

#[test]
fn a_store_that_says_that_the_file_is_there() {
    let mut store = store([Begun::Stored(info("v1"))]);
    let mut exchange = StoreExchange::writable();
    assert!(
        matches!(exchange.answer(&mut store, &Request::Put(put()), NOW), Reply::Stored { info } if info.size == 10)
    );
    assert!(format!("{exchange:?}").contains("Stored") && !exchange.is_upload());
    exchange.end(&mut store);
    assert_eq!((store.kept, store.discarded), (0, 0));
}

/// It may not be said to have changed: the client may replace any version.
#[test]
fn a_file_that_cannot_be_compared_to_its_end_is_unreadable() {
    let config = ServerConfig::new().with_offered(RequestKind::Put);
    let mut session = ServerSession::new(&config, [0; 768], NOW);
    let put = format!(r#"{{"type":"put","fileName":"a.bin","fileSize":10,"sha256":"{}"}}"#, "0".repeat(64));
    session.receive(put.as_bytes(), NOW);
    session.receive(b"\n", NOW);
    assert!(matches!(session.action(), Action::Reply(Request::Put(_))), "{:?}", session.action());
    session.reply(Reply::Compare, NOW);
    assert!(matches!(session.action(), Action::Hash { offset: 0, .. }), "{:?}", session.action());
    session.finished(Finished::new(None, false), NOW);
    let Action::SendBytes { bytes, .. } = session.action() else { panic!("{:?}", session.action()) };
    assert!(bytes.starts_with(br#"{"type":"error","code":"io""#), "{:?}", str::from_utf8(bytes));
}

/// What is there is compared by its digest: known, computed, or of contents that changed meanwhile.
#[test]
fn a_file_of_the_same_size_is_compared() {
    let equal = Some(digest(DigestKind::Sha256));
    let mut known = Scripted { versions: ["v1"].into(), known: equal, ..store([Begun::Compare(())]) };
    let mut exchange = StoreExchange::writable();
    assert!(matches!(exchange.answer(&mut known, &Request::Put(put()), NOW), Reply::Stored { .. }));

    let mut unreadable = store([Begun::Compare(())]);
    let mut exchange = StoreExchange::writable();
    let reply = exchange.answer(&mut unreadable, &Request::Put(put()), NOW);
    assert!(matches!(reply, Reply::Failed(WriteError::Store(StoreError::Io))), "{reply:?}");

    for (after, is_stored) in [("v1", true), ("v2", false)] {
        let mut store = Scripted { versions: ["v1", after].into(), ..store([Begun::Compare(())]) };
        let mut exchange = StoreExchange::writable();
        assert!(matches!(exchange.answer(&mut store, &Request::Put(put()), NOW), Reply::Compare));
        assert_eq!(exchange.hash(&mut store, 0, &mut [0; 10], NOW), Ok(10));
        let finished = exchange.finish(&mut store, 0, 10).expect("it is open");
        assert_eq!(finished.same_version, is_stored);
        let reply = exchange.answer(&mut store, &Request::Put(put()), NOW);
        assert_eq!(matches!(reply, Reply::Stored { .. }), is_stored, "{reply:?}");
        let compares: Vec<bool> = store.attempts.iter().map(|attempt| attempt.may_compare).collect();
        assert_eq!(compares, if is_stored { vec![true] } else { vec![true, false] });
        // Of contents that changed meanwhile there is none.
        assert_eq!(store.remembered, if is_stored { Vec::from_iter(equal) } else { vec![] });
    }
}

/// A client that may not read learns nothing by what it puts.
#[test]
fn nothing_is_compared_for_a_client_that_may_not_read() {
    for (may_read, kind, compares) in
        [(true, DigestKind::Sha256, true), (true, DigestKind::Crc32, false), (false, DigestKind::Sha256, false)]
    {
        let mut store = store([upload()]);
        let mut exchange = StoreExchange::writable().with_comparing(may_read);
        let request = Request::Put(Put::new(NAME, 10, digest(kind)));
        assert_eq!(request.digest(), Some(kind));
        // Nobody has said how much is there, so all of it is read back.
        let reply = exchange.answer(&mut store, &request, NOW);
        assert!(matches!(reply, Reply::Upload { have: 0, reads_back: true }), "{reply:?}");
        assert_eq!(store.attempts[0].may_compare, compares);
        assert!(format!("{exchange:?}").contains("Upload") && exchange.is_upload());
        assert_eq!(exchange.hash(&mut store, 0, &mut [0; 4], NOW), Err(WriteError::InUse));
    }
}

/// The digest of the store counts, whatever was written; where it has none the upload is kept.
#[test]
fn a_store_that_hashes_itself_is_asked_for_the_digest() {
    for (own, kept, discarded) in [(Ok(digest(DigestKind::Sha256)), 0, 1), (Err(StoreError::Io), 1, 0)] {
        let mut store = Scripted { own: [own].into(), ..store([upload()]) };
        let mut exchange = StoreExchange::writable();
        let reply = exchange.answer(&mut store, &Request::Put(put()), NOW);
        assert!(matches!(reply, Reply::Upload { have: 0, reads_back: false }), "{reply:?}");
        assert_eq!(exchange.write(&mut store, 0, b"9876543210", NOW), Ok(10));
        let finished = exchange.finish(&mut store, 0, 10);
        assert_eq!(finished.map(|finished| finished.digest), own.map(Some));
        exchange.end(&mut store);
        assert_eq!((store.kept, store.discarded), (kept, discarded), "{own:?}");
    }
}

/// An upload whose contents the store itself refuses is dropped; every other one is kept.
#[test]
fn what_a_commit_leaves() {
    let corrupt = Err(WriteError::Corrupt);
    for (outcome, kept, discarded) in [
        (Ok(Committed::Pending), 1, 0),
        (Err(WriteError::Exists), 1, 0),
        (corrupt, 0, 1),
        (Ok(Committed::Done(info("w1"))), 0, 0),
    ] {
        let mut store = Scripted { commits: [outcome.clone()].into(), ..store([upload()]) };
        let mut exchange = StoreExchange::writable();
        let reply = exchange.commit(&mut store, &put(), NOW);
        assert!(matches!(reply, Reply::Failed(WriteError::Store(StoreError::Io))), "nothing is open: {reply:?}");
        assert_eq!(exchange.write(&mut store, 0, b"0", NOW), Err(WriteError::Store(StoreError::Io)));
        exchange.answer(&mut store, &Request::Put(put()), NOW);
        exchange.commit(&mut store, &put(), NOW);
        exchange.end(&mut store);
        assert_eq!((store.kept, store.discarded), (kept, discarded), "{outcome:?}");
    }
}

#[test]
fn an_action_is_the_owners() {
    let mut exchange = StoreExchange::writable();
    let reply = exchange.answer(&mut Scripted::default(), &Request::Do { action: "restart" }, NOW);
    assert!(matches!(reply, Reply::Failed(WriteError::Unsupported)));
    assert!(UploadTurn::default().is_free());
}

#[cfg(feature = "sync")]
#[test]
fn a_store_that_defers_nothing_has_synced_it() {
    let deferral = coracle_core::Deferral::new(1, 0);
    assert_eq!(Scripted::default().sync(deferral), Ok(coracle_core::Synced::Done));
}

/// A client whose rights end at a directory may follow no link out of it: where the store cannot tell, it may not go there.
#[cfg(feature = "rights")]
#[test]
fn a_confined_client_is_kept_from_links() {
    use coracle_core::{ActionWords, Demand, Permit, Rights, StaticFile, StaticStore};
    static FILES: [StaticFile<'static>; 1] = [StaticFile::new("d/a", "v1", b"a")];
    let rights = Rights::new("read=d/ write=d/").expect("good");
    let permit = |kind| {
        let permit = rights.permit(&Demand::new(kind, "d/a").with_actions(ActionWords::NONE));
        assert!(matches!(permit, Permit::Granted(_)), "{permit:?}");
        permit
    };
    let mut store = store([upload()]);
    let mut exchange = StoreExchange::writable();
    exchange.permit(&permit(RequestKind::Put));
    let reply = exchange.answer(&mut store, &Request::Put(put()), NOW);
    assert!(matches!(reply, Reply::Failed(WriteError::Store(StoreError::Denied))), "{reply:?}");
    exchange.answer(&mut store, &Request::List { path: None }, NOW);
    assert!(matches!(exchange.entry(&mut store), Ok(Listed::Skipped)));

    // One without links has nothing to hide.
    let (mut store, mut exchange) = (StaticStore::new(&FILES), StoreExchange::new());
    exchange.permit(&permit(RequestKind::Get));
    let get = Request::Get {
        name: NAME,
        digest: None,
        #[cfg(feature = "replaced")]
        version: None,
        #[cfg(feature = "absolute")]
        absolute: false,
    };
    assert!(matches!(exchange.open(&mut store, &get), Reply::File { .. }));
}

fn config() -> ServerConfig<'static> {
    let kinds = [RequestKind::Put, RequestKind::Delete, RequestKind::Rename, RequestKind::MakeDir, RequestKind::Space];
    kinds.into_iter().fold(ServerConfig::new(), ServerConfig::with_offered)
}

const PUT: &str = "{\"type\":\"put\",\"fileName\":\"d/a\",\"fileSize\":10,\"crc32\":\"a684c7c6\"}\n";
const DELETE: &str = "{\"type\":\"delete\",\"fileName\":\"d/a\"}";

/// A session that was asked `request`, and is to be answered.
fn session<'c>(config: &'c ServerConfig<'c>, request: &str) -> ServerSession<'c, [u8; 768]> {
    let mut session = ServerSession::new(config, [0; 768], NOW);
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        let (taken, _) = session.receive(rest, NOW);
        rest = &rest[taken..];
    }
    assert!(matches!(session.action(), Action::Reply(_)), "{:?}", session.action());
    session
}

/// Takes what is sent until something else is to be done.
fn sent(session: &mut ServerSession<'_, [u8; 768]>) -> String {
    let mut text = Vec::new();
    while let Action::SendBytes { bytes, .. } = session.action() {
        text.extend_from_slice(bytes);
        let len = bytes.len();
        session.sent(len, NOW);
    }
    String::from_utf8(text).expect("text")
}

type Report = fn(&mut ServerSession<'_, [u8; 768]>);

/// What each of an upload's states is not told.
#[test]
fn a_report_that_does_not_fit_closes() {
    let config = config();
    let misuse = Action::Close(Close::new(CloseHow::Abort, CloseReason::Misuse));
    let begin: Report = |session| session.reply(Reply::Upload { have: 0, reads_back: false }, NOW);
    let body: Report = |session| {
        sent(session);
        let (_, event) = session.receive(FILE, NOW);
        assert!(matches!(event, Some(ServerEvent::Body { offset: 0, bytes: FILE })), "{event:?}");
        session.stored(10, NOW);
    };
    let finish: Report = |session| session.finished(Finished::new(Some(digest(DigestKind::Crc32)), true), NOW);
    let cases: [(&str, &[Report], Report); 7] = [
        (PUT, &[], |session| session.reply(Reply::Done, NOW)),
        (DELETE, &[], |session| session.reply(Reply::Listing, NOW)),
        (PUT, &[], |session| session.stored(1, NOW)),
        (PUT, &[], |session| session.store_failed(WriteError::InUse, NOW)),
        (PUT, &[begin], |session| session.stored(1, NOW)),
        (PUT, &[begin, body, finish], |session| session.reply(Reply::Done, NOW)),
        (PUT, &[begin, body, finish], |session| session.reply(Reply::Refuse(Code::Denied), NOW)),
    ];
    for (number, (request, steps, report)) in cases.into_iter().enumerate() {
        let mut session = session(&config, request);
        steps.iter().for_each(|step| step(&mut session));
        report(&mut session);
        assert_eq!(session.action(), misuse, "case {number}");
    }
}

/// Only a request that waits for the owner's permit can be given one.
#[cfg(feature = "rights")]
#[test]
fn a_permit_that_nobody_asked_for_closes() {
    let config = config();
    let mut session = session(&config, PUT);
    session.permit(coracle_core::Permit::Denied, NOW);
    assert_eq!(session.action(), Action::Close(Close::new(CloseHow::Abort, CloseReason::Misuse)));
}

/// A store may refuse by a code, and fail while an upload is hashed.
#[test]
fn refusals_of_a_store() {
    let config = config();
    let mut refused = session(&config, PUT);
    refused.reply(Reply::Refuse(Code::Denied), NOW);
    assert!(sent(&mut refused).contains("\"denied\""));
    assert_eq!(refused.action(), Action::Receive);

    let mut corrupt = session(&config, PUT);
    corrupt.reply(Reply::Refuse(Code::Corrupt), NOW);
    assert!(sent(&mut corrupt).contains("\"corrupt\""));

    let mut displaced = session(&config, PUT);
    displaced.reply(Reply::Upload { have: 4, reads_back: false }, NOW);
    assert_eq!(displaced.action(), Action::Hash { offset: 0, len: 4 });
    displaced.store_failed(WriteError::InUse, NOW);
    assert!(sent(&mut displaced).contains("\"inUse\""));
    assert_eq!(displaced.action(), Action::Receive);
}

/// A version that is longer than any file's is that of none.
#[test]
fn a_version_longer_than_any() {
    let config = config();
    let version = "v".repeat(65);
    let request = PUT.replace("\"crc32\"", &format!("\"version\":\"{version}\",\"crc32\""));
    let asked = session(&config, &request);
    let Action::Reply(Request::Put(put)) = asked.action() else { panic!("{:?}", asked.action()) };
    assert_eq!(put.replace, coracle_core::Replace::Version(""));
}

/// The end of input before the body, seen while `ready` is sent.
#[test]
fn a_client_that_has_gone_before_its_body() {
    let config = config();
    let mut gone = session(&config, PUT);
    gone.reply(Reply::Upload { have: 0, reads_back: false }, NOW);
    gone.receive_eof(NOW);
    sent(&mut gone);
    assert_eq!(gone.action(), Action::Close(Close::new(CloseHow::Finish, CloseReason::Broken)));
}

#[test]
fn a_configuration_tells_its_deadlines() {
    let config = ServerConfig::new().with_idle_ms(5).with_request_ms(6);
    assert_eq!((config.idle_ms(), config.request_ms()), (5, 6));
}
