//! One connection whose owner takes every report from the register.

use core::num::NonZeroU32;

#[cfg(all(feature = "rename", feature = "absent"))]
use crate::absent::ActionWords;
#[cfg(all(feature = "rights", feature = "absent"))]
use crate::absent::Rights;
#[cfg(feature = "absent")]
#[cfg_attr(feature = "get-only", allow(unused_imports, reason = "that owner names no file"))]
use crate::absent::{FileName, ServerConfig, ServerName, ServerSession, Version, absent_request as parts};
use crate::board::{BUF_LEN, input, output, receive, send};
#[cfg(all(feature = "rename", not(feature = "absent")))]
use coracle_core::ActionWords;
#[cfg(feature = "rights")]
use coracle_core::Permit;
#[cfg(all(feature = "rights", not(feature = "absent")))]
use coracle_core::Rights;
#[cfg(feature = "classic")]
use coracle_core::TextPolicy;
use coracle_core::{Action, Close, Code, DigestKind, FileInfo, Finished, Instant, Reply};
#[cfg(not(feature = "get-only"))]
use coracle_core::{Entry, EntryKind, Listed, StoreError};
#[cfg(not(feature = "absent"))]
use coracle_core::{FileName, Request, ServerConfig, ServerName, ServerSession, Version};
#[cfg(feature = "put")]
use coracle_core::{RequestKind, ServerEvent, WriteError};

#[cfg(all(feature = "digest", feature = "absent"))]
use crate::absent::Hasher;
#[cfg(all(feature = "digest", not(feature = "absent")))]
use coracle_core::Hasher;

type Session = ServerSession<'static, [u8; BUF_LEN]>;

#[used]
#[unsafe(link_section = ".sizes")]
static SESSION_SIZE: [u8; size_of::<Session>()] = [0; size_of::<Session>()];
#[cfg(feature = "digest")]
#[used]
#[unsafe(link_section = ".sizes")]
static HASHER_SIZE: [u8; size_of::<Hasher>()] = [0; size_of::<Hasher>()];

