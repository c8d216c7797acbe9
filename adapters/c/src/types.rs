//! What C sees of the protocol: values, and structures of them.

use core::ffi::c_char;

use coracle_core::{Close, CloseHow as CoreCloseHow, CloseReason as CoreCloseReason, Code};

/// Stands for a number that is not known: a time, a size, a deadline.
pub const UNKNOWN: u64 = u64::MAX;
/// Bytes of the longest version of a file, and the 0 behind it.
pub const VERSION_SIZE: usize = 65;

/// Bytes of the longest digest.
pub const DIGEST_LEN: usize = 32;

/// Whether a server or a session was made.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Ok = 0,
    /// A pointer that must not be NULL is.
    Null = 1,
    /// The memory is smaller than this library needs, or not aligned to 8 bytes: the header and the library are not of one version,
    /// or the CORACLE_ macros are not those of the library's features.
    Memory = 2,
    /// The server's name is longer than 32 bytes, no UTF-8, or has a control character.
    Name = 3,
    /// A callback is missing that has no default.
    Callback = 4,
    /// The actions are not words of a-z, 0-9 and '-', of at most 32 characters each, or are more than 8.
    Actions = 5,
    /// The secret key is missing, or was never set; or the server has none.
    Key = 6,
}

/// What a callback of the store returns.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is done.
    Ok = 0,
    /// There is no such file or directory.
    NotFound = 1,
    /// It exists and is not a regular file.
    NotFile = 2,
    /// It exists and is not a directory.
    NotDirectory = 3,
    /// It may not be accessed.
    Denied = 4,
    /// The name is invalid in this store, by a rule of its own.
    BadName = 5,
    /// The medium failed. So does every value that is not one of these.
    Io = 6,
    /// No handle is left: the client is told to try again.
    Busy = 7,
    /// Not yet: the callback is called again soon.
    Pending = 8,
    /// The name is taken, and nothing may be replaced.
    Exists = 9,
    /// What has the name is not in the expected version, or nothing has it.
    Changed = 10,
    /// The file is larger than this store accepts.
    TooLarge = 11,
    /// There is no room.
    NoSpace = 12,
    /// Another connection is sending an upload to this name.
    InUse = 13,
    /// The contents break a rule of the store's own.
    Corrupt = 14,
    /// The directory has entries.
    NotEmpty = 15,
    /// This store cannot do it.
    Unsupported = 16,
}

/// What the owner of a connection has to do next.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Wait for bytes and pass them to coracle_session_receive, or the end of input to coracle_session_receive_eof.
    Receive = 0,
    /// Send some of `bytes`, and report how many with coracle_session_sent.
    SendBytes = 1,
    /// Read up to `len` bytes with coracle_session_read, and send all that it has read. They are a file's, or anything that is sent
    /// to an encrypted client.
    SendFile = 2,
    /// Call coracle_session_poll again, after other connections had their turn: there is work to do in the store.
    Again = 3,
    /// Do nothing before the deadline, or before the file called `bytes` may have changed: then call
    /// coracle_session_look_again.
    Watch = 4,
    /// End the connection as `how` says, and call coracle_session_end.
    Close = 5,
}

/// What to do with the connection of a session that has ended.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseHow {
    /// Close it when all bytes are sent.
    Finish = 0,
    /// Shut down the sending side, read and discard at most 1 MiB for at most 2 s, then close: with unread input many stacks
    /// send a reset, which can destroy the last line before the peer reads it.
    Linger = 1,
    /// Reset it: the peer takes no bytes, or must notice that its body is incomplete.
    Abort = 2,
}

/// Why a session has ended, for a log.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer ended the connection.
    Done = 0,
    /// Nothing was requested for too long.
    Idle = 1,
    /// The peer took no byte for too long, or bytes too slowly.
    Stalled = 2,
    /// An error was sent that ends the connection.
    Refused = 3,
    /// The transport failed.
    Transport = 4,
    /// A body could not be finished: the file shrank, or reading it failed.
    Broken = 5,
    /// The client was told that the server has no place for it, or is stopping.
    Unavailable = 6,
    /// The owner reported something that does not match the action.
    Misuse = 7,
    /// The client's handshake failed: it has another pre-shared key, was too slow, or does not speak the protocol; or there was no
    /// entropy.
    Handshake = 8,
    /// What an encrypted client sent was changed on its way, or cut off.
    Record = 9,
}

/// What the owner of a connection has to do next. Members that no comment of coracle_action_kind names are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Which one.
    pub kind: ActionKind,
    /// SEND_BYTES, SEND_FILE: whether more of this response follows, so that the transport may hold back a partial packet.
    pub more: bool,
    /// CLOSE: what to do with the connection.
    pub how: CloseHow,
    /// CLOSE: why.
    pub why: CloseReason,
    /// SEND_BYTES, SEND_FILE, WATCH: how many bytes, at least 1; of SEND_FILE perhaps fewer can be read at a time.
    pub len: usize,
    /// SEND_BYTES: what to send. WATCH: the file's name, without a 0 at its end. Valid until the next call of a function for
    /// this session.
    pub bytes: *const u8,
    /// When to call coracle_session_timeout, if nothing could be received, sent or done before; CORACLE_UNKNOWN: never.
    pub deadline_ms: u64,
}

