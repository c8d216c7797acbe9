//! A thousand boards: the program is killed at random moments and goes on, and has few descriptors.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};

use serde_json::Value;

use super::bench::{Bench, Kind};
use super::program::{Ended, fleet, run, wait_until};

const BOARDS: usize = 1_000;
const KILLS: usize = 6;

/// The kind of each board: most serve, and of the others there are some in each wave.
fn kind(number: usize) -> Kind {
    match number {
        7 | 300 | 650 => Kind::Stops,
        _ if number % 20 == 11 => Kind::Refuses,
        _ if number % 20 == 13 => Kind::Drops,
        _ if number % 20 == 17 => Kind::Wrong,
        _ => Kind::Serves,
    }
}

/// Whether it has the file already.
fn has_it(number: usize) -> bool {
    number % 20 == 3
}

fn random(end: usize) -> usize {
    usize::try_from(RandomState::new().build_hasher().finish() % end as u64).expect("small")
}

#[test]
fn g1_g2_of_a_thousand_hosts_each_ends_once_however_often_the_fleet_is_killed() {
    let kinds: Vec<Kind> = (0..BOARDS).map(kind).collect();
    let bench = Bench::new(&kinds);
    let image = vec![0x5a; 3_000];
    fs::write(bench.path("image.bin"), &image).expect("written");
    for board in (0..BOARDS).filter(|number| has_it(*number)) {
        bench.boards[board].write("image.bin", &image);
    }
    let inventory = bench.inventory();
    let all = |journal| {
        let arguments =
            ["put", &inventory, "image.bin", "-f", "--waves", "1,5%,100%", "--bake", "50ms", "--retries", "0"];
        let limits = ["--stall-timeout", "5s", "--max-failed", "100%", "--max-unreachable", "100%", "--json"];
        let arguments: Vec<&str> = arguments.into_iter().chain(limits).chain([journal, "run.journal"]).collect();
        fleet(bench.directory.path(), &arguments)
    };
    let journal = bench.path("run.journal");
    let lines = || fs::read(&journal).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    let (mut option, mut kills) = ("--journal", 0);
    let ended = loop {
        let mut child = all(option).spawn().expect("the program");
        // A line or two of the journal for each board.
        let until = lines() + random(2 * BOARDS / KILLS);
        if kills < KILLS && wait_until(&mut child, || lines() > until) {
            child.kill().expect("killed");
            child.wait().expect("gone");
            kills += 1;
            // A power cut may leave a part of a line.
            if kills % 2 == 0 {
                let torn = fs::read(&journal).expect("read");
                fs::write(&journal, [&torn[..], br#"{"type":"ended","na"#].concat()).expect("written");
            }
            option = "--continue";
            continue;
        }
        break Ended::of(child.wait_with_output().expect("the program"));
    };
    assert!(kills > 0, "it was never killed");
    assert_eq!(ended.code, Some(4), "the worst are wrong: {}", ended.stderr);
    let expected: Vec<&str> = kinds
        .iter()
        .enumerate()
        .map(|(number, kind)| match kind {
            Kind::Serves if has_it(number) => "unchanged",
            Kind::Serves => "done",
            Kind::Wrong => "failed",
            _ => "unreachable",
        })
        .collect();
    ended.assert_states(&expected);
    let mut ends = HashMap::<String, usize>::new();
    for line in fs::read_to_string(&journal).expect("read").lines() {
        let line: Value = serde_json::from_str(line).expect("whole lines");
        if line["type"] == "ended" && line["state"] != "done" {
            *ends.entry(line["name"].as_str().expect("a name").to_owned()).or_default() += 1;
        }
    }
    assert!(ends.values().all(|count| *count == 1), "asked again after they ended: {ends:?}");
    for (number, state) in expected.iter().enumerate() {
        let stored = bench.stored(number);
        match *state {
            "done" => assert_eq!((stored, bench.boards[number].read("image.bin")), (1, image.clone()), "b{number}"),
            "unchanged" => assert_eq!(stored, 0, "b{number}"),
            _ => {}
        }
    }
}

#[test]
fn g3_many_hosts_with_few_descriptors() {
    let bench = Bench::new(&[Kind::Serves; 120]);
    for (number, board) in bench.boards.iter().enumerate() {
        board.write("boot.log", format!("I am b{number}\n").as_bytes());
    }
    let inventory = bench.inventory();
    let program = env!("CARGO_BIN_EXE_coracle");
    let command =
        format!("ulimit -n 64; exec {program} fleet get {inventory} boot.log -o 'logs/{{name}}/' -j 100 --json");
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", &command]).current_dir(bench.directory.path()).output().expect("a shell");
    let ended = Ended::of(output);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("6 hosts at once, since 64 files may be open"), "{}", ended.stderr);
    ended.assert_states(&["done"; 120]);
    for number in 0..120 {
        let fetched = fs::read_to_string(bench.path(&format!("logs/b{number}/boot.log"))).expect("fetched");
        assert_eq!(fetched, format!("I am b{number}\n"));
    }
    let again = run(bench.directory.path(), &["get", &inventory, "boot.log", "-o", "logs/{name}/", "--json"]);
    again.assert_states(&["unchanged"; 120]);
    let left = fs::read_dir(bench.directory.path()).expect("read").filter_map(Result::ok);
    let journals = left.filter(|entry| entry.file_name().to_string_lossy().ends_with(".journal")).count();
    assert_eq!(journals, 0, "a journal is left only where something is left to do");
}
