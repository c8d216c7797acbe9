//! Names of the DNS: those in messages, which may be compressed, and the board's own.

use core::cmp::Ordering;

/// The longest label (RFC 1035, section 2.3.4).
pub(super) const MAX_LABEL_LEN: usize = 63;
/// The longest name, with the lengths of its labels (same section).
const MAX_NAME_LEN: usize = 255;
const POINTER: u8 = 0xc0;
/// A label of full length in the longest domain, which is that of the service.
const MAX_OWN_LEN: usize = 1 + MAX_LABEL_LEN + 21;

/// A name in a message.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

/// The labels of a name. Those of a name that is malformed end where it is.
#[derive(Clone)]
pub(super) struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// Where the name that is read began: pointers lead before it, so that they come to an end.
    begin: usize,
    /// How much longer the name may be.
    left: usize,
}

/// A name of the board's own, of a label and the domain that it is in, as it stands in messages.
#[derive(Clone, Copy)]
pub(super) struct OwnName {
    bytes: [u8; MAX_OWN_LEN],
    len: u8,
}

impl<'a> Name<'a> {
    /// Reads the name at `at`, and returns where it ends; `None` where it is cut or malformed.
    pub(super) fn read(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let mut end = at;
        loop {
            match *message.get(end)? {
                0 => return Some((Self { message, at }, end + 1)),
                len if len & POINTER == POINTER => {
                    message.get(end + 1)?;
                    return Some((Self { message, at }, end + 2));
                }
                len if usize::from(len) <= MAX_LABEL_LEN && end - at < MAX_NAME_LEN => end += 1 + usize::from(len),
                _ => return None,
            }
        }
    }

    /// The name that `bytes` consist of.
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self { message: bytes, at: 0 }
    }

    pub(super) fn labels(self) -> Labels<'a> {
        Labels { message: self.message, at: self.at, begin: self.at, left: MAX_NAME_LEN }
    }

    /// Whether both have the same labels, in any case.
    pub(super) fn is(self, other: Name<'_>) -> bool {
        let mut others = other.labels();
        self.labels().all(|label| others.next().is_some_and(|other| other.eq_ignore_ascii_case(label)))
            && others.next().is_none()
    }

    /// Compares the bytes of both names as they are without compression.
    pub(super) fn compare(self, other: Name<'_>) -> Ordering {
        let (mut labels, mut others) = (self.labels(), other.labels());
        loop {
            let order = match (labels.next(), others.next()) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(label), Some(other)) => label.len().cmp(&other.len()).then_with(|| label.cmp(other)),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let len = *self.message.get(self.at)?;
            if len & POINTER == POINTER {
                let low = *self.message.get(self.at + 1)?;
                let to = usize::from(len & !POINTER) << 8 | usize::from(low);
                if to >= self.begin {
                    return None;
                }
                (self.at, self.begin) = (to, to);
                continue;
            }
            let len = usize::from(len);
            if len == 0 || len > MAX_LABEL_LEN {
                return None;
            }
            self.left = self.left.checked_sub(len + 1)?;
            let label = self.message.get(self.at + 1..self.at + 1 + len)?;
            self.at += 1 + len;
            return Some(label);
        }
    }
}

impl OwnName {
    pub(super) const EMPTY: Self = Self { bytes: [0; MAX_OWN_LEN], len: 0 };

    /// The beginning of `base` with `suffix` behind it, as much of it as a label has room for, and the labels of `domain`.
    pub(super) fn new(base: &str, suffix: &str, domain: &[u8]) -> Self {
        let mut room = MAX_LABEL_LEN.saturating_sub(suffix.len()).min(base.len());
        while !base.is_char_boundary(room) {
            room -= 1;
        }
        let len = u8::try_from(room + suffix.len()).unwrap_or(0);
        let mut name = Self::EMPTY;
        for part in &[&[len][..], base.as_bytes().get(..room).unwrap_or_default(), suffix.as_bytes(), domain] {
            for byte in *part {
                if let Some(place) = name.bytes.get_mut(usize::from(name.len)) {
                    *place = *byte;
                    name.len += 1;
                }
            }
        }
        name
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Its first label.
    pub(super) fn label(&self) -> &str {
        let label = Name::of(self.bytes()).labels().next();
        core::str::from_utf8(label.unwrap_or_default()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use core::cmp::Ordering;

    use super::{Name, OwnName};

    #[test]
    fn names_are_read_with_pointers() {
        let message = b"\x05local\0\x01A\xc0\x00\x02bc\xc0\x07rest";
        for (at, end, bytes) in
            [(0, 7, &b"\x05LOCAL\0"[..]), (7, 11, b"\x01a\x05local\0"), (11, 16, b"\x02bc\x01a\x05local\0")]
        {
            let (name, after) = Name::read(message, at).expect("a name");
            assert_eq!(after, end);
            let rest = &bytes[1 + usize::from(bytes[0])..];
            assert!(name.is(Name::of(bytes)) && !name.is(Name::of(rest)) && !name.is(Name::of(b"\0")));
            assert!(!Name::of(rest).is(name));
        }
    }

    #[test]
    fn n1_pointers_that_go_round_or_forward_come_to_an_end() {
        for message in [
            b"\xc0\x00".as_slice(),
            b"\xc0\x02\xc0\x00",
            b"\x01a\xc0\x00",
            b"\xc0\x05aaaa\0",
            b"\x01a\x01b\xc0\x02",
            b"\xff\xff",
        ] {
            let (name, _) = Name::read(message, 0).expect("it has an end");
            assert!(name.labels().count() <= 2, "{message:?}");
        }
        for message in [b"".as_slice(), b"\x01", b"\x05loc", b"\xc0", b"\x40a\0", b"\x80a\0"] {
            assert!(Name::read(message, 0).is_none(), "{message:?}");
        }
        // 300 bytes in labels that are short enough, each a pointer further.
        let mut message = [b'x'; 400];
        for at in 0..10 {
            message[at * 40] = 39;
        }
        message[399] = 0;
        assert!(Name::read(&message, 0).is_none());
    }

    #[test]
    fn names_have_an_order() {
        let (name, _) = Name::read(b"\x02bb\x05local\0", 0).expect("a name");
        for (other, order) in [
            (&b"\x02bb\x05local\0"[..], Ordering::Equal),
            (b"\x02ba\x05local\0", Ordering::Greater),
            (b"\x03bbb\x05local\0", Ordering::Less),
            (b"\x02bb\0", Ordering::Greater),
            (b"\x02bb\x05local\x01x\0", Ordering::Less),
        ] {
            assert_eq!(name.compare(Name::of(other)), order);
        }
    }

    #[test]
    fn labels_have_room_for_their_suffix() {
        let name = OwnName::new("bench-7", "-2", b"\x05local\0");
        assert_eq!((name.label(), name.bytes()), ("bench-7-2", &b"\x09bench-7-2\x05local\0"[..]));
        let long = OwnName::new("éééééééééééééééééééééééééééééééé", "-2", &[1; 21]);
        assert!(long.label().ends_with("é-2") && long.label().len() == 62, "{}", long.label());
        assert_eq!(long.bytes().len(), 1 + 62 + 21);
    }
}
