//! Requests that were sent before the responses to earlier ones were complete.

mod asking;

use std::convert::Infallible;

use asking::{GET, NAME, answer, answered, describe, header};
use coracle_core::blocking::{ClientError, Connection, NoTimeout};
use coracle_core::exec::Sink;
use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Code, DigestKind, End, Failure, FileName, GetRequest,
    Instant, StartError,
};
use proptest::prelude::*;

const FILE: &[u8] = b"hello, world";
const STAT: ClientRequest<'static> = ClientRequest::Stat { name: NAME, digest: None };
const LIST: ClientRequest<'static> = ClientRequest::List { path: None };
const LISTING: &str = "{\"type\":\"entry\",\"fileName\":\"a\",\"fileSize\":1}\n{\"type\":\"end\",\"count\":1}\n";
const NOT_FOUND: &str = "{\"type\":\"error\",\"code\":\"notFound\",\"message\":\"no such file: a.txt\"}\n";
const BUSY: &str = "{\"type\":\"error\",\"code\":\"busy\",\"message\":\"busy\"}\n";

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn idle() -> ClientSession<[u8; 1_024]> {
    ClientSession::new([0xAA; 1_024])
}

fn stat_line() -> String {
    header(FILE, 0).replace("\"digest\":\"crc32\"", "\"digest\":\"none\"")
}

/// Requests, and valid responses to them.
fn exchanges() -> Vec<(ClientRequest<'static>, Vec<u8>)> {
    let changed = "{\"type\":\"error\",\"code\":\"changed\",\"message\":\"changed\"}\n";
    let rest = GetRequest::new(NAME).with_offset(3).with_digest(None).with_digest_from(Some(0));
    let unchecked = header(FILE, 3).replace("crc32", "none") + "lo, world{\"type\":\"end\"}\n";
    vec![
        (GET, answer(FILE, 0)),
        (GET, answer(b"", 0)),
        (GET, NOT_FOUND.into()),
        (GET, (header(FILE, 0) + "hello, world" + changed).into()),
        (ClientRequest::Get(rest), unchecked.into()),
        (STAT, stat_line().into()),
        (STAT, NOT_FOUND.into()),
        (LIST, LISTING.into()),
        (LIST, (LISTING.split_inclusive('\n').next().expect("a line").to_owned() + NOT_FOUND).into()),
    ]
}

proptest! {
    /// However the input is cut, each request has the events that it has alone.
    #[test]
    fn responses_are_those_of_the_requests_alone(
        chosen in proptest::collection::vec(0..exchanges().len(), 1..20),
        pieces in proptest::collection::vec(1_usize..300, 1..8),
    ) {
        let exchanges = exchanges();
        let input: Vec<u8> = chosen.iter().flat_map(|one| exchanges[*one].1.clone()).collect();
        let mut cuts = pieces.iter().cycle();
        let (mut begin, mut end) = (0, 0);
        let mut session = idle();
        for chosen in &chosen {
            let (request, response) = &exchanges[*chosen];
            session.start_sent(*request, at(0)).expect("idle");
            let (mut events, mut body) = (Vec::new(), Vec::new());
            while session.action() == ClientAction::Receive {
                if begin == end {
                    end = (begin + cuts.next().expect("a piece")).min(input.len());
                    prop_assert!(begin < end, "all was received, and more is expected");
                }
                let (taken, event) = session.receive(&input[begin..end], at(0));
                begin += taken;
                match event {
                    Some(ClientEvent::Body { offset, bytes }) => {
                        if body.is_empty() {
                            events.push(format!("body from {offset}"));
                        }
                        body.extend_from_slice(bytes);
                    }
                    Some(event) => events.push(describe(&event)),
                    None => {}
                }
            }
            prop_assert_eq!(session.action(), ClientAction::Idle);
            let alone = answered(*request, b"", response);
            prop_assert_eq!((events, body), (alone.events, alone.body));
        }
        prop_assert_eq!(begin, input.len());
    }
}

#[test]
fn what_is_written_is_what_a_session_sends() {
    for (request, _) in exchanges() {
        let mut started = idle();
        started.start(request, at(0)).expect("idle");
        let mut buf = [0; 1_024];
        let len = idle().write_request(&request, &mut buf).expect("it fits");
        assert_eq!(started.action(), ClientAction::SendBytes { bytes: &buf[..len] });
    }
}

