//! Small files, with the power on and with power cuts at every operation. `CORACLE_CUTS` is the number of cuts in random
//! histories.

mod nor;

use std::collections::BTreeMap;

use coracle_flash::{FileError, LayoutError, SMALL_NAME_LEN, SmallFiles};
use nor::{Fault, Nor, Random, Torn, cuts};

type Flash = Nor<8, 4, 512>;

fn files() -> SmallFiles<Flash> {
    SmallFiles::open(Flash::new(2, Torn::Stable, 1), 0..1_024).expect("it fits")
}

fn get<const W: usize, const R: usize, const E: usize>(
    files: &mut SmallFiles<Nor<W, R, E>>,
    name: &str,
) -> Option<Vec<u8>> {
    let file = files.find(name)?;
    let mut contents = vec![0; file.size as usize];
    assert_eq!(files.read(&file, 0, &mut contents), Ok(contents.len()));
    Some(contents)
}

fn all<const W: usize, const R: usize, const E: usize>(
    files: &mut SmallFiles<Nor<W, R, E>>,
) -> BTreeMap<String, Vec<u8>> {
    let mut listed = BTreeMap::new();
    let (mut after, mut name) = (None, [0; SMALL_NAME_LEN]);
    while let Some((file, name)) = files.next(after, &mut name) {
        let mut contents = vec![0; file.size as usize];
        assert_eq!(files.read(&file, 0, &mut contents), Ok(contents.len()));
        assert_eq!(listed.insert(name.to_owned(), contents), None, "each file is listed once");
        after = Some(file.number);
    }
    listed
}

fn reopened(files: SmallFiles<Flash>) -> SmallFiles<Flash> {
    SmallFiles::open(files.into_flash(), 0..1_024).expect("it fits")
}

#[test]
fn files_are_put_replaced_and_deleted() {
    let mut files = files();
    assert_eq!((all(&mut files).len(), files.find("a")), (0, None));
    files.put("a", b"first").expect("put");
    files.put("b", b"").expect("put");
    files.put("a", b"second, longer").expect("put");
    assert_eq!(get(&mut files, "a").as_deref(), Some(&b"second, longer"[..]));
    assert_eq!(get(&mut files, "b").as_deref(), Some(&b""[..]));
    let mut files = reopened(files);
    assert_eq!(all(&mut files).into_keys().collect::<Vec<_>>(), ["a", "b"]);
    files.delete("a").expect("deleted");
    files.delete("a").expect("it is not there");
    let mut files = reopened(files);
    assert_eq!(all(&mut files).into_keys().collect::<Vec<_>>(), ["b"]);
    let numbers = (files.find("b").expect("b").number, files.put("a", b"third"), files.find("a").expect("a").number);
    assert!(numbers.0 < numbers.2, "{numbers:?}");
}

#[test]
fn a_file_is_read_in_pieces_and_until_it_is_gone() {
    let mut files = files();
    files.put("a", b"0123456789").expect("put");
    let file = files.find("a").expect("a");
    let mut buf = [0; 4];
    assert_eq!((files.read(&file, 3, &mut buf), &buf), (Ok(4), b"3456"));
    assert_eq!((files.read(&file, 8, &mut buf), &buf[..2]), (Ok(2), &b"89"[..]));
    assert_eq!(files.read(&file, 11, &mut buf), Ok(0));
    // Others are put, until the file has been copied.
    for number in 0..40 {
        files.put("b", &[number; 100]).expect("put");
        assert_eq!((files.read(&file, 3, &mut buf), &buf), (Ok(4), b"3456"));
    }
    files.put("a", b"new").expect("put");
    for number in 0..10 {
        files.put("b", &[number; 100]).expect("put");
    }
    assert_eq!(files.read(&file, 3, &mut buf), Err(FileError::Gone));
}

