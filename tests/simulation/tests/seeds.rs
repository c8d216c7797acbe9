//! The simulation with few seeds, so that `cargo test` notices what a change breaks.

use coracle_simulation::{Counts, batches, puts, run, scale};

#[test]
fn a_thousand_seeds_keep_the_rules() {
    let mut counts = Counts::default();
    (0..1_000).for_each(|seed| counts.add(&run(seed, false)));
    assert!(counts.cut * 10 > counts.sessions * 3 && counts.met_change * 10 > counts.sessions * 2, "{counts:?}");
    assert!(counts.lines().iter().all(|(_, count)| *count > 0), "something never happened: {counts:?}");
}

#[test]
fn d2_d4_batches_keep_the_rules() {
    let mut counts = batches::BatchCounts::default();
    (0..2_000).for_each(|seed| counts.add(&batches::run(seed)));
    assert!(counts.lines().iter().all(|(_, count)| *count > 0), "something never happened: {counts:?}");
}

/// Uploads that are cut, resumed and taken over, on a server that crashes, with a disk that forgets what was not synced.
#[test]
fn u1_u2_u3_u4_u5_u18_writers_keep_the_rules() {
    let mut counts = puts::PutCounts::default();
    (0..1_000).for_each(|seed| counts.add(&puts::run(seed, false)));
    assert!(counts.cut * 5 > counts.sessions && counts.resumes * 10 > counts.sessions, "{counts:?}");
    assert!(counts.lines().iter().all(|(_, count)| *count > 0), "something never happened: {counts:?}");
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, false), run(seed, false));
        assert_eq!(puts::run(seed, false), puts::run(seed, false));
    }
}

#[test]
fn ten_thousand_sessions_alive_at_once() {
    scale::run(10_000);
}
