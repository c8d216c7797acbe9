//! Registry of unfinished uploads: which there are, and which connection sends each.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coracle_core::{
    Digest, DigestKind, Hasher, Instant, PutAttempt, UploadClaim, UploadTicket, UploadTurn, WriteError,
};
use portable_atomic::AtomicU64;

use crate::local::Identity;

/// How the file of an unfinished upload is called: with the hashes of what it becomes and of what it contains, so that it is found
/// again after a restart.
const PREFIX: &str = ".coracle-";
const SUFFIX: &str = ".upload";
/// Hexadecimal digits of each hash.
const HASH_LEN: usize = 16;

/// What an upload becomes: a directory and the hash of a name in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    device: u64,
    inode: u64,
    hash: String,
}

impl Target {
    pub fn new(directory: Identity, name: &OsStr) -> Self {
        Self { device: directory.device, inode: directory.inode, hash: hash(&[name.as_encoded_bytes()]) }
    }

    /// The name of the file of an upload to this target.
    pub fn partial_name(&self, size: u64, digest: &Digest) -> OsString {
        let contents = hash(&[&size.to_le_bytes(), digest.to_hex().as_str().as_bytes()]);
        format!("{PREFIX}{}-{contents}{SUFFIX}", self.hash).into()
    }

    /// The target of the file `name` in `directory`, if it is that of an upload.
    pub fn of_partial(directory: Identity, name: &OsStr) -> Option<Self> {
        let (target, contents) = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
        let is_hash = |text: &str| text.len() == HASH_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_ours = is_hash(target) && is_hash(contents);
        is_ours.then(|| Self { device: directory.device, inode: directory.inode, hash: target.to_owned() })
    }
}

/// An unfinished upload.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// The name of its file.
    pub name: OsString,
    /// The room that it takes, in bytes: all of it from its beginning on.
    reserved: AtomicU64,
    turn: Mutex<UploadTurn>,
}

impl Unfinished {
    fn new(name: &OsStr, reserved: u64, turn: UploadTurn) -> Self {
        Self { name: name.to_owned(), reserved: AtomicU64::new(reserved), turn: Mutex::new(turn) }
    }

    pub fn turn(&self) -> MutexGuard<'_, UploadTurn> {
        // Each change of it is one assignment.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a connection that wants to send an upload.
#[derive(Debug)]
pub(super) enum Claim {
    Granted {
        upload: Arc<Unfinished>,
        ticket: UploadTicket,
        /// The file of an upload of other contents to the same target, which this one displaces.
        displaced: Option<OsString>,
    },
    Wait,
}

/// All unfinished uploads that are known: those that connections of this process have begun, and those that a sweep found.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    uploads: Mutex<HashMap<Target, Arc<Unfinished>>>,
}

