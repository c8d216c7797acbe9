//! Runs of a program that fetches many files in batches, on a disk that fails and loses power.
//!
//! The server and the connection are left out: what is received is right. What is asked is what becomes of it.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use coracle::local::{
    BatchCommitter, Committed, Directory, DownloadTarget, FinishedPart, LocalError, Origin, Part, Proof, Replace,
    Staging,
};
use coracle_core::{FileName, Version};

use crate::disk::{Behavior, Disk, DiskDirectory};
use crate::random::Random;

/// Paths of the files that are fetched.
const PATHS: [&str; 8] = ["a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b", "f/a"];

/// How a run of programs went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Batches that were committed.
    pub batches: u64,
    /// Files that were reported.
    pub files: u64,
    /// Files that replaced an older version.
    pub replaced: u64,
    /// Files that were reported to have failed.
    pub failed: u64,
    /// Syncs that failed.
    pub losses: u64,
    /// Programs that were killed.
    pub kills: u64,
    /// Programs that a power cut ended.
    pub power_cuts: u64,
    /// Files that a power cut or kill left under their names, though they were not reported.
    pub unreported: u64,
}

impl BatchCounts {
    /// Adds the numbers of another run.
    pub fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.files += other.files;
        self.replaced += other.replaced;
        self.failed += other.failed;
        self.losses += other.losses;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.unreported += other.unreported;
    }

    /// What was counted, in words.
    #[must_use]
    pub fn lines(&self) -> [(&'static str, u64); 8] {
        [
            ("batches committed", self.batches),
            ("files of batches reported", self.files),
            ("files of batches that replaced others", self.replaced),
            ("files of batches that failed", self.failed),
            ("syncs of the file system that failed", self.losses),
            ("programs killed in the middle of batches", self.kills),
            ("power cuts in the middle of batches", self.power_cuts),
            ("files of batches named and not reported", self.unreported),
        ]
    }
}

/// A file of the server, and what may stand under its name here.
struct File {
    path: &'static str,
    /// The contents of every version; the server has the last one.
    versions: Vec<Vec<u8>>,
    /// Versions that may be found: `None` for no file.
    expected: Vec<Option<usize>>,
}

struct Scene {
    disk: Disk,
    files: Vec<File>,
    counts: BatchCounts,
    seed: u64,
}

type Ready = (usize, FinishedPart<DiskDirectory>);

/// Runs programs one after the other on the disk of `seed`, the last one without faults.
///
/// # Panics
///
/// When a rule is broken.
#[must_use]
pub fn run(seed: u64) -> BatchCounts {
    let mut random = Random::new(seed);
    let behavior = Behavior {
        is_ordered: random.chance(750),
        has_no_replace: random.chance(600),
        has_links: random.chance(600),
        has_file_system_sync: true,
        has_one_group: true,
    };
    let disk = Disk::new(behavior, Random::new(random.next()));
    let files = PATHS.iter().map(|path| File::new(path, &mut random)).collect();
    let mut scene = Scene { disk, files, counts: BatchCounts::default(), seed };
    let faults = random.one_of(&[0, 0, 5, 20]);
    for _ in 0..1 + random.below(6) {
        for file in &mut scene.files {
            if random.chance(200) {
                file.change(&mut random);
            }
        }
        scene.disk.arm(faults);
        let stops = random.chance(800).then(|| random.below(250));
        scene.disk.stop_after(stops);
        let is_killed = random.chance(300);
        scene.program(is_killed, &mut random);
        scene.end(&mut random);
    }
    scene.disk.arm(0);
    scene.program(false, &mut random);
    scene.check_all_fetched();
    scene.counts
}

impl Scene {
    /// A program: fetches what is not there in its newest version, and ends without cleaning up where it `is_killed`.
    fn program(&mut self, is_killed: bool, random: &mut Random) {
        let errors = self.disk.errors();
        let root = shared(Directory::new(self.disk.root(), Path::new("disk")));
        root.defer_syncs();
        Staging::remove_abandoned(&root);
        let Some(staging) = Staging::create(&root).map(shared) else {
            assert!(self.disk.is_stopped() || self.disk.errors() > errors, "no place for batches");
            return;
        };
        let mut committer = BatchCommitter::new(staging.clone(), true);
        let most = 1 + random.below(5);
        let (mut full, mut filling): (Vec<Ready>, Vec<Ready>) = (Vec::new(), Vec::new());
        for number in 0..self.files.len() {
            let file = &self.files[number];
            if found(&self.disk, file) == Some(file.version()) {
                continue;
            }
            let part = begin(&root, &staging, file);
            // The next batch is begun before the last one is on the disk.
            if !full.is_empty() && random.chance(500) {
                self.commit(&mut committer, std::mem::take(&mut full), errors);
            }
            match part.and_then(|part| write(part, &self.files[number])) {
                Ok(part) => filling.push((number, part)),
                Err(_) => {
                    assert!(self.disk.is_stopped() || self.disk.errors() > errors, "a write failed for no reason");
                    self.counts.failed += 1;
                }
            }
            if filling.len() == most {
                self.commit(&mut committer, std::mem::replace(&mut full, std::mem::take(&mut filling)), errors);
            }
        }
        for batch in [full, filling] {
            self.commit(&mut committer, batch, errors);
        }
        let outcomes = committer.flush();
        self.report(outcomes, errors);
        assert!(!committer.is_pending());
        if is_killed {
            self.disk.stop_after(Some(0));
        }
    }

