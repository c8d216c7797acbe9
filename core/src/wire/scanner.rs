//! Incremental JSON scanner: finds the end of an object in input of any pieces.

/// Scans one JSON object in input that arrives in arbitrary pieces, and checks that it is JSON (RFC 8259).
///
/// It reads each byte once, stores no input and needs a few bytes of memory. Objects and arrays may be nested
/// [`Scanner::MAX_DEPTH`] levels deep, the outermost object included.
///
/// What it passes is an object by the grammar of RFC 8259, with strings of valid UTF-8 (RFC 3629). It does not check what
/// the grammar allows: duplicated members, numbers of any size, and half of an escaped surrogate pair.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Whether the current string is a member's name.
    name: bool,
    /// A bit for each missing digit of an escape or byte of a character; inside a word, the index of its next letter in [`WORDS`].
    left: u8,
    /// The range of the next byte of a character.
    tail: (u8, u8),
    /// A bit for each open level, the innermost lowest: 1 for an object, 0 for an array, below a 1 that marks the bottom.
    levels: u16,
}

/// Result of scanning a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// All of the piece was taken; the object is incomplete.
    More,
    /// The object ended with the `len`th byte of the piece; what follows was not read.
    Complete {
        /// Bytes of this piece that belong to the object, its closing brace included.
        len: usize,
    },
}

/// The input is not a JSON object that the protocol accepts; the scanner cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ScanError {
    /// A byte that JSON does not allow there.
    Syntax,
    /// A byte in a string that is not valid UTF-8.
    Utf8,
    /// More than [`Scanner::MAX_DEPTH`] levels.
    Depth,
}

impl Scanner {
    /// The maximum depth of nesting, the outermost object included.
    pub const MAX_DEPTH: u8 = 8;

