//! The client's session against a server that follows the protocol, with a virtual clock.

mod asking;

use asking::{GET, NAME, Wants, answer, answered, asked, digest, header};
use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Code, DigestKind, End, Failure, FileName, GetRequest,
    Instant, StartError, Timer, Version, Violation,
};
use proptest::prelude::*;

const FILE: &[u8] = b"hello, world";

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn hello_tells_all() {
    let line = "{\"type\":\"hello\",\"name\":\"b\\u0065nch \\uD83D\\uDE00\",\"later\":[{}],\"protocol\":1,\"server\":\"c\\/0.1\",\
                \"maxRequest\":4096,\"chunkSize\":65536,\"idle_ms\":60000,\"request_ms\":10000,\"stall_ms\":30000,\
                \"features\":[\"g\\u0065t\",\"later\",\"stat\"],\"digests\":[\"crc32\",\"blake3\"]}\n";
    let seen = answered(ClientRequest::Hello, b"", line);
    assert_eq!(seen.last, None);
    let no = ", put: false, delete: false, rename: false, make_dir: false, space: false, actions: false";
    let waiting = if cfg!(feature = "wait") { ", wait: false" } else { "" };
    let absolute = if cfg!(feature = "absolute") { ", absolute: false" } else { "" };
    let writing = if cfg!(feature = "write") { [no, ", actions: Actions { list: [] }"] } else { [""; 2] };
    assert_eq!(
        seen.events,
        [format!(
            "Hello {{ protocol: 1, server: \"c/0.1\", name: \"bench \u{1F600}\", max_request: 4096, chunk_size: 65536, \
             idle_ms: 60000, request_ms: 10000, stall_ms: 30000, time: None, \
             features: Features {{ list: false, stat: true, get: true{waiting}{absolute}{} }}, \
             digests: Digests {{ crc32: true, sha256: false }}{} }}",
            writing[0], writing[1]
        )]
    );
    let nameless = line.replace("\"name\":\"b\\u0065nch \\uD83D\\uDE00\",", "");
    assert!(answered(ClientRequest::Hello, b"", nameless).events[0].contains("name: \"\""));
    let timed = |time: &str| line.replace("\"features\"", &format!("\"time\":{time},\"features\""));
    assert!(answered(ClientRequest::Hello, b"", timed("1763769660")).events[0].contains("time: Some(1763769660)"));
    for wrong in ["null", "\"1763769660\"", "-1", "1.5"] {
        let seen = answered(ClientRequest::Hello, b"", timed(wrong));
        assert_eq!(seen.last, Some(Wants::Close(Failure::Violation(Violation::Member))), "{wrong}");
    }
}

#[test]
fn list_is_counted() {
    let seen = answered(
        ClientRequest::List { path: Some(FileName::from_static("d")) },
        b"",
        concat!(
            r#"  {"type":"entry","fileName":"d/\u0061 \"b\"","fileSize":5321,"modified":1763769600}"#,
            "\n   ",
            r#"{"type":"entry","fileName":"d/sub","directory":true}"#,
            "\n",
            r#"{"fileName":"d/l","type":"entry","directory":true,"link":true,"fileSize":1}"#,
            "\n",
            r#"{"type":"entry","fileName":"d/e","fileSize":18446744073709551615,"directory":false}"#,
            "\n",
            r#"{"type":"end","count":4,"hidden":3,"skipped":2}"#,
            "\n"
        ),
    );
    assert_eq!(
        seen.events,
        [
            "file d/a \"b\" 5321 Some(1763769600)",
            "directory d/sub false",
            "directory d/l true",
            "file d/e 18446744073709551615 None",
            "listed 4 skipped 2 hidden 3"
        ]
    );
    assert_eq!(seen.last, None);
    assert_eq!(
        answered(ClientRequest::List { path: None }, b"", "{\"type\":\"end\",\"count\":0}\n").events,
        ["listed 0 skipped 0 hidden 0"]
    );
}

