//! A card and a littlefs volume beside the board's own files. mkfs.fat, mtools and littlefs-python make them, and judge them afterwards.

use std::fs;
use std::path::Path;
use std::process::Command;

use coracle_core::DigestKind;
use serde_json::json;

use super::client::{Client, hex};
use super::emulator::{Board, programs};
use super::python::{self, Tree};
use super::write::in_slot;

fn run(program: &str, package: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{program}: {} ({arguments:?})", String::from_utf8_lossy(&said));
}

/// Runs the program with the board's address behind the first words.
fn coracle(words: &[&str], board: &Board, more: &[&str]) {
    run(programs().coracle.to_str().expect("UTF-8"), "nothing", &[words, &[&board.address()], more].concat());
}

fn sample(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (seed * 31 + index + index / 509 * 7) as u8).collect()
}

/// The files beneath `top`, without the client's index and the card's own.
fn read(top: &Path) -> Tree {
    let (mut tree, mut directories) = (Tree::new(), vec![top.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            let name = entry.strip_prefix(top).expect("beneath").to_str().expect("UTF-8").to_owned();
            if entry.is_dir() {
                directories.push(entry);
            } else if !name.ends_with(".coracle-index") && !name.starts_with("CORACLE.") {
                tree.insert(name, fs::read(entry).expect("readable"));
            }
        }
    }
    tree
}

#[test]
fn a_card_and_a_littlefs_volume_are_served_beside_the_boards_own_files() {
    let in_slot = in_slot();
    let home = tempfile::tempdir().expect("a fresh directory");
    let place = |name: &str| home.path().join(name);
    let text = |name: &str| place(name).to_str().expect("UTF-8").to_owned();
    let mut tree: Tree =
        (0..30).map(|index| (format!("logs/{index:04} values.csv"), sample(index, index * 20))).collect();
    tree.insert("large.bin".into(), sample(7, 300_000));
    tree.insert("Größe & Maß/Ω.txt".into(), sample(8, 700));
    tree.insert("n".repeat(240), sample(9, 1));
    python::plant(&place("tree"), &tree);
    run("mkfs.fat", "dosfstools", &["-C", "-F", "16", "-s", "4", &text("card.img"), "40960"]);
    let names = fs::read_dir(place("tree")).expect("a directory").map(|entry| entry.expect("an entry").path());
    let names: Vec<String> = names.map(|path| path.to_str().expect("UTF-8").to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    run("mcopy", "mtools", &[&["-i", &text("card.img"), "-s", "-Q", "-m"], &names[..], &["::"]].concat());
    python::make_volume(&place("flash.img"), 4_096, 256, "2.1", &place("tree"));

    let media = [format!("card={}", text("card.img")), format!("littlefs={}", text("flash.img"))];
    let board = Board::boot_chip(in_slot, &place("chip"), &["config=none", &media[0], &media[1]]);
    board.wait_for("listening on port 8888");
    for directory in ["card", "littlefs"] {
        coracle(&["get", "-r"], &board, &[directory, "-o", &text("fetched")]);
        let fetched = read(&place("fetched").join(directory));
        assert!(fetched.keys().eq(tree.keys()), "{directory}: {:?}", fetched.keys());
        assert!(fetched == tree, "{directory}: other bytes");
    }
    let mut client = Client::admitted(&board);
    client.send(json!({"type": "list"}).to_string().as_bytes());
    let entries: Vec<_> = std::iter::repeat_with(|| client.line()).take_while(|line| line["type"] == "entry").collect();
    for name in ["card", "littlefs", "boot.log", "image.running"] {
        assert!(entries.iter().any(|entry| entry["fileName"] == name), "{name}: {entries:?}");
    }
    assert_eq!(client.ask(&json!({"type": "stat", "fileName": "card"}))["code"], "notFile");
    assert_eq!(client.ask(&json!({"type": "stat", "fileName": "littlefs/none"}))["code"], "notFound");
    drop(client);

    two_clients_of_each_file(&board, &tree["large.bin"]);

    fs::write(place("new.csv"), sample(5, 20_000)).expect("written");
    coracle(&["put"], &board, &[&text("new.csv"), "-o", "card/new.csv"]);
    coracle(&["put", "--force"], &board, &[&text("new.csv"), "-o", "card/large.bin"]);
    coracle(&["rm"], &board, &["card/logs/0003 values.csv"]);
    let mut client = Client::admitted(&board);
    let sha256 = hex(DigestKind::Sha256, b"1");
    let refused = json!({"type": "put", "fileName": "littlefs/x", "fileSize": 1, "sha256": sha256});
    client.send(format!("{refused}\n").as_bytes());
    let refused = client.line();
    assert_eq!(refused["code"], "denied", "{refused}");
    let (_, body) = client.get(&json!({"type": "get", "fileName": "card/large.bin"}));
    assert!(body == sample(5, 20_000));
    board.kill();

    tree.insert("new.csv".into(), sample(5, 20_000));
    tree.insert("large.bin".into(), sample(5, 20_000));
    tree.remove("logs/0003 values.csv");
    run("fsck.fat", "dosfstools", &["-n", &text("card.img")]);
    fs::create_dir(place("judged")).expect("created");
    run("mcopy", "mtools", &["-i", &text("card.img"), "-s", "-Q", "-m", "-n", "::/*", &text("judged")]);
    assert!(read(&place("judged")) == tree, "mtools reads other files");
}

/// Four clients in the middle of bodies at once, two of them of the card's file and two of the other.
fn two_clients_of_each_file(board: &Board, large: &[u8]) {
    let names = ["card/large.bin", "littlefs/large.bin", "card/large.bin", "littlefs/large.bin"];
    let mut clients = names.map(|_| Client::admitted(board));
    for (client, name) in clients.iter_mut().zip(names) {
        let header = client.ask(&json!({"type": "get", "fileName": name}));
        assert_eq!(header["length"], large.len(), "{header}");
    }
    for piece in large.chunks(20_000) {
        for (client, name) in clients.iter_mut().zip(names) {
            assert!(client.body(piece.len() as u64) == piece, "{name}");
        }
    }
    for mut client in clients {
        assert_eq!(client.line()["crc32"], hex(DigestKind::Crc32, large));
    }
}
