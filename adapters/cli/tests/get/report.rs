//! `coracle get --json`, `--dry-run` and `--newer`, and `coracle sync --dry-run`.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::program::Serve;
use crate::support::{ProgramResult, Server, TestDirectory, crc32, unused_address};

/// A server with files of known times.
fn served() -> Serve {
    let serve = Serve::new();
    fs::create_dir_all(serve.root.path().join("d/e")).expect("created");
    for (name, text, secs) in [("a", "alpha", 1000), ("d/b", "beta", 2000), ("d/e/c", "gamma", 3000)] {
        serve.write(name, text);
        set_time(&serve, name, secs);
    }
    serve
}

fn set_time(serve: &Serve, name: &str, secs: u64) {
    let file = File::options().write(true).open(serve.root.path().join(name)).expect("open");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(secs)).expect("a time");
}

/// The lines, sorted but for the last.
fn lines(result: &ProgramResult) -> Vec<Value> {
    let mut lines: Vec<Value> =
        result.out().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let len = lines.len();
    lines[..len - 1].sort_by_key(|line| line["fileName"].to_string());
    lines
}

fn summary(members: &Value) -> Value {
    let mut summary = json!({
        "outcome": "summary", "fetched": 0, "bytes": 0, "equal": 0, "notNewer": 0, "failed": 0, "skipped": 0, "hidden": 0,
        "links": 0, "notTried": 0, "exitCode": 0,
    });
    summary.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    summary
}

#[test]
fn a_line_of_json_tells_of_each_file() {
    let (local, serve) = (TestDirectory::new(), served());
    let fetched = |name: &str, text: &str| {
        json!({
            "fileName": name, "outcome": "fetched", "path": format!("to/{name}"), "fileSize": text.len(), "resumed": 0,
            "isSnapshot": false, "crc32": crc32(text.as_bytes()),
        })
    };
    let args = ["-r", "-o", "to", "--json"];
    let result = serve.get(&local, &args);
    let expected = [
        fetched("a", "alpha"),
        fetched("d/b", "beta"),
        fetched("d/e/c", "gamma"),
        summary(&json!({"fetched": 3, "bytes": 14})),
    ];
    assert_eq!(lines(result.exits_with(0)), expected);
    serve.write("d/b", "BETA!");
    fs::remove_file(local.path("to/a")).expect("removed");
    serve.write(".hidden", "");
    // Changed here as well, so that it stays.
    local.write("to/d/b", "mine");
    let result = serve.get(&local, &args);
    let lines_of_b = lines(result.exits_with(5));
    assert_eq!(lines_of_b[0], fetched("a", "alpha"));
    let failed = &lines_of_b[1];
    assert_eq!(
        (&failed["fileName"], &failed["outcome"], &failed["reason"]),
        (&json!("d/b"), &json!("failed"), &json!("exists"))
    );
    assert!(failed["message"].as_str().is_some_and(|message| message.contains("--force")), "{failed}");
    assert_eq!(lines_of_b[2], json!({"fileName": "d/e/c", "outcome": "equal", "fileSize": 5}));
    assert_eq!(
        lines_of_b[3],
        summary(&json!({"fetched": 1, "bytes": 5, "equal": 1, "failed": 1, "hidden": 1, "exitCode": 5}))
    );
    assert!(result.stderr.contains("to/d/b exists already"), "{result:?}");
}

#[test]
fn reasons_of_failures_are_codes() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match exchange.name() {
        "denied" => exchange.refuse("denied", "permission denied"),
        "new" => exchange.refuse("ofTomorrow", "words"),
        "lie" => exchange.send("{\"type\":\"end\"}\n"),
        _ => exchange.honest(&[("a", b"alpha")]),
    });
    local.write("here", "");
    let (_held, nobody) = unused_address();
    for (address, name, code, reason) in [
        (&server.address, "missing", 1, "notFound"),
        (&server.address, "denied", 1, "denied"),
        (&server.address, "new", 1, "ofTomorrow"),
        (&server.address, "lie", 4, "violation"),
        (&server.address, "here", 5, "exists"),
        (&nobody, "a", 3, "network"),
    ] {
        let result = local.run(&["get", address, name, "--json", "--retries", "0"]);
        let lines = lines(result.exits_with(code));
        assert_eq!((&lines[0]["outcome"], &lines[0]["reason"]), (&json!("failed"), &json!(reason)), "{name}");
        assert_eq!(lines[1], summary(&json!({"failed": 1, "exitCode": code})), "{name}");
    }
    let result = local.get(&server, &["a", "--json", "-o", "/dev/null"]);
    assert_eq!(lines(result.exits_with(0))[0]["path"], "/dev/null");
    local.get(&server, &["a", "--json", "-o", "-"]).exits_with(2).prints_error("standard output");
    let line = format!("'{}' get {} a -o to --json >/dev/full", env!("CARGO_BIN_EXE_coracle"), server.address);
    let output = Command::new("sh").args(["-c", &line]).current_dir(local.root.path()).output().expect("sh");
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

