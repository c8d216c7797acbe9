//! What clients see and write, as an owner of a session does it for them.

mod nor;

use std::cell::RefCell;
use std::collections::BTreeMap;

use coracle_core::{
    Begun, Committed, Delete, Digest, DigestKind, FileInfo, FileName, Hasher, Instant, Listed, Put, PutAttempt,
    Replace, StaticFile, StaticStore, Store, StoreError, WritableStore, WriteError,
};
use coracle_flash::{
    FlashStore, FlashUpload, Image, ImageCheck, ImageSlots, SharedFlash, Slot, SlotLayout, SmallFiles, StoreRules,
    UploadTarget,
};
use nor::{Nor, Random, Torn};

type Flash = Nor<8, 4, 512>;
type Shared<'a> = SharedFlash<'a, Flash>;
type Files<'a> = FlashStore<StaticStore<'static>, Shared<'a>, Shared<'a>, Rules>;

static FILES: [StaticFile<'static>; 2] =
    [StaticFile::new("welcome.txt", "v1", b"hello"), StaticFile::new("docs/a", "v1", b"a")];
const SECTORS: usize = 16;

/// No file named `locked`, none that begins with `!`, no image that ends with 0 or 1.
#[derive(Default)]
struct Rules {
    changed: Vec<String>,
    /// How often an image is not yet checked.
    image_checks: u32,
    /// Whether images come otherwise than by clients.
    refuses_images: bool,
}

impl StoreRules for Rules {
    fn may_write(&mut self, name: &str) -> bool {
        name != "locked"
    }

    fn accepts(&mut self, _: &str, size: u32, read: &mut dyn FnMut(u32, &mut [u8]) -> usize) -> bool {
        let mut first = [0];
        size == 0 || read(0, &mut first) == 1 && first != *b"!"
    }

    fn takes_images(&mut self) -> bool {
        !self.refuses_images
    }

    fn accepts_image(
        &mut self,
        image: &Image,
        read: &mut dyn FnMut(u32, &mut [u8]) -> usize,
    ) -> Result<ImageCheck, WriteError> {
        if self.image_checks > 0 {
            self.image_checks -= 1;
            return Ok(ImageCheck::Pending);
        }
        let mut last = [0];
        match (read(image.size - 1, &mut last), last) {
            (1, [0]) => Err(WriteError::Corrupt),
            (1, [1]) => Err(StoreError::Denied.into()),
            _ => Ok(ImageCheck::Accepted),
        }
    }

    fn changed(&mut self, name: &str) {
        self.changed.push(name.to_owned());
    }
}

/// A chip with a confirmed image in A.
fn chip() -> RefCell<Flash> {
    let chip = RefCell::new(Flash::new(SECTORS, Torn::Stable, 1));
    let mut slots = slots(&chip);
    let image = image(1, 900);
    slots.begin(None, &UploadTarget::new(900, digest(&image))).expect("begun");
    let mut sent = 0;
    while sent < image.len() {
        sent += slots.write(&image[sent..]).expect("written");
    }
    slots.commit(&digest(&image)).expect("committed");
    slots.confirm(Slot::A).expect("confirmed");
    chip
}

fn slots(chip: &RefCell<Flash>) -> ImageSlots<Shared<'_>> {
    let layout = SlotLayout::new::<Shared<'_>>(0..(SECTORS as u32 - 2) * 512).expect("it fits");
    ImageSlots::new(SharedFlash::new(chip), layout)
}

fn store(chip: &RefCell<Flash>, running: Slot) -> Files<'_> {
    let small = (SECTORS as u32 - 2) * 512..SECTORS as u32 * 512;
    let small = SmallFiles::open(SharedFlash::new(chip), small).expect("it fits");
    FlashStore::new(StaticStore::new(&FILES), slots(chip), running, small, Rules::default())
}

fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a good name")
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn image(seed: u64, len: usize) -> Vec<u8> {
    let mut image = Random::new(seed).bytes(len);
    image[len - 1] |= 2;
    image
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("the build has it");
    hasher.update(bytes);
    hasher.finish()
}

