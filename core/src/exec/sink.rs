//! Where a client's body goes, and what is there already.

use crate::client::{ClientAction, ClientSession, Header};
use crate::types::time::Instant;

/// Where a body goes. An error ends the connection.
pub trait Sink {
    /// What can go wrong.
    type Error;

    /// The body is about to begin; `header` was checked against what was asked. Reserve nothing by its sizes alone.
    ///
    /// # Errors
    ///
    /// The body is not wanted, or cannot be taken.
    fn begin(&mut self, header: &Header) -> Result<(), Self::Error> {
        let _ = header;
        Ok(())
    }

    /// The next bytes of the body, which belong at `offset` in the file. They come in order, and are not verified yet.
    ///
    /// # Errors
    ///
    /// They could not be taken.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Reads what an earlier try has brought, from `offset` in the file on, into `buf`, and returns how many bytes;
    /// `Ok(0)`: there is no more. Asked only for a [`GetRequest`] whose digest begins in front of its offset.
    ///
    /// # Errors
    ///
    /// It could not be read.
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

/// Why what is there already was not read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadBackError<S> {
    /// [`Sink::read_back`] failed.
    Sink(S),
    /// There are fewer bytes than the request's offset says.
    TooFew,
}

/// Shows a session that has been told to get the rest of a file the bytes that are there already, through `buf`; does nothing
/// where the session does not want them. After an error the session is idle again.
///
/// # Errors
///
/// What the sink could not read.
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
