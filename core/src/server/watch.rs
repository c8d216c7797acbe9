//! A `get` that waits at the end of its file.

use super::session::Session;
use super::state::State;
use super::timers::NEVER;
use crate::server::Action;
use crate::store::FileInfo;
use crate::wire::code::Code;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
use crate::wire::request_reader;

impl Session<'_> {
    pub(super) fn watch_action<'a>(&self, buf: &'a [u8]) -> Action<'a> {
        let name = request_reader::known_name(buf, self.context.request.name_len);
        name.map_or(Action::Receive, |name| Action::Watch { name })
    }

    /// Whether a request that begins at the end of its file, which is `info` now, waits.
    pub(super) fn must_wait(&mut self, info: &FileInfo) -> bool {
        let request = &self.context.request;
        if request.kind != RequestKind::Get || request.length == 0 || self.stopping {
            return false;
        }
        if self.watch.until < NEVER {
            // Another version of the same size is a change, too, for which the client need not have named the one before.
            let version = request.version.get(..request.version_len);
            return self.now < self.watch.until && version == Some(info.version.as_str().as_bytes());
        }
        let wait_ms = request.wait_ms.min(self.context.config.wait_max_ms.into());
        if wait_ms > 0 {
            self.watch.until = self.now.after(wait_ms);
            self.set_version(&info.version);
        }
        wait_ms > 0
    }

    /// Has the file looked up again; nothing where the session does not wait.
    pub(super) fn look_again(&mut self) {
        if self.state == State::Watch {
            self.watch.awaits_store = false;
            self.enter_permitted(State::AwaitReply);
        }
    }

    /// Waits for the store, which was not ready.
    pub(super) fn await_store(&mut self) {
        self.watch.awaits_store = true;
        self.enter(State::Watch);
    }

    /// Ends the session in favour of another one, which is told to the client.
    pub(super) fn give_way(&mut self, buf: &mut [u8]) {
        self.watch.gives_way |= !self.stopping;
        self.stop(buf);
    }

    /// Answers the request that waits as the file is.
    pub(super) fn end_wait(&mut self) {
        if self.watch.until < NEVER {
            self.watch.until = self.watch.until.min(self.now);
            self.look_again();
        }
    }

    /// Answers the request that waits, by an owner that cannot wait: as the file is, or with `busy` where the store is not ready.
    pub(super) fn answer_at_once(&mut self, buf: &mut [u8]) {
        if self.watch.awaits_store {
            self.watch.awaits_store = false;
            #[cfg(feature = "classic")]
            if self.context.request.is_classic {
                return self.fail_classic(Code::Busy);
            }
            return self.refuse(buf, Code::Busy, Message::of_store(Code::Busy));
        }
        self.end_wait();
    }
}
