//! Properties of the server's session for any input: responses do not depend on how it is split, and are JSON lines.

mod common;

use common::Rig;
use coracle_core::{
    Entry, EntryKind, FileInfo, FileName, Listed, ServerConfig, StaticFile, StaticStore, Store, StoreError, Version,
};
use proptest::prelude::*;
use serde_json::Value;

static FILES: [StaticFile<'static>; 3] = [
    StaticFile::new("a.txt", "v1", b"hello, world"),
    StaticFile::new("d/\"e\" \u{1f600}", "v1", &[b'x'; 2049]),
    StaticFile::new("empty", "v1", b""),
];

/// Requests: valid, almost valid, and invalid ones.
fn request() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a.txt",
        "d/\\\"e\\\" \\ud83d\\ude00",
        "empty",
        "d",
        "..",
        "no",
        "\\ud800",
        "a\\u0000",
    ]);
    let digest = prop::sample::select(vec!["crc32", "none", "n\\u006fne", "md5"]);
    prop_oneof![
        Just(r#"{"type":"hello"}"#.to_string()),
        prop::sample::select(vec!["", "d", "a.txt", "x"]).prop_map(|path| format!(r#"{{"path":"{path}","type":"list"}}"#)),
        (name.clone(), digest.clone()).prop_map(|(name, digest)| format!(r#"{{"type":"stat","fileName":"{name}","digest":"{digest}"}}"#)),
        (name, digest, 0..3000_u32, any::<u64>(), 0..3_u32).prop_map(|(name, digest, offset, length, from)| {
            format!(
                " {{\"type\":\"get\",\"x\":[{{}},1e5,null],\"fileName\":\"{name}\",\"digest\":\"{digest}\",\"offset\":{offset},\
                 \"length\":{length},\"digestFrom\":{from}}}\r\n"
            )
        }),
        "[ -~]{0,20}",
    ]
}

/// Bytes that are often a few requests, now and then with one byte changed.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![3 => Just(None), 1 => any::<(prop::sample::Index, u8)>().prop_map(Some)];
    (prop::collection::vec(request(), 1..5), change).prop_map(|(requests, change)| {
        let mut bytes = requests.concat().into_bytes();
        if let (Some((index, byte)), false) = (change, bytes.is_empty()) {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes
    })
}

/// Everything that the session sends, and whether it has closed.
fn answers(config: &ServerConfig<'_>, pieces: &[&[u8]], out: usize) -> (Vec<u8>, bool) {
    let mut rig = Rig::with_files(config, &FILES);
    rig.piece = out;
    for piece in pieces {
        rig.send(piece, usize::MAX);
    }
    (rig.output.clone(), rig.close().is_some())
}

fn cut<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|place| &bytes[place[0]..place[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_gets_the_same_answers(input in input(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), out in 1..40_usize) {
        let config = ServerConfig::new();
        let whole = answers(&config, &[&input], usize::MAX);
        prop_assert_eq!(&whole, &answers(&config, &cut(&input, &cuts), out));
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&whole, &answers(&config, &bytes, 1));
    }

    #[cfg(feature = "classic")]
    #[test]
    fn any_split_gets_the_same_echo(input in input(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), out in 1..40_usize) {
        let config = ServerConfig::new().with_text_policy(coracle_core::TextPolicy::Echo);
        let whole = answers(&config, &[&input], usize::MAX);
        prop_assert_eq!(&whole, &answers(&config, &cut(&input, &cuts), out));
    }

    /// A client's reader finds only JSON lines of at most 1,024 bytes and announced bodies.
    #[test]
    fn the_output_is_json_lines_and_announced_bodies(input in input()) {
        let config = ServerConfig::new();
        let (output, _) = answers(&config, &[&input], usize::MAX);
        let mut rest = output.as_slice();
        while !rest.is_empty() {
            if rest.starts_with(b"{\"type\":1,") || rest.starts_with(b"{\"type\":2,") {
                break;
            }
            let end = rest.iter().position(|byte| *byte == b'\n').expect("a line's end");
            let (line, behind) = rest.split_at(end + 1);
            let is_a_line = line.len() <= 1024 && line.ends_with(b"}\n");
            prop_assert!(is_a_line);
            let line: Value = serde_json::from_slice(line).expect("JSON");
            rest = behind;
            if line["type"] == "file" && line.get("crc32").is_none() && line["digest"] != "md5" && is_get(&line, rest) {
                let length = usize::try_from(line["length"].as_u64().expect("a length")).expect("short");
                rest = &rest[length..];
            }
        }
    }

    /// Another parser reads the values that the store returned.
    #[test]
    fn names_and_versions_survive(name in "\\PC{1,60}", version in "[!-~]{1,64}", size in any::<u64>(), modified in any::<Option<u64>>()) {
        prop_assume!(FileName::new(&name).is_ok());
        let store = Told { name: name.clone(), version: version.clone(), size, modified };
        let config = ServerConfig::new();
        let mut rig = Rig::new(&config, store);
        rig.piece = 3;
        let request = serde_json::json!({"type": "stat", "fileName": &name});
        rig.send(request.to_string().as_bytes(), 5);
        let header: Value = serde_json::from_str(&rig.take_text()).expect("JSON");
        prop_assert_eq!(header["fileName"].as_str(), Some(name.as_str()));
        prop_assert_eq!(header["version"].as_str(), Some(version.as_str()));
        prop_assert_eq!(header["fileSize"].as_u64(), Some(size));
        prop_assert_eq!(header["modified"].as_u64(), modified);
        let (count, last) = (header["readCnt"].as_u64().expect("a count"), header["lastSize"].as_u64().expect("a size"));
        prop_assert_eq!(count.saturating_sub(1).saturating_mul(1024).saturating_add(last), size);
        rig.send(br#"{"type":"list"}"#, 1);
        let text = rig.take_text();
        let entry: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        prop_assert_eq!(entry["fileName"].as_str(), Some(name.as_str()));
        prop_assert_eq!(entry["fileSize"].as_u64(), Some(size));
    }
}

/// Whether a response is to a `get`: without a digest the header of a `stat` looks the same, but no `end` follows it.
fn is_get(header: &Value, rest: &[u8]) -> bool {
    let length = header["length"].as_u64().and_then(|length| usize::try_from(length).ok()).expect("short");
    rest.get(length..).is_some_and(|behind| behind.starts_with(b"{\"type\":\"end\""))
}

/// A store of one file with given values.
struct Told {
    name: String,
    version: String,
    size: u64,
    modified: Option<u64>,
}

impl Store for Told {
    type File = ();
    type Listing = bool;

    fn open(&mut self, name: FileName<'_>) -> Result<(), StoreError> {
        if name.as_str() == self.name { Ok(()) } else { Err(StoreError::NotFound) }
    }

    fn info(&mut self, (): &()) -> Result<FileInfo, StoreError> {
        let version = Version::new(&self.version).map_err(|_| StoreError::Io)?;
        Ok(FileInfo::new(self.size, version).with_modified(self.modified))
    }

    fn read(&mut self, (): &mut (), _: u64, _: &mut [u8]) -> Result<usize, StoreError> {
        Err(StoreError::Io)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn next<'a>(&mut self, is_over: &'a mut bool) -> Result<Listed<'a>, StoreError> {
        if std::mem::replace(is_over, true) {
            return Ok(Listed::End);
        }
        // The listing borrows its names, so the test leaks a few hundred.
        let name = FileName::new(Box::leak(self.name.clone().into_boxed_str())).map_err(|_| StoreError::Io)?;
        Ok(Listed::Entry(Entry::new(name, EntryKind::File { size: self.size, modified: self.modified })))
    }
}

/// Escapes and characters of several bytes at every distance from the end of the session's buffer.
#[test]
fn long_names_come_out_whole_however_they_meet_the_buffer_s_end() {
    let config = ServerConfig::new();
    let version = "\\".repeat(64);
    for (unit, behind) in [("\"", "x"), ("\u{e9}", "x"), ("\u{1F6F6}", "x"), ("x", "\"")] {
        for (len, tail) in (1..=255 / unit.len()).flat_map(|len| [(len, ""), (len, behind)]) {
            let name = unit.repeat(len) + tail;
            if name.len() > FileName::MAX_LEN {
                continue;
            }
            let store = Told { name: name.clone(), version: version.clone(), size: u64::MAX, modified: Some(u64::MAX) };
            let mut rig = Rig::new(&config, store);
            rig.send(br#"{"type":"list"}"#, usize::MAX);
            let text = rig.take_text();
            let entry: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
            assert_eq!(entry["fileName"].as_str(), Some(name.as_str()));
            let request = serde_json::json!({"type": "stat", "fileName": &name}).to_string();
            if request.len() <= 512 {
                rig.send(request.as_bytes(), usize::MAX);
                let header: Value = serde_json::from_str(&rig.take_text()).expect("JSON");
                assert_eq!(header["fileName"].as_str(), Some(name.as_str()));
                assert_eq!(header["version"].as_str(), Some(version.as_str()));
            }
        }
    }
}

/// A message repeats at most 64 bytes of a name, and splits no character.
#[test]
fn a_message_repeats_the_beginning_of_a_name() {
    let config = ServerConfig::new();
    for (name, repeated) in [
        ("x".repeat(64), 64),
        ("x".repeat(65), 64),
        ("x".repeat(62) + "\u{e9}\u{e9}", 64),
        ("x".repeat(63) + "\u{e9}y", 63),
        ("x".repeat(62) + "\u{20ac}y", 62),
        ("x".repeat(61) + "\u{1F6F6}y", 61),
        ("x".repeat(60) + "\u{1F6F6}y", 64),
    ] {
        let mut rig = Rig::with_files(&config, &FILES);
        rig.send(serde_json::json!({"type": "get", "fileName": &name}).to_string().as_bytes(), usize::MAX);
        let error: Value = serde_json::from_str(&rig.take_text()).expect("JSON");
        assert_eq!(error["message"].as_str(), Some(format!("not found: {}", &name[..repeated]).as_str()));
    }
}

#[test]
fn the_static_store_is_what_the_tests_think() {
    let mut store = StaticStore::new(&FILES);
    assert!(FILES.iter().all(|file| !file.bytes().starts_with(b"{")));
    assert!(store.open(FileName::from_static("d/\"e\" \u{1f600}")).is_ok());
}
