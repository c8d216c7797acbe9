//! The board's files, configuration and logs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use coracle_core::DigestKind;
use serde_json::json;

use super::client::{Client, hex, image, status};
use super::document::Document;
use super::emulator::{Board, firmware, programs, top};
use super::over_tcp::Server;

/// The program lists, fetches and verifies every file.
#[test]
fn the_program_fetches_every_file() {
    let board = Board::start(&["config=none"]);
    let folder = tempfile::tempdir().expect("a fresh directory");
    for (digest, name) in [("crc32", "first"), ("sha256", "second")] {
        let mirror = folder.path().join(name);
        let mut get = Command::new(&programs().coracle);
        get.args(["get", "-r", &board.address(), "--digest", digest, "-o"]).arg(&mirror);
        let output = get.output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let fetched = |name: &str| fs::read(mirror.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(hex(DigestKind::Sha256, &fetched("image.bin")), hex(DigestKind::Sha256, &image()));
        let ours = |name: &str| fs::read(top().join("firmware-example/files").join(name)).expect("ours");
        for name in ["welcome.txt", "empty", "docs/names.txt"] {
            assert_eq!(fetched(name), ours(name));
        }
        assert_eq!(fetched("docs/船.txt"), ours("docs/names.txt"));
        assert!(String::from_utf8(fetched("boot.log")).expect("text").contains("started, name (none)"));
        assert!(serde_json::from_slice::<serde_json::Value>(&fetched("status.json")).is_ok());
    }
    let list = Command::new(&programs().coracle).args(["ls", "-l", &board.address()]).output().expect("it runs");
    let text = String::from_utf8(list.stdout).expect("text");
    assert!(list.status.success() && text.contains("image.bin") && text.contains("1048576"), "{text}");
}

#[test]
fn ranges_are_what_was_asked() {
    let board = Board::start(&["config=none"]);
    let image = image();
    let mut client = Client::connect(&board);
    for (offset, length) in [(0, 1), (0, 1024), (1, 1023), (1023, 2), (500_000, 70_001), (1_048_575, 1), (1_048_576, 5)]
    {
        let ask = json!({"type": "get", "fileName": "image.bin", "offset": offset, "length": length});
        let (header, body) = client.get(&ask);
        let end = (offset + length).min(image.len());
        assert_eq!(body, image[offset..end], "{offset} {length}");
        assert_eq!(header["readCnt"], (end - offset).div_ceil(1024), "{header}");
    }
    let past = client.ask(&json!({"type": "get", "fileName": "image.bin", "offset": 1_048_577}));
    assert_eq!(past["code"], "badRange");
    // The digest also covers the bytes before the offset, which the board reads first.
    let header = client.ask(&json!({"type": "get", "fileName": "image.bin", "offset": 1_048_570, "digestFrom": 0}));
    assert_eq!(client.body(header["length"].as_u64().expect("a length")), image[1_048_570..]);
    assert_eq!(client.line()["crc32"], hex(DigestKind::Crc32, &image));
}

/// Four clients in the middle of a body; a fifth is told `busy`; after one has gone the next is served.
#[test]
fn four_at_once_and_a_fifth_is_told_busy() {
    let board = Board::start(&["config=none"]);
    let ask = json!({"type": "get", "fileName": "image.bin"});
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&board)).collect();
    let headers: Vec<_> = clients.iter_mut().map(|client| client.ask(&ask)).collect();
    let mut refused = 0;
    for _ in 0..1_000 {
        let mut fifth = Client::connect(&board);
        // While the spare socket tells `busy`, the next client is reset.
        let Some(line) = fifth.try_line() else { continue };
        assert_eq!(line["code"], "busy");
        assert!(fifth.is_at_end());
        refused += 1;
        if refused == 3 {
            break;
        }
    }
    let image = image();
    for (mut client, header) in clients.into_iter().zip(headers) {
        assert_eq!(client.body(header["length"].as_u64().expect("a length")), image);
        assert_eq!(client.line()["crc32"], hex(DigestKind::Crc32, &image));
        client.finish();
        assert!(client.is_at_end());
    }
    let after = status(&board);
    assert_eq!((after["clients"].as_u64(), after["refused"].as_u64()), (Some(1), Some(refused)), "{after}");
    assert!(after["bytes_served"].as_u64() >= Some(4 << 20), "{after}");
}

