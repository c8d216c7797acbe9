//! Memory that lies in pages of its own.

use std::io;

use memmap2::MmapMut;

pub(crate) type Pages = MmapMut;

/// `len` bytes, all zero. They take memory when they are used, and give it back when they are dropped.
pub(crate) fn pages(len: usize) -> io::Result<Pages> {
    MmapMut::map_anon(len)
}
