//! The functions that C calls, and in the modules those of C that are called: all unsafe code of this crate.

pub(crate) mod callbacks;
#[cfg(feature = "channel")]
mod channel;
#[cfg(all(feature = "panic-handler", not(feature = "std")))]
mod panic;
#[cfg(feature = "write")]
mod write_calls;

#[cfg(feature = "rights")]
use core::ffi::c_char;
use core::ffi::{CStr, c_void};

use coracle_core::{Code, Instant, ServerName};

#[cfg(feature = "channel")]
pub use callbacks::Keys;
pub use callbacks::Store;
#[cfg(feature = "write")]
pub use callbacks::Writer;
#[cfg(feature = "channel")]
pub use channel::*;

#[cfg(feature = "rights")]
use crate::client_types::Client;
#[cfg(feature = "write")]
use crate::server::Abilities;
use crate::server::Server;
use crate::session::Session;
use crate::types::{Action, ActionKind, Config, Outcome};
use callbacks::Table;

/// What keys add to a server.
#[cfg(feature = "channel")]
pub const SERVER_CHANNEL_WORDS: usize = 9;
/// What keys add to a server.
#[cfg(not(feature = "channel"))]
pub const SERVER_CHANNEL_WORDS: usize = 0;
/// Eighths of the bytes that a server takes without its pointers.
pub const SERVER_WORDS: usize = 6 + SERVER_CHANNEL_WORDS;
/// Pointers in it.
pub const SERVER_POINTERS: usize = 8;
/// The same of a session that only reads.
pub const SESSION_BASE_WORDS: usize = 116;
/// What SHA-256 adds.
#[cfg(feature = "sha256")]
pub const SESSION_SHA256_WORDS: usize = 13;
/// What SHA-256 adds.
#[cfg(not(feature = "sha256"))]
pub const SESSION_SHA256_WORDS: usize = 0;
/// What writing adds.
#[cfg(feature = "write")]
pub const SESSION_WRITE_WORDS: usize = 29;
/// What writing adds.
#[cfg(not(feature = "write"))]
pub const SESSION_WRITE_WORDS: usize = 0;
/// What managing adds to writing.
#[cfg(feature = "manage")]
pub const SESSION_MANAGE_WORDS: usize = 16;
/// What managing adds to writing.
#[cfg(not(feature = "manage"))]
pub const SESSION_MANAGE_WORDS: usize = 0;
/// What rights add.
#[cfg(feature = "rights")]
pub const SESSION_RIGHTS_WORDS: usize = 1;
/// What rights add.
#[cfg(not(feature = "rights"))]
pub const SESSION_RIGHTS_WORDS: usize = 0;
/// What waiting adds.
#[cfg(feature = "wait")]
pub const SESSION_WAIT_WORDS: usize = 4;
/// What waiting adds.
#[cfg(not(feature = "wait"))]
pub const SESSION_WAIT_WORDS: usize = 0;
/// Eighths of the bytes that a session takes without its pointers.
pub const SESSION_WORDS: usize = SESSION_BASE_WORDS
    + SESSION_SHA256_WORDS
    + SESSION_WRITE_WORDS
    + SESSION_MANAGE_WORDS
    + SESSION_RIGHTS_WORDS
    + SESSION_WAIT_WORDS;
/// Pointers in it.
pub const SESSION_POINTERS: usize = 16;

/// Memory for the settings that connections share. Its bytes are the library's; it may not be moved while a session uses it.
#[repr(C)]
#[derive(Debug)]
pub struct ServerMemory {
    words: [u64; SERVER_WORDS],
    pointers: [*mut c_void; SERVER_POINTERS],
}

/// Memory for one connection. Its bytes are the library's; it may not be moved while the session lasts.
#[repr(C)]
#[derive(Debug)]
pub struct SessionMemory {
    words: [u64; SESSION_WORDS],
    pointers: [*mut c_void; SESSION_POINTERS],
}

/// On hosts other crates may have enabled more features of the core, and only `coracle_session_init` can tell.
#[cfg(not(feature = "std"))]
const _: () =
    assert!(size_of::<Session>() <= size_of::<SessionMemory>() && size_of::<Server>() <= size_of::<ServerMemory>());
const _: () =
    assert!(align_of::<Session>() <= align_of::<SessionMemory>() && align_of::<Server>() <= align_of::<ServerMemory>());

/// The default settings, which are for a board.
#[unsafe(no_mangle)]
pub extern "C" fn coracle_config_default() -> Config {
    Config {
        name: core::ptr::null(),
        chunk_size: 1024,
        send_max: 0,
        idle_ms: 60_000,
        request_ms: 10_000,
        stall_ms: 30_000,
        min_rate: 0,
        busy_retry_ms: 0,
        stop_retry_ms: 0,
        wait_max_ms: 0,
    }
}

