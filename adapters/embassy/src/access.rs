//! Whether a session may write to its store.

use core::convert::Infallible;
use core::future::Future;

use coracle_core::{Instant, Request};
#[cfg(feature = "write")]
use coracle_core::{Put, Reply, WriteError};

use crate::exchange::{Answer, Exchange};
use crate::store::AsyncStore;

/// The store's side of those exchanges that may write. Two implementations rather than a store that refuses, so that a session that
/// only reads is no larger for what it never does.
pub(crate) trait Access<S: AsyncStore> {
    /// An upload under way.
    type Upload;
    /// What is kept of a `put` over its attempts.
    type Put;

    /// Replies to any request but `do`, which is the owner's own.
    fn answer(
        exchange: &mut Exchange<S, Self::Upload, Self::Put>,
        store: &mut S,
        request: Request<'_>,
        now: Instant,
    ) -> impl Future<Output = Answer>;

    /// Passes bytes of a body to the upload, and returns how many it took.
    #[cfg(feature = "write")]
    async fn write(
        exchange: &mut Exchange<S, Self::Upload, Self::Put>,
        store: &mut S,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError>;

    /// Reads from `offset` on of the open file or upload through `buf`, hashes that, and returns the number of bytes.
    #[cfg(feature = "write")]
    fn hash(
        exchange: &mut Exchange<S, Self::Upload, Self::Put>,
        store: &mut S,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> impl Future<Output = Result<usize, WriteError>>;

    /// Gives the upload its name.
    #[cfg(feature = "write")]
    async fn commit(
        exchange: &mut Exchange<S, Self::Upload, Self::Put>,
        store: &mut S,
        put: &Put<'_>,
        now: Instant,
    ) -> Answer;

    /// Ends the exchange, or the connection inside of one: an upload that is not complete is kept for the next connection, one
    /// with wrong contents discarded.
    async fn end(exchange: &mut Exchange<S, Self::Upload, Self::Put>, store: &mut S);
}

/// Requests that write are refused.
pub(crate) enum ReadOnly {}

impl<S: AsyncStore> Access<S> for ReadOnly {
    type Upload = Infallible;
    type Put = Infallible;

    fn answer(
        exchange: &mut Exchange<S, Infallible, Infallible>,
        store: &mut S,
        request: Request<'_>,
        _: Instant,
    ) -> impl Future<Output = Answer> {
        exchange.open(store, request)
    }

    #[cfg(feature = "write")]
    async fn write(
        _: &mut Exchange<S, Infallible, Infallible>,
        _: &mut S,
        _: u64,
        _: &[u8],
        _: Instant,
    ) -> Result<usize, WriteError> {
        Err(WriteError::Unsupported)
    }

    #[cfg(feature = "write")]
    fn hash(
        exchange: &mut Exchange<S, Infallible, Infallible>,
        store: &mut S,
        offset: u64,
        buf: &mut [u8],
        _: Instant,
    ) -> impl Future<Output = Result<usize, WriteError>> {
        exchange.read(store, offset, buf, true)
    }

    #[cfg(feature = "write")]
    async fn commit(_: &mut Exchange<S, Infallible, Infallible>, _: &mut S, _: &Put<'_>, _: Instant) -> Answer {
        Err(Reply::Failed(WriteError::Unsupported))
    }

    async fn end(exchange: &mut Exchange<S, Infallible, Infallible>, _: &mut S) {
        exchange.close();
    }
}
