//! The bytes before a piece of a followed file, and the destination of that piece.

use core::convert::Infallible;

use coracle_core::exec::Sink;
use coracle_core::{Header, Version};

/// The bytes that were passed on last.
#[derive(Debug)]
pub(super) struct Window<W> {
    bytes: W,
    /// How many of them, from the front, are there.
    len: usize,
    /// Behind the last one, in the file.
    position: u64,
}

impl<W: AsRef<[u8]> + AsMut<[u8]>> Window<W> {
    pub(super) const fn new(bytes: W) -> Self {
        Self { bytes, len: 0, position: 0 }
    }

    /// Forgets all; nothing before `position` is known.
    pub(super) fn reset(&mut self, position: u64) {
        (self.len, self.position) = (0, position);
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref().get(..self.len).unwrap_or_default()
    }

    /// Where the known bytes begin.
    pub(super) fn from(&self) -> u64 {
        self.position.saturating_sub(self.len as u64)
    }

    /// The most that it takes.
    pub(super) fn capacity(&self) -> u64 {
        self.bytes.as_ref().len() as u64
    }

    /// Forgets the bytes before `from`.
    #[cfg(any(feature = "absolute", test))]
    pub(super) fn forget_before(&mut self, from: u64) {
        let excess = usize::try_from(from.saturating_sub(self.from())).unwrap_or(usize::MAX);
        self.drop_front(excess.min(self.len));
    }

    /// Adds what follows.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.position = self.position.saturating_add(bytes.len() as u64);
        let room = self.bytes.as_ref().len();
        let rest = bytes.get(bytes.len().saturating_sub(room)..).unwrap_or_default();
        self.drop_front(self.len.saturating_add(rest.len()).saturating_sub(room));
        let end = self.len.saturating_add(rest.len());
        if let Some(place) = self.bytes.as_mut().get_mut(self.len..end) {
            place.copy_from_slice(rest);
            self.len = end;
        }
    }

    /// `count` is at most the number of bytes.
    fn drop_front(&mut self, count: usize) {
        self.bytes.as_mut().copy_within(count..self.len, 0);
        self.len = self.len.saturating_sub(count);
    }
}

/// Receives a piece, and gives back the bytes before it.
pub(super) struct Continuation<'a> {
    /// Where `before` begins in the file.
    pub(super) from: u64,
    pub(super) before: &'a [u8],
    pub(super) piece: &'a mut [u8],
    /// How many bytes of the piece have come.
    pub(super) received: usize,
    /// That of the file.
    pub(super) version: Option<Version>,
}

impl Sink for Continuation<'_> {
    type Error = Infallible;

    fn begin(&mut self, header: &Header) -> Result<(), Infallible> {
        self.version = Some(header.version.clone());
        Ok(())
    }

    fn write(&mut self, _offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
        // No more than was asked for, which the session has checked.
        let end = self.received.saturating_add(bytes.len());
        if let Some(place) = self.piece.get_mut(self.received..end) {
            place.copy_from_slice(bytes);
            self.received = end;
        }
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Infallible> {
        let skipped = usize::try_from(offset.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let rest = self.before.get(skipped..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_window_holds_the_last_bytes() {
        for pieces in [&["abc", "", "de"][..], &["abcdefgh", "i", "jkl"], &["a", "bcdefghijk"], &["abcdefghijkl"]] {
            let (mut window, mut all) = (Window::new([0; 8]), Vec::new());
            window.reset(7);
            for piece in pieces {
                window.push(piece.as_bytes());
                all.extend_from_slice(piece.as_bytes());
                assert_eq!(window.position(), 7 + all.len() as u64);
                assert_eq!(window.bytes(), &all[all.len().saturating_sub(8)..]);
                assert_eq!(window.from() + window.bytes().len() as u64, window.position());
            }
        }
    }

    #[test]
    fn a_window_forgets_what_is_gone() {
        for (before, left) in [(0, "56789abc"), (104, "56789abc"), (107, "89abc"), (112, ""), (u64::MAX, "")] {
            let mut window = Window::new([0; 8]);
            window.reset(100);
            window.push(b"123456789abc");
            window.forget_before(before);
            assert_eq!((window.bytes(), window.position()), (left.as_bytes(), 112), "{before}");
        }
    }

    #[test]
    fn what_is_known_is_given_back_in_pieces() {
        let mut sink = Continuation { from: 100, before: b"abcde", piece: &mut [], received: 0, version: None };
        let (mut back, mut buf) = (Vec::new(), [0; 2]);
        while let Ok(len @ 1..) = sink.read_back(100 + back.len() as u64, &mut buf) {
            back.extend_from_slice(&buf[..len]);
        }
        assert_eq!(back, b"abcde");
    }
}
