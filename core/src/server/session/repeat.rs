//! A question that is asked again, in the same words: it was read before, and what was read is still there.
//!
//! Who follows a small file over a connection that it keeps asks just that. Where there is memory for it, its request and
//! the lines that answered it stand at the end of the buffer until another request comes. A copy of the request is taken
//! without scanning and parsing, and as long as the file has not changed the lines are sent once more: that is more than
//! half of what such an exchange costs a host apart from the system calls. A board has no flash to spare for a second way
//! to the same end.

use core::ops::Range;

use super::{LineEnding, RATE_START_MS, Session, State, wide};
use crate::digest::Digest;
use crate::reply::Line;
use crate::request::Kind;
use crate::server::Exchange;
use crate::store::FileInfo;

/// What is longer than this part of the buffer leaves too little of it for the answer.
const LARGEST_PART: usize = 4;

/// What stands at the end of the buffer, in bytes: the end of the answer, behind it the header, and behind that the words
/// of the request. What is not there is empty, and so is all in front of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    end: usize,
    header: usize,
    pub(super) words: usize,
    /// What the end tells.
    digest: Option<Digest>,
}

impl Kept {
    pub(super) const NOTHING: Self = Self::of_words(0);

    const fn of_words(words: usize) -> Self {
        Self { end: 0, header: 0, words, digest: None }
    }

    /// All bytes that are kept.
    pub(super) const fn len(&self) -> usize {
        self.end.saturating_add(self.before_end())
    }

    const fn before_end(&self) -> usize {
        self.header.saturating_add(self.words)
    }
}

impl Session<'_> {
    /// Keeps the words of the request that is complete in the buffer, and returns their length; 0 where they are too long.
    pub(super) fn keep_words(&mut self, buf: &mut [u8]) -> usize {
        keep(buf, 0..self.used, 0)
    }

    /// The request of `words` kept bytes was read, and nothing was wrong with it: an equal one may follow. Its version would
    /// be lost to the one of the file.
    pub(super) fn may_be_repeated(&mut self, words: usize) {
        let question = &self.facts.question;
        if matches!(question.kind, Kind::Get | Kind::Stat) && !question.is_versioned {
            self.kept = Kept::of_words(words);
        }
    }

    /// Whether `bytes` begin with just what was asked before: then that is asked once more. Otherwise what was kept is given
    /// up.
    pub(super) fn repeats(&mut self, buf: &[u8], bytes: &[u8]) -> bool {
        let words = buf.get(buf.len().saturating_sub(self.kept.words)..).unwrap_or_default();
        if words.is_empty() || !bytes.starts_with(words) {
            self.kept = Kept::NOTHING;
            return false;
        }
        self.line_ending = LineEnding::Any;
        self.begun = false;
        #[cfg(feature = "classic")]
        self.end_text();
        self.begin_answer();
        self.last = Exchange { kind: Some(self.facts.question.kind), error: None, body_len: 0 };
        self.state = State::Asked;
        true
    }

    /// Keeps the header that was just made ready, if that is all of it, and the words that asked for it are kept.
    pub(super) fn keep_header(&mut self, buf: &mut [u8]) {
        if self.line.is_done() && self.kept.words > 0 {
            self.kept.header = keep(buf, self.ready.clone(), self.kept.words);
        }
    }

    /// Keeps the line that was just made ready to end the answer, if that is all of it.
    pub(super) fn keep_end(&mut self, buf: &mut [u8]) {
        if self.line.is_done() && self.kept.header > 0 {
            self.kept.end = keep(buf, self.ready.clone(), self.kept.before_end());
            self.kept.digest = self.facts.digest;
        }
    }

    /// Gives up the lines that are kept, unless they tell of the file as it is now. What else they tell is of the question.
    pub(super) fn drop_lines_of_another(&mut self, info: &FileInfo) {
        let (facts, version) = (&self.facts, info.version.as_str().as_bytes());
        let same_version = facts.question.version.get(..facts.question.version_len) == Some(version);
        if !same_version || facts.size != info.size || facts.modified != info.modified {
            self.kept = Kept::of_words(self.kept.words);
        }
    }

    /// Makes the header that is kept in a buffer of `buf_len` bytes ready, if there is one.
    pub(super) fn repeats_header(&mut self, buf_len: usize) -> bool {
        self.repeats_line(buf_len, self.kept.header, self.kept.words, State::Body)
    }

    /// The same with the end of the answer, if it tells the same digest.
    pub(super) fn repeats_end(&mut self, buf_len: usize) -> bool {
        self.kept.digest == self.facts.digest
            && self.repeats_line(buf_len, self.kept.end, self.kept.before_end(), State::Receiving)
    }

    /// How long the request at the front of `bytes` is, with a line ending right behind it, if it is the one whose answer is
    /// kept, and that has `stands` bytes.
    pub(in crate::server) fn asks_again(&mut self, buf: &[u8], bytes: &[u8], stands: usize) -> Option<usize> {
        // Only behind words and a header is an end kept, and only until something else begins.
        if self.state != State::Receiving || self.kept.end == 0 {
            return None;
        }
        #[cfg(feature = "classic")]
        let bytes = self.arrive(bytes);
        let words = buf.get(buf.len().saturating_sub(self.kept.words)..).filter(|words| !words.is_empty())?;
        let lines_len = self.kept.header.saturating_add(self.kept.end);
        let is_all = u64::try_from(stands).ok()?.checked_sub(self.body_len()) == Some(wide(lines_len));
        let ending_len = match bytes.strip_prefix(words)? {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        is_all.then_some(words.len().saturating_add(ending_len))
    }

    /// Its `len` bytes are taken, and answered.
    pub(in crate::server) fn answered_again(&mut self, len: usize) {
        self.line_ending = if len > self.kept.words { LineEnding::Nothing } else { LineEnding::Any };
        self.begun = false;
        self.since = self.now;
        self.end_exchange();
        #[cfg(feature = "classic")]
        {
            self.took(len);
            self.search_again();
        }
    }

    /// Header and body are sent as they were; the last line, whose length is returned, is ready.
    pub(in crate::server) fn answer_up_to_end(&mut self, buf_len: usize) -> usize {
        self.begin_answer();
        self.facts.digest = self.kept.digest;
        self.position = self.facts.end;
        self.last.body_len = self.body_len();
        self.answered = self.last.body_len;
        self.repeats_end(buf_len);
        self.kept.end
    }

    pub(in crate::server) fn answer_limit_ms(&self) -> Option<u64> {
        let config = self.facts.config;
        let limit_ms = match (config.stall_ms, config.min_rate) {
            (0, 1..) => RATE_START_MS,
            (stall_ms, _) => stall_ms,
        };
        (limit_ms > 0).then_some(limit_ms.into())
    }

    /// Of the body that answers the question.
    fn body_len(&self) -> u64 {
        self.facts.end.saturating_sub(self.facts.question.offset)
    }

    /// Makes `len` bytes in front of the last `behind` ones of the buffer ready.
    fn repeats_line(&mut self, buf_len: usize, len: usize, behind: usize, next: State) -> bool {
        if len == 0 {
            return false;
        }
        let end = buf_len.saturating_sub(behind);
        self.ready = end.saturating_sub(len)..end;
        self.line = Line::finished();
        self.since = self.now;
        self.state = State::Line;
        self.next = next;
        true
    }
}

