//! A piece of a followed file, with the proof that it continues what is there.

use coracle_core::exec::Sink;
use coracle_core::{End, FileName, GetRequest, Header, Version};

use super::super::attempt::FailedAttempt;
use super::super::error::Error;
use super::super::requester::Requester;

/// The bytes before a piece that are compared with those of the server.
pub const WINDOW_LEN: usize = 4096;

/// The bytes that were yielded last.
#[derive(Debug, Default)]
pub struct Window {
    /// Behind the last one, in the file.
    position: u64,
    bytes: Vec<u8>,
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub name: FileName<'a>,
    pub length: u64,
    pub version: Option<&'a Version>,
    /// How long the server waits at the end of the file.
    pub wait_ms: u64,
    /// Whether offsets count from the beginning of a log that drops its head.
    pub absolute: bool,
}

/// A piece that was received.
#[derive(Debug, Default)]
pub struct Piece {
    pub bytes: Vec<u8>,
    pub header: Option<Header>,
}

impl Window {
    /// Nothing before `position` is known.
    pub const fn at(position: u64) -> Self {
        Self { position, bytes: Vec::new() }
    }

    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Where the bytes begin that are known.
    pub const fn from(&self) -> u64 {
        self.position.saturating_sub(self.bytes.len() as u64)
    }

    /// The window before its last byte, and that byte; all of it where none is known.
    pub fn without_last(&self) -> (Self, Option<u8>) {
        let (mut bytes, mut position) = (self.bytes.clone(), self.position);
        let last = bytes.pop();
        if last.is_some() {
            position = position.saturating_sub(1);
        }
        (Self { position, bytes }, last)
    }

    /// Forgets the bytes before `from`.
    pub fn forget_before(&mut self, from: u64) {
        let excess = usize::try_from(from.saturating_sub(self.from())).unwrap_or(usize::MAX);
        self.bytes.drain(..excess.min(self.bytes.len()));
    }

    /// Adds what follows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.position = self.position.saturating_add(bytes.len() as u64);
        let rest = bytes.get(bytes.len().saturating_sub(WINDOW_LEN)..).unwrap_or_default();
        let excess = self.bytes.len().saturating_add(rest.len()).saturating_sub(WINDOW_LEN);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.bytes.extend_from_slice(rest);
    }
}

/// Asks for what follows the window and `unproved` behind it: the digest covers both, so that the answer proves that it
/// continues them.
pub fn ask(
    requester: &mut Requester,
    question: Question<'_>,
    window: &Window,
    unproved: &[u8],
) -> Result<(End, Piece), FailedAttempt> {
    let offset = window.position.saturating_add(unproved.len() as u64);
    let from = window.from();
    let get = GetRequest::new(question.name)
        .with_offset(offset)
        .with_length(Some(question.length))
        .with_version(question.version)
        .with_wait_ms(question.wait_ms)
        .with_absolute(question.absolute)
        .with_digest_from(Some(from));
    let mut sink = Continuation { from, before: [&window.bytes, unproved], piece: Piece::default() };
    let end = requester.attempt(|connection| {
        sink.piece = Piece::default();
        connection.get(&get, &mut sink)
    })?;
    Ok((end, sink.piece))
}

/// Receives a piece, and gives back the bytes before it.
struct Continuation<'a> {
    /// Where the bytes before it begin.
    from: u64,
    before: [&'a [u8]; 2],
    piece: Piece,
}

impl Sink for Continuation<'_> {
    type Error = Error;

    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        self.piece.header = Some(header.clone());
        Ok(())
    }

    fn write(&mut self, _offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.piece.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let mut skipped = usize::try_from(offset.saturating_sub(self.from)).unwrap_or(usize::MAX);
        for part in self.before {
            if let Some(rest) = part.get(skipped..).filter(|rest| !rest.is_empty()) {
                let len = rest.len().min(buf.len());
                buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                return Ok(len);
            }
            skipped = skipped.saturating_sub(part.len());
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::exec::Sink;

    use super::{Continuation, Piece, WINDOW_LEN, Window};

    #[test]
    fn a_window_holds_the_last_bytes() {
        let mut window = Window::at(7);
        window.push(b"abc");
        assert_eq!((window.position(), window.bytes.as_slice()), (10, &b"abc"[..]));
        window.push(&[b'x'; WINDOW_LEN - 1]);
        assert_eq!((window.bytes.len(), window.bytes.first()), (WINDOW_LEN, Some(&b'c')));
        window.push(&[b'y'; 3 * WINDOW_LEN]);
        assert_eq!(window.bytes, [b'y'; WINDOW_LEN]);
        let end = 7 + 3 + 4 * WINDOW_LEN as u64 - 1;
        assert_eq!(window.position(), end);
        let (before, last) = window.without_last();
        assert_eq!((before.position(), before.bytes.len(), last), (end - 1, WINDOW_LEN - 1, Some(b'y')));
        let (before, last) = Window::at(7).without_last();
        assert_eq!((before.position(), last), (7, None));
        for (from, left) in [(0, WINDOW_LEN), (end - 10, 10), (end - 20, 10), (end, 0), (end + 5, 0)] {
            window.forget_before(from);
            assert_eq!((window.bytes.len(), window.from()), (left, end - left as u64));
        }
    }

    #[test]
    fn what_was_received_is_given_back_in_pieces() {
        let mut sink = Continuation { from: 100, before: [b"abc", b"de"], piece: Piece::default() };
        let mut back = Vec::new();
        let mut buf = [0; 2];
        loop {
            match sink.read_back(100 + back.len() as u64, &mut buf) {
                Ok(0) => break,
                Ok(len) => back.extend_from_slice(&buf[..len]),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(back, b"abcde");
    }
}
