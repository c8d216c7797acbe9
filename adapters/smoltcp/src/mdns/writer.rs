//! Writes messages of multicast DNS.

use super::message::{CLASS_IN, TOP_BIT, TYPE_A, TYPE_ANY, TYPE_PTR, TYPE_SRV, TYPE_TXT};
use super::name::OwnName;

/// The longest message that is written: a name with each record, and the largest of each.
pub(super) const MAX_LEN: usize = 640;

const AUTHORITATIVE_ANSWER: u16 = 0x8400;
/// Lifetimes in seconds (RFC 6762, section 10): of what names a host, and of the rest.
const HOST_TTL: u32 = 120;
const OTHER_TTL: u32 = 4_500;
/// What those are told who do not speak multicast DNS, and do not hear of changes (section 6.7).
const LEGACY_TTL: u32 = 10;

pub(super) const LOCAL: &[u8] = b"\x05local\0";
pub(super) const SERVICE: &[u8] = b"\x08_coracle\x04_tcp\x05local\0";
/// What asks for the types of services.
pub(super) const TYPES: &[u8] = b"\x09_services\x07_dns-sd\x04_udp\x05local\0";

/// A set of the records that the board has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Records(u8);

/// What the board announces.
#[derive(Clone, Copy)]
pub(super) struct Identity {
    /// The service's name.
    pub instance: OwnName,
    /// The name of the host.
    pub host: OwnName,
    /// The data of the SRV record before the host's name: priority and weight 0, and the port.
    pub srv: [u8; 6],
    pub address: [u8; 4],
}

/// How long others may keep records, and how unique ones are marked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    Usual,
    /// They are withdrawn.
    Over,
    /// For who does not speak multicast DNS.
    Legacy,
}

/// A name of the board's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Types,
    Service,
    Instance,
    Host,
}

/// A message that is written, as far as there is room.
pub(super) struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl Records {
    pub(super) const NONE: Self = Self(0);
    pub(super) const PTR: Self = Self(1);
    pub(super) const SRV: Self = Self(2);
    pub(super) const TXT: Self = Self(4);
    pub(super) const ADDRESS: Self = Self(8);
    /// That there are services of this type.
    pub(super) const TYPE: Self = Self(16);
    pub(super) const ALL: Self = Self(15);
    /// Each, in the order in which they are written.
    const EACH: [Self; 5] = [Self::TYPE, Self::PTR, Self::SRV, Self::TXT, Self::ADDRESS];

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is asked for next by whom these are told.
    pub(super) const fn and_what_follows(self) -> Self {
        if self.has(Self::PTR) {
            self.with(Self::ALL)
        } else if self.has(Self::SRV) {
            self.with(Self::ADDRESS)
        } else {
            self
        }
    }

    const fn count(self) -> u16 {
        self.0.count_ones() as u16
    }
}

impl Identity {
    pub(super) const fn new(port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        Self { instance: OwnName::EMPTY, host: OwnName::EMPTY, srv: [0, 0, 0, 0, high, low], address: [0; 4] }
    }

    pub(super) fn name(&self, subject: Subject) -> &[u8] {
        match subject {
            Subject::Types => TYPES,
            Subject::Service => SERVICE,
            Subject::Instance => self.instance.bytes(),
            Subject::Host => self.host.bytes(),
        }
    }

