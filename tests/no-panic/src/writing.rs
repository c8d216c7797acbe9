//! What sessions have for requests that write.

use coracle_core::{
    ActionWords, ActionWordsError, Actions, FileName, Instant, Put, PutAttempt, Replace, ServerSession, UploadClaim,
    UploadTicket, UploadTurn, Version, WriteError,
};

use crate::entries;

type Session = ServerSession<'static, [u8; 768]>;

entries! {
    fn writing_receive(session: &mut Session, bytes: &[u8], now: Instant) -> usize { session.receive(bytes, now).0 }

    fn writing_stored(session: &mut Session, len: usize, now: Instant) { session.stored(len, now) }

    fn writing_store_failed(session: &mut Session, error: WriteError, now: Instant) { session.store_failed(error, now) }

    fn writing_handle_timeout(session: &mut Session, now: Instant) { session.handle_timeout(now) }

    fn action_words_new<'s>(words: &'s str) -> Result<ActionWords<'s>, ActionWordsError> { ActionWords::new(words) }

    fn action_words_has(words: ActionWords<'_>, word: &str) -> bool { words.has(word) }

    fn actions_count(actions: Actions<'_>) -> usize { actions.iter().count() }

    fn file_name_is_reserved(name: FileName<'_>) -> bool { name.is_reserved() }

    fn replace_check(replace: Replace<'_>, current: Option<&Version>) -> Result<(), WriteError> { replace.check(current) }

    fn put_with_replace<'s>(put: Put<'s>, replace: Replace<'s>) -> Put<'s> { put.with_replace(replace) }

    fn upload_turn_claim(turn: &mut UploadTurn, attempt: PutAttempt, now: Instant) -> UploadClaim { turn.claim(attempt, now) }

    fn upload_turn_enter(turn: &mut UploadTurn, ticket: UploadTicket) -> Result<(), WriteError> { turn.enter(ticket) }

    fn upload_turn_leave(turn: &mut UploadTurn, ticket: UploadTicket, has_bytes: bool, now: Instant) { turn.leave(ticket, has_bytes, now) }

    fn upload_turn_release(turn: &mut UploadTurn, ticket: UploadTicket) { turn.release(ticket) }
}
