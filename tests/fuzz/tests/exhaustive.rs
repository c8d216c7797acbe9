//! Every short request and response of the bytes that matter to JSON: none that the scanner passes makes the parser panic, and
//! each is read as by another parser.

use coracle_core::{Scanned, Scanner};
use coracle_fuzz::{TARGETS, Target};

/// Every input of up to so many bytes of an alphabet, between a prefix and a suffix, that the scanner passes.
struct Family {
    begin: &'static [u8],
    alphabet: &'static [u8],
    most: usize,
    end: &'static [u8],
}

const OBJECTS: Family = Family { begin: b"{", alphabet: b"{}[]\":,\\u0 1x", most: 6, end: b"" };

const REQUESTS: [Family; 7] = [
    OBJECTS,
    Family { begin: b"{\"type\":", alphabet: b"{}[]\",\\019-.eE tn", most: 4, end: b",\"fileName\":\"a\"}" },
    Family {
        begin: b"{\"type\":\"get\",\"fileName\":\"a\",\"offset\":",
        alphabet: b"0129-+.eE \"n[]",
        most: 4,
        end: b"}",
    },
    Family { begin: b"{\"type\":\"get\",\"fileName\":\"", alphabet: b"\\u0D8C/.\"b\xC3\xA9", most: 5, end: b"\"}" },
    Family { begin: b"{\"type\":\"get\",\"fileName\":\"\\ud83", alphabet: b"\\ud0eD89", most: 5, end: b"e00\"}" },
    Family { begin: b"{\"type\":\"stat\",\"fileName\":\"a\"", alphabet: b",\":{}[]d1 ", most: 8, end: b"}" },
    Family { begin: b"{\"type\":\"list\",\"path\":", alphabet: b"truefalsn\"[]{} ", most: 5, end: b"}" },
];

const REPLIES: [Family; 4] = [
    Family {
        begin: b"\x01{\"type\":\"entry\",\"fileName\":\"a\",\"fileSize\":",
        alphabet: b"0129-.eE \"n[]",
        most: 4,
        end: b"}",
    },
    Family {
        begin: b"\x01{\"type\":\"entry\",\"fileSize\":1,\"fileName\":\"",
        alphabet: b"\\u0D8C/.\"b\xC3\xA9",
        most: 5,
        end: b"\"}",
    },
    Family {
        begin: b"\x01{\"type\":\"error\",\"code\":\"io\",\"message\":",
        alphabet: b"\"\\nu0,:{}[]",
        most: 5,
        end: b"}",
    },
    Family { begin: b"\x01{\"type\":\"end\",\"count\":0", alphabet: b",\":{}[]s1 ", most: 8, end: b"}" },
];

#[test]
fn every_short_request() {
    check("request", &REQUESTS, 0);
}

#[test]
fn every_short_reply() {
    // The first byte of the input chooses the request.
    check("reply", &REPLIES, 1);
}

fn check(name: &str, families: &[Family], skipped: usize) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    let mut total = 0;
    for family in families {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.scan(&family.begin[skipped..]), Ok(Scanned::More));
        let mut input = family.begin.to_vec();
        let count = all_behind(&mut input, &scanner, family, family.most, target);
        println!("{count:>8} behind {}", family.begin.escape_ascii());
        assert!(count > 20, "{}: {count} inputs only", family.begin.escape_ascii());
        total += count;
    }
    println!("{name}: {total} inputs reached the parser");
}

/// Tries all with this prefix, and returns how many the scanner passed.
fn all_behind(input: &mut Vec<u8>, scanner: &Scanner, family: &Family, left: usize, target: Target) -> usize {
    let mut count = 0;
    if scanner.clone().scan(family.end) == Ok(Scanned::Complete { len: family.end.len() }) {
        let len = input.len();
        input.extend_from_slice(family.end);
        target(input);
        input.truncate(len);
        count += 1;
    }
    for &byte in if left > 0 { family.alphabet } else { b"" } {
        let mut next = scanner.clone();
        input.push(byte);
        match next.scan(&[byte]) {
            Ok(Scanned::More) => count += all_behind(input, &next, family, left - 1, target),
            Ok(Scanned::Complete { .. }) => {
                target(input);
                count += 1;
            }
            Err(_) => {}
        }
        input.pop();
    }
    count
}
