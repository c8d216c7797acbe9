//! Where in a file following begins: a number of lines or bytes before its end, found without reading all of it.

use coracle_core::{Code, End, FileName};

use super::super::attempt::FailedAttempt;
use super::super::error::Error;
use super::super::requester::Requester;
use super::piece::{Piece, Question, WINDOW_LEN, Window, ask};

/// The last piece of a file that is looked through for ends of lines; the ones before it are each four times as long, up to
/// [`LONGEST`].
const FIRST: u64 = 16 * 1024;
const LONGEST: u64 = 256 * 1024;

/// Where following a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FollowFrom {
    /// At its beginning.
    Beginning,
    /// So many lines before its end. A last line without a line feed counts.
    Lines(u64),
    /// So many bytes before its end.
    Bytes(u64),
}

/// A place where following can begin.
pub struct Start {
    pub window: Window,
    /// The length of the file when it was looked at.
    pub size: u64,
}

/// Finds the place; `None` where the file became shorter meanwhile, and has to be looked at again.
pub fn find(
    requester: &mut Requester,
    name: FileName<'_>,
    absolute: bool,
    from: FollowFrom,
) -> Result<Option<Start>, FailedAttempt> {
    let header = requester.attempt(|connection| match absolute {
        true => connection.stat_absolute(name),
        false => connection.stat(name, None),
    })?;
    let (size, first) = (header.size, header.first.unwrap_or(0));
    let mut range = |from, len| range(requester, name, absolute, from, len);
    let position = match from {
        FollowFrom::Beginning => first,
        FollowFrom::Bytes(bytes) => size.saturating_sub(bytes).max(first),
        FollowFrom::Lines(lines) => match position_of_lines(first, size, lines, &mut range)? {
            Some(position) => position,
            None => return Ok(None),
        },
    };
    let len = position.saturating_sub(first).min(WINDOW_LEN as u64);
    let mut window = Window::at(position.saturating_sub(len));
    if len > 0 {
        let Some(bytes) = range(window.position(), len)? else { return Ok(None) };
        window.push(&bytes);
    }
    Ok(Some(Start { window, size }))
}

/// The place `lines` lines before the end of a file of `size` bytes that has those from `first` on, of which `read` reads a range; `None` where that is `None`.
fn position_of_lines<E>(
    first: u64,
    size: u64,
    lines: u64,
    mut read: impl FnMut(u64, u64) -> Result<Option<Vec<u8>>, E>,
) -> Result<Option<u64>, E> {
    let (mut end, mut left, mut step) = (size, lines, FIRST);
    while end > first && left > 0 {
        let from = end.saturating_sub(step).max(first);
        let Some(bytes) = read(from, end.saturating_sub(from))? else { return Ok(None) };
        // The line feed at the very end ends the last line, and is before none.
        let is_last = end == size && bytes.last() == Some(&b'\n');
        let looked_at = bytes.get(..bytes.len().saturating_sub(usize::from(is_last))).unwrap_or_default();
        for (index, _) in looked_at.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(Some(from.saturating_add(index as u64).saturating_add(1)));
            }
        }
        (end, step) = (from, step.saturating_mul(4).min(LONGEST));
    }
    Ok(Some(end))
}

/// A range of the file; `None` where it is not there, or changes under way.
fn range(
    requester: &mut Requester,
    name: FileName<'_>,
    absolute: bool,
    from: u64,
    len: u64,
) -> Result<Option<Vec<u8>>, FailedAttempt> {
    let question = Question { name, length: len, version: None, wait_ms: 0, absolute };
    match ask(requester, question, &Window::at(from), &[]) {
        Ok((End::Verified(_) | End::Changed { snapshot: Some(_) }, Piece { bytes, .. }))
            if bytes.len() as u64 == len =>
        {
            Ok(Some(bytes))
        }
        Ok(_) => Ok(None),
        Err(FailedAttempt { error: Error::DigestMismatch, .. }) => Ok(None),
        Err(failed) if is_range_error(&failed.error) => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// Whether the file is shorter than what was asked for.
pub fn is_range_error(error: &Error) -> bool {
    matches!(error, Error::Refused { code: Some(Code::BadRange), .. })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::position_of_lines;

    fn last_lines(contents: &[u8], lines: u64) -> (&[u8], u64) {
        let mut read = 0;
        let position = position_of_lines(0, contents.len() as u64, lines, |from, len| {
            read += len;
            let from = usize::try_from(from).expect("small");
            Ok::<_, Infallible>(Some(contents[from..from + usize::try_from(len).expect("small")].to_vec()))
        });
        let Ok(position) = position;
        let position = position.expect("nothing changes here");
        (&contents[usize::try_from(position).expect("small")..], read)
    }

    #[test]
    fn lines_are_counted_from_the_end() {
        for (contents, lines, last) in [
            ("", 3, ""),
            ("\n", 1, "\n"),
            ("a\nb\nc\n", 0, ""),
            ("a\nb\nc\n", 1, "c\n"),
            ("a\nb\nc", 1, "c"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\n\n\n", 2, "\n\n"),
            ("one", 2, "one"),
        ] {
            assert_eq!(last_lines(contents.as_bytes(), lines).0, last.as_bytes(), "{contents:?} {lines}");
        }
    }

    #[test]
    fn only_the_end_of_a_long_file_is_read() {
        let contents: Vec<u8> = (0..200_000).flat_map(|number: u32| format!("{number:06}\n").into_bytes()).collect();
        for (lines, most) in [(1, 16 << 10), (10, 16 << 10), (5_000, 80 << 10), (50_000, 700 << 10)] {
            let (last, read) = last_lines(&contents, lines);
            assert_eq!(last, &contents[contents.len() - usize::try_from(lines).expect("small") * 7..]);
            assert!(read <= most, "{lines} lines: {read} bytes");
        }
    }

    #[test]
    fn a_line_longer_than_any_piece_is_found() {
        let mut contents = b"first\n".to_vec();
        contents.resize(1 << 20, b'x');
        assert_eq!(last_lines(&contents, 1).0.len(), contents.len() - 6);
        assert_eq!(last_lines(&contents, 2).0.len(), contents.len());
    }
}
