//! Runs the target in CORACLE_FUZZ_TARGET under libFuzzer, and takes libFuzzer's arguments: `-help=1` prints them.
#![no_main]

use std::sync::OnceLock;

use coracle_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    TARGET.get_or_init(chosen)(data);
});

fn chosen() -> Target {
    let name = std::env::var("CORACLE_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("CORACLE_FUZZ_TARGET is none of {:?}", TARGETS.map(|(known, _)| known))).1
}
