//! Characters of short names beyond ASCII: those that the code pages 437 and 850 have in common.

/// From 0x80 on.
const LETTERS: [char; 27] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û',
    'ù', 'ÿ', 'Ö', 'Ü',
];

/// The character `byte`, in lower case on request; `None` where that depends on the code page.
pub(crate) fn decode(byte: u8, is_lower: bool) -> Option<char> {
    let byte = match (is_lower, byte) {
        (true, 0x80) => 0x87,
        (true, 0x8e) => 0x84,
        (true, 0x8f) => 0x86,
        (true, 0x90) => 0x82,
        (true, 0x92) => 0x91,
        (true, 0x99) => 0x94,
        (true, 0x9a) => 0x81,
        (true, 0xa5) => 0xa4,
        (true, byte) => byte.to_ascii_lowercase(),
        (false, byte) => byte,
    };
    match byte {
        0x00..=0x7f => Some(char::from(byte)),
        0x80..=0x9a => LETTERS.get(usize::from(byte - 0x80)).copied(),
        0xa0 => Some('á'),
        0xa1 => Some('í'),
        0xa2 => Some('ó'),
        0xa3 => Some('ú'),
        0xa4 => Some('ñ'),
        0xa5 => Some('Ñ'),
        0xe1 => Some('ß'),
        0xe6 => Some('µ'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn letters_have_two_cases() {
        for (byte, upper, lower) in [
            (b'A', 'A', 'a'),
            (b'~', '~', '~'),
            (0x80, 'Ç', 'ç'),
            (0x8e, 'Ä', 'ä'),
            (0x8f, 'Å', 'å'),
            (0x90, 'É', 'é'),
            (0x92, 'Æ', 'æ'),
            (0x99, 'Ö', 'ö'),
            (0x9a, 'Ü', 'ü'),
            (0xa5, 'Ñ', 'ñ'),
            (0xe1, 'ß', 'ß'),
        ] {
            assert_eq!((decode(byte, false), decode(byte, true)), (Some(upper), Some(lower)));
        }
        assert_eq!(decode(0xe0, false), None);
    }
}
