//! Hostile names and ranges, and files that change. Names begin with the number in tests/FAULTS.md.

mod common;

use std::num::NonZeroU32;

use common::Rig;
use coracle_core::{
    Action, CloseHow, CloseReason, FileInfo, FileName, Instant, Listed, ServerConfig, ServerSession, StaticFile, Store,
    StoreError, Version,
};
use serde_json::Value;

static FILES: [StaticFile<'static>; 2] =
    [StaticFile::new("a.txt", "v1", b"hello, world"), StaticFile::new("empty", "v1", b"")];

/// The codes of the responses to a `stat`, a `get` and a `list` of the name in this JSON text.
fn codes(name: &str) -> [String; 3] {
    [("stat", "fileName"), ("get", "fileName"), ("list", "path")].map(|(kind, member)| {
        let config = ServerConfig::new();
        let mut session = ServerSession::new(&config, vec![0; 512], Instant::default());
        let request = format!(r#"{{"type":"{kind}","{member}":{name}}}"#);
        assert_eq!(session.receive(request.as_bytes(), Instant::default()).0, request.len());
        match session.action() {
            Action::Reply(_) => "asked the store".to_owned(),
            Action::SendBytes { bytes, .. } => {
                let line: Value = serde_json::from_slice(bytes).expect("a short line");
                line["code"].as_str().expect("an error").to_owned()
            }
            action => panic!("{action:?}"),
        }
    })
}

/// The name never reaches the store.
fn assert_bad_name(name: &str) {
    assert_eq!(codes(name), ["badName"; 3], "{name}");
}

/// The response to a `get` of `a.txt` with these members: the code, or the header's offset and length with the body.
fn get(members: &str) -> Result<(u64, u64, Vec<u8>), String> {
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(format!(r#"{{"type":"get","fileName":"a.txt",{members}}}"#).as_bytes(), usize::MAX);
    let header = rig.output.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    let rest = rig.output.split_off(header);
    let header: Value = serde_json::from_slice(&rig.output).expect("JSON");
    if let Some(code) = header["code"].as_str() {
        return Err(code.to_owned());
    }
    let number = |member: &str| header[member].as_u64().expect("a number");
    let (offset, length) = (number("offset"), number("length"));
    let body = rest[..usize::try_from(length).expect("short")].to_vec();
    assert!(rest[body.len()..].starts_with(b"{\"type\":\"end\""), "{}", rest.escape_ascii());
    assert_eq!((number("readCnt"), number("lastSize")), if length == 0 { (0, 0) } else { (1, length) });
    Ok((offset, length, body))
}

#[test]
fn p1_dot_components_are_refused() {
    for name in
        ["../a.txt", "a/../../x", "a/..", ".", "..", "./a.txt", "a/./b", "a/.", "a/../a.txt", "../../etc/passwd"]
    {
        assert_bad_name(&format!("\"{name}\""));
    }
    assert_eq!(codes("\"...\""), ["asked the store"; 3]);
}

#[test]
fn p3_slashes_that_join_nothing_are_refused() {
    for name in ["/etc/passwd", "//x", "a.txt/", "a//b", "/", "//"] {
        assert_bad_name(&format!("\"{name}\""));
    }
    // For a listing the empty path is the root.
    assert_eq!(codes("\"\""), ["badName", "badName", "asked the store"]);
}

#[test]
fn p4_a_backslash_is_refused() {
    for name in [r"..\\x", r"a\\b", r"\\", r"\\a.txt", r"a\\", r"\u005c"] {
        assert_bad_name(&format!("\"{name}\""));
    }
}

#[test]
fn p5_drives_and_streams() {
    for name in [r"C:\\x", r"\\\\host\\share", r"\\\\?\\C:\\x", r"f:\\foo"] {
        assert_bad_name(&format!("\"{name}\""));
    }
    // A colon is for the store to judge.
    for name in ["C:x", "f:foo", "a.txt::$DATA"] {
        assert_eq!(codes(&format!("\"{name}\"")), ["asked the store"; 3], "{name}");
    }
}

#[test]
fn p8_a_nul_is_refused_before_the_store_is_asked() {
    for name in [r"a.txt\u0000", r"\u0000", r"a\u0000.txt", r"a.txt\u0000/../b"] {
        assert_bad_name(&format!("\"{name}\""));
    }
}

#[test]
fn r1_from_the_very_end_there_is_nothing() {
    assert_eq!(get(r#""offset":12"#), Ok((12, 0, vec![])));
    assert_eq!(get(r#""offset":12,"length":5,"digestFrom":0"#), Ok((12, 0, vec![])));
}

#[test]
fn r2_behind_the_end_is_no_range() {
    for offset in ["13", "18446744073709551615"] {
        assert_eq!(get(&format!(r#""offset":{offset}"#)), Err("badRange".to_owned()));
        assert_eq!(get(&format!(r#""offset":{offset},"length":0"#)), Err("badRange".to_owned()));
    }
    assert_eq!(get(r#""offset":3,"digestFrom":4"#), Err("badRange".to_owned()));
}

#[test]
fn r3_offset_and_length_do_not_wrap() {
    for length in [u64::MAX, u64::MAX - 6, u64::MAX - 7, u64::MAX - 8] {
        assert_eq!(get(&format!(r#""offset":7,"length":{length}"#)), Ok((7, 5, b"world".to_vec())));
    }
}

#[test]
fn r4_a_length_of_nothing_is_an_empty_body() {
    for offset in [0, 7, 12] {
        assert_eq!(get(&format!(r#""offset":{offset},"length":0"#)), Ok((offset, 0, vec![])));
    }
}

#[test]
fn r5_a_length_past_the_end_is_cut() {
    assert_eq!(get(r#""length":13"#), Ok((0, 12, b"hello, world".to_vec())));
    assert_eq!(get(r#""offset":7,"length":6"#), Ok((7, 5, b"world".to_vec())));
    assert_eq!(get(r#""offset":7,"length":4"#), Ok((7, 4, b"worl".to_vec())));
}

#[test]
fn r7_an_empty_file_has_no_chunks() {
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(br#"{"type":"get","fileName":"empty"}{"type":"stat","fileName":"empty","digest":"crc32"}"#, usize::MAX);
    let answer = rig.take_text();
    let lines: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for header in [&lines[0], &lines[2]] {
        for member in ["fileSize", "offset", "length", "readCnt", "lastSize"] {
            assert_eq!(header[member], 0, "{answer}");
        }
    }
    // The CRC of nothing.
    assert_eq!((&lines[1]["crc32"], &lines[2]["crc32"]), (&"00000000".into(), &"00000000".into()));
    assert_eq!(lines.len(), 3);
}

#[test]
fn r9_chunks_have_a_size() {
    let bytes = |bytes| NonZeroU32::new(bytes).expect("0 is no such number");
    for (size, counted) in [(1, (12, 1)), (12, (1, 12)), (u32::MAX, (1, 12))] {
        for send_max in [1, 5, u32::MAX] {
            let config = ServerConfig::new().with_chunk_size(bytes(size)).with_send_max(bytes(send_max));
            let mut rig = Rig::with_files(&config, &FILES);
            rig.send(br#"{"type":"get","fileName":"a.txt","digest":"none"}"#, usize::MAX);
            let answer = rig.take_text();
            let (header, body) = answer.split_once('\n').expect("a header");
            let header: Value = serde_json::from_str(header).expect("JSON");
            let number = |member: &str| header[member].as_u64();
            assert_eq!((number("readCnt"), number("lastSize")), (Some(counted.0), Some(counted.1)), "{size}");
            assert_eq!(body, "hello, world{\"type\":\"end\"}\n");
        }
    }
}

/// A file of 12 bytes that is shorter, or longer, when it is read.
struct Other {
    told: u64,
    bytes: &'static [u8],
    is_failing: bool,
}

impl Store for Other {
    type File = ();
    type Listing = ();

    fn open(&mut self, _: FileName<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn info(&mut self, (): &()) -> Result<FileInfo, StoreError> {
        let version = Version::new("v1").map_err(|_| StoreError::Io)?;
        Ok(FileInfo::new(self.told, version))
    }

    fn read(&mut self, (): &mut (), offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..)).unwrap_or_default();
        if rest.is_empty() && self.is_failing {
            return Err(StoreError::Io);
        }
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Err(StoreError::NotDirectory)
    }

    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        Err(StoreError::Io)
    }
}

/// The body of a `get` of the whole file, and what follows it.
fn body_of(store: Other) -> (String, String, Option<(CloseHow, CloseReason)>) {
    let config = ServerConfig::new();
    let mut rig = Rig::new(&config, store);
    rig.piece = 3;
    rig.send(br#"{"type":"get","fileName":"f","digest":"none"}"#, usize::MAX);
    let answer = rig.take_text();
    let (header, rest) = answer.split_once('\n').expect("a header");
    let header: Value = serde_json::from_str(header).expect("JSON");
    let length = header["length"].as_u64().and_then(|length| usize::try_from(length).ok()).expect("short");
    let (body, rest) = rest.split_at(length.min(rest.len()));
    (body.to_owned(), rest.to_owned(), rig.close().map(|close| (close.how, close.why)))
}

#[test]
fn r10_a_short_body_is_never_filled_up() {
    for is_failing in [false, true] {
        let (body, rest, close) = body_of(Other { told: 12, bytes: b"hello", is_failing });
        assert_eq!((body.as_str(), rest.as_str()), ("hello", ""));
        assert_eq!(close, Some((CloseHow::Abort, CloseReason::Broken)));
    }
}

#[test]
fn s1_a_file_that_shrank_breaks_the_connection_off() {
    let (body, rest, close) = body_of(Other { told: 12, bytes: b"hello", is_failing: false });
    assert_eq!((body + &rest).len(), 5, "nothing follows a short body");
    assert_eq!(close, Some((CloseHow::Abort, CloseReason::Broken)));
}

#[test]
fn s2_of_a_file_that_grew_as_much_is_sent_as_was_announced() {
    let (body, rest, close) = body_of(Other { told: 5, bytes: b"hello, world", is_failing: false });
    assert_eq!((body.as_str(), rest.as_str(), close), ("hello", "{\"type\":\"end\"}\n", None));
}

/// No byte is sent that could be appended to those of another version, even where the offset fits.
#[test]
fn s6_a_resume_of_another_version_gets_no_byte() {
    for version in ["v0", "v", "v11", "V1"] {
        let members = format!(r#""offset":7,"digestFrom":0,"version":"{version}""#);
        assert_eq!(get(&members), Err("changed".to_owned()), "{version}");
    }
    assert_eq!(get(r#""offset":7,"digestFrom":0,"version":"v1""#), Ok((7, 5, b"world".to_vec())));
}

#[test]
fn s10_a_resume_behind_the_end_says_why() {
    assert_eq!(get(r#""offset":99,"version":"v0""#), Err("changed".to_owned()));
    assert_eq!(get(r#""offset":99,"version":"v1""#), Err("badRange".to_owned()));
    assert_eq!(get(r#""offset":99"#), Err("badRange".to_owned()));
}

#[test]
fn s7_no_error_line_is_sent_inside_a_body() {
    let (body, rest, close) = body_of(Other { told: 12, bytes: b"hello", is_failing: true });
    assert_eq!((body + &rest).as_str(), "hello");
    assert_eq!(close, Some((CloseHow::Abort, CloseReason::Broken)));
    // Before the header an error is possible.
    let config = ServerConfig::new();
    let mut rig = Rig::new(&config, Other { told: 12, bytes: b"hello", is_failing: true });
    rig.send(br#"{"type":"get","fileName":"f","offset":9,"digestFrom":0}{"type":"stat","fileName":"f"}"#, usize::MAX);
    let answer = rig.take_text();
    assert!(
        answer.starts_with(r#"{"type":"error","code":"io""#) && answer.contains("\n{\"type\":\"file\""),
        "{answer}"
    );
}
