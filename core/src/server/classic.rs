//! Bytes that are no request, and the classic dialect, in which a bare file name among them asks for a body.

use heapless::String;

use super::session::{LineEnding, Session, State, misuse};
use crate::server::{CloseHow, CloseReason, Exchange, Reply, TextPolicy};
use crate::store::{EntryKind, FileInfo, Listed, StoreError};
use crate::types::file_name::FileName;
use crate::types::time::Instant;
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::message::Message;
use crate::wire::request_reader::{self, RequestKind};
use crate::wire::response_writer::{LineKind, LineWriter};

/// The longest arrival that gets one reply.
const ARRIVAL_LEN: usize = 1024;
/// How long bytes are held that may become a name.
const HOLD_MS: u64 = 1000;

/// What a session remembers of text.
#[derive(Debug)]
pub(super) struct Text {
    /// Bytes of the arrival at hand that were not taken yet.
    arrival: usize,
    /// The arrival at hand has had its reply.
    is_replied: bool,
    /// Text has begun and no request since: white space is text, too.
    is_under_way: bool,
    /// The next bytes may be the selected file's name.
    is_searching: bool,
    /// Bytes that were taken and are the beginning of that name.
    held: usize,
    held_since: Instant,
    selected: Option<Selected>,
}

#[derive(Debug)]
struct Selected {
    name: String<{ FileName::MAX_LEN }, u8>,
    version: Version,
    size: u64,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self {
            arrival: 0,
            is_replied: false,
            is_under_way: false,
            is_searching: false,
            held: 0,
            held_since: Instant::from_millis(0),
            selected: None,
        }
    }
}

