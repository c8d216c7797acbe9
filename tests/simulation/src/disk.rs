//! A client's disk, as it is and as it would be after a power cut: only what was synced is sure to survive.

use coracle_core::Version;

use crate::random::Random;

/// The names of one download, as the program `coracle` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Target,
    Part,
    Sidecar,
}

/// What a sidecar says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Nothing: it was about to be written.
    Empty,
    /// What was a note once.
    Damaged,
    /// Of what the part is the beginning, and which file the part is.
    Good { origin: Origin, part: Option<usize> },
}

/// Of what a part is the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub slot: usize,
    pub size: u64,
    pub version: Version,
}

/// The disk.
#[derive(Debug)]
pub struct Disk {
    inodes: Vec<Inode>,
    /// What stands at each name: first what is durable, then what it became with each step, up to now.
    names: Vec<[Option<usize>; 3]>,
}

#[derive(Debug)]
struct Inode {
    bytes: Vec<u8>,
    synced_len: usize,
    /// What stood there before it was cut to nothing.
    ghost: Vec<u8>,
    note: Note,
    note_before: Note,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self { inodes: Vec::new(), names: vec![[None; 3]] }
    }

    /// Which file stands at `name`.
    pub fn at(&self, name: Name) -> Option<usize> {
        self.now()[name as usize]
    }

    /// Creates an empty file.
    pub fn create(&mut self, name: Name) -> usize {
        assert!(self.at(name).is_none(), "created what is there");
        let (note, note_before) = (Note::Empty, Note::Empty);
        self.inodes.push(Inode { bytes: Vec::new(), synced_len: 0, ghost: Vec::new(), note, note_before });
        let inode = self.inodes.len() - 1;
        self.set(name, Some(inode));
        inode
    }

    /// Removes a name.
    pub fn remove(&mut self, name: Name) {
        if self.at(name).is_some() {
            self.set(name, None);
        }
    }

    /// Gives the part the target's name.
    pub fn rename(&mut self) {
        let mut names = self.now();
        names[Name::Target as usize] = names[Name::Part as usize].take();
        self.names.push(names);
    }

    pub fn bytes(&self, inode: usize) -> &[u8] {
        &self.inodes[inode].bytes
    }

    pub fn note(&self, inode: usize) -> &Note {
        &self.inodes[inode].note
    }

    pub fn append(&mut self, inode: usize, bytes: &[u8]) {
        self.inodes[inode].bytes.extend_from_slice(bytes);
    }

    /// Cuts a file to nothing.
    pub fn empty(&mut self, inode: usize) {
        let inode = &mut self.inodes[inode];
        inode.ghost = std::mem::take(&mut inode.bytes);
        inode.synced_len = 0;
    }

    pub fn write_note(&mut self, inode: usize, note: Note) {
        let inode = &mut self.inodes[inode];
        inode.note_before = std::mem::replace(&mut inode.note, note);
    }

    /// What is in the file survives.
    pub fn sync(&mut self, inode: usize) {
        let inode = &mut self.inodes[inode];
        inode.synced_len = inode.bytes.len();
        inode.ghost = Vec::new();
    }

    /// The names survive.
    pub fn sync_names(&mut self) {
        self.names = vec![self.now()];
    }

    /// Of what was not synced some survives, some does not. Names change in the order in which they were changed, as a
    /// journal sees to it.
    pub fn power_cut(&mut self, random: &mut Random) {
        let survives = random.below(self.names.len());
        self.names = vec![self.names[survives]];
        for inode in self.now().into_iter().flatten() {
            self.inodes[inode].power_cut(random);
        }
    }

    fn now(&self) -> [Option<usize>; 3] {
        *self.names.last().expect("never empty")
    }

    fn set(&mut self, name: Name, inode: Option<usize>) {
        let mut names = self.now();
        names[name as usize] = inode;
        self.names.push(names);
    }
}

impl Inode {
    fn power_cut(&mut self, random: &mut Random) {
        let loose = self.bytes.len() - self.synced_len;
        match random.below(5) {
            0 => self.bytes.truncate(self.synced_len),
            1 => self.bytes.truncate(self.synced_len + random.below(loose + 1)),
            2 if loose > 0 => {
                let start = self.synced_len + random.below(loose);
                let len = 1 + random.below(4_096);
                self.bytes.iter_mut().skip(start).take(len).for_each(|byte| *byte = 0);
            }
            3 if !self.ghost.is_empty() => self.bytes = std::mem::take(&mut self.ghost),
            _ => {}
        }
        self.ghost = Vec::new();
        // What was read back from the disk is on the disk.
        self.synced_len = self.bytes.len();
        match random.below(4) {
            0 => self.note = self.note_before.clone(),
            1 if self.note != Note::Empty => self.note = Note::Damaged,
            2 if random.chance(300) => self.note = Note::Empty,
            _ => {}
        }
        self.note_before = self.note.clone();
    }
}
