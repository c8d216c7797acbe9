//! Requests that may wait for a file to grow: servers that cannot watch it, and what a client sends.

mod driving;

use coracle_core::blocking::{Buffers, Served, serve_until_watch};
use coracle_core::exec::StoreExchange;
use coracle_core::{
    Action, ClientAction, ClientRequest, ClientSession, CloseHow, CloseReason, FileInfo, FileName, Finished,
    GetRequest, Instant, Listed, Reply, ServerConfig, ServerSession, Store, StoreError, Timer, Version,
};
use driving::{Arrival, Log, Shelf, Wire, asking, served_by};
use embedded_io::ErrorKind;

const FILE: &[u8] = b"hello, world";
const NAME: FileName<'static> = FileName::from_static("a.txt");
const HEADER: &str = "{\"type\":\"file\",\"fileName\":\"a.txt\",\"fileSize\":12,\"offset\":12,\"length\":0,\"chunkSize\":1024,\
                      \"readCnt\":0,\"lastSize\":0,\"version\":\"v1\",\"digest\":\"none\"}\n{\"type\":\"end\"}\n";
const WAITING: &str = r#"{"type":"get","fileName":"a.txt","offset":12,"version":"v1","digest":"none","wait_ms":30000}"#;

fn waits() -> ServerConfig<'static> {
    ServerConfig::new().with_wait_max_ms(60_000).with_absolute(true)
}

fn served(wire: Wire) -> driving::Served {
    let config = waits();
    let session = ServerSession::new(&config, vec![0; 512], Instant::from_millis(0));
    served_by(session, wire, Shelf::new(FILE), 512, Log::default())
}

#[test]
fn an_owner_that_cannot_watch_answers_at_once() {
    let served = served(driving::asking(&[WAITING, WAITING].concat()));
    assert_eq!(served.text(), [HEADER, HEADER].concat());
    assert_eq!(served.why(), (CloseHow::Finish, CloseReason::Done));
}

#[test]
fn a_store_whose_files_drop_nothing_counts_from_their_beginning_anyway() {
    let served = served(driving::asking(
        r#"{"type":"get","fileName":"a.txt","offset":7,"length":5,"digest":"none","absolute":true}"#,
    ));
    let text = served.text();
    assert!(text.contains(r#""offset":7,"length":5,"#) && text.ends_with("world{\"type\":\"end\"}\n"), "{text}");
}

#[test]
fn a_connection_that_breaks_before_the_wait_is_closed() {
    let stat = r#"{"type":"stat","fileName":"a.txt","digest":"none"}"#;
    let mut wire = driving::asking(&[stat, WAITING].concat());
    wire.writes = [Err(ErrorKind::ConnectionReset)].into();
    wire.reads.push_back(Arrival::Fail(ErrorKind::ConnectionReset));
    assert_eq!(served(wire).why().0, CloseHow::Abort);
}

/// The right to the file is asked for anew before each look at it.
#[test]
fn who_waits_needs_the_right_to_each_look() {
    let config = waits();
    #[cfg(feature = "rights")]
    let config = config.with_permits(true);
    let now = Instant::from_millis(0);
    let mut session = ServerSession::new(&config, [0; 512], now);
    session.receive(WAITING.as_bytes(), now);
    let info = FileInfo::new(12, Version::new("v1").expect("good"));
    for _ in 0..2 {
        #[cfg(feature = "rights")]
        {
            assert!(matches!(session.action(), Action::Permit { .. }), "{:?}", session.action());
            session.permit(coracle_core::Permit::Granted(coracle_core::Grant::ALL), now);
        }
        assert!(matches!(session.action(), Action::Reply(_)), "{:?}", session.action());
        session.reply(Reply::File { info: &info, known: None }, now);
        assert_eq!(session.action(), Action::Watch { name: NAME });
        session.look_again(now);
    }
}

/// A store that never gets ready.
struct Slow;

impl Store for Slow {
    type File = ();
    type Listing = ();
    fn open(&mut self, _: FileName<'_>) -> Result<(), StoreError> {
        Err(StoreError::NotReady)
    }
    fn info(&mut self, (): &()) -> Result<FileInfo, StoreError> {
        Err(StoreError::Io)
    }
    fn read(&mut self, (): &mut (), _: u64, _: &mut [u8]) -> Result<usize, StoreError> {
        Err(StoreError::Io)
    }
    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Err(StoreError::Io)
    }
    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        Err(StoreError::Io)
    }
}

