//! Hostile framing and hostile JSON. Names begin with the number in tests/FAULTS.md.

mod common;

use common::Rig;
use coracle_core::{CloseHow, ServerConfig, StaticFile, Timer};

static FILES: [StaticFile<'static>; 3] = [
    StaticFile::new("a.txt", "v1", b"hello, world"),
    StaticFile::new("b\"/c", "v1", b"quoted"),
    StaticFile::new("😀", "v1", b"beyond the first 65,536"),
];
/// The longest request.
const LIMIT: usize = 512;
const HELLO: &[u8] = br#"{"type":"hello"}"#;
const STAT: &str = r#"{"type":"stat","fileName":"a.txt"}"#;

/// The responses to `input` in short: `file` and `hello` by type, errors by code, `close` where the connection lingers and
/// closes. Checks that they do not depend on how the input is split.
fn answers(input: impl AsRef<[u8]>) -> Vec<String> {
    let input = input.as_ref();
    let config = ServerConfig::new();
    let split = [usize::MAX, 1, 7].map(|piece| {
        let mut rig = Rig::with_files(&config, &FILES);
        rig.send(input, piece);
        let mut seen: Vec<_> = rig.take_text().lines().map(word).collect();
        if let Some(close) = rig.close() {
            assert_eq!(close.how, CloseHow::Linger, "{input:?}");
            seen.push("close".to_owned());
        }
        seen
    });
    assert!(split.iter().all(|seen| *seen == split[0]), "{}: {split:?}", input.escape_ascii());
    split[0].clone()
}

fn word(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    line["code"].as_str().or(line["type"].as_str()).expect("a word").to_owned()
}

/// `input` gets only `badRequest`, until the connection closes.
fn assert_bad(input: impl AsRef<[u8]>, goes_on: bool) {
    let input = input.as_ref();
    let expected: &[&str] = if goes_on { &["badRequest", "hello"] } else { &["badRequest", "close"] };
    assert_eq!(answers([input, HELLO].concat()), expected, "{}", input.escape_ascii());
}

