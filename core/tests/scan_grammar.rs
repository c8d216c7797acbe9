//! The scanner against hand-written cases of RFC 8259 and RFC 3629: whole, byte by byte and with trailing data.

use coracle_core::{ScanError, Scanned, Scanner};

/// Length of the object at the front of `input`, scanned in three ways that have to agree.
fn scanned(input: &[u8]) -> Result<Option<usize>, ScanError> {
    let mut scanner = Scanner::default();
    let whole = match scanner.scan(input) {
        Ok(Scanned::More) => Ok(None),
        Ok(Scanned::Complete { len }) => Ok(Some(len)),
        Err(error) => Err(error),
    };
    assert_eq!(by_bytes(input), whole, "byte by byte: {}", input.escape_ascii());
    if whole != Ok(None) {
        for piece in [&b""[..], b"{}", b" ", b",", b"}", b"\"", b"0"] {
            assert_eq!(scanner.clone().scan(piece), Err(ScanError::Syntax), "after the end: {}", input.escape_ascii());
        }
        for trailer in [&b" "[..], b"{\"a\":1}", b"}", b"\xFF\0"] {
            let mut longer = Scanner::new();
            let expected = whole.map(|len| Scanned::Complete { len: len.unwrap_or_default() });
            assert_eq!(longer.scan(&[input, trailer].concat()), expected, "trailed: {}", input.escape_ascii());
        }
    }
    whole
}

fn by_bytes(input: &[u8]) -> Result<Option<usize>, ScanError> {
    let mut scanner = Scanner::new();
    for (at, byte) in input.iter().enumerate() {
        assert_eq!(scanner.clone().scan(b""), Ok(Scanned::More));
        match scanner.scan(&[*byte])? {
            Scanned::More => {}
            Scanned::Complete { len } => {
                assert_eq!(len, 1);
                return Ok(Some(at + 1));
            }
        }
    }
    Ok(None)
}

fn complete(input: impl AsRef<[u8]>) {
    let input = input.as_ref();
    assert_eq!(scanned(input), Ok(Some(input.len())), "{}", input.escape_ascii());
    for len in 0..input.len() {
        assert_eq!(scanned(&input[..len]), Ok(None), "cut: {}", input[..len].escape_ascii());
    }
}

/// `input` is invalid at its last byte, and not before.
fn bad(input: impl AsRef<[u8]>, error: ScanError) {
    let input = input.as_ref();
    assert_eq!(scanned(input), Err(error), "{}", input.escape_ascii());
    assert_eq!(scanned(&input[..input.len() - 1]), Ok(None), "bad before its end: {}", input.escape_ascii());
}

#[test]
fn structure() {
    for input in [
        "{}",
        "{ \t\r\n}",
        "{\"\":\"\"}",
        "{\"a\":1}",
        "{\"a\" : 1 , \"b\" : [ ] , \"c\":[1 , 2,[ 3]],\"d\":{ } }",
        "{\"a\":[],\"a\":{}}",
        "{\"a\":[{\"b\":[{}]}]}",
        "{\"a\":\"}\",\"]\":\"{[\"}",
    ] {
        complete(input);
    }
    for input in [
        " ",
        "a",
        "[",
        "\"",
        "1",
        "\0",
        "{,",
        "{1",
        "{a",
        "{'",
        "{]",
        "{:",
        "{{",
        "{[",
        "{\"a\",",
        "{\"a\"}",
        "{\"a\"\"",
        "{\"a\"1",
        "{\"a\"=",
        "{\"a\"::",
        "{\"a\":}",
        "{\"a\":,",
        "{\"a\":]",
        "{\"a\":1,}",
        "{\"a\":1,,",
        "{\"a\":1,1",
        "{\"a\":1,{",
        "{\"a\":1]",
        "{\"a\":1:",
        "{\"a\":1 1",
        "{\"a\":1 \"",
        "{\"a\":\"\"\"",
        "{\"a\":{}{",
        "{\"a\":[}",
        "{\"a\":[,",
        "{\"a\":[1}",
        "{\"a\":[1,]",
        "{\"a\":[1,,",
        "{\"a\":[1 2",
        "{\"a\":[1:",
        "{\"a\":[1 :",
        "{\"a\":[]]",
        "{\"a\":[\"b\":",
        "{\"a\":[[]}",
        "{\"a\":1/",
        "{/",
        "{#",
        "{\u{b}",
        "{\u{c}",
        "{\0",
    ] {
        bad(input, ScanError::Syntax);
    }
    for byte in 0..=0xFF {
        if !b" \t\r\n\"}".contains(&byte) {
            bad([b'{', byte], ScanError::Syntax);
        }
    }
}

