//! Turns a complete line of the server into an event: every check of a response against its request.

use crate::types::digest::Hasher;
use crate::wire::code::Code;
#[cfg(feature = "absolute")]
use crate::wire::follow_response;
use crate::wire::response_reader::{self, ErrorResponse, ResponseKind};

use super::error::{Failure, Violation};
use super::event::{ClientEvent, End, Header, Verified};
use super::expectation::{AwaitedLine, Expectation};
use super::line_buffer::LineBuffer;
use super::session::{ClientSession, State};
#[cfg(feature = "write")]
use super::upload;

impl<B: AsRef<[u8]> + AsMut<[u8]>> ClientSession<B> {
    /// Reads the line in the first `len` bytes of the buffer, and changes to the state after it.
    pub(super) fn read_line(&mut self, awaited: AwaitedLine, len: usize) -> Option<ClientEvent<'_>> {
        self.line = LineBuffer::default();
        #[cfg(feature = "write")]
        let has_send_failed = &self.has_send_failed;
        let Self { buf, state, expectation, hasher, refusal, max_request, .. } = self;
        let line = buf.as_mut().get_mut(..len).unwrap_or_default();
        #[cfg(feature = "write")]
        let read_write = match response_reader::kind(line) {
            Ok(kind) => upload::read(line, kind, awaited, expectation, *has_send_failed),
            Err(_) => None,
        };
        let read = match (response_reader::kind(line), awaited) {
            (Err(violation), _) => Err(Failure::Violation(violation)),
            (Ok(ResponseKind::Error), _) => error(line, expectation, awaited, hasher.take(), refusal),
            (Ok(ResponseKind::Hello), AwaitedLine::Hello) => {
                response_reader::hello(line).map_err(Failure::Violation).map(|hello| {
                    *max_request = usize::try_from(hello.max_request).unwrap_or(usize::MAX);
                    (State::Idle, ClientEvent::Hello(hello))
                })
            }
            (Ok(ResponseKind::Entry), AwaitedLine::Listing { seen }) => entry(line, expectation, seen),
            (Ok(ResponseKind::End), AwaitedLine::Listing { seen }) => listing_end(line, seen),
            (Ok(ResponseKind::File), AwaitedLine::Stat | AwaitedLine::Header) => header(line, expectation, awaited),
            (Ok(ResponseKind::End), AwaitedLine::Trailer { end, size }) => {
                trailer(line, expectation, hasher.take(), end, size)
            }
            (Ok(_), AwaitedLine::Nothing) => Err(Failure::Violation(Violation::Unrequested)),
            (Ok(_), _) => Err(Failure::Violation(Violation::Type)),
        };
        #[cfg(feature = "write")]
        let read = read_write.unwrap_or(read);
        match read {
            Ok((next, event)) => {
                *state = next;
                Some(event)
            }
            Err(failure) => {
                *state = State::Closed(failure);
                None
            }
        }
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

type Read<'e> = Result<(State, ClientEvent<'e>), Failure>;

fn entry<'e>(line: &'e mut [u8], expectation: &Expectation, seen: u64) -> Read<'e> {
    let entry = response_reader::entry(line)?;
    let path = entry.name.as_str();
    let inside = if expectation.name.is_empty() {
        Some(path)
    } else {
        path.strip_prefix(expectation.name.as_str()).and_then(|rest| rest.strip_prefix('/'))
    };
    // Directly beneath, so that a recursive client descends with every step and never leaves the directory.
    if inside.is_none_or(|rest| rest.as_bytes().contains(&b'/')) {
        return Err(Failure::Violation(Violation::EntryName));
    }
    Ok((State::Line(AwaitedLine::Listing { seen: seen.saturating_add(1) }), ClientEvent::Entry(entry)))
}

fn listing_end(line: &[u8], seen: u64) -> Read<'static> {
    let listing = response_reader::listing_end(line)?;
    if listing.count != seen {
        return Err(Failure::Violation(Violation::Count));
    }
    Ok((State::Idle, ClientEvent::Listed(listing)))
}