#[test]
fn a_dry_run_tells_what_would_be_fetched_and_changes_nothing() {
    let (local, serve) = (TestDirectory::new(), served());
    let all = "fetch a (new, 5 bytes)\nfetch d/b (new, 4 bytes)\nfetch d/e/c (new, 5 bytes)\n\
               3 would be fetched (14 bytes), 0 equal and skipped, 0 failed\n";
    let result = serve.get(&local, &["-r", "-o", "to", "--dry-run"]);
    assert_eq!((result.exits_with(0).out().as_str(), local.names().len()), (all, 0));
    serve.get(&local, &["-r", "-o", "to"]).exits_with(0);
    serve.write("a", "ALPHA");
    serve.write("d/b", "longer");
    // Written anew with the same contents.
    serve.write("d/e/c", "gamma");
    let before = local.names();
    let changed = "fetch a (changed, 5 bytes)\nfetch d/b (changed, 6 bytes)\n2 would be fetched (11 bytes), 1 equal and skipped, 0 failed\n";
    assert_eq!(serve.get(&local, &["-r", "-o", "to", "--dry-run"]).exits_with(0).out(), changed);
    let result = serve.get(&local, &["-r", "d", "-o", "to", "--dry-run", "--exclude", "e/", "--json"]);
    let line = json!({"fileName": "d/b", "outcome": "wouldFetch", "reason": "changed", "fileSize": 6});
    assert_eq!(lines(result.exits_with(0)), [line, summary(&json!({"fetched": 1, "bytes": 6}))]);
    let result = serve.get(&local, &["a", "d/b", "--dry-run"]);
    assert!(result.exits_with(0).out().starts_with("fetch a (new, 5 bytes)\nfetch d/b (new, 6 bytes)\n2 would be"));
    serve.get(&local, &["missing", "--dry-run"]).exits_with(1).prints_error("missing: not found");
    serve.get(&local, &["a", "-o", "-", "--dry-run"]).exits_with(2);
    // The same of a mirror.
    local.write("to/extra", "");
    let sync = |args: &[&str]| local.run(&[&["sync", serve.address.as_str(), "/", "to"], args].concat());
    assert_eq!(sync(&["--dry-run"]).exits_with(0).out(), changed);
    let result = sync(&["--dry-run", "--delete"]);
    assert_eq!(
        result.exits_with(0).out(),
        format!("delete extra\n1 file and 0 directories would be deleted\n{changed}")
    );
    let result = sync(&["--dry-run", "--delete", "--json", "--exclude", "d/"]);
    let would = json!({"path": "to/extra", "outcome": "wouldDelete"});
    let change = json!({"fileName": "a", "outcome": "wouldFetch", "reason": "changed", "fileSize": 5});
    assert_eq!(lines(result.exits_with(0)), [change, would, summary(&json!({"fetched": 1, "bytes": 5}))]);
    fs::remove_file(local.path("to/extra")).expect("it is there");
    assert_eq!(local.names(), before);
    local.write("to/extra", "");
    let result = sync(&["--delete", "--json", "--exclude", "d/"]);
    let lines = lines(result.exits_with(0));
    assert_eq!(
        (&lines[0]["outcome"], &lines[1]),
        (&json!("fetched"), &json!({"path": "to/extra", "outcome": "deleted"}))
    );
}

#[test]
fn only_what_is_newer_is_fetched() {
    let serve = served();
    let fetched = |args: &[&str]| {
        let local = TestDirectory::new();
        File::create(local.path("stamp"))
            .and_then(|file| file.set_modified(UNIX_EPOCH + Duration::from_secs(1500)))
            .expect("a file");
        let result = serve.get(&local, &[&["-o", "to/"], args].concat());
        assert_eq!(result.code, Some(0), "{result:?}");
        let files = local.names().into_iter().filter(|name| name.starts_with("to/") && local.path(name).is_file());
        (files.map(|name| name[3..].to_owned()).collect::<Vec<_>>(), result)
    };
    let (files, result) = fetched(&["-r", "--newer", "1970-01-01T00:33:20Z"]);
    assert_eq!(
        (files, result.out().as_str()),
        (vec!["d/e/c".to_owned()], "1 fetched (5 bytes), 0 equal and skipped, 0 failed, 2 not newer\n")
    );
    assert_eq!(fetched(&["-r", "--newer", "stamp"]).0, ["d/b", "d/e/c"]);
    assert_eq!(fetched(&["a", "d/b", "--newer", "stamp"]).0, ["b"]);
    assert_eq!(fetched(&["-r", "a", "d/b", "--newer", "stamp"]).0, ["b"]);
    let (files, result) = fetched(&["a", "--newer", "stamp"]);
    assert!(files.is_empty() && result.stderr.contains("a: not modified since then"), "{result:?}");
    set_time(&serve, "a", SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_secs() - 60);
    assert_eq!(fetched(&["-r", "--newer", "2h"]).0, ["a"]);
    let local = TestDirectory::new();
    let result = serve.get(&local, &["d/b", "a", "-o", "-", "--newer", "2h", "-q"]);
    assert_eq!((result.exits_with(0).out().as_str(), local.names().len()), ("alpha", 0));
    serve.get(&local, &["a", "--newer", "yesterday"]).exits_with(2).prints_error("2026-11-22");
}
