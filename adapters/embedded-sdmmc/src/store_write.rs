//! A FAT volume as a store that clients write to.

use coracle_core::{
    Begun, Committed, Delete, FileName, Instant, Put, PutAttempt, Space, Store, StoreError, UploadClaim, UploadTicket,
    WritableStore, WriteError,
};
use embedded_sdmmc_types::BlockDevice;

use crate::directory::{DirEntry, Directory, Found};
use crate::entries::{NoRoom, Room};
use crate::layout::{MAX_SLOTS, SLOTS_PER_BLOCK};
use crate::new_name::NewName;
use crate::slot::{DIRECTORY, Slot, SlotKind, SlotPlace};
use crate::store::{FatFile, FatStore};
use crate::time::DosTime;
use crate::upload::Active;
use crate::version::version_of;
use crate::volume::{FatVolume, Link};

/// Number of changes of the table in one call: each frees up to 128 or 256 clusters.
const CHANGES_IN_A_CALL: u32 = 8;

/// An upload of a [`FatStore`].
#[derive(Debug)]
pub struct FatUpload {
    ticket: UploadTicket,
    /// Where it is read back.
    reader: Option<FatFile>,
}

impl<D: BlockDevice> FatStore<D> {
    /// A store of the files of `volume` that clients can write to. Finishes what a power cut has interrupted, and reads the whole
    /// table to count what is free.
    ///
    /// `boot` is a number that differs with every start: of a counter in flash, for example. Files are told apart by it and by the
    /// number of writes since, as there may be no clock.
    ///
    /// On a volume that is written to for the first time, three hidden files are made in the root, `CORACLE.JNL`, `CORACLE.TMP` and
    /// `CORACLE.DEL`, of 11 blocks in all.
    ///
    /// # Errors
    ///
    /// `StoreError::Io`; [`WriteError::NoSpace`] where there is no room for those files.
    pub fn writable(mut volume: FatVolume<D>, boot: u32) -> Result<Self, WriteError> {
        volume.prepare_writing()?;
        let mut store = Self::new(volume);
        store.stamps = u64::from(boot) << 16;
        Ok(store)
    }

