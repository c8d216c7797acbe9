//! What the functions do with arguments and callbacks that break their contract where they can tell.

use core::ffi::{c_char, c_void};
use core::ptr::{null, null_mut};

use coracle_c::*;

/// Room for a server or a session, also where other crates' features of the core make it larger.
type Memory = [u64; 512];
const SIZE: usize = size_of::<Memory>();

/// What the callbacks of a store return.
struct Answers {
    open: u8,
    version: &'static [u8],
    entry: u8,
}

const GOOD: Answers = Answers { open: Status::Ok as u8, version: b"v1\0", entry: EntryKind::End as u8 };

unsafe extern "C" fn open(user: *mut c_void, _: *const c_char, _: *mut *mut c_void) -> StatusValue {
    // SAFETY: the store's `user`.
    StatusValue(unsafe { &*user.cast::<Answers>() }.open)
}

unsafe extern "C" fn stat(user: *mut c_void, _: *mut c_void, info: *mut FileInfo) -> StatusValue {
    // SAFETY: the store's `user`, and a place from the library.
    let (answers, info) = unsafe { (&*user.cast::<Answers>(), &mut *info) };
    for (place, byte) in info.version.iter_mut().zip(answers.version) {
        *place = c_char::from_ne_bytes([*byte]);
    }
    StatusValue(Status::Ok as u8)
}

unsafe extern "C" fn read(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: *mut u8,
    len: usize,
    taken: *mut usize,
) -> StatusValue {
    // SAFETY: a place from the library. More than was asked for.
    unsafe { *taken = len + 1 };
    StatusValue(Status::Ok as u8)
}

unsafe extern "C" fn close(_: *mut c_void, _: *mut c_void) {}

unsafe extern "C" fn list(_: *mut c_void, _: *const c_char, _: *mut *mut c_void) -> StatusValue {
    StatusValue(Status::Ok as u8)
}

unsafe extern "C" fn next(user: *mut c_void, _: *mut c_void, entry: *mut Entry) -> StatusValue {
    // SAFETY: the store's `user`, and a place from the library.
    unsafe { (*entry).kind = EntryKindValue((*user.cast::<Answers>()).entry) };
    StatusValue(Status::Ok as u8)
}

fn store(answers: &Answers) -> Store {
    Store {
        user: (&raw const *answers).cast_mut().cast(),
        open: Some(open),
        stat: Some(stat),
        read: Some(read),
        close: Some(close),
        list: Some(list),
        next: Some(next),
        end_list: Some(close),
        known_digest: None,
        unix_time: None,
        is_linkless: None,
    }
}

fn init(server: *mut Memory, size: usize, config: *const Config, store: *const Store) -> Outcome {
    // SAFETY: what is not NULL is as the functions want it, and outlives the server.
    unsafe { coracle_server_init(server.cast(), size, config, store) }
}

