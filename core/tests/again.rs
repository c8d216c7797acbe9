//! An answer that stands in the driver's buffer is sent again as long as it is right, and nobody can tell by what is sent.
#![cfg(target_pointer_width = "64")]

mod driving;

use std::cell::Cell;
use std::collections::VecDeque;

use coracle_core::drive::{Observer, Plain, Scratch, serve};
use coracle_core::{
    Close, CloseHow, CloseReason, Digest, DigestKind, Exchange, FileInfo, FileName, Instant, Listed, Request,
    ServerConfig, ServerSession, StaticFile, StaticStore, Store, StoreError,
};
use driving::{Arrival, Log, Served, Shelf, Wire, served_by};
use embedded_io::ErrorKind;
use proptest::prelude::*;

const FILE: &[u8] = b"hello, world";
const GET: &str = r#"{"type":"get","fileName":"a.txt"}"#;
const RANGE: &str = r#"{"type":"get","fileName":"a.txt","offset":7,"length":3,"digest":"none"}"#;

const VERSIONED: &str = r#"{"type":"get","fileName":"a.txt","version":"v1"}"#;
const OTHER_VERSION: &str = r#"{"type":"get","fileName":"a.txt","version":"v2"}"#;

/// Each of `said` arrives by itself.
fn saying(said: &[&str]) -> Wire {
    let reads = said.iter().map(|words| Arrival::Bytes(words.as_bytes().to_vec()));
    Wire { reads: reads.collect(), ..Wire::default() }
}

/// Serves it with buffers that have room for an answer and for what is kept of it.
fn serve_wire(wire: Wire, store: Shelf) -> Served {
    serve_told(wire, store, Log::default())
}

fn serve_told(wire: Wire, store: Shelf, log: Log) -> Served {
    let config = ServerConfig::new();
    let session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
    served_by(session, wire, store, 4_096, log)
}

fn constant() -> Shelf {
    Shelf { is_constant: true, ..Shelf::new(FILE) }
}

fn brief() -> Log {
    Log { is_brief: true, ..Log::default() }
}

#[test]
fn is_neither_opened_nor_read_and_is_told_as_if_it_were() {
    for words in [GET, RANGE] {
        let said = [words; 5];
        let (again, anew) = (serve_wire(saying(&said), constant()), serve_wire(saying(&said), Shelf::new(FILE)));
        assert_eq!((again.text(), again.why()), (anew.text(), anew.why()));
        assert_eq!((&again.log.lines, &again.log.exchanges), (&anew.log.lines, &anew.log.exchanges));
        assert_eq!((&again.wire.parts, &again.wire.limits), (&anew.wire.parts, &anew.wire.limits));
        assert_eq!((again.store.opened, anew.store.opened), (1, 5));
        assert_eq!(again.store.read_len * 5, anew.store.read_len);
        assert_eq!((again.store.looks, anew.store.looks), (4, 0));
        assert_eq!(again.store.remembered, anew.store.remembered[..usize::from(words == GET)]);
    }
}

#[test]
fn who_does_not_want_the_steps_is_told_the_end() {
    for words in [GET, RANGE] {
        let all = serve_wire(saying(&[words; 5]), constant());
        let ends = serve_told(saying(&[words; 5]), constant(), brief());
        assert_eq!((ends.text(), ends.why()), (all.text(), all.why()));
        assert_eq!((&ends.wire.parts, &ends.wire.limits), (&all.wire.parts, &all.wire.limits));
        assert_eq!(ends.log.lines, all.log.lines[..3], "the first answer is put together");
        assert_eq!((&ends.log.exchanges[..], &ends.log.again[..]), (&all.log.exchanges[..1], &all.log.exchanges[1..]));
    }
}