#[test]
fn stat_tells_the_digest() {
    let line = header(FILE, 0).replace("\"crc32\"}", "\"sha256\",\"modified\":5,\"sha256\":\"DIGEST\"}");
    let hex = "09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b";
    let ask = ClientRequest::Stat { name: NAME, digest: Some(DigestKind::Sha256) };
    let seen = answered(ask, b"", line.replace("DIGEST", hex));
    assert_eq!(seen.events, [format!("header 0+12/12 chunks 1024 version v1 modified Some(5) digest Some({hex:?})")]);
    assert_eq!(seen.last, None);
    for word in [",\"digest\":\"none\"", ""] {
        let line = header(FILE, 0).replace(",\"digest\":\"crc32\"", word);
        let seen = answered(ClientRequest::Stat { name: NAME, digest: None }, b"", line);
        assert_eq!(seen.events, ["header 0+12/12 chunks 1024 version v1 modified None digest None"]);
    }
}

#[test]
fn get_is_verified() {
    for len in [0, 1, 12, 1_023, 1_024, 1_025, 4_096] {
        let file: Vec<u8> = (0..=250).cycle().take(len).collect();
        let seen = answered(GET, b"", answer(&file, 0));
        assert_eq!(seen.body, file);
        assert_eq!(seen.last, None);
        let crc32 = digest(DigestKind::Crc32, &file);
        assert_eq!(seen.events.last(), Some(&format!("verified 0..{len}/{len} {crc32}")));
    }
}

#[test]
fn a_resume_covers_what_is_held() {
    let version = Version::new("v1").expect("a version");
    let get = GetRequest::new(NAME).with_offset(7).with_version(Some(&version)).with_digest_from(Some(0));
    let seen = answered(ClientRequest::Get(get), &FILE[..7], answer(FILE, 7));
    assert_eq!(seen.body, b"world");
    assert_eq!(seen.events[1..], ["body from 7", "verified 0..12/12 ffab723a"]);

    // One bit of the earlier bytes is wrong: the digest does not match.
    let seen = answered(ClientRequest::Get(get), b"hellO, ", answer(FILE, 7));
    assert_eq!(seen.failure(), Some(Failure::Digest));

    // Nothing is left to fetch, everything to verify.
    let get = get.with_offset(12);
    assert_eq!(answered(ClientRequest::Get(get), FILE, answer(FILE, 12)).events[1..], ["verified 0..12/12 ffab723a"]);
}

#[test]
fn a_part_is_verified_as_a_part() {
    let get = GetRequest::new(NAME).with_offset(7).with_length(Some(3));
    let line = header(FILE, 7).replace("\"length\":5", "\"length\":3").replace("\"lastSize\":5", "\"lastSize\":3");
    let crc32 = digest(DigestKind::Crc32, b"wor");
    let seen =
        answered(ClientRequest::Get(get), b"", format!("{line}wor  {{\"type\":\"end\",\"crc32\":\"{crc32}\"}}\n"));
    assert_eq!(seen.events[2..], [format!("verified 7..10/12 {crc32}")]);

    let mut session = asked(GET, b"");
    let answer = answer(FILE, 0);
    let mut rest = answer.as_slice();
    while !rest.is_empty() {
        let (taken, event) = session.receive(rest, at(0));
        assert!(taken > 0, "no progress");
        if let Some(ClientEvent::End(End::Verified(verified))) = event {
            assert!(verified.is_whole());
        }
        rest = &rest[taken..];
    }

    // A part is not the whole file, whether its beginning is missing or its end.
    for (offset, length) in [(7, 5), (0, 7), (7, 3)] {
        let get = GetRequest::new(NAME).with_offset(offset as u64).with_length(Some(length as u64));
        let mut session = asked(ClientRequest::Get(get), b"");
        let line =
            header(FILE, offset).replace(&format!("\"length\":{}", 12 - offset), &format!("\"length\":{length}"));
        let line = line.replace(&format!("\"lastSize\":{}", 12 - offset), &format!("\"lastSize\":{length}"));
        let part = &FILE[offset..offset + length];
        let trailer = format!("{{\"type\":\"end\",\"crc32\":\"{}\"}}\n", digest(DigestKind::Crc32, part));
        let answer = [line.as_bytes(), part, trailer.as_bytes()].concat();
        let mut rest = answer.as_slice();
        let mut is_whole = None;
        while !rest.is_empty() {
            let (taken, event) = session.receive(rest, at(0));
            assert!(taken > 0, "no progress");
            if let Some(ClientEvent::End(End::Verified(verified))) = event {
                assert_eq!((verified.from(), verified.to()), (offset as u64, (offset + length) as u64));
                is_whole = Some(verified.is_whole());
            }
            rest = &rest[taken..];
        }
        assert_eq!(is_whole, Some(false), "{offset} {length}");
    }
}

