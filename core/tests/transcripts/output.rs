//! Compares the output of a server with a transcript.

use coracle_core::{Close, CloseHow};

use super::document::{Step, StoreLine};
use super::other_server::{OtherServer, is_message};

/// The maximum length of a server's line, with its line feed.
const LINE_MAX: usize = 1024;
const PLACEHOLDER: &str = "\"…\"";

/// Sent by the server and not compared yet.
pub struct Output<'a> {
    bytes: Vec<u8>,
    /// The store that bodies come from.
    lines: &'a [StoreLine],
    /// `None`: the server has the settings of the documents, and sends exactly their lines.
    other: Option<&'a OtherServer>,
    /// The last line was an error, and nothing was awaited since.
    told_error: bool,
}

impl<'a> Output<'a> {
    pub fn new(lines: &'a [StoreLine], other: Option<&'a OtherServer>) -> Self {
        Self { bytes: Vec::new(), lines, other, told_error: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Removes the expected output of `step` from the front.
    ///
    /// # Errors
    ///
    /// What was sent instead.
    pub fn expect(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Line(line) => self.expect_line(line),
            Step::Bytes(bytes) => self.expect_bytes(bytes),
            Step::Message(message) => self.expect_message(message),
            Step::Slice { name, from, to } => {
                let line = self.lines.iter().find(|line| line.file_name.as_deref() == Some(name.as_str()));
                let contents = line.ok_or("no such file")?.contents();
                self.expect_bytes(contents.get(*from..*to).ok_or("no such range")?)
            }
            _ => Err("no output".into()),
        }
    }

    /// Compares how the session ended with `step`. `eof`: the client had ended its input; `unread`: some of it was not
    /// taken.
    ///
    /// # Errors
    ///
    /// How it ended, where that differs.
    pub fn expect_close(&mut self, step: &Step, close: Close, eof: bool, unread: bool) -> Result<(), String> {
        let fits = match close.how {
            CloseHow::Abort => *step == Step::Abort,
            CloseHow::Linger => *step == Step::Close && self.told_error,
            // With unread input the kernel would send a reset, which could overtake the error.
            CloseHow::Finish => *step == Step::Close && (eof || !unread && !self.told_error),
        };
        if !fits {
            return Err(format!("it closes by {:?}", close.how));
        }
        self.rest()
    }

    /// Checks that nothing more was sent.
    ///
    /// # Errors
    ///
    /// What was sent.
    pub fn rest(&mut self) -> Result<(), String> {
        self.told_error = false;
        if self.bytes.is_empty() { Ok(()) } else { Err(format!("the server also sent: {}", self.excerpt())) }
    }

    fn expect_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        if !self.bytes.starts_with(bytes) {
            return Err(format!("the server sent: {}", self.excerpt()));
        }
        self.bytes.drain(..bytes.len());
        Ok(())
    }

    fn expect_message(&mut self, message: &str) -> Result<(), String> {
        let Some(other) = self.other else { return self.expect_bytes(message.as_bytes()) };
        let mut sent = serde_json::Deserializer::from_slice(&self.bytes).into_iter::<serde_json::Value>();
        let outcome = sent.next().transpose().map_err(|error| error.to_string())?;
        let len = sent.byte_offset();
        other.matches_message(message, &outcome.unwrap_or_default().to_string())?;
        self.bytes.drain(..len);
        Ok(())
    }

    fn expect_line(&mut self, line: &str) -> Result<(), String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.filter(|end| *end < LINE_MAX) else {
            return Err(format!("the server sent no line: {}", self.excerpt()));
        };
        let sent: Vec<u8> = self.bytes.drain(..=end).collect();
        let sent = std::str::from_utf8(&sent[..end]).map_err(|error| error.to_string())?;
        self.told_error = sent.starts_with(r#"{"type":"error""#);
        match self.other {
            None => matches_line(line, sent),
            Some(other) => other.matches_line(line, sent),
        }
    }

    fn excerpt(&self) -> String {
        self.bytes[..self.bytes.len().min(400)].escape_ascii().to_string()
    }
}

/// Compares a line with what was sent.
fn matches_line(line: &str, sent: &str) -> Result<(), String> {
    let line = line.replace("coracle/0.1.0", concat!("coracle/", env!("CARGO_PKG_VERSION")));
    let Some((before, after)) = line.split_once(PLACEHOLDER) else {
        return if line == sent { Ok(()) } else { Err(format!("the server sent: {sent}")) };
    };
    let text = sent.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let text: String =
        text.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| format!("the server sent: {sent}"))?;
    if is_message(&text) { Ok(()) } else { Err(format!("a message for people: {text:?}")) }
}
