//! Entries of a simulated directory: as programs see them, and as a power cut may leave them.

use std::ffi::{OsStr, OsString};

use crate::random::Random;

/// Entries of a directory: names, and numbers of files or directories.
#[derive(Debug, Default)]
pub struct Entries {
    now: Vec<(OsString, usize)>,
    durable: Vec<(OsString, usize)>,
    /// Changes since the last sync, oldest first.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Add(OsString, usize),
    Remove(OsString),
    Rename(OsString, OsString, usize),
}

impl Entries {
    /// Number of the entry `name`.
    pub fn get(&self, name: &OsStr) -> Option<usize> {
        find(&self.now, name)
    }

    /// Number of the entry `name` that every power cut leaves.
    pub fn get_durable(&self, name: &OsStr) -> Option<usize> {
        let is_changed = self.changes.iter().any(|change| match change {
            Change::Add(changed, _) | Change::Remove(changed) => changed == name,
            Change::Rename(from, to, _) => from == name || to == name,
        });
        find(&self.durable, name).filter(|_| !is_changed)
    }

    /// Names, as programs see them.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.now.iter().map(|(name, _)| name.as_os_str())
    }

    /// Numbers that a program can see, or that a power cut can bring back.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        let added = self.changes.iter().filter_map(|change| match change {
            Change::Add(_, number) | Change::Rename(_, _, number) => Some(*number),
            Change::Remove(_) => None,
        });
        self.now.iter().chain(&self.durable).map(|(_, number)| *number).chain(added)
    }

    /// Gives `number` the free name `name`.
    pub fn add(&mut self, name: &OsStr, number: usize) {
        self.change(Change::Add(name.to_owned(), number));
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &OsStr) {
        self.change(Change::Remove(name.to_owned()));
    }

    /// Renames `from` to `to`, and replaces what is there.
    pub fn rename(&mut self, from: &OsStr, to: &OsStr) {
        let number = self.get(from).expect("renames what is there");
        self.change(Change::Rename(from.to_owned(), to.to_owned(), number));
    }

    /// Makes the entries durable.
    pub fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Cuts the power: of the changes that were not synced, the first ones survive (`is_ordered`), or any of them.
    pub fn cut_power(&mut self, is_ordered: bool, random: &mut Random) {
        let first = random.below(self.changes.len() + 1);
        for (number, change) in self.changes.drain(..).enumerate() {
            if if is_ordered { number < first } else { random.chance(500) } {
                change.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }
}

impl Change {
    fn apply(&self, entries: &mut Vec<(OsString, usize)>) {
        match self {
            Self::Add(name, number) => set(entries, name, *number),
            Self::Remove(name) => entries.retain(|(known, _)| known != name),
            Self::Rename(from, to, number) => {
                entries.retain(|(known, _)| known != from);
                set(entries, to, *number);
            }
        }
    }
}

fn find(entries: &[(OsString, usize)], name: &OsStr) -> Option<usize> {
    entries.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
}

fn set(entries: &mut Vec<(OsString, usize)>, name: &OsStr, number: usize) {
    match entries.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = number,
        None => entries.push((name.to_owned(), number)),
    }
}
