//! Connections that sessions run over.

use embedded_io_async::{ErrorType, Read, Write};

/// A connection that a session runs over.
///
/// **`read` must be cancel-safe**: a future of it that is dropped before it completes has taken no bytes, since at a session's deadline
/// it is dropped and called again. (`embedded-io-async` only encourages that; embassy-net's sockets and the sockets of tokio
/// keep to it, a UART that receives by DMA may not.) A `write` or `flush` that is dropped is followed by the end of the connection,
/// but for the `write` of a client's `put`: one that is dropped at a deadline has taken no bytes, and may be called again.
/// `read` that returns `Ok(0)` means that the peer will send no more. An error whose kind is `Interrupted` is tried again, any other
/// one ends the connection.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait Transport: Read + Write {
    /// Whether `write` only copies into a buffer, which the transport hands out by [`Transport::write_with`], and sends by
    /// itself or when it is flushed. Otherwise the bytes of a response are collected first, and written in few calls.
    const IS_BUFFERED: bool = false;
    /// Whether `flush` has to be called before bytes are waited for, since what was written may not leave without it.
    const NEEDS_FLUSH: bool = !Self::IS_BUFFERED;

    /// Waits for room in the transport's buffer, passes it to `fill`, and takes over as many bytes of it as `fill` says first.
    /// Called only where [`Transport::IS_BUFFERED`]. Default: no room.
    ///
    /// # Errors
    ///
    /// As [`Write::write`].
    async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Self::Error> {
        Ok(fill(&mut []).1)
    }
}

/// Any stream of `embedded-io-async` as a [`Transport`].
///
/// `read` has to be cancel-safe, see there.
#[derive(Debug)]
pub struct Stream<T>(pub T);

impl<T: Transport> Transport for &mut T {
    const IS_BUFFERED: bool = T::IS_BUFFERED;
    const NEEDS_FLUSH: bool = T::NEEDS_FLUSH;

    async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Self::Error> {
        (**self).write_with(fill).await
    }
}

impl<T: ErrorType> ErrorType for Stream<T> {
    type Error = T::Error;
}

impl<T: Read> Read for Stream<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf).await
    }
}

impl<T: Write> Write for Stream<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().await
    }
}

impl<T: Read + Write> Transport for Stream<T> {}
