//! A line editor.

use coracle::Escaped;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::format::display_width;

/// Text with a cursor in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    text: Vec<char>,
    /// The index of the character behind it.
    cursor: usize,
}

impl Field {
    /// With the cursor at the end.
    pub fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { cursor: text.len(), text }
    }

    pub fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// Handles an editing key; ignores other keys.
    pub fn on_key(&mut self, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if is_control => self.cursor = 0,
            KeyCode::Char('e') if is_control => self.cursor = self.text.len(),
            KeyCode::Char('u') if is_control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if is_control => self.text.truncate(self.cursor),
            KeyCode::Char(character) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
                self.insert(character);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.text.len() => drop(self.text.remove(self.cursor)),
            _ => {}
        }
    }

    /// Inserts pasted text without its control characters.
    pub fn paste(&mut self, text: &str) {
        text.chars().for_each(|character| self.insert(character));
    }

    /// The part around the cursor that fits into `width` columns, escaped, and the column of the cursor.
    pub fn visible(&self, width: usize) -> (String, usize) {
        let pieces: Vec<String> =
            self.text.iter().map(|character| Escaped(&character.to_string()).to_string()).collect();
        let (before, after) = pieces.split_at(self.cursor);
        let mut first = before.len();
        let mut column = 0;
        while first > 0 && column + display_width(&before[first - 1]) < width {
            first -= 1;
            column += display_width(&before[first]);
        }
        let mut shown = before[first..].concat();
        let mut used = column;
        for piece in after {
            used += display_width(piece);
            if used > width {
                break;
            }
            shown.push_str(piece);
        }
        (shown, column)
    }

    fn insert(&mut self, character: char) {
        if !character.is_control() {
            self.text.insert(self.cursor, character);
            self.cursor += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::Field;

    fn press(field: &mut Field, codes: &[KeyCode]) {
        for code in codes {
            field.on_key(KeyEvent::from(*code));
        }
    }

    #[test]
    fn edits_by_characters() {
        let mut field = Field::new("a文c");
        press(&mut field, &[KeyCode::Left, KeyCode::Backspace, KeyCode::Char('b'), KeyCode::End, KeyCode::Char('d')]);
        assert_eq!(field.text(), "abcd");
        press(&mut field, &[KeyCode::Home, KeyCode::Backspace, KeyCode::Left, KeyCode::Delete]);
        assert_eq!(field.text(), "bcd");
        press(&mut field, &[KeyCode::End, KeyCode::Right, KeyCode::Delete]);
        assert_eq!(field.text(), "bcd");
        field.on_key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        field.on_key(KeyEvent::new(KeyCode::Char('x'), KeyModifiers::CONTROL));
        assert_eq!(field.text(), "");
        field.paste("/srv\r\n/\x1bx");
        assert_eq!(field.text(), "/srv/x");
    }

    #[test]
    fn shows_what_is_around_the_cursor() {
        let mut field = Field::new("0123456789");
        assert_eq!(field.visible(20), ("0123456789".to_owned(), 10));
        assert_eq!(field.visible(5), ("6789".to_owned(), 4));
        press(&mut field, &[KeyCode::Home]);
        assert_eq!(field.visible(5), ("01234".to_owned(), 0));
        // Wide characters take two columns, and hidden ones show.
        assert_eq!(Field::new("文件").visible(4), ("件".to_owned(), 2));
        assert_eq!(Field::new("a\u{202e}").visible(20), ("a\\u{202e}".to_owned(), 9));
    }
}
