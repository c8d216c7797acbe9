//! Names of the DNS: those in messages, which may be compressed, and the board's own.

use core::cmp::Ordering;

/// The longest label (RFC 1035, section 2.3.4).
pub(super) const MAX_LABEL_LEN: usize = 63;
/// The longest name, with the lengths of its labels (same section).
const MAX_NAME_LEN: usize = 255;
const POINTER: u8 = 0xc0;

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

/// A label of the board's own.
#[derive(Clone, Copy)]
pub(super) struct Label {
    bytes: [u8; MAX_LABEL_LEN],
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

    pub(super) fn labels(self) -> Labels<'a> {
        Labels { message: self.message, at: self.at, begin: self.at, left: MAX_NAME_LEN }
    }

    /// Whether it consists of these labels, in any case.
    pub(super) fn is(self, labels: &[&[u8]]) -> bool {
        let mut own = labels.iter();
        for label in self.labels() {
            if !own.next().is_some_and(|own| own.eq_ignore_ascii_case(label)) {
                return false;
            }
        }
        own.next().is_none()
    }

    /// Compares the bytes of both names as they are without compression.
    pub(super) fn compare(self, labels: &[&[u8]]) -> Ordering {
        let mut own = labels.iter();
        let mut theirs = self.labels();
        loop {
            let order = match (theirs.next(), own.next()) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(theirs), Some(own)) => theirs.len().cmp(&own.len()).then_with(|| theirs.cmp(own)),
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

impl Label {
    pub(super) const EMPTY: Self = Self { bytes: [0; MAX_LABEL_LEN], len: 0 };

    /// The beginning of `base` with `suffix` behind it, as much of it as there is room for.
    pub(super) fn new(base: &str, suffix: &str) -> Self {
        let mut label = Self::EMPTY;
        let mut room = MAX_LABEL_LEN.saturating_sub(suffix.len()).min(base.len());
        while !base.is_char_boundary(room) {
            room -= 1;
        }
        let bytes = base.bytes().take(room).chain(suffix.bytes());
        for (place, byte) in label.bytes.iter_mut().zip(bytes) {
            *place = byte;
            label.len += 1;
        }
        label
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use core::cmp::Ordering;

    use super::{Label, Name};

    #[test]
    fn names_are_read_with_pointers() {
        let message = b"\x05local\0\x01A\xc0\x00\x02bc\xc0\x07rest";
        for (at, end, labels) in
            [(0, 7, &[b"LOCAL".as_slice()][..]), (7, 11, &[b"a", b"local"]), (11, 16, &[b"bc", b"a", b"local"])]
        {
            let (name, after) = Name::read(message, at).expect("a name");
            assert_eq!(after, end);
            assert!(name.is(labels) && !name.is(&labels[1..]) && !name.is(&[]));
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
            (&[b"bb".as_slice(), b"local"][..], Ordering::Equal),
            (&[b"ba", b"local"], Ordering::Greater),
            (&[b"bbb", b"local"], Ordering::Less),
            (&[b"bb"], Ordering::Greater),
            (&[b"bb", b"local", b"x"], Ordering::Less),
        ] {
            assert_eq!(name.compare(other), order);
        }
    }

    #[test]
    fn labels_have_room_for_their_suffix() {
        assert_eq!(Label::new("bench-7", "-2").as_str(), "bench-7-2");
        let long = Label::new("éééééééééééééééééééééééééééééééé", "-2");
        assert!(long.as_str().ends_with("é-2") && long.bytes().len() == 62, "{}", long.as_str());
    }
}
