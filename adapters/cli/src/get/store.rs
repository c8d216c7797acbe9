//! The destination of `coracle get`: where files are written, what was fetched there before, and what becomes durable when.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use clap::ValueEnum;
use coracle::client::{Client, Error, ErrorKind, GetSummary, ServerClock};
use coracle::local::{Directory, DownloadTarget, Fetched, Index, LocalError, Origin, Staging, Stamp};
use coracle_core::Digest;

use super::known::Rules;

/// When files are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// Never. After a power cut, files of the last minute may be empty or damaged. For files that can be fetched again
    None,
    /// Many files together, before they get their names: no power cut leaves a damaged file. Files that are
    /// being fetched are fetched again then
    Batch,
    /// Each file by itself, before it gets its name: as safe, slower for many small files, and each file is
    /// resumed where it was
    File,
}

/// Where files are fetched to.
#[derive(Debug)]
pub struct Store {
    root: Arc<Directory>,
    fsync: Fsync,
    checksum: bool,
    force: bool,
    /// What was fetched to the root by earlier runs and by this one; `None` where it is not asked for.
    index: Option<Mutex<Index>>,
    /// Where files of a batch are written, once there was one.
    staging: OnceLock<Option<Arc<Staging>>>,
    /// The server's clock, once it was asked for.
    clock: OnceLock<Option<ServerClock>>,
}

/// What the index is to say of a file, but for its stamp.
#[derive(Debug)]
pub struct Receipt {
    /// Path below the root.
    pub path: String,
    pub origin: Origin,
    pub modified: Option<u64>,
    /// Another modification would have had another time.
    pub is_settled: bool,
}

impl Store {
    /// The store in `root`. With `has_index`, it knows what was fetched there.
    pub fn new(root: &Arc<Directory>, fsync: Fsync, has_index: bool, checksum: bool, force: bool) -> Self {
        if has_index || fsync == Fsync::Batch {
            Staging::remove_abandoned(root);
        }
        if fsync == Fsync::None || fsync == Fsync::Batch && root.has_file_system_sync() {
            root.defer_syncs();
        }
        Self {
            root: root.clone(),
            fsync,
            checksum,
            force,
            index: has_index.then(|| Mutex::new(Index::read(root))),
            staging: OnceLock::new(),
            clock: OnceLock::new(),
        }
    }

    /// Whether anything is made durable.
    pub fn is_durable(&self) -> bool {
        self.fsync != Fsync::None
    }

    /// Where small files are written together; `None` where each is written beside its target.
    pub fn staging(&self) -> Option<Arc<Staging>> {
        if self.fsync == Fsync::File { None } else { self.any_staging().filter(|staging| staging.takes_batches()) }
    }

    /// Asks for the server's clock, unless it is known or not needed. A server that has none is no error.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub fn ask_clock(&self, client: &mut Client) -> Result<(), Error> {
        if self.index.is_none() || self.clock.get().is_some() {
            return Ok(());
        }
        let clock = match client.clock() {
            Err(error) if error.kind() == ErrorKind::Network && !error.is_busy() => return Err(error),
            told => told.ok().flatten(),
        };
        // Another worker may have been faster.
        let _ = self.clock.set(clock);
        Ok(())
    }

    /// A file that was last modified at this time or before would have got another time by a modification since the server
    /// was first asked; `None` where it has no clock.
    pub fn settled(&self) -> Option<u64> {
        self.clock.get().copied().flatten().map(|clock| clock.settled())
    }

    /// How it is decided what is fetched.
    pub fn rules(&self) -> Rules {
        Rules { checksum: self.checksum, force: self.force, settled: self.settled() }
    }

    /// What was fetched to `path`, which is `target`, from the file `name` of the server `peer`.
    pub fn fetched(
        &self,
        path: &str,
        target: &DownloadTarget,
        name: &str,
        peer: &str,
    ) -> Result<Option<Fetched>, LocalError> {
        let is_this = |fetched: &&Fetched| fetched.origin.name == name && fetched.origin.peer == peer;
        let (confirmed, announced): (_, Vec<_>) = match self.index() {
            Some(index) => (
                index.get(path).filter(is_this).cloned(),
                index.announced(path).iter().filter(is_this).rev().cloned().collect(),
            ),
            None => return Ok(None),
        };
        if announced.is_empty() {
            return Ok(confirmed);
        }
        // A run was killed when it was about to name a file: that may have come to pass or not.
        let Some(status) = target.status()? else { return Ok(confirmed) };
        for announced in announced {
            if announced.is_still(target, &status)? {
                let fetched = Fetched { stamp: status.stamp(), ..announced };
                if let Some(mut index) = self.index() {
                    index.insert(path, fetched.clone());
                }
                return Ok(Some(fetched));
            }
        }
        Ok(confirmed)
    }

    /// Notes files that are about to get their names, so that a run which is killed then is followed by one that knows them.
    pub fn announce<'r>(&self, files: impl Iterator<Item = (&'r Receipt, &'r GetSummary)>) {
        let Some(mut index) = self.index() else { return };
        let announced = files.map(|(receipt, summary)| {
            let Receipt { path, origin, modified, is_settled } = receipt;
            let fetched = Fetched::announced(origin.clone(), *modified, summary.digest, *is_settled, summary.size);
            (path.clone(), fetched)
        });
        // It is written once more at the end, which reports why it cannot be.
        let _ = index.announce(&self.root, announced);
    }

    /// Notes that a file was fetched, and is now the one of `stamp`; `None` where it is not any more.
    pub fn note(&self, receipt: Receipt, digest: Option<Digest>, stamp: Option<Stamp>) {
        let (Some(mut index), Some(stamp)) = (self.index(), stamp) else { return };
        let Receipt { path, origin, modified, is_settled } = receipt;
        index.insert(&path, Fetched { origin, modified, digest, is_settled, stamp });
    }

    /// Makes durable what is not yet.
    pub fn finish(&self) -> Result<(), LocalError> {
        if self.is_durable() { self.root.sync_new_directories() } else { Ok(()) }
    }

    /// Writes the index, where there is anything to write.
    pub fn write_index(&self) -> Result<(), LocalError> {
        match self.index() {
            Some(mut index) if index.is_changed() => match self.any_staging() {
                Some(staging) => index.write(&staging, self.is_durable()),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn any_staging(&self) -> Option<Arc<Staging>> {
        self.staging.get_or_init(|| Staging::create(&self.root).map(Arc::new)).clone()
    }

    fn index(&self) -> Option<MutexGuard<'_, Index>> {
        Some(self.index.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
