//! A store or an observer that panics ends one connection at most.

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use coracle::server::{Event, Server};
use coracle_core::{FileInfo, FileName, Listed, StaticFile, StaticListing, StaticStore, Store, StoreError};

use crate::fixture::{Client, TIMEOUT};

static FILES: [StaticFile<'static>; 2] = [StaticFile::new("a", "1", b"alpha"), StaticFile::new("panics", "1", b"")];

#[derive(Clone)]
struct PanickingStore(StaticStore<'static>);

impl Store for PanickingStore {
    type File = &'static StaticFile<'static>;
    type Listing = StaticListing<'static>;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        assert_ne!(name.as_str(), "panics", "the panic of this test");
        self.0.open(name)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        self.0.info(file)
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.0.read(file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        self.0.list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        self.0.next(listing)
    }
}

#[test]
fn a_panic_ends_only_its_own_connection() {
    let (sender, receiver) = mpsc::channel();
    let (left, lefts) = mpsc::channel();
    let server = Server::new(PanickingStore(StaticStore::new(&FILES)))
        .with_address("127.0.0.1:0".parse().expect("an address"))
        .with_observer(|event: &Event<'_>| assert!(!matches!(event, Event::Connected { .. }), "the panic of this test"))
        .with_observer(move |event: &Event<'_>| {
            if let Event::Disconnected { summary, live, .. } = event {
                left.send((summary.reason.to_string(), *live)).expect("the receiver is there");
            }
        })
        .bind()
        .expect("bound");
    let address = server.addresses()[0];
    let handle = server.handle();
    let running = thread::spawn(move || sender.send(server.run().is_ok()));

    let mut other = Client::new(address);
    other.hello();
    for _ in 0..3 {
        let mut client = Client::new(address);
        client.send(r#"{"type":"get","fileName":"panics"}"#);
        assert!(client.rest_or_reset().1);
        assert_eq!(lefts.recv_timeout(TIMEOUT).expect("left"), ("fault".to_owned(), 1));
    }
    other.send(r#"{"type":"get","fileName":"a","digest":"none"}"#).line();
    assert_eq!(other.bytes(5), b"alpha");
    handle.stop();
    assert_eq!(receiver.recv_timeout(TIMEOUT), Ok(true));
    running.join().expect("no panic").expect("told");
    let closed = TcpStream::connect(address).and_then(|mut stream| stream.read(&mut [0]));
    assert!(closed.is_err(), "it listens no longer");
}