    /// The name, the type, the lifetime and the data of a record, in two parts.
    fn record(&self, record: Records) -> (Subject, u16, u32, [&[u8]; 2]) {
        let (instance, host) = (self.instance.bytes(), self.host.bytes());
        match record {
            Records::TYPE => (Subject::Types, TYPE_PTR, OTHER_TTL, [SERVICE, &[]]),
            Records::PTR => (Subject::Service, TYPE_PTR, OTHER_TTL, [instance, &[]]),
            Records::SRV => (Subject::Instance, TYPE_SRV, HOST_TTL, [&self.srv, host]),
            Records::TXT => (Subject::Instance, TYPE_TXT, OTHER_TTL, [&[0], &[]]),
            _ => (Subject::Host, TYPE_A, HOST_TTL, [&self.address, &[]]),
        }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Writes the question whether another host has the names (RFC 6762, section 8.1). Returns the length.
    pub(super) fn probe(mut self, own: &Identity) -> usize {
        self.numbers(&[0, 0, 2, 0, 2, 0]);
        for subject in &[Subject::Instance, Subject::Host] {
            self.bytes(own.name(*subject));
            self.numbers(&[TYPE_ANY, CLASS_IN | TOP_BIT]);
        }
        self.records(own, Records::SRV.with(Records::ADDRESS), CLASS_IN, None)
    }

    /// Writes an answer. `question` is what it answers, for an asker that wants it repeated: its message's number, name and type.
    /// Returns the length.
    pub(super) fn answer(
        mut self,
        own: &Identity,
        records: Records,
        lifetime: Lifetime,
        question: Option<(u16, Subject, u16)>,
    ) -> usize {
        let id = question.map_or(0, |(id, _, _)| id);
        self.numbers(&[id, AUTHORITATIVE_ANSWER, question.is_some().into(), records.count(), 0, 0]);
        if let Some((_, subject, kind)) = question {
            self.bytes(own.name(subject));
            self.numbers(&[kind, CLASS_IN]);
        }
        let (unique, ttl) = match lifetime {
            Lifetime::Usual => (CLASS_IN | TOP_BIT, None),
            Lifetime::Over => (CLASS_IN | TOP_BIT, Some(0)),
            Lifetime::Legacy => (CLASS_IN, Some(LEGACY_TTL)),
        };
        self.records(own, records, unique, ttl)
    }

    /// Writes the records, and returns the length of all.
    // Once in the image, and not where it is called.
    #[inline(never)]
    fn records(&mut self, own: &Identity, records: Records, unique: u16, ttl: Option<u32>) -> usize {
        for record in Records::EACH.iter().filter(|record| records.has(**record)) {
            let (subject, kind, usual_ttl, [front, back]) = own.record(*record);
            let class = if kind == TYPE_PTR { CLASS_IN } else { unique };
            self.bytes(own.name(subject));
            self.numbers(&[kind, class]);
            self.bytes(&ttl.unwrap_or(usual_ttl).to_be_bytes());
            self.numbers(&[u16::try_from(front.len() + back.len()).unwrap_or(0)]);
            self.bytes(front);
            self.bytes(back);
        }
        self.len
    }

    fn numbers(&mut self, numbers: &[u16]) {
        for number in numbers {
            self.bytes(&number.to_be_bytes());
        }
    }

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.buf.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Lifetime, MAX_LEN, Records, SERVICE, Subject, Writer};
    use crate::mdns::message::{Message, TYPE_PTR};
    use crate::mdns::name::OwnName;

    #[test]
    fn the_longest_messages_fit_and_can_be_read() {
        let longest = "x123456789012345678901234567890123456789012345678901234567890ab";
        let name = OwnName::new(longest, "", SERVICE);
        let own = Identity { instance: name, host: name, address: [192, 168, 7, 2], ..Identity::new(8888) };
        let records = Records::ALL.with(Records::TYPE);
        let mut buf = [0; MAX_LEN];
        let question = Some((7, Subject::Types, TYPE_PTR));
        let answer = Writer::new(&mut buf).answer(&own, records, Lifetime::Legacy, question);
        let mut parts = 0;
        Message::parse(&buf[..answer]).expect("a message").each(|_| parts += 1);
        assert_eq!(parts, 6);
        let probe = Writer::new(&mut buf).probe(&own);
        parts = 0;
        let probe = Message::parse(&buf[..probe]).expect("a message");
        probe.each(|_| parts += 1);
        assert!(parts == 4 && probe.is_probe());
    }
}
