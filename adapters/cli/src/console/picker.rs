//! A dialog that selects a directory.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ratatui::crossterm::event::{KeyCode, KeyEvent};

/// Lists the subdirectories of a directory.
#[derive(Debug)]
pub struct Picker {
    pub directory: PathBuf,
    pub entries: Vec<Entry>,
    pub selected: usize,
    /// Why the directory cannot be read.
    pub error: Option<String>,
    hidden: bool,
}

/// A directory to select or to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The listed directory itself.
    Current,
    Parent,
    Child(OsString),
}

/// What a key has done.
#[derive(Debug, PartialEq, Eq)]
pub enum PickerResult {
    /// The dialog stays open.
    Open,
    Cancelled,
    Selected(PathBuf),
}

impl Picker {
    /// Lists `directory`, with names that begin with a dot where `hidden`.
    pub fn new(directory: &Path, hidden: bool) -> Self {
        let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let mut picker = Self { directory, entries: Vec::new(), selected: 0, error: None, hidden };
        picker.read();
        picker
    }

    /// Handles a key. `page_len` is the number of entries to scroll by.
    pub fn on_key(&mut self, key: KeyEvent, page_len: usize) -> PickerResult {
        let last = self.entries.len().saturating_sub(1);
        match key.code {
            KeyCode::Esc => return PickerResult::Cancelled,
            KeyCode::Up => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down => self.selected = (self.selected + 1).min(last),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(page_len),
            KeyCode::PageDown => self.selected = (self.selected + page_len).min(last),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = last,
            KeyCode::Left | KeyCode::Backspace => self.go_to_parent(),
            KeyCode::Char(' ') => return PickerResult::Selected(self.selected_path()),
            KeyCode::Enter | KeyCode::Right => match self.entries.get(self.selected) {
                Some(Entry::Current) if key.code == KeyCode::Enter => {
                    return PickerResult::Selected(self.directory.clone());
                }
                Some(Entry::Parent) => self.go_to_parent(),
                Some(Entry::Child(_)) => {
                    self.directory = self.selected_path();
                    self.read();
                }
                _ => {}
            },
            // Selects the next name that begins with this character.
            KeyCode::Char(character) => {
                let is_match = |index: &usize| match &self.entries[*index] {
                    Entry::Child(name) => {
                        let first = name.to_string_lossy().chars().next();
                        first.is_some_and(|first| first.to_lowercase().eq(character.to_lowercase()))
                    }
                    _ => false,
                };
                let found = (self.selected + 1..=last).chain(0..=self.selected.min(last)).find(is_match);
                self.selected = found.unwrap_or(self.selected);
            }
            _ => {}
        }
        PickerResult::Open
    }

    fn selected_path(&self) -> PathBuf {
        match self.entries.get(self.selected) {
            Some(Entry::Child(name)) => self.directory.join(name),
            Some(Entry::Parent) => self.directory.parent().unwrap_or(&self.directory).to_owned(),
            _ => self.directory.clone(),
        }
    }

    /// Lists the parent, with the directory that was left selected.
    fn go_to_parent(&mut self) {
        let Some(parent) = self.directory.parent().map(Path::to_owned) else { return };
        let left = self.directory.file_name().map(|name| Entry::Child(name.to_owned()));
        self.directory = parent;
        self.read();
        self.selected = self.entries.iter().position(|entry| Some(entry) == left.as_ref()).unwrap_or(0);
    }

    fn read(&mut self) {
        let mut names = Vec::new();
        self.error = match fs::read_dir(&self.directory) {
            Ok(listing) => {
                // An entry that cannot be read is left out.
                for entry in listing.flatten() {
                    let name = entry.file_name();
                    let is_shown = self.hidden || !name.as_encoded_bytes().starts_with(b".");
                    if is_shown && fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()) {
                        names.push(name);
                    }
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        names.sort();
        self.entries = vec![Entry::Current];
        self.entries.extend(self.directory.parent().map(|_| Entry::Parent));
        self.entries.extend(names.into_iter().map(Entry::Child));
        self.selected = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::{Entry, Picker, PickerResult};

    fn press(picker: &mut Picker, code: KeyCode) -> PickerResult {
        picker.on_key(KeyEvent::from(code), 10)
    }

    #[test]
    fn finds_its_way() {
        let top = tempfile::tempdir().expect("a directory");
        for name in ["images/old", "logs", ".secret", "Ideas"] {
            fs::create_dir_all(top.path().join(name)).expect("made");
        }
        fs::write(top.path().join("file"), "").expect("written");
        let path = fs::canonicalize(top.path()).expect("a path");

        let mut picker = Picker::new(top.path(), false);
        let children = |names: &[&str]| names.iter().map(|name| Entry::Child(name.into())).collect::<Vec<_>>();
        assert_eq!(picker.entries[..2], [Entry::Current, Entry::Parent]);
        assert_eq!(picker.entries[2..], children(&["Ideas", "images", "logs"]));
        for _ in 0..2 {
            assert_eq!(press(&mut picker, KeyCode::Char('i')), PickerResult::Open);
        }
        assert_eq!(press(&mut picker, KeyCode::Enter), PickerResult::Open);
        assert_eq!((&picker.directory, &picker.entries[2..]), (&path.join("images"), &children(&["old"])[..]));
        assert_eq!(press(&mut picker, KeyCode::Enter), PickerResult::Selected(path.join("images")));
        press(&mut picker, KeyCode::Left);
        assert_eq!((&picker.directory, picker.selected), (&path, 3));
        press(&mut picker, KeyCode::Down);
        assert_eq!(press(&mut picker, KeyCode::Char(' ')), PickerResult::Selected(path.join("logs")));
        assert_eq!(press(&mut picker, KeyCode::Esc), PickerResult::Cancelled);
        assert!(Picker::new(top.path(), true).entries.contains(&Entry::Child(".secret".into())));
    }

    #[test]
    fn stays_within_its_list_and_at_the_root() {
        let mut picker = Picker::new("/".as_ref(), false);
        assert_eq!(picker.entries[0], Entry::Current);
        assert!(!picker.entries.contains(&Entry::Parent));
        press(&mut picker, KeyCode::Left);
        press(&mut picker, KeyCode::Up);
        assert_eq!((picker.directory.to_str(), picker.selected), (Some("/"), 0));
        press(&mut picker, KeyCode::End);
        press(&mut picker, KeyCode::PageDown);
        assert_eq!(picker.selected, picker.entries.len() - 1);
    }

    #[test]
    fn says_why_there_is_nothing() {
        let mut picker = Picker::new("/no/such/directory".as_ref(), false);
        assert!(picker.error.as_ref().is_some_and(|error| error.contains("No such file")), "{picker:?}");
        press(&mut picker, KeyCode::Left);
        assert_eq!(picker.entries, [Entry::Current, Entry::Parent]);
    }
}