impl Session<'_> {
    /// Cuts `bytes` to the arrival at hand.
    pub(super) fn arrive<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.text.arrival == 0 {
            let longest =
                if matches!(self.context.config.text, TextPolicy::Reply(_)) { ARRIVAL_LEN } else { usize::MAX };
            self.text.arrival = bytes.len().min(longest);
            self.text.is_replied = false;
            self.text.is_searching = true;
        }
        bytes.get(..self.text.arrival).unwrap_or(bytes)
    }

    pub(super) fn took(&mut self, len: usize) {
        self.text.arrival = self.text.arrival.saturating_sub(len);
    }

    pub(super) const fn is_in_text(&self) -> bool {
        self.text.is_under_way || self.text.held > 0
    }

    pub(super) const fn is_held(&self) -> bool {
        self.text.held > 0
    }

    pub(super) const fn hold_deadline(&self) -> Instant {
        self.text.held_since.after(HOLD_MS)
    }

    /// A request was read: what follows it is white space or another one, unless it is text anew.
    pub(super) const fn end_text(&mut self) {
        self.text.is_under_way = false;
    }

    /// A name may begin here.
    pub(super) const fn search_again(&mut self) {
        self.text.is_searching = true;
    }

    pub(super) fn fixed_reply(&self) -> &[u8] {
        if let TextPolicy::Reply(text) = self.context.config.text { text.as_bytes() } else { b"" }
    }

    /// Takes some of `bytes`, which do not begin a request.
    pub(super) fn receive_text(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        if let (true, Some(selected)) = (self.text.is_searching, &self.text.selected) {
            let name = selected.name.as_bytes();
            let wanted = name.get(self.text.held..).unwrap_or_default();
            let same = wanted.iter().zip(bytes).take_while(|(wanted, byte)| wanted == byte).count();
            if self.text.held == 0 {
                self.text.held_since = self.now;
            }
            self.text.held = self.text.held.saturating_add(same);
            if same == wanted.len() {
                self.confirm(buf);
                return same;
            }
            if same == bytes.len() {
                return same;
            }
            self.text.is_searching = false;
            if self.text.held > 0 {
                self.release_held(buf);
                return same;
            }
        }
        let len = bytes.iter().position(|byte| *byte == b'{').unwrap_or(bytes.len()).min(buf.len());
        if let (Some(place), Some(text)) = (buf.get_mut(..len), bytes.get(..len)) {
            place.copy_from_slice(text);
        }
        self.show_text(buf, len);
        len
    }

    /// What was held is text after all.
    pub(super) fn release_held(&mut self, buf: &mut [u8]) {
        let held = core::mem::take(&mut self.text.held);
        let Some(selected) = &self.text.selected else { return };
        if let (Some(place), Some(text)) = (buf.get_mut(..held), selected.name.as_bytes().get(..held)) {
            place.copy_from_slice(text);
        }
        self.text.is_searching = false;
        self.show_text(buf, held);
    }

    pub(super) fn text_seen(&mut self, buf: &mut [u8]) {
        if self.state != State::Text {
            return misuse("text_seen");
        }
        self.begin_answer();
        match self.context.config.text {
            TextPolicy::Echo => {
                self.line = LineWriter::finished();
                self.state = State::SendLine;
                self.next = State::Text;
            }
            TextPolicy::Reply(text) if !self.text.is_replied && !text.is_empty() => {
                self.text.is_replied = true;
                self.ready = 0..text.len();
                self.state = State::SendFixedReply;
                self.next = State::Text;
            }
            TextPolicy::Reject | TextPolicy::Reply(_) => self.rest(buf),
        }
    }

    /// The store's answer to a classic request.
    pub(super) fn reply_classic(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        match (reply, self.context.request.kind) {
            (Reply::Listing, RequestKind::List) => self.write(buf, LineKind::ClassicList, State::List),
            (Reply::File { info, .. }, RequestKind::Select) => self.select(buf, info),
            (Reply::File { info, .. }, RequestKind::Confirm) => {
                let selected = self.text.selected.as_ref();
                let size = selected.filter(|selected| selected.version == info.version).map(|selected| selected.size);
                match size.filter(|size| *size <= info.size) {
                    Some(size) => self.send_selected(buf, size),
                    None => self.fail_classic(Code::Changed),
                }
            }
            (Reply::Refuse(code), RequestKind::Select) => self.refuse_select(buf, code),
            (Reply::Refuse(code), _) => self.fail_classic(code),
            _ => {
                misuse("reply");
                self.fail_classic(Code::Io);
            }
        }
    }

    /// The next step of a classic list.
    pub(super) fn entry_classic(&mut self, buf: &mut [u8], entry: Result<Listed<'_>, StoreError>) {
        match entry {
            Ok(Listed::Entry(entry)) if matches!(entry.kind, EntryKind::File { .. }) => {
                self.put_name(buf, entry.name.as_str());
                let first = self.context.count == 0;
                self.context.count = self.context.count.saturating_add(1);
                let content = if first { LineKind::ClassicFirstEntry } else { LineKind::ClassicEntry };
                self.write(buf, content, State::List);
            }
            Ok(Listed::Entry(_) | Listed::Skipped) => {}
            Ok(Listed::End) => self.write(buf, LineKind::ClassicListEnd, State::Receive),
            Err(error) => self.fail_classic(error.code()),
        }
    }

    /// A select that fails clears the selection; its answer has a size of -1.
    pub(super) fn refuse_select(&mut self, buf: &mut [u8], code: Code) {
        self.text.selected = None;
        self.last.error = Some(code);
        self.context.end = 0;
        self.write(buf, LineKind::ClassicNoFile, State::Receive);
    }

    pub(super) fn select(&mut self, buf: &mut [u8], info: &FileInfo) {
        let name = request_reader::known_name(buf, self.context.request.name_len);
        let name = name.and_then(|name| String::try_from(name.as_str()).ok());
        // A name that begins like a request or with white space would not be seen as a name.
        match name.filter(|name| !name.starts_with(['{', ' ', '\t', '\r', '\n'])) {
            Some(name) => {
                self.text.selected = Some(Selected { name, version: info.version.clone(), size: info.size });
                self.context.end = info.size;
                self.context.request.offset = 0;
                self.write(buf, LineKind::ClassicFile, State::Receive);
            }
            None => self.refuse_select(buf, Code::BadName),
        }
    }

    /// The selected file's name has arrived.
    pub(super) fn confirm(&mut self, buf: &mut [u8]) {
        self.text.held = 0;
        self.text.is_under_way = false;
        let Some(selected) = &self.text.selected else { return };
        let len = selected.name.len();
        if let Some(place) = buf.get_mut(..len) {
            place.copy_from_slice(selected.name.as_bytes());
        }
        self.context.request.name_len = len;
        self.context.request.kind = RequestKind::Confirm;
        self.context.request.is_classic = true;
        self.context.request.digest = None;
        self.begun = false;
        self.line_ending = LineEnding::Nothing;
        self.last = Exchange { kind: Some(RequestKind::Confirm), error: None, body_len: 0 };
        self.state = State::AwaitReply;
    }

    pub(super) fn send_selected(&mut self, buf: &mut [u8], size: u64) {
        self.position = 0;
        self.context.end = size;
        self.started = self.now;
        if size > 0 {
            self.state = State::SendBody;
        } else {
            self.end_answer(buf);
        }
    }

    /// The dialect has no error for it: the connection ends.
    pub(super) fn fail_classic(&mut self, code: Code) {
        self.last.error = Some(code);
        self.end_exchange();
        self.close(CloseHow::Finish, CloseReason::Classic);
    }

    /// `len` bytes of text stand at the front of the buffer.
    pub(super) fn show_text(&mut self, buf: &mut [u8], len: usize) {
        if self.context.config.text == TextPolicy::Reject {
            return self.refuse_and_close(buf, Code::BadRequest, Message::Brace);
        }
        self.begun = false;
        self.line_ending = LineEnding::Nothing;
        self.text.is_under_way = true;
        self.context.request.name_len = 0;
        self.ready = 0..len;
        self.state = State::Text;
    }
}