    fn commit(&mut self, committer: &mut BatchCommitter<usize, DiskDirectory>, batch: Vec<Ready>, errors: u64) {
        if batch.is_empty() {
            return;
        }
        for (number, _) in &batch {
            let file = &mut self.files[*number];
            file.expected.push(Some(file.version()));
        }
        let losses = self.disk.losses();
        let outcomes = committer.commit(batch);
        self.counts.losses += self.disk.losses() - losses;
        self.counts.batches += 1;
        self.report(outcomes, errors);
        self.check_names();
    }

    /// What the program says of its files.
    fn report(&mut self, outcomes: Vec<Committed<usize>>, errors: u64) {
        if self.disk.is_stopped() {
            return;
        }
        for (number, outcome) in outcomes {
            let file = &mut self.files[number];
            match outcome {
                Ok(_) => {
                    assert_eq!(found(&self.disk, file), Some(file.version()), "{}: reported, and not there", file.path);
                    assert!(
                        self.disk.is_durable(file.path, true),
                        "{}: reported, and a power cut can take it",
                        file.path
                    );
                    self.counts.replaced += u64::from(file.expected.iter().flatten().any(|old| *old != file.version()));
                    file.expected = vec![Some(file.version())];
                    self.counts.files += 1;
                }
                Err(error) => {
                    let has_reason = self.disk.errors() > errors;
                    assert!(has_reason, "{}: nothing failed, but {error}", file.path);
                    self.counts.failed += 1;
                }
            }
        }
    }

    /// Ends the program: by itself, by a kill, or by a power cut.
    fn end(&mut self, random: &mut Random) {
        self.check_names();
        let is_killed = self.disk.is_stopped();
        if random.chance(600) {
            self.disk.cut_power();
            self.counts.power_cuts += 1;
            self.check_names();
        } else {
            self.disk.kill();
            self.counts.kills += u64::from(is_killed);
        }
        let Self { disk, files, counts, .. } = self;
        for file in files {
            // What is found now is on the disk, or in the system's memory at least.
            let found = found(disk, file);
            counts.unreported += u64::from(found.is_some() && file.expected.len() > 1);
            if !disk.is_durable(file.path, true) {
                continue;
            }
            file.expected = vec![found];
        }
    }

    /// No name stands for anything but a whole version, and no power cut can spoil what has its name.
    fn check_names(&self) {
        for file in &self.files {
            let version = found(&self.disk, file);
            assert!(file.expected.contains(&version), "{}: {version:?} of {:?}", file.path, file.expected);
            let is_durable = version.is_none() || self.disk.is_durable(file.path, false);
            assert!(is_durable, "{}: a power cut can spoil what has its name (seed {})", file.path, self.seed);
        }
    }

    /// After a program without faults: everything is there, and nothing else.
    fn check_all_fetched(&mut self) {
        self.check_names();
        for file in &self.files {
            assert_eq!(found(&self.disk, file), Some(file.version()), "{}", file.path);
        }
        let mut names = self.disk.names("");
        names.sort();
        assert_eq!(names, ["a", "b", "c", "d", "f"], "left over");
    }
}

impl File {
    fn new(path: &'static str, random: &mut Random) -> Self {
        let mut file = Self { path, versions: Vec::new(), expected: vec![None] };
        file.change(random);
        file
    }

    /// The number of the version that the server has.
    fn version(&self) -> usize {
        self.versions.len() - 1
    }

    /// Gives the server a version that is like no other one.
    fn change(&mut self, random: &mut Random) {
        let len = random.one_of(&[0, 1, 700, 5_000, 20_000]);
        let begin = format!("{} {} ", self.path, self.versions.len());
        self.versions.push([begin.into_bytes(), random.bytes(len)].concat());
    }
}

/// The version that stands under the name of `file`.
fn found(disk: &Disk, file: &File) -> Option<usize> {
    let number = |found: &[u8]| file.versions.iter().position(|version| version == found);
    disk.peek(file.path, |found| number(found).unwrap_or(usize::MAX))
}

fn begin(
    root: &Arc<Directory<DiskDirectory>>,
    staging: &Arc<Staging<DiskDirectory>>,
    file: &File,
) -> Result<Part<DiskDirectory>, LocalError> {
    let (directory, leaf) = match file.path.rsplit_once('/') {
        Some((below, leaf)) => (shared(root.open_below(FileName::from_static(below))?), leaf),
        None => (root.clone(), file.path),
    };
    let target = DownloadTarget::new(directory, OsStr::new(leaf));
    let size = file.versions[file.version()].len() as u64;
    let version = Version::new(&format!("v{}", file.version())).expect("a version");
    let origin = Origin { name: file.path.to_owned(), peer: "server".to_owned(), size, version };
    match target.create_part_of_batch(staging, origin, true)? {
        Some(part) => Ok(part),
        // A look at the directories failed, or somebody removed them: no one does here.
        None => Err(LocalError::Replaced(target.path())),
    }
}

fn write(mut part: Part<DiskDirectory>, file: &File) -> Result<FinishedPart<DiskDirectory>, LocalError> {
    for piece in file.versions[file.version()].chunks(3_000) {
        if let Err(error) = part.append(piece) {
            part.suspend()?;
            return Err(error);
        }
    }
    part.finish(Proof::Unchecked, Some(0), Replace::Anything, false)
}

fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
