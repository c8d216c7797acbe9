//! The scanner compared with serde_json: all short inputs, then generated objects and mutations of them.
//!
//! serde_json parses into `IgnoredAny`, which builds no values, so that numbers of any size and lone surrogates pass it like the
//! scanner. It does not check the encoding of what it ignores; `str::from_utf8` does that.

use coracle_core::{ScanError, Scanned, Scanner};
use proptest::prelude::*;
use serde::de::IgnoredAny;

/// Whether `input` is one object and nothing else, by serde_json.
fn accepted(input: &[u8]) -> bool {
    input.starts_with(b"{")
        && input.ends_with(b"}")
        && std::str::from_utf8(input).is_ok()
        && serde_json::from_slice::<IgnoredAny>(input).is_ok()
}

/// The scanner's result for `input` in pieces that end at `cuts` (ascending) and at its end; the length counts from its
/// start.
fn scanned(input: &[u8], cuts: &[usize]) -> Result<Option<usize>, ScanError> {
    let mut scanner = Scanner::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        match scanner.scan(&input[start..end])? {
            Scanned::More => start = end,
            Scanned::Complete { len } => return Ok(Some(start + len)),
        }
    }
    Ok(None)
}

/// The levels of `input`, if it is JSON.
fn deepest(input: &[u8]) -> usize {
    let (mut level, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for &byte in input {
        match (byte, in_string) {
            (_, true) if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => in_string = !in_string,
            (b'{' | b'[', false) => level += 1,
            (b'}' | b']', false) => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// What makes `start` an object, found with the scanner.
fn completion(start: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new();
    assert_eq!(scanner.scan(start), Ok(Scanned::More));
    let mut completion = Vec::new();
    loop {
        let step = b"\"}]:0{ruelas\x80\xA0".iter().find_map(|&byte| {
            let mut next = scanner.clone();
            next.scan(&[byte]).ok().map(|scanned| (next, byte, scanned))
        });
        let (next, byte, scanned) = step.unwrap_or_else(|| panic!("a dead end behind {}", start.escape_ascii()));
        completion.push(byte);
        if scanned == (Scanned::Complete { len: 1 }) {
            return completion;
        }
        scanner = next;
        assert!(completion.len() < 100, "no end behind {}", start.escape_ascii());
    }
}

/// Checks the scanner's result for `input`, in three ways, and returns whether more could follow.
fn agrees(input: &[u8]) -> bool {
    let answer = scanned(input, &[]);
    let each: Vec<_> = (1..input.len()).collect();
    assert_eq!(scanned(input, &each), answer, "byte by byte: {}", input.escape_ascii());
    if answer != Ok(None) {
        assert_eq!(scanned(&[input, b"}{\"\xFF"].concat(), &[]), answer, "trailed: {}", input.escape_ascii());
    }
    let whole = accepted(input);
    let shallow = deepest(input) <= usize::from(Scanner::MAX_DEPTH);
    match answer {
        Ok(Some(len)) => {
            assert_eq!(whole, len == input.len(), "{}", input.escape_ascii());
            assert!(accepted(&input[..len]), "{}", input.escape_ascii());
        }
        Ok(None) => {
            assert!(!whole && shallow, "{}", input.escape_ascii());
            let longer = [input, &completion(input)].concat();
            assert!(accepted(&longer), "passed the start of {}", longer.escape_ascii());
        }
        Err(ScanError::Depth) => assert!(!shallow, "{}", input.escape_ascii()),
        Err(_) => assert!(!whole, "refused {}", input.escape_ascii()),
    }
    answer == Ok(None)
}

/// Checks every input of up to `len` bytes of the alphabet after `start`, but none after an end or an error, and returns their
/// number.
fn all_behind(start: &mut Vec<u8>, alphabet: &[u8], len: usize) -> usize {
    let mut count = 0;
    for &byte in alphabet {
        start.push(byte);
        count += 1;
        if agrees(start) && len > 1 {
            count += all_behind(start, alphabet, len - 1);
        }
        start.pop();
    }
    count
}

#[test]
fn every_short_input_of_the_bytes_that_matter() {
    let counts = [
        (&b"{"[..], &b"{}[]\":,\\u0 1x"[..], 6),
        (b"{\"\":", b"{}[]\":,\\0-.e \n", 5),
        (b"{\"\":", b"019-+.eE,} ", 6),
        (b"{\"\":", b"truefalsn}", 6),
        (b"{\"", b"\"\\/ubnA9g\x1F\x7F", 5),
        (b"{\"", b"\"a\x80\x8F\x90\x9F\xA0\xBF\xC1\xC2\xDF\xE0\xE1\xED\xF0\xF1\xF4\xF5", 5),
    ]
    .map(|(start, alphabet, len)| all_behind(&mut start.to_vec(), alphabet, len));
    assert_eq!(counts, [292_266, 46_676, 43_285, 140, 79_255, 42_858]);
}

/// Inputs that leave the scanner in each of its states.
const PLACES: [&[u8]; 34] = [
    b"",
    b"{",
    b"{ ",
    b"{\"",
    b"{\"a\"",
    b"{\"a\":",
    b"{\"a\":1,",
    b"{\"a\":[",
    b"{\"a\":[1,",
    b"{\"a\":[1 ",
    b"{\"a\":\"",
    b"{\"a\":\"\"",
    b"{\"a\":-",
    b"{\"a\":0",
    b"{\"a\":1",
    b"{\"a\":1.",
    b"{\"a\":1.1",
    b"{\"a\":1e",
    b"{\"a\":1e+",
    b"{\"a\":1e1",
    b"{\"a\":t",
    b"{\"a\":fal",
    b"{\"a\":nul",
    b"{\"\\",
    b"{\"\\u",
    b"{\"\\u0",
    b"{\"\\u000",
    b"{\"\xC2",
    b"{\"\xE0",
    b"{\"\xED",
    b"{\"\xF0",
    b"{\"\xF4",
    b"{\"\xF1\x80",
    b"{\"a\":[[[[[[[",
];

#[test]
fn every_pair_of_bytes_in_every_place() {
    let ends: Vec<_> = PLACES.iter().map(|place| completion(place)).collect();
    for place in PLACES {
        for first in 0..=0xFF {
            let one = [place, &[first]].concat();
            if agrees(&one) {
                for second in 0..=0xFF {
                    agrees(&[place, &[first, second]].concat());
                }
            } else if !matches!(scanned(&one, &[]), Ok(_) | Err(ScanError::Depth)) {
                for end in &ends {
                    let longer = [&one, &end[..]].concat();
                    assert!(!accepted(&longer), "refused the start of {}", longer.escape_ascii());
                }
            }
        }
    }
}

/// An object's text, as deep as the scanner goes and a little deeper, with white space wherever it can be.
fn object_text() -> impl Strategy<Value = String> {
    let white = || "[ \t\n\r]{0,2}";
    let string = || r#""([ !#-\[\]-~é€😀\x7F]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,6}""#;
    let leaf = prop_oneof![
        string(),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][-+]?[0-9]{1,3})?",
        prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned),
    ];
    let object = move |value: BoxedStrategy<String>| {
        let member =
            (string(), white(), white(), value).prop_map(|(name, a, b, value)| format!("{name}{a}:{b}{value}"));
        listed(member.boxed(), white(), '{', '}')
    };
    let value = leaf.prop_recursive(9, 30, 4, move |value| {
        prop_oneof![listed(value.clone(), white(), '[', ']'), object(value.boxed())]
    });
    object(value.boxed())
}

fn listed<T>(item: T, white: &'static str, open: char, close: char) -> BoxedStrategy<String>
where
    T: Strategy<Value = String> + 'static,
{
    (white, prop::collection::vec((item, white, white), 0..4))
        .prop_map(move |(front, items)| {
            let items: Vec<_> = items.into_iter().map(|(item, before, behind)| before + &item + &behind).collect();
            format!("{open}{front}{}{close}", items.join(","))
        })
        .boxed()
}

/// A change at a place of the input, which counts in 65,536ths of its length.
#[derive(Clone, Debug)]
enum Change {
    Put(u16, u8),
    Insert(u16, u8),
    Remove(u16, u16),
    Repeat(u16, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![prop::sample::select(b"{}[]\":,\\u0-.e \n\xC3".to_vec()), any::<u8>()];
    prop_oneof![
        (any::<u16>(), byte()).prop_map(|(at, byte)| Change::Put(at, byte)),
        (any::<u16>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (any::<u16>(), 1..4_u16).prop_map(|(at, len)| Change::Remove(at, len)),
        (any::<u16>(), 1..9_u16).prop_map(|(at, len)| Change::Repeat(at, len)),
    ]
}

fn place(at: u16, len: usize) -> usize {
    (usize::from(at) * len) >> 16
}

fn changed(text: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for change in changes {
        let len = bytes.len();
        let span = |at, count: u16| place(at, len)..len.min(place(at, len) + usize::from(count));
        match *change {
            Change::Put(at, byte) if len > 0 => bytes[place(at, len)] = byte,
            Change::Put(_, byte) => bytes.push(byte),
            Change::Insert(at, byte) => bytes.insert(place(at, len), byte),
            Change::Remove(at, count) => drop(bytes.drain(span(at, count))),
            Change::Repeat(at, count) => {
                let again = bytes[span(at, count)].to_vec();
                bytes.splice(place(at, len)..place(at, len), again);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn objects_pass_to_their_last_byte(text in object_text()) {
        prop_assert!(accepted(text.as_bytes()), "no object: {text}");
        let expected = match deepest(text.as_bytes()) <= usize::from(Scanner::MAX_DEPTH) {
            true => Ok(Some(text.len())),
            false => Err(ScanError::Depth),
        };
        prop_assert_eq!(scanned(text.as_bytes(), &[]), expected);
        agrees(text.as_bytes());
    }

    #[test]
    fn mutants_pass_if_they_are_objects(
        text in object_text(),
        mutants in prop::collection::vec(prop::collection::vec(change(), 1..4), 16),
    ) {
        for changes in mutants {
            agrees(&changed(&text, &changes));
        }
    }

    #[test]
    fn any_split_gives_the_same_answer(
        text in object_text(),
        changes in prop::collection::vec(change(), 0..2),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let input = changed(&text, &changes);
        let mut cuts: Vec<_> = cuts.into_iter().map(|at| place(at, input.len())).collect();
        cuts.sort_unstable();
        prop_assert_eq!(scanned(&input, &cuts), scanned(&input, &[]));
    }

    #[test]
    fn noise_is_judged_the_same(noise in prop::collection::vec(any::<u8>(), 0..40), in_string in any::<bool>()) {
        agrees(&noise);
        agrees(&[if in_string { &b"{\""[..] } else { b"{" }, &noise].concat());
    }
}
