//! States, waves, budgets, and what is refused before anything is asked.

use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;

use super::bench::{Bench, Kind};
use super::program::{Ended, fleet, run, wait_until};

#[test]
fn g1_a_run_stops_at_its_budget_and_goes_on_when_it_may() {
    use Kind::{Serves, Wrong};
    let bench = Bench::new(&[Serves, Wrong, Wrong, Serves, Serves, Serves]);
    fs::write(bench.path("image.bin"), "new").expect("written");
    let inventory = bench.inventory();
    let arguments = ["put", &inventory, "image.bin", "-f", "--waves", "3,100%", "-j", "1", "--json"];
    let with = |more: &[&'static str]| {
        let all: Vec<&str> = arguments.into_iter().chain(more.iter().copied()).collect();
        run(bench.directory.path(), &all)
    };
    let first = with(&["--max-failed", "1", "--journal", "j"]);
    first.assert_states(&["done", "failed", "failed", "notTried", "notTried", "notTried"]);
    assert_eq!(first.code, Some(4));
    assert!(first.stderr.contains("2 failed, and --max-failed allows 1: no more are tried"), "{}", first.stderr);
    assert_eq!(bench.boards[3].connections.load(Ordering::Relaxed), 0);
    // The budget is that of the whole run.
    let same = with(&["--max-failed", "1", "--continue", "j"]);
    same.assert_states(&["done", "failed", "failed", "notTried", "notTried", "notTried"]);
    let more = with(&["--max-failed", "2", "--continue", "j"]);
    more.assert_states(&["done", "failed", "failed", "done", "done", "done"]);
    assert_eq!([0, 1, 2, 3].map(|number| bench.stored(number)), [1, 1, 1, 1], "nobody twice");
    let again = with(&["--max-failed", "2", "--continue", "j", "--retry-failed"]);
    again.assert_states(&["done", "failed", "failed", "done", "done", "done"]);
    assert_eq!([0, 1, 2, 3].map(|number| bench.stored(number)), [1, 2, 2, 1]);
    // Another run than that of the journal.
    fs::write(bench.path("image.bin"), "newer").expect("written");
    let other = with(&["--continue", "j"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("j: its run was of a file with SHA-256"), "{}", other.stderr);
    let there = with(&["--journal", "j"]);
    assert_eq!(there.code, Some(5));
    assert!(there.stderr.contains("j is there already: --continue goes on with it"), "{}", there.stderr);
}

#[test]
fn g1_a_wave_waits_until_the_one_before_was_asked_again() {
    let bench = Bench::new(&[Kind::Serves; 4]);
    fs::write(bench.path("image.bin"), "new").expect("written");
    let inventory = bench.inventory();
    let arguments = ["put", &inventory, "image.bin", "--waves", "2,100%", "--bake", "2s", "--json", "--journal", "j"];
    let mut child = fleet(bench.directory.path(), &arguments).spawn().expect("the program");
    let ended = |name: &str| {
        let journal = fs::read_to_string(bench.path("j")).unwrap_or_default();
        journal.contains(&format!(r#"{{"type":"ended","name":"{name}","state":"done""#))
    };
    assert!(wait_until(&mut child, || ended("b0") && ended("b1")), "it ended before");
    // What is there when it is asked again is not what it should be.
    bench.boards[1].write("image.bin", b"went back");
    let output = Ended::of(child.wait_with_output().expect("the program"));
    output.assert_states(&["done", "failed", "notTried", "notTried"]);
    let connections = |number: usize| bench.boards[number].connections.load(Ordering::Relaxed);
    assert_eq!([connections(2), connections(3)], [0, 0]);
}

#[test]
fn g1_a_signal_lets_what_is_under_way_end_and_the_run_goes_on() {
    let bench = Bench::new(&[Kind::Stops, Kind::Serves, Kind::Serves]);
    fs::write(bench.path("image.bin"), "new").expect("written");
    let inventory = bench.inventory();
    let arguments = ["put", &inventory, "image.bin", "-j", "1", "--retries", "0", "--max-unreachable", "1", "--json"];
    let with = |journal| arguments.into_iter().chain([journal, "j"]).collect::<Vec<&str>>();
    let mut child = fleet(bench.directory.path(), &with("--journal")).spawn().expect("the program");
    let connections = |number: usize| bench.boards[number].connections.load(Ordering::Relaxed);
    assert!(wait_until(&mut child, || connections(0) > 0), "it ended before");
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(status.success());
    let mut said = child.stderr.take().expect("piped");
    let mut line = [0; 64];
    // It says so at once, and the board closes the connection then.
    let len = std::io::Read::read(&mut said, &mut line).expect("read");
    assert!(String::from_utf8_lossy(&line[..len]).starts_with("coracle: ending with the 1 under way"));
    bench.wake();
    let ended = Ended::of(child.wait_with_output().expect("the program"));
    assert_eq!(ended.code, Some(130));
    ended.assert_states(&["unreachable", "notTried", "notTried"]);
    let ended = run(bench.directory.path(), &with("--continue"));
    ended.assert_states(&["unreachable", "done", "done"]);
    assert_eq!((ended.code, connections(0)), (Some(3), 1));
}

#[test]
fn what_hosts_have_is_told_and_drift_is_found() {
    let bench = Bench::new(&[Kind::Serves, Kind::Serves, Kind::Serves, Kind::Refuses]);
    for (board, contents) in bench.boards.iter().zip(["one", "two"]) {
        board.write("a.bin", contents.as_bytes());
    }
    fs::write(bench.path("a.bin"), "one").expect("written");
    let inventory = bench.inventory();
    let with = |arguments: &[&str]| {
        let all: Vec<&str> = arguments.iter().copied().chain(["--retries", "0"]).collect();
        run(bench.directory.path(), &all)
    };
    let drift = with(&["check", &inventory, "a.bin", "--like", "a.bin", "--json"]);
    drift.assert_states(&["unchanged", "failed", "failed", "unreachable"]);
    assert_eq!(drift.code, Some(4));
    let (objects, summary) = drift.objects();
    let of_two = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    assert_eq!(objects["b1"]["sha256"], of_two);
    assert_eq!(objects["b2"]["reason"], "it has no a.bin");
    assert_eq!((&summary["failed"], &summary["exitCode"]), (&2.into(), &4.into()));
    let same = with(&["check", &inventory, "a.bin", "--sha256", of_two, "--where", "name=b1"]);
    assert_eq!(
        (same.code, same.stderr.as_str()),
        (Some(0), "coracle: 0 done, 1 unchanged, 0 failed, 0 unreachable, 0 not tried\n")
    );
    let listed = with(&["ls", &inventory, "/", "--where", "row=0", "-q"]);
    assert_eq!((listed.code, listed.stdout.as_str(), listed.stderr.as_str()), (Some(0), "b0: a.bin\n", ""));
    let told = with(&["stat", &inventory, "a.bin", "--digest", "crc32"]);
    assert_eq!(told.code, Some(1), "the worst one has no such file");
    assert!(told.stdout.starts_with("b0: 3 bytes  ") && told.stdout.contains("\nb1: 3 bytes"), "{}", told.stdout);
    assert!(told.stdout.lines().next().is_some_and(|line| line.ends_with("  crc32 7a6c86f1")), "{}", told.stdout);
    let deleted = with(&["delete", &inventory, "a.bin", "--json", "--max-unreachable", "1"]);
    deleted.assert_states(&["done", "done", "unchanged", "unreachable"]);
    assert!(!bench.boards[0].root.join("a.bin").exists());
}

#[test]
fn g1_what_would_be_done_twice_is_refused_before_anything_is_asked() {
    let bench = Bench::new(&[Kind::Serves; 2]);
    let inventory = bench.inventory();
    let directory = bench.directory.path();
    fs::write(bench.path("a.bin"), "new").expect("written");
    let (zero, one) = (bench.address(0), bench.address(1));
    let refused = |arguments: &[&str], what: &str| {
        let ended = run(directory, arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
    };
    let twice = format!("{zero} name=a\n{one} name=b\n\n{zero} name=c\n");
    fs::write(bench.path("twice.txt"), twice).expect("written");
    refused(
        &["put", "@twice.txt", "a.bin"],
        "twice.txt:4: c is the same board as a (twice.txt:1): both are at 127.1.0.1",
    );
    refused(&["put", &inventory, &inventory, "a.bin"], "bench.txt:1: b0 is in bench.txt:1 already");
    refused(&["get", &inventory, "a.bin", "-o", "logs/"], "gives b0 and b1 one place, logs/a.bin");
    refused(&["put", "a.bin"], "hosts are needed, and behind them a file");
    refused(&["put", &inventory, "a.bin", "--where", "row=7"], "none of the 2 hosts meets each --where");
    refused(&["put", &inventory, "a.bin", "--waves", "5%,1"], "the last wave is 100%");
    fs::create_dir_all(directory.join("configuration/coracle")).expect("made");
    let key = "ck1";
    let made = Command::new(env!("CARGO_BIN_EXE_coracle")).args(["key", "new", "k"]).current_dir(directory).output();
    let public = String::from_utf8(made.expect("a key").stdout).expect("UTF-8");
    assert!(public.starts_with(key));
    let hosts = format!("x {zero} pin={public}y {one} pin={public}");
    fs::write(directory.join("configuration/coracle/hosts"), hosts).expect("written");
    refused(&["put", "x", "y", "a.bin"], &format!("both have the key {}", public.trim()));
    let connections = bench.boards.iter().map(|board| board.connections.load(Ordering::Relaxed));
    assert_eq!(connections.sum::<usize>(), 0, "nobody was asked");
    let missing = run(directory, &["ls", "@none.txt", "/"]);
    assert_eq!(missing.code, Some(5));
    fs::write(bench.path("bad.txt"), "ok\nhost:0\n").expect("written");
    let bad = run(directory, &["ls", "@bad.txt", "/"]);
    assert!(bad.code == Some(5) && bad.stderr.contains("bad.txt:2: "), "{bad:?}");
}
