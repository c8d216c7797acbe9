//! A `get` that waits at the end of its file.

use super::session::Session;
use super::state::State;
use crate::server::Action;
use crate::wire::code::Code;
use crate::wire::message::Message;
use crate::wire::request_reader;

impl Session<'_> {
    pub(super) fn watch_action<'a>(&self, buf: &'a [u8]) -> Action<'a> {
        let name = request_reader::known_name(buf, self.context.request.name_len);
        name.map_or(Action::Receive, |name| Action::Watch { name })
    }

    /// Sets how long the request that is complete now may wait.
    pub(super) fn begin_wait(&mut self) {
        let wait_ms = self.context.request.wait_ms.min(self.context.config.wait_max_ms);
        self.watch.until = self.now.after(wait_ms.into());
    }

    /// Has the store asked again; nothing where the session does not wait.
    pub(super) fn look_again(&mut self) {
        if matches!(self.state, State::Watch | State::AwaitStore) {
            self.enter_permitted(State::AwaitReply);
        }
    }

    /// Ends the session in favour of another one, which is told to the client.
    pub(super) fn give_way(&mut self, buf: &mut [u8]) {
        if !self.stopping {
            self.watch.gives_way = true;
        }
        self.stop(buf);
    }

    /// Lets the request under way wait no longer for its file.
    pub(super) fn end_wait(&mut self) {
        self.watch.until = self.now;
        if self.state == State::Watch {
            self.enter_permitted(State::AwaitReply);
        }
    }

    /// Answers the request that waits, by an owner that cannot wait: as the file is, or with `busy` where the store is not ready.
    pub(super) fn answer_at_once(&mut self, buf: &mut [u8]) {
        if self.state == State::AwaitStore {
            #[cfg(feature = "classic")]
            if self.context.request.is_classic {
                return self.fail_classic(Code::Busy);
            }
            return self.refuse(buf, Code::Busy, Message::of_store(Code::Busy));
        }
        self.end_wait();
    }
}
