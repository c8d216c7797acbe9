//! The actions, reports and events of a server session.

#[cfg(feature = "rights")]
use super::demand::Demand;
#[cfg(feature = "sync")]
use crate::store::Deferral;
use crate::store::FileInfo;
#[cfg(feature = "write")]
use crate::store::{Delete, Put, WriteError};
#[cfg(feature = "manage")]
use crate::store::{Rename, Space};
use crate::types::digest::{Digest, DigestKind};
use crate::types::file_name::FileName;
use crate::wire::code::Code;
use crate::wire::request_kinds::RequestKind;

/// What the owner of the connection has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Wait for bytes and give them to `receive`, or the end of input to `receive_eof`.
    Receive,
    /// Decide whether this client may do that, and answer with `permit`. Comes before each request is looked up, before a wait
    /// for another connection goes on, and before an upload gets its name.
    #[cfg(feature = "rights")]
    Permit(Demand<'a>),
    /// Look the request up in the store and answer with `reply`.
    Reply(Request<'a>),
    /// Pass the next entry of the listing to `entry`.
    Entry,
    /// Send some of `bytes` and report how many with `sent`.
    SendBytes {
        /// At least one byte.
        bytes: &'a [u8],
        /// Whether more of this response follows, so that the transport may hold back a partial packet.
        more: bool,
    },
    /// Send up to `len` bytes of the file from `offset` on, and report how many with `sent`; or `file_fault`.
    SendFile {
        /// Where in the file, in bytes.
        offset: u64,
        /// At least 1.
        len: usize,
        /// Whether more of this response follows.
        more: bool,
        /// Whether the bytes that are sent have to be fed to this exchange's hasher. An owner may hash the file's range at
        /// [`Action::Finish`] instead.
        hash: bool,
    },
    /// Read up to `len` bytes of the file from `offset` on, feed them to this exchange's hasher, and report how many with
    /// `hashed`. Where that fails, report with `finished` whether the file still has its version, or `file_fault`.
    Hash {
        /// Where in the file, in bytes.
        offset: u64,
        /// At least 1.
        len: usize,
    },
    /// Report with `finished` whether the file still has its version and, where one was requested, the digest of its bytes
    /// `from..to`; or `file_fault`. Call `working` now and then while that takes long.
    Finish {
        /// The first byte that the digest covers.
        from: u64,
        /// Behind the last byte that the digest covers.
        to: u64,
    },
    /// Give the verified upload its name, and answer with `reply`: [`Reply::Stored`], [`Reply::Pending`] or [`Reply::Failed`];
    /// `Reply::Deferred` where it is [deferred](Put) (feature `sync`).
    #[cfg(feature = "write")]
    Commit(Put<'a>),
    /// Do nothing before the session's deadline, or before bytes or the end of input arrive.
    #[cfg(feature = "write")]
    Wait,
    /// Do nothing before the session's deadline, or before the file called so is no longer what the last [`Reply::File`] said: then
    /// call `look_again`, upon which [`Action::Reply`] comes again. Until then no bytes are taken, and the file need not stay open.
    /// Where `awaits_store` is true, the reply was [`Reply::Pending`], and `look_again` is to be called when the store may be ready.
    #[cfg(feature = "wait")]
    Watch {
        /// Which file.
        name: FileName<'a>,
    },
    /// Bytes that are not a request: log them, and call `text_seen`. An echo or a reply follows as [`Action::SendBytes`].
    #[cfg(feature = "classic")]
    Text(&'a [u8]),
    /// End the connection, as `Close` says. Nothing follows.
    Close(Close),
}

/// What received bytes have completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
// With a tag of its own: to find it among the unused values of a field takes more code.
#[cfg_attr(feature = "write", repr(u8))]
pub enum ServerEvent<'a> {
    /// A request is complete and valid. A malformed one, which is refused at once, makes no event.
    Request {
        /// Which exchange it begins.
        kind: RequestKind,
        /// The file or directory that it names.
        name: Option<FileName<'a>>,
    },
    /// The bytes that were passed to `receive`, up to the end of the body, belong to the file that a client puts: pass them to the
    /// store, and report with `stored` how many it took, or `store_failed`. Those, and no others, count as taken.
    #[cfg(feature = "write")]
    Body {
        /// Where in the file, in bytes.
        offset: u64,
        /// At least one byte.
        bytes: &'a [u8],
    },
}

/// A request that the store has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// The entries of a directory: [`Reply::Listing`] or [`Reply::Refuse`].
    List {
        /// `None`: the root.
        path: Option<FileName<'a>>,
    },
    /// A file's header: [`Reply::File`] or [`Reply::Refuse`].
    Stat {
        /// Which file.
        name: FileName<'a>,
        /// The digest to compute, with a new hasher.
        digest: Option<DigestKind>,
        /// Whether offsets count from the beginning of the log: open it by `open_absolute`.
        #[cfg(feature = "absolute")]
        absolute: bool,
    },
    /// A file's header and bytes: [`Reply::File`] or [`Reply::Refuse`].
    Get {
        /// Which file.
        name: FileName<'a>,
        /// The digest to compute, with a new hasher.
        digest: Option<DigestKind>,
        /// The version that the file has to have: open it by `open_version`.
        #[cfg(feature = "replaced")]
        version: Option<&'a str>,
        /// Whether offsets count from the beginning of the log: open it by `open_absolute`.
        #[cfg(feature = "absolute")]
        absolute: bool,
    },
    /// A file to store: [`Reply::Upload`], [`Reply::Compare`], [`Reply::Stored`], [`Reply::Pending`] or [`Reply::Failed`].
    #[cfg(feature = "write")]
    Put(Put<'a>),
    /// Something to delete: [`Reply::Done`] or [`Reply::Failed`].
    #[cfg(feature = "write")]
    Delete(Delete<'a>),
    /// A file's new name: [`Reply::Done`] or [`Reply::Failed`].
    #[cfg(feature = "manage")]
    Rename(Rename<'a>),
    /// A directory to make: [`Reply::Done`] or [`Reply::Failed`].
    #[cfg(feature = "manage")]
    MakeDir {
        /// Its path.
        path: FileName<'a>,
    },
    /// How much room there is: [`Reply::Space`] or [`Reply::Failed`].
    #[cfg(feature = "manage")]
    Space,
    /// An action of the owner's: [`Reply::Done`] when it is done, or [`Reply::Refuse`]. One after which no answer could be sent
    /// (a restart) is answered before it is done, when the connection has closed or the answer has left.
    #[cfg(feature = "manage")]
    Do {
        /// One of [`ServerConfig::with_actions`](crate::ServerConfig::with_actions).
        action: &'a str,
    },
    /// What was put with [`Put::deferred`] is to be durable: [`Reply::Done`], [`Reply::Pending`] or [`Reply::Failed`].
    #[cfg(feature = "sync")]
    Sync {
        /// Which commits have to be done.
        deferral: Deferral,
    },
    /// Classic: the file that a bare name will request: [`Reply::File`] or [`Reply::Refuse`].
    #[cfg(feature = "classic")]
    Select {
        /// Which file.
        name: FileName<'a>,
    },
    /// Classic: the selected file's bytes: [`Reply::File`] or [`Reply::Refuse`].
    #[cfg(feature = "classic")]
    Confirm {
        /// The selected file.
        name: FileName<'a>,
    },
}

impl<'a> Request<'a> {
    /// Which exchange it begins.
    #[must_use]
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::List { .. } => RequestKind::List,
            Self::Stat { .. } => RequestKind::Stat,
            Self::Get { .. } => RequestKind::Get,
            #[cfg(feature = "write")]
            Self::Put(_) => RequestKind::Put,
            #[cfg(feature = "write")]
            Self::Delete(_) => RequestKind::Delete,
            #[cfg(feature = "manage")]
            Self::Rename(_) => RequestKind::Rename,
            #[cfg(feature = "manage")]
            Self::MakeDir { .. } => RequestKind::MakeDir,
            #[cfg(feature = "manage")]
            Self::Space => RequestKind::Space,
            #[cfg(feature = "manage")]
            Self::Do { .. } => RequestKind::Do,
            #[cfg(feature = "sync")]
            Self::Sync { .. } => RequestKind::Sync,
            #[cfg(feature = "classic")]
            Self::Select { .. } => RequestKind::Select,
            #[cfg(feature = "classic")]
            Self::Confirm { .. } => RequestKind::Confirm,
        }
    }

    /// The file or directory that it names; `None` for the root.
    #[must_use]
    pub const fn name(&self) -> Option<FileName<'a>> {
        match self {
            Self::List { path } => *path,
            Self::Stat { name, .. } | Self::Get { name, .. } => Some(*name),
            #[cfg(feature = "write")]
            Self::Put(put) => Some(put.name),
            #[cfg(feature = "write")]
            Self::Delete(delete) => Some(delete.name()),
            #[cfg(feature = "manage")]
            Self::Rename(rename) => Some(rename.name),
            #[cfg(feature = "manage")]
            Self::MakeDir { path } => Some(*path),
            #[cfg(feature = "manage")]
            Self::Space | Self::Do { .. } => None,
            #[cfg(feature = "sync")]
            Self::Sync { .. } => None,
            #[cfg(feature = "classic")]
            Self::Select { name } | Self::Confirm { name } => Some(*name),
        }
    }

    /// The digest that has to be computed.
    #[must_use]
    pub const fn digest(&self) -> Option<DigestKind> {
        match self {
            Self::Stat { digest, .. } | Self::Get { digest, .. } => *digest,
            #[cfg(feature = "write")]
            Self::Put(put) => Some(put.digest.kind()),
            _ => None,
        }
    }
}

/// The store's answer to a [`Request`].
#[derive(Clone, Debug)]
#[non_exhaustive]
// As above.
#[cfg_attr(feature = "write", repr(u8))]
pub enum Reply<'a> {
    /// The directory can be listed; its entries follow one by one.
    Listing,
    /// The file is open.
    File {
        /// What it is now.
        info: &'a FileInfo,
        /// The digest of all its bytes, of the requested kind, where it is known without reading.
        known: Option<Digest>,
    },
    /// The request is refused.
    Refuse(Code),
    /// The store takes the bytes of a `put`.
    #[cfg(feature = "write")]
    Upload {
        /// How many bytes it has, from earlier connections.
        have: u64,
        /// Whether the whole is hashed when it is stored ([`Action::Hash`] over all of it). Otherwise the bytes that it has are hashed
        /// first, and the others as they arrive.
        reads_back: bool,
    },
    /// A file of the same size is there: its bytes are hashed, then [`Action::Reply`] comes again.
    #[cfg(feature = "write")]
    Compare,
    /// The file of a `put` is stored, or was there before.
    #[cfg(feature = "write")]
    Stored {
        /// What it is now.
        info: &'a FileInfo,
    },
    /// The file of a `put` that allows it is verified, and gets its name later.
    #[cfg(feature = "sync")]
    Deferred(Deferral),
    /// Not yet: ask again. After [`Action::Reply`] to a `put` the session waits a while before the action comes again; to a request
    /// that reads, [`Action::Watch`] follows.
    #[cfg(any(feature = "write", feature = "wait"))]
    Pending,
    /// What was requested is done.
    #[cfg(feature = "write")]
    Done,
    /// The room of the store.
    #[cfg(feature = "manage")]
    Space(Space),
    /// The store refuses to write.
    #[cfg(feature = "write")]
    Failed(WriteError),
}

