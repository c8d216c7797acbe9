//! Downloads on a real file system, continued from every state that a killed process leaves.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, DigestKind, End, FileName, GetRequest, Hasher, Instant,
    Verified, Version,
};
use tempfile::TempDir;

use super::{Directory, DownloadTarget, ExistingPart, LocalError, Origin, Part, Proof, Replace};

fn target(root: &Path) -> DownloadTarget {
    DownloadTarget::new(Arc::new(Directory::open(root).expect("open")), "a".as_ref())
}

fn fresh() -> (TempDir, DownloadTarget) {
    let root = tempfile::tempdir().expect("a directory");
    let target = target(root.path());
    (root, target)
}

fn origin(size: u64) -> Origin {
    let version = Version::new("v1").expect("a version");
    Origin { name: "dir/a".into(), peer: "host".into(), size, version }
}

fn found(target: &DownloadTarget) -> Part {
    match target.find_part() {
        Ok(ExistingPart::Part(part)) => *part,
        other => panic!("{other:?}"),
    }
}

fn names(root: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(root.path()).expect("list");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Creates an unfinished download of `bytes`.
fn begun(target: &DownloadTarget, bytes: &[u8]) {
    let mut part = target.create_part(origin(10)).expect("create");
    part.append(bytes).expect("append");
    part.suspend().expect("suspend");
}

#[test]
fn d1_begun_left_found_finished() {
    let (root, target) = fresh();
    assert!(matches!(target.find_part(), Ok(ExistingPart::None)));
    begun(&target, b"01234");
    assert_eq!(names(&root), [".coracle-a.part", ".coracle-a.part.json"]);
    let mut part = found(&target);
    assert_eq!((part.size(), part.origin()), (5, Some(&origin(10))));
    let mut buf = [0; 8];
    assert_eq!(part.read_at(&mut buf, 3).expect("read"), 2);
    assert_eq!(&buf[..2], b"34");
    part.append(b"56789").expect("append");
    let path = part.promote(Proof::Unchecked, Some(1_000_000_000), Replace::Nothing).expect("promote").path;
    assert_eq!(fs::read(&path).expect("read"), b"0123456789");
    let modified = fs::metadata(&path).and_then(|meta| meta.modified()).expect("modified");
    assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).map(|since| since.as_secs()).ok(), Some(1_000_000_000));
    assert_eq!(names(&root), ["a"]);
}

#[test]
fn what_has_no_byte_leaves_nothing() {
    let (root, target) = fresh();
    begun(&target, b"");
    assert!(names(&root).is_empty());
}

#[test]
fn what_is_not_proven_keeps_its_name() {
    let (root, target) = fresh();
    begun(&target, b"01234");
    assert!(matches!(found(&target).promote(Proof::Unchecked, None, Replace::Nothing), Err(LocalError::Unproven(_))));
    assert_eq!(names(&root), [".coracle-a.part", ".coracle-a.part.json"]);
}

/// A proof of the last three of five bytes, from a client session.
fn verified_tail() -> Verified {
    let now = Instant::from_millis(0);
    let mut session = ClientSession::new([0; 1024]);
    let get = GetRequest::new(FileName::from_static("a")).with_offset(2);
    session.start(ClientRequest::Get(get), now).expect("started");
    while let ClientAction::SendBytes { bytes } = session.action() {
        let len = bytes.len();
        session.sent(len, now);
    }
    let header = concat!(
        r#"{"type":"file","fileName":"a","fileSize":5,"offset":2,"length":3,"chunkSize":64,"readCnt":1,"lastSize":3,"#,
        r#""version":"v1","digest":"crc32"}"#
    );
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("a hasher");
    hasher.update(b"234");
    let answer = format!("{header}\n234{{\"type\":\"end\",\"crc32\":\"{}\"}}\n", hasher.finish());
    let mut rest = answer.as_bytes();
    loop {
        let (taken, event) = session.receive(rest, now);
        if let Some(ClientEvent::End(End::Verified(verified))) = event {
            return verified;
        }
        assert!(taken > 0, "stuck at {:?}", std::str::from_utf8(rest));
        rest = &rest[taken..];
    }
}

#[test]
fn a_proof_of_a_part_is_no_proof_of_the_whole() {
    let (root, target) = fresh();
    let mut part = target.create_part(Origin { size: 5, ..origin(5) }).expect("create");
    part.append(b"01234").expect("append");
    let refused = part.promote(Proof::Verified(verified_tail()), None, Replace::Nothing);
    assert!(matches!(refused, Err(LocalError::Unproven(_))), "{refused:?}");
    assert_eq!(names(&root), [".coracle-a.part", ".coracle-a.part.json"]);
}

