//! A server and a client session, joined by a link with a small window that can break, and files that can change.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use coracle_core::{
    ClientAction, ClientEvent, ClientSession, Entry, EntryKind, Failure, FileInfo, FileName, Instant, Listed,
    ServerConfig, Store, StoreError, Version,
};

use super::common::Rig;

/// Numbers that repeat: xorshift64* (Marsaglia's xorshift with Vigna's multiplier).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).expect("31 bits") % bound
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256).to_le_bytes()[0]).collect()
    }
}

/// A file as an open handle sees it.
#[derive(Debug)]
pub struct Contents {
    pub bytes: Vec<u8>,
    version: u64,
}

/// The server's disk: one file `a.log` and a directory `many` with that many files.
pub struct World {
    file: Option<Rc<RefCell<Contents>>>,
    versions: u64,
    changes: usize,
    /// All earlier contents of the file.
    history: Vec<(String, Vec<u8>)>,
    pub many: usize,
}

#[derive(Clone)]
pub struct Disk(pub Rc<RefCell<World>>);

impl Disk {
    pub fn new(bytes: &[u8]) -> Self {
        let mut world = World { file: None, versions: 0, changes: 0, history: Vec::new(), many: 0 };
        world.replace(bytes.to_vec());
        Self(Rc::new(RefCell::new(world)))
    }

    /// Whether the file ever had the contents `bytes`, in the version `version` if one is given.
    pub fn ever_was(&self, version: Option<&Version>, bytes: &[u8]) -> bool {
        let world = self.0.borrow();
        world.history.iter().any(|(name, held)| version.is_none_or(|version| name == version.as_str()) && held == bytes)
    }

    /// Number of changes of the file.
    pub fn changes(&self) -> usize {
        self.0.borrow().changes
    }
}

impl World {
    /// Replaces the file; open handles keep the old one.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        self.versions += 1;
        self.file = Some(Rc::new(RefCell::new(Contents { bytes, version: self.versions })));
        self.note();
    }

    /// Writes to the file in place.
    pub fn rewrite(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.versions += 1;
        if let Some(file) = &self.file {
            let mut file = file.borrow_mut();
            change(&mut file.bytes);
            file.version = self.versions;
        }
        self.note();
    }

    /// Appends to the file, which keeps its version.
    pub fn append(&mut self, bytes: &[u8]) {
        if let Some(file) = &self.file {
            file.borrow_mut().bytes.extend_from_slice(bytes);
        }
        self.note();
    }

    pub fn remove(&mut self) {
        self.file = None;
    }

    /// Changes the file at random.
    pub fn change(&mut self, random: &mut Random) {
        self.changes += 1;
        let len = 1 + random.below(3_000);
        let bytes = random.bytes(len);
        match random.below(6) {
            0 => self.replace(bytes),
            1 => self.rewrite(|held| {
                let place = random.below(held.len() + 1);
                held.truncate(place);
            }),
            2 => self.rewrite(|held| {
                for (to, from) in held.iter_mut().zip(&bytes) {
                    *to = *from;
                }
            }),
            3 => self.remove(),
            _ if self.file.is_none() => self.replace(bytes),
            _ => self.append(&bytes),
        }
    }

    fn note(&mut self) {
        if let Some(file) = &self.file {
            let file = file.borrow();
            self.history.push((format!("v{}", file.version), file.bytes.clone()));
        }
    }
}

pub struct Place {
    next: usize,
    name: String,
}

impl Store for Disk {
    type File = Rc<RefCell<Contents>>;
    type Listing = Place;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        let world = self.0.borrow();
        world.file.clone().filter(|_| name.as_str() == "a.log").ok_or(StoreError::NotFound)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        let file = file.borrow();
        let version = Version::new(&format!("v{}", file.version)).expect("a version");
        Ok(FileInfo::new(file.bytes.len() as u64, version))
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let file = file.borrow();
        let rest = usize::try_from(offset).ok().and_then(|offset| file.bytes.get(offset..)).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        let is_many = path.is_some_and(|path| path.as_str() == "many");
        is_many.then(|| Place { next: 0, name: String::new() }).ok_or(StoreError::NotFound)
    }

    fn next<'a>(&mut self, place: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        let next = place.next;
        if next == self.0.borrow().many {
            return Ok(Listed::End);
        }
        place.next += 1;
        if next % 7 == 3 {
            return Ok(Listed::Skipped);
        }
        place.name = format!("many/{next} \"{}\"", "\u{1F6F6}".repeat(next % 40));
        let kind = if next % 5 == 0 {
            EntryKind::Directory { link: next % 2 == 0 }
        } else {
            EntryKind::File { size: next as u64, modified: Some(1) }
        };
        Ok(Listed::Entry(Entry::new(FileName::new(&place.name).expect("a name"), kind)))
    }
}