pub fn run() {
    let mut text = [0; 64];
    let config = ServerConfig::new()
        .with_chunk_size(number())
        .with_send_max(number())
        .with_idle_ms(input())
        .with_request_ms(input())
        .with_stall_ms(input())
        .with_min_rate(input())
        .with_busy_retry_ms(input())
        .with_stop_retry_ms(input());
    let config = match text_of(receive(&mut text)).map(ServerName::new) {
        Some(Ok(name)) => config.with_name(name),
        _ => config,
    };
    #[cfg(feature = "classic")]
    let config = config.with_classic(input() == 0);
    #[cfg(feature = "classic")]
    let mut answer_text = [0; 64];
    #[cfg(feature = "classic")]
    let config = match (input(), text_of(receive(&mut answer_text))) {
        (0, _) => config.with_text_policy(TextPolicy::Echo),
        (1, Some(text)) => config.with_text_policy(TextPolicy::Reply(text)),
        _ => config,
    };
    #[cfg(feature = "put")]
    let config = config.with_offered(RequestKind::Put).with_offered(RequestKind::Delete);
    #[cfg(feature = "rename")]
    let config = config.with_offered(RequestKind::Rename).with_offered(RequestKind::MakeDir);
    #[cfg(feature = "rename")]
    let mut action_text = [0; 64];
    #[cfg(feature = "rename")]
    let config = match text_of(receive(&mut action_text)).map(ActionWords::new) {
        Some(Ok(actions)) => config.with_offered(RequestKind::Space).with_actions(actions),
        _ => config,
    };
    #[cfg(feature = "wait")]
    let config = config.with_wait_max_ms(input());
    #[cfg(feature = "absolute")]
    let config = config.with_absolute(input() == 0);
    let mut session = if input() == 0 {
        ServerSession::refusing(code(), &config, [0; BUF_LEN], now())
    } else {
        ServerSession::new(&config, [0; BUF_LEN], now())
    };
    let mut bytes = [0; 256];
    #[cfg(feature = "rights")]
    let mut rights_text = [0; 64];
    #[cfg(feature = "digest")]
    let mut hasher: Option<Hasher> = None;
    loop {
        match session.action() {
            Action::Receive => {
                let arrived = receive(&mut bytes);
                if arrived.is_empty() {
                    session.receive_eof(now());
                } else {
                    session.set_time(time());
                    let (taken, event) = session.receive(arrived, now());
                    output(taken as u32 ^ u32::from(event.is_some()));
                    #[cfg(feature = "put")]
                    if let Some(ServerEvent::Body { offset, bytes }) = event {
                        output(offset as u32 ^ (offset >> 32) as u32);
                        let len = send(bytes);
                        #[cfg(feature = "digest")]
                        if let Some(hasher) = &mut hasher {
                            hasher.update(&bytes[..len]);
                        }
                        if input() == 0 {
                            session.store_failed(write_error(), now())
                        } else {
                            session.stored(len, now())
                        }
                    }
                }
            }
            #[cfg(feature = "rights")]
            Action::Permit(demand) => {
                let rights = text_of(receive(&mut rights_text)).map(Rights::new);
                let permit = match (input(), rights) {
                    (0, Some(Ok(rights))) => rights.permit(&demand),
                    (1, Some(Err(error))) => Permit::Unknown { key: error.word() },
                    _ => Permit::Denied,
                };
                session.permit(permit, now());
            }
            Action::Reply(request) => {
                let (kind, name, digest) = parts(&request);
                output(kind ^ u32::from(digest.is_some()));
                if let Some(name) = name {
                    send(name.as_str().as_bytes());
                }
                #[cfg(feature = "digest")]
                {
                    hasher = digest.and_then(Hasher::new);
                }
                #[cfg(feature = "absolute")]
                output(u32::from(is_absolute(&request)));
                #[cfg(feature = "put")]
                if show(&request) {
                    reply_write(&mut session);
                    continue;
                }
                answer(&mut session);
            }
            #[cfg(not(feature = "get-only"))]
            Action::Entry => step(&mut session),
            Action::SendBytes { bytes, more } => {
                output(u32::from(more));
                let len = send(bytes);
                if len > 0 { session.sent(len, now()) } else { session.send_failed() }
            }
            Action::SendFile { offset, len, more, hash } => {
                output(offset as u32 ^ (offset >> 32) as u32 ^ u32::from(more) ^ u32::from(hash));
                let len = len.min(bytes.len());
                let part = receive(&mut bytes[..len]);
                let len = send(part);
                #[cfg(feature = "digest")]
                if let (Some(hasher), true) = (&mut hasher, hash) {
                    hasher.update(&part[..len]);
                }
                if len > 0 { session.sent(len, now()) } else { session.file_fault(now()) }
            }
            Action::Hash { offset, len } => {
                output(offset as u32 ^ (offset >> 32) as u32);
                let len = len.min(bytes.len());
                let part = receive(&mut bytes[..len]);
                #[cfg(feature = "digest")]
                if let Some(hasher) = &mut hasher {
                    hasher.update(part);
                }
                if part.is_empty() { session.file_fault(now()) } else { session.hashed(part.len(), now()) }
            }
            Action::Finish { from, to } => {
                output((from ^ to) as u32 ^ ((from ^ to) >> 32) as u32);
                #[cfg(feature = "digest")]
                let digest = hasher.take().map(Hasher::finish);
                #[cfg(not(feature = "digest"))]
                let digest = known();
                match input() {
                    0 => session.working(now()),
                    1 => session.file_fault(now()),
                    same => session.finished(Finished::new(digest, same == 2), now()),
                }
            }
            #[cfg(feature = "put")]
            Action::Commit(put) => {
                send(put.name.as_str().as_bytes());
                reply_write(&mut session);
            }
            #[cfg(feature = "put")]
            Action::Wait => output(7),
            #[cfg(feature = "wait")]
            Action::Watch { name } => {
                send(name.as_str().as_bytes());
            }
            #[cfg(feature = "classic")]
            Action::Text(text) => {
                send(text);
                session.text_seen(now());
            }
            Action::Close(Close { how, why, .. }) => {
                output(how as u32);
                if let coracle_core::CloseReason::Refused(code) = why {
                    output(code as u32);
                }
                break;
            }
            _ => break,
        }
        if let Some((when, timer)) = session.deadline() {
            output(when.as_millis() as u32 ^ timer as u32);
        }
        match input() {
            0 => session.handle_timeout(now()),
            1 => session.stop(now()),
            2 => session.progress(now()),
            #[cfg(feature = "wait")]
            3 => session.look_again(now()),
            #[cfg(feature = "wait")]
            4 => session.end_wait(now()),
            #[cfg(feature = "wait")]
            5 => session.give_way(now()),
            _ => {}
        }
    }
    let last = session.last_exchange();
    output(session.exchanges() ^ last.body_len as u32 ^ last.error.map_or(0, |code| code as u32));
}

