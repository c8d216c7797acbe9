//! The text policies and the classic dialect, in which a bare file name in text requests a body.

use heapless::String;

use super::line_ending::LineEnding;
use super::selection::SelectedFile;
use super::session::Session;
use super::state::State;
use crate::server::{CloseHow, CloseReason, Exchange, Reply, TextPolicy};
use crate::store::{EntryKind, FileInfo, Listed, StoreError};
use crate::types::time::Timer;
use crate::wire::code::Code;
use crate::wire::line_kind::LineKind;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
use crate::wire::request_reader;
use crate::wire::response_writer::LineWriter;

/// The maximum length of an arrival, which gets one reply, in bytes.
const ARRIVAL_LEN: usize = 1024;
/// How long bytes are held that may become the selected name.
const HOLD_MS: u32 = 1000;

impl Session<'_> {
    /// Cuts `bytes` to the current arrival.
    pub(super) fn arrive<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.selection.arrival == 0 {
            let longest =
                if matches!(self.context.config.text, TextPolicy::Reply(_)) { ARRIVAL_LEN } else { usize::MAX };
            self.selection.arrival = bytes.len().min(longest);
            self.selection.is_replied = false;
            self.selection.may_begin = true;
        }
        bytes.get(..self.selection.arrival).unwrap_or(bytes)
    }

    pub(super) fn took(&mut self, len: usize) {
        self.selection.arrival = self.selection.arrival.saturating_sub(len);
    }

    pub(super) const fn is_in_text(&self) -> bool {
        self.selection.is_in_text || self.selection.held > 0
    }

    pub(super) const fn is_held(&self) -> bool {
        self.selection.held > 0
    }

    /// Ends text after a request: white space is skipped again.
    pub(super) const fn end_text(&mut self) {
        self.selection.is_in_text = false;
    }

    /// Allows the selected name to begin here.
    pub(super) const fn expect_name(&mut self) {
        self.selection.may_begin = true;
    }

    pub(super) fn fixed_reply(&self) -> &[u8] {
        if let TextPolicy::Reply(text) = self.context.config.text { text.as_bytes() } else { b"" }
    }

    /// Takes some of `bytes`, which do not begin with a request, and returns how many.
    pub(super) fn receive_text(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        if let (true, Some(selected)) = (self.selection.may_begin, &self.selection.file) {
            let name = selected.name.as_bytes();
            let wanted = name.get(self.selection.held..).unwrap_or_default();
            let same = wanted.iter().zip(bytes).take_while(|(wanted, byte)| wanted == byte).count();
            if self.selection.held == 0 && same > 0 {
                self.timers.stop_all();
                self.timers.start(Timer::Hold, self.now, HOLD_MS);
            }
            self.selection.held = self.selection.held.saturating_add(same);
            if same == wanted.len() {
                self.confirm(buf);
                return same;
            }
            if same == bytes.len() {
                return same;
            }
            self.selection.may_begin = false;
            if self.selection.held > 0 {
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

    /// Handles the held bytes as text.
    pub(super) fn release_held(&mut self, buf: &mut [u8]) {
        let held = core::mem::take(&mut self.selection.held);
        let Some(selected) = &self.selection.file else { return };
        if let (Some(place), Some(text)) = (buf.get_mut(..held), selected.name.as_bytes().get(..held)) {
            place.copy_from_slice(text);
        }
        self.selection.may_begin = false;
        self.show_text(buf, held);
    }

    pub(super) fn text_seen(&mut self, buf: &mut [u8]) {
        if self.state != State::ShowText {
            return self.misuse();
        }
        self.begin_answer();
        match self.context.config.text {
            TextPolicy::Echo => {
                self.line = LineWriter::finished();
                self.enter(State::SendLine);
                self.next = State::ShowText;
            }
            TextPolicy::Reply(text) if !self.selection.is_replied && !text.is_empty() => {
                self.selection.is_replied = true;
                self.ready = 0..text.len();
                self.enter(State::SendFixedReply);
                self.next = State::ShowText;
            }
            TextPolicy::Reject | TextPolicy::Reply(_) => self.rest(buf),
        }
    }

    /// Handles the store's reply to a classic request.
    pub(super) fn reply_classic(&mut self, buf: &mut [u8], reply: Reply<'_>) {
        match (reply, self.context.request.kind) {
            (Reply::Listing, RequestKind::List) => self.write(buf, LineKind::ClassicList, State::SelectEntry),
            (Reply::File { info, .. }, RequestKind::Select) => self.select(buf, info),
            (Reply::File { info, .. }, RequestKind::Confirm) => {
                let selected = self.selection.file.as_ref();
                let size = selected.filter(|selected| selected.version == info.version).map(|selected| selected.size);
                match size.filter(|size| *size <= info.size) {
                    Some(size) => self.send_selected(buf, size),
                    None => self.fail_classic(Code::Changed),
                }
            }
            #[cfg(feature = "wait")]
            (Reply::Pending, RequestKind::Select) => self.enter(State::AwaitStore),
            // A heartbeat would be the first byte of the body.
            #[cfg(feature = "wait")]
            (Reply::Pending, _) => self.fail_classic(Code::Busy),
            (Reply::Refuse(code), RequestKind::Select) => self.refuse_select(buf, code),
            (Reply::Refuse(code), _) => self.fail_classic(code),
            _ => self.misuse(),
        }
    }

    /// Refuses a request that the owner does not permit.
    #[cfg(feature = "rights")]
    pub(super) fn deny_classic(&mut self, buf: &mut [u8]) {
        self.reply_classic(buf, Reply::Refuse(Code::Denied));
    }

    /// Handles the next entry of a classic list.
    pub(super) fn entry_classic(&mut self, buf: &mut [u8], entry: Result<Listed<'_>, StoreError>) {
        match entry {
            Ok(Listed::Entry(entry)) if matches!(entry.kind, EntryKind::File { .. }) => {
                self.put_name(buf, entry.name.as_str().as_bytes());
                let first = self.context.count == 0;
                self.context.count = self.context.count.saturating_add(1);
                let content = if first { LineKind::ClassicFirstEntry } else { LineKind::ClassicEntry };
                self.write(buf, content, State::SelectEntry);
            }
            Ok(Listed::Entry(_) | Listed::Skipped | Listed::Unnameable | Listed::Hidden) => {}
            Ok(Listed::End) => self.write(buf, LineKind::ClassicListEnd, State::Receive),
            Err(error) => self.fail_classic(error.code()),
        }
    }

    /// Refuses a select: clears the selection, and sends a size of -1.
    pub(super) fn refuse_select(&mut self, buf: &mut [u8], code: Code) {
        self.selection.file = None;
        self.last.error = Some(code);
        self.context.end = 0;
        self.write(buf, LineKind::ClassicNoFile, State::Receive);
    }

    pub(super) fn select(&mut self, buf: &mut [u8], info: &FileInfo) {
        let name = request_reader::known_name(buf, self.context.request.name_len);
        let name = name.and_then(|name| String::try_from(name.as_str()).ok());
        // A name that begins like a request or with white space could not be recognised.
        match name.filter(|name| !name.starts_with(['{', ' ', '\t', '\r', '\n'])) {
            Some(name) => {
                self.selection.file = Some(SelectedFile { name, version: info.version.clone(), size: info.size });
                self.context.end = info.size;
                self.context.request.offset = 0;
                self.write(buf, LineKind::ClassicFile, State::Receive);
            }
            None => self.refuse_select(buf, Code::BadName),
        }
    }

    /// Handles the selected file's name, which has arrived.
    pub(super) fn confirm(&mut self, buf: &mut [u8]) {
        self.selection.held = 0;
        self.selection.is_in_text = false;
        let Some(selected) = &self.selection.file else { return };
        let len = selected.name.len();
        if let Some(place) = buf.get_mut(..len) {
            place.copy_from_slice(selected.name.as_bytes());
        }
        self.context.request.name_len = len;
        self.context.request.kind = RequestKind::Confirm;
        self.context.request.is_classic = true;
        self.context.request.digest = None;
        self.has_begun = false;
        self.line_ending = LineEnding::Nothing;
        self.last = Exchange::new(Some(RequestKind::Confirm), None, 0);
        #[cfg(feature = "rights")]
        if self.context.config.asks_permits {
            return self.await_permit(Ok(()));
        }
        self.enter(State::AwaitReply);
    }

    pub(super) fn send_selected(&mut self, buf: &mut [u8], size: u64) {
        self.position = 0;
        self.context.end = size;
        self.answer_began = self.now;
        if size > 0 {
            self.enter(State::SendBody);
        } else {
            self.end_answer(buf);
        }
    }

    /// Closes the connection, since the dialect has no error message.
    pub(super) fn fail_classic(&mut self, code: Code) {
        self.last.error = Some(code);
        self.end_exchange();
        self.close(CloseHow::Finish, CloseReason::Classic);
    }

    /// Shows the owner the first `len` bytes of the buffer as text, or refuses them.
    pub(super) fn show_text(&mut self, buf: &mut [u8], len: usize) {
        if self.context.config.text == TextPolicy::Reject {
            return self.refuse_and_close(buf, Code::BadRequest, Message::Brace);
        }
        self.has_begun = false;
        self.line_ending = LineEnding::Nothing;
        self.selection.is_in_text = true;
        self.context.request.name_len = 0;
        self.ready = 0..len;
        self.enter(State::ShowText);
    }
}
