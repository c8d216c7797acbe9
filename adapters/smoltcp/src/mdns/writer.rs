//! Writes messages of multicast DNS.

use smoltcp::wire::Ipv4Address;

use super::message::{CLASS_IN, TOP_BIT, TYPE_A, TYPE_ANY, TYPE_PTR, TYPE_SRV, TYPE_TXT};
use super::name::Label;

/// The longest message that is written: a name with each record, and the largest of each.
pub(super) const MAX_LEN: usize = 640;

const AUTHORITATIVE_ANSWER: u16 = 0x8400;
/// Lifetimes in seconds (RFC 6762, section 10): of what names a host, and of the rest.
const HOST_TTL: u32 = 120;
const OTHER_TTL: u32 = 4_500;
/// What those are told who do not speak multicast DNS, and do not hear of changes (section 6.7).
const LEGACY_TTL: u32 = 10;

pub(super) const LOCAL: &[u8] = b"local";
pub(super) const SERVICE: [&[u8]; 3] = [b"_coracle", b"_tcp", LOCAL];
/// What asks for the types of services.
pub(super) const TYPES: [&[u8]; 4] = [b"_services", b"_dns-sd", b"_udp", LOCAL];

/// A set of the records that the board has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Records(u8);

/// What the board announces.
#[derive(Clone, Copy)]
pub(super) struct Identity {
    pub name: Label,
    pub host: Label,
    pub port: u16,
    pub address: Ipv4Address,
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
    pub(super) fn instance(&self) -> [&[u8]; 4] {
        let [service, protocol, domain] = SERVICE;
        [self.name.bytes(), service, protocol, domain]
    }

    pub(super) fn host(&self) -> [&[u8]; 2] {
        [self.host.bytes(), LOCAL]
    }

    /// The data of the SRV record before the host's name: priority and weight 0, and the port.
    pub(super) fn srv_numbers(&self) -> [u8; 6] {
        let [high, low] = self.port.to_be_bytes();
        [0, 0, 0, 0, high, low]
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Writes the question whether somebody has the names (RFC 6762, section 8.1). Returns the length.
    pub(super) fn probe(mut self, own: &Identity) -> usize {
        self.header(0, 0, [2, 0, 2, 0]);
        for name in [&own.instance()[..], &own.host()[..]] {
            self.name(name);
            self.numbers(&[TYPE_ANY, CLASS_IN | TOP_BIT]);
        }
        self.srv(own, CLASS_IN, HOST_TTL);
        self.address(own, CLASS_IN, HOST_TTL);
        self.len
    }

    /// Writes an answer. `question` is what it answers, for who wants it repeated. Returns the length.
    pub(super) fn answer(
        mut self,
        own: &Identity,
        records: Records,
        lifetime: Lifetime,
        id: u16,
        question: Option<(&[&[u8]], u16)>,
    ) -> usize {
        self.header(id, AUTHORITATIVE_ANSWER, [question.is_some().into(), records.count(), 0, 0]);
        if let Some((name, kind)) = question {
            self.name(name);
            self.numbers(&[kind, CLASS_IN]);
        }
        let unique = if lifetime == Lifetime::Legacy { CLASS_IN } else { CLASS_IN | TOP_BIT };
        let ttl = |usual: u32| match lifetime {
            Lifetime::Usual => usual,
            Lifetime::Over => 0,
            Lifetime::Legacy => LEGACY_TTL,
        };
        if records.has(Records::TYPE) {
            self.pointer(&TYPES, &SERVICE, ttl(OTHER_TTL));
        }
        if records.has(Records::PTR) {
            self.pointer(&SERVICE, &own.instance(), ttl(OTHER_TTL));
        }
        if records.has(Records::SRV) {
            self.srv(own, unique, ttl(HOST_TTL));
        }
        if records.has(Records::TXT) {
            self.name(&own.instance());
            self.record(TYPE_TXT, unique, ttl(OTHER_TTL), 1);
            self.bytes(&[0]);
        }
        if records.has(Records::ADDRESS) {
            self.address(own, unique, ttl(HOST_TTL));
        }
        self.len
    }

    fn pointer(&mut self, from: &[&[u8]], to: &[&[u8]], ttl: u32) {
        self.name(from);
        self.record(TYPE_PTR, CLASS_IN, ttl, name_len(to));
        self.name(to);
    }

    fn srv(&mut self, own: &Identity, class: u16, ttl: u32) {
        let numbers = own.srv_numbers();
        self.name(&own.instance());
        self.record(TYPE_SRV, class, ttl, numbers.len() + name_len(&own.host()));
        self.bytes(&numbers);
        self.name(&own.host());
    }

    fn address(&mut self, own: &Identity, class: u16, ttl: u32) {
        let address = own.address.octets();
        self.name(&own.host());
        self.record(TYPE_A, class, ttl, address.len());
        self.bytes(&address);
    }

    fn header(&mut self, id: u16, flags: u16, counts: [u16; 4]) {
        self.numbers(&[id, flags]);
        self.numbers(&counts);
    }

    fn record(&mut self, kind: u16, class: u16, ttl: u32, len: usize) {
        self.numbers(&[kind, class]);
        self.bytes(&ttl.to_be_bytes());
        self.numbers(&[u16::try_from(len).unwrap_or(0)]);
    }

    fn name(&mut self, labels: &[&[u8]]) {
        for label in labels {
            self.bytes(&[u8::try_from(label.len()).unwrap_or(0)]);
            self.bytes(label);
        }
        self.bytes(&[0]);
    }

    fn numbers(&mut self, numbers: &[u16]) {
        for number in numbers {
            self.bytes(&number.to_be_bytes());
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.buf.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

fn name_len(labels: &[&[u8]]) -> usize {
    labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::Ipv4Address;

    use super::{Identity, Lifetime, MAX_LEN, Records, TYPES, Writer};
    use crate::mdns::message::{Message, TYPE_PTR};
    use crate::mdns::name::Label;

    #[test]
    fn the_longest_messages_fit_and_can_be_read() {
        let longest = Label::new("x", "123456789012345678901234567890123456789012345678901234567890ab");
        let own = Identity { name: longest, host: longest, port: 8888, address: Ipv4Address::new(192, 168, 7, 2) };
        let records = Records::ALL.with(Records::TYPE);
        let mut buf = [0; MAX_LEN];
        let answer = Writer::new(&mut buf).answer(&own, records, Lifetime::Legacy, 7, Some((&TYPES, TYPE_PTR)));
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