#[test]
fn without_a_digest_nothing_is_verified() {
    let line = header(FILE, 0).replace("crc32", "none");
    let get = GetRequest::new(NAME).with_digest(None).with_digest_from(Some(0));
    let seen = answered(ClientRequest::Get(get), b"", format!("{line}hello, world{{\"type\":\"end\"}}\n"));
    assert_eq!(seen.events[2..], ["unchecked"]);

    // Nothing is read back where no digest is computed.
    let line = header(FILE, 7).replace("crc32", "none");
    let seen = answered(ClientRequest::Get(get.with_offset(7)), b"", format!("{line}world{{\"type\":\"end\"}}\n"));
    assert_eq!(seen.events[2..], ["unchecked"]);
}

#[test]
fn a_file_that_changed_may_be_kept_as_a_snapshot() {
    let changed = |members: &str| {
        let line = format!("{{\"type\":\"error\",\"code\":\"changed\",\"message\":\"it did\"{members}}}\n");
        answered(GET, b"", format!("{}hello, world {line}", header(FILE, 0)))
    };
    assert_eq!(changed("").events[2..], ["changed None"]);
    assert_eq!(changed(",\"sha256\":7").events[2..], ["changed None"]);
    assert_eq!(changed(",\"crc32\":\"00000000\"").events[2..], ["changed None"]);
    let kept = changed(",\"crc32\":\"ffab723a\"");
    assert_eq!(kept.events[2..], ["changed Some(\"0..12/12 ffab723a\")"]);
    assert_eq!(kept.last, None);

    let get = GetRequest::new(NAME).with_digest(None);
    let line = header(FILE, 0).replace("crc32", "none");
    let seen = answered(
        ClientRequest::Get(get),
        b"",
        format!("{line}hello, world{{\"type\":\"error\",\"code\":\"changed\"}}\n"),
    );
    assert_eq!(seen.events[2..], ["changed None"]);
}

#[test]
fn refusals_leave_the_connection_open_or_not() {
    let error = |code: &str| {
        format!("{{\"message\":\"no \\u001b[1m\\\"{code}\\\"\",\"type\":\"error\",\"code\":\"{code}\"}}\n")
    };
    for code in Code::ALL {
        let seen = answered(GET, b"", error(code.as_str()));
        let refused = format!("refused {:?} {:?} {:?}", Some(code), code.as_str(), format!("no \u{1b}[1m\"{code}\""));
        let (event, last) = match code {
            Code::Busy | Code::Timeout | Code::ShuttingDown => {
                (format!("unasked {code}"), Some(Wants::Close(Failure::Ended(*code))))
            }
            Code::TooLong => (refused, Some(Wants::Close(Failure::Refused(Some(*code))))),
            _ => (refused, None),
        };
        assert_eq!((seen.events, seen.last), (vec![event], last));
    }
    let seen = answered(GET, b"", error("teapot"));
    assert_eq!(seen.events, ["refused None \"teapot\" \"no \\u{1b}[1m\\\"teapot\\\"\""]);
    assert_eq!(seen.last, Some(Wants::Close(Failure::Refused(None))));
    let seen = answered(GET, b"", "{\"type\":\"error\",\"code\":\"notFound\"}\n");
    assert_eq!(seen.events, ["refused Some(NotFound) \"notFound\" \"\""]);
}

#[test]
fn the_words_of_a_refusal_stay_until_the_next_request() {
    let mut session = asked(GET, b"");
    let line = b"{\"type\":\"error\",\"code\":\"denied\",\"message\":\"permission denied: a.txt\"}\n";
    assert_eq!(session.refusal(), None);
    let (taken, event) = session.receive(line, at(0));
    assert_eq!(taken, line.len());
    assert!(matches!(event, Some(ClientEvent::Refused(refusal)) if refusal.code == Some(Code::Denied)));
    let refusal = session.refusal().expect("it is kept");
    assert_eq!((refusal.word, refusal.text), ("denied", "permission denied: a.txt"));
    session.start(ClientRequest::Hello, at(1)).expect("idle");
    assert_eq!(session.refusal(), None);
}

