//! Copies the board's memory map to where the linker finds it, and compiles in the files of `files/`, with digests and versions.
//!
//! The environment variable `CORACLE_FILES` names another folder to compile in; then there is no `image.bin`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use coracle_core::{DigestKind, FileName, Hasher};

/// A board, as far as its image differs.
struct Board {
    memory: &'static str,
    /// Length of `image.bin`: larger than any buffer on the board; generated, so that it need not be in the repository.
    image_len: usize,
}

impl Board {
    fn of_this_build() -> Self {
        let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
        let memory = if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
            "memory/virt.x"
        } else if has("LM3S6965EVB") {
            return Self { memory: "memory/lm3s6965evb.x", image_len: 32 << 10 };
        } else if has("SLOTS") {
            "memory/mps2-an385-slot.x"
        } else {
            "memory/mps2-an385.x"
        };
        Self { memory, image_len: 1 << 20 }
    }
}

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    for input in ["memory", "device.x", "files", "build.rs"] {
        println!("cargo:rerun-if-changed={input}");
    }
    let board = Board::of_this_build();
    for (from, to) in [(board.memory, "memory.x"), ("device.x", "device.x")] {
        fs::copy(root.join(from), out.join(to)).expect("OUT_DIR can be written");
    }
    println!("cargo:rustc-link-search={}", out.display());
    // --nmagic: without it the linker aligns sections to pages of 64 KiB, in the flash image too.
    for arg in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }

    println!("cargo:rerun-if-env-changed=CORACLE_FILES");
    let mut files = Vec::new();
    match env::var_os("CORACLE_FILES") {
        Some(folder) => {
            println!("cargo:rerun-if-changed={}", Path::new(&folder).display());
            collect(Path::new(&folder), "", &mut files);
        }
        None => {
            let image = out.join("image.bin");
            fs::write(&image, image_bytes(board.image_len)).expect("OUT_DIR can be written");
            files.push(("image.bin".to_owned(), image));
            let ours = root.join("files");
            collect(&ours, "", &mut files);
            // A name with non-ASCII letters, which not every tool can store in a repository.
            files.push(("docs/船.txt".to_owned(), ours.join("docs/names.txt")));
        }
    }
    files.sort();

    let mut code = format!("static FILES: [StaticFile<'static>; {}] = [\n", files.len());
    for (name, path) in &files {
        FileName::new(name).unwrap_or_else(|error| panic!("files/{name}: {error}"));
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // The version depends on the contents alone.
        let version = &digest(DigestKind::Sha256, &bytes)[..16];
        let crc32 = digest(DigestKind::Crc32, &bytes);
        let path = path.to_str().expect("paths are UTF-8");
        writeln!(
            code,
            "    StaticFile::new({name:?}, \"sha256-{version}\", include_bytes!({path:?})).with_crc32(0x{crc32}),"
        )
        .expect("a string grows");
    }
    code.push_str("];\n");
    fs::write(out.join("files.rs"), code).expect("OUT_DIR can be written");
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let entry = entry.expect("a readable directory");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else {
            files.push((format!("{prefix}{name}"), path));
        }
    }
}

fn digest(kind: DigestKind, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(kind).expect("the build has both");
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// Marsaglia's xorshift32, seed 1, the most significant byte of each number.
fn image_bytes(len: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}
