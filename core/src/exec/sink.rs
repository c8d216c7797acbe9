//! Destination of a client's body, and the bytes that it already has.

use crate::client::{ClientAction, ClientSession, Header};
use crate::types::time::Instant;

/// Destination of a body. An error ends the connection.
pub trait Sink {
    /// The error of the destination.
    type Error;

    /// Called before the body, with a `header` that was checked against the request. Its sizes are the server's claim: do not
    /// reserve space by them alone.
    ///
    /// # Errors
    ///
    /// The body is not wanted, or cannot be stored.
    fn begin(&mut self, header: &Header) -> Result<(), Self::Error> {
        let _ = header;
        Ok(())
    }

    /// Stores the next bytes of the body, which belong at `offset` of the file. They come in order, and are not verified yet.
    ///
    /// # Errors
    ///
    /// They could not be stored.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Reads bytes of an earlier attempt, from `offset` of the file on, into `buf`, and returns how many; `Ok(0)` for none.
    /// Called only for a [`GetRequest`](crate::GetRequest) whose digest begins before its offset.
    ///
    /// # Errors
    ///
    /// They could not be read.
    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let (_, _) = (offset, buf);
        Ok(0)
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    type Error = S::Error;

    fn begin(&mut self, header: &Header) -> Result<(), Self::Error> {
        (**self).begin(header)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        (**self).write(offset, bytes)
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error> {
        (**self).read_back(offset, buf)
    }
}

/// Why the bytes of an earlier attempt were not read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadBackError<S> {
    /// [`Sink::read_back`] failed.
    Sink(S),
    /// There are fewer bytes than the request's offset says.
    TooFew,
}

/// Feeds the bytes of an earlier attempt to a session that was started to get the rest of a file, through `buf`; does nothing
/// where the session does not need them. After an error the session is idle again.
///
/// # Errors
///
/// The sink failed, or has too few bytes.
pub fn read_back<B, S>(
    session: &mut ClientSession<B>,
    sink: &mut S,
    buf: &mut [u8],
    mut clock: impl FnMut() -> Instant,
) -> Result<(), ReadBackError<S::Error>>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    S: Sink,
{
    while let ClientAction::Rehash { offset, len } = session.action() {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
        let place = buf.get_mut(..len).unwrap_or_default();
        let error = match sink.read_back(offset, place) {
            Ok(0) => ReadBackError::TooFew,
            Ok(len) => {
                let bytes = place.get(..len).unwrap_or(place);
                session.rehashed(bytes, clock());
                continue;
            }
            Err(error) => ReadBackError::Sink(error),
        };
        session.abandon();
        return Err(error);
    }
    Ok(())
}
