//! The line ending behind a request.

/// What may still follow of a line ending: `\n`, `\r` or `\r\n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnding {
    Any,
    LineFeed,
    Nothing,
}