/// The bytes that are sent are those that the store keeps, as long as they are the answer.
#[test]
fn an_answer_that_is_kept_is_sent() {
    struct Swapped(Shelf, Vec<u8>, Cell<usize>);

    impl Store for Swapped {
        type File = ();
        type Listing = ();

        fn open(&mut self, name: FileName<'_>) -> Result<(), StoreError> {
            self.0.open(name)
        }
        fn info(&mut self, file: &()) -> Result<FileInfo, StoreError> {
            self.0.info(file)
        }
        fn read(&mut self, file: &mut (), offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
            self.0.read(file, offset, buf)
        }
        fn list(&mut self, path: Option<FileName<'_>>) -> Result<(), StoreError> {
            self.0.list(path)
        }
        fn next<'b>(&mut self, listing: &'b mut ()) -> Result<Listed<'b>, StoreError> {
            self.0.next(listing)
        }
        fn is_constant(&self, file: &()) -> bool {
            self.0.is_constant(file)
        }
        fn is_current(&mut self, file: &()) -> bool {
            self.0.is_current(file)
        }
        fn keep_answer(&mut self, file: &(), answer: &[u8]) {
            self.0.keep_answer(file, answer);
            // As long, and never sent by who sends what is his own.
            self.1 = vec![b'#'; answer.len()];
        }
        /// What was offered, the first time.
        fn kept_answer<'a>(&'a self, file: &'a ()) -> Option<&'a [u8]> {
            self.2.set(self.2.get() + 1);
            if self.2.get() == 1 { self.0.kept_answer(file) } else { Some(&self.1) }
        }
    }

    let config = ServerConfig::new();
    let mut wire = Plain(saying(&[GET; 5]));
    let mut session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
    let mut store = Swapped(Shelf { keeps: true, ..constant() }, Vec::new(), Cell::new(0));
    let (mut receive, mut send) = ([0; 256], [0; 1024]);
    let scratch = Scratch { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut wire, &mut store, scratch, &mut || Instant::from_millis(0), &mut ());
    let anew = serve_wire(saying(&[GET]), Shelf::new(FILE));
    let answer_len = store.1.len();
    let (first, others) = wire.0.sent.split_at(answer_len);
    assert!(anew.wire.sent.starts_with(first) && first.ends_with(b"}\n"));
    assert!(others.starts_with(&[b'#'].repeat(4 * answer_len)));
    assert_eq!((store.0.offers, store.0.kept.as_deref()), (1, Some(first)));
}

#[test]
fn an_answer_that_is_not_the_kept_one_is_sent_all_the_same() {
    let anew = serve_wire(saying(&[RANGE, RANGE, GET, GET, GET, RANGE, RANGE]), Shelf::new(FILE));
    let run = |kept: Option<&str>| {
        let kept = kept.map(|bytes| bytes.as_bytes().to_vec());
        serve_wire(saying(&[RANGE, RANGE, GET, GET, GET, RANGE, RANGE]), Shelf { keeps: true, kept, ..constant() })
    };
    let first = run(None).store.kept.expect("kept");
    let first = String::from_utf8(first).expect("UTF-8");
    for kept in [None, Some(""), Some("another"), Some(&first), Some(&first[1..]), Some(&first.replace('w', "x"))] {
        let again = run(kept);
        assert_eq!((again.text(), again.why()), (anew.text(), anew.why()), "{kept:?}");
        assert_eq!(again.wire.parts, anew.wire.parts, "{kept:?}");
        // Each that is sent again is offered once.
        assert_eq!((again.store.opened, again.store.offers), (3, 3), "{kept:?}");
    }
}

/// What the transport does not take of it is sent out of the driver's buffer.
#[test]
fn a_kept_answer_that_is_sent_in_part_goes_on() {
    let anew = serve_wire(saying(&[GET; 3]), Shelf::new(FILE));
    for len in [1, 50, 100, 200] {
        let writes = [Ok(usize::MAX), Ok(len), Ok(1)].into();
        let again = serve_wire(Wire { writes, ..saying(&[GET; 3]) }, Shelf { keeps: true, ..constant() });
        assert_eq!((again.text(), again.why()), (anew.text(), anew.why()), "{len}");
    }
}

#[test]
fn nobody_is_told_nothing() {
    let config = ServerConfig::new();
    let (mut wire, mut store) = (saying(&[GET; 5]), constant());
    let mut session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
    let (mut receive, mut send) = ([0; 256], [0; 1024]);
    let scratch = Scratch { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut wire, &mut store, scratch, &mut || Instant::from_millis(0), &mut ());
    assert_eq!((wire.sent, store.opened), (serve_wire(saying(&[GET; 5]), Shelf::new(FILE)).wire.sent, 1));
}