/// Where and how a link breaks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tear {
    /// After so many bytes from the server.
    pub down: Option<usize>,
    /// After so many bytes from the client.
    pub up: Option<usize>,
    /// The client is not told.
    pub is_silent: bool,
}

/// One connection.
pub struct Pair<'c> {
    pub rig: Rig<'c, Disk>,
    pub client: ClientSession<[u8; 1_024]>,
    to_server: VecDeque<u8>,
    window: usize,
    tear: Tear,
    is_torn: bool,
    /// Probability of a change of the file, in percent for each step.
    pub changes: usize,
    /// Probability of a bit error towards the client, in percent for each arrival.
    pub corruption: usize,
    disk: Disk,
}

impl<'c> Pair<'c> {
    pub fn new(config: &'c ServerConfig<'c>, disk: &Disk, window: usize, tear: Tear) -> Self {
        Self {
            rig: Rig::new(config, disk.clone()),
            client: ClientSession::new([0; 1_024]),
            to_server: VecDeque::new(),
            window,
            tear,
            is_torn: false,
            changes: 0,
            corruption: 0,
            disk: disk.clone(),
        }
    }

    pub fn now(&self) -> Instant {
        self.rig.now()
    }

    /// Runs until the client is idle (`None`) or its connection has ended.
    pub fn run(&mut self, random: &mut Random, mut each: impl FnMut(ClientEvent<'_>)) -> Option<Failure> {
        for _ in 0..1_000_000 {
            match self.client.action() {
                ClientAction::Idle => return None,
                ClientAction::Close(failure) => return Some(failure),
                _ => {}
            }
            if random.chance(self.changes) {
                self.disk.0.borrow_mut().change(random);
            }
            let has_moved = self.step_server(random) | self.step_client(random, &mut each);
            if !has_moved {
                self.wait();
            }
        }
        panic!("no end in sight");
    }

    fn step_client(&mut self, random: &mut Random, each: &mut impl FnMut(ClientEvent<'_>)) -> bool {
        let now = self.now();
        match self.client.action() {
            ClientAction::SendBytes { .. } if self.is_torn && !self.tear.is_silent => self.client.send_failed(),
            ClientAction::SendBytes { bytes } => {
                let len = (1 + random.below(bytes.len())).min(self.tear.up.unwrap_or(usize::MAX)).max(1);
                if !self.is_torn {
                    self.to_server.extend(&bytes[..len]);
                    count(&mut self.tear.up, len);
                }
                self.client.sent(len, now);
            }
            ClientAction::Receive if !self.rig.output.is_empty() => {
                let len = (1 + random.below(self.rig.output.len())).min(self.tear.down.unwrap_or(usize::MAX));
                if random.chance(self.corruption) {
                    self.rig.output[random.below(len)] ^= 1 << random.below(8);
                }
                let (taken, event) = self.client.receive(&self.rig.output[..len], now);
                assert!(taken > 0, "no progress");
                if let Some(event) = event {
                    each(event);
                }
                self.rig.output.drain(..taken);
                count(&mut self.tear.down, taken);
            }
            ClientAction::Receive if self.is_torn && !self.tear.is_silent => self.client.receive_eof(),
            ClientAction::Receive if !self.is_torn && self.rig.close().is_some() => self.client.receive_eof(),
            _ => return false,
        }
        if self.tear.up == Some(0) || self.tear.down == Some(0) {
            self.is_torn = true;
            self.rig.output.clear();
            self.to_server.clear();
        }
        true
    }

    fn step_server(&mut self, random: &mut Random) -> bool {
        if self.is_torn || self.rig.close().is_some() {
            return false;
        }
        let mut has_moved = false;
        if !self.to_server.is_empty() {
            let len = 1 + random.below(self.to_server.len());
            let bytes: Vec<u8> = self.to_server.iter().copied().take(len).collect();
            let (taken, _) = self.rig.session.receive(&bytes, self.rig.now());
            self.to_server.drain(..taken);
            has_moved = taken > 0;
        }
        if self.rig.output.len() < self.window {
            self.rig.piece = 1 + random.below(self.window);
            has_moved |= self.rig.step();
        }
        has_moved
    }

    /// Advances the clock to the next deadline, where neither side can do anything.
    fn wait(&mut self) {
        let server = self.rig.session.deadline().filter(|_| !self.is_torn);
        let both = [self.client.deadline(), server].into_iter().flatten();
        let next = both.map(|(at, _)| at).min().expect("stuck for ever");
        self.rig.now_ms = self.rig.now_ms.max(next.as_millis());
        let now = self.now();
        self.client.handle_timeout(now);
        if !self.is_torn {
            self.rig.session.handle_timeout(now);
        }
    }
}

fn count(left: &mut Option<usize>, moved: usize) {
    *left = left.map(|left| left.saturating_sub(moved));
}
