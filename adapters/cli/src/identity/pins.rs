//! The keys that servers are known by.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coracle::channel::PublicKey;

use super::lines::{FileProblem, read, words};
use super::paths::own;
use crate::sys;

/// A line of the file: `HOST:PORT ck1...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The server as the user typed it, with its port.
    pub server: String,
    pub key: PublicKey,
}

/// The user's file of pins.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
}

impl Pins {
    /// `None` where the environment has no place for it.
    pub fn open() -> Option<Self> {
        own("pins").map(|path| Self { path })
    }

    /// All of them; none where there is no file.
    pub fn load(&self) -> Result<Vec<Pin>, FileProblem> {
        parse(&self.path, &read(&self.path)?)
    }

    /// Adds a pin, which may be there already.
    pub fn add(&self, pin: &Pin) -> Result<(), FileProblem> {
        self.change(|pins, text| {
            if !pins.contains(pin) {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&format!("{} {}\n", pin.server, pin.key));
            }
        })
    }

    /// Removes the pins of `server`: that with `key`, or all for `None`. Returns how many.
    pub fn forget(&self, server: &str, key: Option<&PublicKey>) -> Result<usize, FileProblem> {
        let mut forgotten = 0;
        self.change(|_, text| {
            let stays = |line: &&str| {
                let mut words = words(line);
                let is_meant = words.next() == Some(server)
                    && key.is_none_or(|key| words.next().is_some_and(|word| word == key.to_string()));
                forgotten += usize::from(is_meant);
                !is_meant
            };
            *text = text.split_inclusive('\n').filter(stays).collect();
        })?;
        Ok(forgotten)
    }

    /// Replaces the file by a changed one, while no other process does.
    fn change(&self, change: impl FnOnce(&[Pin], &mut String)) -> Result<(), FileProblem> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let problem = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| FileProblem::new(&path, error)
        };
        sys::create_own_directory(directory).map_err(problem(directory))?;
        let _lock = sys::lock(directory).map_err(problem(directory))?;
        let before = read(&self.path)?;
        let mut text = before.clone();
        change(&parse(&self.path, &before)?, &mut text);
        if text == before {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        write(&new, &text).and_then(|()| fs::rename(&new, &self.path)).map_err(problem(&self.path))?;
        sys::sync_directory(directory).map_err(problem(directory))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // What a run that was killed left.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = sys::for_owner(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn parse(path: &Path, text: &str) -> Result<Vec<Pin>, FileProblem> {
    let mut pins = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<_> = words(line).collect();
        let problem = |what: String| FileProblem::in_line(path, number + 1, what);
        match words[..] {
            [] => {}
            [server, key] => pins.push(Pin {
                server: server.to_owned(),
                key: key.parse().map_err(|error| problem(format!("{key}: {error}")))?,
            }),
            _ => return Err(problem("a line is HOST:PORT and a key, ck1...".to_owned())),
        }
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use coracle::channel::PublicKey;

    use super::{Pin, Pins};

    fn pin(server: &str, byte: u8) -> Pin {
        Pin { server: server.to_owned(), key: PublicKey::from_bytes([byte; 32]) }
    }

    #[test]
    fn pins_are_added_and_forgotten_beside_comments() {
        let directory = tempfile::tempdir().expect("a directory");
        let pins = Pins { path: directory.path().join("new/pins") };
        assert_eq!(pins.load().expect("none"), []);
        pins.add(&pin("a:1", 1)).expect("added");
        let text = fs::read_to_string(&pins.path).expect("read");
        fs::write(&pins.path, format!("# mine\n{}", text.trim_end())).expect("written");
        for pin in [pin("a:1", 2), pin("a:1", 1), pin("a:11", 1)] {
            pins.add(&pin).expect("added");
        }
        assert_eq!(pins.load().expect("pins"), [pin("a:1", 1), pin("a:1", 2), pin("a:11", 1)]);
        assert_eq!(pins.forget("a:1", Some(&pin("", 2).key)).expect("forgotten"), 1);
        assert_eq!(pins.forget("b:1", None).expect("none"), 0);
        assert_eq!(pins.load().expect("pins"), [pin("a:1", 1), pin("a:11", 1)]);
        assert_eq!(pins.forget("a:1", None).expect("forgotten"), 1);
        assert!(fs::read_to_string(&pins.path).expect("read").starts_with("# mine\na:11 ck1"));
        assert_eq!(fs::read_dir(directory.path().join("new")).expect("read").count(), 1, "nothing else is left");
    }

    #[test]
    fn none_is_lost_where_many_are_added_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pins");
        thread::scope(|scope| {
            for byte in 1..=8 {
                let pins = Pins { path: path.clone() };
                scope.spawn(move || pins.add(&pin("a:1", byte)).expect("added"));
            }
        });
        assert_eq!(Pins { path }.load().expect("pins").len(), 8);
    }

    #[test]
    fn e5_a_malformed_line_is_told_and_nothing_is_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        let pins = Pins { path: directory.path().join("pins") };
        for line in ["a:1", "a:1 ck1qqq", "a:1 ck1 more"] {
            let text = format!("# one\n{line}\n");
            fs::write(&pins.path, &text).expect("written");
            for problem in [pins.load().map(drop), pins.add(&pin("b:1", 1)), pins.forget("a:1", None).map(drop)] {
                assert!(problem.expect_err(line).to_string().contains("pins:2: "), "{line}");
            }
            assert_eq!(fs::read_to_string(&pins.path).expect("read"), text);
        }
    }
}
