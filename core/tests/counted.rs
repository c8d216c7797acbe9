//! Versions made by counting, on a medium that gives every file the same one.

use std::collections::BTreeMap;

use coracle_core::{
    Begun, Committed, CountedStore, Delete, Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Instant, Listed,
    Put, PutAttempt, Rename, Replace, Space, Store, StoreError, Version, WritableStore, WriteError,
};

const NOW: Instant = Instant::from_millis(0);

/// A medium without times.
#[derive(Default)]
struct Timeless {
    files: BTreeMap<String, Vec<u8>>,
    received: Vec<u8>,
    /// How often a commit is still pending.
    pending: u32,
    /// Why nothing can be opened, and nothing committed.
    closed: Option<StoreError>,
    refused: Option<WriteError>,
    /// Whether whatever is put is there already.
    has_all: bool,
    remembered: Vec<(Version, Digest)>,
    calls: Vec<&'static str>,
}

type Counted = CountedStore<Timeless, 8>;

fn same_version() -> Version {
    Version::new("same").expect("good")
}

fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a name")
}

impl Store for Timeless {
    type File = String;
    type Listing = usize;

    fn open(&mut self, name: FileName<'_>) -> Result<String, StoreError> {
        match self.closed {
            Some(error) => Err(error),
            None => self.files.contains_key(name.as_str()).then(|| name.as_str().into()).ok_or(StoreError::NotFound),
        }
    }

    #[cfg(feature = "replaced")]
    fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<String, StoreError> {
        assert!(["same", ""].contains(&version), "{version}");
        self.open(name)
    }

    #[cfg(feature = "absolute")]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<String, StoreError> {
        self.calls.push("open_absolute");
        self.open(name)
    }

    fn info(&mut self, file: &String) -> Result<FileInfo, StoreError> {
        let info = FileInfo::new(self.files.get(file).ok_or(StoreError::Io)?.len() as u64, same_version());
        #[cfg(feature = "replaced")]
        let info = info.with_replaced(true).with_next(Some(same_version()));
        Ok(info.with_modified(Some(7)))
    }

    fn read(&mut self, file: &mut String, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = self.files.get(file).ok_or(StoreError::Io)?.get(offset as usize..).unwrap_or_default();
        Ok(buf.iter_mut().zip(rest).map(|(to, from)| *to = *from).count())
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<usize, StoreError> {
        if path.is_none() { Ok(0) } else { Err(StoreError::NotFound) }
    }

    fn next<'a>(&mut self, listing: &'a mut usize) -> Result<Listed<'a>, StoreError> {
        *listing += 1;
        if *listing > self.files.len() {
            return Ok(Listed::End);
        }
        let kind = EntryKind::File { size: 1, modified: None };
        Ok(Listed::Entry(Entry::new(FileName::from_static("listed"), kind)))
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        name.as_str() == "a"
    }

    fn known_digest(&mut self, file: &String, kind: DigestKind) -> Option<Digest> {
        (file == "a" && kind == DigestKind::Crc32).then_some(Digest::Crc32(1))
    }

    fn unix_time(&mut self) -> Option<u64> {
        Some(9)
    }

    fn remember_digest(&mut self, _: &String, info: &FileInfo, digest: &Digest) {
        self.remembered.push((info.version.clone(), *digest));
    }
}

impl Timeless {
    fn check(&self, name: FileName<'_>, replace: Replace<'_>) -> Result<(), WriteError> {
        replace.check(self.files.get(name.as_str()).map(|_| same_version()).as_ref())
    }

    fn take(&mut self, name: FileName<'_>, version: Option<&str>) -> Result<Vec<u8>, WriteError> {
        self.check(name, version.map_or(Replace::Anything, Replace::Version))?;
        Ok(self.files.remove(name.as_str()).ok_or(StoreError::NotFound)?)
    }
}

impl WritableStore for Timeless {
    type Upload = ();

