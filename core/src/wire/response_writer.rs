//! Writes responses, in pieces, into a window that may be shorter than a line.

use crate::server::ServerConfig;
use crate::types::digest::{Digest, DigestKind};
#[cfg(feature = "replaced")]
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::decimal::{decimal, div_rem};
use crate::wire::escape::escape_piece;
use crate::wire::line_kind::LineKind;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
#[cfg(feature = "rights")]
use crate::wire::request_kinds::RequestKinds;
use crate::wire::request_reader::ParsedRequest;

/// Maximum length of the name in an error message, in bytes.
const EXCERPT_LEN: usize = 64;

/// Whether `hello` may tell that files can be followed.
const FOLLOWS: bool = cfg!(any(feature = "wait", feature = "absolute"));

/// A line being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineWriter {
    /// The rest of the line's template.
    pub(super) template: &'static [u8],
    /// Number of bytes written of the value at the front of the template.
    pub(super) position: usize,
}

/// The values of the current exchange that its lines contain.
#[derive(Debug)]
#[cfg_attr(any(feature = "write", feature = "classic"), repr(C))]
pub(crate) struct ResponseContext<'c> {
    pub code: Code,
    pub message: Message,
    pub config: &'c ServerConfig<'c>,
    /// Its version is the requested one, until that of the file replaces it.
    pub request: ParsedRequest,
    pub size: u64,
    /// The end of the body, or for `stat` of the hashed range.
    pub end: u64,
    /// A file's; between exchanges the time of `hello`.
    pub modified: Option<u64>,
    pub digest: Option<Digest>,
    pub count: u32,
    pub skipped: u32,
    /// Beside the skipped ones.
    pub unnameable: u32,
    pub hidden: u32,
    /// The first byte of a file with absolute offsets.
    #[cfg(feature = "absolute")]
    pub first: Option<u64>,
    /// The version of the file that has the name of this one now.
    #[cfg(feature = "replaced")]
    pub next: Option<Version>,
    pub max_request: usize,
    /// What `hello` tells as permitted.
    #[cfg(feature = "rights")]
    pub kinds: RequestKinds,
    /// The same of the offered actions: one bit each, the first one lowest.
    #[cfg(feature = "rights")]
    pub actions: u8,
}

