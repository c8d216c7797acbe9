//! A store whose versions are made by counting: what is read.

use super::{FileInfo, Listed, Store, StoreError};
use crate::types::digest::{Digest, DigestKind, Hasher};
use crate::types::file_name::FileName;
use crate::types::version::Version;

/// Length of the two numbers in front of a version, and of the `-` behind them.
const NUMBERS_LEN: usize = 17;

/// The files of `S`, with versions that are made of the number of this start and of how often each file was written since.
///
/// For media that do not tell by themselves when contents have changed. On a board without a clock, for example, all files of a card
/// have the same time, and one that is written anew may begin where it did before. Behind the two numbers a version has that of `S`, so
/// it also changes wherever that one does.
///
/// - What clients write (feature `write`) is counted. What the firmware writes by other means, it tells to
///   [`changed`](CountedStore::changed), before a client reads again. Appending to a file need not be told.
/// - `N` counters of 4 bytes are shared by all names, so a write now and then gives another file a new version too. Who is fetching
///   that one begins again, and nothing else happens.
/// - All versions are new after a restart: a fetch that it has cut off begins again.
///
/// Each file has to have one name only, but for the case of ASCII letters.
///
/// ```
/// use coracle_core::{CountedStore, FileName, StaticFile, StaticStore, Store};
///
/// // A medium without times: whatever is written, the version stays the same.
/// static FILES: [StaticFile<'static>; 1] = [StaticFile::new("log.csv", "card", b"1,2\n")];
/// let boot = 42; // of a counter in flash
/// let mut store = CountedStore::<_, 16>::new(StaticStore::new(&FILES), boot);
///
/// let file = store.open(FileName::from_static("log.csv"))?;
/// assert_eq!(store.info(&file)?.version.as_str(), "0000002a00000000-card");
/// store.changed(FileName::from_static("log.csv")); // the firmware has written it anew
/// assert_eq!(store.info(&file)?.version.as_str(), "0000002a00000001-card");
/// # Ok::<(), coracle_core::StoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CountedStore<S, const N: usize> {
    pub(super) store: S,
    boot: u32,
    /// How often a file was written whose name belongs to this counter.
    writes: [u32; N],
}

/// An open file of a [`CountedStore`].
#[derive(Clone, Debug)]
pub struct CountedFile<F> {
    pub(super) file: F,
    /// The counter of its name.
    counter: usize,
}

impl<S, const N: usize> CountedStore<S, N> {
    /// Counts writes to the files of `store`. `boot` is a number that no earlier start has had: that of a counter in flash, or a random
    /// one.
    #[must_use]
    pub const fn new(store: S, boot: u32) -> Self {
        const { assert!(N > 0, "there is at least one counter") };
        Self { store, boot, writes: [0; N] }
    }

    /// The store beneath. What is written through it has to be told to [`changed`](CountedStore::changed).
    pub const fn inner(&mut self) -> &mut S {
        &mut self.store
    }

    /// Ends the counting.
    pub fn into_inner(self) -> S {
        self.store
    }

    /// Gives the file `name` a new version, since bytes of it were overwritten, or it was replaced, renamed or deleted.
    pub fn changed(&mut self, name: FileName<'_>) {
        if let Some(writes) = self.writes.get_mut(Self::counter_of(name)) {
            *writes = writes.wrapping_add(1);
        }
    }

    /// Gives all files new versions.
    pub fn all_changed(&mut self) {
        for writes in &mut self.writes {
            *writes = writes.wrapping_add(1);
        }
    }

    pub(super) fn opened<F>(name: FileName<'_>, file: F) -> CountedFile<F> {
        CountedFile { file, counter: Self::counter_of(name) }
    }

    /// What is known of a file with the name `name`, in its version here.
    #[cfg(feature = "write")]
    pub(super) fn count(&self, name: FileName<'_>, info: FileInfo) -> Result<FileInfo, StoreError> {
        self.count_by(Self::counter_of(name), info)
    }

    fn count_by(&self, counter: usize, info: FileInfo) -> Result<FileInfo, StoreError> {
        let writes = self.writes.get(counter).copied().unwrap_or_default();
        let info = FileInfo { version: version(self.boot, writes, &info.version)?, ..info };
        // In which version it will be here is not known.
        #[cfg(feature = "replaced")]
        let info = info.with_next(None);
        Ok(info)
    }