    fn begin(&mut self, put: &Put<'_>, attempt: PutAttempt, _: Instant) -> Result<Begun<(), String>, WriteError> {
        #[cfg(feature = "sync")]
        assert!(!put.deferred, "it is done at once");
        self.check(put.name, put.replace)?;
        if self.has_all {
            let file = put.name.as_str().to_owned();
            return Ok(if attempt.may_compare { Begun::Compare(file) } else { Begun::Stored(self.info(&file)?) });
        }
        if self.pending > 0 {
            return Ok(Begun::Wait);
        }
        Ok(Begun::Upload { upload: (), have: self.received.len() as u64 })
    }

    fn write(&mut self, (): &mut (), _: u64, bytes: &[u8], _: Instant) -> Result<usize, WriteError> {
        self.received.extend(bytes);
        Ok(bytes.len())
    }

    fn verifies_by_reading(&self, (): &()) -> bool {
        false
    }

    fn hashes_itself(&self, (): &()) -> bool {
        true
    }

    fn digest(&mut self, (): &mut ()) -> Result<Digest, StoreError> {
        Ok(Digest::Crc32(3))
    }

    fn read_back(&mut self, (): &mut (), _: u64, _: &mut [u8], _: Instant) -> Result<usize, WriteError> {
        Ok(17)
    }

    fn commit(&mut self, (): &mut (), put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        self.check(put.name, put.replace)?;
        if let Some(error) = self.refused {
            return Err(error);
        }
        if self.pending > 0 {
            self.pending -= 1;
            return Ok(Committed::Pending);
        }
        let received = std::mem::take(&mut self.received);
        self.files.insert(put.name.as_str().into(), received);
        Ok(Committed::Done(self.info(&put.name.as_str().into())?))
    }

    fn keep(&mut self, (): ()) {
        self.calls.push("keep");
    }

    fn discard(&mut self, (): ()) {
        self.calls.push("discard");
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        match *delete {
            Delete::File { name, version } => self.take(name, version).map(|_| ()),
            _ => Err(WriteError::NotEmpty),
        }
    }

    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        let bytes = self.take(rename.name, rename.version)?;
        self.files.insert(rename.to.as_str().into(), bytes);
        Ok(())
    }

    fn make_dir(&mut self, _: FileName<'_>) -> Result<(), WriteError> {
        Err(WriteError::Exists)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        Ok(Space::new().with_free(Some(5)))
    }
}

fn counted(boot: u32) -> Counted {
    let mut store = Timeless::default();
    store.files.insert("a".into(), b"alpha".to_vec());
    store.files.insert("b".into(), b"beta".to_vec());
    CountedStore::new(store, boot)
}

fn version(store: &mut Counted, path: &str) -> String {
    let file = store.open(name(path)).expect("it is there");
    store.info(&file).expect("known").version.as_str().into()
}

fn request<'a>(path: &'a str, replace: Replace<'a>) -> Put<'a> {
    let put = Put::new(name(path), 2, Digest::Crc32(0)).with_replace(replace);
    #[cfg(feature = "sync")]
    let put = put.with_deferred(true);
    put
}

const FIRST: PutAttempt = PutAttempt::new(NOW, false);

fn put(store: &mut Counted, path: &str, replace: Replace<'_>, bytes: &[u8]) -> Result<FileInfo, WriteError> {
    let put = request(path, replace);
    let Begun::Upload { mut upload, have: 0 } = store.begin(&put, FIRST, NOW)? else { panic!("an upload") };
    assert_eq!(store.write(&mut upload, 0, bytes, NOW), Ok(bytes.len()));
    loop {
        if let Committed::Done(info) = store.commit(&mut upload, &put, NOW)? {
            return Ok(info);
        }
    }
}

