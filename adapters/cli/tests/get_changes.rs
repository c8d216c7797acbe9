//! `coracle get` of files that change, and what earlier runs left behind: never a spliced file.

mod get_support;

use std::fs;
use std::sync::Mutex;

use get_support::{Asked, Scene, Server, crc32, noise};
use serde_json::json;

/// Sends the header and the first `len` bytes behind the offset, then closes.
fn cut_after(asked: &mut Asked<'_>, file: &[u8], version: &str, len: usize) {
    let header = asked.header(file, version);
    asked.line(&header);
    let offset = asked.offset();
    asked.send(&file[offset..file.len().min(offset + len)]);
    asked.cut();
}

/// Sends the whole body, and says that it changed meanwhile; with the digest or without.
fn changed_meanwhile(asked: &mut Asked<'_>, file: &[u8], version: &str, digest: Option<&str>) {
    let header = asked.header(file, version);
    asked.line(&header);
    let offset = asked.offset();
    asked.send(&file[offset..]);
    let mut error = json!({"type": "error", "code": "changed", "message": "the file changed"});
    if let Some(digest) = digest {
        error["crc32"] = digest.into();
    }
    asked.line(&error);
}

#[test]
fn s6_another_version_starts_over() {
    let (old, new) = (noise(30_000), noise(70_000).split_off(30_000));
    let (scene, old_sent, new_sent) = (Scene::new(), old.clone(), new.clone());
    let server = Server::new(move |mut asked| match asked.number {
        0 => cut_after(&mut asked, &old_sent, "old", 10_000),
        1 => {
            assert_eq!((asked.offset(), asked.request["version"].as_str()), (10_000, Some("old")));
            asked.answer(&new_sent, "new");
        }
        _ => {
            assert_eq!((asked.offset(), asked.request.get("version")), (0, None));
            asked.answer(&new_sent, "new");
        }
    });
    scene.get(&server, &["a"]).ends(0);
    assert_eq!((scene.read("a"), server.requests()), (new, 3));
    assert_eq!(scene.names(), ["a"]);
}

#[test]
fn s10_a_file_that_shrank_below_the_offset_starts_over() {
    for code in ["changed", "badRange"] {
        let scene = Scene::new();
        let server = Server::new(move |mut asked| match asked.number {
            0 => cut_after(&mut asked, &[7; 9_000], "v1", 5_000),
            1 => asked.refuse(code, "shorter now"),
            _ => asked.answer(b"short", "v2"),
        });
        scene.get(&server, &["a"]).ends(0);
        assert_eq!((scene.read("a"), server.requests()), (b"short".to_vec(), 3), "{code}");
    }
}

#[test]
fn a_resume_with_another_version_in_the_header_is_refused() {
    let scene = Scene::new();
    let server = Server::new(move |mut asked| match asked.number {
        0 => cut_after(&mut asked, &[7; 9_000], "v1", 5_000),
        _ => {
            let header = asked.header(&[8; 9_000], "v2");
            asked.line(&header);
            asked.send([8; 4_000]);
            let end = asked.end(&[8; 9_000]);
            asked.line(&end);
        }
    });
    scene.get(&server, &["a"]).ends(4);
    assert_eq!(scene.names(), ["a.part", "a.part.json"]);
}

#[test]
fn a_file_that_changes_is_fetched_again_at_most_three_times() {
    for tail in [2, 3, 4, 9] {
        let scene = Scene::new();
        let server = Server::new(move |mut asked| {
            let file = vec![u8::try_from(asked.number).expect("few"); 5_000];
            let version = format!("v{}", asked.number);
            if asked.number < tail {
                changed_meanwhile(&mut asked, &file, &version, Some(&crc32(&file)));
            } else {
                asked.answer(&file, &version);
            }
        });
        let ran = scene.get(&server, &["a"]);
        if tail <= 3 {
            ran.ends(0);
            assert_eq!(scene.read("a"), vec![u8::try_from(tail).expect("few"); 5_000]);
        } else {
            ran.ends(1).says("changed");
            assert_eq!(server.requests(), 4);
            assert!(!scene.path("a").exists());
        }
    }
}