/// The value of a letter of a template.
pub(super) enum Value<'a> {
    Text(&'a [u8]),
    Number(u64),
    Digest(&'a Digest),
    /// Words with a space between them, for an array of strings: between its first and its last quote.
    #[cfg(all(feature = "manage", not(feature = "rights")))]
    Words(&'a [u8]),
    /// The array of strings with this letter: what is between its brackets.
    #[cfg(feature = "rights")]
    Array(u8),
}

impl LineWriter {
    pub(crate) const fn new(kind: LineKind) -> Self {
        Self { template: kind.template().as_bytes(), position: 0 }
    }

    /// A line that is written completely.
    #[cfg(feature = "classic")]
    pub(crate) const fn finished() -> Self {
        Self { template: &[], position: 0 }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.template.is_empty()
    }

    /// Writes as much of the rest as fits into `window`, and returns the number of bytes. `name` is the name in the buffer.
    pub(crate) fn fill(&mut self, context: &ResponseContext<'_>, name: &[u8], window: &mut [u8]) -> usize {
        let mut filled: usize = 0;
        while let Some(room) = window.get_mut(filled..)
            && let Some(len) = self.write_step(context, name, room)
        {
            filled = filled.saturating_add(len);
        }
        filled
    }

    /// Writes the next element of the template or a piece of it; `None` without room, or at the end.
    #[inline(never)] // one function out of all would have more variables than registers
    fn write_step(&mut self, context: &ResponseContext<'_>, name: &[u8], room: &mut [u8]) -> Option<usize> {
        let (first, rest) = self.template.split_first()?;
        if *first == b')' {
            self.template = rest;
            return Some(0);
        }
        if !matches!(first, b'$' | b'(') {
            let mut len = 0;
            for (byte, place) in self.template.iter().zip(room) {
                if matches!(byte, b'$' | b'(' | b')') {
                    break;
                }
                *place = *byte;
                len += 1;
            }
            self.template = self.template.get(len..)?;
            return Some(len).filter(|len| *len > 0);
        }
        let (letter, rest) = rest.split_first()?;
        let (mut digits, hex);
        let text = match context.value(*letter, name) {
            Some(_) if *first == b'(' => {
                self.template = rest;
                return Some(0);
            }
            Some(Value::Text(text)) => text,
            #[cfg(feature = "rights")]
            Some(Value::Array(array)) => return self.write_array(context, array, rest, room),
            #[cfg(all(feature = "manage", not(feature = "rights")))]
            Some(Value::Words(words)) => return self.write_words(words, rest, room),
            Some(Value::Number(number)) => {
                digits = [0; 20];
                decimal(number, &mut digits)
            }
            Some(Value::Digest(digest)) => {
                hex = digest.to_hex();
                hex.as_bytes()
            }
            None => {
                self.template = after_parenthesis(rest);
                return Some(0);
            }
        };
        let text = text.get(self.position..).unwrap_or_default();
        let (taken, written) = escape_piece(text, room);
        self.position = self.position.wrapping_add(taken); // at most the text's length
        if taken == text.len() {
            *self = Self { template: rest, position: 0 };
        } else if written == 0 {
            return None;
        }
        Some(written)
    }
}

impl ResponseContext<'_> {
    /// The value of the placeholder `letter`, if it has one.
    fn value<'a>(&'a self, letter: u8, name: &'a [u8]) -> Option<Value<'a>> {
        let config = self.config;
        let request = &self.request;
        let length = self.end.wrapping_sub(request.offset); // may wrap in lines that do not contain it
        let text = match letter {
            b'a' => excerpt(name),
            b'd' => request.digest.map_or("none", DigestKind::as_str).as_bytes(),
            b'e' => self.code.as_str().as_bytes(),
            b'f' => name,
            b'k' => self.digest.as_ref()?.kind().as_str().as_bytes(),
            b'n' => config.name.as_str().as_bytes(),
            b'v' => request.version.get(..request.version_len).unwrap_or_default(),
            b'w' => self.message.as_str().as_bytes(),
            b'x' => return self.digest.as_ref().map(Value::Digest),
            // The digest of a `get` follows the body.
            b'y' => return self.digest.as_ref().filter(|_| request.kind == RequestKind::Stat).map(Value::Digest),
            #[cfg(feature = "rights")]
            b'L' | b'N' => return self.array(letter),
            #[cfg(feature = "replaced")]
            b'O' => self.next.as_ref()?.as_str().as_bytes(),
            #[cfg(feature = "absolute")]
            b'P' => return self.first.map(Value::Number),
            #[cfg(feature = "absolute")]
            b'Q' => return self.first.filter(|_| self.code == Code::BadRange).map(Value::Number),
            #[cfg(feature = "write")]
            b'V' | b'W' => {
                let is_put = request.kind == RequestKind::Put;
                return (is_put == (letter == b'W')).then_some(Value::Text(&[]));
            }
            // Of a file that is not durable yet none is known.
            #[cfg(feature = "sync")]
            b'X' => return (request.kind == RequestKind::Put && request.version_len > 0).then_some(Value::Text(&[])),
            #[cfg(all(feature = "sync", not(feature = "rights")))]
            b'M' => return config.offered.has(RequestKind::Sync).then_some(Value::Text(&[])),
            #[cfg(feature = "write")]
            b'A'..=b'K' => return self.write_value(letter),
            _ => {
                let number = match letter {
                    b'b' => config.chunk_size.get().into(),
                    b'c' | b't' => {
                        // The last chunk may be full; an empty body has none.
                        let (count, rest) = match length.checked_sub(1) {
                            Some(last) => div_rem(last, config.chunk_size.get()),
                            None => return Some(Value::Number(0)),
                        };
                        (if letter == b'c' { count } else { rest }).wrapping_add(1)
                    }
                    b'g' => self.unnameable.into(),
                    b'h' => self.hidden.into(),
                    b'i' => config.idle_ms.into(),
                    b'j' => match self.code {
                        Code::Busy => config.busy_retry_ms,
                        Code::ShuttingDown => config.stop_retry_ms,
                        _ => 0,
                    }
                    .into(),
                    b'l' => length,
                    b'm' => self.modified?,
                    b'o' => request.offset,
                    b'p' => self.skipped.saturating_add(self.unnameable).into(),
                    b'q' => u64::try_from(self.max_request).unwrap_or(u64::MAX),
                    b'r' => config.request_ms.into(),
                    b's' => config.stall_ms.into(),
                    b'u' => self.count.into(),
                    #[cfg(all(feature = "absolute", not(feature = "rights")))]
                    b'Y' => config.is_absolute.into(),
                    #[cfg(all(feature = "wait", not(feature = "rights")))]
                    b'Z' => config.wait_max_ms.into(),
                    _ => self.size, // z
                };
                // What is 0 here is left out.
                let is_left_out = matches!(letter, b'h' | b'j' | b'p') || (FOLLOWS && matches!(letter, b'Y' | b'Z'));
                return Some(Value::Number(number)).filter(|_| number > 0 || !is_left_out);
            }
        };
        Some(Value::Text(text))
    }
}

#[cfg(feature = "write")]
impl ResponseContext<'_> {
    /// The value of a placeholder of writing.
    fn write_value(&self, letter: u8) -> Option<Value<'_>> {
        // A is of the first code, F of the first kind of request that writes, and those behind them are of the next ones.
        const FIRST_CODE: u8 = Code::TooLarge as u8;
        #[cfg(not(feature = "rights"))]
        const FIRST_KIND: u8 = RequestKind::Put as u8;
        let number = match letter {
            b'A' | b'B' if self.code as u8 == letter.wrapping_sub(b'A' - FIRST_CODE) => self.size,
            #[cfg(feature = "manage")]
            b'C' => self.size,
            #[cfg(feature = "manage")]
            b'D' => self.end,
            #[cfg(feature = "manage")]
            b'E' => self.request.length,
            #[cfg(not(feature = "rights"))]
            b'F'..=b'J' => {
                let is_offered = self.config.offered.has_number(letter.wrapping_sub(b'F' - FIRST_KIND));
                return is_offered.then_some(Value::Text(&[]));
            }
            #[cfg(all(feature = "manage", not(feature = "rights")))]
            b'K' => {
                let words = self.config.actions.as_str().as_bytes();
                return (!words.is_empty()).then_some(Value::Words(words));
            }
            _ => return None,
        };
        (number != Self::UNKNOWN).then_some(Value::Number(number))
    }

    /// A number that is left out.
    pub(crate) const UNKNOWN: u64 = u64::MAX;
}

