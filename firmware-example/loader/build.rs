//! Copies `memory.x` to where the linker finds it, and the public key to where the compiler does.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    for input in ["memory.x", "build.rs"] {
        println!("cargo:rerun-if-changed={input}");
    }
    println!("cargo:rustc-link-search={}", root.display());
    for arg in ["--nmagic", "-Tlink.x"] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
    println!("cargo:rerun-if-env-changed=CORACLE_PUBLIC_KEY");
    if env::var_os("CARGO_FEATURE_SIGNED").is_some() {
        let path = env::var_os("CORACLE_PUBLIC_KEY").expect("CORACLE_PUBLIC_KEY names a file with a public key");
        println!("cargo:rerun-if-changed={}", Path::new(&path).display());
        let key = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", Path::new(&path).display()));
        // The last 32 bytes of what `openssl pkey -pubout -outform DER` writes.
        let key = key.last_chunk::<32>().expect("a public key has 32 bytes");
        fs::write(out.join("public-key"), key).expect("OUT_DIR can be written");
    }
}
