//! Where a message ends: a JSON scanner that takes its input in any pieces.

/// Follows one JSON object through input that arrives in arbitrary pieces, and checks that it is JSON (RFC 8259).
///
/// It looks at each byte once, keeps no copy of the input and needs a few bytes of memory. Objects and arrays may be nested
/// [`Scanner::MAX_DEPTH`] levels deep, the outermost object included.
///
/// What it passes is an object by RFC 8259's grammar, its strings valid UTF-8 (RFC 3629). It leaves to the reader what the
/// grammar allows: a doubled member, a number of any size, and an escaped surrogate without its other half.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Whether the string under way is a member's name.
    name: bool,
    /// The open levels, innermost lowest: 1 for an object, 0 for an array, and a 1 above them all that marks the bottom.
    levels: u16,
}

/// How far a [`Scanner`] came with a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// All of the piece was taken, and the object goes on.
    More,
    /// The object ended with the `len`th byte of the piece; what follows was not looked at.
    Complete {
        /// Bytes of this piece that belong to the object, its closing brace included.
        len: usize,
    },
}

/// The input is no JSON object that the protocol takes; the scanner cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ScanError {
    /// A byte that JSON does not have there.
    Syntax,
    /// A byte in a string that is no UTF-8 there.
    Utf8,
    /// More than [`Scanner::MAX_DEPTH`] levels.
    Depth,
}

impl Scanner {
    /// The deepest nesting, the outermost object included.
    pub const MAX_DEPTH: u8 = 8;

