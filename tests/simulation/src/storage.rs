//! A client's storage: downloads by the code of `coracle::local` on a simulated disk, and the rules that hold for them.

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use coracle::local::{Directory, DownloadTarget, ExistingPart, LocalError, Origin, Part, Proof, Replace};
use coracle_core::{FileName, Header, Verified, Version};

use crate::disk::{Behavior, Disk, DiskDirectory, Visit};
use crate::random::Random;

/// Name of every target.
const TARGET: &str = "file";
/// Names of the part and of the sidecar.
const PART: &str = ".coracle-file.part";
const SIDECAR: &str = ".coracle-file.part.json";
/// Contents of a file that a user puts at the name of a target.
const USERS_FILE: &[u8] = b"not to be replaced";
/// Contents of a file that a user puts at the name of a part.
const USERS_PART: &[u8] = b"not to be touched";
/// The server's address.
const PEER: &str = "server";

/// A client's disk, and what its running program has open.
#[derive(Debug)]
pub struct Storage {
    pub disk: Disk,
    /// Path of the target's directory, which the program creates; empty for the root.
    directory: &'static str,
    faults: usize,
    process: Option<Process>,
    /// Number of failed operations when the program was started.
    errors_before: u64,
    /// Another program or a user changed something since the program was started.
    is_visited: Rc<Cell<bool>>,
    /// A user has put a file at the name of the target.
    has_users_file: Rc<Cell<bool>>,
    /// A user has put a file at the name of the part.
    has_users_part: Rc<Cell<bool>>,
    /// The program is about to rename or remove the part by its name.
    uses_name: Rc<Cell<bool>>,
    /// What may stand at the name of the target.
    expected: Vec<Option<Vec<u8>>>,
    /// What the next run has to find, unless the power fails: the origin, and how many bytes at least.
    stored: Option<(Origin, u64)>,
    /// A power cut takes the newest entries, not any of them.
    is_ordered: bool,
    /// There is a rename that replaces nothing.
    has_no_replace: bool,
    /// A file can have several names.
    has_links: bool,
    /// The power failed at least once.
    had_power_cut: bool,
    /// The last write to the sidecar may not have come to its end.
    is_sidecar_doubtful: bool,
    /// A user's file became a part by that. An older sidecar, which a power cut brings back, is not for it.
    has_taken_file: bool,
    /// A power cut may have damaged the part, so that only its digest can tell.
    pub is_damaged: bool,
    /// How often the file had changed when the part was begun.
    pub changes_seen: u32,
}

#[derive(Debug)]
struct Process {
    target: DownloadTarget<DiskDirectory>,
    part: Option<Part<DiskDirectory>>,
    force: bool,
}

/// What a program found when it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    APart,
    SetAside,
}

impl Storage {
    pub fn new(random: &mut Random) -> Self {
        let behavior = Behavior {
            is_ordered: random.chance(750),
            has_no_replace: random.chance(600),
            has_links: random.chance(600),
            has_file_system_sync: true,
            has_one_group: true,
        };
        Self {
            disk: Disk::new(behavior, Random::new(random.next())),
            directory: random.one_of(&["", "", "d", "d/e"]),
            faults: random.one_of(&[0, 0, 5, 20]),
            process: None,
            errors_before: 0,
            is_visited: Rc::default(),
            has_users_file: Rc::default(),
            has_users_part: Rc::default(),
            uses_name: Rc::default(),
            expected: vec![None],
            stored: None,
            is_ordered: behavior.is_ordered,
            has_no_replace: behavior.has_no_replace,
            has_links: behavior.has_links,
            had_power_cut: false,
            is_sidecar_doubtful: false,
            has_taken_file: false,
            is_damaged: false,
            changes_seen: 0,
        }
    }

    /// Starts the program: finds an unfinished download.
    pub fn start(&mut self, is_calm: bool, random: &mut Random) -> Result<Found, LocalError> {
        self.process = None;
        self.disk.arm(if is_calm { 0 } else { self.faults });
        self.errors_before = self.disk.errors();
        self.is_visited.set(false);
        if !is_calm && random.chance(50) {
            self.disk.visit_after(Some((random.below(40), self.visit(random))));
        }
        if !is_calm && random.chance(10) && self.disk.has_directory(self.directory) {
            self.disk.put(&self.path(PART), USERS_PART);
            self.has_users_part.set(true);
        }
        let exists = self.disk.peek(&self.path(TARGET), |_| ()).is_some();
        let force = if exists { is_calm || random.chance(900) } else { random.chance(500) };
        let had_users_part = self.has_users_part.get();
        // An interrupted rename by linking is finished by removing the part.
        self.uses_name.set(!self.has_no_replace);
        let found = self.find(force);
        self.uses_name.set(false);
        let stored = self.stored();
        let Ok(found) = found else { return found };
        if had_users_part && found != Found::SetAside {
            // Nothing tells which part a damaged sidecar was for.
            assert!(self.is_sidecar_doubtful, "a user's file was taken for a part: {found:?}");
            self.has_users_part.set(false);
            self.has_taken_file = true;
        }
        if let Some((origin, len)) = stored.filter(|(_, len)| *len > 0) {
            let part =
                self.part().filter(|part| part.size() >= len && part.origin().is_none_or(|known| *known == origin));
            let is_promoted = self.disk.peek(&self.path(TARGET), |bytes| bytes.len() as u64 == len).unwrap_or(false);
            assert!(part.is_some() || is_promoted, "{len} bytes of a download are lost: {found:?}");
        }
        self.stored = self.part().and_then(|part| Some((part.origin()?.clone(), part.size())));
        Ok(found)
    }

