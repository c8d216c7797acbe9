//! An answer that is sent again: who asks for the same small file once more, over a connection that it keeps, gets what still
//! stands in the driver's buffer, as long as the store says that it is right. Nothing is opened, read or put together then.
//! A board has no flash to spare for a second way to the same end.

use super::{Driver, SendFile};
use crate::drive::Clock;
use crate::drive::server::Observer;
use crate::server::{Request, ServerSession};
use crate::store::{FileInfo, Store};

/// How long the answer to `request` is before its last line, if it is what `stands` at the front of the buffer, and `held` is
/// still the file that is asked for.
pub(super) fn len<B, S>(
    session: &ServerSession<'_, B>,
    stands: usize,
    store: &mut S,
    held: &Option<(S::File, FileInfo)>,
    request: &Request<'_>,
) -> Option<usize>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    S: Store,
{
    let (file, _) = held.as_ref()?;
    let len = session.again(stands)?;
    store.is_current(file, request.name()?).then_some(len)
}

impl<B, T, S, C, O> Driver<'_, '_, B, T, S, C, O>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    C: Clock,
    O: Observer,
{
    /// Sends what stands at the front of the buffer: `len` bytes, and the answer's last line, which is written over itself.
    pub(super) fn answer_again(&mut self, len: usize) {
        if let Some((_, info)) = &self.held {
            self.observer.opened(info);
        }
        self.link.look_at_clock();
        self.link.session.answer_again(self.link.now);
        self.link.pending = len;
        let body_len = self.link.session.last_exchange().body_len;
        if let Some(body_len) = usize::try_from(body_len).ok().filter(|len| *len > 0) {
            self.observer.body(body_len);
        }
    }

    /// Holds the file of the exchange that has ended, if there is one that may be held.
    pub(super) fn hold(&mut self) {
        if let Some(open) = self.open.take() {
            self.held = self.store.is_constant(&open.0).then_some(open);
        }
    }
}
