//! Writing small files: contents behind the last entry of the log, and room for them.

use embedded_storage::nor_flash::NorFlash;

use crate::log::{Active, Entries, EntryHeader, EntryKind, SmallUpload};
use crate::small_files::{FileError, SmallFiles};
use crate::unit_writer::narrow;

/// How many copies of an area's header are written before the other area is erased, once after each start. A power cut may have
/// left the first one so that it is read as whole only today, and the place of another so that it looks erased.
const HEADER_COPIES: u32 = 2;

impl<F: NorFlash> SmallFiles<F> {
    /// Replaces the contents of the file `name`, or makes it.
    ///
    /// # Errors
    ///
    /// [`FileError::BadName`], [`FileError::NoSpace`], [`FileError::Flash`], [`FileError::NotWritten`]. The file has its old
    /// contents then, after [`FileError::Flash`] perhaps the new ones.
    pub fn put(&mut self, name: &str, contents: &[u8]) -> Result<(), FileError<F::Error>> {
        self.begin(name, narrow(contents.len()))?;
        let mut rest = contents;
        while !rest.is_empty() {
            let taken = self.write(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        while !self.prepare()? {}
        self.commit()
    }

    /// Deletes the file `name`; no error where there is none. Where there is no room for a note of that, it erases an area.
    ///
    /// # Errors
    ///
    /// [`FileError::InUse`] while an upload is under way, [`FileError::Flash`], [`FileError::NotWritten`].
    pub fn delete(&mut self, name: &str) -> Result<(), FileError<F::Error>> {
        if self.upload.is_some() {
            return Err(FileError::InUse);
        }
        // Before the first write after a start an entry may be there that a power cut left, and that is not read today.
        let is_sure = self.may_append || self.log.active.is_none();
        if is_sure && self.find(name).is_none() {
            return Ok(());
        }
        let mut upload = SmallUpload::new(name, 0).ok_or(FileError::BadName)?;
        if self.has_room(upload.body.missing()) {
            let result = self.write_name(&mut upload).map_err(FileError::Flash);
            let result = result.and_then(|()| self.write_header(upload, EntryKind::Deleted));
            return self.keep_if(result);
        }
        loop {
            let result = self.make_room(name.as_bytes());
            if self.keep_if(result)? {
                return Ok(());
            }
        }
    }

    /// Begins to replace the contents of the file `name` by `size` bytes. An earlier upload is dropped.
    ///
    /// # Errors
    ///
    /// [`FileError::BadName`], [`FileError::NoSpace`], [`FileError::Flash`].
    pub fn begin(&mut self, name: &str, size: u32) -> Result<(), FileError<F::Error>> {
        self.discard()?;
        let free = self.free(name.len());
        if size > free {
            return Err(FileError::NoSpace { free });
        }
        self.upload = Some(SmallUpload::new(name, size).ok_or(FileError::BadName)?);
        Ok(())
    }

    /// Number of bytes of the upload that were taken; `None` without an upload.
    #[must_use]
    pub fn upload_progress(&self) -> Option<u32> {
        self.upload.as_ref().map(SmallUpload::offset)
    }

    /// Makes room for the upload, in several calls, each of which erases at most one sector. Returns whether there is room; it
    /// need not be called before [`SmallFiles::write`], which does it too.
    ///
    /// # Errors
    ///
    /// [`FileError::NoUpload`]; [`FileError::Flash`], [`FileError::NotWritten`]: the upload is dropped.
    pub fn prepare(&mut self) -> Result<bool, FileError<F::Error>> {
        let upload = self.upload.as_ref().ok_or(FileError::NoUpload)?;
        if upload.is_placed {
            return Ok(true);
        }
        if !self.has_room(upload.body.missing()) {
            let result = self.make_room(&[]);
            return self.keep_if(result).map(|_| false);
        }
        let Some(mut upload) = self.upload.take() else { return Err(FileError::NoUpload) };
        let result = self.write_name(&mut upload).map_err(FileError::Flash);
        self.upload = Some(upload);
        self.keep_if(result).map(|()| true)
    }

    /// Takes the next bytes of the upload. Erases at most one sector. Returns the number of bytes that were taken; 0: call
    /// again, unless there are none.
    ///
    /// # Errors
    ///
    /// [`FileError::NoUpload`]; [`FileError::Flash`], [`FileError::NotWritten`]: the upload is dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, FileError<F::Error>> {
        if bytes.is_empty() || !self.prepare()? {
            return Ok(0);
        }
        let upload = self.upload.as_mut().filter(|upload| bytes.len() <= len(upload.body.missing()));
        let upload = upload.ok_or(FileError::NoUpload)?;
        upload.crc.update(bytes);
        let result = self.log.append(&mut upload.body, self.log.body(self.log.tail), bytes).map_err(FileError::Flash);
        self.keep_if(result).map(|()| bytes.len())
    }

    /// Reads back what is in the flash of the upload, from `offset` on; returns the number of bytes, less than `buf.len()`
    /// only at the end of what is written.
    ///
    /// # Errors
    ///
    /// [`FileError::NoUpload`], [`FileError::Flash`].
    pub fn read_upload(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, FileError<F::Error>> {
        let upload = self.upload.as_ref().ok_or(FileError::NoUpload)?;
        let written = upload.body.written.saturating_sub(upload.name_len.into());
        let len = len(written.saturating_sub(offset)).min(buf.len());
        let at = self.log.body(self.log.tail) + u32::from(upload.name_len) + offset.min(written);
        self.log.read(at, buf.get_mut(..len).unwrap_or_default()).map_err(FileError::Flash)?;
        Ok(len)
    }

    /// Gives the upload its name: from now on the file has these contents. They are read back before.
    ///
    /// # Errors
    ///
    /// [`FileError::NoUpload`]; [`FileError::Incomplete`], where not all bytes were written, or an empty file was not
    /// [prepared](SmallFiles::prepare). [`FileError::Flash`], [`FileError::NotWritten`]: the upload is dropped, and the file has
    /// its old contents, after [`FileError::Flash`] perhaps the new ones.
    pub fn commit(&mut self) -> Result<(), FileError<F::Error>> {
        let upload = self.upload.take().ok_or(FileError::NoUpload)?;
        if !upload.is_placed || upload.body.missing() > 0 {
            self.upload = Some(upload);
            return Err(FileError::Incomplete);
        }
        let result = self.write_header(upload, EntryKind::File);
        self.keep_if(result)
    }

    /// Drops the upload; without one it does nothing.
    ///
    /// # Errors
    ///
    /// [`FileError::Flash`].
    pub fn discard(&mut self) -> Result<(), FileError<F::Error>> {
        let Some(upload) = self.upload.take().filter(|upload| upload.is_placed) else { return Ok(()) };
        // What is written is skipped, so that the area need not be left for it.
        let (size, number) = (upload.body.offset(), self.log.next_number);
        let header = EntryHeader { kind: EntryKind::Skipped, name_len: 0, size, number, crc: 0 };
        let result = self.append_header(&header);
        self.keep_if(result)
    }

    /// Whether a body of `len` bytes fits behind the tail.
    fn has_room(&self, len: u32) -> bool {
        self.may_append && self.log.area_len().saturating_sub(self.log.tail) >= self.log.entry_len(len)
    }

    /// Begins the upload's body behind the tail.
    fn write_name(&mut self, upload: &mut SmallUpload) -> Result<(), F::Error> {
        upload.is_placed = true;
        let SmallUpload { name, name_len, body, crc, .. } = upload;
        let name = name.get(..usize::from(*name_len)).unwrap_or_default();
        crc.update(name);
        self.log.append(body, self.log.body(self.log.tail), name)
    }

    /// Reads back the upload's body, and writes its header.
    fn write_header(&mut self, upload: SmallUpload, kind: EntryKind) -> Result<(), FileError<F::Error>> {
        let Some(Active { index, .. }) = self.log.active else { return Err(FileError::NoUpload) };
        let (number, body) = (self.log.next_number, self.log.body(self.log.tail));
        let crc = upload.crc.finish();
        let header = EntryHeader { kind, name_len: upload.name_len, size: upload.size, number, crc };
        if self.log.crc(index, body, header.body_len()).map_err(FileError::Flash)? != crc {
            return Err(FileError::NotWritten);
        }
        self.append_header(&header)
    }

    fn append_header(&mut self, header: &EntryHeader) -> Result<(), FileError<F::Error>> {
        let Some(Active { index, .. }) = self.log.active else { return Err(FileError::NoUpload) };
        if !self.log.write_entry(index, self.log.tail, header).map_err(FileError::Flash)? {
            return Err(FileError::NotWritten);
        }
        self.log.next_number = header.number.saturating_add(1);
        self.log.tail = self.log.end(self.log.tail, header);
        Ok(())
    }

    /// Takes a step to the other area: erases one of its sectors, or copies the files to it, but for the one named `without`.
    /// Returns whether it is complete.
    fn make_room(&mut self, without: &[u8]) -> Result<bool, FileError<F::Error>> {
        self.may_append = false;
        let next = match self.log.active {
            Some(Active { index, number }) => Active { index: 1 - index, number: number.saturating_add(1) },
            None => Active { index: 0, number: 1 },
        };
        if self.erased == 0
            && let Some(active) = self.log.active
            && !self.log.write_area_header(active, HEADER_COPIES).map_err(FileError::Flash)?
        {
            return Err(FileError::NotWritten);
        }
        if self.erased < self.log.area_len() {
            self.log.erase_sector(next.index, self.erased).map_err(FileError::Flash)?;
            self.erased = self.erased.saturating_add(narrow(F::ERASE_SIZE));
            return Ok(false);
        }
        self.erased = 0;
        let Some(tail) = self.copy_files(next.index, without)? else { return Ok(false) };
        if !self.log.write_area_header(next, 1).map_err(FileError::Flash)? {
            return Err(FileError::NotWritten);
        }
        self.log.active = Some(next);
        self.log.tail = tail;
        self.may_append = true;
        Ok(true)
    }

    /// Copies the files that count to the area `to`; returns its tail. `None` where the last entry can no longer be read, which
    /// a power cut had left: it does not count then, and what it replaced has to be copied.
    fn copy_files(&mut self, to: u32, without: &[u8]) -> Result<Option<u32>, FileError<F::Error>> {
        let mut tail = self.log.first();
        let mut entries = Entries::of(&self.log);
        while let Some((offset, header)) = entries.next(&mut self.log) {
            let counts = header.kind == EntryKind::File && self.counts(offset, &header);
            if !counts || self.has_name(offset, &header, without) {
                continue;
            }
            let (from, body, body_len) = (self.log.body(offset), self.log.body(tail), header.body_len());
            self.log.copy(from, to, body, body_len).map_err(FileError::Flash)?;
            // Compared with what it was copied from, which may be damaged: that is for its reader to find.
            let read = self.log.crc(1 - to, from, body_len).map_err(FileError::Flash)?;
            let is_same = self.log.crc(to, body, body_len).map_err(FileError::Flash)? == read;
            if !is_same || !self.log.write_entry(to, tail, &header).map_err(FileError::Flash)? {
                return Err(FileError::NotWritten);
            }
            tail = self.log.end(tail, &header);
        }
        if self.log.active.is_some() && entries.offset < self.log.tail {
            self.log.tail = entries.offset;
            return Ok(None);
        }
        Ok(Some(tail))
    }

    /// After an error nothing is appended where something may have been written.
    fn keep_if<T>(&mut self, result: Result<T, FileError<F::Error>>) -> Result<T, FileError<F::Error>> {
        if result.is_err() {
            self.may_append = false;
            self.erased = 0;
            self.upload = None;
        }
        result
    }
}

/// The length of a slice, on every target.
fn len(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
