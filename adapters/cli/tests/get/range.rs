//! `coracle get --offset --length`: a range of a file, to a file or a stream.

use std::fs;

use crate::program::Serve;
use crate::support::{Server, TestDirectory, pseudo_random};

#[test]
fn a_range_goes_to_a_file_or_a_stream() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    serve.write("f", "0123456789");
    for (args, bytes) in [
        (vec!["--offset", "3"], "3456789"),
        (vec!["--length", "4"], "0123"),
        (vec!["--offset", "3", "--length", "4"], "3456"),
        (vec!["--offset", "8", "--length", "1k"], "89"),
        (vec!["--offset", "10"], ""),
        (vec!["--length", "0"], ""),
        (vec!["--offset", "0", "--length", "10"], "0123456789"),
        (vec!["--offset", "3", "--length", "4", "--digest", "sha256"], "3456"),
        (vec!["--offset", "3", "--length", "4", "--digest", "none"], "3456"),
    ] {
        let result = serve.get(&local, &[&["f", "-o", "-"], args.as_slice()].concat());
        assert_eq!(result.exits_with(0).out(), bytes, "{args:?}");
        serve.get(&local, &[&["f", "-o", "to", "--force"], args.as_slice()].concat()).exits_with(0);
        assert_eq!(local.read("to"), bytes.as_bytes(), "{args:?}");
        assert_eq!(local.names(), ["to"]);
    }
    serve.get(&local, &["f", "--offset", "11", "-o", "-"]).exits_with(1).prints_error("f: ");
    serve.get(&local, &["-r", "--offset", "1"]).exits_with(2).prints_error("--recursive");
    serve.get(&local, &["f", "g", "--length", "1"]).exits_with(2).prints_error("for one file at a time");
    serve.get(&local, &["f", "--length", "all"]).exits_with(2).prints_error("a number of bytes");
    serve.get(&local, &["f", "--length", "1", "-o", "to"]).exits_with(1 + 4).prints_error("to exists already");
}

/// Sends half of what is asked for and breaks, each time up to the third request.
fn breaking(file: &'static [u8]) -> Server {
    Server::new(move |mut exchange| {
        if exchange.number > 2 {
            return exchange.answer(file, "v1");
        }
        let header = exchange.header(file, "v1");
        exchange.line(&header);
        let (from, half) = (exchange.offset(), header["length"].as_u64().expect("a number") / 2);
        exchange.send(&file[from..][..usize::try_from(half).expect("small")]);
        exchange.cut();
    })
}

#[test]
fn a_range_to_a_file_resumes_within_the_run_and_over_runs() {
    let local = TestDirectory::new();
    let file: &[u8] = pseudo_random(100_000).leak();
    let args = ["f", "--offset", "1000", "--length", "50000"];
    let server = breaking(file);
    local.get(&server, &args).exits_with(0).prints_error("trying again");
    assert!(local.read("f") == file[1000..51_000]);
    assert_eq!((local.names(), server.requests()), (vec!["f".to_owned()], 4));

    let server = breaking(file);
    fs::remove_file(local.path("f")).expect("removed");
    local.get(&server, &[&args[..], &["--retries", "0"]].concat()).exits_with(3);
    let part = local.read(".coracle-f.part");
    assert!(part == file[1000..26_000]);
    local.get(&server, &[&args[..], &["--retries", "0"]].concat()).exits_with(3);
    assert_eq!(local.read(".coracle-f.part").len(), 37_500);
    // What is here is more than a shorter range, and the beginning of no other one and of no whole file.
    for (args, range) in [
        (vec!["f", "--offset", "1000", "--length", "100"], 1000..1100),
        (vec!["f", "--offset", "1001"], 1001..100_000),
        (vec!["f"], 0..100_000),
        (vec!["f", "--digest", "none"], 0..100_000),
    ] {
        let other = TestDirectory::new();
        other.get(&breaking(file), &["f", "--offset", "1000", "--length", "50000", "--retries", "0"]).exits_with(3);
        assert_eq!(other.read(".coracle-f.part").len(), 25_000);
        let server = Server::new(move |mut exchange| exchange.answer(file, "v1"));
        other.get(&server, &args).exits_with(0);
        assert!(other.read("f") == file[range], "{args:?}");
        assert_eq!(other.names(), ["f"]);
    }
    local.get(&server, &args).exits_with(0);
    assert!(local.read("f") == file[1000..51_000]);
}

/// There is no digest of a range to ask for that would cover what came before the break.
#[test]
fn a_range_to_a_stream_does_not_go_on_unverified() {
    let local = TestDirectory::new();
    let file: &[u8] = pseudo_random(100_000).leak();
    let server = breaking(file);
    let result = local.get(&server, &["f", "--offset", "1000", "-o", "-"]);
    assert_eq!(result.exits_with(3).stdout, &file[1000..50_500]);
    let server = breaking(file);
    let result = local.get(&server, &["f", "--offset", "1000", "--digest", "none", "-o", "-"]);
    assert!(result.exits_with(0).stdout == file[1000..]);
}

/// A range that arrives damaged gets no name.
#[test]
fn a_damaged_range_is_refused() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| {
        let header = exchange.header(b"0123456789", "v1");
        exchange.line(&header);
        exchange.send("3x5");
        let end = exchange.end(b"0123456789");
        exchange.line(&end);
    });
    let args = ["f", "--offset", "3", "--length", "3"];
    local.get(&server, &args).exits_with(4);
    assert!(local.names().is_empty());
    local.get(&server, &[&args[..], &["-o", "-"]].concat()).exits_with(4);
}