fn request<'a>(file: &'a str, contents: &[u8]) -> Put<'a> {
    Put::new(name(file), contents.len() as u64, digest(contents)).with_replace(Replace::Anything)
}

/// What a client and its session do: the whole exchange.
fn put(store: &mut Files<'_>, file: &str, contents: &[u8]) -> Result<FileInfo, WriteError> {
    let request = request(file, contents);
    let mut may_compare = true;
    loop {
        match store.begin(&request, PutAttempt::new(at(0), may_compare), at(0))? {
            Begun::Upload { mut upload, have } => {
                send(store, &mut upload, have as usize, contents);
                return finish(store, upload, &request);
            }
            Begun::Stored(info) => return Ok(info),
            Begun::Compare(mut opened) => {
                let mut there = vec![0; contents.len()];
                store.read(&mut opened, 0, &mut there)?;
                if there == contents {
                    return Ok(store.info(&opened)?);
                }
                may_compare = false;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn send(store: &mut Files<'_>, upload: &mut FlashUpload, have: usize, contents: &[u8]) {
    let mut sent = have;
    while sent < contents.len() {
        let end = contents.len().min(sent + 77);
        sent += store.write(upload, sent as u64, &contents[sent..end], at(1)).expect("written");
    }
}

fn finish(store: &mut Files<'_>, mut upload: FlashUpload, request: &Put<'_>) -> Result<FileInfo, WriteError> {
    let mut read_back = vec![0; request.size as usize];
    if request.size > 0 {
        assert_eq!(store.read_back(&mut upload, 0, &mut read_back, at(2)), Ok(read_back.len()));
    }
    if digest(&read_back) != request.digest {
        store.discard(upload);
        return Err(WriteError::Corrupt);
    }
    loop {
        match store.commit(&mut upload, request, at(3)) {
            Ok(Committed::Done(info)) => return Ok(info),
            Ok(_) => {}
            Err(error) => {
                store.keep(upload);
                return Err(error);
            }
        }
    }
}

fn begun(store: &mut Files<'_>, request: &Put<'_>, asked: u64, now: u64) -> Result<(FlashUpload, u64), WriteError> {
    match store.begin(request, PutAttempt::new(at(asked), true), at(now))? {
        Begun::Upload { upload, have } => Ok((upload, have)),
        other => panic!("{other:?}"),
    }
}

fn get(store: &mut Files<'_>, file: &str) -> Result<Vec<u8>, StoreError> {
    let mut opened = store.open(name(file))?;
    let mut contents = vec![0; store.info(&opened)?.size as usize];
    assert_eq!(store.read(&mut opened, 0, &mut contents), Ok(contents.len()));
    assert_eq!(store.read(&mut opened, contents.len() as u64, &mut [0]), Ok(0));
    Ok(contents)
}

fn version(store: &mut Files<'_>, file: &str) -> String {
    let opened = store.open(name(file)).expect("it is there");
    store.info(&opened).expect("info").version.as_str().to_owned()
}

fn listed(store: &mut Files<'_>, path: Option<&str>) -> BTreeMap<String, String> {
    let mut listing = store.list(path.map(name)).expect("a listing");
    let mut listed = BTreeMap::new();
    while let Listed::Entry(entry) = store.next(&mut listing).expect("an entry") {
        assert_eq!(listed.insert(entry.name.as_str().to_owned(), format!("{:?}", entry.kind)), None);
    }
    listed
}

fn names(store: &mut Files<'_>) -> Vec<String> {
    listed(store, None).into_keys().collect()
}

#[test]
fn an_image_is_put_started_and_confirmed() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    assert_eq!(names(&mut files), ["docs", "image.running", "welcome.txt"]);
    assert_eq!(files.open(name("image")).err(), Some(StoreError::NotFound));
    assert_eq!(get(&mut files, "image.running"), Ok(image(1, 900)));
    let second = image(2, 1_500);
    let info = put(&mut files, "image", &second).expect("put");
    assert_eq!((info.size, info.version.as_str()), (1_500, &*version(&mut files, "image")));
    assert_eq!(names(&mut files), ["docs", "image", "image.running", "welcome.txt"]);
    assert_eq!(get(&mut files, "image"), Ok(second.clone()));
    let opened = files.open(name("image")).expect("it waits");
    assert_eq!(files.known_digest(&opened, DigestKind::Sha256), Some(digest(&second)));
    // The board restarts.
    let running = slots(&chip).choose(|_| true).expect("an image").slot;
    let mut files = store(&chip, running);
    assert_eq!(get(&mut files, "image.running"), Ok(second));
    assert_eq!(version(&mut files, "image.running"), info.version.as_str(), "the version stays");
    assert_eq!(files.open(name("image")).err(), Some(StoreError::NotFound), "nothing waits");
    files.slots().confirm(running).expect("confirmed");
    put(&mut files, "image", &image(3, 100)).expect("put");
}

#[test]
fn o8_what_runs_or_waits_is_not_put_again() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let running = put(&mut files, "image", &image(1, 900)).expect("it runs");
    assert_eq!(running.version.as_str(), version(&mut files, "image.running"));
    put(&mut files, "image", &image(2, 500)).expect("put");
    let operations = chip.borrow().operations;
    put(&mut files, "image", &image(2, 500)).expect("it waits");
    assert_eq!(chip.borrow().operations, operations);
    // By CRC-32 nothing ends without its bytes, and the boot loader could not check it.
    let by_crc = Put::new(name("image"), 500, Digest::Crc32(1));
    assert_eq!(files.begin(&by_crc, PutAttempt::new(at(0), false), at(0)).err(), Some(WriteError::Unsupported));
}

#[test]
fn o2_o6_images_that_may_not_be_put() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let mut bad = image(2, 500);
    bad[499] = 0;
    assert_eq!(put(&mut files, "image", &bad), Err(WriteError::Corrupt), "the owner refuses it");
    assert_eq!(files.open(name("image")).err(), Some(StoreError::NotFound));
    bad[499] = 1;
    assert_eq!(
        put(&mut files, "image", &bad),
        Err(WriteError::Store(StoreError::Denied)),
        "the owner does not want it"
    );
    let (upload, have) = begun(&mut files, &request("image", &bad), 0, 0).expect("it was dropped");
    assert_eq!(have, 0);
    files.discard(upload);
    let max = u64::from(files.slots().layout().slot_len());
    let too_long = vec![1; max as usize + 1];
    assert_eq!(put(&mut files, "image", &too_long), Err(WriteError::TooLarge { max }));
    assert_eq!(put(&mut files, "image", b""), Err(WriteError::Store(StoreError::Denied)));
    for file in ["image.running", "welcome.txt", "docs/a", "docs/b", "locked"] {
        assert_eq!(put(&mut files, file, b"new"), Err(WriteError::Store(StoreError::Denied)), "{file}");
    }
    assert_eq!(put(&mut files, "docs", b"new"), Err(WriteError::Store(StoreError::NotFile)));
    // On trial, the other slot has the fallback.
    put(&mut files, "image", &image(2, 500)).expect("put");
    let running = slots(&chip).choose(|_| true).expect("an image").slot;
    let mut files = store(&chip, running);
    assert_eq!(put(&mut files, "image", &image(3, 500)), Err(WriteError::Store(StoreError::Denied)));
}

/// Where images come otherwise, none is put or deleted, before a byte of it is sent; the room told is that of small files.
#[test]
fn images_that_come_otherwise_are_neither_put_nor_deleted() {
    let chip = chip();
    let mut store = store(&chip, Slot::A);
    let with_images = store.space().expect("it is known").max_file;
    store.rules.refuses_images = true;
    let image = image(2, 700);
    let begun = store.begin(&request("image", &image), PutAttempt::new(at(0), true), at(0));
    assert_eq!(begun.err(), Some(StoreError::Denied.into()));
    assert_eq!(store.delete(&Delete::File { name: name("image"), version: None }), Err(StoreError::Denied.into()));
    put(&mut store, "config", b"small").expect("small files are put");
    let space = store.space().expect("it is known");
    assert!(space.max_file == space.free && space.max_file < with_images, "{space:?}");
}

#[test]
fn an_image_is_checked_in_parts() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    files.rules.image_checks = 3;
    let second = image(2, 500);
    let request = request("image", &second);
    let (mut upload, _) = begun(&mut files, &request, 0, 0).expect("begun");
    send(&mut files, &mut upload, 0, &second);
    for _ in 0..3 {
        assert_eq!(files.commit(&mut upload, &request, at(1)), Ok(Committed::Pending));
        assert_eq!(files.open(name("image")).err(), Some(StoreError::NotFound));
    }
    assert!(matches!(files.commit(&mut upload, &request, at(1)), Ok(Committed::Done(_))));
    assert_eq!(get(&mut files, "image"), Ok(second));
}