/// The log grows without a new version, and a fetch resumes at its old end, until the oldest lines make room for new ones.
#[test]
fn the_boot_log_grows_until_it_is_full() {
    let board = Board::start(&["config=none"]);
    let mut client = Client::connect(&board);
    let ask = json!({"type": "get", "fileName": "boot.log"});
    let (header, old) = client.get(&ask);
    let version = &header["version"];
    let offset = old.len();
    // What is asked of the log itself is not logged into it.
    client.ask(&json!({"type": "hello"}));
    let (grown, new) = client.get(&json!({
        "type": "get", "fileName": "boot.log", "offset": offset, "version": version, "digestFrom": offset
    }));
    assert_eq!(grown["version"], *version);
    assert!(!new.is_empty() && old.starts_with(b"0."), "{}", String::from_utf8_lossy(&new));
    let (_, all) = client.get(&ask);
    assert!(all.starts_with(&[old, new].concat()));
    // 8 KiB are full after some hundred exchanges.
    let mut exchanges = 0;
    let changed = loop {
        client.ask(&json!({"type": "hello"}));
        let header = client.ask(&json!({"type": "stat", "fileName": "boot.log"}));
        if header["version"] != *version {
            break header;
        }
        exchanges += 1;
        assert!(exchanges < 1_000, "{header}");
    };
    assert!((5_000..8_000).contains(&changed["fileSize"].as_u64().expect("a size")), "{changed}");
    let stale = json!({"type": "get", "fileName": "boot.log", "offset": offset, "version": version});
    assert_eq!(client.ask(&stale)["code"], "changed");
}

/// The board fetches its configuration from the program.
#[test]
fn the_board_is_configured_by_the_pc() {
    for (json, is_good) in [
        (r#"{"name":"bench-7","idle_ms":20000}"#, true),
        (r#"{"name":"bench-7","unknown":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"#, false),
        (&"[".repeat(500), false),
        (&" ".repeat(600), false),
    ] {
        let folder = tempfile::tempdir().expect("a fresh directory");
        fs::write(folder.path().join("config.json"), json).expect("written");
        let mut pc = Command::new(&programs().coracle)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        BufReader::new(pc.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
        let port = line.trim().rsplit(':').next().expect("a port");
        let board = unless_late(&format!("config={port}"), "nobody answered in time");
        pc.kill().expect("it runs");
        pc.wait().expect("it ends");
        let hello = Client::connect(&board).ask(&json!({"type": "hello"}));
        if is_good {
            assert_eq!((hello["name"].as_str(), hello["idle_ms"].as_u64()), (Some("bench-7"), Some(20_000)));
            assert_eq!(status(&board)["name"], "bench-7");
        } else {
            assert_eq!((hello["name"].as_str(), hello["idle_ms"].as_u64()), (Some(""), Some(60_000)));
            assert!(board.log().iter().any(|line| line.contains("config.json is refused")), "{:?}", board.log());
        }
    }
}

/// Boots a board, again where its log reports a time-out: this machine was too busy then.
fn unless_late(argument: &str, in_vain: &str) -> Board {
    let boards = std::iter::repeat_with(|| Board::start(&[argument])).take(5);
    let mut in_time = boards.filter(|board| !board.log().iter().any(|line| line.contains(in_vain)));
    in_time.next().expect("in time once in five times")
}

/// Without DHCP it takes the fixed address.
#[test]
fn without_dhcp_there_is_a_fixed_address() {
    let board = Board::start(&["config=none", "dhcp=off"]);
    board.wait_for("address 10.0.2.15/24 (fixed)");
    assert_eq!(Client::connect(&board).ask(&json!({"type": "hello"}))["type"], "hello");
}

/// The log of a session, line by line.
#[test]
fn the_log_is_what_it_was() {
    let board = unless_late("config=none", "(fixed)");
    let mut client = Client::connect(&board);
    client.ask(&json!({"type": "hello"}));
    client.get(&json!({"type": "get", "fileName": "welcome.txt"}));
    client.ask(&json!({"type": "stat", "fileName": "none"}));
    client.ask(&json!({"type": "fly"}));
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    client.line();
    assert!(client.is_at_end());
    board.wait_for("gone");
    let expected = include_str!("log.txt");
    assert_eq!(board.log(), expected.lines().collect::<Vec<_>>());
}

/// The transcripts of PROTOCOL.md, on a board with their store.
#[test]
fn the_transcripts_are_played() {
    let mut document = Document::default();
    for text in [include_str!("../../../core/PROTOCOL.md"), include_str!("../../../core/TRANSCRIPTS.md")] {
        document.read(text).expect("the notation is kept");
    }
    let store = document.store("bench").expect("the store is described");
    let folder = tempfile::tempdir().expect("a fresh directory");
    for line in store {
        let path = folder.path().join(line.file_name.as_ref().expect("only files"));
        fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        fs::write(path, line.contents()).expect("written");
    }
    programs();
    let image = firmware(Some(folder.path()), "bench.elf");
    let board = Board::boot(&image, &["config=none", "made=off"]);
    board.wait_for("listening on port 8888");
    let server = Server::at(board.address().parse().expect("an address"), false, store).expect("it answers");
    let transcripts = document.transcripts.iter().filter(|transcript| transcript.store == "bench");
    let played: Vec<_> = transcripts.filter(|transcript| server.can_play(transcript, 0)).collect();
    let failures: Vec<String> = played.iter().filter_map(|transcript| server.play(transcript, store).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played.len() > 25, "{} transcripts", played.len());
}