#[test]
fn who_says_nothing_of_it_is_told_the_steps() {
    #[derive(Default)]
    struct Count(usize, usize);

    impl Observer for Count {
        fn request(&mut self, _: &Request<'_>) {
            self.0 += 1;
        }
        fn exchange(&mut self, _: &Exchange) {
            self.1 += 1;
        }
    }

    let config = ServerConfig::new();
    let (mut wire, mut store, mut count) = (saying(&[GET; 5]), constant(), Count::default());
    let mut session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
    let (mut receive, mut send) = ([0; 256], [0; 1024]);
    let scratch = Scratch { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut wire, &mut store, scratch, &mut || Instant::from_millis(0), &mut count);
    assert_eq!((count.0, count.1, store.opened), (5, 5, 1));
}

/// Of a request that is not kept, its answer is not kept, either: nothing would tell it from the answer to another.
#[test]
fn an_answer_without_its_request_answers_nothing() {
    let long = format!(r#"{{"type":"get","fileName":"a.txt","x":"{}"}}"#, "x".repeat(1_024));
    for first in [VERSIONED, &long] {
        let said = [first, RANGE, first, first, r#"{"type":"get","fileName":"b"}"#, first, "{}", first, "\n", "x"];
        let (again, anew) = (serve_wire(saying(&said), constant()), serve_wire(saying(&said), Shelf::new(FILE)));
        assert_eq!((again.text(), again.why()), (anew.text(), anew.why()));
        assert_eq!((again.log.lines, again.store.looks), (anew.log.lines, 0));
    }
}

#[test]
fn a_line_ending_belongs_to_the_request_before_it() {
    for ending in ["\n", "\r\n", "\r", " \n", "\n\n"] {
        let line = [GET, ending].concat();
        for said in [vec![line.as_str(); 5], vec![GET, ending, &line, &line, GET, ending, GET, "\n"]] {
            let (again, anew) = (serve_wire(saying(&said), constant()), serve_wire(saying(&said), Shelf::new(FILE)));
            assert_eq!((again.text(), again.why()), (anew.text(), anew.why()), "{ending:?}");
            assert_eq!((again.log.lines, again.log.exchanges), (anew.log.lines, anew.log.exchanges), "{ending:?}");
            // What limits each wait tells whether a request was seen to begin.
            assert_eq!(again.wire.limits, anew.wire.limits, "{ending:?}");
            assert_eq!((again.store.opened, anew.store.opened), (1, 5), "{ending:?}");
        }
    }
}

#[test]
fn a_server_that_stops_answers_no_more() {
    let run = |store, stop_after| serve_told(saying(&[GET; 9]), store, Log { stop_after: Some(stop_after), ..brief() });
    let mut counts = Vec::new();
    for stop_after in 0..40 {
        let served = run(constant(), stop_after);
        let answers = served.text().matches("\"end\"").count();
        counts.push(answers);
        let is_told = served.text().lines().last().is_some_and(|line| line.contains("shuttingDown"));
        assert!(is_told || answers == 9, "{stop_after}");
    }
    assert!(counts.is_sorted() && (0..=9).all(|answers| counts.contains(&answers)), "{counts:?}");
}

#[test]
fn sending_may_take_as_long_as_the_first_bytes_of_any_answer() {
    for (stall_ms, min_rate, expected) in
        [(7_000, 0, Some(7_000)), (7_000, 1_000, Some(7_000)), (0, 1_000, Some(30_000)), (0, 0, None)]
    {
        let config = ServerConfig::new().stall_ms(stall_ms).min_rate(min_rate);
        let session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
        let served = served_by(session, saying(&[GET; 2]), constant(), 4_096, Log::default());
        assert_eq!((served.store.opened, served.wire.limits.len()), (1, 5));
        assert_eq!(served.wire.limits[3], expected);
    }
    // Where it cannot be limited, the session ends.
    for limits_left in [2, 3] {
        let wire = Wire { limits_left: Some(limits_left), ..saying(&[GET; 3]) };
        let served = serve_wire(wire, constant());
        assert_eq!(served.why(), (CloseHow::Abort, CloseReason::Transport));
        assert_eq!(served.log.exchanges.len(), 1, "{limits_left}");
    }
}

#[test]
fn an_empty_file_too() {
    let said = [r#"{"type":"get","fileName":"a.txt","digest":"none"}"#; 3];
    let empty = || Shelf { bytes: Vec::new(), ..constant() };
    let again = serve_wire(saying(&said), empty());
    let anew = serve_wire(saying(&said), Shelf { is_constant: false, ..empty() });
    assert_eq!((again.text(), again.store.opened), (anew.text(), 1));
    assert_eq!(again.log.lines, anew.log.lines);
}

#[test]
fn only_as_long_as_the_file_is_the_same() {
    let store = Shelf { current: [true, false, true].into(), ..constant() };
    let served = serve_wire(saying(&[GET; 5]), store);
    assert_eq!((served.store.opened, served.store.looks), (2, 4));
    assert_eq!(served.text(), serve_wire(saying(&[GET; 5]), Shelf::new(FILE)).text());

    // Where it is opened anew its state counts, and the answer is another one.
    let versions = [Ok("v1"), Ok("v1"), Ok("v2"), Ok("v2"), Ok("v2")].into();
    let served = serve_wire(saying(&[GET; 4]), Shelf { current: [false].into(), versions, ..constant() });
    let told = served.text().split_inclusive('\n').filter(|line| line.contains("version")).collect::<String>();
    assert_eq!((told.matches("\"v1\"").count(), told.matches("\"v2\"").count()), (1, 3));
}

#[test]
fn only_if_nothing_came_between() {
    let between = [
        RANGE,
        r#"{"type":"stat","fileName":"a.txt"}"#,
        r#"{"type":"get","fileName":"missing"}"#,
        r#"{"type":"list"}"#,
        r#"{"type":"hello"}"#,
        r#"{"type":1}"#,
        VERSIONED,
        OTHER_VERSION,
        #[cfg(feature = "classic")]
        "some text",
    ];
    for other in between {
        let said = [GET, GET, other, GET, GET];
        let config = ServerConfig::new();
        #[cfg(feature = "classic")]
        let config = config.text(coracle_core::TextPolicy::Echo);
        let [again, anew] = [constant(), Shelf::new(FILE)].map(|store| {
            let session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
            served_by(session, saying(&said), store, 4_096, Log::default())
        });
        assert_eq!((again.text(), again.log.lines), (anew.text(), anew.log.lines), "{other}");
        assert_eq!(again.store.looks, 2, "{other}");
    }
}

/// In pieces of any length, where several come at once, and with buffers that have no room for it.
#[test]
fn whatever_the_lengths() {
    let requests = [GET, GET, RANGE, RANGE, RANGE, "\r\n", RANGE, GET, GET].concat();
    let config = ServerConfig::new();
    let run = |is_constant, piece: usize, scratch_len, buf_len| {
        let reads = requests.as_bytes().chunks(piece).map(|bytes| Arrival::Bytes(bytes.to_vec())).collect();
        let session = ServerSession::new(&config, vec![0; buf_len], Instant::from_millis(0));
        let store = Shelf { is_constant, ..Shelf::new(FILE) };
        served_by(session, Wire { reads, ..Wire::default() }, store, scratch_len, Log::default())
    };
    let expected = run(false, usize::MAX, 4_096, 4_096).text();
    assert_eq!(run(true, usize::MAX, 4_096, 4_096).store.opened, 3);
    for piece in [usize::MAX, GET.len(), 10, 1] {
        for scratch_len in (1..300).step_by(7).chain([200, 201, 202, 230, 240, 4_096]) {
            for buf_len in [512, 800, 4_096] {
                let served = run(true, piece, scratch_len, buf_len);
                assert!(served.text() == expected, "{piece} {scratch_len} {buf_len}: {}", served.text());
            }
        }
    }
}

/// What arrives together gets one reply to all its text, wherever requests stand between.
#[cfg(feature = "classic")]
#[test]
fn whatever_text_stands_between() {
    use coracle_core::TextPolicy;

    let said = [GET, GET, "some text", GET, GET, "\n", "more", GET, GET, " ", GET, "\r\n", GET, "{", "a.txt"].concat();
    for policy in [TextPolicy::Echo, TextPolicy::Reply("yes\n"), TextPolicy::Reject] {
        let config = ServerConfig::new().text(policy);
        for piece in (1..2 * GET.len()).chain([said.len()]) {
            let [again, anew] = [constant(), Shelf::new(FILE)].map(|store| {
                let reads = said.as_bytes().chunks(piece).map(|bytes| Arrival::Bytes(bytes.to_vec())).collect();
                let session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
                served_by(session, Wire { reads, ..Wire::default() }, store, 4_096, Log::default())
            });
            assert_eq!((again.text(), again.why()), (anew.text(), anew.why()), "{policy:?} {piece}");
            assert_eq!(
                (again.log.lines, again.log.exchanges),
                (anew.log.lines, anew.log.exchanges),
                "{policy:?} {piece}"
            );
            assert_eq!(again.wire.limits, anew.wire.limits, "{policy:?} {piece}");
        }
    }
}

/// What fails on its way fails as it would the first time.
#[test]
fn what_fails_is_told() {
    let said = [GET; 3];
    for is_constant in [true, false] {
        for (written, expected) in [
            (Err(ErrorKind::BrokenPipe), CloseReason::Transport),
            (Ok(0), CloseReason::Transport),
            (Err(ErrorKind::TimedOut), CloseReason::Stalled),
        ] {
            for partly in [None, Some(Ok(50))] {
                let writes: VecDeque<_> = [Some(Ok(usize::MAX)), partly, Some(written)].into_iter().flatten().collect();
                for log in [Log::default(), brief()] {
                    let wire = Wire { writes: VecDeque::clone(&writes), ..saying(&said) };
                    let served = serve_told(wire, Shelf { is_constant, ..Shelf::new(FILE) }, log);
                    assert_eq!(served.why(), (CloseHow::Abort, expected));
                    // The second exchange was begun and never ended.
                    assert_eq!((served.log.exchanges.len(), served.log.lines.len()), (1, 6));
                    assert_eq!(
                        (served.log.again.len(), served.wire.parts.len()),
                        (0, 1 + usize::from(partly.is_some()) + usize::from(written.is_ok()))
                    );
                }
            }
        }
    }
    // Interrupted, it goes on.
    let anew = serve_wire(saying(&said), Shelf::new(FILE));
    for interrupted in [
        vec![Ok(usize::MAX), Ok(50), Err(ErrorKind::Interrupted), Ok(1)],
        vec![Ok(usize::MAX), Err(ErrorKind::Interrupted), Ok(50)],
    ] {
        let served = serve_wire(Wire { writes: interrupted.into(), ..saying(&said) }, constant());
        assert_eq!((served.text(), served.store.opened), (anew.text(), 1));
        assert_eq!((&served.log.lines, &served.log.exchanges), (&anew.log.lines, &anew.log.exchanges));
    }
}

#[test]
fn an_exchange_that_failed_is_not_repeated() {
    // The version at the end of the first exchange is another one.
    let versions = [Ok("v1"), Ok("v2"), Ok("v2"), Ok("v2")].into();
    let served = serve_wire(saying(&[GET; 3]), Shelf { versions, is_constant: true, ..Shelf::new(FILE) });
    assert!(served.text().contains("\"code\":\"changed\""));
    // The second is the first that can be.
    assert_eq!((served.store.opened, served.store.looks), (2, 1));
}

/// A store of constants, and the same files in one that says nothing of it.
#[test]
fn a_store_of_slices_does_it_by_itself() {
    struct Silent<'a>(StaticStore<'a>);

    impl<'a> Store for Silent<'a> {
        type File = &'a StaticFile<'a>;
        type Listing = ();

        fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
            self.0.open(name)
        }
        fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
            self.0.info(file)
        }
        fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
            self.0.read(file, offset, buf)
        }
        fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
            Err(StoreError::NotFound)
        }
        fn next<'b>(&mut self, (): &'b mut ()) -> Result<Listed<'b>, StoreError> {
            Err(StoreError::Io)
        }
        fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
            self.0.known_digest(file, kind)
        }
    }

    fn run(mut store: impl Store, said: &[&str]) -> (Vec<u8>, Close) {
        let config = ServerConfig::new();
        // Who would notice that there is no end.
        let (mut wire, mut log) = (Plain(saying(said)), Log::default());
        let mut session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
        let (mut receive, mut send) = ([0; 256], [0; 1024]);
        let scratch = Scratch { receive: &mut receive, send: &mut send };
        let close = serve(&mut session, &mut wire, &mut store, scratch, &mut || Instant::from_millis(0), &mut log);
        (wire.0.sent, close)
    }

    static FILES: [StaticFile<'static>; 3] = [
        StaticFile::new("a.txt", "v1", b"hello, world").with_crc32(0xffab_723a),
        StaticFile::new("b.txt", "v1", b"hello, earth"),
        StaticFile::new("a.txt", "v2", b"never fetched"),
    ];
    let other = GET.replace("a.txt", "b.txt");
    let said = [GET, GET, &other, &other, RANGE, GET, GET, GET];
    let (sent, close) = run(StaticStore::new(&FILES), &said);
    assert_eq!((sent.clone(), close), run(Silent(StaticStore::new(&FILES)), &said));
    assert_eq!(sent.windows(12).filter(|bytes| *bytes == b"hello, earth").count(), 2);

    let mut store = StaticStore::new(&FILES);
    let file = store.open(FileName::from_static("a.txt")).expect("there");
    assert!(store.is_constant(&file) && store.is_current(&file));
    let others = StaticFile::new("c", "v1", b"");
    assert!(store.is_current(&&FILES[1]) && !store.is_current(&&FILES[2]) && !store.is_current(&&others));
}