#[cfg(all(feature = "manage", not(feature = "rights")))]
impl LineWriter {
    /// Writes the next of `words`, or the quotes and the comma between two; `rest` is the template behind them.
    fn write_words(&mut self, words: &[u8], rest: &'static [u8], room: &mut [u8]) -> Option<usize> {
        let Some(next) = words.get(self.position) else {
            *self = Self { template: rest, position: 0 };
            return Some(0);
        };
        let text: &[u8] = if *next == b' ' { b"\",\"" } else { core::slice::from_ref(next) };
        room.get_mut(..text.len())?.copy_from_slice(text);
        self.position = self.position.wrapping_add(1); // at most the length of the words
        Some(text.len())
    }
}

/// The template after its next `)`.
fn after_parenthesis(template: &'static [u8]) -> &'static [u8] {
    let mut rest = template;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b')' {
            break;
        }
    }
    rest
}

/// The beginning of `name`, up to a whole character.
fn excerpt(name: &[u8]) -> &[u8] {
    let mut len = name.len().min(EXCERPT_LEN);
    // Continuation bytes of UTF-8 begin with the bits 10.
    while len > 0 && name.get(len).is_some_and(|byte| byte & 0xC0 == 0x80) {
        len -= 1;
    }
    name.get(..len).unwrap_or_default()
}
