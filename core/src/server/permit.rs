//! The owner's decision whether a client may do what it asks for.

use super::demand::{Demand, Permit};
use super::session::Session;
use super::state::State;
use crate::wire::code::Code;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
use crate::wire::request_reader;

impl Session<'_> {
    /// Enters `state` when the owner permits it, at once where every client may do everything.
    #[cfg(any(feature = "write", feature = "wait"))]
    pub(super) fn enter_permitted(&mut self, state: State) {
        if self.context.config.asks_permits {
            self.next = state;
            self.enter(State::Permit);
        } else {
            self.enter(state);
        }
    }

    /// Waits for the owner's decision on a complete request, or on who sent one that is refused.
    pub(super) fn await_permit(&mut self, read: Result<(), (Code, Message)>) {
        self.next = match read {
            Ok(()) => {
                self.last.kind = Some(self.context.request.kind);
                State::Receive
            }
            Err((code, message)) => {
                (self.context.code, self.context.message) = (code, message);
                State::SendLine
            }
        };
        self.enter(State::Permit);
    }

    /// What the client asks for.
    pub(super) fn demand<'a>(&'a self, buf: &'a [u8]) -> Demand<'a> {
        let request = &self.context.request;
        let kind = if self.is_refused() { RequestKind::Hello } else { request.kind };
        #[cfg(feature = "manage")]
        let to = request_reader::text(buf.get(request.name_len..).unwrap_or_default(), request.write.to_len);
        #[cfg(not(feature = "manage"))]
        let to = "";
        let subject = request_reader::text(buf, request.name_len);
        Demand { kind, subject, to, actions: self.context.config.action_words() }
    }

    pub(super) fn permit(&mut self, buf: &mut [u8], permit: Permit<'_>) {
        if self.state != State::Permit {
            return self.misuse();
        }
        match permit {
            Permit::Unknown { key } => {
                self.put_name(buf, key.as_bytes());
                self.refuse_and_close(buf, Code::Denied, Message::UnknownKey);
            }
            _ if self.is_refused() => self.refuse(buf, self.context.code, self.context.message),
            Permit::Granted(grant) => {
                (self.context.kinds, self.context.actions) = (grant.kinds, grant.actions);
                match self.next {
                    State::Receive => self.begin_exchange(buf),
                    next => self.enter(next),
                }
            }
            #[cfg(feature = "classic")]
            Permit::Denied if self.context.request.is_classic => self.deny_classic(buf),
            Permit::Denied => self.refuse(buf, Code::Denied, Message::Denied),
        }
    }

    /// Whether the request is to be refused, with the code and message of the context, from any client.
    fn is_refused(&self) -> bool {
        self.next == State::SendLine
    }
}
