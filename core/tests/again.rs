//! An answer that stands in the driver's buffer is sent again as long as it is right, and nobody can tell by what is sent.
#![cfg(target_pointer_width = "64")]

mod driving;

use coracle_core::drive::{Plain, Scratch, serve};
use coracle_core::{
    Close, CloseHow, CloseReason, Digest, DigestKind, FileInfo, FileName, Instant, Listed, ServerConfig, ServerSession,
    StaticFile, StaticStore, Store, StoreError,
};
use driving::{Arrival, Log, Served, Shelf, Wire, served_by};
use embedded_io::ErrorKind;

const FILE: &[u8] = b"hello, world";
const GET: &str = r#"{"type":"get","fileName":"a.txt"}"#;
const RANGE: &str = r#"{"type":"get","fileName":"a.txt","offset":7,"length":3,"digest":"none"}"#;

/// Each of `said` arrives by itself.
fn saying(said: &[&str]) -> Wire {
    let reads = said.iter().map(|words| Arrival::Bytes(words.as_bytes().to_vec()));
    Wire { reads: reads.collect(), ..Wire::default() }
}

/// Serves it with buffers that have room for an answer and for what is kept of it.
fn serve_wire(wire: Wire, store: Shelf) -> Served {
    let config = ServerConfig::new();
    let session = ServerSession::new(&config, vec![0; 4_096], Instant::from_millis(0));
    served_by(session, wire, store, 4_096, Log::default())
}

fn constant() -> Shelf {
    Shelf { is_constant: true, ..Shelf::new(FILE) }
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
        assert_eq!(again.store.looked_at, ["a.txt"; 4]);
        assert_eq!(again.store.remembered, anew.store.remembered[..usize::from(words == GET)]);
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
    assert_eq!((served.store.opened, served.store.looked_at.len()), (2, 4));
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
        assert_eq!(again.store.looked_at.len(), 2, "{other}");
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
                let writes = [Some(Ok(usize::MAX)), partly, Some(written)].into_iter().flatten().collect();
                let wire = Wire { writes, ..saying(&said) };
                let served = serve_wire(wire, Shelf { is_constant, ..Shelf::new(FILE) });
                assert_eq!(served.why(), (CloseHow::Abort, expected));
                // The second exchange was begun and never ended.
                assert_eq!((served.log.exchanges.len(), served.log.lines.len()), (1, 6));
            }
        }
    }
    // Interrupted, it goes on.
    let writes = [Ok(usize::MAX), Ok(50), Err(ErrorKind::Interrupted), Ok(1)].into();
    let served = serve_wire(Wire { writes, ..saying(&said) }, constant());
    assert_eq!(served.text(), serve_wire(saying(&said), Shelf::new(FILE)).text());
}

#[test]
fn an_exchange_that_failed_is_not_repeated() {
    // The version at the end of the first exchange is another one.
    let versions = [Ok("v1"), Ok("v2"), Ok("v2"), Ok("v2")].into();
    let served = serve_wire(saying(&[GET; 3]), Shelf { versions, is_constant: true, ..Shelf::new(FILE) });
    assert!(served.text().contains("\"code\":\"changed\""));
    // The second is the first that can be.
    assert_eq!((served.store.opened, served.store.looked_at.len()), (2, 1));
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
    let (a, b) = (FileName::from_static("a.txt"), FileName::from_static("b.txt"));
    let file = store.open(a).expect("there");
    assert!(store.is_constant(&file) && store.is_current(&file, a) && !store.is_current(&file, b));
    assert!(!store.is_current(&&FILES[2], a) && !store.is_current(&file, FileName::from_static("c")));
}
