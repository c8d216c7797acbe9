//! Images of volumes, made by mkfs.fat and mtools, as block devices in memory.
#![allow(dead_code, reason = "each test uses a part")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use coracle_core::{EntryKind, FileName, Listed, Store, StoreError};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};
use tempfile::TempDir;

/// Files by their paths.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// An image as a file, while it is made.
pub struct Maker {
    directory: TempDir,
    options: String,
}

impl Maker {
    /// An empty volume of `kib` KiB, made by mkfs.fat with these options.
    pub fn new(kib: u32, options: &str) -> Self {
        let maker = Self { directory: tempfile::tempdir().expect("a directory"), options: options.into() };
        let arguments = format!("-C {options} {} {kib}", maker.path().display());
        run("mkfs.fat", "dosfstools", &arguments.split_whitespace().collect::<Vec<_>>());
        maker
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Copies `tree` onto it, by mcopy.
    pub fn with_tree(self, tree: &Tree) -> Self {
        let top = self.directory.path().join("tree");
        for (name, bytes) in tree {
            let path = top.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, bytes).expect("a file");
        }
        let entries = std::fs::read_dir(&top).expect("the tree").map(|entry| entry.expect("an entry").path());
        let entries: Vec<String> = entries.map(|path| path.display().to_string()).collect();
        let image = self.path().display().to_string();
        let mut arguments = vec!["-i", &image, "-s", "-Q", "-m"];
        arguments.extend(entries.iter().map(String::as_str));
        arguments.push("::");
        run("mcopy", "mtools", &arguments);
        self
    }

    /// Runs a command of mtools on it: `{}` stands for the image.
    pub fn with(self, program: &str, arguments: &[&str]) -> Self {
        let image = self.path().display().to_string();
        let arguments: Vec<&str> = arguments.iter().map(|word| if *word == "{}" { &image } else { *word }).collect();
        run(program, "mtools", &arguments);
        self
    }

    pub fn image(&self) -> Image {
        Image::new(&std::fs::read(self.path()).expect("the image"))
    }

    /// The same as the second partition of a disk, behind one that is not FAT.
    pub fn disk(&self) -> Image {
        let volume = std::fs::read(self.path()).expect("the image");
        let mut disk = vec![0; 64 * 512];
        let blocks = u32::try_from(volume.len() / 512).expect("small");
        let kind = if self.options.contains("-F 32") { 0x0c } else { 0x0e };
        for (index, kind, first, len) in [(0, 0x83, 8, 8), (1, kind, 64, blocks)] {
            let entry = &mut disk[446 + 16 * index..][..16];
            entry[4] = kind;
            entry[8..12].copy_from_slice(&u32::to_le_bytes(first));
            entry[12..16].copy_from_slice(&u32::to_le_bytes(len));
        }
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk.extend(volume);
        Image::new(&disk)
    }
}

/// Runs a program of the package `package`.
pub fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).env("MTOOLS_SKIP_CHECK", "1").env("LC_ALL", "C.UTF-8").output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {said} ({arguments:?})");
    said
}

/// A device in memory. What is written lies beside what it was made with, which copies of it share.
pub struct Image {
    base: Rc<Vec<[u8; 512]>>,
    changed: RefCell<BTreeMap<u32, [u8; 512]>>,
    pub reads: Cell<u64>,
    pub writes: Cell<u64>,
    /// Number of writes until the power is cut.
    pub power: Cell<u64>,
}

/// The device has no such block.
#[derive(Debug)]
pub struct Outside;

impl std::fmt::Display for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no such block")
    }
}

impl std::error::Error for Outside {}

impl Image {
    pub fn new(bytes: &[u8]) -> Self {
        let base = bytes.chunks(512).map(|block| block.try_into().expect("whole blocks")).collect();
        Self::over(Rc::new(base), BTreeMap::new())
    }

    /// Another device with the contents of this one.
    pub fn copy(&self) -> Self {
        Self::over(Rc::clone(&self.base), self.changed.borrow().clone())
    }

    fn over(base: Rc<Vec<[u8; 512]>>, changed: BTreeMap<u32, [u8; 512]>) -> Self {
        let (reads, writes, power) = (Cell::new(0), Cell::new(0), Cell::new(u64::MAX));
        Self { base, changed: RefCell::new(changed), reads, writes, power }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.base.concat();
        for (number, block) in &*self.changed.borrow() {
            bytes[*number as usize * 512..][..512].copy_from_slice(block);
        }
        bytes
    }

    pub fn set_byte(&self, at: usize, byte: u8) {
        let number = at / 512;
        self.changed.borrow_mut().entry(number as u32).or_insert(self.base[number])[at % 512] = byte;
    }

    pub fn store(&self) -> FatStore<&Self> {
        FatStore::new(FatVolume::new(self).expect("a volume"))
    }
}

