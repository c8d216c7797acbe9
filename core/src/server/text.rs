//! Text where there is no classic dialect.

use super::session::Session;
use crate::wire::code::Code;
use crate::wire::message::Message;

/// Text is an error.
impl Session<'_> {
    pub(super) const fn is_in_text(&self) -> bool {
        false
    }

    pub(super) const fn is_held(&self) -> bool {
        false
    }

    pub(super) fn receive_text(&mut self, buf: &mut [u8], _: &[u8]) -> usize {
        self.refuse_and_close(buf, Code::BadRequest, Message::Brace);
        1
    }
}
