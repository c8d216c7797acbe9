//! What the responder says and when: probing, conflicts, announcing, answers and goodbyes (RFC 6762, sections 6 to 10).

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpEndpoint, Ipv4Address};

use super::heard::{Heard, Tie};
use super::writer::{Identity, Lifetime, Records, Writer};

/// How often names are asked for, and announced.
const PROBES: u8 = 3;
const ANNOUNCEMENTS: u8 = 2;
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
/// How long one waits who has lost a name to another that asks for it at the same time.
const DEFER: Duration = Duration::from_secs(1);
/// After this many conflicts within 10 s there is one attempt in 5 s.
const MANY_CONFLICTS: u8 = 15;
const CONFLICT_WINDOW: Duration = Duration::from_secs(10);
const CONFLICT_PAUSE: Duration = Duration::from_secs(5);
/// How soon records may be sent to all again, and to one who asks whether a name is free.
const MULTICAST_INTERVAL: Duration = Duration::from_secs(1);
const DEFENCE_INTERVAL: Duration = Duration::from_millis(250);
/// Answers that several hosts have are sent after 20 to 120 ms.
const SHARED_DELAY_MS: u32 = 20;
const SHARED_SPREAD_MS: u32 = 100;

/// Where a message is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    All,
    One(IpEndpoint),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is said.
    Silent,
    Probing {
        sent: u8,
        at: Instant,
    },
    Announcing {
        sent: u8,
        at: Instant,
    },
    Answering,
    /// The records are withdrawn with the next message.
    Leaving,
}

/// An answer to one host.
#[derive(Clone, Copy)]
struct Direct {
    to: IpEndpoint,
    heard: Heard,
}

/// The state of a responder, and what it is to send.
pub(super) struct State {
    pub own: Identity,
    stage: Stage,
    /// The number behind the name, 1 for none.
    number: u16,
    /// An answer to all, and when it is due.
    pending: Option<(Records, Instant)>,
    direct: Option<Direct>,
    last_sent: Option<Instant>,
    conflicts: u8,
    first_conflict: Instant,
    random: u32,
}

impl State {
    pub(super) const fn new(port: u16) -> Self {
        Self {
            own: Identity::new(port),
            stage: Stage::Silent,
            number: 1,
            pending: None,
            direct: None,
            last_sent: None,
            conflicts: 0,
            first_conflict: Instant::ZERO,
            random: 1,
        }
    }

    /// Sets where chance begins: hosts that start together should differ.
    pub(super) fn seed(&mut self, seed: u32) {
        self.random = seed | 1;
    }

    /// Begins to ask for the names, at an address that is new.
    pub(super) fn start(&mut self, address: Ipv4Address, now: Instant) {
        self.own.address = address.octets();
        self.probe(now);
    }

    pub(super) fn silence(&mut self) {
        self.stage = Stage::Silent;
    }

    /// Withdraws the records, if others may know them.
    pub(super) fn leave(&mut self) {
        self.stage = match self.stage {
            Stage::Announcing { .. } | Stage::Answering | Stage::Leaving => Stage::Leaving,
            Stage::Silent | Stage::Probing { .. } => Stage::Silent,
        };
    }

    /// Whether the names are the board's.
    pub(super) fn is_established(&self) -> bool {
        matches!(self.stage, Stage::Announcing { .. } | Stage::Answering)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.stage == Stage::Silent
    }

    /// Takes note of a message from `from`. Returns whether the name is to change: to the one with this number.
    pub(super) fn hear(&mut self, heard: Heard, from: IpEndpoint, now: Instant) -> Option<u16> {
        if heard.is_conflict {
            return self.conflict(now);
        }
        match self.stage {
            Stage::Probing { .. } if heard.tie == Some(Tie::Lost) => {
                self.stage = Stage::Probing { sent: 0, at: now + DEFER };
            }
            Stage::Announcing { .. } | Stage::Answering if heard.wanted != Records::NONE => {
                if heard.is_legacy || (heard.takes_unicast && !heard.is_probe) {
                    self.direct = Some(Direct { to: from, heard });
                } else {
                    self.promise(heard, now);
                }
            }
            _ => {}
        }
        None
    }

