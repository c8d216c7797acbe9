//! Copies the public key to where the compiler finds it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CORACLE_PUBLIC_KEY");
    if env::var_os("CARGO_FEATURE_SIGNED").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let path = env::var_os("CORACLE_PUBLIC_KEY").expect("CORACLE_PUBLIC_KEY names a file with a public key");
    println!("cargo:rerun-if-changed={}", Path::new(&path).display());
    let key = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", Path::new(&path).display()));
    // What `openssl pkey -pubout -outform DER` writes for an Ed25519 key: RFC 8410's prefix and 32 bytes.
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let key = key.strip_prefix(&PREFIX).filter(|key| key.len() == 32);
    let key = key.unwrap_or_else(|| panic!("{}: no Ed25519 public key in DER", Path::new(&path).display()));
    fs::write(out.join("public-key"), key).expect("OUT_DIR can be written");
}