#[test]
fn the_room_is_for_all_files_and_the_new_one() {
    let mut files = files();
    let free = files.free(1);
    let most = vec![1; free as usize];
    assert!(free > 200);
    assert_eq!(files.put("a", &[&most[..], b"x"].concat()), Err(FileError::NoSpace { free }));
    files.put("a", &most).expect("put");
    assert!(matches!(files.put("a", b"new"), Err(FileError::NoSpace { .. })), "the old contents are needed until then");
    assert_eq!(get(&mut files, "a"), Some(most));
    // There is no room for a note, either.
    files.delete("a").expect("deleted");
    assert_eq!(all(&mut files).len(), 0);
    let mut files = reopened(files);
    assert_eq!((all(&mut files).len(), files.free(1)), (0, free));
}

#[test]
fn an_upload_is_not_seen_before_its_commit() {
    let mut files = files();
    files.put("a", b"old").expect("put");
    files.begin("a", 10).expect("begun");
    assert_eq!(files.commit(), Err(FileError::Incomplete));
    assert_eq!(files.write(b"0123456"), Ok(7));
    assert_eq!(files.upload_progress(), Some(7));
    assert_eq!(files.delete("a"), Err(FileError::InUse));
    assert_eq!(files.commit(), Err(FileError::Incomplete));
    assert_eq!(files.write(b"7890"), Err(FileError::NoUpload), "one too many");
    assert_eq!(get(&mut files, "a").as_deref(), Some(&b"old"[..]));
    assert_eq!(files.write(b"789"), Ok(3));
    let mut buf = [0; 16];
    assert_eq!((files.read_upload(0, &mut buf), &buf[..10]), (Ok(10), &b"0123456789"[..]));
    assert_eq!((files.read_upload(7, &mut buf), &buf[..3]), (Ok(3), &b"789"[..]));
    assert_eq!(get(&mut files, "a").as_deref(), Some(&b"old"[..]));
    files.commit().expect("committed");
    assert_eq!(get(&mut files, "a").as_deref(), Some(&b"0123456789"[..]));
}

#[test]
fn what_is_discarded_takes_no_erasure() {
    let mut files = files();
    files.put("a", b"old").expect("put");
    let erased = files.flash_mut().erased_sectors;
    files.begin("a", 100).expect("begun");
    assert_eq!(files.write(&[7; 60]), Ok(60));
    files.discard().expect("discarded");
    files.discard().expect("nothing is left");
    files.put("b", b"new").expect("put");
    assert_eq!(files.flash_mut().erased_sectors, erased);
    let mut files = reopened(files);
    assert_eq!(all(&mut files).into_values().collect::<Vec<_>>(), [b"old", b"new"]);
}

#[test]
fn names_and_ranges_are_checked() {
    let mut files = files();
    for name in ["", &"n".repeat(SMALL_NAME_LEN + 1)] {
        assert_eq!(files.put(name, b"x"), Err(FileError::BadName));
    }
    let longest = "n".repeat(SMALL_NAME_LEN);
    files.put(&longest, b"x").expect("put");
    assert_eq!(all(&mut files).into_keys().collect::<Vec<_>>(), [longest]);
    let open = |range| SmallFiles::open(Flash::new(3, Torn::Stable, 1), range).err();
    assert_eq!(open(0..512), Some(LayoutError::TooSmall));
    assert_eq!(open(0..1_000), Some(LayoutError::NotAligned));
    assert_eq!(open(0..1_536), None, "the third sector is not used");
    assert_eq!(SmallFiles::open(Nor::<64, 1, 512>::new(2, Torn::Stable, 1), 0..1_024).err(), Some(LayoutError::Units));
}

#[test]
fn a_flash_that_fails_keeps_the_old_contents() {
    let mut files = files();
    files.put("a", b"old").expect("put");
    for after in 0..3 {
        files.flash_mut().cut_power(Some(after));
        assert_eq!(files.put("a", b"new, and longer"), Err(FileError::Flash(Fault::Power)));
        files.flash_mut().power_on();
        let contents = get(&mut files, "a");
        assert!(contents.as_deref() == Some(b"old") || after == 2 && contents.as_deref() == Some(b"new, and longer"));
    }
    files.put("a", b"newest").expect("put");
    assert_eq!(get(&mut files, "a").as_deref(), Some(&b"newest"[..]));
}

