//! The log of small files: two areas of flash, one of which is active. Files are appended to it; when it is full, the files
//! that still count are copied to the other one, whose header then makes it the active one.

use core::ops::Range;

use coracle_core::{Digest, DigestKind, Hasher};
use embedded_storage::nor_flash::NorFlash;

use crate::access::{self, PADDED_LEN, is_unit};
use crate::layout::LayoutError;
use crate::unit_writer::{UnitWriter, narrow};

/// Magic, number of the area, number of the next entry, and a CRC-32 of all that.
const AREA_HEADER_LEN: u32 = 16;
/// Places for copies of it.
const AREA_HEADER_PLACES: u32 = 12;
/// Kind, length of the name, two zeros, size, number, CRC-32 of name and contents, CRC-32 of all that.
pub(crate) const ENTRY_HEADER_LEN: u32 = 20;

/// Longest name of a small file, in bytes.
pub const SMALL_NAME_LEN: usize = 64;

const AREA_MAGIC: [u8; 4] = *b"CSF1";

/// What an entry of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A file.
    File,
    /// A file that is no longer there.
    Deleted,
    /// Bytes of an upload that was given up.
    Skipped,
}

/// An entry of the log. Its name and its contents follow it; it is written when they are, so it vouches for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub kind: EntryKind,
    pub name_len: u8,
    pub size: u32,
    /// Unique, and increasing within an area.
    pub number: u32,
    /// Of the name and the contents.
    pub crc: u32,
}

impl EntryHeader {
    /// Length of name and contents.
    pub fn body_len(&self) -> u32 {
        self.size.saturating_add(self.name_len.into())
    }

    fn encode(&self) -> [u8; ENTRY_HEADER_LEN as usize] {
        let kind = match self.kind {
            EntryKind::File => b'F',
            EntryKind::Deleted => b'D',
            EntryKind::Skipped => b'S',
        };
        let mut bytes = [0; ENTRY_HEADER_LEN as usize];
        let fields = [kind, self.name_len, 0, 0].into_iter().chain(self.size.to_le_bytes());
        let fields = fields.chain(self.number.to_le_bytes()).chain(self.crc.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        seal(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_HEADER_LEN as usize]) -> Option<Self> {
        let (&[kind, name_len, 0, 0], rest) = sealed(bytes)?.split_first_chunk::<4>()? else { return None };
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let kind = match kind {
            b'F' => EntryKind::File,
            b'D' => EntryKind::Deleted,
            b'S' => EntryKind::Skipped,
            _ => return None,
        };
        let word = u32::from_le_bytes;
        Some(Self { kind, name_len, size: word(*size), number: word(*number), crc: word(rest.try_into().ok()?) })
    }
}

/// Which area is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Active {
    /// 0 or 1.
    pub index: u32,
    /// Counts areas.
    pub number: u32,
}

/// The log in its flash.
pub(crate) struct Log<F> {
    pub flash: F,
    start: u32,
    area_len: u32,
    /// `None` before the first file.
    pub active: Option<Active>,
    /// Of the next entry.
    pub next_number: u32,
    /// End of the last entry of the active area, as an offset into it.
    pub tail: u32,
}

impl<F: NorFlash> Log<F> {
    /// Finds the active area.
    pub fn open(flash: F, range: Range<u32>) -> Result<Self, LayoutError> {
        let (write, read, erase) = (F::WRITE_SIZE, F::READ_SIZE, F::ERASE_SIZE);
        if !is_unit(write) || !is_unit(read) || !erase.is_multiple_of(write) || !erase.is_multiple_of(read) {
            return Err(LayoutError::Units);
        }
        let sector_len = u32::try_from(erase).map_err(|_| LayoutError::Units)?;
        if !range.start.is_multiple_of(sector_len) || !range.end.is_multiple_of(sector_len) {
            return Err(LayoutError::NotAligned);
        }
        let area_len = range.end.saturating_sub(range.start) / 2 / sector_len * sector_len;
        let mut log = Self { flash, start: range.start, area_len, active: None, next_number: 0, tail: 0 };
        if area_len <= log.first() + log.padded(ENTRY_HEADER_LEN) {
            return Err(LayoutError::TooSmall);
        }
        for index in 0..2 {
            let Some((number, next_number)) = log.area_header(index) else { continue };
            if log.active.is_none_or(|active| active.number < number) {
                log.active = Some(Active { index, number });
                log.next_number = next_number;
            }
        }
        if log.active.is_some() {
            log.tail = log.first();
            while let Some(header) = log.entry(log.tail) {
                log.next_number = log.next_number.max(header.number.saturating_add(1));
                log.tail = log.end(log.tail, &header);
            }
        }
        Ok(log)
    }

    /// Offset of the first entry in an area.
    pub fn first(&self) -> u32 {
        AREA_HEADER_PLACES * self.padded(AREA_HEADER_LEN)
    }