#[test]
fn an_idle_session_takes_a_reason_for_closing_and_nothing_else() {
    let after = |extra: &str| {
        let mut input = answer(FILE, 0);
        input.extend_from_slice(extra.as_bytes());
        let seen = answered(GET, b"", input);
        assert_eq!(seen.events[2], "verified 0..12/12 ffab723a");
        (seen.events.get(3).cloned(), seen.failure())
    };
    let breach = |breach| (None, Some(Failure::Violation(breach)));
    for code in [Code::Busy, Code::Timeout, Code::ShuttingDown] {
        assert_eq!(
            after(&format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"\"}}\n")),
            (Some(format!("unasked {code}")), Some(Failure::Ended(code)))
        );
    }
    assert_eq!(after("{\"type\":\"error\",\"code\":\"notFound\",\"message\":\"\"}\n"), breach(Violation::Unrequested));
    assert_eq!(after("{\"type\":\"error\",\"code\":\"teapot\",\"message\":\"\"}\n"), breach(Violation::Unrequested));
    assert_eq!(after("{\"type\":\"end\",\"count\":0}\n"), breach(Violation::Unrequested));
    assert_eq!(after(&header(FILE, 0)), breach(Violation::Unrequested));
    assert_eq!(after(" "), breach(Violation::LineStart));
    assert_eq!(after("\n"), breach(Violation::LineStart));
}

#[test]
fn one_connection_serves_many_requests() {
    let mut session = asked(ClientRequest::Hello, b"");
    let hello = b"{\"type\":\"hello\",\"protocol\":1,\"server\":\"\",\"name\":\"\",\"maxRequest\":600,\"chunkSize\":1,\"idle_ms\":0,\
                  \"request_ms\":0,\"stall_ms\":0,\"features\":[],\"digests\":[]}\n";
    assert!(matches!(session.receive(hello, at(0)), (_, Some(ClientEvent::Hello(_)))));

    // The longest of names, each byte of it escaped, does not fit 512 bytes; this server takes more.
    let name = "\"".repeat(255);
    session
        .start(ClientRequest::Stat { name: FileName::new(&name).expect("a name"), digest: None }, at(0))
        .expect("it fits");
    session.abandon();
    session.start(GET, at(0)).expect("idle");
    let ClientAction::SendBytes { bytes } = session.action() else { panic!() };
    assert_eq!(bytes, b"{\"type\":\"get\",\"fileName\":\"a.txt\"}\n");
}

#[test]
fn a_request_keeps_to_the_longest_that_the_server_takes() {
    // Every server accepts 512 bytes, from `{` to `}`: the newline after it does not count.
    let around = r#"{"type":"stat","fileName":"","digest":"sha256"}"#.len();
    let quotes = (512 - around) / 2;
    for (plain, quotes, fits) in [((512 - around) % 2, quotes, true), ((512 - around) % 2 + 1, quotes, false)] {
        let name = "x".repeat(plain) + &"\"".repeat(quotes);
        let ask = ClientRequest::Stat { name: FileName::new(&name).expect("a name"), digest: Some(DigestKind::Sha256) };
        let mut session = ClientSession::new([0; 1_024]);
        let started = session.start(ask, at(0));
        assert_eq!(started, if fits { Ok(()) } else { Err(StartError::NameDoesNotFit) });
        if let ClientAction::SendBytes { bytes } = session.action() {
            assert_eq!(bytes.len(), 513);
            serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
        }
    }
}

#[test]
fn what_cannot_be_started() {
    let mut session = ClientSession::new([0; 1_024]);
    let get = GetRequest::new(NAME).with_offset(3).with_digest_from(Some(4));
    assert_eq!(session.start(ClientRequest::Get(get), at(0)), Err(StartError::DigestRange));
    let get = GetRequest::new(NAME).with_digest(Some(DigestKind::Sha256));
    let expected = if DigestKind::Sha256.is_supported() { Ok(()) } else { Err(StartError::DigestUnsupported) };
    assert_eq!(session.start(ClientRequest::Get(get), at(0)), expected);
    session.abandon();
    assert_eq!(session.action(), ClientAction::Idle);
    session.start(GET, at(0)).expect("idle");
    assert_eq!(session.start(GET, at(0)), Err(StartError::NotIdle));

    let mut session = ClientSession::new([0; 1_023]);
    assert_eq!(session.action(), ClientAction::Close(Failure::BufTooShort));
    assert_eq!(session.start(GET, at(0)), Err(StartError::NotIdle));
    assert_eq!(session.receive(b"{", at(0)), (0, None));
    assert_eq!(session.into_buf().len(), 1_023);
}

