//! An answer that is sent again: who asks for the same small file once more, over a connection that it keeps, gets what still
//! stands in the driver's buffer, as long as the store says that it is right. Nothing is opened, read or put together then.
//! A board has no flash to spare for a second way to the same end.

use super::{Driver, SendFile};
use crate::drive::Clock;
use crate::drive::server::Observer;
use crate::store::Store;

/// What of an answer was sent again.
enum Again {
    /// Nothing: it has to be found anew.
    Not,
    /// The session knows how much.
    InPart,
    /// All of it, and the session knows.
    Whole,
}

impl<B, T, S, C, O> Driver<'_, '_, B, T, S, C, O>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    C: Clock,
    O: Observer,
{
    /// Waits until something has arrived that is to be answered anew, and answers what comes before that; false where
    /// something else is to be done first.
    ///
    /// One loop in one function, as [`Transport`](crate::drive::Transport) tells why.
    pub(super) fn receive_other(&mut self) -> bool {
        while self.arrive() {
            match self.answer_again() {
                Again::Not => return true,
                Again::Whole if !self.observer.should_stop() => {}
                _ => return false,
            }
        }
        false
    }

    /// Answers the request at the front of what has arrived with what stands at the front of the buffer, if that answers it
    /// and is still right.
    #[inline(always)]
    fn answer_again(&mut self) -> Again {
        let (Some((file, _)), stands) = (&self.held, self.link.stands) else { return Again::Not };
        let bytes = self.receive.get(self.arrived.clone()).unwrap_or_default();
        let Some(len) = self.link.session.asks_again(bytes, stands) else { return Again::Not };
        let limit_ms = self.link.session.answer_limit_ms();
        if !self.store.is_current(file) || self.link.transport.limit_wait(limit_ms).is_err() {
            return Again::Not;
        }
        let wants_steps = self.observer.wants_steps();
        if wants_steps {
            self.tell_steps();
        }
        if self.link.is_kept.is_none() {
            self.keep_answer(stands);
        }
        let kept = self.held.as_ref().filter(|_| self.link.is_kept == Some(true));
        let kept = kept.and_then(|(file, _)| self.store.kept_answer(file));
        let answer = kept.or(self.link.send.get(..stands)).unwrap_or_default();
        let sent = self.link.transport.write_part(answer, false).map(|len| len.min(stands));
        if !matches!(sent, Ok(sent) if sent == stands) {
            if !wants_steps {
                self.tell_steps();
            }
            self.finish_again(sent);
            return Again::InPart;
        }
        self.link.look_at_clock();
        self.arrived.start += len;
        self.link.session.answered_again(len, self.link.now);
        self.exchanges = self.link.session.exchanges();
        let exchange = self.link.session.last_exchange();
        if wants_steps {
            self.observer.exchange(&exchange);
        } else {
            self.observer.again(&exchange);
        }
        Again::Whole
    }

    /// The first write of the answer came to `sent`, which is not all of it.
    #[cold]
    fn finish_again(&mut self, sent: Result<usize, T::Error>) {
        let bytes = self.receive.get(self.arrived.clone()).unwrap_or_default();
        self.arrived.start += self.link.session.receive(bytes, self.link.now);
        let end_len = self.link.session.answer_up_to_end(self.link.now);
        self.link.look_at_clock();
        self.link.pending = self.link.stands;
        let mut written = 0;
        if self.link.wrote(sent, &mut written, true) && self.link.flush_from(written, false) {
            self.link.sent(end_len);
        }
    }

    /// Lets the store keep what stands at the front of the buffer, or be asked no more.
    #[cold]
    fn keep_answer(&mut self, stands: usize) {
        let (Some((file, _)), Some(answer)) = (&self.held, self.link.send.get(..stands)) else { return };
        self.store.keep_answer(file, answer);
        self.link.is_kept = Some(self.store.kept_answer(file) == Some(answer));
    }

    fn tell_steps(&mut self) {
        let Some(request) = self.link.session.request() else { return };
        self.observer.request(&request);
        if let Some((_, info)) = &self.held {
            self.observer.opened(info);
        }
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
