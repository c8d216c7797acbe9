//! What the drivers need of a connection and of a clock.

use embedded_io::{ErrorType, Read, Write};

use crate::Instant;

/// Tells the time to a driver.
pub trait Clock {
    /// This moment. It does not run backwards.
    fn now(&mut self) -> Instant;
}

impl<F: FnMut() -> Instant> Clock for F {
    fn now(&mut self) -> Instant {
        self()
    }
}

/// A connection whose waiting can be bounded.
///
/// `read` that returns `Ok(0)` means that the peer will send no more (embedded-io's rule). An error whose kind is
/// `Interrupted` is tried again, one whose kind is `TimedOut` means that the limit of [`Transport::limit_wait`] has
/// passed; any other one ends the connection.
///
/// Where many small files are asked for, `read` and [`Transport::write_part`] are worth an `#[inline(always)]` down to their
/// system calls. The driver's loop for a file that is asked for again is one function, so that none returns right behind a
/// system call: the kernel lets a processor forget where to, and on some a wrong guess there makes all that follows dearer,
/// by a tenth of the whole exchange (`tests/bench/run --only kept`).
pub trait Transport: Read + Write {
    /// From now on no single read or write blocks for longer than `limit_ms` (at least 1; `None`: for ever): past it, it
    /// fails with the kind `TimedOut`. The default sets no limit: then the deadlines are noticed only between calls.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), Self::Error> {
        let _ = limit_ms;
        Ok(())
    }

    /// Writes like [`Write::write`]; `more` says that more bytes follow at once, so that a packet may wait for them
    /// (`MSG_MORE`).
    ///
    /// # Errors
    ///
    /// As [`Write::write`].
    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, Self::Error> {
        let _ = more;
        self.write(bytes)
    }
}

/// Any embedded-io stream as a [`Transport`] whose waiting has no limit.
#[derive(Debug)]
pub struct NoTimeout<T>(pub T);

impl<T: ErrorType> ErrorType for NoTimeout<T> {
    type Error = T::Error;
}

impl<T: Read> Read for NoTimeout<T> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf)
    }
}

impl<T: Write> Write for NoTimeout<T> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush()
    }
}

impl<T: Read + Write> Transport for NoTimeout<T> {}
