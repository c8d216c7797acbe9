//! A question that is asked again is answered as if it were asked for the first time, whatever came before and between.

mod common;

use common::Rig;
use coracle_core::{
    Action, FileInfo, Finished, Instant, Reply, ServerConfig, ServerSession, StaticFile, StaticStore, Version,
};

static FILES: [StaticFile<'static>; 2] =
    [StaticFile::new("a.txt", "v1", b"hello, world"), StaticFile::new("dir/\"q\"", "v\"2\\", b"0123456789")];

/// What a client can say: questions that may be kept, ones that may not, and what is none.
const SAID: [&str; 17] = [
    r#"{"type":"get","fileName":"a.txt"}"#,
    r#"{"type":"get","fileName":"a.txt","offset":7,"length":3,"digest":"none"}"#,
    r#"{"type":"get","fileName":"a.txt","offset":13}"#,
    r#"{"type":"get","fileName":"dir/\"q\"","digest":"none"}"#,
    r#"{"type":"get","fileName":"a.txt","version":"v1","digest":"none"}"#,
    r#"{"type":"get","fileName":"a.txt","version":"v2"}"#,
    r#"{"type":"get","fileName":"missing"}"#,
    r#"{"type":"get","fileName":""}"#,
    r#"{"type":"get"}"#,
    r#"{"type":"get","fileName":"a.txt","ignored":"--------------------------------------------------------------------------"}"#,
    r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#,
    r#"{"type":"stat","fileName":"a.txt"}"#,
    r#"{"type":"list"}"#,
    r#"{"type":"hello"}"#,
    r#"{"type":2,"fileName":"a.txt"}"#,
    "a.txt",
    "\r\n",
];

/// The answers where the buffer has room for what is kept, and where it has room for a part of that.
fn answers(said: &[&str], piece: usize, out: usize) -> [String; 2] {
    [4096, 512].map(|buf_len| answers_from(buf_len, said, piece, out))
}

fn answers_from(buf_len: usize, said: &[&str], piece: usize, out: usize) -> String {
    let config = ServerConfig::new();
    #[cfg(feature = "classic")]
    let config = config.text(coracle_core::TextPolicy::Echo);
    let mut rig = Rig::with_buf(&config, StaticStore::new(&FILES), buf_len);
    rig.piece = out;
    for words in said {
        rig.send(words.as_bytes(), piece);
    }
    rig.take_text()
}

#[test]
fn is_answered_as_before() {
    for first in SAID {
        for second in SAID {
            for third in [SAID[1], SAID[5], SAID[12], SAID[14]] {
                let said = [first, second, first, first, third, first];
                let expected = answers(&said, 1, usize::MAX);
                assert_eq!(answers(&said, usize::MAX, usize::MAX), expected, "{said:?}");
            }
        }
    }
}

/// In one piece, in pieces that part the questions, and the answers in pieces.
#[test]
fn however_it_arrives_and_leaves() {
    for words in SAID {
        let said = [words; 4].concat();
        let expected = answers(&[&said], 1, usize::MAX);
        for piece in [usize::MAX, words.len(), words.len() + 1, words.len().saturating_sub(1), 7] {
            for out in [usize::MAX, 5] {
                assert_eq!(answers(&[&said], piece, out), expected, "{words} in pieces of {piece}");
            }
        }
    }
}

/// A question that differs in one byte only, each byte in turn, is another question.
#[test]
fn one_byte_makes_another_question() {
    let words = SAID[1];
    for place in 0..words.len() {
        let mut other = words.as_bytes().to_vec();
        other[place] = if other[place] == b'n' { b'm' } else { b'n' };
        let other = String::from_utf8(other).expect("ASCII");
        let said = [words, &other, words];
        assert_eq!(answers(&said, usize::MAX, usize::MAX), answers(&said, 1, usize::MAX), "{other}");
    }
}

/// A file that has changed between two questions has another header, whatever of it has changed.
#[test]
fn another_state_of_the_file_has_another_header() {
    let config = ServerConfig::new();
    let states = [
        (5, "v1", None),
        (5, "v1", Some(1)),
        (5, "v1", Some(2)),
        (6, "v1", Some(2)),
        (6, "v2", Some(2)),
        (6, "v20", Some(2)),
        (6, "v2", None),
        (0, "v2", None),
    ];
    for first in states {
        let mut kept = ServerSession::new(&config, vec![0; 4096], NOW);
        for then in states {
            for state in [first, first, then, then] {
                let mut fresh = ServerSession::new(&config, vec![0; 4096], NOW);
                assert_eq!(exchange(&mut kept, state), exchange(&mut fresh, state), "{first:?}, {then:?}");
            }
        }
    }
}

const NOW: Instant = Instant::from_millis(0);

/// The lines that answer one and the same question about a file of this size, version and time.
fn exchange(session: &mut ServerSession<'_, Vec<u8>>, (size, version, modified): (u64, &str, Option<u64>)) -> String {
    let words = br#"{"type":"get","fileName":"a","digest":"none"}"#;
    assert_eq!(session.receive(words, NOW), words.len());
    let info = FileInfo { size, version: Version::new(version).expect("a version"), modified };
    let mut lines = Vec::new();
    loop {
        match session.action() {
            Action::Reply(_) => session.reply(Reply::File { info: &info, known: None }, NOW),
            Action::SendBytes { bytes, .. } => {
                lines.extend_from_slice(bytes);
                let len = bytes.len();
                session.sent(len, NOW);
            }
            Action::SendFile { len, .. } => session.sent(len, NOW),
            Action::Finish { .. } => session.finished(Finished { digest: None, same_version: true }, NOW),
            Action::Receive => return String::from_utf8(lines).expect("UTF-8"),
            other => panic!("{other:?}"),
        }
    }
}
