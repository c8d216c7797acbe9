//! The encrypted channel of a connection: its handshake, then its records.

use coracle_channel::{
    FIRST_BYTE, HandshakeAction, PLAINTEXT_OFFSET, Psk, PublicKey, RECORD_OVERHEAD, Receiver, RecordLimit, Sealer,
    ServerHandshake,
};
use coracle_core::Instant;

use crate::server::Server;
use crate::types::{Action, ActionKind, CloseHow, CloseReason, UNKNOWN};

/// What this end takes in a record.
const LIMIT: RecordLimit = RecordLimit::BOARD;
/// How many pre-shared keys are accepted at a time.
const PSKS: usize = 4;
/// How long a client may take for message 3.
const THIRD_MS: u64 = 3_000;
/// How long the owner may take to send the end of the channel.
const FINISH_MS: u64 = 10_000;

/// What lies in the memory that C gives to the channel of a connection.
pub(crate) struct Channel {
    stage: Stage,
    /// When the client has to have gone on.
    deadline: Option<Instant>,
    /// Message 2 is made.
    is_answered: bool,
    /// The session is to be stopped once it begins.
    is_stopping: bool,
}

// Without a heap the large variants cannot be boxed, and a connection has one after the other.
#[allow(clippy::large_enum_variant)]
enum Stage {
    /// Nothing has arrived.
    First,
    Handshake(ServerHandshake),
    /// The client speaks plain, and its session has not begun.
    Plain,
    Records(Records),
    /// All is the session's.
    Nothing,
    /// There is no session to come.
    Over(CloseReason),
}

/// Both directions.
pub(crate) struct Records {
    sealer: Sealer,
    receiver: Receiver<[u8; LIMIT.record_len()]>,
    peer: PublicKey,
    psk: usize,
    /// What arrived was changed on its way, or is not all that the client sent.
    has_failed: bool,
    /// Until when the owner may send the end.
    ending: Option<Instant>,
}

/// What comes next, as far as the channel knows.
pub(crate) enum Progress {
    /// The owner does this.
    Owner(Action),
    /// The session begins.
    Begin { is_encrypted: bool, is_stopping: bool },
    /// What the session says.
    Session,
}

impl Channel {
    pub(crate) fn new(server: &Server, now: Instant) -> Self {
        let deadline = later(now, server.config.idle_ms());
        Self { stage: Stage::First, deadline, is_answered: false, is_stopping: false }
    }

    /// Goes on with the handshake by one step: at most one Diffie-Hellman operation.
    pub(crate) fn advance(&mut self, server: &'static Server) -> Progress {
        let Stage::Handshake(handshake) = &mut self.stage else { return self.progress() };
        match handshake.action() {
            HandshakeAction::Compute => {
                if !compute(handshake, server) {
                    self.stage = Stage::Over(CloseReason::Handshake);
                }
                Progress::Owner(Action::new(ActionKind::Again))
            }
            HandshakeAction::Send(bytes) => {
                let send = Action { len: bytes.len(), bytes: bytes.as_ptr(), ..Action::new(ActionKind::SendBytes) };
                Progress::Owner(self.until_deadline(send))
            }
            HandshakeAction::Receive => Progress::Owner(self.until_deadline(Action::new(ActionKind::Receive))),
            HandshakeAction::Done => self.begin(),
            HandshakeAction::Failed(_) | HandshakeAction::Decide(_) => {
                self.stage = Stage::Over(CloseReason::Handshake);
                self.progress()
            }
        }
    }

    fn progress(&mut self) -> Progress {
        match self.stage {
            Stage::First => Progress::Owner(self.until_deadline(Action::new(ActionKind::Receive))),
            Stage::Plain => {
                self.stage = Stage::Nothing;
                Progress::Begin { is_encrypted: false, is_stopping: self.is_stopping }
            }
            // Without a byte.
            Stage::Over(why) => {
                Progress::Owner(Action { how: CloseHow::Finish, why, ..Action::new(ActionKind::Close) })
            }
            Stage::Handshake(_) | Stage::Records(_) | Stage::Nothing => Progress::Session,
        }
    }

    // Out of line: nothing of it is to be on the stack while a handshake computes.
    #[inline(never)]
    fn begin(&mut self) -> Progress {
        let Stage::Handshake(handshake) = &mut self.stage else { return Progress::Session };
        let psk = handshake.psk().unwrap_or(0);
        let channel = handshake.finish();
        let records = channel.and_then(|channel| {
            let receiver = Receiver::new(channel.opener, [0; LIMIT.record_len()]).ok()?;
            let (sealer, peer) = (channel.sealer, channel.peer);
            Some(Records { sealer, receiver, peer, psk, has_failed: false, ending: None })
        });
        match records {
            Some(records) => {
                self.stage = Stage::Records(records);
                Progress::Begin { is_encrypted: true, is_stopping: self.is_stopping }
            }
            None => {
                self.stage = Stage::Over(CloseReason::Handshake);
                self.progress()
            }
        }
    }

    fn until_deadline(&self, action: Action) -> Action {
        Action { deadline_ms: self.deadline.map_or(UNKNOWN, Instant::as_millis), ..action }
    }

    /// Whether there is no session yet, or none to come.
    pub(crate) const fn is_arriving(&self) -> bool {
        !matches!(self.stage, Stage::Records(_) | Stage::Nothing)
    }

