//! The client's side of the exchanges that write.

use super::error::{Failure, StartError, Violation};
use super::event::{ClientEvent, Ready, Stored};
use super::expectation::{AwaitedLine, Expectation};
use super::session::{ClientSession, State};
use super::write_request::WriteRequest;
use crate::types::file_name::FileName;
use crate::types::time::Instant;
use crate::wire::response_reader::ResponseKind;
use crate::wire::write_response;

/// The longest requests that every server with `put` or `rename` accepts.
const PUT_REQUEST: usize = 640;
const RENAME_REQUEST: usize = 768;

impl<B: AsRef<[u8]> + AsMut<[u8]>> ClientSession<B> {
    /// The next `n` bytes of a body were sent.
    pub(super) fn body_sent(&mut self, offset: u64, n: usize, now: Instant) {
        if n > 0 {
            self.arm(now);
        }
        let size = self.expectation.length.unwrap_or(offset);
        let next = offset.saturating_add(u64::try_from(n).unwrap_or(u64::MAX)).min(size);
        self.state = State::after_sent_byte(next, size);
    }
}

impl State {
    /// The state inside a body that is sent whose next byte is at `offset`, or after it.
    const fn after_sent_byte(offset: u64, size: u64) -> Self {
        if offset < size { Self::SendBody { offset } } else { Self::Line(AwaitedLine::Stored) }
    }
}

impl Expectation {
    /// Notes what the response to `request` is checked against, and returns the name that it repeats.
    pub(super) fn of_write<'a>(&mut self, request: &WriteRequest<'a>) -> Option<FileName<'a>> {
        self.awaited = AwaitedLine::Done;
        match request {
            WriteRequest::Put(put) => {
                self.awaited = AwaitedLine::Ready;
                self.length = Some(put.size);
                self.put_digest = Some(put.digest);
                #[cfg(feature = "sync")]
                {
                    self.is_deferred = put.deferred;
                }
                return Some(put.name);
            }
            WriteRequest::Space => self.awaited = AwaitedLine::Space,
            _ => {}
        }
        None
    }
}

impl WriteRequest<'_> {
    /// The longest request of this kind that any server accepts that has it.
    pub(super) const fn max_request(&self) -> usize {
        if matches!(self, Self::Rename(_)) { RENAME_REQUEST } else { PUT_REQUEST }
    }

    /// Checks what the types do not.
    pub(super) fn check(&self) -> Result<(), StartError> {
        match self {
            Self::Put(put) if !put.digest.kind().is_supported() => Err(StartError::DigestUnsupported),
            _ => Ok(()),
        }
    }
}

/// Reads a line of the kind `kind` that is awaited by an exchange that writes; `None` for another exchange.
pub(super) fn read(
    line: &[u8],
    kind: ResponseKind,
    awaited: AwaitedLine,
    expectation: &Expectation,
    has_send_failed: bool,
) -> Option<Result<(State, ClientEvent<'static>), Failure>> {
    let is_early = awaited == AwaitedLine::Ready;
    if kind == ResponseKind::Error {
        return None;
    }
    Some(match (kind, awaited) {
        (ResponseKind::Ready, AwaitedLine::Ready) => ready(line, expectation),
        (ResponseKind::End, AwaitedLine::Ready | AwaitedLine::Stored) if !has_send_failed => {
            stored(line, expectation, is_early)
        }
        (ResponseKind::End, AwaitedLine::Done) => Ok((State::Idle, ClientEvent::Done)),
        (ResponseKind::Space, AwaitedLine::Space) => write_response::space(line)
            .map(|space| (State::Idle, ClientEvent::Space(space)))
            .map_err(Failure::Violation),
        (
            _,
            AwaitedLine::Ready | AwaitedLine::Stored | AwaitedLine::Done | AwaitedLine::Space | AwaitedLine::BodyError,
        ) => Err(Failure::Violation(Violation::Type)),
        _ => return None,
    })
}

fn ready(line: &[u8], expectation: &Expectation) -> Result<(State, ClientEvent<'static>), Failure> {
    let ready = write_response::ready(line, &expectation.name)?;
    let size = expectation.length.unwrap_or_default();
    if ready.size != size || ready.offset.checked_add(ready.length) != Some(size) {
        return Err(Failure::Violation(Violation::Length));
    }
    let next = State::after_sent_byte(ready.offset, size);
    Ok((next, ClientEvent::Ready(Ready { offset: ready.offset, length: ready.length })))
}

fn stored(line: &[u8], expectation: &Expectation, was_there: bool) -> Result<(State, ClientEvent<'static>), Failure> {
    let digest = expectation.put_digest.ok_or(Violation::Digest)?;
    let (version, told) = write_response::stored(line, &expectation.name, digest.kind())?;
    if told != digest {
        return Err(Failure::Violation(Violation::Digest));
    }
    #[cfg(feature = "sync")]
    let may_lack_version = expectation.is_deferred;
    #[cfg(not(feature = "sync"))]
    let may_lack_version = false;
    if version.is_none() && !may_lack_version {
        return Err(Failure::Violation(Violation::Member));
    }
    Ok((State::Idle, ClientEvent::Stored(Stored { version, was_there })))
}
