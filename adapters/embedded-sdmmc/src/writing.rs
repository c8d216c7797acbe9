//! What a volume that is written to keeps in memory.

use crate::slot::SlotPlace;

/// The most blocks that are changed together: those of two names, of the table in two copies, and its count.
pub(crate) const MAX_EDITS: usize = 10;
/// Length of the file: what the others are for, and these.
pub(crate) const JOURNAL_BLOCKS: u32 = 11;

/// What is needed to write to a volume.
pub(crate) struct Writing {
    /// The first block of the file.
    pub journal: u32,
    /// The entries of the file that is being received, and of what is to be freed.
    pub upload: SlotPlace,
    pub trash: SlotPlace,
    /// Where the search for free clusters begins, and how many there are.
    pub next_free: u32,
    pub free: u32,
    /// How many there were before the change that is being collected.
    pub free_before: u32,
    /// The change that is being collected.
    pub edits: [Edit; MAX_EDITS],
    pub count: usize,
    /// A change may be half done.
    pub is_torn: bool,
}

/// A block that is changed, and the checksums of its contents.
#[derive(Clone, Copy)]
pub(crate) struct Edit {
    pub block: u32,
    pub old: u32,
    pub new: u32,
}

impl Writing {
    pub const fn new(journal: u32, upload: SlotPlace, trash: SlotPlace) -> Self {
        let none = Edit { block: 0, old: 0, new: 0 };
        Self {
            journal,
            upload,
            trash,
            next_free: 2,
            free: 0,
            free_before: 0,
            edits: [none; MAX_EDITS],
            count: 0,
            is_torn: true,
        }
    }

    pub fn edits(&self) -> &[Edit] {
        self.edits.get(..self.count).unwrap_or_default()
    }
}