    /// Takes bytes of a client that is arriving, and returns how many.
    pub(crate) fn receive_first(&mut self, bytes: &[u8], server: &'static Server, now: Instant) -> usize {
        if let (Stage::First, Some(first)) = (&self.stage, bytes.first()) {
            self.deadline = later(now, server.config.request_ms());
            self.stage = if *first != FIRST_BYTE {
                Stage::Plain
            } else if let Some(entropy) = server.callbacks().entropy() {
                Stage::Handshake(ServerHandshake::new(entropy, LIMIT))
            } else {
                Stage::Over(CloseReason::Handshake)
            };
        }
        match &mut self.stage {
            Stage::Handshake(handshake) => handshake.receive(bytes),
            _ => 0,
        }
    }

    /// The client sends no more, while it is arriving.
    pub(crate) fn receive_first_eof(&mut self) {
        match &mut self.stage {
            Stage::First => self.stage = Stage::Over(CloseReason::Done),
            Stage::Handshake(handshake) => handshake.receive_eof(),
            _ => {}
        }
    }

    /// So much of a message has left.
    pub(crate) fn sent(&mut self, len: usize, now: Instant) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        handshake.sent(len);
        if len > 0 && !self.is_answered {
            self.is_answered = true;
            self.deadline = Some(now.after(THIRD_MS));
        }
    }

    /// Ends an arrival that takes too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_arriving() && self.deadline.is_some_and(|deadline| deadline <= now) {
            self.stage = Stage::Over(CloseReason::Handshake);
        }
    }

    /// The session is to be stopped: one that begins later, then. A client that was not answered yet is told in plain.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
        if matches!(self.stage, Stage::First | Stage::Handshake(_)) && !self.is_answered {
            self.stage = Stage::Plain;
        }
    }

    /// Forgets the keys.
    pub(crate) fn end(&mut self) {
        self.stage = Stage::Nothing;
    }

    pub(crate) const fn records(&mut self) -> Option<&mut Records> {
        match &mut self.stage {
            Stage::Records(records) => Some(records),
            _ => None,
        }
    }

    /// Who the client is, and the place of its pre-shared key; `None` where it speaks plain.
    pub(crate) const fn client(&self) -> Option<(&PublicKey, usize)> {
        match &self.stage {
            Stage::Records(records) => Some((&records.peer, records.psk)),
            _ => None,
        }
    }
}

impl Records {
    /// The most plaintext of a record in a buffer of `len` bytes.
    pub(crate) fn room(&self, len: usize) -> usize {
        self.sealer.room(len)
    }

    /// How long a record is with so much plaintext.
    pub(crate) const fn sealed_len(len: usize) -> usize {
        len.saturating_add(RECORD_OVERHEAD)
    }

    /// Where the plaintext of a record of `len` bytes stands in `buf`.
    pub(crate) fn place(buf: &mut [u8], len: usize) -> &mut [u8] {
        buf.get_mut(PLAINTEXT_OFFSET..PLAINTEXT_OFFSET.saturating_add(len)).unwrap_or_default()
    }

    /// Seals a record with the `len` bytes at their place in `buf`, and returns its length.
    #[inline(never)]
    pub(crate) fn seal(&mut self, buf: &mut [u8], len: usize) -> usize {
        self.sealer.seal(buf, len).unwrap_or(0)
    }

    /// Seals the end into `buf`, and returns its length; 0 where it has no room.
    pub(crate) fn finish(&mut self, buf: &mut [u8]) -> usize {
        self.sealer.finish(buf).unwrap_or(0)
    }

    /// Until when the end may be sent; `None` where it was, or cannot be any more.
    pub(crate) fn ending(&mut self, now: Instant) -> Option<Instant> {
        let until = *self.ending.get_or_insert(now.after(FINISH_MS));
        (!self.sealer.has_ended() && !self.has_failed && now < until).then_some(until)
    }

    /// Takes received bytes, and returns how many: none while there is plaintext.
    #[inline(never)]
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> usize {
        self.receiver.receive(bytes).unwrap_or_else(|_| {
            self.has_failed = true;
            0
        })
    }

    /// The client sends no more.
    pub(crate) fn receive_eof(&mut self) {
        self.has_failed |= self.receiver.receive_eof().is_err();
    }

    pub(crate) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(crate) fn plaintext(&self) -> &[u8] {
        self.receiver.plaintext()
    }

    /// So much of the plaintext was taken.
    pub(crate) fn consume(&mut self, len: usize) {
        self.receiver.consume(len);
    }

    /// Whether the client has sent all, and all was taken.
    pub(crate) fn has_ended(&self) -> bool {
        self.receiver.has_ended() && self.receiver.plaintext().is_empty()
    }
}

/// One step of computing; false where there is no key.
// Out of line, since the keys are on its stack.
#[inline(never)]
fn compute(handshake: &mut ServerHandshake, server: &'static Server) -> bool {
    let Some(key) = &server.key else { return false };
    let mut psks = heapless::Vec::<Psk, PSKS>::new();
    if handshake.psk().is_none() && server.callbacks().has_psks() {
        for index in 0..PSKS {
            let Some(psk) = server.callbacks().psk(index) else { break };
            let _ = psks.push(psk); // of which there are no more than fit
        }
        if psks.is_empty() {
            return false;
        }
    }
    handshake.compute(key, &psks);
    true
}

/// 0 is never.
fn later(now: Instant, after_ms: u32) -> Option<Instant> {
    (after_ms > 0).then(|| now.after(after_ms.into()))
}