    /// A scanner before an object's opening brace.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Start, name: false, left: 0, tail: ANY_TAIL, levels: BOTTOM }
    }

    /// Scans the next piece. The very first byte has to be `{`.
    ///
    /// # Errors
    ///
    /// Why the first invalid byte is invalid. Called again after that, or after the end of the object:
    /// [`ScanError::Syntax`].
    pub fn scan(&mut self, piece: &[u8]) -> Result<Scanned, ScanError> {
        self.scan_each(piece, |_| ())
    }

    /// Scans the next piece like [`Scanner::scan`], and copies it to `out` for the parser. Masks the structure of nested objects and
    /// arrays in the copy, so that the parser skips each as one value and does not recurse.
    pub(crate) fn scan_into(&mut self, piece: &[u8], out: &mut [u8]) -> Result<Scanned, ScanError> {
        let mut out = out.iter_mut();
        self.scan_each(piece, |byte| {
            if let Some(place) = out.next() {
                *place = byte;
            }
        })
    }

    #[inline(always)] // a copy in each of the two above
    fn scan_each(&mut self, piece: &[u8], mut put: impl FnMut(u8)) -> Result<Scanned, ScanError> {
        let mut state = self.state;
        if state >= State::Complete {
            return Err(ScanError::Syntax);
        }
        let mut rest = piece.iter();
        for &byte in rest.by_ref() {
            let levels = self.levels;
            state = self.step(state, byte);
            // Nested: at least two levels before or after the byte.
            let is_nested = (levels | self.levels) >> 2 != 0;
            let is_structure = matches!(byte, b'{' | b'[' | b'}' | b']' | b',');
            put(match state {
                _ if !is_nested || !is_structure => byte,
                State::Text => MASKED_TEXT,
                _ => masked(byte),
            });
            if state >= State::Complete {
                break;
            }
        }
        self.state = state;
        match state {
            State::Complete => Ok(Scanned::Complete { len: piece.len().saturating_sub(rest.len()) }),
            State::NotJson => Err(ScanError::Syntax),
            State::NotUtf8 => Err(ScanError::Utf8),
            State::TooDeep => Err(ScanError::Depth),
            _ => Ok(Scanned::More),
        }
    }

    /// The state after `byte`.
    fn step(&mut self, mut state: State, byte: u8) -> State {
        use State::*;
        match state {
            Text => return self.text(byte),
            Tail => return self.tail(byte),
            Escape => return self.escape(byte),
            Hex => return self.hex(byte),
            Word => return self.word(byte),
            Minus | Zero | Integer | Point | Fraction | Exponent | Sign | Power => {
                state = number(state, byte);
                if state != Next {
                    return state;
                }
            }
            Start if byte == b'{' => return self.value(byte),
            Start | Complete | NotJson | NotUtf8 | TooDeep => return NotJson,
            _ => {}
        }
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return state;
        }
        match state {
            FirstName | Name if byte == b'"' => {
                self.name = true;
                Text
            }
            Colon if byte == b':' => Value,
            FirstValue if byte == b']' => self.after_value(byte),
            FirstValue | Value => self.value(byte),
            FirstName if byte == b'}' => self.after_value(byte),
            Next => self.after_value(byte),
            _ => NotJson,
        }
    }

    /// The state after the first byte of a value.
    #[inline(never)] // 150 bytes less on thumbv7m
    fn value(&mut self, byte: u8) -> State {
        self.left = match byte {
            b'{' | b'[' => return self.open(byte),
            b'"' => {
                self.name = false;
                return State::Text;
            }
            b'-' => return State::Minus,
            b't' => 3,
            b'n' => 7,
            b'f' => 12,
            _ => return number(State::Value, byte),
        };
        State::Word
    }

    /// The state after another letter of a word.
    fn word(&mut self, byte: u8) -> State {
        let is_letter = WORDS.get(usize::from(self.left)) == Some(&byte);
        if !is_letter {
            return State::NotJson;
        }
        self.left = self.left.saturating_sub(1);
        if WORDS.get(usize::from(self.left)) == Some(&b' ') { State::Next } else { State::Word }
    }

    /// The state after the first byte of a character in a string (RFC 3629, section 4), or after the string's end.
    fn text(&mut self, byte: u8) -> State {
        match byte {
            b'"' => return if self.name { State::Colon } else { State::Next },
            b'\\' => return State::Escape,
            0x20..=0x7F => return State::Text,
            0x00..=0x1F => return State::NotJson,
            0xC2..=0xDF => self.left = 0b1,
            0xE0..=0xEF => self.left = 0b11,
            0xF0..=0xF4 => self.left = 0b111,
            _ => return State::NotUtf8,
        }
        self.tail = match byte {
            0xE0 => (0xA0, 0xBF),
            0xED => (0x80, 0x9F),
            0xF0 => (0x90, 0xBF),
            0xF4 => (0x80, 0x8F),
            _ => ANY_TAIL,
        };
        State::Tail
    }

    /// The state after another byte of a character.
    fn tail(&mut self, byte: u8) -> State {
        if byte < self.tail.0 || byte > self.tail.1 {
            return State::NotUtf8;
        }
        self.tail = ANY_TAIL;
        self.one_less(State::Tail)
    }

    /// The state after the byte that follows a backslash.
    #[expect(clippy::manual_contains, reason = "`contains` brings a word-wise search along, 106 bytes on thumbv7m")]
    fn escape(&mut self, byte: u8) -> State {
        self.left = 0b1111;
        match byte {
            b'u' => State::Hex,
            _ if b"\"\\/bfnrt".iter().any(|&known| known == byte) => State::Text,
            _ => State::NotJson,
        }
    }

    /// The state after another digit of an escape.
    fn hex(&mut self, byte: u8) -> State {
        if byte.is_ascii_hexdigit() { self.one_less(State::Hex) } else { State::NotJson }
    }

    /// Counts one byte: `state` again while more are missing, else back in the string.
    fn one_less(&mut self, state: State) -> State {
        self.left >>= 1;
        if self.left == 0 { State::Text } else { state }
    }

    /// The state after `{` or `[`.
    fn open(&mut self, byte: u8) -> State {
        let is_too_deep = self.levels >> Self::MAX_DEPTH != 0;
        if is_too_deep {
            return State::TooDeep;
        }
        let object = byte == b'{';
        self.levels = self.levels << 1 | u16::from(object);
        if object { State::FirstName } else { State::FirstValue }
    }

    /// The state after the byte that follows a value.
    fn after_value(&mut self, byte: u8) -> State {
        let object = self.levels & 1 == 1;
        match byte {
            b',' if object => State::Name,
            b',' => State::Value,
            b'}' | b']' if object == (byte == b'}') => {
                self.levels >>= 1;
                if self.levels == BOTTOM { State::Complete } else { State::Next }
            }
            _ => State::NotJson,
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

/// [`Scanner::levels`] without open levels.
const BOTTOM: u16 = 1;

/// The range of the continuation bytes of a character, but for some second bytes.
const ANY_TAIL: (u8, u8) = (0x80, 0xBF);

/// The letters after the first of `true`, `null` and `false`, backwards.
const WORDS: &[u8; 13] = b" eur llu esla";

/// Replaces a bracket or comma in a nested string, where it would end the value for the parser.
const MASKED_TEXT: u8 = 1;

/// What replaces a bracket or comma outside of strings.
pub(crate) const fn masked(byte: u8) -> u8 {
    byte >> 1
}

/// The position of the scanner in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum State {
    /// Before the outermost brace.
    Start,
    /// After `{`: a name or the end.
    FirstName,
    /// After a comma: a name.
    Name,
    Colon,
    /// After `[`: a value or the end.
    FirstValue,
    Value,
    /// After a value.
    Next,
    /// Inside a number, after what the name says.
    Minus,
    Point,
    Exponent,
    /// The exponent's sign.
    Sign,
    /// The exponent's digits.
    Power,
    Fraction,
    Integer,
    Zero,
    /// Inside `true`, `false` or `null`.
    Word,
    /// Inside a string.
    Text,
    /// Inside a character of several bytes.
    Tail,
    /// After a backslash.
    Escape,
    /// After `\u` and less than four digits.
    Hex,
    Complete,
    NotJson,
    NotUtf8,
    TooDeep,
}

/// The state after another byte of a number, or [`State::Next`] if the number ended before `byte`.
fn number(state: State, byte: u8) -> State {
    use State::*;
    match byte {
        b'0'..=b'9' => match state {
            Point | Fraction => Fraction,
            Exponent | Sign | Power => Power,
            Integer => Integer,
            Zero => NotJson,
            _ if byte == b'0' => Zero,
            _ => Integer,
        },
        b'.' if matches!(state, Zero | Integer) => Point,
        b'e' | b'E' if matches!(state, Zero | Integer | Fraction) => Exponent,
        b'+' | b'-' if state == Exponent => Sign,
        _ if matches!(state, Zero | Integer | Fraction | Power) => Next,
        _ => NotJson,
    }
}