#[test]
fn an_image_goes_on_after_a_cut_connection_and_a_restart() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let second = image(2, 2_000);
    let request = request("image", &second);
    let (mut upload, have) = begun(&mut files, &request, 0, 0).expect("begun");
    assert_eq!(have, 0);
    send(&mut files, &mut upload, 0, &second[..1_500]);
    files.keep(upload);
    let (mut upload, have) = begun(&mut files, &request, 10, 10).expect("begun");
    assert_eq!(have, 1_500);
    send(&mut files, &mut upload, 1_500, &second[..1_700]);
    let mut files = store(&chip, Slot::A);
    let (mut upload, have) = begun(&mut files, &request, 0, 0).expect("begun");
    assert_eq!(have, 1_536);
    send(&mut files, &mut upload, 1_536, &second);
    finish(&mut files, upload, &request).expect("committed");
    assert_eq!(get(&mut files, "image"), Ok(second));
}

#[test]
fn one_connection_sends_an_image() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let (second, third) = (image(2, 2_000), image(3, 2_000));
    let (mut first, _) = begun(&mut files, &request("image", &second), 0, 0).expect("begun");
    send(&mut files, &mut first, 0, &second[..600]);
    assert_eq!(begun(&mut files, &request("image", &third), 5, 5).err(), Some(WriteError::InUse));
    assert_eq!(files.delete(&Delete::Partial { name: name("image") }), Err(WriteError::InUse));
    let again = PutAttempt::new(at(5), true);
    assert!(matches!(files.begin(&request("image", &second), again, at(10)), Ok(Begun::Wait)));
    let (mut newcomer, have) = begun(&mut files, &request("image", &second), 5, 2_010).expect("the first was silent");
    assert_eq!(have, 600);
    assert_eq!(files.write(&mut first, 600, b"x", at(2_011)), Err(WriteError::InUse));
    files.keep(first);
    send(&mut files, &mut newcomer, 600, &second[..700]);
    files.keep(newcomer);
    // Nobody sends: another image drops it.
    put(&mut files, "image", &third).expect("put");
    assert_eq!(get(&mut files, "image"), Ok(third));
}