/// What can be said, and what each write comes to.
fn words() -> impl Strategy<Value = &'static str> {
    let others = [
        VERSIONED,
        OTHER_VERSION,
        r#"{"type":"stat","fileName":"a.txt"}"#,
        r#"{"type":"get","fileName":"b"}"#,
        "\n",
        "\r\n",
        " ",
        "text",
        "{",
    ];
    prop_oneof![6 => Just(GET), 3 => Just(RANGE), 2 => proptest::sample::select(others.to_vec())]
}

fn outcome() -> impl Strategy<Value = Result<usize, ErrorKind>> {
    let failures = [Err(ErrorKind::Interrupted), Err(ErrorKind::TimedOut), Err(ErrorKind::BrokenPipe), Ok(0)];
    prop_oneof![
        9 => Just(Ok(usize::MAX)),
        3 => (1_usize..250).prop_map(Ok),
        1 => proptest::sample::select(failures.to_vec()),
    ]
}

/// What was sent before the server said that it stops, which may have left in part only.
fn before_stop(told: &str) -> &str {
    let farewell = r#"{"type":"error","code":"shuttingDown""#;
    let begun = || told.rmatch_indices('{').map(|(at, _)| at).find(|at| farewell.starts_with(&told[*at..]));
    told.find(farewell).or_else(begun).map_or(told, |at| &told[..at])
}