/// The answer to [`Action::Finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// The digest of the range. Where the version has changed: only if the bytes that were sent were hashed, not others.
    pub digest: Option<Digest>,
    /// Whether the file still has the version that it had when it was opened.
    pub same_version: bool,
}

impl Finished {
    /// The digest of the range, and whether the file is the one that was opened.
    #[must_use]
    pub const fn new(digest: Option<Digest>, same_version: bool) -> Self {
        Self { digest, same_version }
    }
}

/// How and why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Close {
    /// What to do with the socket.
    pub how: CloseHow,
    /// For the log.
    pub why: CloseReason,
}

impl Close {
    /// The end of a connection.
    #[must_use]
    pub const fn new(how: CloseHow, why: CloseReason) -> Self {
        Self { how, why }
    }
}

/// What to do with a socket whose session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CloseHow {
    /// Close it when all bytes are sent.
    Finish,
    /// Shut down the sending side, read and discard at most 1 MiB for at most 2 s, then close: with unread input the kernel
    /// would send a reset, which can destroy the last line before the peer reads it.
    Linger,
    /// Reset it: the peer takes no bytes, or must notice that its body is incomplete.
    Abort,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer ended the connection.
    Done,
    /// The idle timer expired.
    Idle,
    /// The peer took no byte for too long, or bytes too slowly.
    Stalled,
    /// An error was sent that ends the connection.
    Refused(Code),
    /// The transport failed.
    Transport,
    /// A body could not be finished: the file shrank, or reading it failed.
    Broken,
    /// Classic, which has no error message: the selected file has another version, or a listing failed.
    #[cfg(feature = "classic")]
    Classic,
    /// The session was given a buffer that is too short.
    BufTooShort,
    /// The owner reported something that does not match the action.
    Misuse,
}

