//! `coracle get -r`, `ls` and `stat` against a scripted server.

mod get_support;

use std::fs;

use get_support::{Asked, Scene, Server};
use serde_json::{Value, json};

/// Files by their names; what has a `/` in its name stands in a directory.
type Files = &'static [(&'static str, &'static [u8])];

const TREE: Files = &[
    ("a", b"alpha"),
    ("a.part", b"a file like any other"),
    ("a.part.json", b"{}"),
    ("d/b", b"beta"),
    ("d/e/c", b"gamma"),
    ("d/e/empty", b""),
    ("caf\u{e9} \u{1f600} \"q\" 'q' $x *?", b"odd"),
    ("-rf", b"-rf"),
];

/// An honest server of a tree.
fn tree(mut asked: Asked<'_>, files: Files) {
    if asked.kind() != "list" {
        return asked.honest(files);
    }
    let path = asked.request["path"].as_str().map_or(String::new(), |path| format!("{path}/"));
    let (mut count, mut seen) = (0, Vec::new());
    for (name, bytes) in files {
        let Some(rest) = name.strip_prefix(&path) else { continue };
        let line = match rest.split_once('/') {
            None => json!({"type": "entry", "fileName": name, "fileSize": bytes.len(), "modified": 1_000_000_000}),
            Some((child, _)) if seen.contains(&child) => continue,
            Some((child, _)) => {
                seen.push(child);
                json!({"type": "entry", "fileName": format!("{path}{child}"), "directory": true})
            }
        };
        asked.line(&line);
        count += 1;
    }
    if count == 0 && !path.is_empty() {
        let is_file = files.iter().any(|(name, _)| format!("{name}/") == path);
        return asked.refuse(if is_file { "notDirectory" } else { "notFound" }, "no such directory");
    }
    asked.line(&json!({"type": "end", "count": count, "skipped": 2}));
}

fn server() -> Server {
    Server::new(|asked| tree(asked, TREE))
}

#[track_caller]
fn is_tree(scene: &Scene, under: &str) {
    let mut files = 0;
    for name in scene.names() {
        let path = scene.path(&name);
        let Some(rest) = name.strip_prefix(under) else { continue };
        if path.is_file() {
            let served = TREE.iter().find(|(name, _)| *name == rest).unwrap_or_else(|| panic!("{name} is not served"));
            assert_eq!(scene.read(&name), served.1, "{name}");
            files += 1;
        }
    }
    assert_eq!(files, TREE.len());
}

#[test]
fn fetches_a_tree_and_then_only_what_is_new() {
    for jobs in ["1", "5"] {
        let (scene, server) = (Scene::new(), server());
        let ran = scene.get(&server, &["-r", "-o", "to", "--jobs", jobs]);
        let words = "8 fetched (43 bytes), 0 equal and skipped, 0 failed, 6 that the server cannot serve\n";
        assert_eq!(ran.ends(0).out(), words);
        assert!(server.connections() <= jobs.parse().expect("a number"), "a connection for each file");
        is_tree(&scene, "to/");
        fs::remove_file(scene.path("to/d/b")).expect("removed");
        let ran = scene.get(&server, &["-r", "-o", "to", "--jobs", jobs]);
        assert!(ran.ends(0).out().starts_with("1 fetched (4 bytes), 7 equal and skipped, 0 failed"), "{}", ran.out());
        is_tree(&scene, "to/");
    }
}

#[test]
fn what_differs_is_replaced_only_by_force() {
    let (scene, server) = (Scene::new(), server());
    fs::create_dir_all(scene.path("d/e")).expect("directories");
    scene.write("d/b", "BETA");
    scene.write("d/e/c", "longer than gamma");
    let ran = scene.get(&server, &["-r", "d"]);
    ran.ends(5).says("d/b: ./d/b exists already").says("d/e/c: ./d/e/c exists already");
    assert!(ran.out().starts_with("1 fetched (0 bytes), 0 equal and skipped, 2 failed"), "{}", ran.out());
    assert_eq!((scene.read("d/b"), scene.read("d/e/c")), (b"BETA".to_vec(), b"longer than gamma".to_vec()));
    scene.get(&server, &["-r", "d", "--force"]).ends(0);
    assert_eq!((scene.read("d/b"), scene.read("d/e/c")), (b"beta".to_vec(), b"gamma".to_vec()));
}

