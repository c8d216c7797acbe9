//! Serves one connection over a blocking transport.

#[cfg(feature = "wait")]
use core::ops::Range;

use super::observer::SessionObserver;
#[cfg(feature = "wait")]
use super::served::Served;
use super::server::{Buffers, SendFile, drive};
use super::transport::Clock;
#[cfg(feature = "write")]
use crate::WritableStore;
#[cfg(feature = "wait")]
use crate::exec::Access;
use crate::exec::{ReadOnly, StoreExchange};
use crate::{Close, ServerSession, Store};

/// Serves one connection until its session ends. The caller then has to close the socket as the returned [`Close`] says.
///
/// Header, small body and trailer are sent in one write, and with them the answers to further requests that were received
/// together, if they take no longer than 10 ms. All bytes are written before the driver waits for the client or hashes a file.
///
/// ```
/// use coracle_core::blocking::{NoTimeout, Buffers, serve};
/// use coracle_core::{Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
///
/// # struct Wire { input: &'static [u8], output: Vec<u8> }
/// # impl embedded_io::ErrorType for Wire { type Error = embedded_io::ErrorKind; }
/// # impl embedded_io::Read for Wire {
/// #     fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> { self.input.read(buf).map_err(|never| match never {}) }
/// # }
/// # impl embedded_io::Write for Wire {
/// #     fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> { self.output.extend_from_slice(buf); Ok(buf.len()) }
/// #     fn flush(&mut self) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// # let wire = Wire { input: br#"{"type":"get","fileName":"motd","digest":"none"}"#, output: Vec::new() };
/// static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
///
/// let config = ServerConfig::new();
/// let mut millis = 0; // a board asks its timer
/// let mut clock = || { millis += 1; Instant::from_millis(millis) };
/// let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
/// let mut transport = NoTimeout(wire); // any embedded-io Read + Write
/// let (mut receive, mut send) = ([0; 256], [0; 1024]);
/// let buffers = Buffers { receive: &mut receive, send: &mut send };
/// let mut store = StaticStore::new(&FILES);
/// serve(&mut session, &mut transport, &mut store, buffers, &mut clock, &mut ());
/// # let text = String::from_utf8(transport.0.output).unwrap();
/// # assert!(text.starts_with(r#"{"type":"file","fileName":"motd","fileSize":15"#) && text.ends_with("Mind the step.\n{\"type\":\"end\"}\n"));
/// ```
pub fn serve<B, T, S, C, O>(
    session: &mut ServerSession<'_, B>,
    transport: &mut T,
    store: &mut S,
    buffers: Buffers<'_>,
    clock: &mut C,
    observer: &mut O,
) -> Close
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    C: Clock,
    O: SessionObserver,
{
    let exchange = StoreExchange::<S, ReadOnly>::new;
    #[cfg(feature = "wait")]
    return serve_without_waiting(session, transport, store, buffers, clock, observer, exchange);
    #[cfg(not(feature = "wait"))]
    drive(session, transport, store, buffers, 0..0, clock, observer, exchange())
}

/// Serves like [`serve`], from a store that clients may write to. What is offered to them is a matter of the session's
/// [`ServerConfig`](crate::ServerConfig::with_offered).
#[cfg(feature = "write")]
pub fn serve_writable<B, T, S, C, O>(
    session: &mut ServerSession<'_, B>,
    transport: &mut T,
    store: &mut S,
    buffers: Buffers<'_>,
    clock: &mut C,
    observer: &mut O,
) -> Close
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: WritableStore,
    C: Clock,
    O: SessionObserver,
{
    let exchange = StoreExchange::writable;
    #[cfg(feature = "wait")]
    return serve_without_waiting(session, transport, store, buffers, clock, observer, exchange);
    #[cfg(not(feature = "wait"))]
    drive(session, transport, store, buffers, 0..0, clock, observer, exchange())
}

/// Serves a connection like [`serve`] until its session ends, or waits for a file to change, or for its client where the transport
/// says that it would wait ([`Transport::would_wait`](super::Transport::would_wait)).
///
/// While it waits, no thread is needed. At the session's deadline (after [`ServerSession::handle_timeout`]), and when the file may
/// have changed (after [`ServerSession::look_again`]), when the server stops or needs the place (after [`ServerSession::stop`] or
/// [`ServerSession::give_way`]), call this again: with a new exchange, `unread` as it was returned, and those bytes where they were
/// in the receive buffer. The file is closed meanwhile.
#[cfg(feature = "wait")]
#[expect(clippy::too_many_arguments, reason = "those of `serve`, and what lasts over a wait")]
pub fn serve_until_watch<B, T, S, A, C, O>(
    session: &mut ServerSession<'_, B>,
    transport: &mut T,
    store: &mut S,
    buffers: Buffers<'_>,
    unread: Range<usize>,
    clock: &mut C,
    observer: &mut O,
    exchange: StoreExchange<S, A>,
) -> Served
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    A: Access<S>,
    C: Clock,
    O: SessionObserver,
{
    drive(session, transport, store, buffers, unread, clock, observer, exchange, true)
}

/// Serves a connection until its session ends. Requests that could wait are answered at once, since nothing would tell that a file
/// has changed.
#[cfg(feature = "wait")]
fn serve_without_waiting<B, T, S, A, C, O>(
    session: &mut ServerSession<'_, B>,
    transport: &mut T,
    store: &mut S,
    buffers: Buffers<'_>,
    clock: &mut C,
    observer: &mut O,
    exchange: fn() -> StoreExchange<S, A>,
) -> Close
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    A: Access<S>,
    C: Clock,
    O: SessionObserver,
{
    let Buffers { receive, send } = buffers;
    let mut rest = 0..0;
    loop {
        let buffers = Buffers { receive, send };
        match drive(session, transport, store, buffers, rest, clock, observer, exchange(), false) {
            Served::Closed(close) => return close,
            // Not where the driver is not to return so.
            Served::Receiving => rest = 0..0,
            Served::Watching { unread, .. } => {
                session.end_wait(clock.now());
                rest = unread;
            }
        }
    }
}
