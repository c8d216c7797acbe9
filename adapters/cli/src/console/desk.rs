//! What the person at the console sees and does, apart from drawing: the fields, the notice, the keys.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use coracle::Escaped;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::field::Field;
use super::picker::{Picked, Picker};
use super::place::Place;

/// The console's own state.
#[derive(Debug)]
pub struct Desk {
    pub folder: PathBuf,
    pub place: Place,
    pub mode: Mode,
    pub notice: Notice,
    /// How many clients are scrolled past.
    pub first_client: usize,
    /// Names that begin with a dot are served and shown.
    pub hidden: bool,
}

/// What keys mean just now.
#[derive(Debug)]
pub enum Mode {
    Watch,
    Edit(Edited, Field),
    Pick(Picker),
}

/// A field that can be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    Folder,
    Address,
    Port,
}

/// The last thing that there was to say; escaped, and empty for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub is_bad: bool,
}

/// What the server has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    /// Start to listen, or stop.
    Toggle,
    /// Serve this directory.
    Serve(PathBuf),
    /// Listen there.
    Move(Place),
    /// End in good order.
    Quit,
    /// What a signal would do.
    Interrupt,
}

impl Desk {
    pub fn new(folder: PathBuf, place: Place, hidden: bool) -> Self {
        Self { folder, place, mode: Mode::Watch, notice: Notice::default(), first_client: 0, hidden }
    }

    /// Says something, with control characters escaped.
    pub fn say(&mut self, text: &str, is_bad: bool) {
        self.notice = Notice { text: Escaped(text).to_string(), is_bad };
    }

    /// Does what `event` of the terminal says. `page` is how many lines are scrolled by at a time.
    pub fn event(&mut self, event: &Event, page: usize) -> Command {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key, page),
            Event::Paste(text) => {
                if let Mode::Edit(_, field) = &mut self.mode {
                    field.paste(text);
                }
                Command::Nothing
            }
            _ => Command::Nothing,
        }
    }

    fn key(&mut self, key: KeyEvent, page: usize) -> Command {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Command::Interrupt;
        }
        match std::mem::replace(&mut self.mode, Mode::Watch) {
            Mode::Watch => self.watch(key, page),
            Mode::Edit(edited, field) => self.edit(edited, field, key),
            Mode::Pick(mut picker) => match picker.key(key, page) {
                Picked::Nothing => {
                    self.mode = Mode::Pick(picker);
                    Command::Nothing
                }
                Picked::Cancelled => Command::Nothing,
                Picked::Directory(path) => Command::Serve(path),
            },
        }
    }

    fn watch(&mut self, key: KeyEvent, page: usize) -> Command {
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return Command::Nothing;
        }
        match key.code {
            KeyCode::Char('s') => return Command::Toggle,
            KeyCode::Char('q') => return Command::Quit,
            KeyCode::Char('f') | KeyCode::Tab => self.begin(Edited::Folder),
            KeyCode::Char('a') => self.begin(Edited::Address),
            KeyCode::Char('p') => self.begin(Edited::Port),
            KeyCode::Char('b') => self.mode = Mode::Pick(Picker::new(&self.folder, self.hidden)),
            KeyCode::Up => self.first_client = self.first_client.saturating_sub(1),
            KeyCode::Down => self.first_client += 1,
            KeyCode::PageUp => self.first_client = self.first_client.saturating_sub(page),
            KeyCode::PageDown => self.first_client += page,
            KeyCode::Home => self.first_client = 0,
            _ => {}
        }
        Command::Nothing
    }

    fn edit(&mut self, edited: Edited, mut field: Field, key: KeyEvent) -> Command {
        match key.code {
            KeyCode::Esc => Command::Nothing,
            KeyCode::Enter => self.apply(edited, &field),
            KeyCode::Tab | KeyCode::BackTab => {
                let command = self.apply(edited, &field);
                let is_back = key.code == KeyCode::BackTab;
                self.begin(match (edited, is_back) {
                    (Edited::Folder, false) | (Edited::Port, true) => Edited::Address,
                    (Edited::Address, false) | (Edited::Folder, true) => Edited::Port,
                    (Edited::Port, false) | (Edited::Address, true) => Edited::Folder,
                });
                command
            }
            _ => {
                field.key(key);
                self.mode = Mode::Edit(edited, field);
                Command::Nothing
            }
        }
    }

    fn begin(&mut self, edited: Edited) {
        self.mode = Mode::Edit(edited, Field::new(&self.text(edited)));
    }

    fn text(&self, edited: Edited) -> String {
        match edited {
            Edited::Folder => self.folder.to_string_lossy().into_owned(),
            Edited::Address => self.place.host.clone(),
            Edited::Port => self.place.port.clone(),
        }
    }

    fn apply(&self, edited: Edited, field: &Field) -> Command {
        let text = field.text();
        // A folder whose name is no UTF-8 would not be found by what is shown of it.
        if text == self.text(edited) {
            return Command::Nothing;
        }
        match edited {
            Edited::Folder => Command::Serve(expanded(&text, std::env::var_os("HOME").as_deref())),
            Edited::Address => Command::Move(Place { host: text.trim().to_owned(), ..self.place.clone() }),
            Edited::Port => Command::Move(Place { port: text.trim().to_owned(), ..self.place.clone() }),
        }
    }
}