/// Makes a server in `*server`, memory of `size` bytes: sizeof(coracle_server).
///
/// `*config` is read here. `*store`, and the name, have to stay as they are for as long as the server is used. Nothing has to be
/// done at its end. Its functions, and those of its sessions, may be called by one thread at a time.
///
/// # Safety
///
/// As said here and in the structures' own words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_server_init(
    server: *mut ServerMemory,
    size: usize,
    config: *const Config,
    store: *const Store,
) -> Outcome {
    // SAFETY: the caller's promise; NULL makes a `None`.
    let (Some(config), Some(store)) = (unsafe { config.as_ref() }, unsafe { store.as_ref() }) else {
        return Outcome::Null;
    };
    let name = match config.name.is_null() {
        true => Ok(""),
        // SAFETY: not NULL, so text that ends with 0, by the caller's promise.
        false => unsafe { CStr::from_ptr(config.name) }.to_str(),
    };
    let Some(name) = name.ok().and_then(|name| ServerName::new(name).ok()) else { return Outcome::Name };
    // SAFETY: the caller's promise on `store`.
    let Some(table) = (unsafe { Table::new(store) }) else { return Outcome::Callback };
    // SAFETY: the caller's promise on `server` and `size`.
    unsafe { place(server.cast(), size, || Server::new(config, name, table)) }
}

/// Lets clients put files, and whatever else `writer` can. Called before the first session begins. `*writer` has to stay as it is for
/// as long as the server is used.
///
/// # Safety
///
/// `server` is one that coracle_server_init has made, without sessions; `writer` as said.
#[cfg(feature = "write")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_server_set_writer(server: *mut ServerMemory, writer: *const Writer) -> Outcome {
    // SAFETY: the caller's promise; NULL makes a `None`.
    let (server, writer) = unsafe { (server.cast::<Server>().as_mut(), writer.as_ref()) };
    let (Some(server), Some(writer)) = (server, writer) else { return Outcome::Null };
    // SAFETY: the caller's promise on `writer`.
    #[cfg(feature = "manage")]
    let Some(actions) = (unsafe { write_calls::actions_of(writer) }) else { return Outcome::Actions };
    // SAFETY: the same.
    if !unsafe { server.table.set_writer(writer) } {
        return Outcome::Callback;
    }
    server.offer(&Abilities {
        delete: writer.remove.is_some(),
        #[cfg(feature = "manage")]
        rename: writer.rename.is_some(),
        #[cfg(feature = "manage")]
        make_dir: writer.make_dir.is_some(),
        #[cfg(feature = "manage")]
        space: writer.space.is_some(),
        #[cfg(feature = "manage")]
        actions,
    });
    Outcome::Ok
}

/// Lets `of` say what each client may do, at each of its requests; otherwise every client may do everything that is offered. Called
/// before the first session begins.
///
/// It returns words that end with 0, with spaces between them: `read` (list, stat, get), `write` (put, makeDir, space), `delete`,
/// `do=ACTION`; with `write` and `delete` a client may rename. `read=logs/` is limited to what lies beneath the directory `logs`, and so
/// are the others. Any other word leaves no rights at all. The words have to stay until the next call of a callback. NULL: the client is
/// not known, and may do nothing; one with a key is told it.
///
/// # Safety
///
/// `server` is one that coracle_server_init has made, without sessions; `of` as said.
#[cfg(feature = "rights")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_server_set_rights(
    server: *mut ServerMemory,
    of: Option<unsafe extern "C" fn(user: *mut c_void, client: *const Client) -> *const c_char>,
) -> Outcome {
    // SAFETY: the caller's promise; NULL makes a `None`.
    let (Some(server), Some(of)) = (unsafe { server.cast::<Server>().as_mut() }, of) else { return Outcome::Null };
    // SAFETY: the caller's promise on `of`.
    unsafe { server.table.set_rights(of) };
    server.config = server.config.with_permits(true);
    Outcome::Ok
}

/// Makes a session in `*session`, memory of `size` bytes (sizeof(coracle_session)), for a connection that was just accepted.
///
/// `*server` has to stay where it is until coracle_session_end. `now_ms` is the time in milliseconds since a start of the caller's
/// choice, here and in all functions, by one clock that does not run backwards.
///
/// # Safety
///
/// As said; no session is in `*session`, or one that has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_init(
    session: *mut SessionMemory,
    size: usize,
    server: *const ServerMemory,
    now_ms: u64,
) -> Outcome {
    // SAFETY: the caller's promise; NULL makes a `None`.
    let Some(server) = (unsafe { server.cast::<Server>().as_ref() }) else { return Outcome::Null };
    // SAFETY: the caller's promise on `session` and `size`.
    unsafe { place(session.cast(), size, || Session::new(server, Instant::from_millis(now_ms))) }
}

/// The same for a connection that there is no place for: its session sends `busy` and closes.
///
/// # Safety
///
/// As coracle_session_init.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_init_busy(
    session: *mut SessionMemory,
    size: usize,
    server: *const ServerMemory,
    now_ms: u64,
) -> Outcome {
    // SAFETY: as in `coracle_session_init`.
    let Some(server) = (unsafe { server.cast::<Server>().as_ref() }) else { return Outcome::Null };
    // SAFETY: the caller's promise on `session` and `size`.
    unsafe { place(session.cast(), size, || Session::refusing(server, Code::Busy, Instant::from_millis(now_ms))) }
}