    /// A scanner in front of an object's opening brace.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Start, name: false, levels: BOTTOM }
    }

    /// Takes the next piece. The first byte of all has to be `{`.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bad byte. Asked again after that, or after the end of the object, the answer is
    /// [`ScanError::Syntax`].
    pub fn scan(&mut self, piece: &[u8]) -> Result<Scanned, ScanError> {
        if self.state == State::Over {
            return Err(ScanError::Syntax);
        }
        let mut rest = piece.iter();
        while let Some(&byte) = rest.next() {
            if self.state == State::Text && is_plain(byte) {
                continue;
            }
            match self.step(byte) {
                Ok(State::Over) => {
                    self.state = State::Over;
                    return Ok(Scanned::Complete { len: piece.len().saturating_sub(rest.len()) });
                }
                Ok(state) => self.state = state,
                Err(error) => {
                    self.state = State::Over;
                    return Err(error);
                }
            }
        }
        Ok(Scanned::More)
    }

    /// The state behind `byte`.
    fn step(&mut self, byte: u8) -> Result<State, ScanError> {
        use State::*;
        let state = match (self.state, byte) {
            (Start, b'{') => return self.open(1),
            (FirstName | Name | Colon | FirstValue | Value | Next, b' ' | b'\t' | b'\n' | b'\r') => self.state,
            (FirstName, b'}') | (FirstValue, b']') => return self.after_value(byte),
            (FirstName | Name, b'"') => {
                self.name = true;
                Text
            }
            (Colon, b':') => Value,
            (FirstValue | Value, _) => return self.value(byte),
            (Next, _) => return self.after_value(byte),

            (Text, b'"') if self.name => Colon,
            (Text, b'"') => Next,
            (Text, b'\\') => Escape,
            (Text, _) => return character(byte),
            (Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Text,
            (Escape, b'u') => Hex4,
            (Hex4, _) if byte.is_ascii_hexdigit() => Hex3,
            (Hex3, _) if byte.is_ascii_hexdigit() => Hex2,
            (Hex2, _) if byte.is_ascii_hexdigit() => Hex1,
            (Hex1, _) if byte.is_ascii_hexdigit() => Text,
            (Tail1, 0x80..=0xBF) => Text,
            (Tail2, 0x80..=0xBF) | (TailE0, 0xA0..=0xBF) | (TailED, 0x80..=0x9F) => Tail1,
            (Tail3, 0x80..=0xBF) | (TailF0, 0x90..=0xBF) | (TailF4, 0x80..=0x8F) => Tail2,
            (Tail1 | Tail2 | Tail3 | TailE0 | TailED | TailF0 | TailF4, _) => return Err(ScanError::Utf8),

            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Integer, b'0'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => Sign,
            (Exponent | Sign | Power, b'0'..=b'9') => Power,
            (Zero | Integer | Fraction | Power, b' ' | b'\t' | b'\n' | b'\r') => Next,
            (Zero | Integer | Fraction | Power, _) => return self.after_value(byte),

            (T, b'r') => Tr,
            (Tr, b'u') | (Fals, b's') => LastE,
            (LastE, b'e') | (LastL, b'l') => Next,
            (F, b'a') => Fa,
            (Fa, b'l') => Fals,
            (N, b'u') => Nu,
            (Nu, b'l') => LastL,
            _ => return Err(ScanError::Syntax),
        };
        Ok(state)
    }

    /// The state behind the first byte of a value.
    fn value(&mut self, byte: u8) -> Result<State, ScanError> {
        Ok(match byte {
            b'{' => return self.open(1),
            b'[' => return self.open(0),
            b'"' => {
                self.name = false;
                State::Text
            }
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Integer,
            b't' => State::T,
            b'f' => State::F,
            b'n' => State::N,
            _ => return Err(ScanError::Syntax),
        })
    }

    /// The state behind an opening brace (1) or bracket (0).
    fn open(&mut self, kind: u16) -> Result<State, ScanError> {
        if self.levels >> Self::MAX_DEPTH != 0 {
            return Err(ScanError::Depth);
        }
        self.levels = self.levels << 1 | kind;
        Ok(if kind == 1 { State::FirstName } else { State::FirstValue })
    }

    /// The state behind a comma or a closing bracket.
    fn after_value(&mut self, byte: u8) -> Result<State, ScanError> {
        let in_object = self.levels & 1 == 1;
        match (byte, in_object) {
            (b',', true) => return Ok(State::Name),
            (b',', false) => return Ok(State::Value),
            (b'}', true) | (b']', false) => self.levels >>= 1,
            _ => return Err(ScanError::Syntax),
        }
        Ok(if self.levels == BOTTOM { State::Over } else { State::Next })
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

/// No level is open.
const BOTTOM: u16 = 1;

/// What the scanner stands in or behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the outermost brace.
    Start,
    /// Behind `{`: a name or the end.
    FirstName,
    /// Behind a comma: a name.
    Name,
    Colon,
    /// Behind `[`: a value or the end.
    FirstValue,
    Value,
    /// Behind a value.
    Next,
    /// Inside a string.
    Text,
    /// Behind a backslash.
    Escape,
    /// So many hexadecimal digits to come.
    Hex4,
    Hex3,
    Hex2,
    Hex1,
    /// So many continuation bytes to come.
    Tail1,
    Tail2,
    Tail3,
    /// Behind a lead byte that narrows the range of the byte to come.
    TailE0,
    TailED,
    TailF0,
    TailF4,
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    /// Behind the exponent's sign.
    Sign,
    /// In the exponent's digits.
    Power,
    T,
    Tr,
    F,
    Fa,
    /// Behind `fal`, with `se` to come.
    Fals,
    N,
    Nu,
    /// Only the last letter to come.
    LastE,
    LastL,
    /// Failed or complete.
    Over,
}

/// Whether `byte` is a character of its own in a string, and means itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..0x80) && byte != b'"' && byte != b'\\'
}

/// The state behind the first byte of a character that means itself (RFC 3629, section 4).
fn character(byte: u8) -> Result<State, ScanError> {
    Ok(match byte {
        0x20..=0x7F => State::Text,
        0xC2..=0xDF => State::Tail1,
        0xE0 => State::TailE0,
        0xED => State::TailED,
        0xE1..=0xEF => State::Tail2,
        0xF0 => State::TailF0,
        0xF1..=0xF3 => State::Tail3,
        0xF4 => State::TailF4,
        0x00..=0x1F => return Err(ScanError::Syntax),
        _ => return Err(ScanError::Utf8),
    })
}
