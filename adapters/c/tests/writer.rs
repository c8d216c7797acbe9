//! Files that are put, by the callbacks of a writer: what each is called for, and what becomes of its answers.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::null;

use coracle_c::*;

type Memory = [u64; 512];
const SIZE: usize = size_of::<Memory>();
const OK: StatusValue = StatusValue(Status::Ok as u8);
const NONE: StatusValue = StatusValue(Status::NotFound as u8);
/// Ten digits and their CRC-32.
const DIGITS: &[u8] = b"0123456789";
const PUT: &[u8] = b"{\"type\":\"put\",\"fileName\":\"a\",\"fileSize\":10,\"crc32\":\"a684c7c6\"}\n";

/// How the line ends that asks for a body.
const READY: &[u8] = b"\"chunkSize\":1024}\n";

/// A medium for one file.
struct Medium {
    /// What `begin` returns, and the number beside it.
    begin: Status,
    limit: u64,
    /// How often `begin` and `commit` have to be asked again.
    pending: u32,
    /// How many bytes `write` takes at most.
    takes: usize,
    reads_back: bool,
    actions: Option<&'static CStr>,
    bytes: Vec<u8>,
    /// The callbacks that were called, each once in a row.
    calls: Vec<&'static str>,
}

impl Medium {
    fn new() -> Self {
        Self {
            begin: Status::Ok,
            limit: UNKNOWN,
            pending: 0,
            takes: 4,
            reads_back: false,
            actions: None,
            bytes: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn called(&mut self, name: &'static str) {
        if self.calls.last() != Some(&name) {
            self.calls.push(name);
        }
    }

    fn is_pending(&mut self) -> bool {
        let is_pending = self.pending > 0;
        self.pending = self.pending.saturating_sub(1);
        is_pending
    }
}

unsafe fn medium<'a>(user: *mut c_void) -> &'a mut Medium {
    // SAFETY: the store's `user`, which is used by one callback at a time.
    unsafe { &mut *user.cast() }
}

fn fill(info: &mut FileInfo, size: u64) {
    (info.size, info.version[0]) = (size, c_char::from_ne_bytes([b'w']));
}

unsafe extern "C" fn open(_: *mut c_void, _: *const c_char, _: *mut *mut c_void) -> StatusValue {
    NONE
}

unsafe extern "C" fn stat(_: *mut c_void, _: *mut c_void, _: *mut FileInfo) -> StatusValue {
    NONE
}

unsafe extern "C" fn read(_: *mut c_void, _: *mut c_void, _: u64, _: *mut u8, _: usize, _: *mut usize) -> StatusValue {
    NONE
}

unsafe extern "C" fn next(_: *mut c_void, _: *mut c_void, _: *mut Entry) -> StatusValue {
    NONE
}

unsafe extern "C" fn close(_: *mut c_void, _: *mut c_void) {}

unsafe extern "C" fn begin(user: *mut c_void, put: *const Put, begun: *mut Begun, _: u64) -> StatusValue {
    // SAFETY: as the library calls it.
    let (medium, put, begun, name) = unsafe { (medium(user), &*put, &mut *begun, CStr::from_ptr((*put).name)) };
    medium.called("begin");
    assert_eq!((name, put.size, put.digest_kind), (c"a", 10, DigestKind::Crc32));
    assert_eq!(put.digest[..5], [0xa6, 0x84, 0xc7, 0xc6, 0]);
    begun.limit = medium.limit;
    begun.have = medium.bytes.len() as u64;
    StatusValue(if medium.is_pending() { Status::Pending } else { medium.begin } as u8)
}

unsafe extern "C" fn write(
    user: *mut c_void,
    _: *mut c_void,
    offset: u64,
    bytes: *const u8,
    len: usize,
    taken: *mut usize,
    _: u64,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (medium, taken) = unsafe { (medium(user), &mut *taken) };
    // SAFETY: the same.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, len) };
    medium.called("write");
    assert_eq!(offset, medium.bytes.len() as u64, "in order, without gaps");
    *taken = len.min(medium.takes);
    medium.bytes.extend_from_slice(&bytes[..*taken]);
    OK
}

unsafe extern "C" fn read_back(
    user: *mut c_void,
    _: *mut c_void,
    offset: u64,
    buf: *mut u8,
    len: usize,
    taken: *mut usize,
    _: u64,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (medium, taken) = unsafe { (medium(user), &mut *taken) };
    // SAFETY: the same.
    let buf = unsafe { std::slice::from_raw_parts_mut(buf, len) };
    medium.called("read_back");
    let rest = &medium.bytes[usize::try_from(offset).expect("small")..];
    *taken = rest.len().min(len);
    buf[..*taken].copy_from_slice(&rest[..*taken]);
    OK
}

unsafe extern "C" fn commit(
    user: *mut c_void,
    _: *mut c_void,
    put: *const Put,
    info: *mut FileInfo,
    _: u64,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (medium, put, info) = unsafe { (medium(user), &*put, &mut *info) };
    medium.called("commit");
    if medium.is_pending() {
        return StatusValue(Status::Pending as u8);
    }
    fill(info, put.size);
    OK
}

unsafe extern "C" fn keep(user: *mut c_void, _: *mut c_void) {
    // SAFETY: as the library calls it.
    unsafe { medium(user) }.called("keep");
}

unsafe extern "C" fn discard(user: *mut c_void, _: *mut c_void) {
    // SAFETY: as the library calls it.
    unsafe { medium(user) }.called("discard");
}

unsafe extern "C" fn perform(user: *mut c_void, client: *const Client, action: *const c_char) -> StatusValue {
    // SAFETY: as the library calls it.
    let (medium, client, action) = unsafe { (medium(user), &*client, CStr::from_ptr(action)) };
    medium.called("perform");
    assert!(!client.session.is_null() && client.key.is_null());
    StatusValue(if action == c"count" { Status::Ok } else { Status::Denied } as u8)
}

/// Passes `request` to a session, and `body` when that is ready for it; returns what it sends until it waits for more.
fn serve(medium: &mut Medium, request: &[u8], body: &[u8]) -> String {
    let reads_back = medium.reads_back;
    let store = Store {
        user: (&raw mut *medium).cast(),
        open: Some(open),
        stat: Some(stat),
        read: Some(read),
        close: Some(close),
        list: Some(open),
        next: Some(next),
        end_list: Some(close),
        known_digest: None,
        unix_time: None,
        is_linkless: None,
    };
    let writer = Writer {
        begin: Some(begin),
        write: Some(write),
        read_back: Some(read_back),
        commit: Some(commit),
        keep: Some(keep),
        discard: Some(discard),
        remove: None,
        reads_back,
        rename: None,
        make_dir: None,
        space: None,
        actions: medium.actions.map_or(null(), CStr::as_ptr),
        perform: Some(perform),
    };
    let (mut server, mut session): (Memory, Memory) = ([0; 512], [0; 512]);
    let server: *mut ServerMemory = (&raw mut server).cast();
    let session: *mut SessionMemory = (&raw mut session).cast();
    let (mut output, mut now, mut input, mut body) = (Vec::new(), 0, request, body);
    // SAFETY: all of it stays where it is, and lengths are those of slices.
    unsafe {
        assert_eq!(coracle_server_init(server, SIZE, &coracle_config_default(), &store), Outcome::Ok);
        let lacking = Writer { keep: None, ..writer };
        assert_eq!(coracle_server_set_writer(server, &lacking), Outcome::Callback);
        let unable = Writer { actions: c"count".as_ptr(), perform: None, ..writer };
        assert_eq!(coracle_server_set_writer(server, &unable), Outcome::Callback);
        for actions in [c"Count", c"count  again", c"\xff"] {
            let wrong = Writer { actions: actions.as_ptr(), ..writer };
            assert_eq!(coracle_server_set_writer(server, &wrong), Outcome::Actions);
        }
        assert_eq!(coracle_server_set_writer(server, &writer), Outcome::Ok);
        assert_eq!(coracle_session_init(session, SIZE, server, now), Outcome::Ok);
        for _ in 0..200 {
            let action = coracle_session_poll(session, now);
            match action.kind {
                ActionKind::Receive if !input.is_empty() => {
                    input = &input[coracle_session_receive(session, input.as_ptr(), input.len(), now)..];
                }
                ActionKind::Receive if !body.is_empty() && output.ends_with(READY) => {
                    input = std::mem::take(&mut body);
                }
                // A wait that ends by itself, or for more input.
                ActionKind::Receive if action.deadline_ms < now + 1_000 => {
                    now = action.deadline_ms;
                    coracle_session_timeout(session, now);
                }
                ActionKind::SendBytes => {
                    output.extend_from_slice(std::slice::from_raw_parts(action.bytes, action.len));
                    coracle_session_sent(session, action.len, now);
                }
                ActionKind::Again => {}
                _ => break,
            }
        }
        coracle_session_end(session);
    }
    String::from_utf8(output).expect("text")
}

#[test]
fn a_file_is_written_and_committed() {
    let mut medium = Medium::new();
    let output = serve(&mut medium, PUT, DIGITS);
    assert!(output.contains(r#""type":"end","fileName":"a","version":"w","crc32":"a684c7c6""#), "{output}");
    assert_eq!((&medium.bytes[..], &medium.calls[..]), (DIGITS, &["begin", "write", "commit"][..]));
}

#[test]
fn what_a_medium_stored_is_read_back_where_it_asks_for_that() {
    let mut medium = Medium { reads_back: true, ..Medium::new() };
    let output = serve(&mut medium, PUT, DIGITS);
    assert!(output.contains(r#""type":"end""#), "{output}");
    assert_eq!(medium.calls, ["begin", "write", "read_back", "commit"]);
}

#[test]
fn what_earlier_connections_left_is_read_back_and_goes_on() {
    let mut medium = Medium { bytes: DIGITS[..6].to_vec(), ..Medium::new() };
    let output = serve(&mut medium, PUT, &DIGITS[6..]);
    assert!(output.contains(r#""offset":6"#) && output.contains(r#""type":"end""#), "{output}");
    assert_eq!(medium.calls, ["begin", "read_back", "write", "commit"]);
}

#[test]
fn i3_other_contents_are_discarded_and_an_unfinished_upload_is_kept() {
    let mut medium = Medium::new();
    let output = serve(&mut medium, PUT, b"0123456780");
    assert!(output.contains(r#""code":"corrupt""#), "{output}");
    assert_eq!(medium.calls, ["begin", "write", "discard"]);

    let mut medium = Medium::new();
    let output = serve(&mut medium, PUT, &DIGITS[..5]);
    assert!(!output.contains(r#""type":"end""#), "{output}");
    assert_eq!(medium.calls, ["begin", "write", "keep"]);
}

#[test]
fn who_has_to_wait_is_asked_again() {
    let mut medium = Medium { pending: 2, ..Medium::new() };
    let output = serve(&mut medium, PUT, DIGITS);
    assert!(output.contains(r#""type":"end""#), "{output}");
    assert_eq!(medium.pending, 0);
}

#[test]
fn each_refusal_has_its_code_and_number() {
    for (begin, limit, expected) in [
        (Status::Exists, UNKNOWN, r#""code":"exists""#),
        (Status::Changed, UNKNOWN, r#""code":"changed""#),
        (Status::TooLarge, 9, r#""code":"tooLarge","message":"refused: a","max":9}"#),
        (Status::NoSpace, 7, r#""code":"noSpace","message":"refused: a","free":7}"#),
        (Status::NoSpace, UNKNOWN, r#""code":"noSpace","message":"refused: a"}"#),
        (Status::InUse, UNKNOWN, r#""code":"inUse""#),
        (Status::Denied, UNKNOWN, r#""code":"denied""#),
        (Status::Unsupported, UNKNOWN, r#""code":"unsupported""#),
    ] {
        let output = serve(&mut Medium { begin, limit, ..Medium::new() }, PUT, b"");
        assert!(output.contains(expected), "{output} for {expected}");
    }
}

#[test]
fn a_writer_that_deletes_nothing_does_not_offer_it() {
    let output = serve(&mut Medium::new(), br#"{"type":"hello"}"#, b"");
    assert!(output.contains(r#""put""#) && !output.contains(r#""delete""#), "{output}");
}

#[test]
fn a_writer_without_their_callbacks_does_not_offer_the_rest() {
    let output = serve(&mut Medium::new(), br#"{"type":"hello"}"#, b"");
    for word in ["rename", "makeDir", "space", "do"] {
        assert!(!output.contains(&format!("\"{word}\"")), "{output}");
    }
}

#[test]
fn an_action_is_performed_once_and_its_failure_told() {
    for (action, expected) in [("count", r#""type":"end""#), ("fail", r#""code":"denied""#), ("other", r#""code":"#)] {
        let mut medium = Medium { actions: Some(c"count fail"), ..Medium::new() };
        let request = format!(r#"{{"type":"do","action":"{action}"}}"#);
        let output = serve(&mut medium, request.as_bytes(), b"");
        assert!(output.contains(expected), "{output} for {expected}");
        assert_eq!(medium.calls.len(), usize::from(action != "other"));
    }
}