/// An exchange that has ended, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Exchange {
    /// Which one; `None` where the request was malformed.
    pub kind: Option<RequestKind>,
    /// The error that it ended with.
    pub error: Option<Code>,
    /// Bytes of the body that were sent.
    pub body_len: u64,
}

impl Exchange {
    /// An exchange that has ended.
    #[must_use]
    pub const fn new(kind: Option<RequestKind>, error: Option<Code>, body_len: u64) -> Self {
        Self { kind, error, body_len }
    }
}

#[cfg(test)]
mod tests {
    use super::{DigestKind, FileName, Request, RequestKind};

    #[test]
    fn a_request_says_what_it_is_about() {
        let name = FileName::from_static("a");
        let digest = Some(DigestKind::Crc32);
        let stat = Request::Stat {
            name,
            digest,
            #[cfg(feature = "absolute")]
            absolute: false,
        };
        let get = Request::Get {
            name,
            digest,
            #[cfg(feature = "replaced")]
            version: None,
            #[cfg(feature = "absolute")]
            absolute: false,
        };
        for (request, kind, word, named, hashed) in [
            (Request::List { path: None }, RequestKind::List, "list", None, None),
            (Request::List { path: Some(name) }, RequestKind::List, "list", Some(name), None),
            (stat, RequestKind::Stat, "stat", Some(name), digest),
            (get, RequestKind::Get, "get", Some(name), digest),
            #[cfg(feature = "classic")]
            (Request::Select { name }, RequestKind::Select, "select", Some(name), None),
            #[cfg(feature = "classic")]
            (Request::Confirm { name }, RequestKind::Confirm, "confirm", Some(name), None),
        ] {
            assert_eq!((request.kind(), request.kind().as_str()), (kind, word));
            assert_eq!((request.name(), request.digest()), (named, hashed));
        }
        assert_eq!(RequestKind::Hello.as_str(), "hello");
    }
}