/// Uses everything that the core reports of a request.
#[cfg(not(feature = "absent"))]
fn parts<'a>(request: &Request<'a>) -> (u32, Option<FileName<'a>>, Option<DigestKind>) {
    (request.kind() as u32, request.name(), request.digest())
}

/// Whether its offsets count from the beginning of the log.
#[cfg(feature = "absolute")]
fn is_absolute(request: &coracle_core::Request<'_>) -> bool {
    use coracle_core::Request;
    matches!(request, Request::Get { absolute: true, .. } | Request::Stat { absolute: true, .. })
}

/// Uses everything that a request to write says; false for another.
#[cfg(feature = "put")]
#[inline(never)]
fn show(request: &coracle_core::Request<'_>) -> bool {
    use coracle_core::{Delete, Replace, Request};
    match request {
        Request::Put(put) => {
            output(put.size as u32 ^ (put.size >> 32) as u32 ^ u32::from(put.parents));
            output(put.modified.map_or(0, |time| time as u32 ^ (time >> 32) as u32));
            if let Replace::Version(version) = put.replace {
                send(version.as_bytes());
            }
            output(u32::from(put.replace == Replace::Anything));
        }
        Request::Delete(Delete::File { version, .. }) => {
            send(version.unwrap_or_default().as_bytes());
        }
        Request::Delete(_) => {}
        #[cfg(feature = "rename")]
        Request::Rename(rename) => {
            send(rename.to.as_str().as_bytes());
            send(rename.version.unwrap_or_default().as_bytes());
        }
        #[cfg(feature = "rename")]
        Request::MakeDir { .. } | Request::Space => {}
        #[cfg(feature = "rename")]
        Request::Do { action } => {
            send(action.as_bytes());
        }
        _ => return false,
    }
    true
}

/// Replies to a request to write in every way.
#[cfg(feature = "put")]
#[inline(never)]
fn reply_write(session: &mut ServerSession<'_, [u8; BUF_LEN]>) {
    match input() {
        0 => session.reply(Reply::Upload { have: wide(), reads_back: input() == 0 }, now()),
        1 => session.reply(Reply::Compare, now()),
        2 => session.reply(Reply::Pending, now()),
        3 => session.reply(Reply::Done, now()),
        4 => session.reply(Reply::Failed(write_error()), now()),
        #[cfg(feature = "rename")]
        5 => {
            let space = coracle_core::Space::new().with_total(time()).with_free(time()).with_max_file(time());
            session.reply(Reply::Space(space), now());
        }
        _ => {
            if let Some(info) = info() {
                session.reply(Reply::Stored { info: &info }, now());
            }
        }
    }
}