#[test]
fn waits_only_for_an_answer_and_only_so_long() {
    let mut session = ClientSession::new([0; 1_024]).with_stall_ms(100);
    assert_eq!(session.deadline(), None);
    let get = GetRequest::new(NAME).with_offset(1).with_digest_from(Some(0));
    session.start(ClientRequest::Get(get), at(5)).expect("idle");
    assert_eq!(session.deadline(), None, "reading back takes what it takes");
    session.rehashed(b"h", at(1_000));
    assert_eq!(session.deadline(), Some((at(1_100), Timer::Stall)));
    session.connected(at(2_000));
    assert_eq!(session.deadline(), Some((at(2_100), Timer::Stall)));
    session.sent(0, at(2_050));
    assert_eq!(session.deadline(), Some((at(2_100), Timer::Stall)), "nothing moved");
    session.sent(3, at(2_050));
    assert_eq!(session.deadline(), Some((at(2_150), Timer::Stall)));
    let ClientAction::SendBytes { bytes } = session.action() else { panic!("all is sent") };
    let len = bytes.len();
    session.sent(len, at(2_060));
    assert_eq!(session.action(), ClientAction::Receive);
    for second in 3..100_u64 {
        assert_eq!(session.receive(b" ", at(second * 1_000)), (1, None));
        session.handle_timeout(at(second * 1_000 + 99));
        assert_eq!(session.deadline(), Some((at(second * 1_000 + 100), Timer::Stall)));
    }
    assert_eq!(session.receive(b"", at(99_050)), (0, None));
    session.handle_timeout(at(99_100));
    assert_eq!(session.action(), ClientAction::Close(Failure::Stalled));
    assert_eq!(session.deadline(), None);
    assert!(Failure::Stalled.is_temporary() && !Failure::Digest.is_temporary());

    let mut session = ClientSession::new([0; 1_024]).with_stall_ms(0);
    session.start(GET, at(0)).expect("idle");
    assert_eq!(session.deadline(), None);
    session.handle_timeout(at(u64::MAX));
    assert!(matches!(session.action(), ClientAction::SendBytes { .. }));
}

/// M13: a byte a minute.
#[test]
fn m13_a_body_that_stalls_is_given_up() {
    let mut session = asked(GET, b"");
    let answer = answer(FILE, 0);
    let (head, _) = session.receive(&answer, at(0));
    assert_eq!(session.receive(&answer[head..=head], at(29_999)).0, 1);
    session.handle_timeout(at(59_998));
    assert_eq!(session.action(), ClientAction::Receive);
    session.handle_timeout(at(59_999));
    assert_eq!(session.action(), ClientAction::Close(Failure::Stalled));
}

#[test]
fn a_clock_that_runs_backwards_is_not_followed() {
    let mut session = asked(GET, b"");
    session.receive(b" ", at(50_000));
    session.receive(b" ", at(10));
    assert_eq!(session.deadline(), Some((at(80_000), Timer::Stall)));
}

/// M7: the end of input in every place.
#[test]
fn m7_an_answer_that_ends_early_is_no_answer() {
    let answer = answer(FILE, 0);
    for cut in 0..=answer.len() {
        let mut session = asked(GET, b"");
        let mut rest = &answer[..cut];
        let mut is_verified = false;
        while !rest.is_empty() {
            let (taken, event) = session.receive(rest, at(0));
            assert!(taken > 0, "no progress");
            is_verified |= matches!(event, Some(ClientEvent::End(End::Verified(_))));
            rest = &rest[taken..];
        }
        assert_eq!(is_verified, cut == answer.len());
        session.receive_eof();
        assert_eq!(session.action(), ClientAction::Close(Failure::Closed));
        session.receive_eof();
        assert_eq!(session.start(GET, at(0)), Err(StartError::NotIdle));
    }
}

