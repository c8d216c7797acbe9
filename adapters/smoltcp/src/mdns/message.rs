//! Messages of multicast DNS as they are received.

use super::name::Name;

pub(super) const HEADER_LEN: usize = 12;
pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_PTR: u16 = 12;
pub(super) const TYPE_TXT: u16 = 16;
pub(super) const TYPE_SRV: u16 = 33;
pub(super) const TYPE_ANY: u16 = 255;
pub(super) const CLASS_IN: u16 = 1;
/// Of a question's class: an answer to its sender alone will do; of a record's: there are no others.
pub(super) const TOP_BIT: u16 = 0x8000;
const RESPONSE: u16 = 0x8000;
const OPERATION_AND_CODE: u16 = 0x780f;

/// A message whose parts have not been looked at.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    pub id: u16,
    pub is_response: bool,
    /// How many parts each section has, by the message's word.
    counts: [u16; 4],
}

/// The sections of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Question,
    Answer,
    Authority,
    Additional,
}

/// A question, or a record.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub section: Section,
    pub name: Name<'a>,
    pub kind: u16,
    pub class: u16,
    /// In seconds; 0 for a question.
    pub ttl: u32,
    /// Empty for a question.
    pub data: &'a [u8],
    /// Where the data begin in the message.
    data_at: usize,
    message: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message in a packet; `None` for what is none, or no query and no answer to one.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let flags = number(bytes, 2)?;
        if flags & OPERATION_AND_CODE != 0 {
            return None;
        }
        let counts = [number(bytes, 4)?, number(bytes, 6)?, number(bytes, 8)?, number(bytes, 10)?];
        Some(Self { bytes, id: number(bytes, 0)?, is_response: flags & RESPONSE != 0, counts })
    }

    /// Whether its sender asks whether it may have names.
    pub(super) fn is_probe(&self) -> bool {
        !self.is_response && self.counts[2] > 0
    }

    /// Calls `visit` with all parts up to the first that is malformed. Each takes 5 bytes at least, so a packet limits them.
    pub(super) fn each(&self, mut visit: impl FnMut(Part<'a>)) {
        let mut at = HEADER_LEN;
        let sections = [Section::Question, Section::Answer, Section::Authority, Section::Additional];
        for (section, count) in sections.into_iter().zip(self.counts) {
            for _ in 0..count {
                let Some((part, end)) = self.part(section, at) else { return };
                visit(part);
                at = end;
            }
        }
    }

    fn part(&self, section: Section, at: usize) -> Option<(Part<'a>, usize)> {
        let (name, at) = Name::read(self.bytes, at)?;
        let (kind, class) = (number(self.bytes, at)?, number(self.bytes, at + 2)?);
        let part = Part { section, name, kind, class, ttl: 0, data: &[], data_at: at + 4, message: self.bytes };
        if section == Section::Question {
            return Some((part, at + 4));
        }
        let ttl = u32::from(number(self.bytes, at + 4)?) << 16 | u32::from(number(self.bytes, at + 6)?);
        let (data_at, len) = (at + 10, usize::from(number(self.bytes, at + 8)?));
        let data = self.bytes.get(data_at..data_at + len)?;
        Some((Part { ttl, data, data_at, ..part }, data_at + len))
    }
}

impl<'a> Part<'a> {
    /// Whether it is of the Internet.
    pub(super) fn is_in(&self) -> bool {
        matches!(self.class & !TOP_BIT, CLASS_IN | TYPE_ANY)
    }

    /// Whether it asks for records of this kind.
    pub(super) fn asks_for(&self, kind: u16) -> bool {
        matches!(self.kind, TYPE_ANY) || self.kind == kind
    }

    /// The name in the data, `skipped` bytes behind their beginning.
    pub(super) fn name_in_data(&self, skipped: usize) -> Option<Name<'a>> {
        let (name, end) = Name::read(self.message, self.data_at + skipped)?;
        (end <= self.data_at + self.data.len()).then_some(name)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let [high, low] = *bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use super::{Message, Name, Section, TYPE_PTR, TYPE_SRV};

    #[test]
    fn parts_are_visited_up_to_the_first_that_is_malformed() {
        let query = b"\0\x07\0\0\0\x01\0\x01\0\0\0\0\x01a\0\0\x0c\x80\x01\xc0\x0c\0\x21\0\x01\0\0\0\x78\0\x0a\0\0\0\0\0\x50\x01b\xc0\x0c";
        let message = Message::parse(query).expect("a message");
        assert!(message.id == 7 && !message.is_response && !message.is_probe());
        let mut parts = 0;
        message.each(|part| {
            parts += 1;
            match part.section {
                Section::Question => {
                    assert!(part.name.is(Name::of(b"\x01a\0")) && part.is_in() && part.asks_for(TYPE_PTR))
                }
                Section::Answer => {
                    assert!(part.name.is(Name::of(b"\x01A\0")) && part.kind == TYPE_SRV && part.ttl == 120);
                    assert!(part.name_in_data(6).expect("a name").is(Name::of(b"\x01b\x01a\0")));
                }
                _ => panic!("there is no more"),
            }
        });
        assert_eq!(parts, 2);
        for len in 0..query.len() {
            let mut parts = 0;
            if let Some(message) = Message::parse(&query[..len]) {
                message.each(|_| parts += 1);
            }
            assert_eq!(parts, usize::from(len >= 19), "{len}");
        }
    }

    #[test]
    fn n1_lengths_that_lie_are_not_believed() {
        let lies: [&[u8]; 4] = [
            b"\0\0\x84\0\xff\xff\xff\xff\xff\xff\xff\xff\xc0\x0c",
            b"\0\0\x84\0\0\0\0\x01\0\0\0\0\0\0\x0c\0\x01\0\0\0\0\xff\xff\0",
            b"\0\0\x84\0\0\0\0\x01\0\0\0\0\xc0\x0c\0\x0c\0\x01\0\0\0\0\0\x02\xc0\x19",
            b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x3fx",
        ];
        for lie in lies {
            Message::parse(lie).expect("a header").each(|part| {
                assert!(part.name_in_data(6).is_none());
                assert!(part.name.labels().count() < 3);
            });
        }
        assert!(Message::parse(b"\0\0\x28\0\0\0\0\0\0\0\0\0").is_none(), "an update");
    }
}
