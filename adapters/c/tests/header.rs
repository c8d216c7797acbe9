//! coracle.h is what cbindgen makes of the sources.

use std::path::Path;

// Modules in them are found by cbindgen.
const SOURCES: [&str; 5] =
    ["src/types.rs", "src/write_types.rs", "src/client_types.rs", "src/key_types.rs", "src/ffi/mod.rs"];

#[test]
fn the_header_is_what_the_sources_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(directory.join("cbindgen.toml")).expect("settings");
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = SOURCES.iter().fold(builder, |builder, source| builder.with_src(directory.join(source)));
    let mut written = Vec::new();
    builder.generate().expect("sources that cbindgen reads").write(&mut written);
    let written = String::from_utf8(written).expect("text");

    let path = directory.join("coracle.h");
    if std::env::var_os("CORACLE_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("a directory to write to");
    }
    let committed = std::fs::read_to_string(&path).expect("adapters/c/coracle.h");
    let same = committed.lines().zip(written.lines()).take_while(|(one, other)| one == other).count();
    assert!(
        committed == written,
        "adapters/c/coracle.h differs from its sources from line {} on: {:?} instead of {:?}. \
         CORACLE_UPDATE=1 cargo test -p coracle-c --test header writes it",
        same + 1,
        committed.lines().nth(same),
        written.lines().nth(same)
    );
    assert!(functions(&written) <= 20, "{} functions", functions(&written));
}

/// How many functions a header declares, those of the firmware left out.
fn functions(header: &str) -> usize {
    header
        .lines()
        .filter(|line| {
            line.contains(" coracle_")
                && line.contains('(')
                && !line.starts_with([' ', '*', '/'])
                && !line.starts_with("extern")
        })
        .count()
}
