//! The answers: from what the store says to the lines and bodies that go out.

use super::{After, SERVER, Session, State, misuse, wide};
use crate::digest::Digest;
use crate::error::Code;
use crate::name::{FileName, Version};
use crate::reply::{Content, Detail, Facts, Line};
use crate::request::{self, Kind};
use crate::server::{CloseHow, CloseReason, Finished, Reply, Request};
use crate::store::{EntryKind, FileInfo, Listed, StoreError};
use crate::time::Instant;

impl Session<'_> {
    pub(in crate::server) fn reply(&mut self, buf: &mut [u8], reply: Reply<'_>, now: Instant) {
        self.see(now);
        if self.state != State::Asked {
            return misuse("reply");
        }
        self.begin_answer();
        #[cfg(feature = "classic")]
        if self.question.is_classic {
            return self.reply_classic(buf, reply);
        }
        match (reply, self.question.kind) {
            (Reply::Refuse(code), _) => self.refuse_file(buf, code),
            (Reply::Listing, Kind::List) => self.state = State::Entries,
            (Reply::File { info, known }, Kind::Stat) => {
                self.describe(info, known, true);
                self.end = info.size;
                self.position = 0;
                self.hash_or_header(buf);
            }
            (Reply::File { info, known }, Kind::Get) => self.open_body(buf, info, known),
            _ => {
                misuse("reply");
                self.refuse_file(buf, Code::Io);
            }
        }
    }

    pub(in crate::server) fn entry(&mut self, buf: &mut [u8], entry: Result<Listed<'_>, StoreError>, now: Instant) {
        self.see(now);
        if self.state != State::Entries {
            return misuse("entry");
        }
        #[cfg(feature = "classic")]
        if self.question.is_classic {
            return self.entry_classic(buf, entry);
        }
        match entry {
            Ok(Listed::Skipped) => self.skipped = self.skipped.saturating_add(1),
            Ok(Listed::Entry(entry)) => {
                self.count = self.count.saturating_add(1);
                self.put_name(buf, entry.name);
                let content = match entry.kind {
                    EntryKind::File { size, modified } => {
                        self.size = size;
                        self.modified = modified;
                        Content::FileEntry
                    }
                    EntryKind::Directory { link } => Content::DirectoryEntry { link },
                };
                self.write(buf, content, After::Entries);
            }
            Ok(Listed::End) => self.write(buf, Content::ListEnd, After::End),
            Err(error) => self.refuse(buf, error.code(), "the listing cannot be finished", Detail::None, After::End),
        }
    }

    pub(in crate::server) fn finished(&mut self, buf: &mut [u8], finished: Finished, now: Instant) {
        self.see(now);
        if self.state != State::Finishing {
            return misuse("finished");
        }
        let told = finished.digest.filter(|digest| Some(digest.kind()) == self.question.digest);
        if !self.known {
            self.digest = told;
        } else if !finished.same_version {
            // It is the digest of what the file was, not of the bytes that were sent.
            self.digest = None;
        }
        let is_missing = self.question.digest.is_some() && self.digest.is_none();
        if !finished.same_version {
            if self.question.kind == Kind::Stat {
                self.digest = None;
            }
            let text = "the file changed meanwhile: ";
            self.refuse(buf, Code::Changed, text, Detail::Name, After::End);
        } else if is_missing {
            misuse("finished");
            self.refuse(buf, Code::Io, "the digest is not known", Detail::None, After::End);
        } else if self.question.kind == Kind::Stat {
            self.write_header(buf);
        } else {
            self.write(buf, Content::BodyEnd, After::End);
        }
    }

    pub(in crate::server) fn file_fault(&mut self, buf: &mut [u8], now: Instant) {
        self.see(now);
        match self.state {
            State::Body => {
                self.last.error = Some(Code::Io);
                self.end_exchange();
                self.close(CloseHow::Abort, CloseReason::Broken);
            }
            State::Hashing | State::Finishing => {
                self.digest = None;
                self.refuse(buf, Code::Io, "the file cannot be read: ", Detail::Name, After::End);
            }
            _ => misuse("file_fault"),
        }
    }

    pub(in crate::server) fn refuse_connection(&mut self, code: Code, buf: &mut [u8]) {
        if self.state == State::Receiving {
            self.refuse_and_close(buf, code, "no place is free now, try again later");
        }
    }

    pub(super) fn request<'a>(&self, buf: &'a [u8]) -> Option<Request<'a>> {
        let name = request::decoded_name(buf, self.question.name_len).ok();
        let digest = self.question.digest;
        match self.question.kind {
            Kind::List => Some(Request::List { path: name }),
            Kind::Stat => Some(Request::Stat { name: name?, digest }),
            Kind::Get => Some(Request::Get { name: name?, digest }),
            #[cfg(feature = "classic")]
            Kind::Select => Some(Request::Select { name: name? }),
            #[cfg(feature = "classic")]
            Kind::Confirm => Some(Request::Confirm { name: name? }),
            Kind::Hello => None,
        }
    }

    pub(super) fn begin_answer(&mut self) {
        self.since = self.now;
        self.started = self.now;
        self.answered = 0;
        self.count = 0;
        self.skipped = 0;
        self.digest = None;
        self.known = false;
    }

    pub(super) fn open_body(&mut self, buf: &mut [u8], info: &FileInfo, known: Option<Digest>) {
        let question = &self.question;
        let offset = question.offset;
        let digest_from = question.digest_from.unwrap_or(offset);
        let is_other = question.version.as_ref().is_some_and(|version| *version != info.version);
        if is_other || question.has_impossible_version {
            return self.refuse(buf, Code::Changed, "no longer that version: ", Detail::Name, After::End);
        }
        if offset > info.size {
            return self.refuse(buf, Code::BadRange, "the offset is past the end of ", Detail::Name, After::End);
        }
        if digest_from > offset {
            return self.refuse(buf, Code::BadRange, "digestFrom is greater than the offset", Detail::None, After::End);
        }
        let rest = info.size - offset;
        let length = question.length.map_or(rest, |length| length.min(rest));
        self.end = offset.saturating_add(length);
        let is_whole = digest_from == 0 && self.end == info.size;
        self.describe(info, known, is_whole);
        self.position = if self.wants_hashing() { digest_from } else { offset };
        self.hash_or_header(buf);
    }

    /// Takes over what the header tells of the file.
    pub(super) fn describe(&mut self, info: &FileInfo, known: Option<Digest>, is_whole: bool) {
        self.size = info.size;
        self.modified = info.modified;
        self.question.version = Some(info.version.clone());
        self.digest = known.filter(|digest| is_whole && Some(digest.kind()) == self.question.digest);
        self.known = self.digest.is_some();
    }

    /// Whether a digest was asked for that has to be computed.
    pub(super) fn wants_hashing(&self) -> bool {
        self.question.digest.is_some() && !self.known
    }

    /// The end of what is hashed before the header.
    pub(super) fn hash_end(&self) -> u64 {
        if self.question.kind == Kind::Stat { self.end } else { self.question.offset }
    }

    pub(super) fn hash_or_header(&mut self, buf: &mut [u8]) {
        if self.wants_hashing() && self.position < self.hash_end() {
            self.state = State::Hashing;
        } else if self.wants_hashing() && self.question.kind == Kind::Stat {
            self.state = State::Finishing;
        } else {
            self.write_header(buf);
        }
    }

    pub(super) fn write_header(&mut self, buf: &mut [u8]) {
        self.started = self.now;
        match self.question.kind {
            Kind::Stat => self.write(buf, Content::Header { with_digest: true }, After::End),
            _ => self.write(buf, Content::Header { with_digest: false }, After::Body),
        }
    }

    /// Begins to write a line.
    pub(super) fn write(&mut self, buf: &mut [u8], content: Content, after: After) {
        self.line = Line::new(content);
        self.ready = 0..0;
        self.since = self.now;
        self.state = State::Line(after);
        self.fill(buf);
    }

    /// Makes the next bytes of the line ready; false where there are none left.
    pub(super) fn fill(&mut self, buf: &mut [u8]) -> bool {
        let max_request = wide(buf.len());
        let (name, window) = buf.split_at_mut_checked(self.question.name_len).unwrap_or_default();
        let is_stat = self.question.kind == Kind::Stat;
        let offset = if is_stat { 0 } else { self.question.offset };
        let facts = Facts {
            server: SERVER,
            name: self.config.name.as_str(),
            max_request,
            chunk_size: self.config.chunk_size.get(),
            idle_ms: self.config.idle_ms,
            request_ms: self.config.request_ms,
            stall_ms: self.config.stall_ms,
            size: self.size,
            offset,
            length: self.end.saturating_sub(offset),
            version: self.question.version.as_ref().map_or("", Version::as_str),
            modified: self.modified,
            digest_kind: self.question.digest,
            digest: self.digest,
            count: self.count,
            skipped: self.skipped,
        };
        let start = name.len();
        let len = self.line.fill(&facts, name, window);
        self.ready = start..start.saturating_add(len);
        len > 0
    }

    pub(super) fn after_line(&mut self, buf: &mut [u8], after: After) {
        match after {
            After::Entries => self.state = State::Entries,
            After::Body if self.question.offset < self.end => {
                self.position = self.question.offset;
                self.state = State::Body;
            }
            After::Body => self.state = State::Finishing,
            After::Close(why) => self.close(CloseHow::Linger, why),
            After::End => {
                self.end_exchange();
                #[cfg(feature = "classic")]
                self.search_again();
                self.rest(buf);
            }
            #[cfg(feature = "classic")]
            After::Rest => self.rest(buf),
        }
    }

    /// Goes back to receiving, if there is anything to come.
    pub(super) fn rest(&mut self, buf: &mut [u8]) {
        self.since = self.now;
        if self.stopping {
            self.refuse_and_close(buf, Code::ShuttingDown, "the server is being stopped");
        } else if self.eof {
            self.close(CloseHow::Finish, CloseReason::Done);
        } else {
            self.state = State::Receiving;
        }
    }

    pub(super) fn end_body(&mut self, buf: &mut [u8]) {
        if self.has_trailer() {
            self.state = State::Finishing;
        } else {
            self.after_line(buf, After::End);
        }
    }

    pub(super) fn end_exchange(&mut self) {
        self.exchanges = self.exchanges.saturating_add(1);
    }

    /// Tells the client that the store refuses its request.
    pub(super) fn refuse_file(&mut self, buf: &mut [u8], code: Code) {
        let text = match code {
            Code::NotFound => "no such file or directory: ",
            Code::NotFile => "not a regular file: ",
            Code::NotDirectory => "not a directory: ",
            Code::Denied => "permission denied: ",
            Code::BadName => "this server cannot have such a name: ",
            Code::Io => "cannot be read: ",
            _ => "refused: ",
        };
        self.refuse(buf, code, text, Detail::Name, After::End);
    }

    pub(super) fn refuse_and_close(&mut self, buf: &mut [u8], code: Code, text: &'static str) {
        self.used = 0;
        self.begin_answer();
        self.refuse(buf, code, text, Detail::None, After::Close(CloseReason::Refused(code)));
    }

    pub(super) fn refuse(&mut self, buf: &mut [u8], code: Code, text: &'static str, detail: Detail, after: After) {
        if after == After::End {
            self.last.error = Some(code);
        }
        if detail != Detail::Name {
            self.question.name_len = 0;
        }
        self.write(buf, Content::Error { code, text, detail }, after);
    }

    pub(super) fn put_name(&mut self, buf: &mut [u8], name: FileName<'_>) {
        let name = name.as_str().as_bytes();
        self.question.name_len = 0;
        if let Some(place) = buf.get_mut(..name.len()) {
            place.copy_from_slice(name);
            self.question.name_len = name.len();
        }
    }

    /// Whether something follows the body.
    pub(super) fn has_trailer(&self) -> bool {
        self.question.kind == Kind::Get
    }
}