#[cfg(feature = "put")]
#[inline(never)]
fn write_error() -> WriteError {
    match input() {
        0 => WriteError::Store(fault()),
        1 => WriteError::Exists,
        2 => WriteError::Changed,
        3 => WriteError::TooLarge { max: wide() },
        4 => WriteError::NoSpace { free: time() },
        5 => WriteError::InUse,
        6 => WriteError::Corrupt,
        7 => WriteError::NotEmpty,
        _ => WriteError::Unsupported,
    }
}

/// Replies to a request in every way.
#[inline(never)]
fn answer(session: &mut ServerSession<'_, [u8; BUF_LEN]>) {
    match input() {
        #[cfg(not(feature = "get-only"))]
        0 => session.reply(Reply::Listing, now()),
        1 => session.reply(Reply::Refuse(code()), now()),
        #[cfg(feature = "wait")]
        2 => session.reply(Reply::Pending, now()),
        _ => {
            if let Some(info) = info() {
                session.reply(Reply::File { info: &info, known: known() }, now());
            }
        }
    }
}

/// A file that the owner has opened or stored.
fn info() -> Option<FileInfo> {
    let mut text = [0; 64];
    let version = text_of(receive(&mut text)).and_then(|text| Version::new(text).ok())?;
    let info = FileInfo::new(wide(), version).with_modified(time());
    #[cfg(feature = "absolute")]
    let info = info.with_first(wide());
    Some(info)
}

/// Passes every kind of listing step.
#[cfg(not(feature = "get-only"))]
#[inline(never)]
fn step(session: &mut ServerSession<'_, [u8; BUF_LEN]>) {
    let mut text = [0; 255];
    let kind = match input() {
        0 => EntryKind::File { size: wide(), modified: time() },
        _ => EntryKind::Directory { link: input() == 0 },
    };
    let listed = match input() {
        0 => Err(fault()),
        1 => Ok(Listed::Skipped),
        2 => Ok(Listed::End),
        3 => Ok(Listed::Unnameable),
        _ => match text_of(receive(&mut text)).map(FileName::new) {
            Some(Ok(name)) => Ok(Listed::Entry(Entry::new(name, kind))),
            _ => Ok(Listed::Skipped),
        },
    };
    session.entry(listed, now());
}

#[inline(never)]
fn now() -> Instant {
    Instant::from_millis(wide())
}

#[inline(never)]
fn wide() -> u64 {
    u64::from(input()) << 32 | u64::from(input())
}

#[inline(never)]
fn time() -> Option<u64> {
    (input() == 0).then(wide)
}

fn number() -> NonZeroU32 {
    NonZeroU32::new(input()).unwrap_or(NonZeroU32::MIN)
}

/// A known digest of each kind.
#[inline(never)]
fn known() -> Option<coracle_core::Digest> {
    match input() {
        _ if cfg!(feature = "get-only") => None,
        0 => Some(coracle_core::Digest::Crc32(input())),
        1 if DigestKind::Sha256.is_supported() => Some(coracle_core::Digest::Sha256([input() as u8; 32])),
        _ => None,
    }
}

#[inline(never)]
fn code() -> Code {
    Code::ALL.get(input() as usize).copied().unwrap_or(Code::Io)
}

#[cfg(not(feature = "get-only"))]
#[inline(never)]
fn fault() -> StoreError {
    match input() {
        0 => StoreError::NotFound,
        1 => StoreError::NotFile,
        2 => StoreError::NotDirectory,
        3 => StoreError::Denied,
        4 => StoreError::BadName,
        5 => StoreError::Busy,
        _ => StoreError::Io,
    }
}

/// The owner's texts, as from a file system with any names.
#[cfg(not(feature = "ascii"))]
fn text_of(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

/// The same from one with ASCII names, so that the check of UTF-8 is used by the core alone, and counted.
#[cfg(feature = "ascii")]
fn text_of(bytes: &[u8]) -> Option<&str> {
    let is_ascii = bytes.iter().all(|byte| *byte < 0x80);
    // SAFETY: ASCII is UTF-8.
    is_ascii.then(|| unsafe { core::str::from_utf8_unchecked(bytes) })
}