#[test]
fn v10_what_is_written_has_another_version_on_a_medium_without_times() {
    let mut store = counted(5);
    let mut versions = vec![version(&mut store, "a")];
    let (file, beside) = (store.open(name("a")).expect("there"), version(&mut store, "b"));
    store.inner().pending = 3;
    assert!(matches!(store.begin(&request("a", Replace::Anything), FIRST, NOW), Ok(Begun::Wait)));
    store.inner().pending = 0;
    // The same size, and in the end the same bytes.
    for bytes in [b"ALPHA", b"alpha"] {
        store.inner().pending = 0;
        let info = put(&mut store, "a", Replace::Anything, bytes).expect("stored");
        assert_eq!((info.size, info.modified), (5, Some(7)));
        assert_eq!(store.info(&file).expect("known").version, info.version);
        versions.push(info.version.as_str().into());
    }
    store.changed(name("a"));
    versions.push(version(&mut store, "a"));
    store.rename(&Rename::new(name("a"), name("c"))).expect("renamed");
    store.rename(&Rename::new(name("c"), name("a"))).expect("renamed");
    versions.push(version(&mut store, "a"));
    store.delete(&Delete::File { name: name("a"), version: None }).expect("deleted");
    assert_eq!(store.info(&file), Err(StoreError::Io));
    versions.push(put(&mut store, "a", Replace::Nothing, b"alpha").expect("stored").version.as_str().into());
    store.all_changed();
    versions.push(version(&mut store, "a"));
    let count = versions.len();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), count, "{versions:?}");
    assert!(versions.iter().all(|version| version.starts_with("00000005") && version.ends_with("-same")));
    assert_ne!(version(&mut store, "b"), beside, "all have changed");
}

#[test]
fn v10_all_versions_are_others_after_a_restart() {
    let versions = [1, 2, 0x1_0000].map(|boot| version(&mut counted(boot), "a"));
    assert_eq!(versions, ["0000000100000000-same", "0000000200000000-same", "0001000000000000-same"]);
}

#[test]
fn a_pending_commit_and_a_refused_one_change_nothing() {
    let mut store = counted(1);
    let before = version(&mut store, "a");
    store.inner().pending = 1;
    let put = request("a", Replace::Anything);
    assert_eq!(store.commit(&mut (), &put, NOW), Ok(Committed::Pending));
    for error in [WriteError::NoSpace { free: None }, WriteError::InUse, WriteError::Corrupt] {
        store.inner().refused = Some(error);
        assert_eq!(store.commit(&mut (), &put, NOW), Err(error));
        assert_eq!(version(&mut store, "a"), before);
    }
    // Who knows what a medium that failed has written.
    store.inner().refused = Some(StoreError::Io.into());
    assert_eq!(store.commit(&mut (), &put, NOW), Err(StoreError::Io.into()));
    assert_ne!(version(&mut store, "a"), before);
}

#[test]
fn clients_name_the_versions_that_they_know() {
    let mut store = counted(1);
    let old = version(&mut store, "a");
    put(&mut store, "a", Replace::Version(&old), b"second").expect("it is that version");
    let now = version(&mut store, "a");
    for stale in [&old[..], "same", "", "-", "0000000100000001-"] {
        assert_eq!(put(&mut store, "a", Replace::Version(stale), b"third"), Err(WriteError::Changed), "{stale}");
        let committed = store.commit(&mut (), &request("a", Replace::Version(stale)), NOW);
        assert_eq!(committed, Err(WriteError::Changed), "{stale}");
        let delete = Delete::File { name: name("a"), version: Some(stale) };
        assert_eq!(store.delete(&delete), Err(WriteError::Changed), "{stale}");
        let rename = Rename::new(name("a"), name("c")).with_version(Some(stale));
        assert_eq!(store.rename(&rename), Err(WriteError::Changed), "{stale}");
    }
    assert_eq!(version(&mut store, "a"), now);
    assert_eq!(put(&mut store, "a", Replace::Nothing, b"third"), Err(WriteError::Exists));
    assert_eq!(put(&mut store, "none", Replace::Version(&now), b"third"), Err(WriteError::Changed));
    for error in [StoreError::Io, StoreError::Busy, StoreError::NotReady] {
        store.inner().closed = Some(error);
        assert_eq!(put(&mut store, "a", Replace::Version(&now), b"third"), Err(error.into()));
        let delete = Delete::File { name: name("a"), version: Some(&now) };
        assert_eq!(store.delete(&delete), Err(error.into()));
    }
    store.inner().closed = None;
    store.rename(&Rename::new(name("a"), name("c")).with_version(Some(&now))).expect("it is that version");
    let now = version(&mut store, "c");
    store.delete(&Delete::File { name: name("c"), version: Some(&now) }).expect("it is that version");
}

