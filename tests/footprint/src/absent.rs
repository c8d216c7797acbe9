//! Replaces the core by undefined functions. The linker gives each an address without code, so that the image has the owner's
//! code, and the parts of Rust's library that the owner calls, but nothing of the core.

use core::marker::PhantomData;
use core::num::NonZeroU32;

use crate::board::BUF_LEN;
#[cfg(feature = "classic")]
use coracle_core::TextPolicy;
use coracle_core::{
    Action, Code, DigestKind, Exchange, Finished, Instant, Listed, NameError, Reply, Request, ServerEvent,
    ServerName as Name, ServerNameError, StoreError, Timer, VersionError,
};
#[cfg(feature = "rights")]
use coracle_core::{Demand, Permit, RightsError};
#[cfg(feature = "put")]
use coracle_core::{RequestKind, WriteError};

type Session<'c> = ServerSession<'c, [u8; BUF_LEN]>;

#[rustfmt::skip]
// SAFETY: the signatures are those of the core's functions, and no image that is linked here is ever run.
unsafe extern "Rust" {
    safe fn absent_config_number(value: u32);
    safe fn absent_config_name(name: Name<'_>);
    #[cfg(feature = "classic")]
    safe fn absent_config_text(policy: TextPolicy<'_>);
    safe fn absent_server_name(text: &str) -> Result<Name<'_>, ServerNameError>;
    safe fn absent_file_name(text: &str) -> Result<coracle_core::FileName<'_>, NameError>;
    safe fn absent_version(text: &str) -> Result<coracle_core::Version, VersionError>;
    pub safe fn absent_request<'a>(request: &Request<'a>) -> (u32, Option<coracle_core::FileName<'a>>, Option<DigestKind>);
    safe fn absent_new<'c>(config: &ServerConfig<'c>, buf: [u8; BUF_LEN], now: Instant) -> Session<'c>;
    safe fn absent_refusing<'c>(code: Code, config: &ServerConfig<'c>, buf: [u8; BUF_LEN], now: Instant) -> Session<'c>;
    safe fn absent_action<'a>(session: &'a Session<'_>) -> Action<'a>;
    safe fn absent_set_time(session: &mut Session<'_>, time: Option<u64>);
    safe fn absent_receive<'e>(session: &'e mut Session<'_>, bytes: &'e [u8], now: Instant) -> (usize, Option<ServerEvent<'e>>);
    safe fn absent_receive_eof(session: &mut Session<'_>, now: Instant);
    safe fn absent_reply(session: &mut Session<'_>, reply: Reply<'_>, now: Instant);
    safe fn absent_entry(session: &mut Session<'_>, entry: Result<Listed<'_>, StoreError>, now: Instant);
    safe fn absent_sent(session: &mut Session<'_>, len: usize, now: Instant);
    safe fn absent_progress(session: &mut Session<'_>, now: Instant);
    safe fn absent_send_failed(session: &mut Session<'_>);
    safe fn absent_hashed(session: &mut Session<'_>, len: usize, now: Instant);
    safe fn absent_working(session: &mut Session<'_>, now: Instant);
    safe fn absent_finished(session: &mut Session<'_>, finished: Finished, now: Instant);
    #[cfg(feature = "classic")]
    safe fn absent_text_seen(session: &mut Session<'_>, now: Instant);
    safe fn absent_file_fault(session: &mut Session<'_>, now: Instant);
    safe fn absent_deadline(session: &Session<'_>) -> Option<(Instant, Timer)>;
    safe fn absent_handle_timeout(session: &mut Session<'_>, now: Instant);
    safe fn absent_stop(session: &mut Session<'_>, now: Instant);
    safe fn absent_exchanges(session: &Session<'_>) -> u32;
    safe fn absent_last_exchange(session: &Session<'_>) -> Exchange;
    #[cfg(feature = "wait")]
    safe fn absent_look_again(session: &mut Session<'_>, now: Instant);
    #[cfg(feature = "wait")]
    safe fn absent_end_wait(session: &mut Session<'_>, now: Instant);
    #[cfg(feature = "wait")]
    safe fn absent_give_way(session: &mut Session<'_>, now: Instant);
    #[cfg(feature = "put")]
    safe fn absent_config_offered(kind: RequestKind);
    #[cfg(feature = "rename")]
    safe fn absent_config_actions(actions: coracle_core::ActionWords<'_>);
    #[cfg(feature = "rename")]
    safe fn absent_actions(text: &str) -> Result<coracle_core::ActionWords<'_>, coracle_core::ActionWordsError>;
    #[cfg(feature = "put")]
    safe fn absent_stored(session: &mut Session<'_>, len: usize, now: Instant);
    #[cfg(feature = "put")]
    safe fn absent_store_failed(session: &mut Session<'_>, error: WriteError, now: Instant);
    #[cfg(feature = "rights")]
    safe fn absent_rights(words: &str) -> Result<Rights<'_>, RightsError<'_>>;
    #[cfg(feature = "rights")]
    safe fn absent_rights_permit(rights: Rights<'_>, demand: &Demand<'_>) -> Permit<'static>;
    #[cfg(feature = "rights")]
    safe fn absent_permit(session: &mut Session<'_>, permit: Permit<'_>, now: Instant);
    #[cfg(feature = "digest")]
    safe fn absent_hasher(kind: DigestKind) -> Option<Hasher>;
    #[cfg(feature = "digest")]
    safe fn absent_update(hasher: &mut Hasher, bytes: &[u8]);
    #[cfg(feature = "digest")]
    safe fn absent_finish(hasher: Hasher) -> coracle_core::Digest;
}

pub struct FileName;

impl FileName {
    pub fn new(text: &str) -> Result<coracle_core::FileName<'_>, NameError> {
        absent_file_name(text)
    }
}

pub struct Version;

impl Version {
    pub fn new(text: &str) -> Result<coracle_core::Version, VersionError> {
        absent_version(text)
    }
}

pub struct ServerName;

impl ServerName {
    pub fn new(text: &str) -> Result<Name<'_>, ServerNameError> {
        absent_server_name(text)
    }
}

#[cfg(feature = "rename")]
pub struct ActionWords;

#[cfg(feature = "rename")]
impl ActionWords {
    pub fn new(text: &str) -> Result<coracle_core::ActionWords<'_>, coracle_core::ActionWordsError> {
        absent_actions(text)
    }
}

#[cfg(feature = "rights")]
pub struct Rights<'a>(#[allow(dead_code, reason = "only its size counts")] &'a str);

#[cfg(feature = "rights")]
impl<'a> Rights<'a> {
    pub fn new(words: &'a str) -> Result<Self, RightsError<'a>> {
        absent_rights(words)
    }

    pub fn permit(self, demand: &Demand<'_>) -> Permit<'static> {
        absent_rights_permit(self, demand)
    }
}

/// Empty, since the size of a configuration belongs to the core.
pub struct ServerConfig<'c>(PhantomData<&'c ()>);

impl<'c> ServerConfig<'c> {
    pub fn new() -> Self {
        Self(PhantomData)
    }

    pub fn with_chunk_size(self, bytes: NonZeroU32) -> Self {
        self.number(bytes.get())
    }

    pub fn with_send_max(self, bytes: NonZeroU32) -> Self {
        self.number(bytes.get())
    }

    pub fn with_idle_ms(self, ms: u32) -> Self {
        self.number(ms)
    }

    pub fn with_request_ms(self, ms: u32) -> Self {
        self.number(ms)
    }

    pub fn with_stall_ms(self, ms: u32) -> Self {
        self.number(ms)
    }

    pub fn with_min_rate(self, rate: u32) -> Self {
        self.number(rate)
    }

    pub fn with_busy_retry_ms(self, ms: u32) -> Self {
        self.number(ms)
    }

    pub fn with_stop_retry_ms(self, ms: u32) -> Self {
        self.number(ms)
    }

    pub fn with_name(self, name: Name<'c>) -> Self {
        absent_config_name(name);
        self
    }

    #[cfg(feature = "classic")]
    pub fn with_classic(self, is_classic: bool) -> Self {
        self.number(is_classic.into())
    }

    #[cfg(feature = "classic")]
    pub fn with_text_policy(self, policy: TextPolicy<'c>) -> Self {
        absent_config_text(policy);
        self
    }

    #[cfg(feature = "put")]
    pub fn with_offered(self, kind: RequestKind) -> Self {
        absent_config_offered(kind);
        self
    }

    #[cfg(feature = "rename")]
    pub fn with_actions(self, actions: coracle_core::ActionWords<'c>) -> Self {
        absent_config_actions(actions);
        self
    }

    #[cfg(feature = "wait")]
    pub fn with_wait_max_ms(self, ms: u32) -> Self {
        self.number(ms)
    }

    #[cfg(feature = "absolute")]
    pub fn with_absolute(self, is_absolute: bool) -> Self {
        self.number(is_absolute.into())
    }

    fn number(self, value: u32) -> Self {
        absent_config_number(value);
        self
    }
}

/// The same size as the core's.
pub struct ServerSession<'c, B>(
    #[allow(dead_code, reason = "only its size counts")] coracle_core::ServerSession<'c, B>,
);

#[rustfmt::skip]
impl<'c> Session<'c> {
    pub fn new(config: &ServerConfig<'c>, buf: [u8; BUF_LEN], now: Instant) -> Self { absent_new(config, buf, now) }
    pub fn refusing(code: Code, config: &ServerConfig<'c>, buf: [u8; BUF_LEN], now: Instant) -> Self {
        absent_refusing(code, config, buf, now)
    }
    pub fn action(&self) -> Action<'_> { absent_action(self) }
    pub fn set_time(&mut self, time: Option<u64>) { absent_set_time(self, time) }
    pub fn receive<'e>(&'e mut self, bytes: &'e [u8], now: Instant) -> (usize, Option<ServerEvent<'e>>) { absent_receive(self, bytes, now) }
    pub fn receive_eof(&mut self, now: Instant) { absent_receive_eof(self, now) }
    pub fn reply(&mut self, reply: Reply<'_>, now: Instant) { absent_reply(self, reply, now) }
    pub fn entry(&mut self, entry: Result<Listed<'_>, StoreError>, now: Instant) { absent_entry(self, entry, now) }
    pub fn sent(&mut self, len: usize, now: Instant) { absent_sent(self, len, now) }
    pub fn progress(&mut self, now: Instant) { absent_progress(self, now) }
    pub fn send_failed(&mut self) { absent_send_failed(self) }
    pub fn hashed(&mut self, len: usize, now: Instant) { absent_hashed(self, len, now) }
    pub fn working(&mut self, now: Instant) { absent_working(self, now) }
    pub fn finished(&mut self, finished: Finished, now: Instant) { absent_finished(self, finished, now) }
    #[cfg(feature = "classic")]
    pub fn text_seen(&mut self, now: Instant) { absent_text_seen(self, now) }
    #[cfg(feature = "put")]
    pub fn stored(&mut self, len: usize, now: Instant) { absent_stored(self, len, now) }
    #[cfg(feature = "put")]
    pub fn store_failed(&mut self, error: WriteError, now: Instant) { absent_store_failed(self, error, now) }
    #[cfg(feature = "rights")]
    pub fn permit(&mut self, permit: Permit<'_>, now: Instant) { absent_permit(self, permit, now) }
    #[cfg(feature = "wait")]
    pub fn look_again(&mut self, now: Instant) { absent_look_again(self, now) }
    #[cfg(feature = "wait")]
    pub fn end_wait(&mut self, now: Instant) { absent_end_wait(self, now) }
    #[cfg(feature = "wait")]
    pub fn give_way(&mut self, now: Instant) { absent_give_way(self, now) }
    pub fn file_fault(&mut self, now: Instant) { absent_file_fault(self, now) }
    pub fn deadline(&self) -> Option<(Instant, Timer)> { absent_deadline(self) }
    pub fn handle_timeout(&mut self, now: Instant) { absent_handle_timeout(self, now) }
    pub fn stop(&mut self, now: Instant) { absent_stop(self, now) }
    pub fn exchanges(&self) -> u32 { absent_exchanges(self) }
    pub fn last_exchange(&self) -> Exchange { absent_last_exchange(self) }
}

/// The same size as the core's.
#[cfg(feature = "digest")]
pub struct Hasher(#[allow(dead_code, reason = "only its size counts")] coracle_core::Hasher);

#[cfg(feature = "digest")]
#[rustfmt::skip]
impl Hasher {
    pub fn new(kind: DigestKind) -> Option<Self> { absent_hasher(kind) }
    pub fn update(&mut self, bytes: &[u8]) { absent_update(self, bytes) }
    pub fn finish(self) -> coracle_core::Digest { absent_finish(self) }
}
