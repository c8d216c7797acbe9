//! `coracle fleet put --activate`: images that boards run before they keep them.

use std::fs;
use std::sync::atomic::Ordering;

use super::bench::{Bench, Kind};
use super::program::run;

const KINDS: [Kind; 4] = [Kind::Slots, Kind::Slots, Kind::KeepsOld, Kind::GoesBack];

fn started() -> (Bench, String) {
    let bench = Bench::new(&KINDS);
    fs::write(bench.path("new.bin"), "the new image").expect("written");
    for (board, image) in bench.boards.iter().zip(["old", "the new image", "old", "old"]) {
        board.write("image.running", image.as_bytes());
    }
    let inventory = bench.inventory();
    (bench, inventory)
}

#[test]
fn g1_an_image_is_kept_where_it_still_runs_after_a_while() {
    let (bench, inventory) = started();
    let arguments = ["put", &inventory, "new.bin", "--activate", "--bake", "100ms", "--restart-timeout", "1s"];
    let all: Vec<&str> = arguments.into_iter().chain(["--max-failed", "2", "--json", "--journal", "j"]).collect();
    let ended = run(bench.directory.path(), &all);
    ended.assert_states(&["done", "unchanged", "failed", "failed"]);
    assert_eq!(ended.code, Some(4));
    let (objects, _) = ended.objects();
    let reason = |name: &str| objects[name]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason("b2").contains("it did not come back with the image"), "{}", reason("b2"));
    assert!(reason("b3").contains("it went back to the image before"), "{}", reason("b3"));
    let counts = |number: usize| {
        let board = &bench.boards[number];
        [&board.stored, &board.restarts, &board.confirms].map(|count| count.load(Ordering::Relaxed))
    };
    assert_eq!([0, 1, 2, 3].map(counts), [[1, 1, 1], [0, 0, 0], [1, 1, 0], [1, 1, 0]]);
    assert_eq!(bench.boards[0].read("image.running"), b"the new image");
}

/// The fleet ended when a board ran the image and was not told yet to keep it.
#[test]
fn g2_a_board_that_runs_the_image_is_told_to_keep_it_by_the_next_run() {
    let (bench, inventory) = started();
    let inventory = [&inventory, "--where", "name=b0"];
    let put = ["new.bin", "--activate", "--json"];
    let arguments: Vec<&str> = ["put"].into_iter().chain(inventory).chain(put).collect();
    let first: Vec<&str> =
        arguments.iter().copied().chain(["--bake", "1h", "--max-time", "3s", "--journal", "j"]).collect();
    let ended = run(bench.directory.path(), &first);
    assert_eq!(ended.states()["b0"], "failed", "{ended:?}");
    assert_eq!(ended.code, Some(3));
    assert_eq!(bench.boards[0].confirms.load(Ordering::Relaxed), 0);
    let next: Vec<&str> = arguments.iter().copied().chain(["--continue", "j"]).collect();
    let ended = run(bench.directory.path(), &next);
    assert_eq!((ended.code, ended.states()["b0"].as_str()), (Some(0), "done"), "{ended:?}");
    let board = &bench.boards[0];
    let counts = [&board.stored, &board.restarts, &board.confirms].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [1, 1, 1]);
}
