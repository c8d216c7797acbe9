//! Source of a body, where it is awaited.

use coracle_core::exec::Source;

/// Source of a body that a client sends, on a medium that is awaited. Every [`Source`] is one, whose calls complete at once. An error
/// ends the connection; the server keeps what it has.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait AsyncSource {
    /// The error of the source.
    type Error;

    /// Called before the body: the server wants the bytes from `offset` on; see [`Source::begin`].
    ///
    /// # Errors
    ///
    /// The body cannot be sent.
    async fn begin(&mut self, offset: u64) -> Result<(), Self::Error> {
        let _ = offset;
        Ok(())
    }

    /// Reads from `offset` of the file on into `buf`, and returns the number of bytes; see [`Source::read`].
    ///
    /// # Errors
    ///
    /// The bytes could not be read, or the file is no longer the one that was hashed.
    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error>;
}

impl<S: Source> AsyncSource for S {
    type Error = S::Error;

    async fn begin(&mut self, offset: u64) -> Result<(), S::Error> {
        Source::begin(self, offset)
    }

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, S::Error> {
        Source::read(self, offset, buf)
    }
}