    /// By FNV-1a (Fowler, Noll and Vo), in 32 bits.
    fn counter_of(name: FileName<'_>) -> usize {
        let hash = name.as_str().bytes().fold(0x811c_9dc5, |hash: u32, byte| {
            (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        });
        usize::try_from(hash).unwrap_or(0) % N.max(1)
    }
}

impl<S: Store, const N: usize> Store for CountedStore<S, N> {
    type File = CountedFile<S::File>;
    type Listing = S::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.store.open(name).map(|file| Self::opened(name, file))
    }

    #[cfg(feature = "replaced")]
    fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<Self::File, StoreError> {
        let own = version.get(NUMBERS_LEN..).unwrap_or_default();
        self.store.open_version(name, own).map(|file| Self::opened(name, file))
    }

    #[cfg(feature = "absolute")]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.store.open_absolute(name).map(|file| Self::opened(name, file))
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        let info = self.store.info(&file.file)?;
        self.count_by(file.counter, info)
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.store.read(&mut file.file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        self.store.list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        self.store.next(listing)
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        self.store.is_linkless(name)
    }

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        self.store.known_digest(&file.file, kind)
    }

    fn unix_time(&mut self) -> Option<u64> {
        self.store.unix_time()
    }

    fn remember_digest(&mut self, file: &Self::File, info: &FileInfo, digest: &Digest) {
        let Ok(own) = self.store.info(&file.file) else { return };
        if self.count_by(file.counter, own.clone()).is_ok_and(|now| now.version == info.version) {
            self.store.remember_digest(&file.file, &own, digest);
        }
    }
}

/// Both numbers in hexadecimal, and behind them `own`, or its CRC-32 where that is too long.
fn version(boot: u32, writes: u32, own: &Version) -> Result<Version, StoreError> {
    let mut text = [b'-'; Version::MAX_LEN];
    let (numbers, rest) = text.split_at_mut(NUMBERS_LEN);
    write_digits(numbers, u64::from(boot) << 32 | u64::from(writes));
    let own = own.as_str().as_bytes();
    let len = match rest.get_mut(..own.len()) {
        Some(place) => {
            place.copy_from_slice(own);
            own.len()
        }
        None => {
            let mut hasher = Hasher::new(DigestKind::Crc32).ok_or(StoreError::Io)?;
            hasher.update(own);
            let hex = hasher.finish().to_hex();
            rest.iter_mut().zip(hex.as_str().bytes()).map(|(to, from)| *to = from).count()
        }
    };
    let text = text.get(..NUMBERS_LEN.saturating_add(len)).unwrap_or_default();
    Version::new(core::str::from_utf8(text).unwrap_or_default()).map_err(|_| StoreError::Io)
}

fn write_digits(place: &mut [u8], number: u64) {
    let digits = number.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    for (to, digit) in place.iter_mut().zip(digits) {
        *to = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String, ToString};

    use super::{CountedStore, Version, version};
    use crate::types::file_name::FileName;

    #[test]
    fn a_version_has_room_for_what_is_beneath() {
        let version = |len: usize| {
            let own = Version::new(&"v".repeat(len)).expect("good");
            version(0x89ab_cdef, 0x1234_5670, &own).expect("good").to_string()
        };
        assert_eq!(version(1), "89abcdef12345670-v");
        assert_eq!(version(47), String::from("89abcdef12345670-") + &"v".repeat(47));
        // By Python's `zlib.crc32(b"v" * 48)`, and 64.
        assert_eq!(version(48), "89abcdef12345670-7550eb35");
        assert_eq!(version(64), "89abcdef12345670-a0c1df4f");
    }

    #[test]
    fn names_have_counters_without_regard_to_their_case() {
        let mut store = CountedStore::<(), 7>::new((), 1);
        let name = FileName::from_static;
        let counter = |path| CountedStore::<(), 7>::counter_of(name(path));
        assert_eq!(counter("Logs/A.CSV"), counter("logs/a.csv"));
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        assert!(names.iter().any(|path| counter(path) != counter("a")));
        store.changed(name("a"));
        assert_eq!((store.writes.iter().sum::<u32>(), store.writes[counter("a")]), (1, 1));
        store.writes[counter("a")] = u32::MAX;
        store.all_changed();
        assert_eq!((store.writes[counter("a")], store.writes.iter().sum::<u32>()), (0, 6));
        store.into_inner();
    }
}
