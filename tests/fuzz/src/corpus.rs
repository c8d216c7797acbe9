//! The corpus: one file for each target, one line for each input, in the notation of Rust's byte strings.

/// The inputs of a corpus file.
///
/// # Panics
///
/// If a line is not in the notation of [`line()`].
#[must_use]
pub fn read(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(|line| bytes(line).unwrap_or_else(|| panic!("no line of a corpus: {line}"))).collect()
}

/// An input as a line.
#[must_use]
pub fn line(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn bytes(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                known @ (b'\\' | b'"' | b'\'') => known,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(super::read(&format!("{}\n\n", super::line(&all))), [all, Vec::new()]);
    }
}
