//! The model of the console: its fields, the notice, and what keys do. Drawing is in `view`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use coracle::Escaped;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::field::Field;
use super::picker::{Picker, PickerResult};
use crate::listen_address::ListenAddress;

/// The state of the console itself, beside that of the server.
#[derive(Debug)]
pub struct ConsoleModel {
    pub folder: PathBuf,
    pub listen: ListenAddress,
    pub mode: Mode,
    pub notice: Notice,
    /// The index of the first client that is shown.
    pub first_client: usize,
    /// Whether names that begin with a dot are served and shown.
    pub hidden: bool,
}

/// What keys do at the moment.
#[derive(Debug)]
pub enum Mode {
    Watch,
    Edit(FieldId, Field),
    Pick(Picker),
}

/// Names a field that can be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldId {
    Folder,
    Address,
    Port,
}

/// The last message, escaped; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub is_error: bool,
}

/// What a key asks of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    /// Start to listen, or stop to.
    ToggleListening,
    /// Serve this directory.
    Serve(PathBuf),
    /// Listen on this address.
    Listen(ListenAddress),
    /// Stop: finish the answers under way.
    Quit,
    /// Do what SIGINT does.
    Interrupt,
    /// Give the terminal back to the shell, and stop until the shell continues this program.
    Suspend,
}

impl ConsoleModel {
    pub fn new(folder: PathBuf, listen: ListenAddress, hidden: bool) -> Self {
        Self { folder, listen, mode: Mode::Watch, notice: Notice::default(), first_client: 0, hidden }
    }

    /// Shows `text`, with control characters escaped.
    pub fn notify(&mut self, text: &str, is_error: bool) {
        self.notice = Notice { text: Escaped(text).to_string(), is_error };
    }

    /// Handles an event of the terminal. `page_len` is the number of lines to scroll by.
    pub fn on_event(&mut self, event: &Event, page_len: usize) -> Command {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key, page_len),
            Event::Paste(text) => {
                if let Mode::Edit(_, field) = &mut self.mode {
                    field.paste(text);
                }
                Command::Nothing
            }
            _ => Command::Nothing,
        }
    }

    fn key(&mut self, key: KeyEvent, page_len: usize) -> Command {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Command::Interrupt;
        }
        if key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Command::Suspend;
        }
        match std::mem::replace(&mut self.mode, Mode::Watch) {
            Mode::Watch => self.watch(key, page_len),
            Mode::Edit(edited, field) => self.edit(edited, field, key),
            Mode::Pick(mut picker) => match picker.on_key(key, page_len) {
                PickerResult::Open => {
                    self.mode = Mode::Pick(picker);
                    Command::Nothing
                }
                PickerResult::Cancelled => Command::Nothing,
                PickerResult::Selected(path) => Command::Serve(path),
            },
        }
    }

    fn watch(&mut self, key: KeyEvent, page_len: usize) -> Command {
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return Command::Nothing;
        }
        match key.code {
            KeyCode::Char('s') => return Command::ToggleListening,
            KeyCode::Char('q') => return Command::Quit,
            KeyCode::Char('f') | KeyCode::Tab => self.start_editing(FieldId::Folder),
            KeyCode::Char('a') => self.start_editing(FieldId::Address),
            KeyCode::Char('p') => self.start_editing(FieldId::Port),
            KeyCode::Char('b') => self.mode = Mode::Pick(Picker::new(&self.folder, self.hidden)),
            KeyCode::Up => self.first_client = self.first_client.saturating_sub(1),
            KeyCode::Down => self.first_client += 1,
            KeyCode::PageUp => self.first_client = self.first_client.saturating_sub(page_len),
            KeyCode::PageDown => self.first_client += page_len,
            KeyCode::Home => self.first_client = 0,
            _ => {}
        }
        Command::Nothing
    }

    fn edit(&mut self, edited: FieldId, mut field: Field, key: KeyEvent) -> Command {
        match key.code {
            KeyCode::Esc => Command::Nothing,
            KeyCode::Enter => self.apply(edited, &field),
            KeyCode::Tab | KeyCode::BackTab => {
                let command = self.apply(edited, &field);
                let is_back = key.code == KeyCode::BackTab;
                self.start_editing(match (edited, is_back) {
                    (FieldId::Folder, false) | (FieldId::Port, true) => FieldId::Address,
                    (FieldId::Address, false) | (FieldId::Folder, true) => FieldId::Port,
                    (FieldId::Port, false) | (FieldId::Address, true) => FieldId::Folder,
                });
                command
            }
            _ => {
                field.on_key(key);
                self.mode = Mode::Edit(edited, field);
                Command::Nothing
            }
        }
    }

    fn start_editing(&mut self, edited: FieldId) {
        self.mode = Mode::Edit(edited, Field::new(&self.text(edited)));
    }

    fn text(&self, edited: FieldId) -> String {
        match edited {
            FieldId::Folder => self.folder.to_string_lossy().into_owned(),
            FieldId::Address => self.listen.host.clone(),
            FieldId::Port => self.listen.port.clone(),
        }
    }

    fn apply(&self, edited: FieldId, field: &Field) -> Command {
        let text = field.text();
        // Not changed. The text of a folder whose name is not UTF-8 does not name it.
        if text == self.text(edited) {
            return Command::Nothing;
        }
        match edited {
            FieldId::Folder => Command::Serve(expand_tilde(&text, std::env::var_os("HOME").as_deref())),
            FieldId::Address => Command::Listen(ListenAddress { host: text.trim().to_owned(), ..self.listen.clone() }),
            FieldId::Port => Command::Listen(ListenAddress { port: text.trim().to_owned(), ..self.listen.clone() }),
        }
    }
}