#[test]
fn requests_that_cannot_be_sent_ahead() {
    let get = GetRequest::new(NAME).with_offset(7);
    let resume = get.with_version(None).with_digest_from(Some(0));
    let behind = get.with_digest_from(Some(8));
    let mut session = idle();
    let name = "\"".repeat(255);
    let long = ClientRequest::Stat { name: FileName::new(&name).expect("a name"), digest: None };
    let mut buf = [0; 1_024];
    for (request, error) in [
        (ClientRequest::Get(resume), StartError::NotAhead),
        (ClientRequest::Get(behind), StartError::DigestRange),
        (ClientRequest::Get(behind.with_digest(None)), StartError::DigestRange),
    ] {
        assert_eq!(session.write_request(&request, &mut buf), Err(error));
        assert_eq!(session.start_sent(request, at(0)), Err(error));
        assert_eq!(session.action(), ClientAction::Idle);
    }
    assert_eq!(session.write_request(&long, &mut buf), Err(StartError::NameDoesNotFit));
    assert_eq!(session.write_request(&ClientRequest::Hello, &mut [0; 15]), Err(StartError::BufTooShort));
    assert_eq!(session.write_request(&ClientRequest::Hello, &mut [0; 16]), Err(StartError::BufTooShort));
    assert_eq!(session.write_request(&ClientRequest::Hello, &mut [0; 17]), Ok(17));
    session.start_sent(GET, at(0)).expect("idle");
    assert_eq!(session.start_sent(GET, at(0)), Err(StartError::NotIdle));
    assert_eq!(session.start(GET, at(0)), Err(StartError::NotIdle));
}

/// The next file to put may be asked for behind a body, whatever length a server has told for other requests.
#[cfg(feature = "write")]
#[test]
fn a_put_is_sent_ahead() {
    let name = "\"".repeat(255);
    let name = FileName::new(&name).expect("a name");
    let put = coracle_core::Put::new(name, 5, coracle_core::Digest::Crc32(7));
    let request = ClientRequest::Write(coracle_core::WriteRequest::Put(put));
    let (mut started, mut buf) = (idle(), [0; 1_024]);
    started.start(request, at(0)).expect("idle");
    let len = idle().write_request(&request, &mut buf).expect("it fits");
    assert_eq!(started.action(), ClientAction::SendBytes { bytes: &buf[..len] });
    let mut sent = idle();
    sent.start_sent(request, at(0)).expect("idle");
    let line = serde_json::json!({"type": "ready", "fileName": name.as_str(), "fileSize": 5, "offset": 0, "length": 5,
        "chunkSize": 1024});
    let line = format!("{line}\n");
    let (taken, event) = sent.receive(line.as_bytes(), at(0));
    assert!(taken == line.len() && matches!(event, Some(ClientEvent::Ready(_))), "{event:?}");
    assert_eq!(sent.action(), ClientAction::SendFile { offset: 0, len: 5 });
}

#[cfg(feature = "write")]
#[test]
fn other_requests_that_change_the_store_are_not_sent_ahead() {
    let request = ClientRequest::Write(coracle_core::WriteRequest::MakeDir { path: NAME });
    assert_eq!(idle().write_request(&request, &mut [0; 1_024]), Err(StartError::NotAhead));
    assert_eq!(idle().start_sent(request, at(0)), Err(StartError::NotAhead));
}

#[test]
fn a_server_says_how_long_requests_may_be() {
    let mut session = idle();
    session.start_sent(ClientRequest::Hello, at(0)).expect("idle");
    let line = "{\"type\":\"hello\",\"protocol\":1,\"server\":\"s\",\"name\":\"n\",\"maxRequest\":4096,\"chunkSize\":1,\"idle_ms\":0,\
                \"request_ms\":0,\"stall_ms\":0,\"features\":[],\"digests\":[]}\n";
    assert!(matches!(session.receive(line.as_bytes(), at(0)).1, Some(ClientEvent::Hello(_))));
    let name = "\"".repeat(255);
    let long = ClientRequest::Stat { name: FileName::new(&name).expect("a name"), digest: None };
    assert!(session.write_request(&long, &mut [0; 1_024]).is_ok_and(|len| len > 512));
}

