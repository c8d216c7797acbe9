//! The store's side of an exchange, without a session.

use coracle_core::exec::StoreExchange;
use coracle_core::{Code, Digest, DigestKind, FileName, Listed, Reply, Request, StaticFile, StaticStore, StoreError};

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];

const GET: Request<'static> = Request::Get {
    name: FileName::from_static("motd"),
    digest: Some(DigestKind::Crc32),
    #[cfg(feature = "replaced")]
    version: None,
    #[cfg(feature = "absolute")]
    absolute: false,
};

#[test]
fn nothing_is_open_before_a_request_and_after_its_end() {
    let (mut store, mut exchange) = (StaticStore::new(&FILES), StoreExchange::default());
    for _ in 0..2 {
        assert!(exchange.info().is_none() && exchange.file_mut().is_none());
        assert_eq!(exchange.entry(&mut store), Err(StoreError::Io));
        assert_eq!(exchange.read(&mut store, 0, &mut [0; 4], false), Err(StoreError::Io));
        assert_eq!(exchange.finish(&mut store, 0, 0), Err(StoreError::Io));
        assert!(format!("{exchange:?}").contains("Nothing"));

        assert!(matches!(exchange.open(&mut store, &GET), Reply::File { known: None, .. }));
        assert_eq!(exchange.info().map(|info| info.size), Some(15));
        assert!(exchange.file_mut().is_some() && format!("{exchange:?}").contains("File"));
        exchange.close();

        assert!(matches!(exchange.open(&mut store, &Request::List { path: None }), Reply::Listing));
        assert!(format!("{exchange:?}").contains("Listing") && exchange.info().is_none());
        assert!(matches!(exchange.entry(&mut store), Ok(Listed::Entry(_))));
        exchange.close();
    }
}

#[test]
fn a_missing_file_is_refused() {
    let (mut store, mut exchange) = (StaticStore::new(&FILES), StoreExchange::new());
    let request = Request::Stat {
        name: FileName::from_static("other"),
        digest: None,
        #[cfg(feature = "absolute")]
        absolute: false,
    };
    assert!(matches!(exchange.open(&mut store, &request), Reply::Refuse(Code::NotFound)));
}

#[test]
fn the_digest_covers_the_bytes_that_were_read_for_it() {
    let (mut store, mut exchange) = (StaticStore::new(&FILES), StoreExchange::new());
    exchange.open(&mut store, &GET);
    let mut buf = [0; 4];
    let mut offset = 0;
    while offset < 15 {
        offset += exchange.read(&mut store, offset, &mut buf, true).expect("there is more") as u64;
    }
    assert_eq!(exchange.read(&mut store, 15, &mut buf, true), Err(StoreError::Io), "the file has ended");
    let finished = exchange.finish(&mut store, 0, 15).expect("the file is there");
    assert!(finished.same_version && finished.digest == Some(Digest::Crc32(0xe7e0_539f)));

    // There is none of bytes that were not read.
    exchange.open(&mut store, &GET);
    exchange.read(&mut store, 0, &mut buf, true).expect("there are bytes");
    let finished = exchange.finish(&mut store, 0, 15).expect("the file is there");
    assert!(finished.same_version && finished.digest.is_none());

    // Bytes that a transport has sent by itself are read again.
    exchange.open(&mut store, &GET);
    exchange.hash_range(&mut store, 0, 15, &mut buf).expect("all of it");
    let finished = exchange.finish(&mut store, 0, 15).expect("the file is there");
    assert_eq!(finished.digest, Some(Digest::Crc32(0xe7e0_539f)));
    exchange.open(&mut store, &GET);
    assert_eq!(exchange.hash_range(&mut store, 0, 16, &mut buf), Err(StoreError::Io), "there is no such byte");
}
