//! The client's session.

use coracle_core::{ClientAction, ClientEvent, ClientRequest, ClientSession, Instant, Refusal, StartError, Timer};

use crate::entries;

type Session = ClientSession<[u8; 1024]>;

entries! {
    fn client_new(stall_ms: u32) -> Session { Session::new([0; 1024]).with_stall_ms(stall_ms) }

    fn client_into_buf(session: Session) -> [u8; 1024] { session.into_buf() }

    fn client_start(session: &mut Session, ask: ClientRequest<'_>, now: Instant) -> Result<(), StartError> { session.start(ask, now) }

    fn client_write_request(session: &Session, ask: &ClientRequest<'_>, buf: &mut [u8]) -> Result<usize, StartError> {
        session.write_request(ask, buf)
    }

    fn client_start_sent(session: &mut Session, ask: ClientRequest<'_>, now: Instant) -> Result<(), StartError> {
        session.start_sent(ask, now)
    }

    fn client_action<'s>(session: &'s Session) -> ClientAction<'s> { session.action() }

    fn client_connected(session: &mut Session, now: Instant) { session.connected(now) }

    fn client_rehashed(session: &mut Session, bytes: &[u8], now: Instant) { session.rehashed(bytes, now) }

    fn client_sent(session: &mut Session, len: usize, now: Instant) { session.sent(len, now) }

    fn client_send_failed(session: &mut Session) { session.send_failed() }

    fn client_receive<'s>(session: &'s mut Session, bytes: &'s [u8], now: Instant) -> (usize, Option<ClientEvent<'s>>) {
        session.receive(bytes, now)
    }

    fn client_receive_eof(session: &mut Session) { session.receive_eof() }

    fn client_deadline(session: &Session) -> Option<(Instant, Timer)> { session.deadline() }

    fn client_handle_timeout(session: &mut Session, now: Instant) { session.handle_timeout(now) }

    fn client_abandon(session: &mut Session) { session.abandon() }

    fn client_refusal<'s>(session: &'s Session) -> Option<Refusal<'s>> { session.refusal() }
}