#[test]
fn images_are_given_up() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let delete = |version| Delete::File { name: name("image"), version };
    assert_eq!(files.delete(&delete(None)), Err(WriteError::Store(StoreError::NotFound)));
    put(&mut files, "image", &image(2, 500)).expect("put");
    let waits = version(&mut files, "image");
    assert_eq!(files.delete(&delete(Some("other"))), Err(WriteError::Changed));
    files.delete(&delete(Some(&waits))).expect("deleted");
    assert_eq!(files.open(name("image")).err(), Some(StoreError::NotFound));
    assert_eq!(slots(&chip).choose(|_| true).expect("an image").slot, Slot::A);
    // An unfinished one.
    let third = image(3, 2_000);
    let (mut upload, _) = begun(&mut files, &request("image", &third), 0, 0).expect("begun");
    send(&mut files, &mut upload, 0, &third[..600]);
    files.keep(upload);
    files.delete(&Delete::Partial { name: name("image") }).expect("deleted");
    assert_eq!(files.delete(&Delete::Partial { name: name("image") }), Err(WriteError::Store(StoreError::NotFound)));
    let (upload, have) = begun(&mut files, &request("image", &third), 0, 0).expect("begun");
    assert_eq!(have, 0);
    files.discard(upload);
    let running = Delete::File { name: name("image.running"), version: None };
    assert_eq!(files.delete(&running), Err(WriteError::Store(StoreError::Denied)));
}

