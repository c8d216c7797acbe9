//! The exchanges that write: bodies that arrive, and what becomes of them.

use super::line_ending::LineEnding;
use super::session::Session;
use super::state::State;
use super::timers::NEVER;
use super::upload_state::Stage;
use crate::server::{Action, CloseHow, CloseReason, Finished, Reply, Request};
#[cfg(feature = "sync")]
use crate::store::Deferral;
use crate::store::{Delete, FileInfo, Put, Replace, WriteError};
#[cfg(feature = "manage")]
use crate::store::{Rename, Space};
use crate::types::time::Timer;
use crate::wire::code::Code;
use crate::wire::line_kind::LineKind;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
use crate::wire::request_reader;
use crate::wire::response_writer::ResponseContext;
use crate::wire::write_members::WriteMembers;

/// How long a session waits before it asks again whether it may send an upload.
const RETRY_MS: u32 = 100;

/// [`Message::of_store`] of each code: smaller on a board than its branches, which are not all that a refusal decides by.
const MESSAGES: [Message; Code::ALL.len()] = {
    let mut messages = [Message::Refused; Code::ALL.len()];
    let mut index = 0;
    while index < messages.len() {
        messages[index] = Message::of_store(Code::ALL[index]);
        index += 1;
    }
    messages
};

impl Session<'_> {
    /// Whether the exchange under way is a `put`.
    pub(super) fn is_put(&self) -> bool {
        self.context.request.kind == RequestKind::Put
    }

    /// Takes the line ending that a `put` has to have, so that no byte of a body that was sent too early is read as a request.
    pub(super) fn receive_line_end(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        for byte in bytes {
            self.line_ending = match (byte, self.line_ending) {
                (b'\r', LineEnding::Any) => LineEnding::LineFeed,
                (b'\n', LineEnding::Any | LineEnding::LineFeed) => LineEnding::Nothing,
                _ => {
                    self.refuse_and_close(buf, Code::BadRequest, Message::PutLine);
                    return bytes.len();
                }
            };
        }
        if self.line_ending == LineEnding::Nothing {
            let read = self.upload.unended.take().unwrap_or(Ok(()));
            self.dispatch(buf, read);
        }
        bytes.len()
    }

    /// Refuses bytes that come before the server is ready for a body; false where none are expected to wait.
    pub(super) fn receive_early(&mut self, buf: &mut [u8]) -> bool {
        let is_early = matches!(self.state, State::AwaitReply | State::AwaitTurn | State::Hash | State::Finish)
            && self.upload.stage != Stage::Verify
            && self.is_put();
        if is_early {
            self.refuse_and_close(buf, Code::BadRequest, Message::PutLine);
        }
        is_early
    }

    /// The action for a request that writes: [`Action::Reply`] or [`Action::Commit`].
    pub(super) fn write_action<'a>(&'a self, buf: &'a [u8]) -> Action<'a> {
        let request = &self.context.request;
        #[cfg(feature = "manage")]
        match request.kind {
            RequestKind::Space => return Action::Reply(Request::Space),
            #[cfg(feature = "sync")]
            RequestKind::Sync => {
                // Where there is none, the session answers by itself.
                let deferral = self.upload.deferral.unwrap_or(Deferral::new(0, 0));
                return Action::Reply(Request::Sync { deferral });
            }
            RequestKind::Do => {
                return Action::Reply(Request::Do { action: request_reader::text(buf, request.name_len) });
            }
            _ => {}
        }
        let Some(name) = request_reader::known_name(buf, request.name_len) else { return Action::Receive };
        // Empty where it is longer than any.
        let version = request.is_versioned.then(|| request_reader::text(&request.version, request.version_len));
        Action::Reply(match request.kind {
            RequestKind::Put => {
                let replace = match version {
                    None => Replace::Nothing,
                    Some("*") => Replace::Anything,
                    Some(version) => Replace::Version(version),
                };
                let modified = request.write.is_dated.then_some(request.digest_from);
                let WriteMembers { parents, .. } = request.write;
                let put = Put {
                    name,
                    size: request.length,
                    digest: request.put_digest,
                    replace,
                    parents,
                    modified,
                    #[cfg(feature = "sync")]
                    deferred: request.write.deferred && self.context.config.offered.has(RequestKind::Sync),
                };
                if self.state == State::Commit {
                    return Action::Commit(put);
                }
                Request::Put(put)
            }
            #[cfg(feature = "manage")]
            RequestKind::Rename => {
                let to =
                    request_reader::known_name(buf.get(request.name_len..).unwrap_or_default(), request.write.to_len);
                Request::Rename(Rename::new(name, to.unwrap_or(name)).with_version(version))
            }
            #[cfg(feature = "manage")]
            RequestKind::MakeDir => Request::MakeDir { path: name },
            _ => Request::Delete(if request.write.is_directory {
                Delete::Directory { path: name }
            } else if request.write.partial {
                Delete::Partial { name }
            } else {
                Delete::File { name, version }
            }),
        })
    }

    /// Answers what needs no store: a path that is the root, an action that is not the owner's. False for the rest.
    pub(super) fn answer_without_store(&mut self, buf: &mut [u8]) -> bool {
        let request = &self.context.request;
        match request.kind {
            RequestKind::Delete if request.name_len == 0 => self.refuse(buf, Code::Denied, Message::Denied),
            #[cfg(feature = "manage")]
            RequestKind::MakeDir if request.name_len == 0 => self.write_end(buf),
            #[cfg(feature = "sync")]
            RequestKind::Sync if self.upload.deferral.is_none() => self.write_end(buf),
            #[cfg(feature = "manage")]
            RequestKind::Do => {
                if self.context.config.actions.has(request_reader::text(buf, request.name_len)) {
                    return false;
                }
                self.refuse(buf, Code::NotFound, Message::Action);
            }
            _ => return false,
        }
        true
    }

    /// Handles a reply that only requests that write have.
    pub(super) fn reply_write(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        if !self.context.request.kind.writes() {
            return self.misuse();
        }
        let (is_put, is_commit) = (self.is_put(), self.state == State::Commit);
        match reply {
            Reply::Failed(error) => {
                #[cfg(feature = "sync")]
                if self.is_sync() {
                    self.upload.deferral = None;
                }
                self.refuse_write(buf, error);
            }
            Reply::Stored { info } if is_put => self.end_put(buf, info),
            #[cfg(feature = "sync")]
            Reply::Deferred(deferral) if is_put && is_commit => self.end_deferred(buf, deferral),
            #[cfg(feature = "sync")]
            Reply::Pending if self.is_sync() && !is_commit => self.enter(State::Commit),
            #[cfg(feature = "sync")]
            Reply::Done if self.is_sync() => {
                self.upload.deferral = None;
                self.write_end(buf);
            }
            Reply::Pending if is_commit => self.send_heartbeat_when_due(buf),
            _ if is_commit => self.misuse(),
            #[cfg(feature = "manage")]
            Reply::Space(space) if self.context.request.kind == RequestKind::Space => self.write_space(buf, space),
            #[cfg(feature = "manage")]
            _ if self.context.request.kind == RequestKind::Space => self.misuse(),
            Reply::Done if !is_put => self.write_end(buf),
            Reply::Pending if is_put => self.enter(State::AwaitTurn),
            Reply::Compare if is_put => {
                self.hash_first(buf, 0, self.context.request.length);
            }
            Reply::Upload { have, reads_back } if is_put => {
                let size = self.context.request.length;
                let have = have.min(size);
                self.context.size = size;
                self.context.modified = None;
                self.context.request.offset = have;
                self.upload.stage = Stage::Prefix;
                self.upload.reads_back = reads_back;
                self.hash_first(buf, if reads_back { have } else { 0 }, have);
            }
            _ => self.misuse(),
        }
    }

    fn end_put(&mut self, buf: &mut [u8], info: &FileInfo) {
        debug_assert_ne!(info.version.as_str(), "*", "no file has this version");
        self.context.digest = Some(self.context.request.put_digest);
        self.set_version(&info.version);
        self.write(buf, LineKind::BodyEnd, State::Receive);
    }

    /// Ends a `put` whose file is durable later. What version it has then is not known.
    #[cfg(feature = "sync")]
    fn end_deferred(&mut self, buf: &mut [u8], deferral: Deferral) {
        let earlier = self.upload.deferral;
        self.upload.deferral = Some(earlier.map_or(deferral, |earlier| earlier.with(deferral)));
        self.context.digest = Some(self.context.request.put_digest);
        self.context.request.version_len = 0;
        self.write(buf, LineKind::BodyEnd, State::Receive);
    }

    #[cfg(feature = "sync")]
    fn is_sync(&self) -> bool {
        self.context.request.kind == RequestKind::Sync
    }

    #[cfg(feature = "manage")]
    fn write_space(&mut self, buf: &mut [u8], space: Space) {
        let told = |number: Option<u64>| number.unwrap_or(ResponseContext::UNKNOWN);
        self.context.size = told(space.total);
        self.context.end = told(space.free);
        self.context.request.length = told(space.max_file);
        self.write(buf, LineKind::Space, State::Receive);
    }

    /// Sends the store's error as the response.
    fn refuse_write(&mut self, buf: &mut [u8], error: WriteError) {
        self.context.size = error.limit().unwrap_or(ResponseContext::UNKNOWN);
        self.refuse_by_store(buf, error.code());
    }

    /// Sends a refusal of the store as the response. Inside a body the connection ends with it.
    pub(super) fn refuse_by_store(&mut self, buf: &mut [u8], code: Code) {
        let message = match MESSAGES.get(code as usize).copied().unwrap_or(Message::Refused) {
            Message::Unreadable if self.context.request.kind.writes() => Message::Unwritable,
            message => message,
        };
        if self.state == State::ReceiveBody {
            self.refuse_and_close(buf, code, message);
        } else {
            self.refuse(buf, code, message);
        }
    }

    /// Hashes the bytes `start..end` of what the stage says, if any, and goes on.
    fn hash_first(&mut self, buf: &mut [u8], start: u64, end: u64) {
        self.position = start;
        self.context.end = end;
        self.hash_or_header(buf);
    }

    /// Goes on behind what was hashed.
    pub(super) fn after_hash(&mut self, buf: &mut [u8]) {
        if self.upload.stage == Stage::Prefix {
            self.context.end = self.context.size;
            self.write(buf, LineKind::Header, State::ReceiveBody);
        } else {
            self.enter(State::Finish);
        }
    }

    /// The client has been told `ready`.
    pub(super) fn begin_body(&mut self, buf: &mut [u8]) {
        if self.upload.stage != Stage::Body {
            self.upload.stage = Stage::Body;
            self.received = self.now;
            self.begin_answer();
        }
        if self.position >= self.context.end {
            self.end_upload(buf);
        } else if self.eof {
            self.close(CloseHow::Finish, CloseReason::Broken);
        } else {
            self.enter(State::ReceiveBody);
        }
    }

    /// Offers `len` received bytes to the store. Returns where in the file they belong, and how many do; `None` where no body is
    /// received.
    pub(super) fn receive_body(&mut self, len: usize) -> Option<(u64, usize)> {
        if self.state != State::ReceiveBody || len == 0 {
            return None;
        }
        // The store works now, and the client need not send.
        self.timers.set(Timer::Stall, NEVER);
        self.timers.set(Timer::Rate, NEVER);
        self.received = self.now;
        Some((self.position, self.of_body(len)))
    }

    pub(super) fn stored(&mut self, buf: &mut [u8], len: usize) {
        if self.state != State::ReceiveBody {
            return self.misuse();
        }
        // The time that the store took is not the client's.
        self.answer_began = self.answer_began.after(self.now.since(self.received));
        self.received = self.now;
        self.advance(self.of_body(len));
        if self.position >= self.context.end {
            return self.end_upload(buf);
        }
        self.send_heartbeat_when_due(buf);
    }

    /// How many of `len` bytes belong to the body.
    fn of_body(&self, len: usize) -> usize {
        self.up_to(self.context.end, u32::try_from(len).unwrap_or(u32::MAX))
    }

    /// The whole body is stored: hashes it where that was not done as it came.
    #[inline(never)]
    fn end_upload(&mut self, buf: &mut [u8]) {
        self.upload.stage = Stage::Verify;
        if self.upload.reads_back {
            self.position = 0;
        }
        self.hash_or_header(buf);
    }

    pub(super) fn store_failed(&mut self, buf: &mut [u8], error: WriteError) {
        match self.state {
            State::ReceiveBody | State::Hash | State::Finish => self.refuse_write(buf, error),
            _ => self.misuse(),
        }
    }

    /// The digest of a file that is there, or of the one that was stored.
    pub(super) fn finished_put(&mut self, buf: &mut [u8], finished: Finished) {
        let expected = &self.context.request.put_digest;
        let next = match self.upload.stage {
            Stage::Compare => State::AwaitReply,
            _ if finished.digest.as_ref() == Some(expected) => State::Commit,
            _ => return self.refuse(buf, Code::Corrupt, Message::Corrupt),
        };
        self.enter_permitted(next);
    }

    /// Handles the end of input inside of a `put`; false where it may end.
    pub(super) fn end_of_input(&mut self) -> bool {
        let is_broken = matches!(self.state, State::ReceiveBody | State::AwaitTurn);
        if is_broken {
            self.close(CloseHow::Finish, CloseReason::Broken);
        }
        is_broken
    }

    /// Starts what a state that writes has beside heartbeats.
    pub(super) fn start_write_timers(&mut self) {
        match self.state {
            // From the last byte that came, whatever was sent meanwhile.
            State::ReceiveBody => {
                self.start_send_timers();
                self.timers.start(Timer::Stall, self.received, self.context.config.stall_ms);
            }
            State::AwaitTurn => self.timers.start(Timer::Retry, self.now, RETRY_MS),
            _ => {}
        }
    }
}