#[test]
fn a_request_that_cannot_be_sent_may_have_been_answered() {
    let mut session = ClientSession::new([0; 1_024]);
    session.start(GET, at(0)).expect("idle");
    session.sent(3, at(0));
    session.send_failed();
    assert_eq!(session.action(), ClientAction::Receive);
    let (_, event) = session.receive(b"{\"type\":\"error\",\"code\":\"busy\",\"message\":\"full\"}\n", at(0));
    assert_eq!(event, Some(ClientEvent::ServerClosing(Code::Busy)));
    assert_eq!(session.refusal().map(|refusal| refusal.text), Some("full"));
    assert_eq!(session.action(), ClientAction::Close(Failure::Ended(Code::Busy)));

    let mut session = ClientSession::new([0; 1_024]);
    session.start(GET, at(0)).expect("idle");
    session.send_failed();
    session.receive_eof();
    assert_eq!(session.action(), ClientAction::Close(Failure::SendFailed));
}

#[test]
fn what_was_not_sent_can_be_taken_back() {
    let mut session = ClientSession::new([0; 1_024]);
    session.abandon();
    let get = GetRequest::new(NAME).with_offset(1).with_digest_from(Some(0));
    session.start(ClientRequest::Get(get), at(0)).expect("idle");
    assert_eq!(session.action(), ClientAction::Rehash { offset: 0, len: 1 });
    assert_eq!(session.receive(b"{", at(0)), (0, None));
    session.abandon();
    session.start(GET, at(0)).expect("idle");
    assert_eq!(session.receive(b"{", at(0)), (0, None));
    session.abandon();
    session.start(GET, at(0)).expect("idle");
    session.sent(1, at(0));
    session.abandon();
    assert_eq!(session.action(), ClientAction::Close(Failure::Abandoned));
    session.abandon();
    session.handle_timeout(at(u64::MAX));
    assert_eq!(session.action(), ClientAction::Close(Failure::Abandoned));
    // A session that has closed keeps its reason.
    let mut ended = asked(GET, b"");
    ended.receive_eof();
    ended.abandon();
    assert_eq!(ended.action(), ClientAction::Close(Failure::Closed));
}

proptest! {
    /// Any split of the input gives the same events.
    #[test]
    fn any_split_gives_the_same(
        file in proptest::collection::vec(any::<u8>(), 0..1_500),
        held in 0_usize..2_000,
        pieces in proptest::collection::vec(1_usize..400, 1..20),
        flip in proptest::option::of((any::<proptest::sample::Index>(), 0_u8..8)),
        tail in prop_oneof![Just(""), Just("{\"type\":\"error\",\"code\":\"shuttingDown\"}\n"), Just("x")],
    ) {
        let offset = held.min(file.len());
        let get = GetRequest::new(NAME).with_offset(offset as u64).with_digest_from(Some(0));
        let mut input = answer(&file, offset);
        input.extend_from_slice(tail.as_bytes());
        if let Some((index, bit)) = flip {
            let index = index.index(input.len());
            input[index] ^= 1 << bit;
        }
        let whole = asking::answered_in(ClientRequest::Get(get), &file, &input, &[usize::MAX]);
        prop_assert_eq!(&asking::answered_in(ClientRequest::Get(get), &file, &input, &pieces), &whole);
        prop_assert_eq!(&asking::answered_in(ClientRequest::Get(get), &file, &input, &[1]), &whole);
        if flip.is_none() {
            prop_assert_eq!(&whole.body, &file[offset..]);
        }
        // Whatever was flipped, verified bytes are those of the file.
        let verified = whole.events.iter().any(|event| event.starts_with("verified"));
        prop_assert!(!verified || whole.body == file[offset..]);
    }

    /// No input makes it panic, loop or use more than the room of a line; any split gives the same result.
    #[test]
    fn noise_does_no_harm(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in proptest::collection::vec(1_usize..40, 1..10),
        before in 0_usize..300,
    ) {
        let mut input = answer(FILE, 0);
        input.truncate(before);
        // Every other byte is one with a meaning in JSON.
        let signs = b"{}[]\":,\\ \n10tnue\xC3\xA9";
        input.extend(noise.iter().map(|byte| signs.get(usize::from(*byte % 36)).copied().unwrap_or(*byte)));
        let whole = asking::answered_in(GET, b"", &input, &[usize::MAX]);
        prop_assert_eq!(asking::answered_in(GET, b"", &input, &pieces), whole);
    }
}