#[test]
fn small_files_are_put_and_deleted() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let first = put(&mut files, "config.json", b"{}").expect("put");
    assert_eq!(put(&mut files, "config.json", b"{}").expect("it is there"), first);
    let second = put(&mut files, "config.json", b"[]").expect("put");
    assert_ne!(second.version, first.version);
    put(&mut files, "empty", b"").expect("put");
    assert_eq!(put(&mut files, "config.json", b"!"), Err(WriteError::Corrupt), "the owner refuses it");
    assert_eq!(names(&mut files), ["config.json", "docs", "empty", "image.running", "welcome.txt"]);
    assert_eq!(files.rules.changed, ["config.json", "config.json", "empty"]);
    let mut files = store(&chip, Slot::A);
    assert_eq!(get(&mut files, "config.json"), Ok(b"[]".to_vec()));
    assert_eq!(get(&mut files, "empty"), Ok(vec![]));
    assert_eq!(version(&mut files, "config.json"), second.version.as_str());
    assert_eq!(files.list(Some(name("config.json"))).err(), Some(StoreError::NotDirectory));
    let delete = |version| Delete::File { name: name("config.json"), version };
    assert_eq!(files.delete(&delete(Some(first.version.as_str()))), Err(WriteError::Changed));
    files.delete(&delete(Some(second.version.as_str()))).expect("deleted");
    assert_eq!(files.delete(&delete(None)), Err(WriteError::Store(StoreError::NotFound)));
    assert_eq!(files.delete(&Delete::Directory { path: name("docs") }), Err(WriteError::Store(StoreError::Denied)));
    assert_eq!(files.delete(&Delete::Directory { path: name("x") }), Err(WriteError::Store(StoreError::NotFound)));
    assert_eq!(names(&mut files), ["docs", "empty", "image.running", "welcome.txt"]);
}

#[test]
fn preconditions_are_checked_at_the_beginning_and_at_the_end() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let new = Put::new(name("a"), 4, digest(b"new!"));
    put(&mut files, "a", b"old").expect("put");
    assert_eq!(begun(&mut files, &new.with_replace(Replace::Version("x")), 0, 0).err(), Some(WriteError::Changed));
    let refused = files.begin(&new, PutAttempt::new(at(0), false), at(0)).err();
    assert_eq!(refused, Some(WriteError::Exists));
    // Written by the owner while the client sends.
    files.delete(&Delete::File { name: name("a"), version: None }).expect("deleted");
    let second = image(2, 500);
    let request = Put::new(name("image"), 500, digest(&second));
    let (mut upload, _) = begun(&mut files, &request, 0, 0).expect("nothing waits");
    send(&mut files, &mut upload, 0, &second);
    finish(&mut files, upload, &request).expect("committed");
    assert_eq!(begun(&mut files, &Put::new(name("image"), 9, digest(b"x")), 0, 0).err(), Some(WriteError::Exists));
}