#[test]
fn words_and_numbers() {
    let numbers = "0 -0 1 9 10 1234567890 -1 -90 0.0 0.10 1.5 -1.5 1e1 1E1 1e+1 1e-1 0e0 0.0e0 1.25E-007 1e99999 184467440737095516160000";
    for value in numbers.split(' ').chain(["true", "false", "null"]) {
        for (before, after) in [
            ("{\"a\":", "}"),
            ("{\"a\": ", " }"),
            ("{\"a\":[", "]}"),
            ("{\"a\":[", ",1]}"),
            ("{\"a\":", ",\"b\":1}"),
            ("{\"a\":", "\n}"),
        ] {
            complete(format!("{before}{value}{after}"));
        }
    }
    let wrong = "+ . 00 01 0x -- -. -a -} 0- 1- 1+ 1.} 1.e 1.. 1.5. 1e} 1ee 1e. 1e+} 1e+- 1e1. 1e1e 1e1+ 1a 1_ I N T tru} trux t} \
                 truee truet fals} falsee fa} f} falx nul} nulll nu} n} nulL True nope! -I";
    for value in wrong.split(' ').filter(|value| !value.is_empty()) {
        let input = format!("{{\"a\":{value}");
        let at = (1..=input.len()).find(|&len| by_bytes(&input.as_bytes()[..len]).is_err());
        bad(&input.as_bytes()[..at.unwrap_or_else(|| panic!("{input} passed"))], ScanError::Syntax);
    }
}

#[test]
fn strings() {
    complete(r#"{"\"\\\/\b\f\n\r\t\u0000\uFfFf\ud800\udc00\ud800":"\udfff \u1234567"}"#);
    complete("{\"\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}\":\"é€😀\"}");
    for before in ["{\"", "{\"a\":\""] {
        for byte in 0..0x20 {
            bad([before.as_bytes(), &[byte]].concat(), ScanError::Syntax);
        }
        for byte in (0..=0xFF).filter(|byte| !b"\"\\/bfnrtu".contains(byte)) {
            bad([before.as_bytes(), b"\\", &[byte]].concat(), ScanError::Syntax);
        }
        for byte in (0..=0xFF_u8).filter(|byte| !byte.is_ascii_hexdigit()) {
            for digits in ["", "0", "aF", "9C0"] {
                bad([before.as_bytes(), b"\\u", digits.as_bytes(), &[byte]].concat(), ScanError::Syntax);
            }
        }
    }
}

#[test]
fn every_sequence_of_utf_8_and_no_other() {
    let tails = [0x22, 0x7F, 0x80, 0xBF, 0xC0];
    for lead in 0x80..=0xFF {
        'second: for second in 0..=0xFF {
            for (third, fourth) in tails.into_iter().flat_map(|third| tails.map(|fourth| (third, fourth))) {
                let bytes = [lead, second, third, fourth];
                let mut scanner = Scanner::new();
                assert_eq!(scanner.scan(b"{\""), Ok(Scanned::More));
                for len in 1..=4 {
                    let answer = scanner.scan(&bytes[len - 1..len]);
                    match std::str::from_utf8(&bytes[..len]).map_err(|error| error.error_len()) {
                        Err(Some(_)) => assert_eq!(answer, Err(ScanError::Utf8), "{bytes:x?}, byte {len}"),
                        Err(None) | Ok(_) => assert_eq!(answer, Ok(Scanned::More), "{bytes:x?}, byte {len}"),
                    }
                    if answer.is_err() || std::str::from_utf8(&bytes[..len]).is_ok() {
                        if len <= 2 {
                            continue 'second; // whatever follows
                        }
                        break;
                    }
                }
            }
        }
    }
    bad(b"\xEF", ScanError::Syntax);
    bad(b"{\xEF", ScanError::Syntax);
    bad(b"{\"\xED\xA0", ScanError::Utf8);
    bad(b"{\"\xF4\x90", ScanError::Utf8);
    bad(b"{\"\xC0", ScanError::Utf8);
    bad(b"{\"\xE2\x82\"", ScanError::Utf8);
}

#[test]
fn depth() {
    let nested = |levels: usize, open: &str, close: &str| {
        format!("{{\"a\":{}1{}}}", open.repeat(levels - 1), close.repeat(levels - 1))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[[1],", "]")] {
        let levels = usize::from(Scanner::MAX_DEPTH) - usize::from(open == "[[1],");
        complete(nested(levels, open, close));
        let deeper = nested(levels + 1, open, close);
        let at = (1..deeper.len()).find(|&len| by_bytes(&deeper.as_bytes()[..len]).is_err()).unwrap();
        bad(&deeper.as_bytes()[..at], ScanError::Depth);
    }
    complete("{\"a\":[[[[[[[]]]]],[[[[{}]]]],{}],{}],\"b\":[[[[[[{}]]]]]]}");
    bad("{\"a\":[[[[[[[[", ScanError::Depth);
    bad("{\"a\":[[[[[[[{", ScanError::Depth);
}

#[test]
fn a_scanner_is_small() {
    assert!(size_of::<Scanner>() <= 8);
}