/// The time begins when the response is the next one, not when the request was sent.
#[test]
fn the_stall_timer_runs_from_the_start() {
    let mut session = idle().with_stall_ms(100);
    session.start_sent(STAT, at(1_000)).expect("idle");
    assert_eq!(session.deadline().map(|(at, _)| at), Some(at(1_100)));
    session.receive(stat_line().as_bytes(), at(1_050));
    assert_eq!(session.deadline(), None);
    session.start_sent(STAT, at(5_000)).expect("idle");
    session.handle_timeout(at(5_100));
    assert_eq!(session.action(), ClientAction::Close(Failure::Stalled));
}

#[test]
fn a_request_that_was_sent_is_abandoned_with_the_connection() {
    let mut session = idle();
    session.start_sent(GET, at(0)).expect("idle");
    session.abandon();
    assert_eq!(session.action(), ClientAction::Close(Failure::Abandoned));
}

#[test]
fn a_server_that_ends_the_connection_in_between() {
    for (input, failure) in [(BUSY, Failure::Ended(Code::Busy)), ("", Failure::Closed)] {
        let mut session = idle();
        session.start_sent(STAT, at(0)).expect("idle");
        session.receive(stat_line().as_bytes(), at(0));
        session.start_sent(STAT, at(0)).expect("idle");
        session.receive(input.as_bytes(), at(0));
        session.receive_eof();
        assert_eq!(session.action(), ClientAction::Close(failure));
        assert_eq!(session.start_sent(STAT, at(0)), Err(StartError::NotIdle));
    }
}

struct Wire {
    input: Vec<u8>,
    sent: Vec<u8>,
}

impl embedded_io::ErrorType for Wire {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let len = self.input.len().min(buf.len());
        buf[..len].copy_from_slice(&self.input[..len]);
        self.input.drain(..len);
        Ok(len)
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.sent.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[derive(Default)]
struct Held(Vec<u8>);

impl Sink for Held {
    type Error = Infallible;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
        assert_eq!(usize::try_from(offset), Ok(self.0.len()));
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// All requests are sent before the first response is read; with buffers of several lengths, so that what a read brings ends
/// inside of responses and between them.
#[test]
fn a_blocking_connection_receives_them_one_after_the_other() {
    for len in [1, 7, 100, 4_096] {
        let input = [answer(FILE, 0), NOT_FOUND.into(), LISTING.into(), stat_line().into(), answer(FILE, 0)].concat();
        let transport = NoTimeout(Wire { input, sent: Vec::new() });
        let mut connection = Connection::new(idle(), transport, vec![0; len], || at(0));
        let requests = [GET, STAT, LIST, STAT, GET];
        let mut line = [0; 1_024];
        for request in &requests {
            let len = connection.write_request(request, &mut line).expect("it fits");
            connection.transport_mut().0.sent.extend_from_slice(&line[..len]);
        }
        let sent = connection.transport_mut().0.sent.clone();
        let mut held = [Held::default(), Held::default()];
        connection.start_sent(GET).expect("idle");
        assert!(matches!(connection.finish_get(&mut held[0]), Ok(End::Verified(verified)) if verified.is_whole()));
        connection.start_sent(STAT).expect("idle");
        assert_eq!(connection.finish_stat(), Err(ClientError::Refused(Some(Code::NotFound))));
        assert_eq!(connection.refusal().map(|refusal| refusal.word), Some("notFound"));
        connection.start_sent(LIST).expect("idle");
        let mut names = Vec::new();
        let listed = connection.finish_list(|entry| {
            names.push(entry.name.as_str().to_owned());
            Ok::<_, Infallible>(())
        });
        assert_eq!((listed.map(|listing| listing.count), names), (Ok(1), vec!["a".to_owned()]));
        connection.start_sent(STAT).expect("idle");
        assert_eq!(connection.finish_stat().map(|header| header.size), Ok(12));
        connection.start_sent(GET).expect("idle");
        assert!(connection.finish_get(&mut held[1]).is_ok());
        assert!(held.iter().all(|held| held.0 == FILE) && connection.is_idle() && !connection.has_received());
        assert_eq!(connection.transport_mut().0.sent, sent, "nothing is sent a second time");
        let resume =
            GetRequest::new(NAME).with_offset(1).with_digest(Some(DigestKind::Crc32)).with_digest_from(Some(0));
        assert_eq!(connection.start_sent(ClientRequest::Get(resume)), Err(StartError::NotAhead));
    }
}