proptest! {
    /// Whatever comes, in whatever pieces, and whatever fails: what is sent, when and in which pieces, and what an owner hears
    /// is the same.
    #[test]
    fn nobody_can_tell(
        said in proptest::collection::vec(words(), 1..30),
        pieces in proptest::collection::vec(1_usize..120, 1..8),
        writes in proptest::collection::vec(outcome(), 0..40),
        lens in proptest::sample::select(vec![(4_096, 4_096), (4_096, 512), (300, 4_096), (64, 4_096)]),
        stop_after in proptest::option::of(0_usize..80),
    ) {
        let config = ServerConfig::new();
        #[cfg(feature = "classic")]
        let config = config.text(coracle_core::TextPolicy::Echo);
        let (said, (scratch_len, buf_len)) = (said.concat(), lens);
        let run = |store, is_brief| {
            let (mut reads, mut rest) = (VecDeque::new(), said.as_bytes());
            for len in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*len).min(rest.len()));
                reads.push_back(Arrival::Bytes(piece.to_vec()));
                rest = behind;
            }
            let session = ServerSession::new(&config, vec![0; buf_len], Instant::from_millis(0));
            let wire = Wire { reads, writes: writes.clone().into(), ..Wire::default() };
            // Whoever stops is asked about it in other places.
            let log = Log { is_brief, stop_after: stop_after.filter(|_| is_brief), ..Log::default() };
            served_by(session, wire, store, scratch_len, log)
        };
        let (again, anew) = (run(constant(), false), run(Shelf::new(FILE), false));
        prop_assert_eq!((again.text(), again.why()), (anew.text(), anew.why()));
        prop_assert_eq!((&again.log.lines, &again.log.exchanges), (&anew.log.lines, &anew.log.exchanges));
        prop_assert_eq!((&again.wire.parts, &again.wire.limits), (&anew.wire.parts, &anew.wire.limits));
        let kept = run(Shelf { keeps: true, ..constant() }, false);
        prop_assert_eq!((again.text(), &again.wire.parts, again.why()), (kept.text(), &kept.wire.parts, kept.why()));
        let brief = run(constant(), true);
        let heard = brief.log.exchanges.len() + brief.log.again.len();
        let (told, all) = (brief.text(), anew.text());
        prop_assert!(all.starts_with(before_stop(&told)), "{}", told);
        prop_assert!(heard == anew.log.exchanges.len() || stop_after.is_some() && heard < anew.log.exchanges.len());
    }
}