    fn find(&mut self, force: bool) -> Result<Found, LocalError> {
        let target = open_target(&self.disk, self.directory)?;
        target.check_target(replace(force))?;
        let (found, part) = match target.find_part()? {
            ExistingPart::None => (Found::Nothing, None),
            ExistingPart::Part(part) => (Found::APart, Some(*part)),
            ExistingPart::SetAside(paths) => {
                let is_known = !self.is_sidecar_doubtful && !self.has_users_part.get();
                assert!(!is_known, "a program set its own part aside");
                self.take_users_part();
                let names: Vec<_> = paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
                names.into_iter().for_each(|name| self.disk.remove(&self.path(name)));
                (Found::SetAside, None)
            }
        };
        self.process = Some(Process { target, part, force });
        Ok(found)
    }

    /// Offset of the next request: the end of the part, where its origin is known.
    pub fn offset(&self) -> u64 {
        self.origin().map_or(0, |_| self.len())
    }

    /// Length of the part in bytes.
    pub fn len(&self) -> u64 {
        self.part().map_or(0, Part::size)
    }

    /// Origin of the part, where it is known and the part has any bytes.
    pub fn origin(&self) -> Option<&Origin> {
        self.part()?.origin().filter(|_| self.len() > 0)
    }

    /// Forgets the origin of the part, unless that is the file `name`.
    pub fn forget_unless(&mut self, name: &str) {
        if let Some(part) = self.process.as_mut().and_then(|process| process.part.as_mut())
            && part.origin().is_some_and(|origin| origin.name != name)
        {
            part.forget_origin();
        }
    }

    /// Forgets the origin of the part.
    pub fn forget(&mut self) {
        if let Some(part) = self.process.as_mut().and_then(|process| process.part.as_mut()) {
            part.forget_origin();
        }
    }