#[test]
fn m3_nothing_is_replaced_unasked() {
    let (root, target) = fresh();
    fs::write(root.path().join("a"), "old").expect("write");
    assert!(matches!(target.check_target(Replace::Nothing), Err(LocalError::Exists(_))));
    target.check_target(Replace::Anything).expect("forced");
    let mut part = target.create_part(origin(1)).expect("create");
    part.append(b"1").expect("append");
    let refused = part.promote(Proof::Unchecked, None, Replace::Nothing);
    assert!(matches!(refused, Err(LocalError::Exists(_))), "{refused:?}");
    assert_eq!(fs::read(root.path().join("a")).expect("read"), b"old");
    assert_eq!(names(&root), [".coracle-a.part", ".coracle-a.part.json", "a"]);
    found(&target).promote(Proof::Unchecked, None, Replace::Anything).expect("forced");
    assert_eq!(fs::read(root.path().join("a")).expect("read"), b"1");
}

#[cfg(unix)]
#[test]
fn m4_a_target_that_became_a_link_is_not_replaced() {
    let (root, target) = fresh();
    let part = target.create_part(origin(0)).expect("create");
    symlink("elsewhere", root.path().join("a")).expect("link");
    assert!(matches!(part.promote(Proof::Unchecked, None, Replace::Anything), Err(LocalError::Symlink(_))));
    assert!(root.path().join("a").is_symlink());
}

#[test]
fn m17_many_at_once_never_share_a_part() {
    let (root, _) = fresh();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            let root = root.path();
            scope.spawn(move || {
                let target = target(root);
                let mut done = 0;
                while done < 10 {
                    assert!(std::time::Instant::now() < until, "{writer} has had its turn {done} times");
                    let mut part = match target.find_part() {
                        Ok(ExistingPart::None) => match target.create_part(origin(100)) {
                            Ok(part) => part,
                            Err(LocalError::Locked(_) | LocalError::Foreign(_)) => {
                                std::thread::yield_now();
                                continue;
                            }
                            Err(error) => panic!("{error}"),
                        },
                        Ok(ExistingPart::Part(mut part)) => {
                            part.restart(origin(100)).expect("restart");
                            *part
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(LocalError::Locked(_)) => {
                            std::thread::yield_now();
                            continue;
                        }
                        Err(error) => panic!("{error}"),
                    };
                    for _ in 0..10 {
                        part.append(&[writer; 10]).expect("append");
                    }
                    let path = part.promote(Proof::Unchecked, None, Replace::Anything).expect("promote").path;
                    // Another thread may have replaced it by now, by a whole file.
                    let bytes = fs::read(path).expect("read");
                    assert!(bytes.len() == 100 && bytes.iter().all(|byte| *byte == bytes[0]), "{bytes:?}");
                    done += 1;
                }
            });
        }
    });
    assert_eq!(names(&root), ["a"]);
}

#[test]
fn a_part_that_was_taken_away_is_not_promoted() {
    let (root, target) = fresh();
    let mut part = target.create_part(origin(1)).expect("create");
    part.append(b"1").expect("append");
    fs::remove_file(root.path().join(".coracle-a.part")).expect("remove");
    fs::write(root.path().join(".coracle-a.part"), "2").expect("write");
    assert!(matches!(part.promote(Proof::Unchecked, None, Replace::Nothing), Err(LocalError::Replaced(_))));
    assert!(!root.path().join("a").exists());
}

#[cfg(unix)]
#[test]
fn m4_links_are_neither_followed_nor_replaced() {
    for name in ["a", ".coracle-a.part", ".coracle-a.part.json"] {
        let (root, target) = fresh();
        fs::write(root.path().join("precious"), "precious").expect("write");
        symlink("precious", root.path().join(name)).expect("link");
        let refused = target.check_target(Replace::Anything).and_then(|()| target.find_part().map(drop));
        assert!(matches!(refused, Err(LocalError::Symlink(_))), "{name}: {refused:?}");
        if name != "a" {
            assert!(target.create_part(origin(1)).is_err(), "{name}");
        }
        assert_eq!(fs::read(root.path().join("precious")).expect("read"), b"precious");
        assert!(root.path().join(name).is_symlink());
    }
}

#[test]
fn m17_one_at_a_time() {
    let (_root, target) = fresh();
    let mut part = target.create_part(origin(10)).expect("create");
    assert!(matches!(target.find_part(), Err(LocalError::Locked(_))));
    assert!(matches!(target.create_part(origin(10)), Err(LocalError::Locked(_))));
    part.append(b"x").expect("append");
    part.suspend().expect("suspend");
    assert_eq!(found(&target).size(), 1);
}

