//! Servers that violate the protocol, and the violation that each is reported as.

mod asking;

use asking::{GET, NAME, answer, answered, digest, header};
use coracle_core::{
    ClientAction, ClientRequest, ClientSession, Code, DigestKind, Failure, FileName, GetRequest, Instant, ScanError,
    Version, Violation,
};

const FILE: &[u8] = b"hello, world";
const HELLO: &str = "{\"type\":\"hello\",\"protocol\":1,\"server\":\"s\",\"name\":\"n\",\"maxRequest\":512,\"chunkSize\":1024,\
                     \"idle_ms\":1,\"request_ms\":2,\"stall_ms\":3,\"features\":[\"get\"],\"digests\":[\"crc32\"]}\n";
const LISTING: &str = "{\"type\":\"entry\",\"fileName\":\"d/a\",\"fileSize\":5,\"modified\":7}\n{\"type\":\"entry\",\"fileName\":\"d/b\",\
                       \"directory\":true,\"link\":false}\n{\"type\":\"end\",\"count\":2,\"skipped\":1}\n";

/// The valid response `valid`, with `from` replaced by `to`, is the violation `violation`; unchanged it is none.
fn lie(ask: ClientRequest<'_>, valid: &str, from: &str, to: &str, violation: Violation) {
    let seen = answered(ask, b"hello, ", valid);
    assert_eq!(seen.last, None, "the valid answer is refused: {valid}");
    assert!(valid.contains(from), "{from} is not in {valid}");
    let seen = answered(ask, b"hello, ", valid.replacen(from, to, 1));
    assert_eq!(seen.failure(), Some(Failure::Violation(violation)), "{from} -> {to}");
    assert!(!seen.events.iter().any(|event| event.starts_with("verified") || event.starts_with("listed")));
}

fn lie_to_get(from: &str, to: &str, violation: Violation) {
    let valid = String::from_utf8(answer(FILE, 0)).expect("text");
    lie(GET, &valid, from, to, violation);
}

#[test]
fn m2_another_file_is_refused() {
    for name in ["b.txt", "a.txt/", "./a.txt", "A.TXT", "a.tx", "a.txt2", "", "..", "../../.ssh/authorized_keys"] {
        lie_to_get("a.txt", name, Violation::Name);
    }
    lie_to_get("a.txt", "a.\\ud800txt", Violation::Name);
    lie_to_get("\"a.txt\"", "null", Violation::Member);
    // The same name with other escapes is the same name.
    let valid = String::from_utf8(answer(FILE, 0)).expect("text");
    assert_eq!(answered(GET, b"", valid.replacen("a.txt", "\\u0061.t\\u0078t", 1)).last, None);
}

#[test]
fn m6_bytes_behind_the_body_are_refused() {
    lie_to_get("world{", "worlds{", Violation::LineStart);
    lie_to_get("world{", "world\n{", Violation::LineStart);
    lie_to_get("world{", "world{{", Violation::Json(ScanError::Syntax));
    lie_to_get("world{", "world{\"type\":\"x\"}{", Violation::LineEnd);
    lie_to_get("world{", "world{\"type\":\"x\"}\n{", Violation::Type);
    // A space is a heartbeat; it is not a part of the body.
    let valid = String::from_utf8(answer(FILE, 0)).expect("text");
    let seen = answered(GET, b"", valid.replacen("world{", "world   {", 1));
    assert_eq!((seen.body.as_slice(), seen.last), (FILE, None));
}

#[test]
fn m8_a_wrong_digest_verifies_nothing() {
    let valid = String::from_utf8(answer(FILE, 0)).expect("text");
    for lie in [valid.replace("ffab723a", "ffab723b"), valid.replace("hello, world", "hello, World")] {
        let seen = answered(GET, b"", lie);
        assert_eq!(seen.failure(), Some(Failure::Digest));
        assert!(!seen.events.iter().any(|event| event.starts_with("verified")));
    }
}

