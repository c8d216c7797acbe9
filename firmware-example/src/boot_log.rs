//! The log in RAM that is served as `boot.log`.

use heapless::{String, Vec};

/// Size of the log, in bytes. When it is full it is cleared.
pub const CAPACITY: usize = 8 * 1024;
const LINE_LEN: usize = 120;

/// A log in RAM that is only ever appended to, until it is cleared.
pub struct BootLog {
    text: Vec<u8, CAPACITY>,
    /// Number of times that it was cleared.
    generation: u32,
}

impl BootLog {
    pub const fn new() -> Self {
        Self { text: Vec::new(), generation: 0 }
    }

    /// Everything written since the log was last cleared.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// Changes when earlier bytes are no longer there.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Appends a line; clears the log before where it does not fit.
    pub fn append(&mut self, line: &Line) {
        if self.text.capacity() - self.text.len() < line.0.len() + 1 {
            self.text.clear();
            self.generation = self.generation.wrapping_add(1);
        }
        let appended = self
            .text
            .extend_from_slice(line.0.as_bytes())
            .and_then(|()| self.text.push(b'\n').map_err(|_| Default::default()));
        debug_assert!(appended.is_ok(), "there is room for the line");
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
