//! Volumes made by PyPI's littlefs-python, which has littlefs in C inside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const VERSION: &str = "0.19.0";
const SCRIPT: &str = include_str!("make_volume.py");

/// Files by their paths.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Writes `tree` to the directory `top`.
pub fn plant(top: &Path, tree: &Tree) {
    for (name, bytes) in tree {
        let path = top.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, bytes).expect("a file");
    }
}

/// Writes the files of the directory `top` to the volume `image`, which is made where there is none.
pub fn make_volume(image: &Path, block_len: u32, blocks: u32, version: &str, top: &Path) {
    let numbers = [block_len.to_string(), blocks.to_string(), version.to_owned()];
    run(Command::new(python()).args(["-c", SCRIPT]).arg(image).args(numbers).arg(top), "see above");
}

/// The Python with littlefs-python, installed on the first call.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("littlefs-python-{VERSION}"));
        let python = place.join("bin/python");
        if !place.join("complete").exists() {
            if place.exists() {
                std::fs::remove_dir_all(&place).expect("what was not completed is removed");
            }
            run(Command::new("python3").args(["-m", "venv"]).arg(&place), "apt-get install python3-venv");
            let package = format!("littlefs-python=={VERSION}");
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &package]), "it needs a package index");
            std::fs::write(place.join("complete"), "").expect("a file");
        }
        python
    })
}

fn run(command: &mut Command, hint: &str) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
    assert!(done.status.success(), "{command:?}: {}; {hint}", String::from_utf8_lossy(&done.stderr));
}