#[test]
fn a_snapshot_is_kept_on_request_if_its_digest_is_right() {
    let file = noise(9_000);
    for (digest, is_kept) in [(Some(crc32(&file)), true), (Some(crc32(b"x")), false), (None, false)] {
        let (scene, sent, shown) = (Scene::new(), file.clone(), format!("{digest:?}"));
        let server = Server::new(move |mut asked| changed_meanwhile(&mut asked, &sent, "v1", digest.as_deref()));
        let ran = scene.get(&server, &["a", "--snapshot"]);
        if is_kept {
            ran.ends(0);
            assert_eq!((scene.read("a"), server.requests()), (file.clone(), 1));
        } else {
            ran.ends(1);
            assert!(!scene.path("a").exists(), "{shown}");
        }
        let ran = scene.get(&server, &["a", "--snapshot", "-o", "-"]);
        assert_eq!(ran.code, Some(i32::from(!is_kept)), "{shown}");
    }
}

#[test]
fn a_resume_without_a_digest_stays_with_its_server() {
    let (scene, file) = (Scene::new(), noise(20_000));
    let sent = file.clone();
    let first = Server::new(move |mut asked| cut_after(&mut asked, &sent, "v1", 8_000));
    scene.get(&first, &["a", "--digest", "none", "--retries", "0"]).ends(3);
    // Another server, whose file happens to have that version, too.
    let second = Server::new(|mut asked| {
        assert_eq!(asked.offset(), 0, "nothing would have told the difference");
        asked.answer(&[1; 20_000], "v1");
    });
    scene.get(&second, &["a", "--digest", "none"]).ends(0);
    assert_eq!(scene.read("a"), [1; 20_000]);
}

#[test]
fn no_resume_begins_again() {
    let (scene, file) = (Scene::new(), noise(20_000));
    let sent = file.clone();
    let server = Server::new(move |mut asked| match asked.number {
        0 => cut_after(&mut asked, &sent, "v1", 8_000),
        1 => {
            assert_eq!(asked.offset(), 0);
            cut_after(&mut asked, &sent, "v1", 4_000);
        }
        _ => {
            // What this run has fetched itself is not fetched again.
            assert_eq!(asked.offset(), 4_000);
            asked.answer(&sent, "v1");
        }
    });
    scene.get(&server, &["a", "--retries", "0"]).ends(3);
    scene.get(&server, &["a", "--no-resume"]).ends(0);
    assert_eq!(scene.read("a"), file);
}

#[test]
fn a_writer_gets_the_file_in_pieces_and_it_is_verified() {
    let file = noise(30_000);
    for (last, code) in [("v1", 0), ("v2", 1)] {
        let (scene, sent) = (Scene::new(), file.clone());
        let server = Server::new(move |mut asked| match (asked.kind(), asked.number) {
            ("get", 0 | 1) => cut_after(&mut asked, &sent, "v1", 10_000),
            ("get", _) => asked.answer(&sent, "v1"),
            _ => asked.answer(&sent, last),
        });
        let ran = scene.get(&server, &["a", "-o", "-"]);
        assert_eq!(ran.ends(code).stdout, file);
    }
    // A piece that was cut off has no digest of its own: the whole has.
    let scene = Scene::new();
    let server = Server::new(move |mut asked| match (asked.kind(), asked.number) {
        ("get", 0) => {
            let mut wrong = file.clone();
            wrong[5] ^= 1;
            cut_after(&mut asked, &wrong, "v1", 10_000);
        }
        _ => asked.answer(&file, "v1"),
    });
    scene.get(&server, &["a", "-o", "-"]).ends(4);
}

