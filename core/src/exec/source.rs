//! Source of a body that a client sends.

/// Source of a body. An error ends the connection; the server keeps what it has.
pub trait Source {
    /// The error of the source.
    type Error;

    /// Called before the body: the server wants the bytes from `offset` on. More than 0 where it has the ones before from an
    /// earlier connection.
    ///
    /// # Errors
    ///
    /// The body cannot be sent.
    fn begin(&mut self, offset: u64) -> Result<(), Self::Error> {
        let _ = offset;
        Ok(())
    }

    /// Reads from `offset` of the file on into `buf`, and returns the number of bytes. `Ok(0)` means that the file is shorter
    /// than was said, which ends the connection.
    ///
    /// # Errors
    ///
    /// The bytes could not be read, or the file is no longer the one that was hashed.
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error>;
}

impl<S: Source + ?Sized> Source for &mut S {
    type Error = S::Error;

    fn begin(&mut self, offset: u64) -> Result<(), Self::Error> {
        (**self).begin(offset)
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error> {
        (**self).read(offset, buf)
    }
}
