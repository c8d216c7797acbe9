//! The run of a fleet that README.md shows, played with the program.

use std::fs;

use super::bench::{Bench, Kind};
use super::program::run;

const README: &str = include_str!("../../../../README.md");

#[test]
fn the_fleet_of_the_readme() {
    let begin = README.find("```console\n$ cat bench.txt\n").expect("a run");
    let session = README[begin..].split("```").nth(1).expect("its end").strip_prefix("console\n").expect("text");
    let bench = Bench::new(&[Kind::Serves, Kind::Serves, Kind::Refuses]);
    fs::write(bench.path("config.json"), "{}").expect("written");
    // The boards of the page are at 192.168.7.2 to 4.
    let played = |text: &str| {
        let replace = |text: String, number: usize| {
            let shown = format!("192.168.7.{}", number + 2);
            text.replace(&format!("{shown}:8888"), &shown).replace(&shown, &bench.address(number).to_string())
        };
        (0..3).fold(text.to_owned(), replace)
    };
    let mut shown = 0;
    for block in session.split("$ ").skip(1) {
        let (command, expected) = block.split_once('\n').expect("a command is a line");
        if command == "cat bench.txt" {
            fs::write(bench.path("bench.txt"), played(expected)).expect("written");
            continue;
        }
        let words: Vec<&str> = command.strip_prefix("coracle fleet ").expect("a fleet").split(' ').collect();
        let ended = run(bench.directory.path(), &words);
        assert_eq!(ended.stdout + &ended.stderr, played(expected), "{command}");
        shown += 1;
    }
    assert_eq!(shown, 3);
}