#[test]
fn where_named_things_go() {
    let (scene, server) = (Scene::new(), server());
    scene.get(&server, &["-r", "d/e", "a", "-o", "x"]).ends(0);
    assert_eq!(scene.names(), ["x", "x/a", "x/e", "x/e/c", "x/e/empty"]);
    scene.get(&server, &["-r", "d/", "-o", "y"]).ends(0);
    assert_eq!(scene.names()[5..], ["y", "y/b", "y/e", "y/e/c", "y/e/empty"]);
    scene.get(&server, &["-r", ".", "-o", "z"]).ends(0);
    is_tree(&scene, "z/");
    scene.get(&server, &["-r", "missing", "a"]).ends(1).says("missing");
    assert_eq!(scene.read("a"), b"alpha");
    scene.get(&server, &["-r", "d", "-o", "-"]).ends(2);
    scene.get(&server, &["-r", "d", "-o", "no/such/place"]).ends(5);
    scene.get(&server, &["-r", "-o", "a"]).ends(5);
}

#[test]
fn a_file_where_a_directory_has_to_be_fails_alone() {
    let (scene, server) = (Scene::new(), server());
    scene.write("d", "in the way");
    scene.get(&server, &["-r"]).ends(5).says("d: cannot open directory");
    assert_eq!((scene.read("d"), scene.read("a")), (b"in the way".to_vec(), b"alpha".to_vec()));
}

#[test]
fn links_are_entered_only_on_request_and_not_in_circles() {
    let served = |mut asked: Asked<'_>| {
        let path = asked.request["path"].as_str().map_or(String::new(), |path| format!("{path}/"));
        if asked.kind() == "list" {
            asked.line(&json!({"type": "entry", "fileName": format!("{path}f"), "fileSize": 1}));
            asked.line(&json!({"type": "entry", "fileName": format!("{path}l"), "directory": true, "link": true}));
            asked.line(&json!({"type": "end", "count": 2}));
        } else {
            asked.answer(b"x", "v1");
        }
    };
    let (scene, server) = (Scene::new(), Server::new(served));
    let ran = scene.get(&server, &["-r", "-o", "to"]);
    assert!(ran.ends(0).out().contains("1 links to directories not followed"), "{}", ran.out());
    assert_eq!(scene.names(), ["to", "to/f"]);
    let ran = scene.get(&server, &["-r", "-o", "to", "--follow-links"]);
    assert!(ran.ends(0).out().starts_with("8 fetched (8 bytes), 1 equal"), "{}", ran.out());
    assert_eq!(scene.run(&["ls", &server.address, "-r"]).ends(0).out(), "f\nl/@\n");
}

#[test]
fn a_server_that_is_gone_is_not_asked_for_everything() {
    let scene = Scene::new();
    let server = Server::new(|mut asked| match (asked.kind(), asked.name()) {
        ("list", _) | (_, "a") => tree(asked, TREE),
        _ => asked.cut(),
    });
    let ran = scene.get(&server, &["-r", "--retries", "0", "-o", "to"]);
    assert!(ran.ends(3).out().contains("1 fetched (5 bytes), 0 equal and skipped, 1 failed"), "{}", ran.out());
    assert!(ran.out().contains("4 not tried"), "{}", ran.out());
}

#[test]
fn a_listing_that_is_cut_begins_again_or_is_reported() {
    let scene = Scene::new();
    let server = Server::new(|mut asked| match asked.number {
        0 => {
            asked.line(&json!({"type": "entry", "fileName": "gone", "fileSize": 1}));
            asked.cut();
        }
        _ => tree(asked, TREE),
    });
    scene.get(&server, &["-r", "-o", "to"]).ends(0);
    is_tree(&scene, "to/");
    let server = Server::new(|mut asked| {
        asked.line(&json!({"type": "entry", "fileName": "shown", "fileSize": 1}));
        asked.cut();
    });
    let ran = scene.run(&["ls", &server.address]);
    assert_eq!((ran.ends(3).out().as_str(), server.requests()), ("shown\n", 1));
    let failing = Server::new(|mut asked| {
        asked.line(&json!({"type": "entry", "fileName": "shown", "fileSize": 1}));
        asked.refuse("io", "the disk failed");
    });
    assert_eq!(scene.run(&["ls", &failing.address]).ends(1).out(), "shown\n");
}

