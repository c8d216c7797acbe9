//! The log in RAM that is served as `boot.log`.

use heapless::{String, Vec};

use crate::board::LOG_LEN;

/// Size of the log, in bytes. When it is full, its oldest lines make room.
const CAPACITY: usize = LOG_LEN;
/// How many bytes are dropped at a time, at least: seldom many rather than often few, since the version changes with it, and who
/// fetches the log without absolute offsets has to begin anew.
const DROP_LEN: usize = CAPACITY / 4;
const LINE_LEN: usize = 120;

/// A log in RAM that is only ever appended to, and drops its oldest lines when it is full.
pub struct BootLog {
    text: Vec<u8, CAPACITY>,
    /// Number of times that lines were dropped.
    generation: u32,
    /// Number of bytes that were dropped since the board started.
    dropped: u64,
}

impl BootLog {
    pub const fn new() -> Self {
        Self { text: Vec::new(), generation: 0, dropped: 0 }
    }

    /// What is still there.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// Changes when earlier bytes are no longer there.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The offset of its first byte that is still there, in bytes written since the board started.
    pub const fn first(&self) -> u64 {
        self.dropped
    }

    /// The offset behind its last byte, counted in the same way.
    pub fn end(&self) -> u64 {
        self.dropped + self.text.len() as u64
    }

    /// Appends a line; drops the oldest ones before where it does not fit.
    pub fn append(&mut self, line: &Line) {
        if self.text.capacity() - self.text.len() < line.0.len() + 1 {
            self.drop_oldest();
        }
        let appended = self
            .text
            .extend_from_slice(line.0.as_bytes())
            .and_then(|()| self.text.push(b'\n').map_err(|_| Default::default()));
        debug_assert!(appended.is_ok(), "there is room for the line");
    }

    /// Drops whole lines.
    fn drop_oldest(&mut self) {
        let lines = self.text.iter().enumerate().skip(DROP_LEN);
        let len = lines.into_iter().find(|(_, byte)| **byte == b'\n').map_or(self.text.len(), |(at, _)| at + 1);
        self.text.copy_within(len.., 0);
        self.text.truncate(self.text.len() - len);
        self.dropped += len as u64;
        self.generation = self.generation.wrapping_add(1);
    }
}

/// A line being built. Text that does not fit is cut off, since logging must not fail.
pub struct Line(String<LINE_LEN>);

impl Line {
    /// Begins with the time since start-up, in seconds.
    pub fn at(now_ms: u64) -> Self {
        let mut line = Self(String::new());
        let millis = now_ms % 1_000;
        let padding = match millis {
            0..10 => "00",
            10..100 => "0",
            _ => "",
        };
        line.number(now_ms / 1_000).text(".").text(padding).number(millis).text(" ");
        line
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            if self.0.push(character).is_err() {
                break;
            }
        }
        self
    }

    /// Appends decimal digits, without `core::fmt`, which would take more flash than the log.
    pub fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut rest = number;
        let mut first = digits.len();
        for (index, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            first = index;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(first..).and_then(|digits| core::str::from_utf8(digits).ok());
        self.text(digits.unwrap_or_default())
    }
}