    /// When there is something to send next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = match self.stage {
            Stage::Silent => return None,
            Stage::Probing { at, .. } => return Some(at),
            Stage::Leaving => return Some(Instant::ZERO),
            Stage::Announcing { .. } | Stage::Answering if self.direct.is_some() => return Some(Instant::ZERO),
            Stage::Announcing { at, .. } => Some(at),
            Stage::Answering => None,
        };
        match (at, self.pending) {
            (Some(at), Some((_, pending_at))) => Some(at.min(pending_at)),
            (at, pending) => at.or(pending.map(|(_, at)| at)),
        }
    }

    /// Where the message is for that is due; `None` where there is none.
    pub(super) fn due(&mut self, now: Instant) -> Option<Destination> {
        if let Stage::Probing { sent: PROBES, at } = self.stage
            && at <= now
        {
            self.stage = Stage::Announcing { sent: 0, at };
        }
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        match self.direct {
            Some(direct) if self.is_established() => Some(Destination::One(direct.to)),
            _ => Some(Destination::All),
        }
    }

    /// Writes the message that is due, and returns its length.
    pub(super) fn write(&mut self, buf: &mut [u8], now: Instant) -> usize {
        let (records, lifetime, question) = match self.stage {
            Stage::Silent => return 0,
            Stage::Leaving => {
                self.stage = Stage::Silent;
                (Records::ALL, Lifetime::Over, None)
            }
            Stage::Probing { sent, .. } => {
                self.stage = Stage::Probing { sent: sent.saturating_add(1), at: now + PROBE_INTERVAL };
                return Writer::new(buf).probe(&self.own);
            }
            Stage::Announcing { .. } | Stage::Answering => match self.direct.take() {
                Some(Direct { heard, .. }) if heard.is_legacy => {
                    (heard.wanted.and_what_follows(), Lifetime::Legacy, heard.question())
                }
                Some(Direct { heard, .. }) => (heard.wanted.and_what_follows(), Lifetime::Usual, None),
                None => (self.records_for_all(now), Lifetime::Usual, None),
            },
        };
        Writer::new(buf).answer(&self.own, records, lifetime, question)
    }

    /// The records that are due to all, and are sent now.
    fn records_for_all(&mut self, now: Instant) -> Records {
        self.last_sent = Some(now);
        let pending = self.pending.take();
        match self.stage {
            Stage::Announcing { sent, at } if at <= now => {
                let sent = sent.saturating_add(1);
                self.stage = if sent >= ANNOUNCEMENTS {
                    Stage::Answering
                } else {
                    Stage::Announcing { sent, at: now + ANNOUNCE_INTERVAL }
                };
                Records::ALL
            }
            _ => pending.map_or(Records::ALL, |(records, _)| records.and_what_follows()),
        }
    }

    /// Promises an answer to all, as soon as one may be sent.
    fn promise(&mut self, heard: Heard, now: Instant) {
        let is_shared = heard.wanted.has(Records::PTR) || heard.wanted.has(Records::TYPE);
        let delay_ms = if is_shared && !heard.is_probe { SHARED_DELAY_MS + self.below(SHARED_SPREAD_MS) } else { 0 };
        let interval = if heard.is_probe { DEFENCE_INTERVAL } else { MULTICAST_INTERVAL };
        let soon = now + Duration::from_millis(delay_ms.into());
        let at = self.last_sent.map_or(soon, |last| soon.max(last + interval));
        self.pending = Some(match self.pending {
            Some((records, other_at)) => (records.with(heard.wanted), at.min(other_at)),
            None => (heard.wanted, at),
        });
    }

    /// Another host has a name. Who has it by right asks again; who asked for it takes another.
    fn conflict(&mut self, now: Instant) -> Option<u16> {
        if now - self.first_conflict > CONFLICT_WINDOW {
            (self.first_conflict, self.conflicts) = (now, 0);
        }
        self.conflicts = self.conflicts.saturating_add(1);
        match self.stage {
            Stage::Probing { .. } => {
                self.number = self.number.checked_add(1).unwrap_or(2);
                self.probe(now);
                Some(self.number)
            }
            Stage::Announcing { .. } | Stage::Answering => {
                self.probe(now);
                None
            }
            Stage::Silent | Stage::Leaving => None,
        }
    }

    fn probe(&mut self, now: Instant) {
        (self.pending, self.direct) = (None, None);
        let pause = if self.conflicts >= MANY_CONFLICTS {
            CONFLICT_PAUSE
        } else {
            Duration::from_millis(self.below(250).into())
        };
        self.stage = Stage::Probing { sent: 0, at: now + pause };
    }

    /// A number below `limit`, by xorshift.
    fn below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random % limit
    }
}