/// Replaces a leading `~` by the home directory, as a shell does.
fn expand_tilde(text: &str, home: Option<&OsStr>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

    use super::{Command, ConsoleModel, FieldId, ListenAddress, Mode, expand_tilde};

    fn model() -> ConsoleModel {
        ConsoleModel::new(PathBuf::from("/srv"), ListenAddress::default(), false)
    }

    fn press(model: &mut ConsoleModel, code: KeyCode) -> Command {
        model.on_event(&Event::Key(KeyEvent::from(code)), 5)
    }

    fn type_in(model: &mut ConsoleModel, text: &str) {
        for character in text.chars() {
            assert_eq!(press(model, KeyCode::Char(character)), Command::Nothing);
        }
    }

    #[test]
    fn keys_have_their_meanings() {
        let mut model = model();
        assert_eq!(press(&mut model, KeyCode::Char('s')), Command::ToggleListening);
        assert_eq!(press(&mut model, KeyCode::Char('q')), Command::Quit);
        assert_eq!(press(&mut model, KeyCode::Char('x')), Command::Nothing);
        let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        for key in ['x', 'f', 'b'] {
            press(&mut model, KeyCode::Char(key));
            assert_eq!(model.on_event(&interrupt, 5), Command::Interrupt);
            press(&mut model, KeyCode::Esc);
        }
        let suspend = Event::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL));
        assert_eq!(model.on_event(&suspend, 1), Command::Suspend);
        let control_s = Event::Key(KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL));
        assert_eq!(model.on_event(&control_s, 5), Command::Nothing);
        press(&mut model, KeyCode::PageDown);
        press(&mut model, KeyCode::Up);
        assert_eq!(model.first_client, 4);
    }

    #[test]
    fn fields_are_edited_one_after_the_other() {
        let mut model = model();
        press(&mut model, KeyCode::Char('f'));
        type_in(&mut model, "/sq");
        assert_eq!(press(&mut model, KeyCode::Tab), Command::Serve(PathBuf::from("/srv/sq")));
        assert!(matches!(model.mode, Mode::Edit(FieldId::Address, _)));
        type_in(&mut model, "1");
        let host = "::1".to_owned();
        assert_eq!(
            press(&mut model, KeyCode::Enter),
            Command::Listen(ListenAddress { host, ..ListenAddress::default() })
        );
        press(&mut model, KeyCode::Char('p'));
        press(&mut model, KeyCode::Backspace);
        model.on_event(&Event::Paste("9\n".to_owned()), 5);
        let port = "8889".to_owned();
        assert_eq!(
            press(&mut model, KeyCode::BackTab),
            Command::Listen(ListenAddress { port, ..ListenAddress::default() })
        );
        assert!(matches!(model.mode, Mode::Edit(FieldId::Address, _)));
        // Unchanged or given up, nothing happens.
        assert_eq!(press(&mut model, KeyCode::Enter), Command::Nothing);
        press(&mut model, KeyCode::Char('a'));
        type_in(&mut model, "q");
        assert_eq!(press(&mut model, KeyCode::Esc), Command::Nothing);
        assert!(matches!(model.mode, Mode::Watch));
        assert_eq!(model.listen, ListenAddress::default());
    }

    #[test]
    fn a_folder_can_be_picked() {
        let folder = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(folder.path().join("images")).expect("made");
        let mut model = ConsoleModel::new(folder.path().to_owned(), ListenAddress::default(), false);
        press(&mut model, KeyCode::Char('b'));
        press(&mut model, KeyCode::End);
        let images = folder.path().canonicalize().expect("a path").join("images");
        assert_eq!(press(&mut model, KeyCode::Char(' ')), Command::Serve(images));
        assert!(matches!(model.mode, Mode::Watch));
        press(&mut model, KeyCode::Char('b'));
        assert_eq!(press(&mut model, KeyCode::Esc), Command::Nothing);
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = Some("/home/ada".as_ref());
        assert_eq!(expand_tilde("~", home), PathBuf::from("/home/ada"));
        assert_eq!(expand_tilde("~/images", home), PathBuf::from("/home/ada/images"));
        assert_eq!(expand_tilde("~bob", home), PathBuf::from("~bob"));
        assert_eq!(expand_tilde("~/images", None), PathBuf::from("~/images"));
    }
}
