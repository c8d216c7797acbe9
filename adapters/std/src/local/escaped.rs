//! Escapes text of a server or a user for a terminal.

use std::fmt::{self, Write};
use std::path::Path;

/// Text that is printed with every character escaped that could control a terminal or reorder a line.
///
/// These are the control characters (U+0000 to U+001F, U+007F to U+009F), the bidirectional controls of Unicode's
/// UAX #9, the line and paragraph separators, and the invisible tag and annotation characters. ASCII ones are
/// printed as `\n`, `\r`, `\t` or `\x1b`, the others as `\u{202e}`. A backslash in the text stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                _ if !must_escape(character) => f.write_char(character)?,
                _ if character.is_ascii() => write!(f, "\\x{:02x}", u32::from(character))?,
                _ => write!(f, "\\u{{{:x}}}", u32::from(character))?,
            }
        }
        Ok(())
    }
}

/// Escapes a path like [`Escaped`]; bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn escape_path(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}

/// Writes the characters of a JSON text that [`Escaped`] would escape as JSON escapes: the same value, safe to print.
#[must_use]
pub fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        if must_escape(character) {
            for unit in character.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

fn must_escape(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{Escaped, escape_json};

    #[test]
    fn m12_what_steers_a_terminal_is_escaped() {
        for (text, shown) in [
            ("plain caf\u{e9} 収 \u{1f600}", "plain caf\u{e9} 収 \u{1f600}"),
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00"),
            ("\u{7f}\u{9b}2J", "\\x7f\\u{9b}2J"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("\u{2066}x\u{2069}\u{2028}", "\\u{2066}x\\u{2069}\\u{2028}"),
            ("a\\b", "a\\b"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }

    #[test]
    fn m12_json_keeps_its_value() {
        for text in ["\u{202e}\u{9b}\x1b\"\\", "\u{e0041}", "caf\u{e9}"] {
            let json = escape_json(&serde_json::to_string(text).expect("a string serialises"));
            assert!(!json.chars().any(super::must_escape), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("valid JSON"), text);
        }
    }
}