/// What a session sends when it receives `request`.
fn answer(answers: &Answers, request: &[u8]) -> String {
    let (mut server, mut session, store): (Memory, Memory, _) = ([0; 512], [0; 512], store(answers));
    assert_eq!(init(&raw mut server, SIZE, &coracle_config_default(), &store), Outcome::Ok);
    let session: *mut SessionMemory = (&raw mut session).cast();
    let mut output = Vec::new();
    // SAFETY: server, session and store stay where they are, and lengths are those of slices.
    unsafe {
        assert_eq!(coracle_session_init(session, SIZE, (&raw const server).cast(), 0), Outcome::Ok);
        assert_eq!(coracle_session_receive(session, request.as_ptr(), request.len(), 0), request.len());
        loop {
            let action = coracle_session_poll(session, 0);
            match action.kind {
                ActionKind::SendBytes => {
                    output.extend_from_slice(std::slice::from_raw_parts(action.bytes, action.len));
                    coracle_session_sent(session, action.len, 0);
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
fn i1_a_server_is_made_of_what_is_complete() {
    let (mut server, config, store) = ([0; 512], coracle_config_default(), store(&GOOD));
    let place = &raw mut server;
    let long = [b'x'; 33].map(|byte| c_char::from_ne_bytes([byte]));
    let named = |name: &[c_char]| Config { name: name.as_ptr(), ..config };
    let long = [&long[..], &[0]].concat();
    let lacking = Store { next: None, ..store };
    for (outcome, expected) in [
        (init(place, SIZE, &config, &store), Outcome::Ok),
        (init(null_mut(), SIZE, &config, &store), Outcome::Null),
        (init(place, SIZE, null(), &store), Outcome::Null),
        (init(place, SIZE, &config, null()), Outcome::Null),
        (init(place, 8, &config, &store), Outcome::Memory),
        (init(place.wrapping_byte_add(1), SIZE - 8, &config, &store), Outcome::Memory),
        (init(place, SIZE, &named(&long), &store), Outcome::Name),
        (init(place, SIZE, &named(&[7, 0]), &store), Outcome::Name),
        (init(place, SIZE, &config, &lacking), Outcome::Callback),
    ] {
        assert_eq!(outcome, expected);
    }
}

#[test]
fn i1_a_session_is_not_made_in_memory_that_is_too_small() {
    let (mut server, mut session, store) = ([0; 512], [0_u64; 512], store(&GOOD));
    assert_eq!(init(&raw mut server, SIZE, &coracle_config_default(), &store), Outcome::Ok);
    let (server, place) = ((&raw const server).cast(), (&raw mut session).cast());
    // SAFETY: the server stays, and `place` has more than the size that is told.
    unsafe {
        assert_eq!(coracle_session_init(place, 512, server, 0), Outcome::Memory);
        assert_eq!(coracle_session_init_busy(place, 512, server, 0), Outcome::Memory);
        assert_eq!(coracle_session_init(null_mut(), SIZE, server, 0), Outcome::Null);
        assert_eq!(coracle_session_init(place, SIZE, null(), 0), Outcome::Null);
    }
    assert_eq!(session, [0; 512], "nothing was written");
}

#[test]
fn i1_a_session_that_has_ended_is_closed_and_null_is_too() {
    let (mut server, mut session, store): (Memory, Memory, _) = ([0; 512], [0; 512], store(&GOOD));
    assert_eq!(init(&raw mut server, SIZE, &coracle_config_default(), &store), Outcome::Ok);
    let session = (&raw mut session).cast();
    // SAFETY: server, session and store stay where they are.
    unsafe {
        assert_eq!(coracle_session_init(session, SIZE, (&raw const server).cast(), 0), Outcome::Ok);
        assert_eq!(coracle_session_receive(session, null(), 5, 0), 0);
        for _ in 0..2 {
            coracle_session_end(session);
            let action = coracle_session_poll(session, 0);
            assert_eq!((action.kind, action.how), (ActionKind::Close, CloseHow::Abort));
            assert_eq!(action.why, CloseReason::Transport);
            assert_eq!(coracle_session_receive(session, b"{".as_ptr(), 1, 0), 0);
            assert_eq!(coracle_session_read(session, [0].as_mut_ptr(), 1, 0), 0);
        }
        assert_eq!(coracle_session_poll(null_mut(), 0).kind, ActionKind::Close);
        assert_eq!(coracle_session_receive(null_mut(), b"{".as_ptr(), 1, 0), 0);
        coracle_session_stop(null_mut(), 0);
        coracle_session_end(null_mut());
    }
}

#[test]
fn i2_what_callbacks_return_is_checked() {
    let stat = br#"{"type":"stat","fileName":"a","digest":"none"}"#;
    let list = br#"{"type":"list"}"#;
    for (answers, request, expected) in [
        (GOOD, &stat[..], r#""fileSize":0"#),
        (GOOD, &list[..], r#""count":0"#),
        (Answers { open: Status::Denied as u8, ..GOOD }, stat, r#""code":"denied""#),
        (Answers { open: 200, ..GOOD }, stat, r#""code":"io""#),
        (Answers { open: Status::NotEmpty as u8, ..GOOD }, stat, r#""code":"io""#),
        (Answers { version: b"\0", ..GOOD }, stat, r#""code":"io""#),
        (Answers { version: b"a b\0", ..GOOD }, stat, r#""code":"io""#),
        (Answers { version: &[b'x'; 80], ..GOOD }, stat, r#""code":"io""#),
        (Answers { entry: 77, ..GOOD }, list, r#""code":"io""#),
    ] {
        let answered = answer(&answers, request);
        assert!(answered.contains(expected), "{answered} for {expected}");
    }
}