#[test]
fn m9_a_digest_is_there_and_exact() {
    for digest in ["FFAB723A", "ffab723", "0ffab723a", "ffab723a ", " ffab723", "0xffab72", "", "\\u0066fab723a"] {
        lie_to_get("\"ffab723a\"", &format!("{digest:?}").replace("\\\\", "\\"), Violation::Digest);
    }
    lie_to_get(",\"crc32\":\"ffab723a\"", "", Violation::Digest);
    let sha256 = "09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b";
    lie_to_get("\"crc32\":\"ffab723a\"", &format!("\"sha256\":\"{sha256}\""), Violation::Digest);
    lie_to_get("\"ffab723a\"", "null", Violation::Member);
    lie_to_get("\"ffab723a\"", "4289425978", Violation::Member);
    lie_to_get("\"crc32\":\"ffab723a\"", "\"crc32\":\"ffab723a\",\"crc32\":\"ffab723a\"", Violation::Member);
    for kind in ["\"sha256\"", "\"none\"", "\"CRC32\"", "\"crc32 \""] {
        lie_to_get("\"crc32\"}", &format!("{kind}}}"), Violation::DigestKind);
    }
    lie_to_get(",\"digest\":\"crc32\"}", "}", Violation::DigestKind);
    lie_to_get(",\"digest\":\"crc32\"}", ",\"digest\":null}", Violation::Member);

    let stat = header(FILE, 0).replace("\"crc32\"}", "\"crc32\",\"crc32\":\"ffab723a\"}");
    let ask = ClientRequest::Stat { name: NAME, digest: Some(DigestKind::Crc32) };
    lie(ask, &stat, ",\"crc32\":\"ffab723a\"", "", Violation::Digest);
    lie(ask, &stat, "ffab723a", "FFAB723A", Violation::Digest);
    lie(ask, &stat, "\"digest\":\"crc32\"", "\"digest\":\"sha256\"", Violation::DigestKind);
    let none = header(FILE, 0).replace("\"crc32\"", "\"none\"");
    lie(ClientRequest::Stat { name: NAME, digest: None }, &none, "\"none\"", "\"crc32\"", Violation::DigestKind);

    // The digest in a `changed` error has to be well formed, too.
    let line = "{\"type\":\"error\",\"code\":\"changed\",\"crc32\":\"ffab723a\"}\n";
    let changed = format!("{}hello, world{line}", header(FILE, 0));
    lie(GET, &changed, "ffab723a", "FFAB723A", Violation::Digest);
    lie(GET, &changed, "\"ffab723a\"", "7", Violation::Member);
}