    /// Reads the part from `offset` on.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, LocalError> {
        self.part().expect("a part to read").read_at(buf, offset)
    }

    /// Prepares for the body that `header` announces: continues the part, or begins a new one.
    pub fn begin(&mut self, name: &str, header: &Header) -> Result<(), LocalError> {
        let Header { offset, length, size, ref version, .. } = *header;
        let origin = Origin { name: name.to_owned(), peer: PEER.to_owned(), size, version: version.clone() };
        let Process { target, part, .. } = self.process.as_mut().expect("a running program");
        target.directory().check_free(length)?;
        if part.as_ref().and_then(Part::origin) == Some(&origin) && offset > 0 {
            return Ok(());
        }
        self.stored = None;
        let is_new = part.is_none() || offset == 0;
        self.is_sidecar_doubtful = true;
        match part {
            None => *part = Some(target.create_part(origin.clone())?),
            Some(part) if offset == 0 => part.restart(origin.clone())?,
            Some(part) => part.set_origin(origin.clone())?,
        }
        self.is_sidecar_doubtful = false;
        self.is_damaged &= !is_new;
        self.stored = Some((origin, self.len()));
        Ok(())
    }

    /// Appends bytes of the body.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), LocalError> {
        let part = self.process.as_mut().and_then(|process| process.part.as_mut()).expect("a body without a header");
        assert_eq!(offset, part.size(), "a body out of order");
        let appended = part.append(bytes);
        if let (Some((_, len)), false) = (&mut self.stored, self.disk.is_stopped()) {
            *len = part.size();
        }
        appended
    }

    /// Gives the part its final name, and returns its contents.
    pub fn promote(&mut self, verified: Verified, modified: Option<u64>) -> Result<Vec<u8>, LocalError> {
        let process = self.process.as_mut().expect("a running program");
        let (part, force) = (process.part.take().expect("nothing to promote"), process.force);
        let bytes = self.disk.peek(&self.path(PART), <[u8]>::to_vec).expect("a part");
        self.check_target();
        let is_ours = !self.has_users_part.get();
        let may_replace = force || self.disk.peek(&self.path(TARGET), |_| ()).is_none();
        if may_replace && is_ours {
            self.expected.push(Some(bytes.clone()));
        }
        let losses = self.disk.losses();
        self.uses_name.set(true);
        let promoted = part.promote(Proof::Verified(verified), modified, replace(force));
        self.uses_name.set(false);
        let may_replace = may_replace && (force || !self.has_users_file.get());
        if self.has_users_file.take() {
            // It was there first.
            self.expected = vec![Some(USERS_FILE.to_vec())];
            if force {
                self.expected.push(Some(bytes.clone()));
            }
        }
        match &promoted {
            _ if self.disk.is_stopped() => {}
            Ok(_) => {
                assert!(may_replace, "a file was replaced unasked");
                assert!(is_ours, "a user's file was promoted");
                assert!(self.disk.is_durable(&self.path(TARGET), true), "a file is reported that a power cut can take");
                if self.disk.errors() == self.errors_before && !self.is_visited.get() {
                    let mut names = self.disk.names(self.directory);
                    names.retain(|name| name != TARGET && !name.contains(".old"));
                    assert!(names.is_empty(), "left over: {names:?}");
                }
                self.expected = vec![Some(bytes.clone())];
                self.stored = None;
                self.is_damaged = false;
            }
            // What was written may not be on the disk. For any other reason the part is kept.
            Err(_) if self.disk.losses() > losses => self.stored = None,
            Err(_) => {}
        }
        self.check_target();
        promoted.map(|_| bytes)
    }

    /// Removes the part, whose digest is wrong.
    pub fn discard(&mut self) -> Result<(), LocalError> {
        self.stored = None;
        if let Some(part) = self.process.as_mut().and_then(|process| process.part.take()) {
            self.uses_name.set(true);
            let discarded = part.discard();
            self.uses_name.set(false);
            discarded?;
        }
        self.is_damaged = false;
        Ok(())
    }

    /// Ends the program, and keeps the part if it has any bytes.
    pub fn suspend(&mut self) -> Result<(), LocalError> {
        let suspended = match self.process.as_mut().and_then(|process| process.part.take()) {
            Some(part) => {
                if part.size() == 0 {
                    self.stored = None;
                }
                self.uses_name.set(true);
                part.suspend()
            }
            None => Ok(()),
        };
        self.uses_name.set(false);
        self.end();
        suspended
    }

    /// Kills the process, or cuts the power.
    pub fn die(&mut self, is_power: bool) {
        self.is_sidecar_doubtful |= is_power || self.disk.is_stopped();
        self.end();
        if is_power {
            self.disk.cut_power();
            self.stored = None;
            self.is_damaged = true;
            self.had_power_cut = true;
            self.check_target();
            let found = self.disk.peek(&self.path(TARGET), <[u8]>::to_vec);
            // What is read after a power cut is on the disk.
            self.expected = vec![found];
        } else {
            self.disk.kill();
            self.check_target();
        }
    }

    /// Checks that there is a reason for `error`, which the program reports, and removes what the user would.
    pub fn explain(&mut self, error: &LocalError) {
        let had_errors = self.disk.errors() > self.errors_before;
        let is_visited = self.is_visited.get();
        match error {
            LocalError::Exists(_) => {
                assert!(self.disk.peek(&self.path(TARGET), |_| ()).is_some(), "exists, and is not there");
            }
            LocalError::Foreign(_) => {
                let is_mixed_up = self.had_power_cut && (!self.is_ordered || self.has_taken_file);
                assert!(is_mixed_up || self.has_users_part.get(), "a program does not know its own part");
                self.stored = None;
                self.take_users_part();
                self.disk.remove(&self.path(PART));
                self.disk.remove(&self.path(SIDECAR));
            }
            LocalError::Replaced(_) => assert!(self.has_users_part.get(), "replaced, and no user did"),
            LocalError::Locked(_) => assert!(is_visited, "locked, and no other program ran"),
            LocalError::Io { .. } | LocalError::NotDurable { .. } => assert!(had_errors, "nothing failed, but {error}"),
            _ => panic!("{error}"),
        }
    }

    /// Checks that the final name stands for a file that was reported, or is about to be.
    pub fn check_target(&mut self) {
        let path = self.path(TARGET);
        if self.has_users_file.take() {
            self.expected = vec![Some(USERS_FILE.to_vec())];
        }
        let found = self.disk.peek(&path, |bytes| {
            let is_expected = self.expected.iter().any(|expected| expected.as_deref() == Some(bytes));
            assert!(is_expected, "{} bytes stand under the final name that may not", bytes.len());
        });
        match found {
            Some(()) => assert!(self.disk.is_durable(&path, false), "a power cut can spoil what has its final name"),
            None => assert!(self.expected.contains(&None), "a file that was reported is lost"),
        }
    }

    /// Takes what this run has to find.
    fn stored(&mut self) -> Option<(Origin, u64)> {
        if self.has_users_part.get() {
            self.stored = None;
        }
        self.stored.take()
    }

    /// Removes a user's file that is in the way of a part, and checks that it is unchanged.
    fn take_users_part(&mut self) {
        if self.has_users_part.take() {
            let names = self.disk.names(self.directory);
            let mut paths = names.iter().map(|name| self.path(name));
            let path = paths.find(|path| self.disk.peek(path, |bytes| bytes == USERS_PART) == Some(true));
            self.disk.remove(&path.expect("a user's file is lost"));
        }
    }

    fn part(&self) -> Option<&Part<DiskDirectory>> {
        self.process.as_ref()?.part.as_ref()
    }

    fn end(&mut self) {
        self.process = None;
        self.disk.visit_after(None);
    }

    fn path(&self, name: &str) -> String {
        if self.directory.is_empty() { name.to_owned() } else { format!("{}/{name}", self.directory) }
    }

    /// Something that another program or a user does between two operations of this one.
    fn visit(&self, random: &mut Random) -> Visit {
        let is_visited = self.is_visited.clone();
        let directory = self.directory;
        let (target, part, sidecar) = (self.path(TARGET), self.path(PART), self.path(SIDECAR));
        let can_refuse = self.has_no_replace || self.has_links;
        let (uses_name, errors) = (self.uses_name.clone(), self.errors_before);
        let (has_users_file, has_users_part) = (self.has_users_file.clone(), self.has_users_part.clone());
        match random.below(if self.is_sidecar_doubtful { 3 } else { 4 }) {
            0 | 1 => Box::new(move |disk, random| {
                is_visited.set(true);
                download_too(disk, directory, &sidecar, random);
            }),
            2 => Box::new(move |disk, _| {
                if uses_name.get() && !can_refuse {
                    return;
                }
                if disk.peek(&target, |_| ()).is_none() && disk.has_directory(directory) {
                    is_visited.set(true);
                    has_users_file.set(true);
                    disk.put(&target, USERS_FILE);
                }
            }),
            _ => Box::new(move |disk, _| {
                // No file system renames or removes only if a name still stands for the same file.
                let is_removed = uses_name.get() || disk.errors() > errors;
                if disk.has_directory(directory) && !is_removed {
                    is_visited.set(true);
                    has_users_part.set(true);
                    disk.put(&part, USERS_PART);
                }
            }),
        }
    }
}