#[test]
fn d6_whatever_lies_in_the_sidecar_the_file_is_right() {
    let file = noise(20_000);
    let scene = Scene::new();
    let sent = file.clone();
    let cut = Server::new(move |mut asked| cut_after(&mut asked, &sent, "v1", 8_000));
    let note = || String::from_utf8(scene.read("a.part.json")).expect("UTF-8");
    let edit = |from: &str, to: &str| {
        assert!(note().contains(from));
        scene.write("a.part.json", note().replace(from, to));
    };
    let damages: [(&str, &dyn Fn()); 8] = [
        ("nothing", &|| {}),
        ("half a sidecar", &|| scene.write("a.part.json", &note()[..1_000])),
        ("an empty sidecar", &|| scene.write("a.part.json", "")),
        ("zeros", &|| scene.write("a.part.json", [0; 2_048])),
        ("another file's sidecar", &|| edit("\"fileName\":\"a\"", "\"fileName\":\"b\"")),
        ("another version", &|| edit("\"v1\"", "\"v2\"")),
        ("a shorter part", &|| fs::write(scene.path("a.part"), &file[..100]).expect("written")),
        ("a longer part", &|| fs::write(scene.path("a.part"), [3; 30_000]).expect("written")),
    ];
    for (what, damage) in damages {
        scene.get(&cut, &["a", "--retries", "0"]).ends(3);
        damage();
        let sent = file.clone();
        let server = Server::new(move |mut asked| asked.answer(&sent, "v1"));
        let ran = scene.get(&server, &["a"]);
        assert_eq!((ran.code, scene.path("a").exists()), (Some(0), true), "{what}: {}", ran.stderr);
        assert_eq!(scene.read("a"), file, "{what}");
        for name in scene.names() {
            assert!(name == "a" || name.contains(".old"), "{what}: {name}");
            fs::remove_file(scene.path(&name)).expect("removed");
        }
    }
}

#[test]
fn a_foreign_file_at_the_temporary_name_is_never_touched() {
    let scene = Scene::new();
    scene.write("a.part", "precious");
    let server = Server::new(|mut asked| asked.answer(b"new", "v1"));
    scene.get(&server, &["a", "--force"]).ends(5).says("a.part is in the way");
    assert_eq!(scene.names(), ["a.part"]);
    assert_eq!(scene.read("a.part"), b"precious");
    // What is fetched under that name is a file like any other.
    scene.get(&server, &["a.part", "--force"]).ends(0);
    assert_eq!(scene.read("a.part"), b"new");
}

#[test]
fn names_as_long_as_they_get() {
    let scene = Scene::new();
    let server = Server::new(|mut asked| {
        if asked.number % 2 == 0 {
            cut_after(&mut asked, &[1; 5_000], "v1", 2_000);
        } else {
            assert_eq!(asked.offset(), 2_000);
            asked.answer(&[1; 5_000], "v1");
        }
    });
    for name in ["x".repeat(255), "é".repeat(127), "収".repeat(85), "\u{1f600}".repeat(63) + "abc"] {
        scene.get(&server, &[&name, "--retries", "0"]).ends(3);
        scene.get(&server, &[&name]).ends(0);
        assert_eq!(scene.names(), [name.as_str()]);
        fs::remove_file(scene.path(&name)).expect("removed");
    }
}

#[test]
fn the_time_of_modification_is_set() {
    for modified in [0, 1_000_000_000, u64::MAX] {
        let scene = Scene::new();
        let server = Server::new(move |mut asked| {
            let mut header = asked.header(b"x", "v1");
            header["modified"] = modified.into();
            asked.line(&header);
            asked.send("x");
            let end = asked.end(b"x");
            asked.line(&end);
        });
        scene.get(&server, &["a"]).ends(0);
        let set = fs::metadata(scene.path("a")).and_then(|metadata| metadata.modified()).expect("a time");
        let set = set.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(set == modified || modified == u64::MAX, "{set}");
    }
}

#[test]
fn a_connection_that_was_kept_may_be_closed_meanwhile() {
    let scene = Scene::new();
    let order = Mutex::new(());
    let server = Server::new(move |mut asked| {
        let _one_at_a_time = order.lock();
        asked.answer(b"x", "v1");
        asked.cut();
    });
    scene.get(&server, &["a", "b", "c", "--retries", "0"]).ends(0);
    assert_eq!((scene.names().len(), server.connections()), (3, 3));
}
