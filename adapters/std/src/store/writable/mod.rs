//! A directory whose files clients can write.

mod batches;
mod begin;
mod change;
mod commit;
mod commits;
mod committer;
mod deferrals;
mod deferred;
mod deferring;
mod hashing;
mod options;
mod place;
mod shared;
mod sweep;
#[cfg(test)]
mod tests;
mod upload;
mod uploads;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use coracle_core::{
    Begun, Committed, Deferral, Delete, Digest, DigestKind, FileInfo, FileName, Instant, Listed, Put, PutAttempt,
    Rename, Space, Store, StoreError, Synced, WritableStore, WriteError,
};

pub use options::WriteOptions;
pub use sweep::Swept;
pub use upload::Upload;

use super::directory::DirectoryStore;
use super::file::File;
use super::listing::Listing;
use super::version::VersionBy;
use writer::Writer;

/// The files beneath a directory, which clients can also put, delete and rename. Many threads share one:
/// `&WritableDirectoryStore` is a [`WritableStore`].
///
/// Reading is that of the [`DirectoryStore`]. For writing:
///
/// - An unfinished upload lies beside its target, as `.coracle-HASH-HASH.upload`: on the same file system, hidden, and
///   under no name that a client can ask for. The room of one of more than 64 KiB is reserved when it begins, where the file
///   system can do that.
/// - A file of more than 4 MiB is hashed by a thread of its own while it is received, unless it goes on where an earlier connection
///   broke off.
/// - A file that is complete and verified is synced, renamed and its directory synced, in another thread. Files that wait for
///   that at the same time are synced together, by `syncfs(2)` where that promises the same. A replaced file's mode, owner,
///   access control list and user attributes are kept as far as allowed, set-id bits never. Who has the old file open keeps it.
/// - Files that clients allow to be durable later wait for a second, for a sync, or for enough of them; then they are committed
///   together. A client that has gone does not change that.
/// - Preconditions are checked under a lock that all writers of this store share. Other programs can write to the same directory;
///   they do not know the lock, but a name that must be free is given by an operation that never replaces, where the file
///   system has it.
/// - Names resolve as for reading, and directories on the way may be links that stay inside; the last component is never
///   followed.
/// - [`WritableDirectoryStore::sweep`] removes what was left unfinished; the server's owner calls it now and then.
///
/// ```no_run
/// use std::time::Duration;
///
/// use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};
///
/// let options = WriteOptions::new().with_max_file(Some(16 << 20));
/// let store = WritableDirectoryStore::new(DirectoryStore::open("/srv/incoming")?, options)?;
/// let swept = store.sweep(Duration::from_secs(24 * 60 * 60))?;
/// println!("{} unfinished uploads were removed", swept.removed);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct WritableDirectoryStore {
    store: DirectoryStore,
    writer: Arc<Writer>,
}

impl WritableDirectoryStore {
    /// Lets clients write to the directory of `store`. Where there is a quota, all files are counted first.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or the versions of its files are not those of [`VersionBy::Inode`]: clients that replace
    /// files count on a new version after each change, and on having it at once.
    pub fn new(store: DirectoryStore, options: WriteOptions) -> io::Result<Self> {
        if store.version_by() != VersionBy::Inode {
            let why = "files that clients write have versions by inode: no others tell each change at once";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let writer = Arc::new(Writer::new(&store, options)?);
        let store = Self { store, writer };
        if store.writer.options.quota.is_some() {
            store.sweep(Duration::MAX)?;
        }
        Ok(store)
    }

    /// Removes unfinished uploads that were not written to for `age` and that no client is sending, and counts the bytes of all
    /// files again where there is a quota. Files that cannot be looked at are left alone.
    ///
    /// # Errors
    ///
    /// The directory itself cannot be read.
    pub fn sweep(&self, age: Duration) -> io::Result<Swept> {
        self.writer.sweep(age)
    }

    fn check_readable(&self, name: FileName<'_>) -> Result<(), StoreError> {
        if self.writer.options.is_write_only(name) { Err(StoreError::Denied) } else { Ok(()) }
    }
}

impl Store for &WritableDirectoryStore {
    type File = File;
    type Listing = Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<File, StoreError> {
        self.check_readable(name)?;
        (&self.store).open(name)
    }

    fn info(&mut self, file: &File) -> Result<FileInfo, StoreError> {
        (&self.store).info(file)
    }

    fn read(&mut self, file: &mut File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        (&self.store).read(file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        path.map_or(Ok(()), |path| self.check_readable(path))?;
        (&self.store).list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut Listing) -> Result<Listed<'a>, StoreError> {
        (&self.store).next(listing)
    }

    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        (&self.store).is_linkless(name)
    }

    fn known_digest(&mut self, file: &File, kind: DigestKind) -> Option<Digest> {
        (&self.store).known_digest(file, kind)
    }

    fn remember_digest(&mut self, file: &File, info: &FileInfo, digest: &Digest) {
        (&self.store).remember_digest(file, info, digest);
    }

    fn unix_time(&mut self) -> Option<u64> {
        (&self.store).unix_time()
    }
}

impl WritableStore for &WritableDirectoryStore {
    type Upload = Upload;

    fn begin(&mut self, put: &Put<'_>, attempt: PutAttempt, now: Instant) -> Result<Begun<Upload, File>, WriteError> {
        self.writer.begin(&self.store, put, attempt, now)
    }

    fn write(&mut self, upload: &mut Upload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        upload.write(offset, bytes, now)
    }

    fn verifies_by_reading(&self, _: &Upload) -> bool {
        false
    }

    fn hashes_itself(&self, upload: &Upload) -> bool {
        upload.is_hashed()
    }

    fn digest(&mut self, upload: &mut Upload) -> Result<Digest, StoreError> {
        upload.digest()
    }

    fn read_back(
        &mut self,
        upload: &mut Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        upload.read_back(offset, buf, now)
    }

    fn commit(&mut self, upload: &mut Upload, put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        upload.commit(put)
    }

    fn keep(&mut self, upload: Upload) {
        drop(upload);
    }

    fn discard(&mut self, upload: Upload) {
        upload.discard();
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        self.writer.delete(delete)
    }

    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        self.writer.rename(rename)
    }

    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        self.writer.make_dir(path)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        self.writer.space()
    }

    fn sync(&mut self, deferral: Deferral) -> Result<Synced, WriteError> {
        self.writer.deferred.sync(deferral)
    }
}