/// A `stat` of `a.txt` with this member before the name.
fn with(member: &str) -> String {
    format!(r#"{{"type":"stat",{member},"fileName":"a.txt"}}"#)
}

/// A request of exactly so many bytes.
fn of_len(len: usize) -> String {
    let empty = with(r#""x":"""#).len();
    let request = with(&format!(r#""x":"{}""#, "y".repeat(len - empty)));
    assert_eq!(request.len(), len);
    request
}

#[test]
fn f1_one_byte_over_the_limit_is_too_long() {
    assert_eq!(answers(of_len(LIMIT + 1)), ["tooLong", "close"]);
    // The bytes beyond the limit would be a valid request.
    let start = format!(r#"{{"x":"{}"#, "y".repeat(LIMIT - 6));
    assert_eq!(answers([start.as_bytes(), HELLO, HELLO].concat()), ["tooLong", "close"]);
}

#[test]
fn f2_a_request_up_to_the_limit_is_served() {
    assert_eq!(answers(of_len(LIMIT)), ["file"]);
    assert_eq!(answers(of_len(LIMIT - 1)), ["file"]);
    assert_eq!(answers([of_len(LIMIT), of_len(LIMIT)].concat()), ["file", "file"]);
}

#[test]
fn f3_a_string_without_an_end_is_cut_off_at_the_limit() {
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(br#"{"x":""#, usize::MAX);
    rig.send(&b"y".repeat(LIMIT - 7), usize::MAX);
    assert!(rig.output.is_empty() && rig.close().is_none());
    rig.send(b"y", usize::MAX);
    assert_eq!(word(&rig.take_text()), "tooLong");
    assert!(rig.close().is_some());
    for noise in [b"\xf3", b"{", b"x", b"\0"] {
        assert_eq!(answers(noise.repeat(10_000)), ["badRequest", "close"]);
    }
}

#[test]
fn f4_any_split_gets_the_same_answers() {
    let request = r#" {"type":"stat", "fileName":"\ud83d\ude00"} {"type":"hello","é":"\\"}"#;
    let config = ServerConfig::new();
    for first in 1..request.len() {
        for second in first..request.len() {
            let mut rig = Rig::with_files(&config, &FILES);
            let bytes = request.as_bytes();
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                rig.send(piece, usize::MAX);
            }
            let seen: Vec<_> = rig.take_text().lines().map(word).collect();
            assert_eq!(seen, ["file", "hello"], "split at {first} and {second}");
        }
    }
}

#[test]
fn f5_two_requests_in_one_segment_are_answered_in_order() {
    let both = [STAT.as_bytes(), HELLO].concat();
    assert_eq!(answers(&both), ["file", "hello"]);
    assert_eq!(answers(both.repeat(50)), ["file", "hello"].repeat(50));
}

#[test]
fn f7_a_carriage_return_is_white_space() {
    let lines = [HELLO, b"\r\n", STAT.as_bytes(), b"\r\n\r\n", HELLO, b"\r\n"].concat();
    assert_eq!(answers(lines), ["hello", "file", "hello"]);
    // The line ending belongs to the previous request: the next one has not begun.
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(&[HELLO, b"\r\n"].concat(), 1);
    assert_eq!(rig.session.deadline().map(|(_, deadline)| deadline), Some(Timer::Idle));
}

#[test]
fn f9_the_end_inside_a_request_is_an_error() {
    let config = ServerConfig::new();
    for len in 1..STAT.len() {
        let mut rig = Rig::with_files(&config, &FILES);
        rig.send(&STAT.as_bytes()[..len], usize::MAX);
        rig.send_eof();
        let answer = rig.take_text();
        assert_eq!((answer.lines().count(), word(&answer).as_str()), (1, "badRequest"), "{answer}");
        assert!(rig.close().is_some() && rig.session.exchanges() == 0);
    }
}

#[test]
fn f10_a_nul_byte_is_an_error() {
    for place in 0..STAT.len() {
        let mut request = STAT.as_bytes().to_vec();
        request.insert(place, 0);
        assert_bad(request, false);
    }
}

#[test]
fn f11_other_protocols_get_one_error_and_none_of_their_bytes() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret";
    let noises: [&[u8]; 4] =
        [b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n", tls, b"\xff\xfbsecret\r\n", b"SSH-2.0-secret\r\n"];
    let config = ServerConfig::new();
    for noise in noises {
        assert_eq!(answers([noise, HELLO].concat()), ["badRequest", "close"]);
        let mut rig = Rig::with_files(&config, &FILES);
        rig.send(noise, usize::MAX);
        let answer = rig.take_text();
        assert!(!answer.contains("secret"), "{answer}");
    }
}

#[test]
fn f12_a_byte_order_mark_and_utf_16_are_errors() {
    assert_bad([b"\xef\xbb\xbf", STAT.as_bytes()].concat(), false);
    let little: Vec<_> = STAT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<_> = STAT.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for text in [little, big] {
        assert_bad(&text, false);
        assert_bad([b"\xff\xfe", text.as_slice()].concat(), false);
        assert_bad([b"\xfe\xff", text.as_slice()].concat(), false);
    }
}

#[test]
fn j1_a_doubled_member_is_refused() {
    assert_bad(with(r#""fileName":"a.txt""#), true);
    assert_bad(with(r#""fileName":"b""#), true);
    assert_bad(with(r#""type":"stat""#), true);
    assert_bad(with(r#""digest":"none","digest":"none""#), true);
    for number in ["offset", "length", "digestFrom"] {
        assert_bad(format!(r#"{{"type":"get","{number}":1,"fileName":"a.txt","{number}":1}}"#), true);
    }
    assert_eq!(answers(with(r#""x":1,"x":2"#)), ["file"], "it is ignored");
}

#[test]
fn j2_members_that_are_not_known_are_skipped() {
    for value in ["0", "-1.5e-3", "true", "null", r#""text""#, "[]", "{}", r#"[{"a":[1,"]}"]},{}]"#, r#""\ud800""#] {
        assert_eq!(answers(with(&format!(r#""x":{value}"#))), ["file"], "{value}");
        assert_eq!(answers(format!(r#"{{"x":{value},"type":"hello"}}"#)), ["hello"], "{value}");
    }
    // Members of other exchanges are unknown as well.
    assert_eq!(answers(with(r#""offset":"no number","path":7"#)), ["file"]);
}

#[test]
fn j3_unknown_members_nested_too_deep_are_refused() {
    for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
        let nested = |depth: usize| with(&format!(r#""x":{}0{}"#, open.repeat(depth), close.repeat(depth)));
        // The request itself is the first of 8 levels.
        assert_eq!(answers(nested(7)), ["file"]);
        for depth in [8, 9, 15, 16, 17, 50] {
            assert_bad(nested(depth), false);
        }
    }
    // As deep as a request can be.
    assert_bad(with(&format!(r#""x":{}{}"#, "[".repeat(234), "]".repeat(234))), false);
    assert_bad(format!(r#"{{"x":{}"#, "[".repeat(LIMIT - 5)), false);
}

#[test]
fn j4_what_is_no_json_is_refused_in_skipped_values_too() {
    let bad = [
        "@@@",
        "nope",
        "nulL",
        "tru!",
        "falsey",
        "[,1 2]",
        "[1,]",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":1,}"#,
        "'x'",
        "undefined",
        "",
    ];
    for value in bad {
        assert_bad(with(&format!(r#""x":{value}"#)), false);
    }
    for request in [r#"{type:"hello"}"#, r#"{"type"="hello"}"#, r#"{"type":"hello",}"#, r#"{"type":"hello"]"#] {
        assert_bad(request, false);
    }
}

#[test]
fn j5_what_stands_behind_the_brace_is_the_next_request() {
    assert_eq!(answers([HELLO, STAT.as_bytes(), b" \n", HELLO].concat()), ["hello", "file", "hello"]);
    assert_eq!(answers([HELLO, b"garbage"].concat()), ["hello", "badRequest", "close"]);
    assert_eq!(answers([HELLO, b"}"].concat()), ["hello", "badRequest", "close"]);
    assert_eq!(answers([HELLO, b",", HELLO].concat()), ["hello", "badRequest", "close"]);
}

#[test]
fn j6_names_are_decoded_before_they_are_checked() {
    let stat = |name: &str| answers(format!(r#"{{"type":"stat","fileName":"{name}"}}"#));
    for good in [r"a.tx\u0074", r"\u0061\u002Etxt", r#"b\"\/c"#, r"b\u0022\u002fc", r"\ud83d\uDE00"] {
        assert_eq!(stat(good), ["file"], "{good}");
    }
    for bad in [
        r"\u002e\u002e/a.txt",
        r"..\/a.txt",
        r"x/\u002e",
        r"\/a.txt",
        r"a.txt\u0000",
        r"a\\.txt",
        r"a.txt\n",
        r"\u007f",
    ] {
        assert_eq!(stat(bad), ["badName"], "{bad}");
    }
    // The raw text would be a valid name.
    assert_eq!(stat(r"a\u002e\u002e"), ["notFound"]);
    for bad in [r"\x", r"\u12", r"\u+041", r"\U0041", r"\'"] {
        assert_bad(format!(r#"{{"type":"stat","fileName":"{bad}"}}"#), false);
    }
}

#[test]
fn j7_raw_control_characters_are_refused() {
    for byte in 0..0x20_u8 {
        for text in [b"fileName\":\"a.tx".as_slice(), b"x\":\"skipped"] {
            let mut request = [b"{\"type\":\"stat\",\"", text].concat();
            request.push(byte);
            request.extend_from_slice(b"\",\"y\":0}");
            assert_bad(request, false);
        }
    }
    assert_eq!(answers(with("\"x\":\"\u{7f}\u{80}\u{2028}\"")), ["file"], "JSON has these");
}

#[test]
fn j8_half_a_surrogate_pair_is_refused() {
    for half in [r"\ud800", r"\udc00", r"\ud83d\u0041", r"\ud83dx", r"\ude00\ud83d", r"\udbff\udbff"] {
        assert_bad(format!(r#"{{"type":"stat","fileName":"{half}"}}"#), true);
        assert_bad(format!(r#"{{"type":"stat","fileName":"a.txt","digest":"{half}"}}"#), true);
        assert_eq!(answers(with(&format!(r#""x":"{half}""#))), ["file"], "it is ignored");
    }
}

#[test]
fn j9_what_is_no_utf_8_is_refused() {
    let bad: [&[u8]; 8] = [
        b"\xff",
        b"\xc0\xae",         // an overlong dot
        b"\xe0\x80\xaf",     // an overlong slash
        b"\xed\xa0\x80",     // a surrogate
        b"\xf4\x90\x80\x80", // after the last character
        b"\x80",
        b"\xc3",                 // cut
        b"\xf8\x88\x80\x80\x80", // five bytes
    ];
    for bytes in bad {
        assert_bad([br#"{"type":"stat","fileName":""#, bytes, br#""}"#].concat(), false);
        assert_bad([br#"{"type":"stat","x":"a"#, bytes, br#"","fileName":"a.txt"}"#].concat(), false);
    }
}

#[test]
fn j10_what_is_not_plain_digits_is_no_number() {
    let get = |number: &str| format!(r#"{{"type":"get","fileName":"a.txt","length":0,"offset":{number}}}"#);
    for number in ["1.0", "1e3", "1E3", r#""7""#, "true", "null", "[]", "{}", "[7]"] {
        assert_bad(get(number), true);
    }
    for number in ["007", "+7", "0x7", "NaN", "Infinity", ".7", "7.", "1_0", ""] {
        assert_bad(get(number), false);
    }
    assert_eq!(answers(get("7")), ["file", "end"]);
}

#[test]
fn j11_negative_numbers_are_refused() {
    for number in ["-1", "-0", "-18446744073709551615"] {
        for member in ["offset", "length", "digestFrom"] {
            assert_bad(format!(r#"{{"type":"get","fileName":"a.txt","{member}":{number}}}"#), true);
        }
    }
}

#[test]
fn j12_no_number_wraps() {
    let get = |number: &str| answers(format!(r#"{{"type":"get","fileName":"a.txt","length":0,"offset":{number}}}"#));
    assert_eq!(get("18446744073709551615"), ["badRange"]);
    let length = r#"{"type":"get","fileName":"a.txt","offset":12,"length":18446744073709551615}"#;
    assert_eq!(answers(length), ["file", "end"]);
    // If they wrapped, these would be offsets inside the file.
    for number in ["18446744073709551616", "18446744073709551617", "36893488147419103232", "99999999999999999999"] {
        assert_eq!(get(number), ["badRequest"], "{number}");
    }
}

#[test]
fn j14_a_name_is_there_and_a_text() {
    assert_bad(r#"{"type":"stat"}"#, true);
    assert_bad(r#"{"type":"get","path":"a.txt"}"#, true);
    for value in ["null", r#"["a.txt"]"#, "[]", "{}", "7", "true"] {
        assert_bad(format!(r#"{{"type":"get","fileName":{value}}}"#), true);
        assert_bad(format!(r#"{{"type":"list","path":{value}}}"#), true);
    }
    assert_bad(r#"[{"type":"hello"}]"#, false);
    assert_bad(r#""hello""#, false);
    assert_bad("7", false);
}

#[test]
fn j15_an_escaped_member_name_is_not_known() {
    let escaped = r#""fileN\u0061me":"other""#;
    assert_bad(format!(r#"{{"type":"stat",{escaped}}}"#), true);
    assert_eq!(answers(with(escaped)), ["file"]);
    assert_eq!(answers(r#"{"\u0074ype":7,"type":"hello"}"#), ["hello"]);
}
