//! Responses: from the store's replies to lines and bodies.

use super::session::Session;
use super::state::State;
use crate::server::{CloseHow, CloseReason, Finished, Reply, Request, ServerEvent};
use crate::store::{EntryKind, FileInfo, Listed, StoreError};
use crate::types::digest::Digest;
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::line_kind::LineKind;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
use crate::wire::request_reader;
use crate::wire::response_writer::LineWriter;

impl Session<'_> {
    pub(super) fn reply(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        if !self.state.awaits_reply() {
            return self.misuse();
        }
        self.begin_answer();
        #[cfg(feature = "classic")]
        if self.context.request.is_classic {
            return self.reply_classic(buf, reply);
        }
        match (reply, self.context.request.kind) {
            #[cfg(feature = "write")]
            (Reply::Refuse(_), _) if self.state == State::Commit => self.misuse(),
            #[cfg(feature = "manage")]
            (Reply::Refuse(code), RequestKind::Do) => self.refuse(buf, code, Message::ActionFailed),
            (Reply::Refuse(code), _) => self.refuse_by_store(buf, code),
            (Reply::Listing, RequestKind::List) => self.enter(State::SelectEntry),
            (Reply::File { info, known }, RequestKind::Stat | RequestKind::Get) => self.open(buf, info, known),
            #[cfg(feature = "wait")]
            (Reply::Pending, RequestKind::Stat | RequestKind::Get) => self.enter(State::AwaitStore),
            #[cfg(feature = "write")]
            (reply, _) => self.reply_write(buf, reply),
            #[cfg(not(feature = "write"))]
            _ => self.misuse(),
        }
    }

    pub(super) fn entry(&mut self, buf: &mut [u8], entry: Result<Listed<'_>, StoreError>) {
        if self.state != State::SelectEntry {
            return self.misuse();
        }
        #[cfg(feature = "classic")]
        if self.context.request.is_classic {
            return self.entry_classic(buf, entry);
        }
        match entry {
            Ok(Listed::Skipped) => self.context.skipped = self.context.skipped.saturating_add(1),
            Ok(Listed::Hidden) => self.context.hidden = self.context.hidden.saturating_add(1),
            Ok(Listed::Unnameable) => {
                self.context.unnameable = self.context.unnameable.saturating_add(1);
            }
            Ok(Listed::Entry(entry)) => {
                self.context.count = self.context.count.saturating_add(1);
                self.put_name(buf, entry.name.as_str().as_bytes());
                let line = match entry.kind {
                    EntryKind::File { size, modified } => {
                        self.context.size = size;
                        self.context.modified = modified;
                        LineKind::FileEntry
                    }
                    EntryKind::Directory { link: false } => LineKind::DirectoryEntry,
                    EntryKind::Directory { link: true } => LineKind::LinkEntry,
                };
                self.write(buf, line, State::SelectEntry);
            }
            Ok(Listed::End) => self.write(buf, LineKind::ListEnd, State::Receive),
            Err(error) => self.refuse(buf, error.code(), Message::Listing),
        }
    }

    pub(super) fn finished(&mut self, buf: &mut [u8], finished: Finished) {
        match self.state {
            State::Finish => {}
            #[cfg(feature = "write")]
            State::Hash if self.is_put() => return self.file_fault(buf),
            // It cannot be read: it may have shrunk.
            State::Hash if !finished.same_version => return self.refuse(buf, Code::Changed, Message::Changed),
            State::Hash => return self.file_fault(buf),
            _ => return self.misuse(),
        }
        #[cfg(feature = "write")]
        if self.is_put() {
            return self.finished_put(buf, finished);
        }
        let asked = self.context.request.digest;
        let is_stat = self.context.request.kind == RequestKind::Stat;
        if !self.is_digest_known {
            self.context.digest = finished.digest.filter(|digest| Some(digest.kind()) == asked);
        }
        if !finished.same_version {
            if self.is_digest_known || is_stat {
                // It is the digest of the earlier contents, not of the bytes that were sent.
                self.context.digest = None;
            }
            self.refuse(buf, Code::Changed, Message::Changed);
        } else if asked.is_some() && self.context.digest.is_none() {
            self.misuse();
        } else if is_stat {
            self.write_header(buf);
        } else {
            self.write_end(buf);
        }
    }

    pub(super) fn file_fault(&mut self, buf: &mut [u8]) {
        match self.state {
            State::SendBody => {
                self.last.error = Some(Code::Io);
                self.end_exchange();
                self.close(CloseHow::Abort, CloseReason::Broken);
            }
            State::Hash | State::Finish => {
                self.context.digest = None;
                self.refuse(buf, Code::Io, Message::Unreadable);
            }
            _ => self.misuse(),
        }
    }

    pub(super) fn set_time(&mut self, unix_time: Option<u64>) {
        // During an exchange it is the file's.
        if self.state == State::Receive {
            self.context.modified = unix_time;
        }
    }

    pub(super) fn refuse_connection(&mut self, code: Code, buf: &mut [u8]) {
        #[cfg(feature = "rights")]
        if self.state == State::Receive && code == Code::Encrypted {
            return self.refuse_and_close(buf, code, Message::Encrypted);
        }
        if self.state == State::Receive {
            self.refuse_and_close(buf, code, Message::Busy);
        }
    }

    pub(super) fn request<'a>(&'a self, buf: &'a [u8]) -> Option<Request<'a>> {
        let request = &self.context.request;
        let name = request_reader::known_name(buf, request.name_len);
        let digest = request.digest;
        Some(match request.kind {
            RequestKind::List => Request::List { path: name },
            RequestKind::Stat => Request::Stat {
                name: name?,
                digest,
                #[cfg(feature = "absolute")]
                absolute: request.is_absolute,
            },
            // A hello has no name, and never reaches the store.
            RequestKind::Get | RequestKind::Hello => Request::Get {
                name: name?,
                digest,
                #[cfg(feature = "replaced")]
                version: request.named_version(),
                #[cfg(feature = "absolute")]
                absolute: request.is_absolute,
            },
            #[cfg(feature = "classic")]
            RequestKind::Select => Request::Select { name: name? },
            #[cfg(feature = "classic")]
            RequestKind::Confirm => Request::Confirm { name: name? },
            #[cfg(feature = "write")]
            _ => return None,
        })
    }

    /// The event of the request received last.
    pub(super) fn request_event<'a>(&self, buf: &'a [u8]) -> Option<ServerEvent<'a>> {
        let name = request_reader::known_name(buf, self.context.request.name_len);
        self.last.kind.map(|kind| ServerEvent::Request { kind, name })
    }

    #[inline(never)]
    pub(super) fn begin_answer(&mut self) {
        self.answer_began = self.now;
        self.answer_len = 0;
        self.context.count = 0;
        self.context.skipped = 0;
        self.context.hidden = 0;
        self.context.unnameable = 0;
        self.context.digest = None;
        self.is_digest_known = false;
        #[cfg(feature = "absolute")]
        {
            self.context.first = None;
        }
        #[cfg(feature = "replaced")]
        {
            self.context.next = None;
        }
    }

    /// Begins the response to a `get`, or to a `stat`, which is a `get` of the whole file without its body.
    pub(super) fn open(&mut self, buf: &mut [u8], info: &FileInfo, known: Option<Digest>) {
        let request = &self.context.request;
        let version = info.version.as_str().as_bytes();
        let is_versioned = request.is_versioned;
        // What waits has one from its first look on.
        let has_version = is_versioned || (cfg!(feature = "wait") && request.version_len > 0);
        let is_other = has_version && request.version.get(..request.version_len) != Some(version);
        if is_versioned && is_other {
            return self.refuse(buf, Code::Changed, Message::OtherVersion);
        }
        // Another version of the same size is a change, too.
        #[cfg(feature = "wait")]
        if is_other {
            self.watch.until = self.now;
        }
        self.set_version(&info.version);
        #[cfg(feature = "absolute")]
        if !self.has_kept(info) {
            return self.refuse(buf, Code::BadRange, Message::Dropped);
        }
        let request = &self.context.request;
        let offset = request.offset;
        let Some(rest) = info.size.checked_sub(offset) else {
            return self.refuse(buf, Code::BadRange, Message::Offset);
        };
        if request.digest_from > offset {
            return self.refuse(buf, Code::BadRange, Message::DigestFrom);
        }
        let request = &self.context.request;
        self.context.end = offset.wrapping_add(request.length.min(rest)); // at most the size
        let is_whole = request.digest_from == 0 && self.context.end == info.size;
        self.context.size = info.size;
        self.context.modified = info.modified;
        #[cfg(feature = "replaced")]
        {
            self.context.next = info.next.clone();
        }
        #[cfg(feature = "wait")]
        if rest == 0 {
            #[cfg(feature = "replaced")]
            if info.is_replaced {
                return self.refuse(buf, Code::Changed, Message::OtherVersion);
            }
            if self.now < self.watch.until {
                return self.enter(State::Watch);
            }
        }
        let request = &self.context.request;
        self.position = request.digest_from;
        if let Some(digest) = known
            && is_whole
            && Some(digest.kind()) == request.digest
        {
            self.context.digest = Some(digest);
            self.is_digest_known = true;
        }
        self.hash_or_header(buf);
    }

    /// Whether the file still has the first byte that is asked for, where offsets are absolute.
    #[cfg(feature = "absolute")]
    fn has_kept(&mut self, info: &FileInfo) -> bool {
        let request = &self.context.request;
        if !request.is_absolute {
            return true;
        }
        self.context.first = Some(info.first);
        // A `stat` asks for no byte.
        request.kind == RequestKind::Stat || request.digest_from.min(request.offset) >= info.first
    }

    /// Sets the version that the next line tells.
    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn set_version(&mut self, version: &Version) {
        let version = version.as_str().as_bytes();
        let request = &mut self.context.request;
        if let Some(place) = request.version.get_mut(..version.len()) {
            place.copy_from_slice(version);
        }
        request.version_len = version.len();
    }

    /// Whether a digest was requested that has to be computed.
    pub(super) fn wants_hashing(&self) -> bool {
        self.context.request.digest.is_some() && !self.is_digest_known
    }

    /// The end of the range that is hashed before the header.
    pub(super) fn hash_end(&self) -> u64 {
        if self.context.request.kind == RequestKind::Get { self.context.request.offset } else { self.context.end }
    }

    pub(super) fn hash_or_header(&mut self, buf: &mut [u8]) {
        if !self.wants_hashing() {
            self.write_header(buf);
        } else if self.position < self.hash_end() {
            if self.state != State::Hash {
                self.enter(State::Hash);
            }
        } else {
            match self.context.request.kind {
                RequestKind::Stat => self.enter(State::Finish),
                #[cfg(feature = "write")]
                RequestKind::Put => self.after_hash(buf),
                _ => self.write_header(buf),
            }
        }
    }

    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn write_header(&mut self, buf: &mut [u8]) {
        self.answer_began = self.now;
        let is_stat = self.context.request.kind == RequestKind::Stat;
        self.write(buf, LineKind::Header, if is_stat { State::Receive } else { State::SendBody });
    }

    pub(super) fn write_end(&mut self, buf: &mut [u8]) {
        self.write(buf, LineKind::BodyEnd, State::Receive);
    }

    /// Begins a line; `next` is the state after it.
    #[inline(never)]
    pub(super) fn write(&mut self, buf: &mut [u8], kind: LineKind, next: State) {
        self.line = LineWriter::new(kind);
        self.enter(State::SendLine);
        self.next = next;
        self.fill(buf);
    }

    /// Writes the next bytes of the line to the buffer; false where none are left.
    pub(super) fn fill(&mut self, buf: &mut [u8]) -> bool {
        let (name, window) = buf.split_at_mut_checked(self.context.request.name_len).unwrap_or_default();
        let start = name.len();
        let len = self.line.fill(&self.context, name, window);
        self.ready = start..start.saturating_add(len);
        len > 0
    }

    pub(super) fn after_line(&mut self, buf: &mut [u8]) {
        match self.next {
            State::SendBody => {
                self.position = self.context.request.offset;
                self.enter(State::SendBody);
                if self.position >= self.context.end {
                    self.end_body(buf);
                }
            }
            #[cfg(feature = "write")]
            State::ReceiveBody => self.begin_body(buf),
            State::Closed => self.close(CloseHow::Linger, CloseReason::Refused(self.context.code)),
            State::Receive => self.end_answer(buf),
            #[cfg(feature = "classic")]
            State::ShowText => self.rest(buf),
            next => self.enter(next),
        }
    }

    /// Ends the exchange: its response is sent.
    pub(super) fn end_answer(&mut self, buf: &mut [u8]) {
        self.end_exchange();
        #[cfg(feature = "classic")]
        self.expect_name();
        self.rest(buf);
    }

    /// Returns to receiving, or closes where the session is stopping or the input has ended.
    pub(super) fn rest(&mut self, buf: &mut [u8]) {
        self.enter(State::Receive);
        if self.stopping {
            self.say_why_it_ends(buf);
        } else if self.eof {
            self.close(CloseHow::Finish, CloseReason::Done);
        }
    }

    pub(super) fn end_body(&mut self, buf: &mut [u8]) {
        if self.has_trailer() {
            self.enter(State::Finish);
        } else {
            self.end_answer(buf);
        }
    }

    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn end_exchange(&mut self) {
        self.exchanges = self.exchanges.saturating_add(1);
        self.context.modified = None;
    }

    /// Sends a refusal of the store as the response.
    #[cfg(not(feature = "write"))]
    fn refuse_by_store(&mut self, buf: &mut [u8], code: Code) {
        self.refuse(buf, code, Message::of_store(code));
    }

    /// Sends an error as the response. `busy` always ends the connection, also where the store has no handle left.
    #[inline(never)]
    pub(super) fn refuse(&mut self, buf: &mut [u8], code: Code, message: Message) {
        self.last.error = Some(code);
        let next = if code == Code::Busy { State::Closed } else { State::Receive };
        self.write_error(buf, code, message, next);
    }

    /// Sends an error and closes the connection, which ends an exchange that is under way.
    #[inline(never)]
    pub(super) fn refuse_and_close(&mut self, buf: &mut [u8], code: Code, message: Message) {
        #[cfg(any(feature = "write", feature = "rights"))]
        if self.state != State::Receive {
            self.last.error = Some(code);
            self.end_exchange();
        }
        self.used = 0;
        self.begin_answer();
        self.write_error(buf, code, message, State::Closed);
    }

    pub(super) fn write_error(&mut self, buf: &mut [u8], code: Code, message: Message, next: State) {
        if message < Message::FIRST_NAMED {
            self.context.request.name_len = 0;
        }
        self.context.code = code;
        self.context.message = message;
        self.write(buf, LineKind::Error, next);
    }

    /// Copies a name to the front of the buffer, for a line that is written behind it.
    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn put_name(&mut self, buf: &mut [u8], name: &[u8]) {
        let place = buf.get_mut(..name.len()).unwrap_or_default();
        place.copy_from_slice(name.get(..place.len()).unwrap_or_default());
        self.context.request.name_len = place.len();
    }

    /// Whether a trailer follows the body.
    pub(super) fn has_trailer(&self) -> bool {
        self.context.request.kind == RequestKind::Get
    }
}