fn replace(force: bool) -> Replace {
    if force { Replace::Anything } else { Replace::Nothing }
}

/// What another program does that downloads to the same target, and gives up.
fn download_too(disk: &Disk, directory: &'static str, sidecar: &str, random: &mut Random) {
    let is_locked = disk.is_locked(sidecar);
    let Ok(target) = open_target(disk, directory) else { return };
    let version = Version::new("v0").expect("a version");
    let origin = Origin { name: "other".to_owned(), peer: PEER.to_owned(), size: 10, version };
    let mut part = match target.find_part() {
        Ok(_) if is_locked => panic!("two programs have the same part"),
        Ok(ExistingPart::Part(part)) if part.size() > 0 => return,
        Ok(ExistingPart::Part(mut part)) => {
            part.restart(origin).expect("no fault is planned");
            *part
        }
        Ok(ExistingPart::None) => target.create_part(origin).expect("there was nothing"),
        Err(LocalError::Locked(_)) if is_locked => return,
        Ok(ExistingPart::SetAside(_)) | Err(LocalError::Foreign(_)) => return,
        Err(error) => panic!("another program: {error}"),
    };
    if random.chance(500) {
        part.append(b"other").expect("no fault is planned");
    }
    part.suspend().expect("no fault is planned");
}

fn open_target(disk: &Disk, below: &'static str) -> Result<DownloadTarget<DiskDirectory>, LocalError> {
    let root = shared(Directory::new(disk.root(), Path::new("disk")));
    let directory = if below.is_empty() { root } else { shared(root.open_below(FileName::from_static(below))?) };
    Ok(DownloadTarget::new(directory, OsStr::new(TARGET)))
}

#[expect(clippy::arc_with_non_send_sync, reason = "programs with threads use the library, too; this one has none")]
fn shared(directory: Directory<DiskDirectory>) -> Arc<Directory<DiskDirectory>> {
    Arc::new(directory)
}
