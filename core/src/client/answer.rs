//! From a whole line of the server's to an event: every check of an answer against its question.

use crate::types::digest::Hasher;
use crate::wire::code::Code;
use crate::wire::response_reader::{self, ErrorAnswer, Kind};

use super::error::{Failure, Violation};
use super::event::{End, Event, Header, Listing, Verified};
use super::line::Line;
use super::session::{Asked, ClientSession, Expected, State};

impl<B: AsRef<[u8]> + AsMut<[u8]>> ClientSession<B> {
    /// Reads the line that is the first `len` bytes of the buffer, and goes on to the state behind it.
    pub(super) fn read_line(&mut self, expected: Expected, len: usize) -> Option<Event<'_>> {
        self.line = Line::default();
        let Self { buf, state, asked, hasher, refusal, max_request, .. } = self;
        let line = buf.as_mut().get_mut(..len).unwrap_or_default();
        let read = match (response_reader::kind(line), expected) {
            (Err(breach), _) => Err(Failure::Violation(breach)),
            (Ok(Kind::Error), _) => error(line, asked, expected, hasher.take(), refusal),
            (Ok(Kind::Hello), Expected::Hello) => {
                response_reader::hello(line).map_err(Failure::Violation).map(|hello| {
                    *max_request = usize::try_from(hello.max_request).unwrap_or(usize::MAX);
                    (State::Idle, Event::Hello(hello))
                })
            }
            (Ok(Kind::Entry), Expected::Listing { seen }) => entry(line, asked, seen),
            (Ok(Kind::End), Expected::Listing { seen }) => listing_end(line, seen),
            (Ok(Kind::File), Expected::Stat | Expected::Header) => header(line, asked, expected),
            (Ok(Kind::End), Expected::Trailer { end, size }) => trailer(line, asked, hasher.take(), end, size),
            (Ok(_), Expected::Unasked) => Err(Failure::Violation(Violation::Unasked)),
            (Ok(_), _) => Err(Failure::Violation(Violation::Type)),
        };
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
    fn from(breach: Violation) -> Self {
        Self::Violation(breach)
    }
}

type Read<'e> = Result<(State, Event<'e>), Failure>;

fn entry<'e>(line: &'e mut [u8], asked: &Asked, seen: u64) -> Read<'e> {
    let entry = response_reader::entry(line)?;
    let path = entry.name.as_str();
    let inside = if asked.name.is_empty() {
        Some(path)
    } else {
        path.strip_prefix(asked.name.as_str()).and_then(|rest| rest.strip_prefix('/'))
    };
    // Directly beneath, so that who follows directories goes deeper with every step, and leaves no directory.
    if inside.is_none_or(|rest| rest.as_bytes().contains(&b'/')) {
        return Err(Failure::Violation(Violation::EntryName));
    }
    Ok((State::Line(Expected::Listing { seen: seen.saturating_add(1) }), Event::Entry(entry)))
}

fn listing_end(line: &[u8], seen: u64) -> Read<'static> {
    let (count, skipped) = response_reader::listing_end(line)?;
    if count != seen {
        return Err(Failure::Violation(Violation::Count));
    }
    Ok((State::Idle, Event::Listed(Listing { count, skipped })))
}

fn header(line: &[u8], asked: &Asked, expected: Expected) -> Read<'static> {
    let file = response_reader::file(line, &asked.name, asked.digest)?;
    let is_other = file.offset != asked.offset;
    if is_other || file.offset > file.size {
        return Err(Failure::Violation(Violation::Offset));
    }
    let rest = file.size.saturating_sub(file.offset);
    if file.length != asked.length.map_or(rest, |length| length.min(rest)) {
        return Err(Failure::Violation(Violation::Length));
    }
    if asked.version.as_ref().is_some_and(|version| *version != file.version) {
        return Err(Failure::Violation(Violation::OtherVersion));
    }
    let is_stat = expected == Expected::Stat;
    let digest = match asked.digest {
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
    };
    Ok((next, Event::Header(header)))
}

fn trailer(line: &[u8], asked: &Asked, hasher: Option<Hasher>, end: u64, size: u64) -> Read<'static> {
    let Some(kind) = asked.digest else { return Ok((State::Idle, Event::End(End::Unchecked))) };
    let computed = hasher.map(Hasher::finish);
    let told = response_reader::digest(line, kind).and_then(|told| told.ok_or(Violation::Digest));
    let told = told?;
    if computed != Some(told) {
        return Err(Failure::Digest);
    }
    let verified = Verified { from: asked.digest_from, to: end, size, digest: told };
    Ok((State::Idle, Event::End(End::Verified(verified))))
}

fn error<'e>(
    line: &'e mut [u8],
    asked: &Asked,
    expected: Expected,
    hasher: Option<Hasher>,
    refusal: &mut Option<ErrorAnswer>,
) -> Read<'e> {
    // Read first, since decoding the texts writes over the line.
    let told = match (expected, asked.digest) {
        (Expected::Trailer { .. }, Some(kind)) => response_reader::digest(line, kind),
        _ => Ok(None),
    };
    let answer = response_reader::refusal(line)?;
    let code = answer.code;
    let said = refusal.insert(answer).refusal(line);
    match (code, expected) {
        (Some(code @ (Code::Busy | Code::Timeout | Code::ShuttingDown)), _) => {
            Ok((State::Closed(Failure::Ended(code)), Event::Unasked(code)))
        }
        (_, Expected::Unasked) => Err(Failure::Violation(Violation::Unasked)),
        (Some(Code::Changed), Expected::Trailer { end, size }) => {
            let computed = hasher.map(Hasher::finish);
            let digest = told?.filter(|told| computed == Some(*told));
            let snapshot = digest.map(|digest| Verified { from: asked.digest_from, to: end, size, digest });
            Ok((State::Idle, Event::End(End::Changed { snapshot })))
        }
        // Behind `tooLong` the server closes; behind a code that is not known, who knows.
        (Some(Code::TooLong) | None, _) => Ok((State::Closed(Failure::Refused(code)), Event::Refused(said))),
        (Some(_), _) => Ok((State::Idle, Event::Refused(said))),
    }
}
