//! A question that is asked again, in the same words: it was read before, and what was read is still there.
//!
//! Who follows a small file over a connection that it keeps asks just that. Where there is memory for it, its request
//! stands at the end of the buffer until another one comes, and a copy of it is taken without scanning and parsing, which
//! is a third of what such an exchange costs a host apart from the system calls. A board has no flash to spare for a
//! second way to the same end.

use super::{LineEnding, Session, State};
use crate::request::Kind;
use crate::server::Exchange;

/// A longer request leaves too little of the buffer for the answer.
const LARGEST_SHARE: usize = 4;

impl Session<'_> {
    /// Keeps the words of the request that is complete in the buffer, and returns their length; 0 where they are too long.
    pub(super) fn keep_words(&mut self, buf: &mut [u8]) -> usize {
        let start = buf.len().saturating_sub(self.used);
        if self.used > buf.len() / LARGEST_SHARE {
            return 0;
        }
        let (front, kept) = buf.split_at_mut_checked(start).unwrap_or_default();
        kept.copy_from_slice(front.get(..kept.len()).unwrap_or_default());
        kept.len()
    }

    /// The request of `len` kept bytes was read, and nothing was wrong with it: an equal one may follow. Its version would be
    /// lost to the one of the file.
    pub(super) fn may_be_repeated(&mut self, len: usize) {
        let question = &self.facts.question;
        if matches!(question.kind, Kind::Get | Kind::Stat) && !question.is_versioned {
            self.kept_len = len;
        }
    }

    /// Whether `bytes` begin with just what was asked before: then that is asked once more. Otherwise what was kept is given
    /// up.
    pub(super) fn repeats(&mut self, buf: &[u8], bytes: &[u8]) -> bool {
        let kept = buf.get(buf.len().saturating_sub(self.kept_len)..).unwrap_or_default();
        if kept.is_empty() || !bytes.starts_with(kept) {
            self.kept_len = 0;
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
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use crate::server::session::{Session, State};
    use crate::time::Instant;
    use crate::{FileName, ServerConfig};

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
            assert_eq!(session.kept_len, if is_kept { words.len() } else { 0 }, "{words}");
            if is_kept {
                // What was read stands at the front: another name there shows who looks at it, and who reads it anew.
                assert_eq!(buf[0], b'a');
                (buf[0], session.state) = (b'b', State::Receiving);
                assert_eq!(session.receive(&mut buf, words.as_bytes()), words.len());
                assert_eq!(session.request(&buf).and_then(|request| request.name()), Some(FileName::from_static("b")));
            }
            assert_eq!(session.repeats(&buf, words.as_bytes()), is_kept, "{words}");
            assert!(!session.repeats(&buf, &words.as_bytes()[..words.len() - 1]));
            assert_eq!(session.kept_len, 0, "another question came between");
        }
    }
}
