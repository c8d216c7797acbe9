//! Serves one connection.

use core::future::Future;

use coracle_core::{Close, ServerSession};

use crate::access::{Access, ReadOnly};
use crate::clock::Clock;
use crate::driver::Driver;
use crate::observer::Observer;
use crate::store::AsyncStore;
use crate::transport::Transport;
#[cfg(feature = "write")]
use crate::upload::ReadWrite;
#[cfg(feature = "write")]
use crate::writable::AsyncWritableStore;

/// The buffers of [`serve`].
#[derive(Debug)]
pub struct Buffers<'a> {
    /// For received bytes; at least 1 byte long. Requests are collected in the session, so that 64 are enough.
    pub receive: &'a mut [u8],
    /// For bytes to send, unless the transport has a buffer itself ([`Transport::IS_BUFFERED`]) and the store need not be awaited,
    /// and for bytes to hash; at least 1 byte long. A longer one means fewer calls of the transport and the store.
    pub send: &'a mut [u8],
}

/// Serves one connection until its session ends. The caller then has to close the connection as the returned [`Close`] says; see
/// [`discard`](crate::discard) for what a lingering close does.
///
/// The header of a file, its bytes and the trailer are sent in as few writes as fit into the send buffer. All bytes are written
/// before the session waits for the client or hashes a file; while it hashes, it yields to other tasks after each buffer, as well
/// as after 16 actions that did not have to wait.
///
/// The future may be dropped at any time: the open file is dropped with it, and there is nothing to clean up but the connection,
/// which then has to be reset.
///
/// ```
/// use coracle_core::{Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
/// use coracle_embassy::{Buffers, Clock, Stream, serve};
/// # use coracle_core::Close;
/// # use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
/// # struct Wire { input: &'static [u8], output: Vec<u8> }
/// # impl ErrorType for Wire { type Error = ErrorKind; }
/// # impl Read for Wire {
/// #     async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> { self.input.read(buf).await.map_err(|never| match never {}) }
/// # }
/// # impl Write for Wire {
/// #     async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> { self.output.extend_from_slice(buf); Ok(buf.len()) }
/// #     async fn flush(&mut self) -> Result<(), ErrorKind> { Ok(()) }
/// # }
/// # struct Stopped;
/// # impl Clock for Stopped {
/// #     fn now(&self) -> Instant { Instant::from_millis(0) }
/// #     async fn sleep_until(&self, _when: Instant) { core::future::pending().await }
/// # }
///
/// static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
/// static CONFIG: ServerConfig<'static> = ServerConfig::new();
///
/// /// `wire`: any embedded-io-async stream, such as a serial line or a socket; `clock`: `EmbassyClock` on a board.
/// async fn serve_one(wire: &mut Wire, clock: &impl Clock) -> Close {
///     let mut session = ServerSession::new(&CONFIG, [0; 512], clock.now());
///     let (mut receive, mut send) = ([0; 64], [0; 1024]);
///     let buffers = Buffers { receive: &mut receive, send: &mut send };
///     let mut store = StaticStore::new(&FILES);
///     serve(&mut session, &mut Stream(wire), &mut store, buffers, clock, &mut ()).await
/// }
/// # let mut wire = Wire { input: br#"{"type":"get","fileName":"motd","digest":"none"}"#, output: Vec::new() };
/// # embassy_futures::block_on(serve_one(&mut wire, &Stopped));
/// # let text = String::from_utf8(wire.output).unwrap();
/// # assert!(text.starts_with(r#"{"type":"file","fileName":"motd","fileSize":15"#) && text.ends_with("Mind the step.\n{\"type\":\"end\"}\n"));
/// ```
pub fn serve<'f, B, T, S, C, O>(
    session: &'f mut ServerSession<'_, B>,
    transport: &'f mut T,
    store: &'f mut S,
    buffers: Buffers<'f>,
    clock: &'f C,
    observer: &'f mut O,
) -> impl Future<Output = Close>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    S: AsyncStore,
    C: Clock,
    O: Observer,
{
    serve_with::<ReadOnly, _, _, _, _, _>(session, transport, store, buffers, clock, observer)
}

/// Serves like [`serve`], from a store that clients may write to. What is offered to them is a matter of the session's
/// [`ServerConfig`](coracle_core::ServerConfig::with_offered). An upload under way when the future is dropped counts as kept.
#[cfg(feature = "write")]
pub fn serve_writable<'f, B, T, S, C, O>(
    session: &'f mut ServerSession<'_, B>,
    transport: &'f mut T,
    store: &'f mut S,
    buffers: Buffers<'f>,
    clock: &'f C,
    observer: &'f mut O,
) -> impl Future<Output = Close>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    S: AsyncWritableStore,
    C: Clock,
    O: Observer,
{
    serve_with::<ReadWrite, _, _, _, _, _>(session, transport, store, buffers, clock, observer)
}

/// Serves with the access `A` to the store.
pub(crate) fn serve_with<'f, A, B, T, S, C, O>(
    session: &'f mut ServerSession<'_, B>,
    transport: &'f mut T,
    store: &'f mut S,
    Buffers { receive, send }: Buffers<'f>,
    clock: &'f C,
    observer: &'f mut O,
) -> impl Future<Output = Close>
where
    A: Access<S>,
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    S: AsyncStore,
    C: Clock,
    O: Observer,
{
    Driver::<_, _, _, A, _, _>::new(session, transport, store, (receive, send), clock, observer).run()
}
