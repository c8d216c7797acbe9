//! The exchanges that write: bodies that arrive, and what becomes of them.

use super::line_ending::LineEnding;
use super::session::{HEARTBEAT_MS, Session};
use super::state::State;
use super::timers::NEVER;
use super::upload_state::Stage;
use crate::server::{CloseHow, CloseReason, Finished, Reply, Request};
use crate::store::{Delete, FileInfo, Put, Replace, WriteError};
#[cfg(feature = "manage")]
use crate::store::{Rename, Space};
use crate::types::time::Timer;
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::message::Message;
use crate::wire::request_reader::{self, RequestKind};
use crate::wire::response_writer::{LineKind, ResponseContext};

/// How long a session waits before it asks again whether it may send an upload.
const RETRY_MS: u32 = 100;

impl Session<'_> {
    /// Whether the exchange under way is a `put`.
    pub(super) fn is_put(&self) -> bool {
        self.context.request.kind == RequestKind::Put
    }

    /// Waits for the line ending that a `put` has to have, so that no byte of a body that was sent too early is read as a
    /// request.
    pub(super) fn await_line_end(&mut self, refusal: Option<(Code, Message)>) {
        self.upload.awaits_line_end = true;
        self.upload.is_refused = refusal.is_some();
        if let Some((code, message)) = refusal {
            (self.context.code, self.context.message) = (code, message);
        }
    }

    /// Takes the line ending behind a `put`.
    pub(super) fn receive_line_end(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        let mut taken: usize = 0;
        for byte in bytes {
            taken = taken.saturating_add(1);
            match (byte, self.line_ending) {
                (b'\r', LineEnding::Any) => self.line_ending = LineEnding::LineFeed,
                (b'\n', _) => {
                    self.upload.awaits_line_end = false;
                    if taken < bytes.len() {
                        break;
                    }
                    self.line_ending = LineEnding::Nothing;
                    self.has_begun = false;
                    let refusal = (self.context.code, self.context.message);
                    self.dispatch(buf, if self.upload.is_refused { Err(refusal) } else { Ok(()) });
                    return taken;
                }
                _ => {
                    self.refuse_and_close(buf, Code::BadRequest, Message::PutLine);
                    return bytes.len();
                }
            }
        }
        if !self.upload.awaits_line_end {
            self.refuse_and_close(buf, Code::BadRequest, Message::EarlyBody);
            return bytes.len();
        }
        taken
    }

    /// Refuses bytes that come before the server is ready for a body; false where none are expected to wait.
    pub(super) fn receive_early(&mut self, buf: &mut [u8]) -> bool {
        let is_early = match self.state {
            State::AwaitTurn | State::AwaitReply => self.is_put(),
            State::Hash | State::Finish => self.is_put() && self.upload.stage != Stage::Verify,
            _ => false,
        };
        if is_early {
            self.fail(buf, Code::BadRequest, Message::EarlyBody);
        }
        is_early
    }

    /// Enters `state`; where there are rights, only when the owner permits it.
    #[cfg(not(feature = "rights"))]
    pub(super) fn enter_permitted(&mut self, state: State) {
        self.enter(state);
    }

    /// The request for the store, if it is one that writes.
    pub(super) fn write_request<'a>(&'a self, buf: &'a [u8]) -> Option<Request<'a>> {
        let request = &self.context.request;
        let name = request_reader::known_name(buf, request.name_len);
        let version = request.is_versioned.then(|| self.requested_version());
        Some(match request.kind {
            RequestKind::Put => Request::Put(self.put(buf)?),
            RequestKind::Delete if request.write.is_directory => Request::Delete(Delete::Directory { path: name? }),
            RequestKind::Delete if request.write.partial => Request::Delete(Delete::Partial { name: name? }),
            RequestKind::Delete => Request::Delete(Delete::File { name: name?, version }),
            #[cfg(feature = "manage")]
            RequestKind::Rename => {
                let to = request_reader::known_name(buf.get(request.name_len..)?, request.write.to_len)?;
                Request::Rename(Rename::new(name?, to).with_version(version))
            }
            #[cfg(feature = "manage")]
            RequestKind::MakeDir => Request::MakeDir { path: name? },
            #[cfg(feature = "manage")]
            RequestKind::Space => Request::Space,
            #[cfg(feature = "manage")]
            RequestKind::Do => Request::Do { action: request_reader::text(buf, request.name_len) },
            _ => return None,
        })
    }

    pub(super) fn put<'a>(&'a self, buf: &'a [u8]) -> Option<Put<'a>> {
        let request = &self.context.request;
        let name = request_reader::known_name(buf, request.name_len)?;
        let replace = match (request.is_versioned, self.requested_version()) {
            (false, _) => Replace::Nothing,
            (true, "*") => Replace::Anything,
            (true, version) => Replace::Version(version),
        };
        let modified = request.write.is_dated.then_some(request.digest_from);
        let put = Put::new(name, request.length, request.write.digest);
        Some(put.with_replace(replace).with_parents(request.write.parents).with_modified(modified))
    }

    /// The version of the request; empty where it is longer than any.
    fn requested_version(&self) -> &str {
        let request = &self.context.request;
        if request.version_len > request.version.len() {
            return "";
        }
        request_reader::text(&request.version, request.version_len)
    }

    /// Answers what needs no store: a path that is the root, an action that is not the owner's. False for the rest.
    pub(super) fn answer_without_store(&mut self, buf: &mut [u8]) -> bool {
        let request = &self.context.request;
        match request.kind {
            RequestKind::Delete if request.name_len == 0 => self.refuse(buf, Code::Denied, Message::Denied),
            #[cfg(feature = "manage")]
            RequestKind::MakeDir if request.name_len == 0 => self.write_end(buf),
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

    /// Handles the store's reply to a request that writes.
    pub(super) fn reply_write(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        let kind = self.context.request.kind;
        match (reply, kind) {
            (Reply::Failed(error), _) => self.refuse_write(buf, error),
            #[cfg(feature = "manage")]
            (Reply::Refuse(code), RequestKind::Do) => self.refuse(buf, code, Message::ActionFailed),
            (Reply::Refuse(code), _) => self.refuse(buf, code, Message::of_writing(code)),
            (Reply::Stored { info }, RequestKind::Put) => self.end_put(buf, info),
            (Reply::Pending, RequestKind::Put) => self.enter(State::AwaitTurn),
            (Reply::Compare, RequestKind::Put) => {
                self.upload.stage = Stage::Compare;
                self.hash_put(buf, 0, self.context.request.length);
            }
            (Reply::Upload { have, reads_back }, RequestKind::Put) => {
                let size = self.context.request.length;
                self.context.size = size;
                self.context.request.offset = have.min(size);
                self.upload.stage = Stage::Prefix;
                self.upload.reads_back = reads_back;
                self.hash_put(buf, 0, if reads_back { 0 } else { have.min(size) });
            }
            (Reply::Done, RequestKind::Delete) => self.write_end(buf),
            #[cfg(feature = "manage")]
            (Reply::Done, RequestKind::Rename | RequestKind::MakeDir | RequestKind::Do) => self.write_end(buf),
            #[cfg(feature = "manage")]
            (Reply::Space(space), RequestKind::Space) => self.write_space(buf, space),
            _ => self.misuse(),
        }
    }

    /// Handles the store's reply to a commit.
    pub(super) fn committed(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        match reply {
            Reply::Stored { info } => self.end_put(buf, info),
            Reply::Pending => self.send_heartbeat_when_due(buf),
            Reply::Failed(error) => self.refuse_write(buf, error),
            _ => self.misuse(),
        }
    }

    fn end_put(&mut self, buf: &mut [u8], info: &FileInfo) {
        debug_assert_ne!(info.version.as_str(), "*", "no file has this version");
        self.context.digest = Some(self.context.request.write.digest);
        self.set_version(&info.version);
        self.write(buf, LineKind::Stored, State::Receive);
    }

    /// Sets the version that the next line tells.
    fn set_version(&mut self, version: &Version) {
        let version = version.as_str().as_bytes();
        let request = &mut self.context.request;
        if let Some(place) = request.version.get_mut(..version.len()) {
            place.copy_from_slice(version);
        }
        request.version_len = version.len();
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
        let code = error.code();
        self.context.size = error.limit().unwrap_or(ResponseContext::UNKNOWN);
        self.refuse(buf, code, Message::of_writing(code));
    }

    /// Ends an exchange by an error, and the connection with it.
    fn fail(&mut self, buf: &mut [u8], code: Code, message: Message) {
        self.last.error = Some(code);
        self.end_exchange();
        self.refuse_and_close(buf, code, message);
    }

    /// Hashes the bytes from `position` to `end` of what the stage says, if any, and goes on.
    fn hash_put(&mut self, buf: &mut [u8], position: u64, end: u64) {
        self.position = position;
        self.context.end = end;
        self.after_hash(buf);
    }

    /// Goes on hashing, or goes on behind it.
    pub(super) fn after_hash(&mut self, buf: &mut [u8]) {
        if self.position < self.context.end {
            if self.state != State::Hash {
                self.enter(State::Hash);
            }
        } else if self.upload.stage == Stage::Prefix {
            self.context.end = self.context.size;
            self.write(buf, LineKind::Ready, State::ReceiveBody);
        } else {
            self.enter(State::Finish);
        }
    }

    /// The client has been told `ready`.
    pub(super) fn begin_body(&mut self, buf: &mut [u8]) {
        if self.upload.stage != Stage::Body {
            self.upload.stage = Stage::Body;
            self.position = self.context.request.offset;
            self.upload.received = self.now;
            self.answer_began = self.now;
            self.answer_len = 0;
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
        self.timers.start(Timer::Stall, self.now, 0);
        self.timers.start(Timer::Rate, self.now, 0);
        self.upload.received = self.now;
        let rest = self.context.end.saturating_sub(self.position);
        Some((self.position, len.min(usize::try_from(rest).unwrap_or(usize::MAX))))
    }

    pub(super) fn stored(&mut self, buf: &mut [u8], len: usize) {
        if self.state != State::ReceiveBody {
            return self.misuse();
        }
        let rest = self.context.end.saturating_sub(self.position);
        let len = u64::try_from(len).unwrap_or(u64::MAX).min(rest);
        // The time that the store took is not the client's.
        self.answer_began = self.answer_began.after(self.now.since(self.upload.received));
        self.answer_len = self.answer_len.saturating_add(len);
        self.upload.received = self.now;
        self.position = self.position.saturating_add(len);
        self.last.body_len = self.last.body_len.saturating_add(len);
        if self.position >= self.context.end {
            return self.end_upload(buf);
        }
        self.start_send_timers();
        self.send_heartbeat_when_due(buf);
    }

    /// The whole body is stored.
    fn end_upload(&mut self, buf: &mut [u8]) {
        self.upload.stage = Stage::Verify;
        let size = self.context.size;
        self.hash_put(buf, if self.upload.reads_back { 0 } else { size }, size);
    }

    pub(super) fn store_failed(&mut self, buf: &mut [u8], error: WriteError) {
        match self.state {
            State::ReceiveBody => {
                let code = error.code();
                self.context.size = error.limit().unwrap_or(ResponseContext::UNKNOWN);
                self.fail(buf, code, Message::of_writing(code));
            }
            State::Hash | State::Finish => self.refuse_write(buf, error),
            _ => self.misuse(),
        }
    }

    /// The digest of a file that is there, or of the one that was stored.
    pub(super) fn finished_put(&mut self, buf: &mut [u8], finished: Finished) {
        let expected = self.context.request.write.digest;
        match self.upload.stage {
            Stage::Compare => self.enter_permitted(State::AwaitReply),
            _ if finished.digest == Some(expected) => self.enter_permitted(State::Commit),
            _ => self.refuse(buf, Code::Corrupt, Message::Corrupt),
        }
    }

    /// Ends the exchange whose body did not come in time.
    pub(super) fn body_timed_out(&mut self, buf: &mut [u8]) {
        self.fail(buf, Code::Timeout, Message::BodyTimeout);
    }

    /// Handles the end of input inside of a `put`; false where it may end.
    pub(super) fn end_of_input(&mut self) -> bool {
        let is_broken = matches!(self.state, State::ReceiveBody | State::AwaitTurn);
        if is_broken {
            self.close(CloseHow::Finish, CloseReason::Broken);
        }
        is_broken
    }

    /// Stops waiting for another connection; false where the session does not.
    pub(super) fn stop_waiting(&mut self, buf: &mut [u8]) -> bool {
        let is_waiting = self.state == State::AwaitTurn;
        if is_waiting {
            self.fail(buf, Code::ShuttingDown, Message::Stopping);
        }
        is_waiting
    }

    /// Whether the state that begins goes on with the heartbeats of the one before.
    pub(super) fn keeps_heartbeat(&self) -> bool {
        #[cfg(feature = "rights")]
        if self.state == State::Permit {
            return true;
        }
        self.state.is_computing() || self.state == State::AwaitReply
    }

    /// Starts the timers of a state with heartbeats.
    pub(super) fn start_write_timers(&mut self) {
        self.timers.stop_others();
        if self.state.is_computing() && self.timers.expiry(Timer::Heartbeat) == NEVER {
            self.timers.start(Timer::Heartbeat, self.now, HEARTBEAT_MS);
        }
        match self.state {
            // From the last byte that came, whatever was sent meanwhile.
            State::ReceiveBody => {
                self.start_send_timers();
                self.timers.start(Timer::Stall, self.upload.received, self.context.config.stall_ms);
            }
            State::AwaitTurn => self.timers.start(Timer::Retry, self.now, RETRY_MS),
            _ => {}
        }
    }
}
