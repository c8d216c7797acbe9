//! Traits of the connection and the clock that the drivers use.

use embedded_io::{ErrorType, Read, Write};

use crate::Instant;

/// The clock of a driver.
pub trait Clock {
    /// The current time. Must not run backwards.
    fn now(&mut self) -> Instant;
}

impl<F: FnMut() -> Instant> Clock for F {
    fn now(&mut self) -> Instant {
        self()
    }
}

/// A connection whose blocking can be limited.
///
/// `read` that returns `Ok(0)` means that the peer will send no more (embedded-io's rule). An error whose kind is
/// `Interrupted` is tried again, one whose kind is `TimedOut` means that the limit of [`Transport::limit_wait`] has
/// passed; any other one ends the connection.
pub trait Transport: Read + Write {
    /// Limits every following read and write to `limit_ms` milliseconds (at least 1; `None`: no limit), after which it fails
    /// with the kind `TimedOut`. The default sets no limit, so that deadlines are noticed only between calls.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), Self::Error> {
        let _ = limit_ms;
        Ok(())
    }

    /// Reads what has arrived, without waiting; `None` where nothing has. While it sends a file, a client looks for heartbeats and
    /// for an error in the middle of the body. The default sees nothing: then the connection has to break, or to stall, before
    /// the client hears why.
    ///
    /// # Errors
    ///
    /// As [`Read::read`].
    #[cfg(feature = "write")]
    fn read_ready(&mut self, buf: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        let _ = buf;
        Ok(None)
    }

    /// Whether a read would wait for the peer. Where it would, [`serve_until_watch`](super::serve_until_watch) returns between two
    /// requests, so that its owner can wait without a thread. Default: false, so that the driver waits itself.
    #[cfg(feature = "wait")]
    fn would_wait(&mut self) -> bool {
        false
    }

    /// Writes like [`Write::write`]; `more` says that more bytes follow immediately, so that a partial packet may be held back
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

/// Any embedded-io stream as a [`Transport`] without a limit on blocking.
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
