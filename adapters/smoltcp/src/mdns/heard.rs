//! What a message of another host means for the board.

use core::cmp::Ordering;

use super::message::{Message, Part, Section, TOP_BIT, TYPE_A, TYPE_PTR, TYPE_SRV, TYPE_TXT};
use super::writer::{Identity, Records, SERVICE, TYPES};

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
    asked: Option<(Asked, u16)>,
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

/// The name that a question is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Types,
    Service,
    Instance,
    Host,
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
        message.each(|part| match part.section {
            Section::Question if !message.is_response => heard.question_part(&part, own),
            Section::Answer if !message.is_response => known = known.with(known_answer(&part, own)),
            Section::Authority if !message.is_response && part.name.is(&own.instance()) && part.kind < lowest => {
                lowest = part.kind;
                heard.tie = tie(&part, own);
            }
            Section::Answer | Section::Additional if message.is_response && port == PORT => {
                heard.is_conflict |= is_conflict(&part, own);
            }
            _ => {}
        });
        heard.wanted = heard.wanted.without(known);
        heard
    }

    /// The name and the type of the question that is answered.
    pub(super) fn question<'a>(
        &self,
        instance: &'a [&'a [u8]; 4],
        host: &'a [&'a [u8]; 2],
    ) -> Option<(&'a [&'a [u8]], u16)> {
        let (asked, kind) = self.asked?;
        let name: &'a [&'a [u8]] = match asked {
            Asked::Types => &TYPES,
            Asked::Service => &SERVICE,
            Asked::Instance => instance,
            Asked::Host => host,
        };
        Some((name, kind))
    }

    fn question_part(&mut self, part: &Part<'_>, own: &Identity) {
        let choose = |kind: u16, records: Records| if part.asks_for(kind) { records } else { Records::NONE };
        let (asked, records) = if part.name.is(&SERVICE) {
            (Asked::Service, choose(TYPE_PTR, Records::PTR))
        } else if part.name.is(&own.instance()) {
            (Asked::Instance, choose(TYPE_SRV, Records::SRV).with(choose(TYPE_TXT, Records::TXT)))
        } else if part.name.is(&own.host()) {
            (Asked::Host, choose(TYPE_A, Records::ADDRESS))
        } else if part.name.is(&TYPES) {
            (Asked::Types, choose(TYPE_PTR, Records::TYPE))
        } else {
            return;
        };
        if part.is_in() && records != Records::NONE {
            self.wanted = self.wanted.with(records);
            self.asked = self.asked.or(Some((asked, part.kind)));
            self.takes_unicast &= part.class & TOP_BIT != 0;
        }
    }
}

/// A record that who asks knows already.
fn known_answer(part: &Part<'_>, own: &Identity) -> Records {
    let is_fresh = part.kind == TYPE_PTR && part.ttl >= HALF_OF_TTL;
    let points_to = |labels: &[&[u8]]| part.name_in_data(0).is_some_and(|name| name.is(labels));
    if is_fresh && part.name.is(&SERVICE) && points_to(&own.instance()) {
        Records::PTR
    } else if is_fresh && part.name.is(&TYPES) && points_to(&SERVICE) {
        Records::TYPE
    } else {
        Records::NONE
    }
}

/// Whether a record has one of the names and says something else of it. One that is withdrawn says nothing.
fn is_conflict(part: &Part<'_>, own: &Identity) -> bool {
    if part.ttl == 0 || !part.is_in() {
        return false;
    }
    match part.kind {
        TYPE_SRV => part.name.is(&own.instance()) && compare_srv(part, own) != Some(Ordering::Equal),
        TYPE_A => part.name.is(&own.host()) && part.data != own.address.octets(),
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
    let numbers = own.srv_numbers();
    let target = part.name_in_data(numbers.len())?;
    let theirs = part.data.get(..numbers.len())?;
    Some(theirs.cmp(&numbers[..]).then_with(|| target.compare(&own.host())))
}