#[test]
fn a_foreign_file_at_the_temporary_name_is_left_alone() {
    let (root, target) = fresh();
    fs::write(root.path().join(".coracle-a.part"), "precious").expect("write");
    assert!(matches!(target.find_part(), Err(LocalError::Foreign(_))));
    assert!(matches!(target.create_part(origin(1)), Err(LocalError::Foreign(_))));
    assert_eq!(names(&root), [".coracle-a.part"]);
    // The sidecar of another file does not make it ours either.
    fs::remove_file(root.path().join(".coracle-a.part")).expect("remove");
    begun(&target, b"012");
    fs::write(root.path().join("new"), "precious").expect("write");
    fs::rename(root.path().join("new"), root.path().join(".coracle-a.part")).expect("rename");
    assert!(matches!(target.find_part(), Err(LocalError::Foreign(_))));
    assert_eq!(fs::read(root.path().join(".coracle-a.part")).expect("read"), b"precious");
}

/// A stick that was plugged in again, an overlay that was mounted again.
#[test]
fn a_part_is_resumed_under_another_device_number() {
    let (root, target) = fresh();
    begun(&target, b"01234");
    let path = root.path().join(".coracle-a.part.json");
    let sidecar = fs::read_to_string(&path).expect("read");
    let (begin, rest) = sidecar.split_once("\"device\":").expect("a device");
    let (_, rest) = rest.split_once(',').expect("an inode");
    fs::write(&path, format!("{:<2047}\n", format!("{begin}\"device\":123456,{rest}").trim_end())).expect("write");
    let mut part = found(&target);
    assert_eq!((part.size(), part.origin()), (5, Some(&origin(10))));
    part.append(b"56789").expect("append");
    let path = part.promote(Proof::Unchecked, None, Replace::Nothing).expect("promote").path;
    assert_eq!(fs::read(path).expect("read"), b"0123456789");
    assert_eq!(names(&root), ["a"]);
}

#[test]
fn d6_a_damaged_sidecar_begins_again() {
    let (root, target) = fresh();
    begun(&target, b"01234");
    let note = fs::read(root.path().join(".coracle-a.part.json")).expect("read");
    fs::write(root.path().join(".coracle-a.part.json"), &note[..40]).expect("cut");
    let mut part = found(&target);
    assert_eq!(part.origin(), None);
    part.restart(origin(3)).expect("restart");
    part.append(b"new").expect("append");
    let path = part.promote(Proof::Unchecked, None, Replace::Nothing).expect("promote").path;
    assert_eq!(fs::read(path).expect("read"), b"new");
}

#[test]
fn d6_what_was_never_a_sidecar_is_set_aside() {
    let (root, target) = fresh();
    fs::write(root.path().join(".coracle-a.part"), "precious").expect("write");
    fs::write(root.path().join(".coracle-a.part.json"), "garbage").expect("write");
    let Ok(ExistingPart::SetAside(paths)) = target.find_part() else { panic!("not set aside") };
    assert_eq!(paths.len(), 2);
    assert_eq!(names(&root), [".coracle-a.part.json.old1", ".coracle-a.part.old1"]);
    assert_eq!(fs::read(root.path().join(".coracle-a.part.old1")).expect("read"), b"precious");
    target.create_part(origin(1)).expect("create").suspend().expect("suspend");
}

#[test]
fn d6_a_part_longer_than_noted_has_no_origin() {
    let (_root, target) = fresh();
    begun(&target, b"01234567890123");
    assert_eq!(found(&target).origin(), None);
}

#[test]
fn d1_every_state_in_between_is_recovered() {
    let (root, target) = fresh();
    // The process was killed before the part was created, or after it was renamed.
    begun(&target, b"0");
    fs::remove_file(root.path().join(".coracle-a.part")).expect("remove");
    assert!(matches!(target.find_part(), Ok(ExistingPart::None)));
    assert!(names(&root).is_empty());
    // It was killed when the part was created, and the sidecar did not name it yet.
    drop(target.create_part(origin(10)).expect("create"));
    let path = root.path().join(".coracle-a.part.json");
    let note = fs::read_to_string(&path).expect("read");
    let end = note.find("\"part\"").expect("the member");
    let unnoted = format!("{:<2047}\n", format!("{}\"part\":null}}", &note[..end]));
    fs::write(&path, &unnoted).expect("write");
    assert_eq!(found(&target).size(), 0);
    // A power cut took the last write to the sidecar.
    fs::write(root.path().join(".coracle-a.part"), "precious").expect("write");
    assert!(matches!(target.find_part(), Ok(ExistingPart::SetAside(_))));
    assert_eq!(fs::read(root.path().join(".coracle-a.part.old1")).expect("read"), b"precious");
}

/// Without a rename that replaces nothing, the part is linked to the target and then removed.
#[test]
fn d1_a_rename_by_linking_that_was_interrupted_is_finished() {
    let (root, target) = fresh();
    begun(&target, b"0123456789");
    fs::hard_link(root.path().join(".coracle-a.part"), root.path().join("a")).expect("link");
    assert!(matches!(target.find_part(), Ok(ExistingPart::None)));
    assert_eq!(names(&root), ["a"]);
    assert_eq!(fs::read(root.path().join("a")).expect("read"), b"0123456789");
}