    /// Number of bytes for entries in an area.
    pub fn capacity(&self) -> u32 {
        self.area_len - self.first()
    }

    pub fn area_len(&self) -> u32 {
        self.area_len
    }

    /// Number of bytes that an entry takes with its name and contents.
    pub fn entry_len(&self, body_len: u32) -> u32 {
        let unit = unit::<F>();
        self.padded(ENTRY_HEADER_LEN).saturating_add(body_len).saturating_add(unit - 1) / unit * unit
    }

    /// Offset of the next entry.
    pub fn end(&self, offset: u32, header: &EntryHeader) -> u32 {
        offset.saturating_add(self.entry_len(header.body_len()))
    }

    /// Offset of an entry's name.
    pub fn body(&self, offset: u32) -> u32 {
        offset + self.padded(ENTRY_HEADER_LEN)
    }

    /// The entry at `offset` of the active area; `None` behind the last one, and where a power cut has left a part of one.
    pub fn entry(&mut self, offset: u32) -> Option<EntryHeader> {
        let index = self.active?.index;
        let mut bytes = [0; ENTRY_HEADER_LEN as usize];
        if self.area_len - self.padded(ENTRY_HEADER_LEN) < offset {
            return None;
        }
        let at = self.area(index) + offset;
        access::read(&mut self.flash, at, &mut bytes).ok()?;
        EntryHeader::decode(&bytes).filter(|header| self.end(offset, header) <= self.area_len)
    }

    /// Reads from `offset` of the active area.
    pub fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), F::Error> {
        let index = self.active.map_or(0, |active| active.index);
        access::read(&mut self.flash, self.start + index * self.area_len + offset, buf)
    }

    /// Writes more of a body that begins at `offset` of the active area.
    pub fn append(&mut self, body: &mut UnitWriter, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        let start = self.area(self.active.map_or(0, |active| active.index)) + offset;
        body.append(&mut self.flash, start, bytes)
    }

    /// Writes `bytes`, at most 64, at `offset` of the area `index`, padded to a unit.
    pub fn write_padded(&mut self, index: u32, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        let offset = self.area(index) + offset;
        access::write_padded(&mut self.flash, offset, bytes)
    }

    /// Writes the header of an entry whose name and contents are there; returns whether it can be read back.
    pub fn write_entry(&mut self, index: u32, offset: u32, header: &EntryHeader) -> Result<bool, F::Error> {
        const { assert!(ENTRY_HEADER_LEN as usize <= PADDED_LEN, "an entry can be padded") };
        self.write_padded(index, offset, &header.encode())?;
        let mut bytes = [0; ENTRY_HEADER_LEN as usize];
        let at = self.area(index) + offset;
        access::read(&mut self.flash, at, &mut bytes)?;
        Ok(EntryHeader::decode(&bytes) == Some(*header))
    }

    /// The CRC-32 of `len` bytes from `offset` of the area `index`.
    pub fn crc(&mut self, index: u32, mut offset: u32, len: u32) -> Result<u32, F::Error> {
        let mut crc = Crc::new();
        let end = offset + len;
        let mut buf = [0; PADDED_LEN];
        while offset < end {
            let len = narrow_len(end - offset);
            let buf = buf.get_mut(..len).unwrap_or_default();
            let at = self.area(index) + offset;
            access::read(&mut self.flash, at, buf)?;
            crc.update(buf);
            offset += narrow(len);
        }
        Ok(crc.finish())
    }

    /// Copies `len` bytes, the bodies of entries, from the active area to the area `index`.
    pub fn copy(&mut self, from: u32, index: u32, to: u32, len: u32) -> Result<(), F::Error> {
        let mut buf = [0; PADDED_LEN];
        let mut done = 0;
        while done < len {
            let buf = buf.get_mut(..narrow_len(len - done)).unwrap_or_default();
            self.read(from + done, buf)?;
            self.write_padded(index, to + done, buf)?;
            done += narrow(buf.len());
        }
        Ok(())
    }

    /// Erases the sector at `offset` of the area `index`.
    pub fn erase_sector(&mut self, index: u32, offset: u32) -> Result<(), F::Error> {
        let from = self.area(index) + offset;
        self.flash.erase(from, from + narrow(F::ERASE_SIZE))
    }

    /// Makes an area active, or makes sure that it stays so: writes `copies` more of its header, in places that are erased.
    /// Returns whether one can be read back, or there was no place left.
    pub fn write_area_header(&mut self, active: Active, copies: u32) -> Result<bool, F::Error> {
        let mut bytes = [0; AREA_HEADER_LEN as usize];
        let fields = AREA_MAGIC.into_iter().chain(active.number.to_le_bytes()).chain(self.next_number.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        seal(&mut bytes);
        let place_len = self.padded(AREA_HEADER_LEN);
        let (mut written, mut found) = (0, 0);
        for place in 0..AREA_HEADER_PLACES {
            if written < copies && self.is_erased(active.index, place * place_len, place_len) {
                self.write_padded(active.index, place * place_len, &bytes)?;
                written += 1;
                found += u32::from(self.header_in(active.index, place).is_some());
            }
        }
        Ok(found > 0 || written == 0)
    }

    /// The numbers of the area and of its first entry; `None` for an area that is not in use, or was never completed.
    fn area_header(&mut self, index: u32) -> Option<(u32, u32)> {
        (0..AREA_HEADER_PLACES).find_map(|place| self.header_in(index, place))
    }

    fn header_in(&mut self, index: u32, place: u32) -> Option<(u32, u32)> {
        let mut bytes = [0; AREA_HEADER_LEN as usize];
        let at = self.area(index) + place * self.padded(AREA_HEADER_LEN);
        access::read(&mut self.flash, at, &mut bytes).ok()?;
        let (magic, rest) = sealed(&bytes)?.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let next_number = u32::from_le_bytes(rest.try_into().ok()?);
        (*magic == AREA_MAGIC).then(|| (u32::from_le_bytes(*number), next_number))
    }

    fn is_erased(&mut self, index: u32, offset: u32, len: u32) -> bool {
        let mut bytes = [0; PADDED_LEN];
        let bytes = bytes.get_mut(..narrow_len(len)).unwrap_or_default();
        let at = self.area(index) + offset;
        access::read(&mut self.flash, at, bytes).is_ok() && bytes.iter().all(|&byte| byte == 0xff)
    }

    fn area(&self, index: u32) -> u32 {
        self.start + index * self.area_len
    }

    fn padded(&self, len: u32) -> u32 {
        len.next_multiple_of(unit::<F>())
    }
}