impl BlockDevice for &Image {
    type Error = Outside;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Outside> {
        for (number, block) in (start.0..).zip(blocks) {
            self.reads.set(self.reads.get() + 1);
            let base = self.base.get(number as usize).ok_or(Outside)?;
            block.contents = *self.changed.borrow().get(&number).unwrap_or(base);
        }
        Ok(())
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Outside> {
        for (number, block) in (start.0..).zip(blocks) {
            self.power.set(self.power.get().checked_sub(1).ok_or(Outside)?);
            self.writes.set(self.writes.get() + 1);
            self.base.get(number as usize).ok_or(Outside)?;
            self.changed.borrow_mut().insert(number, block.contents);
        }
        Ok(())
    }

    fn num_blocks(&self) -> Result<BlockCount, Outside> {
        Ok(BlockCount(u32::try_from(self.base.len()).expect("small")))
    }
}

/// Images as a file, for programs that check them.
pub struct Checker(Maker);

impl Checker {
    /// For images that were made by `maker`.
    pub fn new(maker: Maker) -> Self {
        Self(maker)
    }

    /// What fsck.fat says of `image`; empty where nothing is wrong.
    pub fn fsck(&self, image: &Image) -> String {
        self.with(image, |path| {
            let done = Command::new("fsck.fat").args(["-n", path]).output().expect("apt-get install dosfstools");
            if done.status.success() { String::new() } else { String::from_utf8_lossy(&done.stdout).into_owned() }
        })
    }

    /// The files as mtools read them, without the store's own.
    pub fn tree(&self, image: &Image) -> Tree {
        let target = tempfile::tempdir().expect("a directory");
        let place = target.path().display().to_string();
        self.with(image, |path| run("mcopy", "mtools", &["-i", path, "-s", "-Q", "-m", "-n", "::/*", &place]));
        let mut tree = Tree::new();
        for extension in ["JNL", "TMP", "DEL"] {
            std::fs::remove_file(target.path().join(format!("CORACLE.{extension}"))).expect("the store's own");
        }
        let mut directories = vec![target.path().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path())
            {
                if entry.is_dir() {
                    directories.push(entry);
                } else {
                    let name = entry.strip_prefix(target.path()).expect("beneath it").to_str().expect("UTF-8");
                    tree.insert(name.into(), std::fs::read(&entry).expect("readable"));
                }
            }
        }
        tree
    }

    fn with<T>(&self, image: &Image, work: impl FnOnce(&str) -> T) -> T {
        let file = std::fs::OpenOptions::new().write(true).open(self.0.path()).expect("the image");
        let changed = image.changed.borrow();
        let write =
            |number: u32, block: &[u8; 512]| file.write_all_at(block, u64::from(number) * 512).expect("written");
        changed.iter().for_each(|(number, block)| write(*number, block));
        let result = work(&self.0.path().display().to_string());
        changed.keys().for_each(|number| write(*number, &image.base[*number as usize]));
        result
    }
}

/// All files of `store`, and the number of entries that cannot be named.
pub fn everything<S: Store>(store: &mut S) -> Result<(Tree, usize), StoreError> {
    let (mut tree, mut unnameable) = (Tree::new(), 0);
    let mut directories = vec![None];
    while let Some(path) = directories.pop() {
        let mut listing = store.list(path.as_deref().map(|path| FileName::new(path).expect("good")))?;
        loop {
            match store.next(&mut listing)? {
                Listed::Entry(entry) => match entry.kind {
                    EntryKind::File { size, .. } => {
                        let bytes = contents(store, entry.name.as_str())?;
                        assert_eq!(bytes.len() as u64, size, "{}", entry.name);
                        tree.insert(entry.name.as_str().into(), bytes);
                    }
                    _ => directories.push(Some(entry.name.as_str().to_owned())),
                },
                Listed::Unnameable => unnameable += 1,
                Listed::End => break,
                other => panic!("{other:?}"),
            }
        }
    }
    Ok((tree, unnameable))
}

/// Asserts that `store` has the files of `tree` and nothing else.
pub fn assert_tree<S: Store>(store: &mut S, tree: &Tree) {
    let (found, unnameable) = everything(store).expect("readable");
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!((names(&found), unnameable), (names(tree), 0));
    for (name, bytes) in tree {
        assert!(found[name] == *bytes, "{name} has other bytes");
    }
}

/// The whole file `name`.
pub fn contents<S: Store>(store: &mut S, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut file = store.open(FileName::new(name).expect("a name"))?;
    let (mut bytes, mut buf) = (Vec::new(), [0; 1500]);
    loop {
        match store.read(&mut file, bytes.len() as u64, &mut buf)? {
            0 => return Ok(bytes),
            len => bytes.extend(&buf[..len]),
        }
    }
}

/// Bytes that differ from file to file and from block to block.
pub fn sample(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (seed.wrapping_mul(31) + index + index / 509 * 7) as u8).collect()
}