/// Does what there is to do in the store, for a bounded time, and returns what is left to the owner of the connection. Called after each
/// report; without one in between the answer stays the same. For a session that has ended, or NULL, it is CLOSE.
///
/// # Safety
///
/// `session` is NULL, or one that coracle_session_init or coracle_session_init_busy has made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_poll(session: *mut SessionMemory, now_ms: u64) -> Action {
    // SAFETY: the caller's promise.
    match unsafe { get(session) } {
        Some(session) => session.poll(Instant::from_millis(now_ms)),
        None => Action::new(ActionKind::Close),
    }
}

/// Takes received bytes, and returns how many of the `len`; the rest has to be passed again after coracle_session_poll. It takes none
/// while a response is under way, and may take none while the store is at work.
///
/// # Safety
///
/// `bytes` are `len` readable bytes, or NULL; `session` as in coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_receive(
    session: *mut SessionMemory,
    bytes: *const u8,
    len: usize,
    now_ms: u64,
) -> usize {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { get(session) }) else { return 0 };
    if bytes.is_null() || isize::try_from(len).is_err() {
        return 0;
    }
    // SAFETY: not NULL, not longer than a slice may be, and readable by the caller's promise.
    session.receive(unsafe { core::slice::from_raw_parts(bytes, len) }, Instant::from_millis(now_ms))
}

/// The peer will send no more, and all that it sent was taken. A response under way is still sent in full.
///
/// # Safety
///
/// As coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_receive_eof(session: *mut SessionMemory, now_ms: u64) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.receive_eof(Instant::from_millis(now_ms));
    }
}

/// The next `len` bytes of SEND_BYTES were taken by the transport, or by a buffer of the owner.
///
/// # Safety
///
/// As coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_sent(session: *mut SessionMemory, len: usize, now_ms: u64) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.sent(len, Instant::from_millis(now_ms));
    }
}

/// Reads at most `len` of the bytes that SEND_FILE asks for into `buf`, and returns how many. They count as sent: the owner has to
/// send them all. 0 where the file cannot be read, or another action is due: coracle_session_poll says which. Of an encrypted client
/// `len` has to be at least CORACLE_RECORD_MIN.
///
/// # Safety
///
/// `buf` are `len` bytes that can be written, or NULL; `session` as in coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_read(
    session: *mut SessionMemory,
    buf: *mut u8,
    len: usize,
    now_ms: u64,
) -> usize {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { get(session) }) else { return 0 };
    if buf.is_null() || isize::try_from(len).is_err() {
        return 0;
    }
    // SAFETY: not NULL, and no longer than a slice may be.
    unsafe { buf.write_bytes(0, len) };
    // SAFETY: the same, and initialised.
    session.read(unsafe { core::slice::from_raw_parts_mut(buf, len) }, Instant::from_millis(now_ms))
}

/// The transport has accepted bytes that counted as sent before: restarts the timer for clients that take nothing.
///
/// # Safety
///
/// As coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_progress(session: *mut SessionMemory, now_ms: u64) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.machine().progress(Instant::from_millis(now_ms));
    }
}

/// Handles the timer that has expired by `now_ms`, if any.
///
/// # Safety
///
/// As coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_timeout(session: *mut SessionMemory, now_ms: u64) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.handle_timeout(Instant::from_millis(now_ms));
    }
}

/// Answers WATCH: the file may have changed, or the store may be ready. Changes nothing where the session does not wait.
///
/// # Safety
///
/// As coracle_session_poll.
#[cfg(feature = "wait")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_look_again(session: *mut SessionMemory, now_ms: u64) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.machine().look_again(Instant::from_millis(now_ms));
    }
}

/// Ends the session gracefully: finishes the exchange under way, then tells the client that the server is stopping.
///
/// # Safety
///
/// As coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_stop(session: *mut SessionMemory, now_ms: u64) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.stop(Instant::from_millis(now_ms));
    }
}

/// Ends the session: after CLOSE, or where the connection is lost. Closes what it has open in the store; an unfinished upload is
/// kept. From then on its memory may be used again.
///
/// # Safety
///
/// As coracle_session_poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coracle_session_end(session: *mut SessionMemory) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { get(session) } {
        session.end();
    }
}

/// Makes a value at `place`, if it fits there.
///
/// # Safety
///
/// `place` is NULL, or `size` bytes that can be written and hold nothing that is used.
#[inline(always)]
unsafe fn place<T>(place: *mut T, size: usize, make: impl FnOnce() -> T) -> Outcome {
    if place.is_null() {
        return Outcome::Null;
    }
    if size < size_of::<T>() || !place.is_aligned() {
        return Outcome::Memory;
    }
    // SAFETY: not NULL, large enough, aligned, and unused by the caller's promise.
    unsafe { place.write(make()) };
    Outcome::Ok
}

/// The session at `session`; `None` for NULL.
///
/// # Safety
///
/// `session` is NULL, or one that was made, which nothing else uses during the call.
unsafe fn get<'a>(session: *mut SessionMemory) -> Option<&'a mut Session> {
    // SAFETY: the caller's promise.
    unsafe { session.cast::<Session>().as_mut() }
}