const NAMES: [&str; 4] = ["config.json", "a", "calibration", "key"];

/// What a file may hold after a power cut: what it held, or what it was to hold.
type May = BTreeMap<&'static str, Vec<Option<Vec<u8>>>>;

/// Random histories: with each power cut one file at most changes, to what was put.
fn histories<const W: usize, const R: usize, const E: usize>(sectors: usize, wanted: u64) {
    for (torn, share) in [(Torn::Stable, 2), (Torn::Unreadable, 4), (Torn::Unstable, 4)] {
        let mut nor = Nor::<W, R, E>::new(sectors, torn, W as u64);
        let mut random = Random::new(W as u64 + 7);
        let mut may: May = NAMES.map(|name| (name, vec![None])).into();
        let (mut made, mut puts) = (0, 0);
        while made < wanted / share {
            let range = 0..(sectors * E) as u32;
            let mut files = SmallFiles::open(nor, range).expect("it fits");
            look(&mut files, &mut may, torn);
            let within = if random.below(2) == 0 { 8 } else { 60 };
            files.flash_mut().cut_power(Some(random.below(within)));
            while !files.flash_mut().is_off() {
                turn(&mut files, &mut may, &mut random);
                puts += 1;
            }
            made += 1;
            nor = files.into_flash();
            nor.power_on();
        }
        assert!(puts > made, "files are put: {puts}");
    }
}

/// Checks all files.
fn look<const W: usize, const R: usize, const E: usize>(
    files: &mut SmallFiles<Nor<W, R, E>>,
    may: &mut May,
    torn: Torn,
) {
    // What was written while the power failed may be read differently the next time.
    let is_vague = torn == Torn::Unstable;
    let listed = if is_vague { BTreeMap::new() } else { all(files) };
    for (name, allowed) in may {
        let contents = files.find(name).and_then(|file| {
            let mut contents = vec![0; file.size as usize];
            files.read(&file, 0, &mut contents).ok().map(|_| contents)
        });
        assert!(allowed.contains(&contents), "{torn:?}, {name}: {contents:?}, not one of {allowed:?}");
        if !is_vague {
            assert_eq!(listed.get(*name), contents.as_ref());
            *allowed = vec![contents];
        }
    }
}

/// Puts or deletes a file, or gives up in the middle.
fn turn<const W: usize, const R: usize, const E: usize>(
    files: &mut SmallFiles<Nor<W, R, E>>,
    may: &mut May,
    random: &mut Random,
) {
    let name = NAMES[random.below(4) as usize];
    let allowed = may.get_mut(name).expect("one of them");
    let longest = files.free(name.len()).min(E as u32 / 6);
    let len = random.below(u64::from(longest) + 1) as usize;
    let new = match random.below(6) {
        0 => None,
        1 => {
            let result = files.begin(name, len as u32).and_then(|()| files.write(&vec![1; len / 2]));
            assert!(result.is_ok() || files.flash_mut().is_off());
            assert!(files.discard().is_ok() || files.flash_mut().is_off());
            return;
        }
        _ => Some(random.bytes(len)),
    };
    let result = match &new {
        Some(contents) => files.put(name, contents),
        None => files.delete(name),
    };
    match result {
        Ok(()) => *allowed = vec![new],
        Err(_) if files.flash_mut().is_off() => allowed.push(new),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn o9_histories_of_small_files_with_write_unit_1() {
    histories::<1, 1, 1_024>(2, cuts(1_500) / 3);
}

#[test]
fn o9_histories_of_small_files_with_write_unit_8() {
    histories::<8, 4, 1_024>(4, cuts(1_500) / 3);
}

#[test]
fn o9_histories_of_small_files_with_write_unit_32() {
    histories::<32, 32, 2_048>(2, cuts(1_500) / 3);
}
