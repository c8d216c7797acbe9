//! What a message of another host means for the board.

use core::cmp::Ordering;

use super::message::{Message, Part, Section, TOP_BIT, TYPE_A, TYPE_PTR, TYPE_SRV, TYPE_TXT};
use super::name::Name;
use super::writer::{Identity, Records, Subject};

/// The port of multicast DNS.
pub(super) const PORT: u16 = 5353;
/// Of a known answer: it need not be given again as long as half of its time is left (RFC 6762, section 7.1).
const HALF_OF_TTL: u32 = 2_250;

/// What a message says.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    pub id: u16,
    /// The records that are asked for and not known.
    pub wanted: Records,
    /// The question, where there is one: of the first that asks for something of the board.
    asked: Option<(Subject, u16)>,
    /// Its sender does not speak multicast DNS.
    pub is_legacy: bool,
    /// All questions will do with an answer to the sender alone.
    pub takes_unicast: bool,
    /// Its sender asks whether names are free.
    pub is_probe: bool,
    /// It says that another host has one of the names.
    pub is_conflict: bool,
    /// How the names of one who asks at the same time compare.
    pub tie: Option<Tie>,
}

/// Who takes a name that two ask for at a time (section 8.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    Won,
    Lost,
}

impl Heard {
    /// What `message` means for who is `own`.
    pub(super) fn of(message: &Message<'_>, port: u16, own: &Identity) -> Self {
        let mut heard = Self {
            id: message.id,
            wanted: Records::NONE,
            asked: None,
            is_legacy: port != PORT,
            takes_unicast: true,
            is_probe: message.is_probe(),
            is_conflict: false,
            tie: None,
        };
        let mut known = Records::NONE;
        // Of the authority section, the record of the lowest type decides.
        let mut lowest = u16::MAX;
        message.each(|part| {
            let Some(subject) = find(part.name, own) else { return };
            match part.section {
                Section::Question if !message.is_response => heard.ask(subject, &part),
                Section::Answer if !message.is_response => known = known.with(known_answer(subject, &part, own)),
                Section::Authority if !message.is_response && subject == Subject::Instance && part.kind < lowest => {
                    lowest = part.kind;
                    heard.tie = tie(&part, own);
                }
                Section::Answer | Section::Additional if message.is_response && port == PORT => {
                    heard.is_conflict |= is_conflict(subject, &part, own);
                }
                _ => {}
            }
        });
        heard.wanted = heard.wanted.without(known);
        heard
    }

    /// The question that is answered: its message's number, its name and its type.
    pub(super) fn question(&self) -> Option<(u16, Subject, u16)> {
        self.asked.map(|(subject, kind)| (self.id, subject, kind))
    }

    fn ask(&mut self, subject: Subject, part: &Part<'_>) {
        let choices: &[(u16, Records)] = match subject {
            Subject::Types => &[(TYPE_PTR, Records::TYPE)],
            Subject::Service => &[(TYPE_PTR, Records::PTR)],
            Subject::Instance => &[(TYPE_SRV, Records::SRV), (TYPE_TXT, Records::TXT)],
            Subject::Host => &[(TYPE_A, Records::ADDRESS)],
        };
        let chosen = choices.iter().filter(|(kind, _)| part.asks_for(*kind));
        let records = chosen.fold(Records::NONE, |all, (_, record)| all.with(*record));
        if part.is_in() && records != Records::NONE {
            self.wanted = self.wanted.with(records);
            self.asked = self.asked.or(Some((subject, part.kind)));
            self.takes_unicast &= part.class & TOP_BIT != 0;
        }
    }
}

/// Which name of the board's it is.
fn find(name: Name<'_>, own: &Identity) -> Option<Subject> {
    let subjects = &[Subject::Types, Subject::Service, Subject::Instance, Subject::Host];
    subjects.iter().copied().find(|subject| name.is(Name::of(own.name(*subject))))
}

/// The record that the asker knows already.
fn known_answer(subject: Subject, part: &Part<'_>, own: &Identity) -> Records {
    let (record, target) = match subject {
        Subject::Types => (Records::TYPE, Subject::Service),
        Subject::Service => (Records::PTR, Subject::Instance),
        _ => return Records::NONE,
    };
    let is_known = part.kind == TYPE_PTR
        && part.ttl >= HALF_OF_TTL
        && part.name_in_data(0).is_some_and(|name| name.is(Name::of(own.name(target))));
    if is_known { record } else { Records::NONE }
}

/// Whether a record has one of the names and says something else of it. One that is withdrawn says nothing.
fn is_conflict(subject: Subject, part: &Part<'_>, own: &Identity) -> bool {
    if part.ttl == 0 || !part.is_in() {
        return false;
    }
    match (part.kind, subject) {
        (TYPE_SRV, Subject::Instance) => compare_srv(part, own) != Some(Ordering::Equal),
        (TYPE_A, Subject::Host) => part.data != own.address,
        _ => false,
    }
}

/// The board asks with an SRV record alone.
fn tie(part: &Part<'_>, own: &Identity) -> Option<Tie> {
    match part.kind.cmp(&TYPE_SRV) {
        Ordering::Less => Some(Tie::Won),
        Ordering::Greater => Some(Tie::Lost),
        Ordering::Equal => match compare_srv(part, own)? {
            Ordering::Less => Some(Tie::Won),
            Ordering::Greater => Some(Tie::Lost),
            Ordering::Equal => None,
        },
    }
}

/// How another's SRV record compares with the board's.
fn compare_srv(part: &Part<'_>, own: &Identity) -> Option<Ordering> {
    let target = part.name_in_data(own.srv.len())?;
    let theirs = part.data.get(..own.srv.len())?;
    Some(theirs.cmp(&own.srv).then_with(|| target.compare(Name::of(own.host.bytes()))))
}
