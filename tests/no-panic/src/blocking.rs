//! The blocking drivers, over an opaque transport.

use core::hint::black_box;

use coracle_core::blocking::{Buffers, ClientError, Connection, NoTimeout, serve};
use coracle_core::exec::Sink;
use coracle_core::{
    ClientRequest, Close, DigestKind, End, Entry, FileName, GetRequest, Instant, Listing, ServerSession, StartError,
    StaticStore,
};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use crate::entries;

pub(crate) struct Anything;

impl ErrorType for Anything {
    type Error = ErrorKind;
}

impl Read for Anything {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        black_box(buf);
        black_box(Ok(0))
    }
}

impl Write for Anything {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        black_box(buf);
        black_box(Ok(0))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }
}

impl Sink for Anything {
    type Error = ErrorKind;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ErrorKind> {
        black_box((offset, bytes));
        black_box(Ok(()))
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        black_box((offset, buf));
        black_box(Ok(0))
    }
}

type Client = Connection<[u8; 1024], [u8; 512], NoTimeout<Anything>, fn() -> Instant>;

entries! {
    fn blocking_hello(client: &mut Client) -> Result<u64, ClientError<ErrorKind>> {
        client.hello(|hello| black_box(hello.max_request))
    }

    fn blocking_list(client: &mut Client, path: Option<FileName<'_>>) -> Result<Listing, ClientError<ErrorKind, ErrorKind>> {
        client.list(path, |entry: Entry<'_>| {
            black_box(&entry);
            black_box(Ok(()))
        })
    }

    fn blocking_get(client: &mut Client, get: &GetRequest<'_>) -> Result<End, ClientError<ErrorKind, ErrorKind>> {
        client.get(get, &mut Anything)
    }

    fn blocking_stat(client: &mut Client, name: FileName<'_>, digest: Option<DigestKind>) -> Result<u64, ClientError<ErrorKind>> {
        client.stat(name, digest).map(|header| black_box(header.size))
    }

    fn blocking_finish_get(client: &mut Client) -> Result<End, ClientError<ErrorKind, ErrorKind>> {
        client.finish_get(&mut Anything)
    }

    fn blocking_write_request(client: &Client, ask: &ClientRequest<'_>, buf: &mut [u8]) -> Result<usize, StartError> {
        client.write_request(ask, buf)
    }

    fn blocking_start_sent(client: &mut Client, ask: ClientRequest<'_>) -> Result<(), StartError> { client.start_sent(ask) }

    fn blocking_has_received(client: &Client) -> bool { client.has_received() }

    fn blocking_finish_stat(client: &mut Client) -> Result<u64, ClientError<ErrorKind>> {
        client.finish_stat().map(|header| black_box(header.size))
    }

    fn blocking_finish_list(client: &mut Client) -> Result<Listing, ClientError<ErrorKind, ErrorKind>> {
        client.finish_list(|entry: Entry<'_>| {
            black_box(&entry);
            black_box(Ok(()))
        })
    }

    fn blocking_serve(
        session: &mut ServerSession<'static, [u8; 512]>,
        store: &mut StaticStore<'static>,
        receive: &mut [u8],
        send: &mut [u8],
    ) -> Close {
        let mut clock = || Instant::from_millis(black_box(0));
        serve(session, &mut NoTimeout(Anything), store, Buffers { receive, send }, &mut clock, &mut ())
    }
}