#[test]
fn a_small_file_goes_on_after_a_cut_connection() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let (one, other) = (image(1, 90), image(2, 90));
    let (mut upload, _) = begun(&mut files, &request("a", &one), 0, 0).expect("begun");
    send(&mut files, &mut upload, 0, &one[..50]);
    assert_eq!(begun(&mut files, &request("a", &other), 0, 1).err(), Some(WriteError::InUse));
    files.keep(upload);
    let (upload, have) = begun(&mut files, &request("a", &one), 0, 0).expect("begun");
    assert_eq!(have, 50);
    files.keep(upload);
    let (mut upload, have) = begun(&mut files, &request("a", &other), 0, 0).expect("begun");
    assert_eq!(have, 0);
    send(&mut files, &mut upload, 0, &other);
    finish(&mut files, upload, &request("a", &other)).expect("committed");
    assert_eq!(get(&mut files, "a"), Ok(other));
    let free = files.space().expect("space").free.expect("known");
    let too_long = vec![1; free as usize + 100];
    assert!(matches!(put(&mut files, "c", &too_long), Err(WriteError::NoSpace { .. })));
    let max = files.small_files().max_file(1);
    let too_long = vec![1; max as usize + 1];
    assert_eq!(put(&mut files, "c", &too_long), Err(WriteError::TooLarge { max: max.into() }));
    // Given up, and deleted.
    let (mut upload, _) = begun(&mut files, &request("c", &one), 0, 0).expect("begun");
    send(&mut files, &mut upload, 0, &one[..50]);
    files.keep(upload);
    files.delete(&Delete::Partial { name: name("c") }).expect("deleted");
    assert_eq!(files.delete(&Delete::Partial { name: name("c") }), Err(WriteError::Store(StoreError::NotFound)));
    let long_name = "n".repeat(65);
    assert_eq!(put(&mut files, &long_name, b"x"), Err(WriteError::Store(StoreError::BadName)));
}

#[test]
fn u6_a_small_file_waits_for_another_ones_place() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    let (one, other) = (image(1, 90), image(2, 90));
    let (of_one, of_other) = (request("a", &one), request("b", &other));
    let (mut upload, _) = begun(&mut files, &of_one, 0, 0).expect("begun");
    let asked = PutAttempt::new(at(1), true);
    let mut sent = 0;
    for millis in [100, 2_000, 3_900] {
        assert!(matches!(files.begin(&of_other, asked, at(millis - 1)), Ok(Begun::Wait)), "{millis}");
        let part = &one[sent..one.len().min(sent + 40)];
        sent += files.write(&mut upload, sent as u64, part, at(millis)).expect("sent");
        assert!(matches!(files.begin(&of_other, asked, at(millis + 1)), Ok(Begun::Wait)), "{millis}");
    }
    send(&mut files, &mut upload, sent, &one);
    finish(&mut files, upload, &of_one).expect("committed");
    let (mut upload, have) = begun(&mut files, &of_other, 1, 3_902).expect("the place is free");
    assert_eq!(have, 0);
    send(&mut files, &mut upload, 0, &other[..50]);
    // Its client is gone, and nobody knows.
    let third = request("c", &one);
    let (mut newcomer, have) = begun(&mut files, &third, 3_903, 10_000).expect("the other one was silent");
    assert_eq!((have, files.write(&mut upload, 50, b"x", at(10_001))), (0, Err(WriteError::InUse)));
    files.keep(upload);
    send(&mut files, &mut newcomer, 0, &one);
    finish(&mut files, newcomer, &third).expect("committed");
    assert_eq!((get(&mut files, "a"), get(&mut files, "c")), (Ok(one.clone()), Ok(one)));
    assert_eq!(files.open(name("b")).err(), Some(StoreError::NotFound));
}

#[test]
fn an_open_image_that_is_replaced_has_another_version() {
    let chip = chip();
    let mut files = store(&chip, Slot::A);
    put(&mut files, "image", &image(2, 500)).expect("put");
    let mut opened = files.open(name("image")).expect("it waits");
    let before = files.info(&opened).expect("info").version;
    put(&mut files, "image", &image(3, 500)).expect("put");
    assert_ne!(files.info(&opened).expect("info").version, before);
    assert_eq!(files.read(&mut opened, 0, &mut [0; 10]), Ok(0));
}