/// Copies `range` of `buf` to its end, in front of the last `behind` bytes, and returns its length; 0 where it is too long.
fn keep(buf: &mut [u8], range: Range<usize>, behind: usize) -> usize {
    let len = range.len();
    if len > buf.len() / LARGEST_PART {
        return 0;
    }
    let end = buf.len().saturating_sub(behind);
    let (front, kept) = buf.split_at_mut_checked(end.saturating_sub(len)).unwrap_or_default();
    // One of them would be empty where the other is not there.
    let (from, to) = (front.get(range).unwrap_or_default(), kept.get_mut(..len).unwrap_or_default());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    from.len().min(to.len())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{format, vec};

    use crate::server::session::{Session, State};
    use crate::server::{Action, Finished, Reply};
    use crate::time::Instant;
    use crate::{Digest, FileInfo, FileName, ServerConfig, Version};

    /// Of bytes that have arrived by themselves.
    fn asks_again(session: &mut Session<'_>, buf: &[u8], bytes: &[u8], stands: usize) -> Option<usize> {
        let len = session.asks_again(buf, bytes, stands);
        #[cfg(feature = "classic")]
        session.took(usize::MAX);
        len
    }

    /// It has the same answer when it is read again, so only this tells whether the short way is taken.
    #[test]
    fn an_equal_question_is_not_read_again() {
        let long = |len: usize| {
            let around = r#"{"type":"get","fileName":"a","x":""}"#.len();
            format!(r#"{{"type":"get","fileName":"a","x":"{}"}}"#, "x".repeat(len - around))
        };
        let config = ServerConfig::new();
        for (words, is_kept) in [
            (r#"{"type":"get","fileName":"a"}"#, true),
            (r#"{"type":"stat","fileName":"a","digest":"crc32"}"#, true),
            (&long(128), true),
            (&long(129), false),
            (r#"{"type":"get","fileName":"a","version":"v1"}"#, false),
            (r#"{"type":"get"}"#, false),
            (r#"{"type":"list"}"#, false),
            (r#"{"type":"hello"}"#, false),
        ] {
            let mut buf = [0; 512];
            let mut session = Session::new(&config, buf.len(), Instant::from_millis(0));
            assert_eq!(session.receive(&mut buf, words.as_bytes()), words.len());
            assert_eq!(session.kept.words, if is_kept { words.len() } else { 0 }, "{words}");
            let mut asks_again = |stands| session.asks_again(&buf, words.as_bytes(), stands);
            assert!((0..1000).all(|stands| asks_again(stands).is_none()), "there was no answer yet");
            if is_kept {
                // What was read stands at the front: another name there shows who looks at it, and who reads it anew.
                assert_eq!(buf[0], b'a');
                (buf[0], session.state) = (b'b', State::Receiving);
                assert_eq!(session.receive(&mut buf, words.as_bytes()), words.len());
                assert_eq!(session.request(&buf).and_then(|request| request.name()), Some(FileName::from_static("b")));
            }
            assert_eq!(session.repeats(&buf, words.as_bytes()), is_kept, "{words}");
            assert!(!session.repeats(&buf, &words.as_bytes()[..words.len() - 1]));
            assert_eq!(session.kept.words, 0, "another question came between");
        }
    }

    /// The same of the lines that answer it, as long as they are those of the file, and there is room.
    #[test]
    fn equal_lines_are_not_written_again() {
        let words = br#"{"type":"get","fileName":"a","digest":"crc32"}"#;
        let info = |size, version| FileInfo { size, version: Version::new(version).expect("good"), modified: None };
        let config = ServerConfig::new();
        for (buf_len, has_room) in [(4096, true), (512, false)] {
            let mut buf = vec![0; buf_len];
            let mut session = Session::new(&config, buf.len(), Instant::from_millis(0));
            let (mut headers, mut ends) = (vec![], vec![]);
            for (info, is_known, crc32) in [
                (info(1, "v1"), false, 1),
                (info(1, "v1"), true, 1),
                (info(1, "v1"), true, 1),
                (info(2, "v1"), false, 1),
                (info(2, "v2"), false, 1),
                (info(2, "v2"), true, 1),
                // Other contents in the same state.
                (info(2, "v2"), true, 2),
            ] {
                let digest = Digest::Crc32(crc32);
                let is_same = is_known && session.kept.digest.is_none_or(|kept| kept == digest);
                let before = session.kept.header + usize::try_from(session.body_len()).expect("short");
                let all = before + session.kept.end;
                let is_answered = session.kept.end > 0;
                for stands in [0, all.saturating_sub(1), all, all + 1] {
                    let expected = (is_answered && stands == all).then_some(words.len());
                    assert_eq!(asks_again(&mut session, &buf, words, stands), expected, "{stands} of {all}");
                    for (ending, ending_len) in [("\n", 1), ("\r\n", 2), ("\n\n", 1), ("\r", 0), (" \n", 0), ("{", 0)] {
                        let line = [words.as_slice(), ending.as_bytes()].concat();
                        let expected = expected.map(|len| len + ending_len);
                        assert_eq!(asks_again(&mut session, &buf, &line, stands), expected, "{ending:?}");
                    }
                    assert_eq!(asks_again(&mut session, &buf, &words[1..], stands), None);
                    assert_eq!(asks_again(&mut session, &buf, &words[..words.len() - 1], stands), None);
                }
                assert_eq!(session.receive(&mut buf, words), words.len());
                assert_eq!(asks_again(&mut session, &buf, words, all), None, "it is being answered");
                // What was kept is spoiled, so that it is known when it is used.
                let places = [(session.kept.header, session.kept.before_end()), (session.kept.end, session.kept.len())];
                for (_, behind) in places.into_iter().filter(|(len, _)| *len > 0) {
                    buf[buf_len - behind] = b' ';
                }
                session.reply(&mut buf, Reply::File { info: &info, known: None });
                let Action::SendBytes { bytes, more: true } = session.action(&buf) else { panic!("no header") };
                assert_eq!(bytes[0], if is_known && has_room { b' ' } else { b'{' });
                assert_eq!(session.kept.header, if has_room { bytes.len() } else { 0 });
                headers.push(bytes[1..].to_vec());
                // The header, the body, the digest and the end.
                for _ in 0..4 {
                    match session.action(&buf) {
                        Action::SendBytes { bytes, more } => {
                            if !more {
                                assert_eq!(bytes[0], if is_known && has_room && is_same { b' ' } else { b'{' });
                                assert_eq!(session.kept.end, if has_room { bytes.len() } else { 0 });
                                ends.push(bytes[1..].to_vec());
                            }
                            let len = bytes.len();
                            session.sent(&mut buf, len);
                        }
                        Action::SendFile { len, .. } => session.sent(&mut buf, len),
                        _ => session.finished(&mut buf, Finished { digest: Some(digest), same_version: true }),
                    }
                }
                assert_eq!(session.action(&buf), Action::Receive);
            }
            assert!(headers[0] == headers[1] && headers[1] == headers[2] && headers[4] == headers[6]);
            assert!(headers[2] != headers[3] && headers[3] != headers[4]);
            assert!(ends[0] == ends[1] && ends[4] == ends[5] && ends[5] != ends[6]);
        }
    }
}
