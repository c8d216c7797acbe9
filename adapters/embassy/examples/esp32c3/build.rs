//! Tells the linker where everything goes on the chip: esp-hal brings the script.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Tlinkall.x");
}