#[test]
fn all_else_is_that_of_the_store_beneath() {
    let mut store = counted(1);
    let mut file = store.open(name("a")).expect("there");
    let mut buf = [0; 3];
    assert_eq!((store.read(&mut file, 2, &mut buf), &buf), (Ok(3), b"pha"));
    assert_eq!(store.open(name("none")).err(), Some(StoreError::NotFound));
    assert_eq!(store.list(Some(name("a"))).err(), Some(StoreError::NotFound));
    let mut listing = store.list(None).expect("listed");
    assert!(matches!(store.next(&mut listing), Ok(Listed::Entry(_))));
    assert!(matches!(store.next(&mut listing), Ok(Listed::Entry(_))));
    assert_eq!(store.next(&mut listing), Ok(Listed::End));
    assert_eq!(store.known_digest(&file, DigestKind::Crc32), Some(Digest::Crc32(1)));
    assert_eq!((store.known_digest(&file, DigestKind::Sha256), store.unix_time()), (None, Some(9)));

    // A digest is remembered for what it is one of.
    let info = store.info(&file).expect("known");
    store.remember_digest(&file, &info, &Digest::Crc32(2));
    store.changed(name("a"));
    store.remember_digest(&file, &info, &Digest::Crc32(3));
    assert_eq!(store.inner().remembered, [(same_version(), Digest::Crc32(2))]);
    store.inner().files.remove("a");
    store.remember_digest(&file, &info, &Digest::Crc32(4));
    assert_eq!(store.inner().remembered.len(), 1);

    assert!(!store.verifies_by_reading(&()) && store.hashes_itself(&()));
    assert_eq!((store.digest(&mut ()), store.read_back(&mut (), 0, &mut [0], NOW)), (Ok(Digest::Crc32(3)), Ok(17)));
    store.keep(());
    store.discard(());
    assert_eq!(store.inner().calls, ["keep", "discard"]);
    let directory = Delete::Directory { path: name("b") };
    assert_eq!(
        (store.delete(&directory), store.make_dir(name("b"))),
        (Err(WriteError::NotEmpty), Err(WriteError::Exists))
    );
    assert_eq!(store.space(), Ok(Space::new().with_free(Some(5))));

    store.inner().has_all = true;
    let known = version(&mut store, "b");
    let there = request("b", Replace::Anything);
    assert!(matches!(store.begin(&there, FIRST, NOW), Ok(Begun::Stored(info)) if info.version.as_str() == known));
    let Ok(Begun::Compare(file)) = store.begin(&there, PutAttempt::new(NOW, true), NOW) else { panic!("a file") };
    assert_eq!(store.info(&file).expect("known").version.as_str(), known);
}

#[cfg(feature = "rights")]
#[test]
fn links_are_those_of_the_store_beneath() {
    let mut store = counted(1);
    assert!(store.is_linkless(name("a")) && !store.is_linkless(name("b")));
}

#[cfg(feature = "absolute")]
#[test]
fn absolute_offsets_are_those_of_the_store_beneath() {
    let mut store = counted(1);
    let file = store.open_absolute(name("a")).expect("there");
    assert_eq!(store.info(&file).expect("known").version.as_str(), version(&mut store, "a"));
    assert_eq!(store.inner().calls, ["open_absolute"]);
}

#[cfg(feature = "replaced")]
#[test]
fn a_file_is_opened_by_the_version_beneath() {
    let mut store = counted(1);
    let known = version(&mut store, "a");
    for version in [&known[..], "short", ""] {
        let file = store.open_version(name("a"), version).expect("there");
        let info = store.info(&file).expect("known");
        assert_eq!((info.version.as_str(), info.is_replaced, info.next), (&known[..], true, None));
    }
}
