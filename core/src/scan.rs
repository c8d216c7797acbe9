//! Where a message ends: a JSON scanner that takes its input in any pieces.

/// Follows one JSON object through input that arrives in arbitrary pieces, and checks that it is JSON (RFC 8259).
///
/// It looks at each byte once, keeps no copy of the input and needs a few bytes of memory. Objects and arrays may be nested
/// [`Scanner::MAX_DEPTH`] levels deep, the outermost object included.
#[derive(Clone, Debug, Default)]
pub struct Scanner {}

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
    /// A byte that is no UTF-8 there.
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
        Self {}
    }

    /// Takes the next piece. The first byte of all has to be `{`.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bad byte. Asked again after that, or after the end of the object, the answer is
    /// [`ScanError::Syntax`].
    pub fn scan(&mut self, piece: &[u8]) -> Result<Scanned, ScanError> {
        let _ = piece;
        Err(ScanError::Syntax)
    }
}