#[test]
fn m10_a_line_is_bounded() {
    let padded = |len: usize| {
        let line = header(FILE, 0);
        let padding = "x".repeat(len - line.len() - r#","p":"""#.len());
        let line = line.replace("}\n", &format!(",\"p\":\"{padding}\"}}\n"));
        assert_eq!(line.len(), len);
        line
    };
    let seen = answered(GET, b"", padded(1_024));
    assert_eq!((seen.events.len(), seen.failure()), (1, None));
    for len in [1_025, 1_026, 2_000, 100_000] {
        let seen = answered(GET, b"", padded(len));
        assert_eq!((seen.events.len(), seen.failure()), (0, Some(Failure::Violation(Violation::LineTooLong))), "{len}");
    }
    // A line without an end: it stops at the limit.
    for endless in ["{\"type\":\"", "{\"a\":[", "{                "] {
        let seen = answered(GET, b"", format!("{endless}{}", " ".repeat(10_000)));
        assert_eq!(seen.failure(), Some(Failure::Violation(Violation::LineTooLong)));
    }
    let nested = |depth: usize| {
        let value = "[".repeat(depth) + &"]".repeat(depth);
        header(FILE, 0).replace("}\n", &format!(",\"p\":{value}}}\n"))
    };
    assert_eq!(answered(GET, b"", nested(7)).failure(), None);
    assert_eq!(answered(GET, b"", nested(8)).failure(), Some(Failure::Violation(Violation::Json(ScanError::Depth))));
}

#[test]
fn m11_another_offset_is_refused() {
    let version = Version::new("v1").expect("a version");
    let get = GetRequest::new(NAME).with_offset(7).with_version(Some(&version)).with_digest_from(Some(0));
    let valid = String::from_utf8(answer(FILE, 7)).expect("text");
    for offset in [0, 6, 8, 12, u64::MAX] {
        let to = format!("\"offset\":{offset}");
        lie(ClientRequest::Get(get), &valid, "\"offset\":7", &to, Violation::Offset);
    }
    lie(ClientRequest::Get(get), &valid, "\"v1\"", "\"v2\"", Violation::OtherVersion);
    lie(ClientRequest::Get(get), &valid, "\"fileSize\":12", "\"fileSize\":6", Violation::Offset);
    lie(
        ClientRequest::Stat { name: NAME, digest: None },
        &header(FILE, 0).replace("crc32", "none"),
        "\"offset\":0",
        "\"offset\":1",
        Violation::Offset,
    );
}

#[test]
fn the_length_is_what_was_asked_for() {
    for length in [0, 11, 13, u64::MAX] {
        lie_to_get("\"length\":12", &format!("\"length\":{length},\"x\":12"), Violation::Chunks);
    }
    // The chunks add up to it, but it is not the requested length.
    lie_to_get(
        "\"length\":12,\"chunkSize\":1024,\"readCnt\":1,\"lastSize\":12",
        "\"length\":11,\"chunkSize\":1024,\"readCnt\":1,\"lastSize\":11",
        Violation::Length,
    );
    lie_to_get("\"fileSize\":12", "\"fileSize\":13", Violation::Length);
    let get = GetRequest::new(NAME).with_length(Some(5));
    let crc32 = digest(DigestKind::Crc32, b"hello");
    let line = header(FILE, 0).replace("\"length\":12", "\"length\":5").replace("\"lastSize\":12", "\"lastSize\":5");
    let valid = format!("{line}hello{{\"type\":\"end\",\"crc32\":\"{crc32}\"}}\n");
    lie(
        ClientRequest::Get(get),
        &valid,
        "\"length\":5,\"chunkSize\":1024,\"readCnt\":1,\"lastSize\":5",
        "\"length\":6,\"chunkSize\":6,\"readCnt\":1,\"lastSize\":6",
        Violation::Length,
    );
}

#[test]
fn chunks_add_up() {
    let file: Vec<u8> = b"abcdefgh".iter().copied().cycle().take(4_096).collect();
    let valid = String::from_utf8(answer(&file, 0)).expect("text");
    let numbers = "\"chunkSize\":1024,\"readCnt\":4,\"lastSize\":1024";
    for (size, count, last) in [
        (1_024, 4, 0),
        (1_024, 5, 0),
        (1_024, 4, 1_023),
        (1_024, 3, 1_024),
        (1_024, 3, 2_048),
        (0, 0, 0),
        (0, 1, 4_096),
        (4_095, 1, 4_096),
        (u64::MAX, 3, 4_098),
        (1 << 63, 3, 4_096),
    ] {
        lie(
            GET,
            &valid,
            numbers,
            &format!("\"chunkSize\":{size},\"readCnt\":{count},\"lastSize\":{last}"),
            Violation::Chunks,
        );
    }
    for (size, count, last) in [(4_096, 1, 4_096), (u64::MAX, 1, 4_096), (1, 4_096, 1), (4_095, 2, 1)] {
        let other = format!("\"chunkSize\":{size},\"readCnt\":{count},\"lastSize\":{last}");
        assert_eq!(answered(GET, b"", valid.replace(numbers, &other)).last, None, "{other}");
    }
    let empty = String::from_utf8(answer(b"", 0)).expect("text");
    lie(GET, &empty, "\"readCnt\":0,\"lastSize\":0", "\"readCnt\":1,\"lastSize\":0", Violation::Chunks);
    lie(GET, &empty, "\"readCnt\":0,\"lastSize\":0", "\"readCnt\":0,\"lastSize\":1", Violation::Chunks);
    lie(GET, &empty, "\"chunkSize\":1024", "\"chunkSize\":0", Violation::Chunks);
}

#[test]
fn numbers_are_digits_below_2_to_the_64th() {
    for number in [
        "18446744073709551616",
        "99999999999999999999999",
        "12.0",
        "1.2e1",
        "1e1",
        "\"12\"",
        "null",
        "true",
        "[]",
        "{}",
    ] {
        lie_to_get("\"fileSize\":12", &format!("\"fileSize\":{number}"), Violation::Member);
    }
    for number in ["-12", "-0"] {
        lie_to_get("\"fileSize\":12", &format!("\"fileSize\":{number}"), Violation::Member);
    }
    for number in ["012", "+12", "0xc", "12x", "NaN", "", "1_2"] {
        lie_to_get("\"fileSize\":12", &format!("\"fileSize\":{number}"), Violation::Json(ScanError::Syntax));
    }
    lie_to_get("\"digest\":", "\"modified\":-1,\"digest\":", Violation::Member);
    lie_to_get("\"digest\":", "\"modified\":null,\"digest\":", Violation::Member);
    let stat = header(FILE, 0).replace("crc32", "none");
    let far = stat.replace("\"digest\":", "\"modified\":18446744073709551615,\"digest\":");
    let seen = answered(ClientRequest::Stat { name: NAME, digest: None }, b"", far);
    assert!(seen.events[0].contains("modified Some(18446744073709551615)"));
}

#[test]
fn each_member_of_a_header_is_there_once() {
    for member in ["fileName", "fileSize", "offset", "length", "chunkSize", "readCnt", "lastSize", "version"] {
        let valid = String::from_utf8(answer(FILE, 0)).expect("text");
        lie(GET, &valid, &format!("\"{member}\""), &format!("\"{member}2\""), Violation::Member);
        // A name with an escape is an unknown member.
        let (first, rest) = member.split_at(1);
        let escaped = format!("\"\\u00{:02x}{rest}\"", first.as_bytes()[0]);
        lie(GET, &valid, &format!("\"{member}\""), &escaped, Violation::Member);
        let value =
            valid.split_once(&format!("\"{member}\":")).and_then(|(_, rest)| rest.split_once(',')).expect("a value").0;
        lie(GET, &valid, "\"type\"", &format!("\"{member}\":{value},\"type\""), Violation::Member);
        lie(GET, &valid, &format!("\"{member}\":{value}"), &format!("\"{member}\":null"), Violation::Member);
    }
}

#[test]
fn versions_are_versions() {
    for version in ["", " ", "v 1", "v\\n", "\\u007f", "\u{e9}", &"v".repeat(65)] {
        lie_to_get("\"v1\"", &format!("\"{version}\""), Violation::Version);
    }
    lie_to_get("\"v1\"", "\"\\ud83d\"", Violation::Surrogate);
    lie_to_get("\"v1\"", "1", Violation::Member);
    let get = |version: &str| {
        let valid = String::from_utf8(answer(FILE, 0)).expect("text");
        answered(GET, b"", valid.replace("\"v1\"", version))
    };
    assert!(get("\"\\u0076\\\"1\\\\\"").events[0].contains("version v\"1\\ "));
    assert_eq!(get(&format!("\"{}\"", "\\u007e".repeat(64))).last, None);
}

#[test]
fn a_line_is_json_of_the_right_type() {
    for (from, to, violation) in [
        ("{\"type\":\"file\"", "[{\"type\":\"file\"", Violation::LineStart),
        ("{\"type\":\"file\"", "\u{feff}{\"type\":\"file\"", Violation::LineStart),
        ("{\"type\":\"file\"", "\t{\"type\":\"file\"", Violation::LineStart),
        ("{\"type\":\"file\"", "HTTP/1.1 200 OK\r\n{\"type\":\"file\"", Violation::LineStart),
        ("\"type\":\"file\"", "\"type\":\"end\"", Violation::Type),
        ("\"type\":\"file\"", "\"type\":\"entry\"", Violation::Type),
        ("\"type\":\"file\"", "\"type\":\"hello\"", Violation::Type),
        ("\"type\":\"file\"", "\"type\":\"File\"", Violation::Type),
        ("\"type\":\"file\"", "\"type\":2", Violation::Member),
        ("\"type\":\"file\"", "\"type\":null", Violation::Member),
        ("\"type\":\"file\",", "", Violation::Member),
        ("\"type\":\"file\"", "\"type\":\"file\",\"type\":\"file\"", Violation::Member),
        ("\"type\":\"file\"", "\"type\":\"file\",\"x\":nope", Violation::Json(ScanError::Syntax)),
        ("\"type\":\"file\"", "\"type\":\"file\",\"x\":\"\u{1}\"", Violation::Json(ScanError::Syntax)),
        ("\"type\":\"file\"", "\"type\":\"file\",\n\"x\":1", Violation::LineEnd),
        ("\"type\":\"file\"", "\"type\":\"fi\nle\"", Violation::LineEnd),
        ("}\n", "} \n", Violation::LineEnd),
        ("}\n", "}\r\n", Violation::LineEnd),
        ("}\n", "}", Violation::LineEnd),
        ("\"type\":\"end\"", "\"type\":\"file\"", Violation::Type),
        ("\"type\":\"end\"", "\"type\":\"entry\"", Violation::Type),
    ] {
        lie_to_get(from, to, violation);
    }
    let mut input = answer(FILE, 0);
    input[10] = 0xFF;
    assert_eq!(answered(GET, b"", &input).failure(), Some(Failure::Violation(Violation::Json(ScanError::Utf8))));
    lie_to_get("\"type\":\"file\"", "\"type\":\"error\"", Violation::Member);
    lie_to_get("\"type\":\"file\"", "\"code\":\"\\udc00\",\"type\":\"error\"", Violation::Surrogate);
    lie_to_get(
        "\"type\":\"file\"",
        "\"code\":\"io\",\"message\":\"\\ud800x\",\"type\":\"error\"",
        Violation::Surrogate,
    );
    lie_to_get("\"type\":\"file\"", "\"code\":\"io\",\"message\":null,\"type\":\"error\"", Violation::Member);
}

#[test]
fn a_listing_lists_one_directory() {
    let ask = ClientRequest::List { path: Some(FileName::from_static("d")) };
    for name in [
        "d",
        "d/",
        "a",
        "e/a",
        "d/a/b",
        "d//a",
        "d/../a",
        "d/..",
        "d/.",
        "/d/a",
        "..",
        "",
        "da",
        "d\\\\a",
        "d/a\\u0000",
        "D/a",
    ] {
        lie(ask, LISTING, "d/a", name, Violation::EntryName);
    }
    lie(ask, LISTING, "d/a", &format!("d/{}", "x".repeat(254)), Violation::EntryName);
    lie(ask, LISTING, "d/a", "d/\\ud800", Violation::Surrogate);
    let root = LISTING.replace("d/", "");
    for name in ["a/b", "../a", "/a", ""] {
        lie(ClientRequest::List { path: None }, &root, "\"a\"", &format!("\"{name}\""), Violation::EntryName);
    }
    for (from, to, violation) in [
        ("\"count\":2", "\"count\":1", Violation::Count),
        ("\"count\":2", "\"count\":3", Violation::Count),
        ("\"count\":2", "\"count\":18446744073709551616", Violation::Member),
        ("\"count\":2,", "", Violation::Member),
        ("\"skipped\":1", "\"skipped\":null", Violation::Member),
        ("\"skipped\":1", "\"hidden\":-1", Violation::Member),
        ("\"skipped\":1", "\"skipped\":1,\"unnameable\":2", Violation::Count),
        ("\"skipped\":1", "\"unnameable\":1", Violation::Count),
        ("\"skipped\":1", "\"skipped\":1,\"unnameable\":\"1\"", Violation::Member),
        ("\"type\":\"end\"", "\"type\":\"file\"", Violation::Type),
        (",\"fileSize\":5", "", Violation::Member),
        ("\"fileSize\":5", "\"fileSize\":null", Violation::Member),
        ("\"modified\":7", "\"modified\":\"7\"", Violation::Member),
        ("\"directory\":true", "\"directory\":1", Violation::Member),
        ("\"directory\":true", "\"directory\":null", Violation::Member),
        ("\"directory\":true", "\"directory\":false", Violation::Member),
        ("\"link\":false", "\"link\":\"no\"", Violation::Member),
        ("\"fileName\":\"d/a\"", "\"fileName\":[\"d/a\"]", Violation::Member),
        ("\"fileName\":\"d/a\"", "\"fileName\":\"d/a\",\"fileName\":\"d/a\"", Violation::Member),
    ] {
        lie(ask, LISTING, from, to, violation);
    }
}

#[test]
fn a_hello_is_whole() {
    for member in
        ["protocol", "server", "maxRequest", "chunkSize", "idle_ms", "request_ms", "stall_ms", "features", "digests"]
    {
        lie(ClientRequest::Hello, HELLO, &format!("\"{member}\""), "\"x\"", Violation::Member);
    }
    for (from, to, violation) in [
        ("\"maxRequest\":512", "\"maxRequest\":511", Violation::Limit),
        ("\"chunkSize\":1024", "\"chunkSize\":0", Violation::Limit),
        ("\"name\":\"n\"", "\"name\":null", Violation::Member),
        ("\"name\":\"n\"", "\"name\":7", Violation::Member),
        ("\"name\":\"n\"", "\"name\":\"\\udfff\"", Violation::Surrogate),
        ("\"server\":\"s\"", "\"server\":\"\\udfff\"", Violation::Surrogate),
        ("[\"get\"]", "\"get\"", Violation::Member),
        ("[\"get\"]", "[\"get\",7]", Violation::Member),
        ("[\"crc32\"]", "[null]", Violation::Member),
        ("\"type\":\"hello\"", "\"type\":\"end\"", Violation::Type),
        ("\"protocol\":1", "\"protocol\":1,\"protocol\":1", Violation::Member),
    ] {
        lie(ClientRequest::Hello, HELLO, from, to, violation);
    }
}

#[test]
fn a_server_tells_when_to_come_again() {
    let told = |code: &str, member: &str| {
        let mut session = ClientSession::new([0; 1024]);
        let line = format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"m\\u0041\"{member}}}\n");
        session.receive(line.as_bytes(), Instant::from_millis(0));
        let ClientAction::Close(failure) = session.action() else { panic!("{line} leaves it open") };
        (failure, session.refusal().map(|refusal| (refusal.text.to_owned(), refusal.retry_ms)))
    };
    for (name, code) in [("busy", Code::Busy), ("shuttingDown", Code::ShuttingDown)] {
        for (member, retry_ms) in [
            ("", None),
            (",\"retry_ms\":2500", Some(2500)),
            (",\"retry_ms\":0", Some(1)),
            (",\"retry_ms\":600001", Some(600_000)),
            (",\"retry_ms\":18446744073709551615", Some(600_000)),
        ] {
            assert_eq!(told(name, member), (Failure::Ended(code), Some(("mA".to_owned(), retry_ms))), "{member}");
        }
        for wrong in ["null", "\"1\"", "-1", "1.5", "18446744073709551616"] {
            let (failure, _) = told(name, &format!(",\"retry_ms\":{wrong}"));
            assert_eq!(failure, Failure::Violation(Violation::Member), "{wrong}");
        }
    }
    // It belongs to no other error.
    let said = told("timeout", ",\"retry_ms\":null");
    assert_eq!(said, (Failure::Ended(Code::Timeout), Some(("mA".to_owned(), None))));
}