/// A leading `~` stands for the home directory, as in a shell.
fn expanded(text: &str, home: Option<&OsStr>) -> PathBuf {
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

    use super::{Command, Desk, Edited, Mode, Place, expanded};

    fn desk() -> Desk {
        Desk::new(PathBuf::from("/srv"), Place::default(), false)
    }

    fn press(desk: &mut Desk, code: KeyCode) -> Command {
        desk.event(&Event::Key(KeyEvent::from(code)), 5)
    }

    fn type_in(desk: &mut Desk, text: &str) {
        for character in text.chars() {
            assert_eq!(press(desk, KeyCode::Char(character)), Command::Nothing);
        }
    }

    #[test]
    fn keys_have_their_meanings() {
        let mut desk = desk();
        assert_eq!(press(&mut desk, KeyCode::Char('s')), Command::Toggle);
        assert_eq!(press(&mut desk, KeyCode::Char('q')), Command::Quit);
        assert_eq!(press(&mut desk, KeyCode::Char('x')), Command::Nothing);
        let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        for key in ['x', 'f', 'b'] {
            press(&mut desk, KeyCode::Char(key));
            assert_eq!(desk.event(&interrupt, 5), Command::Interrupt);
            press(&mut desk, KeyCode::Esc);
        }
        let control_s = Event::Key(KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL));
        assert_eq!(desk.event(&control_s, 5), Command::Nothing);
        press(&mut desk, KeyCode::PageDown);
        press(&mut desk, KeyCode::Up);
        assert_eq!(desk.first_client, 4);
    }

    #[test]
    fn fields_are_edited_one_after_the_other() {
        let mut desk = desk();
        press(&mut desk, KeyCode::Char('f'));
        type_in(&mut desk, "/sq");
        assert_eq!(press(&mut desk, KeyCode::Tab), Command::Serve(PathBuf::from("/srv/sq")));
        assert!(matches!(desk.mode, Mode::Edit(Edited::Address, _)));
        type_in(&mut desk, "1");
        let host = "::1".to_owned();
        assert_eq!(press(&mut desk, KeyCode::Enter), Command::Move(Place { host, ..Place::default() }));
        press(&mut desk, KeyCode::Char('p'));
        press(&mut desk, KeyCode::Backspace);
        desk.event(&Event::Paste("9\n".to_owned()), 5);
        let port = "8889".to_owned();
        assert_eq!(press(&mut desk, KeyCode::BackTab), Command::Move(Place { port, ..Place::default() }));
        assert!(matches!(desk.mode, Mode::Edit(Edited::Address, _)));
        // Unchanged or given up, nothing happens.
        assert_eq!(press(&mut desk, KeyCode::Enter), Command::Nothing);
        press(&mut desk, KeyCode::Char('a'));
        type_in(&mut desk, "q");
        assert_eq!(press(&mut desk, KeyCode::Esc), Command::Nothing);
        assert!(matches!(desk.mode, Mode::Watch));
        assert_eq!(desk.place, Place::default());
    }

    #[test]
    fn a_folder_can_be_picked() {
        let folder = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(folder.path().join("images")).expect("made");
        let mut desk = Desk::new(folder.path().to_owned(), Place::default(), false);
        press(&mut desk, KeyCode::Char('b'));
        press(&mut desk, KeyCode::End);
        let images = folder.path().canonicalize().expect("a path").join("images");
        assert_eq!(press(&mut desk, KeyCode::Char(' ')), Command::Serve(images));
        assert!(matches!(desk.mode, Mode::Watch));
        press(&mut desk, KeyCode::Char('b'));
        assert_eq!(press(&mut desk, KeyCode::Esc), Command::Nothing);
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = Some("/home/ada".as_ref());
        assert_eq!(expanded("~", home), PathBuf::from("/home/ada"));
        assert_eq!(expanded("~/images", home), PathBuf::from("/home/ada/images"));
        assert_eq!(expanded("~bob", home), PathBuf::from("~bob"));
        assert_eq!(expanded("~/images", None), PathBuf::from("~/images"));
    }
}