/// A session in which a `stat` was answered by a store that is not ready.
fn awaiting_store<'c>(config: &'c ServerConfig<'c>) -> ServerSession<'c, [u8; 512]> {
    let now = Instant::from_millis(0);
    let mut session = ServerSession::new(config, [0; 512], now);
    session.receive(br#"{"type":"stat","fileName":"a.txt","digest":"none"}"#, now);
    look_up(&mut session, now);
    assert_eq!((session.action(), session.awaits_store()), (Action::Watch { name: NAME }, true));
    session
}

fn look_up(session: &mut ServerSession<'_, [u8; 512]>, now: Instant) {
    let Action::Reply(request) = session.action() else { panic!("{:?}", session.action()) };
    let mut exchange = StoreExchange::new();
    let reply = exchange.open(&mut Slow, &request);
    session.reply(reply, now);
}

/// Sends what the session has to send.
fn sent(session: &mut ServerSession<'_, [u8; 512]>, now: Instant) -> String {
    let mut text = String::new();
    while let Action::SendBytes { bytes, .. } = session.action() {
        text.push_str(str::from_utf8(bytes).expect("text"));
        let len = bytes.len();
        session.sent(len, now);
    }
    text
}

#[test]
fn a_store_that_is_not_ready_is_asked_again_while_the_client_hears_heartbeats() {
    let config = waits();
    let at = Instant::from_millis;
    let mut session = awaiting_store(&config);
    for beat in 1..=2 {
        session.look_again(at(beat * 10_000 - 1));
        look_up(&mut session, at(beat * 10_000 - 1));
        assert_eq!(session.deadline(), Some((at(beat * 10_000), Timer::Heartbeat)));
        session.handle_timeout(at(beat * 10_000));
        assert_eq!(sent(&mut session, at(beat * 10_000)), " ");
        assert_eq!((session.action(), session.awaits_store()), (Action::Watch { name: NAME }, true));
    }
    // Its exchange is under way.
    session.stop(at(20_000));
    assert_eq!(session.action(), Action::Watch { name: NAME });
    session.look_again(at(20_000));
    assert!(!session.awaits_store());
    let info = FileInfo::new(12, Version::new("v1").expect("good"));
    session.reply(Reply::File { info: &info, known: None }, at(20_000));
    let text = sent(&mut session, at(20_000));
    assert!(text.starts_with(r#"{"type":"file","fileName":"a.txt","#) && text.contains("shuttingDown"), "{text}");
}

#[test]
fn a_client_whose_server_cannot_wait_for_its_store_is_told_to_come_again() {
    let config = waits();
    let at = Instant::from_millis;
    let mut session = awaiting_store(&config);
    session.end_wait(at(1));
    let text = sent(&mut session, at(1));
    assert!(text.contains(r#""code":"busy""#), "{text}");
    assert!(
        matches!(session.action(), Action::Close(close) if close.how == CloseHow::Linger),
        "{:?}",
        session.action()
    );
}

/// The classic dialect has no errors; a body must not begin with a heartbeat.
#[cfg(feature = "classic")]
#[test]
fn an_older_client_waits_for_the_store_too_or_is_closed() {
    let config = waits().with_classic(true);
    let at = Instant::from_millis;
    let selecting = || {
        let mut session = ServerSession::new(&config, [0; 512], at(0));
        session.receive(br#"{"type":2,"fileName":"a.txt"}"#, at(0));
        look_up(&mut session, at(0));
        assert_eq!((session.action(), session.awaits_store()), (Action::Watch { name: NAME }, true));
        session
    };
    let mut session = selecting();
    session.look_again(at(1));
    let info = FileInfo::new(12, Version::new("v1").expect("good"));
    session.reply(Reply::File { info: &info, known: None }, at(1));
    assert_eq!(sent(&mut session, at(1)), r#"{"type":2,"data":12,"fileName":"a.txt","readCnt":1,"lastSize":12}"#);
    session.receive(b"a.txt", at(2));
    look_up(&mut session, at(2));
    assert!(
        matches!(session.action(), Action::Close(close) if close.how == CloseHow::Finish),
        "{:?}",
        session.action()
    );
    let mut session = selecting();
    session.end_wait(at(1));
    assert!(
        matches!(session.action(), Action::Close(close) if close.how == CloseHow::Finish),
        "{:?}",
        session.action()
    );
}

/// The time up to which it waits for the file to change is over: that ends no wait for the store.
#[test]
fn a_wait_for_the_store_is_not_bounded_by_the_one_for_the_file() {
    let config = waits();
    let at = Instant::from_millis;
    let mut session = ServerSession::new(&config, [0; 512], at(0));
    session.receive(WAITING.as_bytes(), at(0));
    let info = FileInfo::new(12, Version::new("v1").expect("good"));
    session.reply(Reply::File { info: &info, known: None }, at(0));
    assert_eq!((session.action(), session.awaits_store()), (Action::Watch { name: NAME }, false));
    session.look_again(at(29_999));
    look_up(&mut session, at(29_999));
    assert_eq!(session.deadline().map(|(_, timer)| timer), Some(Timer::Heartbeat));
}

/// Passes the file, with its end where the request begins, to a session that asks for it.
fn reply_file(session: &mut ServerSession<'_, [u8; 512]>, now: Instant) {
    let info = FileInfo::new(12, Version::new("v1").expect("good"));
    session.reply(Reply::File { info: &info, known: None }, now);
}

/// Sends the rest of an answer, of a file that has not changed.
fn answered(session: &mut ServerSession<'_, [u8; 512]>, now: Instant) -> String {
    let header = sent(session, now);
    session.finished(Finished::new(None, true), now);
    header + &sent(session, now)
}

/// What a store needs to get ready is no time that the client has given it besides.
#[test]
fn a_wait_counts_from_its_request() {
    let config = waits();
    let at = Instant::from_millis;
    for (ready, is_left) in [(9_000, true), (29_999, true), (30_000, false), (45_000, false)] {
        let mut session = ServerSession::new(&config, [0; 512], at(0));
        session.receive(WAITING.as_bytes(), at(0));
        look_up(&mut session, at(0));
        assert!(session.awaits_store());
        session.look_again(at(ready));
        reply_file(&mut session, at(ready));
        if is_left {
            assert_eq!((session.action(), session.awaits_store()), (Action::Watch { name: NAME }, false));
            while let Some((when, _)) = session.deadline().filter(|_| matches!(session.action(), Action::Watch { .. }))
            {
                session.handle_timeout(when);
                sent(&mut session, when);
            }
            assert!(matches!(session.action(), Action::Reply(_)), "{:?}", session.action());
            reply_file(&mut session, at(30_000));
        }
        assert_eq!(answered(&mut session, at(ready.max(30_000))), HEADER, "ready at {ready}");
    }
}

/// A heartbeat is due 10 s after the client heard something, however often the file and the right to it are looked up meanwhile;
/// while the owner decides or answers, none is.
#[test]
fn looks_delay_no_heartbeat() {
    let config = waits();
    #[cfg(feature = "rights")]
    let config = config.with_permits(true);
    let at = Instant::from_millis;
    let mut session = ServerSession::new(&config, [0; 512], at(0));
    session.receive(WAITING.as_bytes(), at(0));
    let mut beats = Vec::new();
    for now in (0..30_000).step_by(700) {
        #[cfg(feature = "rights")]
        {
            assert_eq!(session.deadline(), None);
            session.permit(coracle_core::Permit::Granted(coracle_core::Grant::ALL), at(now));
        }
        assert_eq!(session.deadline(), None);
        reply_file(&mut session, at(now));
        let due = session.deadline().expect("a heartbeat, or the end");
        if due.0 < at(now + 700) && due.1 == Timer::Heartbeat {
            session.handle_timeout(due.0);
            assert_eq!(sent(&mut session, due.0), " ");
            beats.push(due.0.as_millis());
        }
        session.look_again(at(now + 700));
    }
    assert_eq!(beats, [10_000, 20_000]);
}

/// A server that stops finishes the exchange under way: it waits for the store, and for nothing else.
#[test]
fn a_stop_ends_the_wait_for_the_file_and_not_that_for_the_store() {
    let config = waits();
    let at = Instant::from_millis;
    for gives_way in [false, true] {
        let mut session = ServerSession::new(&config, [0; 512], at(0));
        session.receive(WAITING.as_bytes(), at(0));
        look_up(&mut session, at(0));
        if gives_way {
            session.give_way(at(1_000))
        } else {
            session.stop(at(1_000))
        }
        assert_eq!((session.action(), session.awaits_store()), (Action::Watch { name: NAME }, true));
        session.look_again(at(2_000));
        look_up(&mut session, at(2_000));
        assert!(session.awaits_store());
        session.look_again(at(3_000));
        reply_file(&mut session, at(3_000));
        let text = answered(&mut session, at(3_000));
        let code = if gives_way { "busy" } else { "shuttingDown" };
        assert!(text.starts_with(HEADER) && text.contains(code), "{text}");
    }
}

#[test]
fn a_client_asks_for_it() {
    let line = |request| {
        let mut session = ClientSession::new([0; 1_024]);
        session.start(request, Instant::from_millis(0)).expect("idle");
        let ClientAction::SendBytes { bytes } = session.action() else { panic!("{:?}", session.action()) };
        String::from_utf8(bytes.to_vec()).expect("text")
    };
    let get = GetRequest::new(NAME).with_offset(12).with_wait_ms(30_000).with_absolute(true);
    let text = line(ClientRequest::Get(get));
    assert!(text.contains(r#""wait_ms":30000"#) && text.contains(r#""absolute":true"#), "{text}");
    let text = line(ClientRequest::Get(GetRequest::new(NAME)));
    assert!(!text.contains("wait_ms") && !text.contains("absolute"), "{text}");
}

/// A connection is not left to wait without a thread where its transport would not wait, or broke before.
#[test]
fn a_connection_that_has_ended_does_not_wait_for_its_client() {
    const GET: &str = r#"{"type":"get","fileName":"a.txt"}"#;
    let config = ServerConfig::new();
    // The beginning of another request holds the answer back, until there is nothing more to read.
    let requests = [GET, "{"].concat();
    for (requests, writes, expected) in [
        (GET, vec![], (CloseHow::Finish, CloseReason::Done)),
        (requests.as_str(), vec![Err(ErrorKind::BrokenPipe)], (CloseHow::Abort, CloseReason::Transport)),
    ] {
        let mut wire = asking(requests);
        wire.writes = writes.into();
        let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
        let scratch = Buffers { receive: &mut [0; 64], send: &mut [0; 4_096] };
        let (mut store, mut clock, exchange) =
            (Shelf::new(FILE), || Instant::from_millis(0), StoreExchange::<_>::new());
        let served =
            serve_until_watch(&mut session, &mut wire, &mut store, scratch, 0..0, &mut clock, &mut (), exchange);
        let Served::Closed(close) = served else { panic!("{served:?}") };
        assert_eq!((close.how, close.why), expected);
    }
}
