//! Repeats one piece of work, for a tool that counts instructions (`tests/instructions/run`).
//!
//! The tool counts the function with the work's name, without its setup.

use std::hint::black_box;
use std::process::ExitCode;

use coracle_core::{
    Action, DigestKind, Entry, EntryKind, FileInfo, FileName, Finished, Hasher, Instant, Listed, Reply, ServerConfig,
    ServerSession, Version,
};

/// Number of repetitions, since the first one may cost more.
const TIMES: usize = 100;
const NOW: Instant = Instant::from_millis(0);

const REQUEST: &[u8] =
    br#"{"type":"get","fileName":"logs/2026-11-22/boot-0042.log","offset":4096,"version":"5f2a9c01","digest":"crc32"}"#;
/// The same request in HTTP.
const HTTP_REQUEST: &[u8] = b"GET /logs/2026-11-22/boot-0042.log HTTP/1.1\r\nHost: bench-7\r\nRange: bytes=4096-\r\n\
    If-Match: \"5f2a9c01\"\r\nWant-Content-Digest: crc32=1\r\n\r\n";
const WHOLE_FILE: &[u8] = br#"{"type":"get","fileName":"image.bin","digest":"none"}"#;
const WHOLE_FILE_CRC32: &[u8] = br#"{"type":"get","fileName":"image.bin","digest":"crc32"}"#;
const LIST: &[u8] = br#"{"type":"list"}"#;
const BODY_LEN: u64 = 64 * 1024;

type Session<'c> = ServerSession<'c, [u8; 512]>;

fn main() -> ExitCode {
    let work = std::env::args().nth(1).unwrap_or_default();
    let config = ServerConfig::new();
    let body = vec![0x5A; usize::try_from(BODY_LEN).expect("64 KiB fit")];
    let info = FileInfo::new(BODY_LEN, Version::new("5f2a9c01").expect("a version")).with_modified(Some(1_763_769_600));
    for _ in 0..TIMES {
        let mut session = ServerSession::new(&config, [0; 512], NOW);
        match work.as_str() {
            "read_request" => read_request(&mut session, REQUEST),
            "write_header" => {
                read_request(&mut session, REQUEST);
                write_header(&mut session, &info);
            }
            "send_body" | "send_body_crc32" => {
                let is_hashed = work == "send_body_crc32";
                read_request(&mut session, if is_hashed { WHOLE_FILE_CRC32 } else { WHOLE_FILE });
                write_header(&mut session, &info);
                if is_hashed { send_body_crc32(&mut session, &body) } else { send_body(&mut session, &body) }
            }
            "write_entry" => {
                read_request(&mut session, LIST);
                session.reply(Reply::Listing, NOW);
                write_entry(&mut session);
            }
            "httparse" => httparse(HTTP_REQUEST),
            "memchr" => memchr(REQUEST),
            _ => {
                eprintln!("instructions: no work {work:?}; this program is run by tests/instructions/run");
                return ExitCode::from(2);
            }
        }
        black_box(&session);
    }
    ExitCode::SUCCESS
}

/// From the bytes of a request to the parsed request.
#[inline(never)]
fn read_request(session: &mut Session<'_>, request: &[u8]) {
    assert_eq!(session.receive(black_box(request), NOW).0, request.len());
    assert!(matches!(black_box(session.action()), Action::Reply(_)));
}

/// From the file's information to the last byte of the header.
#[inline(never)]
fn write_header(session: &mut Session<'_>, info: &FileInfo) {
    session.reply(Reply::File { info, known: None }, NOW);
    drain(session);
}

/// 64 KiB in chunks of 1,024 bytes, and the trailer.
#[inline(never)]
fn send_body(session: &mut Session<'_>, body: &[u8]) {
    while let Action::SendFile { offset, len, .. } = session.action() {
        black_box(&body[place(offset)..][..len]);
        session.sent(len, NOW);
    }
    finish(session, None);
}

/// The same with a CRC-32, whose table is in software: the count is the same on every processor.
#[inline(never)]
fn send_body_crc32(session: &mut Session<'_>, body: &[u8]) {
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("always there");
    while let Action::SendFile { offset, len, .. } = session.action() {
        hasher.update(&body[place(offset)..][..len]);
        session.sent(len, NOW);
    }
    finish(session, Some(hasher));
}

/// One entry of a listing.
#[inline(never)]
fn write_entry(session: &mut Session<'_>) {
    let name = FileName::new(black_box("logs/2026-11-22/boot-0042.log")).expect("a name");
    let kind = EntryKind::File { size: 5_321, modified: Some(1_763_769_600) };
    session.entry(Ok(Listed::Entry(Entry::new(name, kind))), NOW);
    drain(session);
}

/// A well-known parser with a similar request, for comparison.
#[inline(never)]
fn httparse(request: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(black_box(request)).is_ok_and(|status| status.is_complete()));
    black_box(&parsed);
}

/// The minimum for finding the end of a request.
#[inline(never)]
fn memchr(request: &[u8]) {
    assert_eq!(memchr::memchr(b'}', black_box(request)), Some(request.len() - 1));
}

fn drain(session: &mut Session<'_>) {
    while let Action::SendBytes { bytes, .. } = session.action() {
        let len = black_box(bytes).len();
        session.sent(len, NOW);
    }
}

fn finish(session: &mut Session<'_>, hasher: Option<Hasher>) {
    if let Action::Finish { .. } = session.action() {
        session.finished(Finished::new(hasher.map(Hasher::finish), true), NOW);
    }
    drain(session);
    assert_eq!((session.exchanges(), session.action()), (1, Action::Receive));
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("inside of the body")
}
