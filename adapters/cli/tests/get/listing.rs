//! `coracle ls` of a real server: orders, sizes for people, hidden things; and names as people type them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::program::Serve;
use crate::support::{Server, TestDirectory};

#[test]
fn entries_are_sorted_by_what_is_asked() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    for (name, size, time) in [("b", 2000, 300), ("a", 5, 100), ("d/y", 1, 50), ("d/x", 3_000_000, 60), ("c", 5, 200)] {
        fs::create_dir_all(serve.root.path().join("d")).expect("created");
        serve.write(name, vec![0; size]);
        let file = File::options().write(true).open(serve.root.path().join(name)).expect("open");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(time)).expect("a time");
    }
    let ls = |args: &[&str]| local.run(&[&["ls", serve.address.as_str()], args].concat()).exits_with(0).out();
    assert_eq!(ls(&["--sort", "name"]), "a\nb\nc\nd/\n");
    assert_eq!(ls(&["--sort", "name", "--reverse", "-r"]), "d/\nc\nb\na\nd/y\nd/x\n");
    assert_eq!(ls(&["--sort", "size", "-r"]), "b\na\nc\nd/\nd/x\nd/y\n");
    assert_eq!(ls(&["--sort", "time", "-r"]), "b\nc\na\nd/\nd/x\nd/y\n");
    let first = "{\"fileName\":\"d/x\",\"fileSize\":3000000,\"modified\":60}\n";
    assert!(ls(&["d", "--sort", "size", "--json"]).starts_with(first));
    let human = "   2.9 MiB  1970-01-01T00:01:00Z  d/x\n       1 B  1970-01-01T00:00:50Z  d/y\n";
    assert_eq!(ls(&["d", "--human", "--sort", "time"]), human);
    local.run(&["ls", &serve.address, "--reverse"]).exits_with(2);
}

/// What is sorted is asked for again where the listing broke, and shown once.
#[test]
fn a_sorted_listing_that_breaks_is_repeated() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| {
        exchange.line(&json!({"type": "entry", "fileName": "b", "fileSize": 1}));
        if exchange.number == 0 {
            return exchange.cut();
        }
        exchange.line(&json!({"type": "entry", "fileName": "a", "fileSize": 1}));
        exchange.line(&json!({"type": "end", "count": 2}));
    });
    let result = local.run(&["ls", &server.address, "--sort", "name"]);
    assert_eq!((result.exits_with(0).out().as_str(), server.requests()), ("a\nb\n", 2));
}

#[test]
fn hidden_things_are_counted() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    fs::create_dir(serve.root.path().join("d")).expect("created");
    for name in [".a", "b", "d/.c", "d/.d"] {
        serve.write(name, "");
    }
    let ls = |args: &[&str]| local.run(&[&["ls", serve.address.as_str()], args].concat());
    let result = ls(&["-r"]);
    assert_eq!((result.code, result.out().as_str()), (Some(0), "b\nd/\n"));
    assert_eq!(result.stderr, "coracle: 3 more are hidden at the server and are left out\n");
    let result = ls(&["--json"]);
    assert_eq!(result.stderr, "coracle: 1 more are hidden at the server and are left out\n");
}

#[test]
fn names_are_understood_as_people_type_them() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    fs::create_dir(serve.root.path().join("d")).expect("created");
    serve.write("d/f", "f");
    for (number, name) in ["/d/f", "./d/f", "d//f", "/./d/.//f"].into_iter().enumerate() {
        let to = format!("to-{number}");
        serve.get(&local, &[name, "-o", &to]).exits_with(0);
        assert_eq!(local.read(&to), b"f");
        assert_eq!(local.run(&["ls", &serve.address, name]).exits_with(0).out(), "d/f\n");
        assert!(local.run(&["stat", &serve.address, name]).exits_with(0).out().starts_with("d/f\n"));
    }
    for name in ["/d", "./d/", "d//"] {
        assert_eq!(local.run(&["ls", &serve.address, name]).exits_with(0).out(), "d/f\n");
    }
    serve.get(&local, &["-r", "/d/", "-o", "contents"]).exits_with(0);
    serve.get(&local, &["-r", "//d", "-o", "whole"]).exits_with(0);
    assert_eq!((local.read("contents/f"), local.read("whole/d/f")), (b"f".to_vec(), b"f".to_vec()));
    for (name, words) in [
        (
            "../f",
            "coracle: \"../f\" is no valid name: '..' is not followed; names begin at the top of what is served\n",
        ),
        ("d/../d/f", "'..' is not followed"),
        ("d/f/", "it ends in '/', as that of a directory, which 'coracle get -r' fetches"),
    ] {
        serve.get(&local, &[name]).exits_with(2).prints_error(words);
    }
    // Two names for one file go to one name here.
    serve.get(&local, &["d/f", "/d/f", "-o", "twice/"]).exits_with(2).prints_error("would be fetched to the name f");
}

#[test]
fn one_file_is_served_alone() {
    let local = TestDirectory::new();
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("the image");
    fs::write(&path, "first").expect("written");
    fs::write(root.path().join("beside"), "not served").expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", "127.0.0.1:0", "-q"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server");
    let mut told = BufReader::new(child.stdout.take().expect("its output")).lines().map(|line| line.expect("text"));
    let first = told.next().expect("a line");
    let address = first.strip_prefix("listening on ").expect("where it listens").to_owned();
    assert_eq!(told.next(), Some(format!("  coracle get {address} 'the image'")));
    let serve = Serve { root, child, address };
    let ls = |args: &[&str]| local.run(&[&["ls", serve.address.as_str()], args].concat());
    let result = ls(&["-r"]);
    assert_eq!(result.exits_with(0).out(), "the image\n");
    serve.get(&local, &["the image"]).exits_with(0);
    serve.get(&local, &["beside"]).exits_with(1).prints_error("beside: not found");
    ls(&["the"]).exits_with(1);
    serve.write("next", "second");
    fs::rename(serve.root.path().join("next"), &path).expect("replaced");
    serve.get(&local, &["-r", "-o", "to"]).exits_with(0);
    assert_eq!((local.read("the image"), local.read("to/the image")), (b"first".to_vec(), b"second".to_vec()));
    fs::remove_file(&path).expect("removed");
    serve.get(&local, &["the image", "-o", "gone"]).exits_with(1).prints_error("not found");
    assert_eq!(ls(&[]).exits_with(0).out(), "");
}