    /// Frees some of the clusters of files that were replaced, deleted or given up; true where none is left. Writing does so too: this
    /// is for a board that has nothing else to do.
    ///
    /// # Errors
    ///
    /// `StoreError::Io`, `StoreError::Denied` where the store is not writable.
    pub fn tidy(&mut self) -> Result<bool, StoreError> {
        let writing = self.volume.writing()?;
        let (upload, trash) = (writing.upload, writing.trash);
        for _ in 0..CHANGES_IN_A_CALL {
            let is_free =
                self.volume.free_some_of(trash)? && (self.active.is_some() || self.volume.free_some_of(upload)?);
            if is_free {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As [`FatStore::tidy`], before something that needs an empty trash.
    fn tidy_first(&mut self) -> Result<(), StoreError> {
        if self.tidy()? { Ok(()) } else { Err(StoreError::Busy) }
    }

    /// The directory of `name`, its last component, and what is there.
    fn look_up<'a>(&mut self, name: FileName<'a>) -> Result<Target<'a>, WriteError> {
        self.volume.writing()?;
        if !name.components().all(|component| NewName::new(component).is_some()) {
            return Err(StoreError::BadName.into());
        }
        let last = name.last();
        let parent = name.as_str().get(..name.as_str().len().saturating_sub(last.len() + 1));
        let parent = parent.filter(|parent| !parent.is_empty()).and_then(|parent| FileName::new(parent).ok());
        let Found::Directory(directory) = self.volume.find(parent)? else { return Err(StoreError::NotFound.into()) };
        let name = NewName::new(last).ok_or(StoreError::BadName)?;
        if self.volume.is_own_name(directory, &name)? {
            return Err(StoreError::Denied.into());
        }
        let entry = self.volume.find_in(directory, last)?;
        Ok(Target { directory, name, entry })
    }

    /// The file that `target` is, if anything.
    fn current(target: &Target<'_>) -> Result<Option<DirEntry>, WriteError> {
        match target.entry {
            Some(entry) if entry.slot.kind() == SlotKind::Directory => Err(StoreError::NotFile.into()),
            entry => Ok(entry),
        }
    }

    /// The times of a new file or directory: when it changed, and a time of creation that no other has.
    fn stamp(&mut self, slot: Slot, modified: Option<u64>) -> Slot {
        let now = self.unix_time();
        let modified = DosTime::from_unix_time(modified.or(now).unwrap_or(0));
        self.stamps = self.stamps.wrapping_add(1);
        let created = match now {
            Some(now) => (DosTime::from_unix_time(now), u8::try_from(self.stamps % 200).unwrap_or(0)),
            None => DosTime::numbered(self.stamps),
        };
        slot.with_times(modified, created)
    }

    /// Room for the entry of `target`, and the attempt of its short name.
    fn find_room(&mut self, target: &Target<'_>) -> Result<(Room, u8), WriteError> {
        let attempt = self.volume.choose_short_name(target.directory, &target.name)?;
        Ok((self.volume.find_room(target.directory, target.name.slots(attempt))?, attempt))
    }

    fn make_parents(&mut self, name: FileName<'_>) -> Result<(), WriteError> {
        for (at, _) in name.as_str().match_indices('/') {
            let path = name.as_str().get(..at).and_then(|path| FileName::new(path).ok()).ok_or(StoreError::BadName)?;
            match self.volume.find(Some(path)) {
                Ok(Found::Directory(_)) => {}
                Ok(Found::File(_)) => return Err(StoreError::NotFound.into()),
                Err(StoreError::NotFound) => self.make_directory(path)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn make_directory(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        let target = self.look_up(path)?;
        match target.entry.map(|entry| entry.slot.kind()) {
            Some(SlotKind::Directory) => return Ok(()),
            Some(_) => return Err(WriteError::Exists),
            None => {}
        }
        let (room, attempt) = self.find_room(&target)?;
        let slot = self.stamp(Slot::new(b"           ", DIRECTORY), None);
        self.volume.begin_change()?;
        let taken = self.volume.take(None, 1)?.ok_or(NoRoom::Full)?;
        self.volume.write_directory(taken.first, target.directory, slot)?;
        let slot = slot.with_contents(taken.first, 0);
        self.volume.write_entry(&room, &target.name, attempt, slot)?;
        Ok(self.volume.commit_change()?)
    }

    /// Gives up the upload that no client is sending.
    fn drop_upload(&mut self) -> Result<(), StoreError> {
        self.active = None;
        self.tidy().map(|_| ())
    }

    /// Moves the contents of `slot` to the trash, which is empty, as a part of a change.
    fn throw_away(&mut self, slot: &Slot, size: u32) -> Result<(), StoreError> {
        let cluster = slot.cluster(self.volume.layout.kind);
        if !self.volume.layout.has_cluster(cluster) {
            return Ok(());
        }
        let place = self.volume.writing()?.trash;
        let trash = self.volume.slot_at(place)?.with_contents(cluster, size.max(1));
        self.volume.replace_entry(place, trash)
    }

    fn delete_file(&mut self, name: FileName<'_>, version: Option<&str>) -> Result<(), WriteError> {
        let target = self.look_up(name)?;
        let is_partial = self.active.as_ref().is_some_and(|active| active.is_named(name));
        if is_partial && !self.turn.is_free() {
            return Err(WriteError::InUse);
        }
        let Some(entry) = Self::current(&target)? else {
            // An unfinished upload may be all that there is.
            return if is_partial { Ok(self.drop_upload()?) } else { Err(StoreError::NotFound.into()) };
        };
        if version.is_some_and(|version| version_of(&entry.slot).is_ok_and(|now| now.as_str() != version)) {
            return Err(WriteError::Changed);
        }
        if is_partial {
            self.active = None;
        }
        self.remove(&target, &entry, entry.slot.size())
    }

    fn delete_directory(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        let target = self.look_up(path)?;
        let entry = target.entry.ok_or(StoreError::NotFound)?;
        if entry.slot.kind() != SlotKind::Directory {
            return Err(StoreError::NotDirectory.into());
        }
        let directory = self.volume.enter(target.directory, &entry.slot)?;
        let mut cursor = self.volume.cursor(directory);
        while let Some((_, slot)) = self.volume.next_slot(&mut cursor)? {
            match slot.kind() {
                SlotKind::End => break,
                SlotKind::File | SlotKind::Directory => return Err(WriteError::NotEmpty),
                _ => {}
            }
        }
        let mut len: u32 = 1;
        let mut cluster = entry.slot.cluster(self.volume.layout.kind);
        while let Link::Next(next) = self.volume.link(cluster)? {
            (cluster, len) = (next, len + 1);
            // It leads in a circle.
            if len > MAX_SLOTS / SLOTS_PER_BLOCK {
                return Err(StoreError::Io.into());
            }
        }
        self.remove(&target, &entry, len.saturating_mul(self.volume.layout.cluster_len()))
    }

    fn remove(&mut self, target: &Target<'_>, entry: &DirEntry, size: u32) -> Result<(), WriteError> {
        self.tidy_first()?;
        self.volume.begin_change()?;
        self.volume.remove_entry(target.directory, entry.place)?;
        self.throw_away(&entry.slot, size)?;
        self.volume.commit_change()?;
        // The rest comes later, if there is one.
        self.tidy()?;
        Ok(())
    }
}

/// What a name that is written to leads to.
struct Target<'a> {
    directory: Directory,
    name: NewName<'a>,
    entry: Option<DirEntry>,
}

impl From<NoRoom> for WriteError {
    fn from(error: NoRoom) -> Self {
        match error {
            NoRoom::Store(error) => error.into(),
            NoRoom::Full => Self::NoSpace { free: Some(0) },
        }
    }
}

impl<D: BlockDevice> WritableStore for FatStore<D> {
    type Upload = FatUpload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<FatUpload, FatFile>, WriteError> {
        let target = match self.look_up(put.name) {
            Err(WriteError::Store(StoreError::NotFound)) if put.parents => None,
            target => Some(target?),
        };
        let current = target.as_ref().map_or(Ok(None), Self::current)?;
        if let Some(entry) = current.filter(|entry| attempt.may_compare && u64::from(entry.slot.size()) == put.size) {
            return Ok(Begun::Compare(FatFile::new(&entry, &self.volume)));
        }
        let is_same = self.active.as_ref().is_some_and(|active| active.is(put));
        let is_same_name = self.active.as_ref().is_some_and(|active| active.is_named(put.name));
        if is_same_name && !is_same && !self.turn.is_free() {
            return Err(WriteError::InUse);
        }
        let version = current.map(|entry| version_of(&entry.slot)).transpose()?;
        put.replace.check(version.as_ref())?;
        let size = u32::try_from(put.size).map_err(|_| WriteError::TooLarge { max: u32::MAX.into() })?;
        let ticket = match self.turn.claim(attempt, now) {
            UploadClaim::Granted(ticket) => ticket,
            UploadClaim::InUse if is_same => return Err(WriteError::InUse),
            // Another file's upload is under way.
            _ => return Ok(Begun::Wait),
        };
        let begun = self.begin_granted(put, size, is_same);
        if !matches!(begun, Ok(Some(_))) {
            self.turn.release(ticket);
        }
        match begun? {
            Some(have) => Ok(Begun::Upload { upload: FatUpload { ticket, reader: None }, have: have.into() }),
            None => Ok(Begun::Wait),
        }
    }

    fn write(&mut self, upload: &mut FatUpload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.turn.enter(upload.ticket)?;
        let done = match self.active.as_mut().filter(|active| u64::from(active.written) == offset) {
            Some(active) => self.volume.append(active, bytes),
            None => Err(StoreError::Io.into()),
        };
        self.forget_torn();
        self.turn.leave(upload.ticket, true, now);
        done
    }

    fn read_back(
        &mut self,
        upload: &mut FatUpload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.turn.enter(upload.ticket)?;
        let done = self.read_upload(upload, offset, buf);
        self.turn.leave(upload.ticket, false, now);
        Ok(done?)
    }

    fn commit(&mut self, upload: &mut FatUpload, put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        self.turn.commit(upload.ticket)?;
        let target = self.look_up(put.name)?;
        let current = Self::current(&target)?;
        let version = current.map(|entry| version_of(&entry.slot)).transpose()?;
        put.replace.check(version.as_ref())?;
        let active = self.active.as_ref().filter(|active| active.is(put) && active.written == active.size);
        let (first, size) = active.map(|active| (active.first.unwrap_or(0), active.size)).ok_or(StoreError::Io)?;
        if !self.tidy()? {
            return Ok(Committed::Pending);
        }
        let place = self.give_name(&target, current, first, size, put.modified);
        self.forget_torn();
        let place = place?;
        self.active = None;
        self.turn.release(upload.ticket);
        // What was replaced is freed later where it is large.
        self.tidy()?;
        let slot = self.volume.slot_at(place)?;
        Ok(Committed::Done(self.info(&FatFile::new(&DirEntry { place, slot }, &self.volume))?))
    }

    fn keep(&mut self, upload: FatUpload) {
        self.turn.release(upload.ticket);
    }

    fn discard(&mut self, upload: FatUpload) {
        if self.turn.enter(upload.ticket).is_ok() {
            self.active = None;
            self.turn.release(upload.ticket);
            // What is left is freed when something is written next.
            let _ = self.tidy();
        }
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        match *delete {
            Delete::File { name, version } => self.delete_file(name, version),
            Delete::Partial { name } => match &self.active {
                Some(active) if active.is_named(name) && !self.turn.is_free() => Err(WriteError::InUse),
                Some(active) if active.is_named(name) => Ok(self.drop_upload()?),
                _ => Err(StoreError::NotFound.into()),
            },
            Delete::Directory { path } => self.delete_directory(path),
            _ => Err(WriteError::Unsupported),
        }
    }

    #[cfg(feature = "manage")]
    fn rename(&mut self, rename: &coracle_core::Rename<'_>) -> Result<(), WriteError> {
        let from = self.look_up(rename.name)?;
        let to = self.look_up(rename.to)?;
        let entry = Self::current(&from)?.ok_or(StoreError::NotFound)?;
        let is_sent = |name| self.active.as_ref().is_some_and(|active| active.is_named(name)) && !self.turn.is_free();
        if is_sent(rename.name) || is_sent(rename.to) {
            return Err(WriteError::InUse);
        }
        if to.entry.is_some() {
            return Err(WriteError::Exists);
        }
        if rename.version.is_some_and(|version| version_of(&entry.slot).is_ok_and(|now| now.as_str() != version)) {
            return Err(WriteError::Changed);
        }
        let (room, attempt) = self.find_room(&to)?;
        self.volume.begin_change()?;
        self.volume.write_entry(&room, &to.name, attempt, entry.slot)?;
        self.volume.remove_entry(from.directory, entry.place)?;
        Ok(self.volume.commit_change()?)
    }

    #[cfg(feature = "manage")]
    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        self.make_directory(path)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        let cluster_len = u64::from(self.volume.layout.cluster_len());
        let total = u64::from(self.volume.layout.clusters) * cluster_len;
        let free = u64::from(self.volume.writing()?.free) * cluster_len;
        Ok(Space::new().with_total(Some(total)).with_free(Some(free)).with_max_file(Some(u32::MAX.into())))
    }
}

impl<D: BlockDevice> FatStore<D> {
    /// Gives up the upload where the volume failed in the middle of a change: its clusters may have another file by then.
    fn forget_torn(&mut self) {
        if self.volume.writing.as_ref().is_some_and(|writing| writing.is_torn) {
            self.active = None;
        }
    }

    /// Begins or continues the upload; its length so far, or `None` where room is still being made.
    fn begin_granted(&mut self, put: &Put<'_>, size: u32, is_same: bool) -> Result<Option<u32>, WriteError> {
        if !is_same {
            self.active = None;
        }
        if !self.tidy()? {
            return Ok(None);
        }
        if put.parents {
            self.make_parents(put.name)?;
        }
        if let Some(active) = &self.active {
            return Ok(Some(active.written));
        }
        let cluster_len = self.volume.layout.cluster_len();
        let free = self.volume.writing()?.free;
        if size.div_ceil(cluster_len) > free {
            return Err(WriteError::NoSpace { free: Some(u64::from(free) * u64::from(cluster_len)) });
        }
        self.active = Some(Active::new(put, size));
        Ok(Some(0))
    }

    fn read_upload(&mut self, upload: &mut FatUpload, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let active = self.active.as_ref().ok_or(StoreError::Io)?;
        let (start, bytes) = active.unwritten();
        if let Some(skipped) = offset.checked_sub(start.into()) {
            let rest = bytes.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
            return Ok(buf.iter_mut().zip(rest).map(|(to, from)| *to = *from).count());
        }
        let slot = Slot::new(b"           ", 0).with_contents(active.first.unwrap_or(0), start);
        let place = SlotPlace { block: 0, index: 0 };
        let mut reader = match upload.reader.take() {
            Some(reader) if reader.len() == start => reader,
            _ => FatFile::new(&DirEntry { place, slot }, &self.volume),
        };
        let done = self.read(&mut reader, offset, buf);
        upload.reader = Some(reader);
        done
    }

    /// Gives the contents of the upload to `target`, in one change. Returns where its entry is.
    fn give_name(
        &mut self,
        target: &Target<'_>,
        current: Option<DirEntry>,
        first: u32,
        size: u32,
        modified: Option<u64>,
    ) -> Result<SlotPlace, WriteError> {
        let room = match current {
            Some(_) => None,
            None => Some(self.find_room(target)?),
        };
        // The attribute that backups look at.
        let slot = current.map_or(Slot::new(b"           ", 0x20), |entry| entry.slot);
        let slot = self.stamp(slot, modified).with_contents(first, size);
        self.volume.begin_change()?;
        let place = match (current, &room) {
            (Some(entry), _) => {
                self.volume.replace_entry(entry.place, slot)?;
                self.throw_away(&entry.slot, entry.slot.size())?;
                entry.place
            }
            (None, Some((room, attempt))) => self.volume.write_entry(room, &target.name, *attempt, slot)?,
            (None, None) => return Err(StoreError::Io.into()),
        };
        let own = self.volume.writing()?.upload;
        let empty = self.volume.slot_at(own)?.with_contents(0, 0);
        self.volume.replace_entry(own, empty)?;
        self.volume.commit_change()?;
        Ok(place)
    }
}
