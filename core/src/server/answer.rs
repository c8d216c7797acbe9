//! The answers: from what the store says to the lines and bodies that go out.

use super::session::{Session, State, misuse};
use crate::server::{CloseHow, CloseReason, Finished, Reply, Request};
use crate::store::{EntryKind, FileInfo, Listed, StoreError};
use crate::types::digest::Digest;
use crate::wire::code::Code;
use crate::wire::message::Message;
use crate::wire::request_reader::{self, Kind};
use crate::wire::response_writer::{Content, Line};

impl Session<'_> {
    pub(super) fn reply(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        if self.state != State::Asked {
            return misuse("reply");
        }
        self.begin_answer();
        #[cfg(feature = "classic")]
        if self.facts.question.is_classic {
            return self.reply_classic(buf, reply);
        }
        match (reply, self.facts.question.kind) {
            (Reply::Refuse(code), _) => self.refuse(buf, code, Message::of_store(code)),
            (Reply::Listing, Kind::List) => self.state = State::Entries,
            (Reply::File { info, known }, Kind::Stat | Kind::Get) => self.open(buf, info, known),
            _ => {
                misuse("reply");
                self.refuse(buf, Code::Io, Message::Unreadable);
            }
        }
    }

    pub(super) fn entry(&mut self, buf: &mut [u8], entry: Result<Listed<'_>, StoreError>) {
        if self.state != State::Entries {
            return misuse("entry");
        }
        #[cfg(feature = "classic")]
        if self.facts.question.is_classic {
            return self.entry_classic(buf, entry);
        }
        match entry {
            Ok(Listed::Skipped) => self.facts.skipped = self.facts.skipped.saturating_add(1),
            Ok(Listed::Entry(entry)) => {
                self.facts.count = self.facts.count.saturating_add(1);
                self.put_name(buf, entry.name.as_str());
                let content = match entry.kind {
                    EntryKind::File { size, modified } => {
                        self.facts.size = size;
                        self.facts.modified = modified;
                        Content::FileEntry
                    }
                    EntryKind::Directory { link: false } => Content::DirectoryEntry,
                    EntryKind::Directory { link: true } => Content::LinkEntry,
                };
                self.write(buf, content, State::Entries);
            }
            Ok(Listed::End) => self.write(buf, Content::ListEnd, State::Receiving),
            Err(error) => self.refuse(buf, error.code(), Message::Listing),
        }
    }

    pub(super) fn finished(&mut self, buf: &mut [u8], finished: Finished) {
        if self.state != State::Finishing {
            return misuse("finished");
        }
        let asked = self.facts.question.digest;
        let is_stat = self.facts.question.kind == Kind::Stat;
        if !self.known {
            self.facts.digest = finished.digest.filter(|digest| Some(digest.kind()) == asked);
        }
        if !finished.same_version {
            if self.known || is_stat {
                // It is the digest of what the file was, not of the bytes that were sent.
                self.facts.digest = None;
            }
            self.refuse(buf, Code::Changed, Message::Changed);
        } else if asked.is_some() && self.facts.digest.is_none() {
            misuse("finished");
            self.refuse(buf, Code::Io, Message::NoDigest);
        } else if is_stat {
            self.write_header(buf);
        } else {
            self.write_end(buf);
        }
    }

    pub(super) fn file_fault(&mut self, buf: &mut [u8]) {
        match self.state {
            State::Body => {
                self.last.error = Some(Code::Io);
                self.end_exchange();
                self.close(CloseHow::Abort, CloseReason::Broken);
            }
            State::Hashing | State::Finishing => {
                self.facts.digest = None;
                self.refuse(buf, Code::Io, Message::Unreadable);
            }
            _ => misuse("file_fault"),
        }
    }

    pub(super) fn refuse_connection(&mut self, code: Code, buf: &mut [u8]) {
        if self.state == State::Receiving {
            self.refuse_and_close(buf, code, Message::Busy);
        }
    }

    pub(super) fn request<'a>(&self, buf: &'a [u8]) -> Option<Request<'a>> {
        let question = &self.facts.question;
        let name = request_reader::known_name(buf, question.name_len);
        let digest = question.digest;
        Some(match question.kind {
            Kind::List => Request::List { path: name },
            Kind::Stat => Request::Stat { name: name?, digest },
            // A hello has no name, and asks the store nothing.
            Kind::Get | Kind::Hello => Request::Get { name: name?, digest },
            #[cfg(feature = "classic")]
            Kind::Select => Request::Select { name: name? },
            #[cfg(feature = "classic")]
            Kind::Confirm => Request::Confirm { name: name? },
        })
    }

    #[inline(never)]
    pub(super) fn begin_answer(&mut self) {
        self.since = self.now;
        self.started = self.now;
        self.answered = 0;
        self.facts.count = 0;
        self.facts.skipped = 0;
        self.facts.digest = None;
        self.known = false;
    }

    /// Answers a `get` or a `stat`, which is a `get` of everything without the body.
    pub(super) fn open(&mut self, buf: &mut [u8], info: &FileInfo, known: Option<Digest>) {
        let question = &self.facts.question;
        let offset = question.offset;
        let version = info.version.as_str().as_bytes();
        let is_versioned = question.is_versioned;
        if is_versioned && question.version.get(..question.version_len) != Some(version) {
            return self.refuse(buf, Code::Changed, Message::OtherVersion);
        }
        let rest = info.size.checked_sub(offset);
        let Some(rest) = rest else {
            return self.refuse(buf, Code::BadRange, Message::Offset);
        };
        if question.digest_from > offset {
            return self.refuse(buf, Code::BadRange, Message::DigestFrom);
        }
        self.facts.end = offset.wrapping_add(question.length.min(rest)); // at most the size
        let is_whole = question.digest_from == 0 && self.facts.end == info.size;
        self.facts.size = info.size;
        self.facts.modified = info.modified;
        let question = &mut self.facts.question;
        if let Some(place) = question.version.get_mut(..version.len()) {
            place.copy_from_slice(version);
        }
        question.version_len = version.len();
        self.facts.digest = known.filter(|digest| is_whole && Some(digest.kind()) == question.digest);
        self.known = self.facts.digest.is_some();
        self.position = question.digest_from;
        self.hash_or_header(buf);
    }

    /// Whether a digest was asked for that has to be computed.
    pub(super) fn wants_hashing(&self) -> bool {
        self.facts.question.digest.is_some() && !self.known
    }

    /// The end of what is hashed before the header.
    pub(super) fn hash_end(&self) -> u64 {
        if self.facts.question.kind == Kind::Stat { self.facts.end } else { self.facts.question.offset }
    }

    pub(super) fn hash_or_header(&mut self, buf: &mut [u8]) {
        if !self.wants_hashing() {
            self.write_header(buf);
        } else if self.position < self.hash_end() {
            self.state = State::Hashing;
        } else if self.facts.question.kind == Kind::Stat {
            self.state = State::Finishing;
        } else {
            self.write_header(buf);
        }
    }

    pub(super) fn write_header(&mut self, buf: &mut [u8]) {
        self.started = self.now;
        if self.facts.question.kind == Kind::Stat {
            return self.write(buf, Content::StatHeader, State::Receiving);
        }
        self.write(buf, Content::Header, State::Body);
    }

    pub(super) fn write_end(&mut self, buf: &mut [u8]) {
        self.write(buf, Content::BodyEnd, State::Receiving);
    }

    /// Begins to write a line, which `next` follows.
    #[inline(never)]
    pub(super) fn write(&mut self, buf: &mut [u8], content: Content, next: State) {
        self.line = Line::new(content);
        self.since = self.now;
        self.state = State::Line;
        self.next = next;
        self.fill(buf);
    }

    /// Makes the next bytes of the line ready; false where there are none left.
    pub(super) fn fill(&mut self, buf: &mut [u8]) -> bool {
        let (name, window) = buf.split_at_mut_checked(self.facts.question.name_len).unwrap_or_default();
        let start = name.len();
        let len = self.line.fill(&self.facts, name, window);
        self.ready = start..start.saturating_add(len);
        len > 0
    }

    pub(super) fn after_line(&mut self, buf: &mut [u8]) {
        match self.next {
            State::Body => {
                self.position = self.facts.question.offset;
                self.state = State::Body;
                if self.position >= self.facts.end {
                    self.end_body(buf);
                }
            }
            State::Closed => self.close(CloseHow::Linger, CloseReason::Refused(self.facts.code)),
            State::Receiving => self.end_answer(buf),
            #[cfg(feature = "classic")]
            State::Text => self.rest(buf),
            next => self.state = next,
        }
    }

    /// The answer is sent.
    pub(super) fn end_answer(&mut self, buf: &mut [u8]) {
        self.end_exchange();
        #[cfg(feature = "classic")]
        self.search_again();
        self.rest(buf);
    }

    /// Goes back to receiving, if there is anything to come.
    pub(super) fn rest(&mut self, buf: &mut [u8]) {
        self.since = self.now;
        self.state = State::Receiving;
        if self.stopping {
            self.refuse_and_close(buf, Code::ShuttingDown, Message::Stopping);
        } else if self.eof {
            self.close(CloseHow::Finish, CloseReason::Done);
        }
    }

    pub(super) fn end_body(&mut self, buf: &mut [u8]) {
        if self.has_trailer() {
            self.state = State::Finishing;
        } else {
            self.end_answer(buf);
        }
    }

    pub(super) fn end_exchange(&mut self) {
        self.exchanges = self.exchanges.saturating_add(1);
    }

    /// Answers with an error.
    #[inline(never)]
    pub(super) fn refuse(&mut self, buf: &mut [u8], code: Code, message: Message) {
        self.last.error = Some(code);
        self.write_error(buf, code, message, State::Receiving);
    }

    /// Tells an error that ends the connection.
    #[inline(never)]
    pub(super) fn refuse_and_close(&mut self, buf: &mut [u8], code: Code, message: Message) {
        self.used = 0;
        self.begin_answer();
        self.write_error(buf, code, message, State::Closed);
    }

    pub(super) fn write_error(&mut self, buf: &mut [u8], code: Code, message: Message, next: State) {
        if message < Message::FIRST_NAMED {
            self.facts.question.name_len = 0;
        }
        self.facts.code = code;
        self.facts.message = message;
        self.write(buf, Content::Error, next);
    }

    /// Keeps a name at the front of the buffer, while a line about it is written behind.
    pub(super) fn put_name(&mut self, buf: &mut [u8], name: &str) {
        let place = buf.get_mut(..name.len()).unwrap_or_default();
        place.copy_from_slice(name.as_bytes().get(..place.len()).unwrap_or_default());
        self.facts.question.name_len = place.len();
    }

    /// Whether something follows the body.
    pub(super) fn has_trailer(&self) -> bool {
        self.facts.question.kind == Kind::Get
    }
}