impl Uploads {
    /// Whether [`Uploads::claim`] would grant the upload now; `Ok(false)` means that the client has to wait.
    pub fn is_available(
        &self,
        target: &Target,
        name: &OsStr,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<bool, WriteError> {
        let uploads = self.lock();
        let Some(upload) = uploads.get(target) else { return Ok(true) };
        let mut turn = *upload.turn();
        if upload.name != name {
            return if turn.is_free() { Ok(true) } else { Err(WriteError::InUse) };
        }
        match turn.claim(attempt, now) {
            UploadClaim::Granted(_) => Ok(true),
            UploadClaim::Wait => Ok(false),
            UploadClaim::InUse => Err(WriteError::InUse),
        }
    }

    /// Gives the connection the right to send the upload `name` of `size` bytes to `target`, and reserves its room: all uploads
    /// may take `room` together, which is asked for while no other upload can begin or end.
    pub fn claim(
        &self,
        target: &Target,
        name: &OsStr,
        size: u64,
        (max_uploads, room): (impl FnOnce() -> usize, impl FnOnce() -> u64),
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Claim, WriteError> {
        let mut uploads = self.lock();
        let left = match room() {
            u64::MAX => u64::MAX,
            room => room.saturating_sub(reserved_by_others(&uploads, Some(target))),
        };
        let check_room = || if size > left { Err(WriteError::NoSpace { free: Some(left) }) } else { Ok(()) };
        let mut displaced = None;
        match uploads.get(target) {
            Some(upload) if upload.name == name => {
                let claim = upload.turn().claim(attempt, now);
                return match claim {
                    UploadClaim::Granted(ticket) => {
                        // A sweep that found it knew only how much of it is there.
                        if let Err(error) = check_room() {
                            upload.turn().release(ticket);
                            return Err(error);
                        }
                        upload.reserved.store(size, Ordering::Relaxed);
                        Ok(Claim::Granted { upload: Arc::clone(upload), ticket, displaced })
                    }
                    UploadClaim::Wait => Ok(Claim::Wait),
                    UploadClaim::InUse => Err(WriteError::InUse),
                };
            }
            Some(upload) if upload.turn().is_free() => displaced = Some(upload.name.clone()),
            Some(_) => return Err(WriteError::InUse),
            None if uploads.len() >= max_uploads() => return Err(WriteError::NoSpace { free: None }),
            None => {}
        }
        check_room()?;
        let mut turn = UploadTurn::new();
        let UploadClaim::Granted(ticket) = turn.claim(attempt, now) else { return Ok(Claim::Wait) };
        let upload = Arc::new(Unfinished::new(name, size, turn));
        uploads.insert(target.clone(), Arc::clone(&upload));
        Ok(Claim::Granted { upload, ticket, displaced })
    }

    /// Removes `upload`, whose file is gone.
    pub fn forget(&self, target: &Target, upload: &Arc<Unfinished>) {
        let mut uploads = self.lock();
        if uploads.get(target).is_some_and(|known| Arc::ptr_eq(known, upload)) {
            uploads.remove(target);
        }
    }

    /// Whether a connection is sending an upload to `target`.
    pub fn is_in_use(&self, target: &Target) -> bool {
        self.lock().get(target).is_some_and(|upload| !upload.turn().is_free())
    }

    /// Decides on the file `name` of `len` bytes that a sweep has found: removes it by `remove` if it was displaced, or
    /// `is_old` and no client is sending it; otherwise it can be continued. Returns whether it was removed.
    pub fn sweep(
        &self,
        target: Target,
        name: &OsStr,
        len: u64,
        is_old: bool,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> bool {
        // The lock is held while the file is removed: no client can continue it meanwhile.
        let mut uploads = self.lock();
        let is_unused = match uploads.get(&target) {
            Some(upload) if upload.name == name => is_old && upload.turn().is_free(),
            Some(_) => return remove().is_ok(),
            None => is_old,
        };
        if is_unused && remove().is_ok() {
            uploads.remove(&target);
            return true;
        }
        let new = || Arc::new(Unfinished::new(name, len, UploadTurn::new()));
        uploads.entry(target).or_insert_with(new);
        false
    }

    /// Calls `remove` with the name of the upload's file and removes the upload, unless a connection is sending it. Returns what
    /// `remove` did; `None` where there is none.
    pub fn remove_unused<T>(
        &self,
        target: &Target,
        remove: impl FnOnce(&OsStr) -> Result<T, WriteError>,
    ) -> Result<Option<T>, WriteError> {
        // The lock is held while the file is removed: no client can continue it meanwhile.
        let mut uploads = self.lock();
        let Some(upload) = uploads.get(target) else { return Ok(None) };
        if !upload.turn().is_free() {
            return Err(WriteError::InUse);
        }
        let removed = remove(&upload.name)?;
        uploads.remove(target);
        Ok(Some(removed))
    }

    /// The room that all uploads take, in bytes; that to `target` left out, if any.
    pub fn reserved_by_others(&self, target: Option<&Target>) -> u64 {
        reserved_by_others(&self.lock(), target)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Arc<Unfinished>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reserved_by_others(uploads: &HashMap<Target, Arc<Unfinished>>, target: Option<&Target>) -> u64 {
    let others = uploads.iter().filter(|(other, _)| Some(*other) != target);
    others.fold(0, |sum, (_, upload)| sum.saturating_add(upload.reserved.load(Ordering::Relaxed)))
}

fn hash(pieces: &[&[u8]]) -> String {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("this crate turns on the core's SHA-256");
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finish().to_hex().as_str()[..HASH_LEN].to_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use coracle_core::{Digest, Instant, PutAttempt, WriteError};

    use super::{Claim, Target, Uploads};
    use crate::local::Identity;

    const DIRECTORY: Identity = Identity { device: 1, inode: 2 };

    #[test]
    fn the_name_of_an_upload_tells_its_target() {
        let target = Target::new(DIRECTORY, OsStr::new("config.json"));
        let name = target.partial_name(10, &Digest::Crc32(7));
        assert_ne!(name, target.partial_name(11, &Digest::Crc32(7)));
        assert_ne!(name, target.partial_name(10, &Digest::Crc32(8)));
        assert_eq!(Target::of_partial(DIRECTORY, &name), Some(target.clone()));
        assert_ne!(target, Target::new(DIRECTORY, OsStr::new("config.jso")));
        assert_ne!(target, Target::new(Identity { inode: 3, ..DIRECTORY }, OsStr::new("config.json")));
        for name in ["config.json", ".coracle-config.json.part", ".coracle-0123456789abcdef-0123456789abcde.upload"] {
            assert_eq!(Target::of_partial(DIRECTORY, OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn u2_other_contents_displace_only_what_nobody_sends() {
        let (uploads, target) = (Uploads::default(), Target::new(DIRECTORY, OsStr::new("a")));
        let attempt = PutAttempt::new(Instant::from_millis(0), false);
        let limits = |max| (move || max, || u64::MAX);
        let claim = |name: &str, max| uploads.claim(&target, OsStr::new(name), 5, limits(max), attempt, attempt.asked);
        let Ok(Claim::Granted { upload, ticket, displaced: None }) = claim("one", 1) else { panic!("it is free") };
        assert_eq!(claim("two", 1).err(), Some(WriteError::InUse));
        assert!(uploads.is_in_use(&target));
        upload.turn().release(ticket);
        let Ok(Claim::Granted { displaced: Some(displaced), .. }) = claim("two", 1) else { panic!("it is free") };
        assert_eq!(displaced, "one");
        uploads.forget(&target, &upload);
        assert!(uploads.is_in_use(&target), "another upload has its place");
        assert_eq!(uploads.reserved_by_others(Some(&target)), 0);
        let other = Target::new(DIRECTORY, OsStr::new("b"));
        assert_eq!(uploads.reserved_by_others(Some(&other)), 5);
        let refused = uploads.claim(&other, OsStr::new("three"), 5, limits(1), attempt, attempt.asked);
        assert_eq!(refused.err(), Some(WriteError::NoSpace { free: None }));
    }
    #[test]
    fn u15_room_is_reserved_with_the_claim() {
        let uploads = Uploads::default();
        let attempt = PutAttempt::new(Instant::from_millis(0), false);
        let claim = |target: &Target, size| {
            uploads.claim(target, OsStr::new("name"), size, (|| 9, || 100), attempt, attempt.asked).map(|claim| {
                match claim {
                    Claim::Granted { upload, ticket, .. } => upload.turn().release(ticket),
                    Claim::Wait => panic!("it is free"),
                }
            })
        };
        let [one, two] = ["one", "two"].map(|name| Target::new(DIRECTORY, OsStr::new(name)));
        assert_eq!(claim(&one, 60), Ok(()));
        assert_eq!(claim(&two, 60), Err(WriteError::NoSpace { free: Some(40) }));
        assert_eq!(claim(&two, 40), Ok(()));
        assert_eq!(claim(&one, 60), Ok(()), "its own room is its own");
        let swept = Target::new(DIRECTORY, OsStr::new("swept"));
        assert!(!uploads.sweep(swept.clone(), OsStr::new("name"), 0, false, || Ok(())));
        assert_eq!(claim(&swept, 1), Err(WriteError::NoSpace { free: Some(0) }), "more of it is to come");
    }
}