/// A walk over the entries of the active area.
pub(crate) struct Entries {
    /// Of the next one.
    pub offset: u32,
}

impl Entries {
    pub fn of<F: NorFlash>(log: &Log<F>) -> Self {
        Self { offset: log.first() }
    }

    pub fn next<F: NorFlash>(&mut self, log: &mut Log<F>) -> Option<(u32, EntryHeader)> {
        let offset = self.offset;
        if offset >= log.tail {
            return None;
        }
        let header = log.entry(offset)?;
        self.offset = log.end(offset, &header);
        Some((offset, header))
    }
}

/// Contents that are being written behind the last entry, after their name.
pub(crate) struct SmallUpload {
    pub name: [u8; SMALL_NAME_LEN],
    pub name_len: u8,
    pub size: u32,
    pub body: UnitWriter,
    pub crc: Crc,
    /// Whether it has its place behind the tail.
    pub is_placed: bool,
}

impl SmallUpload {
    /// `None` where the name is empty or too long.
    pub fn new(name: &str, size: u32) -> Option<Self> {
        let mut stored = [0; SMALL_NAME_LEN];
        stored.get_mut(..name.len()).filter(|place| !place.is_empty())?.copy_from_slice(name.as_bytes());
        let name_len = u8::try_from(name.len()).ok()?;
        let body = UnitWriter::new(size.saturating_add(name_len.into()), 0);
        Some(Self { name: stored, name_len, size, body, crc: Crc::new(), is_placed: false })
    }

    /// Number of bytes of the contents that were taken.
    pub fn offset(&self) -> u32 {
        self.body.offset().saturating_sub(self.name_len.into())
    }
}

/// A CRC-32 being computed.
pub(crate) struct Crc(Option<Hasher>);

impl Crc {
    pub fn new() -> Self {
        Self(Hasher::new(DigestKind::Crc32))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.update(bytes));
    }

    pub fn finish(self) -> u32 {
        match self.0.map(Hasher::finish) {
            Some(Digest::Crc32(crc)) => crc,
            _ => 0,
        }
    }
}

/// Puts the CRC-32 of all before them into the last four bytes.
fn seal(bytes: &mut [u8]) {
    if let Some((covered, end)) = bytes.split_last_chunk_mut::<4>() {
        let mut crc = Crc::new();
        crc.update(covered);
        *end = crc.finish().to_le_bytes();
    }
}

/// What stands before the CRC-32, where that is right.
fn sealed(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, end) = bytes.split_last_chunk::<4>()?;
    let mut crc = Crc::new();
    crc.update(covered);
    (crc.finish() == u32::from_le_bytes(*end)).then_some(covered)
}

fn unit<F: NorFlash>() -> u32 {
    narrow(F::WRITE_SIZE)
}

/// At most the length of a buffer.
fn narrow_len(len: u32) -> usize {
    usize::try_from(len).unwrap_or(PADDED_LEN).min(PADDED_LEN)
}
