//! White space before requests.

use super::line_ending::LineEnding;
use super::session::Session;

impl Session<'_> {
    /// Skips white space before a request. One line ending directly after the previous request belongs to that one.
    pub(super) fn skip_white_space(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            match (byte, self.line_ending) {
                (b'\r', LineEnding::Any) => self.line_ending = LineEnding::LineFeed,
                (b'\n', LineEnding::Any | LineEnding::LineFeed) => self.line_ending = LineEnding::Nothing,
                (b' ' | b'\t' | b'\r' | b'\n', _) => {
                    self.line_ending = LineEnding::Nothing;
                    self.begin_request();
                }
                _ => break,
            }
            taken += 1;
        }
        taken
    }
}