fn header(line: &[u8], expectation: &Expectation, awaited: AwaitedLine) -> Read<'static> {
    let file = response_reader::file(line, &expectation.name, expectation.digest)?;
    let is_other = file.offset != expectation.offset;
    if is_other || file.offset > file.size {
        return Err(Failure::Violation(Violation::Offset));
    }
    let rest = file.size.saturating_sub(file.offset);
    if file.length != expectation.length.map_or(rest, |length| length.min(rest)) {
        return Err(Failure::Violation(Violation::Length));
    }
    if expectation.version.as_ref().is_some_and(|version| *version != file.version) {
        return Err(Failure::Violation(Violation::OtherVersion));
    }
    let is_stat = awaited == AwaitedLine::Stat;
    let digest = match expectation.digest {
        Some(kind) if is_stat => Some(response_reader::digest(line, kind)?.ok_or(Violation::Digest)?),
        _ => None,
    };
    let end = file.offset.saturating_add(file.length);
    let next = if is_stat { State::Idle } else { State::after_body_byte(file.offset, end, file.size) };
    let header = Header {
        size: file.size,
        offset: file.offset,
        length: file.length,
        chunk_size: file.chunk_size,
        version: file.version,
        modified: file.modified,
        digest,
        #[cfg(feature = "absolute")]
        first: follow_response::first(line)?.filter(|_| expectation.is_absolute),
        #[cfg(feature = "replaced")]
        next: response_reader::next(line)?,
    };
    Ok((next, ClientEvent::Header(header)))
}

fn trailer(line: &[u8], expectation: &Expectation, hasher: Option<Hasher>, end: u64, size: u64) -> Read<'static> {
    let Some(kind) = expectation.digest else { return Ok((State::Idle, ClientEvent::End(End::Unchecked))) };
    let computed = hasher.map(Hasher::finish);
    let told = response_reader::digest(line, kind).and_then(|told| told.ok_or(Violation::Digest));
    let told = told?;
    if computed != Some(told) {
        return Err(Failure::Digest);
    }
    let verified = Verified { from: expectation.digest_from, to: end, size, digest: told };
    Ok((State::Idle, ClientEvent::End(End::Verified(verified))))
}

fn error<'e>(
    line: &'e mut [u8],
    expectation: &Expectation,
    awaited: AwaitedLine,
    hasher: Option<Hasher>,
    refusal: &mut Option<ErrorResponse>,
) -> Read<'e> {
    // Read first, since decoding the texts overwrites the line.
    let told = match (awaited, expectation.digest) {
        (AwaitedLine::Trailer { .. }, Some(kind)) => response_reader::digest(line, kind),
        _ => Ok(None),
    };
    let answer = response_reader::refusal(line)?;
    let code = answer.code;
    let said = refusal.insert(answer).refusal(line);
    match (code, awaited) {
        (Some(code @ (Code::Busy | Code::Timeout | Code::ShuttingDown)), _) => {
            Ok((State::Closed(Failure::Ended(code)), ClientEvent::ServerClosing(code)))
        }
        (_, AwaitedLine::Nothing) => Err(Failure::Violation(Violation::Unrequested)),
        (Some(Code::Changed), AwaitedLine::Trailer { end, size }) => {
            let computed = hasher.map(Hasher::finish);
            let digest = told?.filter(|told| computed == Some(*told));
            let snapshot = digest.map(|digest| Verified { from: expectation.digest_from, to: end, size, digest });
            Ok((State::Idle, ClientEvent::End(End::Changed { snapshot })))
        }
        // Inside a body the server closes after any error.
        #[cfg(feature = "write")]
        (_, AwaitedLine::BodyError) => Ok((State::Closed(Failure::Refused(code)), ClientEvent::Refused(said))),
        // After `tooLong` the server closes; after an unknown code it may.
        (Some(Code::TooLong) | None, _) => Ok((State::Closed(Failure::Refused(code)), ClientEvent::Refused(said))),
        (Some(_), _) => Ok((State::Idle, ClientEvent::Refused(said))),
    }
}