#[test]
fn ls_in_its_forms() {
    let (scene, server) = (Scene::new(), server());
    let ls = |args: &[&str]| {
        let ran = scene.run(&[&["ls", server.address.as_str()], args].concat());
        assert!(
            ran.code == Some(0) && ran.stderr.contains("more cannot be served") || args.contains(&"d/b"),
            "{ran:?}"
        );
        ran.out()
    };
    assert_eq!(ls(&["d"]), "d/b\nd/e/\n");
    assert_eq!(ls(&["d/"]), "d/b\nd/e/\n");
    assert_eq!(ls(&["d/b"]), "d/b\n");
    assert_eq!(ls(&["d", "-r"]), "d/b\nd/e/\nd/e/c\nd/e/empty\n");
    let long = "             4  2001-09-09T01:46:40Z  d/b\n             -  -                     d/e/\n";
    assert_eq!(ls(&["d", "-l"]), long);
    let lines = ls(&["-r", "--json"]);
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(objects.len(), 10);
    assert!(objects.contains(&json!({"fileName": "d/e/c", "fileSize": 5, "modified": 1_000_000_000})));
    assert!(objects.contains(&json!({"fileName": "d/e", "directory": true})));
    assert_eq!(scene.run(&["ls", &server.address, "missing"]).code, Some(1));
    assert_eq!(scene.run(&["ls", &server.address, "../x"]).code, Some(2));
}

#[test]
fn stat_in_its_forms() {
    let (scene, server) = (Scene::new(), server());
    let ran = scene.run(&["stat", &server.address, "d/b", "--digest", "crc32"]);
    let crc = get_support::crc32(b"beta");
    assert_eq!(
        ran.ends(0).out(),
        format!("d/b\n  size      4 bytes\n  modified  -\n  version   v1\n  crc32     {crc}\n")
    );
    let ran = scene.run(&["stat", &server.address, "d/b", "--json"]);
    let object: Value = serde_json::from_str(&ran.ends(0).out()).expect("JSON");
    assert_eq!(object, json!({"fileName": "d/b", "fileSize": 4, "version": "v1"}));
    let ran = scene.run(&["stat", &server.address, "d/b", "--json", "--digest", "crc32"]);
    let object: Value = serde_json::from_str(&ran.ends(0).out()).expect("JSON");
    assert_eq!((&object["digest"], object["crc32"].as_str()), (&json!("crc32"), Some(crc.as_str())));
    scene.run(&["stat", &server.address, "missing"]).ends(1);
}

/// As much memory for 80,000 entries as for one, at the client's end.
#[test]
fn x7_a_long_listing_takes_no_more_memory_than_a_short_one() {
    const COUNT: usize = 80_000;
    let scene = Scene::new();
    let server = Server::new(|mut asked| {
        for block in 0..COUNT / 100 {
            let entry = |number| {
                format!("{{\"type\":\"entry\",\"fileName\":\"{}-{block}-{number}\",\"fileSize\":1}}\n", "x".repeat(200))
            };
            asked.send((0..100).map(entry).collect::<String>());
        }
        asked.line(&json!({"type": "end", "count": COUNT}));
    });
    // 16 MB of names would not fit into what the program may have.
    let command = format!("ulimit -v 16000 && {} ls {} -l | wc -l", env!("CARGO_BIN_EXE_coracle"), server.address);
    let output =
        std::process::Command::new("sh").args(["-c", &command]).current_dir(scene.root.path()).output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim(), COUNT.to_string(), "{}", String::from_utf8_lossy(&output.stderr));
}
