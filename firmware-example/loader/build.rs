//! Tells the linker where `memory.x` is.

use std::env;
use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    for input in ["memory.x", "build.rs"] {
        println!("cargo:rerun-if-changed={input}");
    }
    println!("cargo:rustc-link-search={}", root.display());
    for arg in ["--nmagic", "-Tlink.x"] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}
