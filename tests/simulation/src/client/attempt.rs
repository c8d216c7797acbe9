//! State of a run of the program and of an attempt to fetch a file, and the events that its session gives.

use coracle::local::LocalError;
use coracle_core::{
    ClientEvent, ClientRequest, Code, Digest, DigestKind, End, Failure, FileName, GetRequest, Hasher, Header, Verified,
    Version,
};

use crate::context::Context;
use crate::storage::Storage;
use crate::store::NAMES;

/// State of one run of the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Attempts in a row without progress.
    pub fruitless_attempts: u32,
    pub changes: u32,
    pub had_wrong_digest: bool,
}

/// State of one attempt.
#[derive(Debug)]
pub struct Attempt {
    /// Where the body is to begin.
    pub offset: u64,
    pub request: Request,
    /// Other requests before the one for the file.
    pub other_requests: usize,
    pub header: Option<Header>,
    pub proof: Option<Verified>,
    pub outcome: Option<Outcome>,
    /// It goes over a connection that was used before.
    pub is_reused: bool,
    /// When bytes last moved.
    pub moved_at: u64,
    /// How late the next deadline is handled.
    pub late_ms: u64,
    /// Pause between the pieces of its requests.
    pub slow_ms: u64,
    /// The process ends after so many steps.
    pub dies_in: Option<usize>,
    /// How often the file had changed when the attempt began.
    pub changes_at_start: u32,
    /// The most bytes that are moved at once.
    pub piece: usize,
}

/// Kind of the request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    None,
    Hello,
    List,
    Stat,
    Get,
}

/// Outcome of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Verified,
    Changed,
    Refused(Option<Code>),
    Failed(Failure),
    Unreachable,
}

impl Attempt {
    pub const fn new() -> Self {
        Self {
            offset: 0,
            request: Request::None,
            other_requests: 0,
            header: None,
            proof: None,
            outcome: None,
            is_reused: false,
            moved_at: 0,
            late_ms: 0,
            slow_ms: 0,
            dies_in: None,
            changes_at_start: 0,
            piece: 1,
        }
    }

    /// Handles an event of the session.
    pub fn handle(
        &mut self,
        event: ClientEvent<'_>,
        storage: &mut Storage,
        slot: usize,
        kind: DigestKind,
        context: &Context,
    ) -> Result<(), LocalError> {
        match (event, self.request) {
            (ClientEvent::Header(header), Request::Get) => {
                assert_eq!(header.offset, self.offset, "a header with another offset");
                storage.begin(NAMES[slot], &header)?;
                if header.offset == 0 {
                    storage.changes_seen = self.changes_at_start;
                }
                self.header = Some(header);
            }
            (ClientEvent::Body { offset, bytes }, Request::Get) => storage.append(offset, bytes)?,
            (ClientEvent::End(End::Verified(verified)), Request::Get) => {
                assert!(verified.is_whole() && verified.size() == storage.len(), "verified, and not the whole");
                self.proof = Some(verified);
                self.outcome = Some(Outcome::Verified);
            }
            (ClientEvent::End(End::Changed { .. }), Request::Get) => self.outcome = Some(Outcome::Changed),
            (ClientEvent::Refused(refusal), Request::Get) => self.outcome = Some(Outcome::Refused(refusal.code)),
            (ClientEvent::Header(header), Request::Stat) if !context.is_corrupt => {
                let past = context.store.past(slot, &header.version, header.size);
                let past = past.expect("a stat tells of a version that never was");
                assert_eq!(header.digest, Some(digest(kind, past)), "a stat tells a wrong digest");
            }
            (ClientEvent::Header(_), Request::Stat)
            | (ClientEvent::Hello(_), Request::Hello)
            | (ClientEvent::Entry(_) | ClientEvent::Listed(_), Request::List)
            | (ClientEvent::ServerClosing(_), _) => {}
            (ClientEvent::Refused(refusal), Request::Stat | Request::List) => {
                let is_known = matches!(refusal.code, Some(Code::NotFound | Code::Io | Code::Changed));
                assert!(is_known || context.is_corrupt, "refused: {refusal:?}");
            }
            (event, request) => assert!(context.is_corrupt, "{event:?} for {request:?}"),
        }
        Ok(())
    }
}

/// The name of file `slot`.
pub fn name(slot: usize) -> FileName<'static> {
    FileName::from_static(NAMES[slot])
}

/// A request for file `slot` from `offset` on, with a digest of all of it.
pub fn get(slot: usize, kind: DigestKind, offset: u64, version: Option<&Version>) -> ClientRequest<'_> {
    ClientRequest::Get(
        GetRequest::new(name(slot))
            .with_offset(offset)
            .with_version(version)
            .with_digest(Some(kind))
            .with_digest_from(Some(0)),
    )
}

fn digest(kind: DigestKind, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(kind).expect("both kinds are built in");
    hasher.update(bytes);
    hasher.finish()
}
