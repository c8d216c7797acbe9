//! Destination of a body, where it is awaited.

use coracle_core::Header;
use coracle_core::exec::Sink;

/// Destination of a client's body, on a medium that is awaited. Every [`Sink`] is one, whose calls complete at once. An error ends
/// the connection.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait AsyncSink {
    /// The error of the destination.
    type Error;

    /// Called before the body, with a `header` that was checked against the request; see [`Sink::begin`].
    ///
    /// # Errors
    ///
    /// The body is not wanted, or cannot be stored.
    async fn begin(&mut self, header: &Header) -> Result<(), Self::Error> {
        let _ = header;
        Ok(())
    }

    /// Stores the next bytes of the body, which belong at `offset` of the file. They come in order, and are not verified yet.
    ///
    /// # Errors
    ///
    /// They could not be stored.
    async fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Reads bytes of an earlier attempt, from `offset` of the file on, into `buf`, and returns how many; `Ok(0)` for none. Called only
    /// for a [`GetRequest`](coracle_core::GetRequest) whose digest begins before its offset.
    ///
    /// # Errors
    ///
    /// They could not be read.
    async fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let (_, _) = (offset, buf);
        Ok(0)
    }
}

impl<S: Sink> AsyncSink for S {
    type Error = S::Error;

    async fn begin(&mut self, header: &Header) -> Result<(), S::Error> {
        Sink::begin(self, header)
    }

    async fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), S::Error> {
        Sink::write(self, offset, bytes)
    }

    async fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, S::Error> {
        Sink::read_back(self, offset, buf)
    }
}