/// The settings of a server. Begin with those of coracle_config_default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The name that the server tells: at most 32 bytes of UTF-8 that end with 0, kept by its owner for as long as the
    /// server. NULL: none.
    pub name: *const c_char,
    /// The chunk size of bodies, in bytes; 0 counts as 1. Default: 1,024.
    pub chunk_size: u32,
    /// The maximum number of bytes of a body in one action, rounded down to whole chunks, at least one chunk. Default: 0.
    pub send_max: u32,
    /// How long a connection may be idle between exchanges, in milliseconds; 0: no limit. Default: 60,000.
    pub idle_ms: u32,
    /// How long a request may take from its first byte to its last, in milliseconds; 0: no limit. Default: 10,000.
    pub request_ms: u32,
    /// How long sending may stall without a byte accepted, in milliseconds; 0: no limit. Default: 30,000.
    pub stall_ms: u32,
    /// The minimum average rate while a response is sent, in bytes per second; 0: none. Default: 0.
    pub min_rate: u32,
    /// When a client that is told `busy` is to come again, in milliseconds; 0: it is not told. Default: 0.
    pub busy_retry_ms: u32,
    /// When a client that is told `shuttingDown` is to come again, in milliseconds; 0: it is not told. Default: 0.
    pub stop_retry_ms: u32,
    /// How long a `get` waits at most at the end of its file, in milliseconds; 0: it does not. Takes CORACLE_WAIT. Default: 0.
    pub wait_max_ms: u32,
}

/// Information on an open file. A callback finds it filled with a size of 0, an empty version and times that are not known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FileInfo {
    /// Length in bytes.
    pub size: u64,
    /// When the contents last changed, in seconds since 1970-01-01 00:00 UTC; CORACLE_UNKNOWN: not known.
    pub modified: u64,
    /// 1 to 64 characters from 0x21 to 0x7E that end with 0. While the version is the same, no existing byte has changed; the
    /// file may have grown.
    pub version: [c_char; VERSION_SIZE],
}

/// What a step of a listing has met.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The end.
    End = 0,
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// Something that cannot be requested, whatever it is called.
    Skipped = 3,
    /// A regular file or a directory that cannot be requested because of its name. So is an entry whose name breaks a rule of the protocol.
    Unnameable = 4,
    /// Something that is kept from clients, which are told how many of these there are.
    Hidden = 5,
}

/// One step of a listing. A callback finds it as END.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// One of coracle_entry_kind.
    pub kind: EntryKindValue,
    /// DIRECTORY: whether it is reached through a link, so that following it may lead in a circle.
    pub is_link: bool,
    /// FILE, DIRECTORY: its path from the store's root on, which ends with 0; read before the next callback is called.
    pub name: *const c_char,
    /// FILE: its length in bytes.
    pub size: u64,
    /// FILE: as in coracle_file_info.
    pub modified: u64,
}

/// Which digest.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestKind {
    /// CRC-32/ISO-HDLC, 4 bytes, the most significant first.
    Crc32 = 0,
    /// SHA-256, 32 bytes.
    Sha256 = 1,
}

/// The number that C stored in the place of an [`EntryKind`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryKindValue(pub u8);

/// The number that C returned in the place of a [`Status`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusValue(pub u8);

impl Action {
    /// `kind` with nothing else.
    pub(crate) const fn new(kind: ActionKind) -> Self {
        let (how, why) = (CloseHow::Finish, CloseReason::Done);
        Self { kind, more: false, how, why, len: 0, bytes: core::ptr::null(), deadline_ms: UNKNOWN }
    }

    /// The end of a connection.
    pub(crate) const fn close(close: Close) -> Self {
        let how = match close.how {
            CoreCloseHow::Finish => CloseHow::Finish,
            CoreCloseHow::Linger => CloseHow::Linger,
            CoreCloseHow::Abort => CloseHow::Abort,
        };
        let why = match close.why {
            CoreCloseReason::Done => CloseReason::Done,
            CoreCloseReason::Idle => CloseReason::Idle,
            CoreCloseReason::Stalled => CloseReason::Stalled,
            CoreCloseReason::Refused(Code::Busy | Code::ShuttingDown) => CloseReason::Unavailable,
            CoreCloseReason::Refused(_) => CloseReason::Refused,
            CoreCloseReason::Transport => CloseReason::Transport,
            CoreCloseReason::Broken => CloseReason::Broken,
            _ => CloseReason::Misuse,
        };
        Self { how, why, ..Self::new(ActionKind::Close) }
    }
}

impl FileInfo {
    /// What a callback finds.
    pub(crate) const EMPTY: Self = Self { size: 0, modified: UNKNOWN, version: [0; VERSION_SIZE] };
}

/// A number that is known.
pub(crate) fn known(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number != UNKNOWN)
}
