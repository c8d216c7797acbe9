//! The server's session.

use coracle_core::{
    Action, Code, Exchange, Finished, Instant, Listed, Reply, ServerConfig, ServerEvent, ServerSession, StoreError,
    Timer,
};

use crate::entries;

type Session = ServerSession<'static, [u8; 512]>;

entries! {
    fn server_new(config: &'static ServerConfig<'static>, now: Instant) -> Session { Session::new(config, [0; 512], now) }

    fn server_refusing(code: Code, config: &'static ServerConfig<'static>, now: Instant) -> Session {
        Session::refusing(code, config, [0; 512], now)
    }

    fn server_action<'s>(session: &'s Session) -> Action<'s> { session.action() }
}

entries! {
    fn server_receive<'s>(session: &'s mut Session, bytes: &'s [u8], now: Instant) -> (usize, Option<ServerEvent<'s>>) { session.receive(bytes, now) }

    fn server_set_time(session: &mut Session, time: Option<u64>) { session.set_time(time) }

    fn server_receive_eof(session: &mut Session, now: Instant) { session.receive_eof(now) }

    fn server_reply(session: &mut Session, reply: Reply<'_>, now: Instant) { session.reply(reply, now) }

    fn server_entry(session: &mut Session, entry: Result<Listed<'_>, StoreError>, now: Instant) { session.entry(entry, now) }

    fn server_sent(session: &mut Session, len: usize, now: Instant) { session.sent(len, now) }

    fn server_progress(session: &mut Session, now: Instant) { session.progress(now) }

    fn server_send_failed(session: &mut Session) { session.send_failed() }

    fn server_hashed(session: &mut Session, len: usize, now: Instant) { session.hashed(len, now) }

    fn server_working(session: &mut Session, now: Instant) { session.working(now) }

    fn server_finished(session: &mut Session, finished: Finished, now: Instant) { session.finished(finished, now) }

    fn server_file_fault(session: &mut Session, now: Instant) { session.file_fault(now) }

    fn server_deadline(session: &Session) -> Option<(Instant, Timer)> { session.deadline() }

    fn server_handle_timeout(session: &mut Session, now: Instant) { session.handle_timeout(now) }

    fn server_stop(session: &mut Session, now: Instant) { session.stop(now) }

    fn server_exchanges(session: &Session) -> u32 { session.exchanges() }

    fn server_last_exchange(session: &Session) -> Exchange { session.last_exchange() }
}

#[cfg(feature = "classic")]
entries! {
    fn server_text_seen(session: &mut Session, now: Instant) { session.text_seen(now) }
}
