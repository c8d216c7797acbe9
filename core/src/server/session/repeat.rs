//! A question that is asked again, in the same words: it was read before, and what was read is still there.
//!
//! Who follows a small file over a connection that it keeps asks just that. Where there is memory for it, its request and
//! the header that answered it stand at the end of the buffer until another request comes. A copy of the request is taken
//! without scanning and parsing, and as long as the file has not changed the header is sent once more: that is half of what
//! such an exchange costs a host apart from the system calls. A board has no flash to spare for a second way to the same end.

use core::ops::Range;

use super::{LineEnding, Session, State};
use crate::reply::Line;
use crate::request::Kind;
use crate::server::Exchange;
use crate::store::FileInfo;

/// What is longer than this part of the buffer leaves too little of it for the answer.
const LARGEST_PART: usize = 4;

/// What stands at the end of the buffer, in bytes: the header, and behind it the words of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    header: usize,
    pub(super) words: usize,
}

impl Kept {
    pub(super) const NOTHING: Self = Self { header: 0, words: 0 };

    /// All bytes that are kept.
    pub(super) const fn len(self) -> usize {
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
            self.kept = Kept { header: 0, words };
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

    /// Keeps the header that was just made ready, if that is all of it.
    pub(super) fn keep_header(&mut self, buf: &mut [u8]) {
        if self.line.is_done() {
            self.kept.header = keep(buf, self.ready.clone(), self.kept.words);
        }
    }

    /// Gives up the header that is kept, unless it tells of the file as it is now. What else it tells is of the question.
    pub(super) fn drop_header_of_another(&mut self, info: &FileInfo) {
        let (facts, version) = (&self.facts, info.version.as_str().as_bytes());
        let same_version = facts.question.version.get(..facts.question.version_len) == Some(version);
        if !same_version || facts.size != info.size || facts.modified != info.modified {
            self.kept.header = 0;
        }
    }

    /// Makes the header that is kept in a buffer of `buf_len` bytes ready, if there is one.
    pub(super) fn repeats_header(&mut self, buf_len: usize) -> bool {
        if self.kept.header == 0 {
            return false;
        }
        let start = buf_len.saturating_sub(self.kept.len());
        self.ready = start..start.saturating_add(self.kept.header);
        self.line = Line::finished();
        self.since = self.now;
        self.state = State::Line;
        self.next = State::Body;
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
    use crate::{FileInfo, FileName, ServerConfig, Version};

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

    /// The same of the header, as long as it is that of the file, and there is room.
    #[test]
    fn an_equal_header_is_not_written_again() {
        let words = br#"{"type":"get","fileName":"a","digest":"none"}"#;
        let info = |size, version| FileInfo { size, version: Version::new(version).expect("good"), modified: None };
        let config = ServerConfig::new();
        for (buf_len, has_room) in [(4096, true), (512, false)] {
            let mut buf = vec![0; buf_len];
            let mut session = Session::new(&config, buf.len(), Instant::from_millis(0));
            let mut headers = vec![];
            for (info, is_known) in [
                (info(1, "v1"), false),
                (info(1, "v1"), true),
                (info(1, "v1"), true),
                (info(2, "v1"), false),
                (info(2, "v2"), false),
                (info(2, "v2"), true),
            ] {
                assert_eq!(session.receive(&mut buf, words), words.len());
                // What was kept is spoiled, so that it is known when it is used.
                let place = buf_len - session.kept.len();
                if session.kept.header > 0 {
                    buf[place] = b' ';
                }
                session.reply(&mut buf, Reply::File { info: &info, known: None });
                let Action::SendBytes { bytes, more: true } = session.action(&buf) else { panic!("no header") };
                assert_eq!(bytes[0], if is_known && has_room { b' ' } else { b'{' });
                assert_eq!(session.kept.header, if has_room { bytes.len() } else { 0 });
                headers.push(bytes[1..].to_vec());
                while session.action(&buf) != Action::Receive {
                    match session.action(&buf) {
                        Action::SendBytes { bytes, .. } => {
                            let len = bytes.len();
                            session.sent(&mut buf, len);
                        }
                        Action::SendFile { len, .. } => session.sent(&mut buf, len),
                        _ => session.finished(&mut buf, Finished { digest: None, same_version: true }),
                    }
                }
            }
            assert!(headers[0] == headers[1] && headers[1] == headers[2] && headers[4] == headers[5]);
            assert!(headers[2] != headers[3] && headers[3] != headers[4]);
        }
    }
}
