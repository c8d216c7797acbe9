//! One download on a client's disk, by the rules of `adapters/std/src/local`: a part, a sidecar that says of what it is the
//! beginning, and the real name only for what is whole and verified.

use coracle_core::Version;

use crate::disk::{Disk, Name, Note, Origin};

/// The disk, and the part that the running program has open.
#[derive(Debug)]
pub struct Local {
    pub disk: Disk,
    pub part: Option<Part>,
    /// A power cut may have damaged the part, so that only its digest can tell.
    pub is_damaged: bool,
    /// How often the file had changed when the part was begun.
    pub stamp: u32,
}

/// An unfinished download.
#[derive(Clone, Debug)]
pub struct Part {
    inode: usize,
    sidecar: usize,
    origin: Option<Origin>,
}

/// What was found where a part would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    APart,
    /// It was moved out of the way.
    SetAside,
    /// A part that is not that of the sidecar: the program leaves it alone, and nobody goes on.
    Foreign,
}

impl Local {
    pub fn new() -> Self {
        Self { disk: Disk::new(), part: None, is_damaged: false, stamp: 0 }
    }

    /// Takes over an unfinished download, as `Place::find` does.
    pub fn find(&mut self) -> Found {
        self.part = None;
        let Some(sidecar) = self.disk.at(Name::Sidecar) else {
            return if self.disk.at(Name::Part).is_some() { Found::Foreign } else { Found::Nothing };
        };
        let Some(inode) = self.disk.at(Name::Part) else {
            self.disk.remove(Name::Sidecar);
            return Found::Nothing;
        };
        let origin = match self.disk.note(sidecar).clone() {
            Note::Good { origin, part: Some(noted) } if noted == inode => Some(origin),
            Note::Good { part: None, .. } if self.disk.bytes(inode).is_empty() => None,
            Note::Good { part: Some(_), .. } => return Found::Foreign,
            Note::Damaged => None,
            Note::Empty | Note::Good { part: None, .. } => {
                self.disk.remove(Name::Part);
                self.disk.remove(Name::Sidecar);
                return Found::SetAside;
            }
        };
        self.part = Some(Part { inode, sidecar, origin });
        Found::APart
    }

    fn clear(&mut self) {
        self.disk.remove(Name::Part);
        self.disk.remove(Name::Sidecar);
        self.part = None;
    }

    /// How many bytes there are, of a file that they are known to be the beginning of.
    pub fn offset(&self) -> u64 {
        self.origin().map_or(0, |_| self.len())
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.part.as_ref().map_or(&[], |part| self.disk.bytes(part.inode))
    }

    /// Of what the bytes are the beginning, where there are any and that is known.
    pub fn origin(&self) -> Option<&Origin> {
        let len = self.len();
        let origin = self.part.as_ref()?.origin.as_ref();
        origin.filter(|origin| len > 0 && len <= origin.size)
    }

    /// The version of the part.
    pub fn version(&self) -> Option<&Version> {
        self.part.as_ref()?.origin.as_ref().map(|origin| &origin.version)
    }

    /// Forgets of what the part is the beginning.
    pub fn forget(&mut self) {
        if let Some(part) = &mut self.part {
            part.origin = None;
        }
    }

    /// A header came: the body goes behind what there is, or begins anew.
    pub fn begin(&mut self, offset: u64, origin: Origin) {
        match &mut self.part {
            None => {
                let sidecar = self.disk.create(Name::Sidecar);
                self.disk.write_note(sidecar, Note::Good { origin: origin.clone(), part: None });
                let inode = self.disk.create(Name::Part);
                self.disk.write_note(sidecar, Note::Good { origin: origin.clone(), part: Some(inode) });
                self.part = Some(Part { inode, sidecar, origin: Some(origin) });
                self.is_damaged = false;
            }
            Some(part) if offset == 0 => {
                self.disk.empty(part.inode);
                part.note(&mut self.disk, origin);
                self.is_damaged = false;
            }
            Some(part) if part.origin.as_ref() != Some(&origin) => part.note(&mut self.disk, origin),
            Some(_) => {}
        }
    }

    /// Bytes of the body.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) {
        let part = self.part.as_ref().expect("a body without a header");
        assert_eq!(offset, self.disk.bytes(part.inode).len() as u64, "a body out of order");
        self.disk.append(part.inode, bytes);
    }

    /// One step of giving the part its real name; true with the last.
    pub fn promote(&mut self, step: u32) -> bool {
        let part = self.part.as_ref().expect("nothing to promote");
        match step {
            0 => {
                self.disk.sync(part.inode);
            }
            1 => self.disk.rename(),
            2 => self.disk.remove(Name::Sidecar),
            _ => {
                self.disk.sync_names();
                self.part = None;
                return true;
            }
        }
        false
    }

    /// The digest is wrong: the part is worth nothing.
    pub fn discard(&mut self) {
        self.clear();
        self.is_damaged = false;
    }

    /// The program ends: what has no byte is removed.
    pub fn leave(&mut self) {
        if self.len() == 0 && self.part.is_some() {
            self.clear();
        }
        self.part = None;
    }
}

impl Part {
    fn note(&mut self, disk: &mut Disk, origin: Origin) {
        disk.write_note(self.sidecar, Note::Good { origin: origin.clone(), part: Some(self.inode) });
        self.origin = Some(origin);
    }
}
