//! `coracle index`, and `coracle serve` by what it writes.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use coracle::store::Manifest;
use tempfile::TempDir;

/// A directory whose files were changed long ago.
fn tree() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(home.path().join("sub/deep")).expect("made");
    for (name, contents) in [("a", "one"), ("sub/b \"x\"", "two"), ("sub/deep/c", ""), (".hidden", "three")] {
        write(home.path(), name, contents, 1_000);
    }
    symlink("sub", home.path().join("link")).expect("a link");
    home
}

fn write(directory: &Path, name: &str, contents: &str, seconds: u64) {
    let path = directory.join(name);
    fs::write(&path, contents).expect("written");
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 5);
    File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set");
}

/// The exit code, standard output and standard error of `coracle index`.
fn index(directory: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    let output = command.arg("index").args(args).current_dir(directory).output().expect("the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn names(directory: &Path) -> Vec<String> {
    let manifest = Manifest::read(directory.join(Manifest::NAME)).expect("a manifest");
    manifest.files().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn writes_what_a_server_would_serve_and_reads_again_only_what_has_changed() {
    let home = tree();
    let index = |args: &[&str]| index(home.path(), args);
    assert_eq!(index(&[]), (Some(0), String::new(), "coracle: 3 files, of which 3 were read\n".to_owned()));
    assert_eq!(names(home.path()), ["a", "sub/b \"x\"", "sub/deep/c"]);
    let text = fs::read_to_string(home.path().join(Manifest::NAME)).expect("read");
    // `printf one | sha256sum`
    let digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let line =
        format!("{{\"fileName\":\"a\",\"fileSize\":3,\"modified\":1000,\"modified_ns\":5,\"sha256\":\"{digest}\"}}");
    assert_eq!(text.lines().nth(1), Some(line.as_str()));
    fs::remove_file(home.path().join("sub/deep/c")).expect("removed");
    write(home.path(), "a", "new", 2_000);
    write(home.path(), "d", "four", 2_000);
    assert_eq!(index(&[]).2, "coracle: 3 files, of which 2 were read\n");
    assert_eq!(names(home.path()), ["a", "d", "sub/b \"x\""]);
    assert_eq!(index(&["--rehash", "--hidden"]).2, "coracle: 4 files, of which 4 were read\n");
    assert_eq!(index(&["-q", "--hidden"]), (Some(0), String::new(), String::new()));
    let left: Vec<_> =
        fs::read_dir(home.path()).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(left.len(), 6, "nothing is left but the manifest: {left:?}");
}

/// Its digest would be that of the next change, too, if that had the same time.
#[test]
fn waits_for_what_was_changed_a_moment_ago() {
    let home = tree();
    let begun = SystemTime::now();
    fs::write(home.path().join("a"), "new").expect("written");
    assert_eq!(index(home.path(), &[]).0, Some(0));
    assert!(begun.elapsed().expect("a clock") > Duration::from_millis(1_900), "{:?}", begun.elapsed());
    assert_eq!(index(home.path(), &["--check"]).0, Some(0));
    write(home.path(), "a", "new", 1 << 33);
    let (code, _, told) = index(home.path(), &[]);
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("a: its time lies in the future"), "{told}");
    assert_eq!(names(home.path()), ["sub/b \"x\"", "sub/deep/c"], "the rest is done");
}

#[test]
fn b4_a_tree_is_checked_by_its_manifest() {
    let home = tree();
    let index = |args: &[&str]| index(home.path(), args);
    let (code, _, told) = index(&["--check"]);
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains(".coracle-manifest: No such file"), "{told}");
    write(home.path(), "d", "four", 1_000);
    assert_eq!(index(&[]).0, Some(0));
    let same = "coracle: 0 differences, 4 files in the manifest\n".to_owned();
    assert_eq!(index(&["--check"]), (Some(0), String::new(), same));
    // Contents with the old size and the old time: what no server can see.
    write(home.path(), "a", "ONE", 1_000);
    write(home.path(), "sub/b \"x\"", "longer", 1_000);
    fs::remove_file(home.path().join("sub/deep/c")).expect("removed");
    write(home.path(), "new\u{202e}", "", 1_000);
    write(home.path(), "d", "four", 2_000);
    let (code, printed, told) = index(&["--check"]);
    let expected =
        "a: other contents\nsub/b \"x\": other size\nsub/deep/c: missing\nnew\\u{202e}: not in the manifest\n";
    assert_eq!((code, printed.as_str()), (Some(1), expected));
    assert!(told.starts_with("coracle: 4 differences, 4 files in the manifest\ncoracle: 1 files have other"), "{told}");
    let (code, printed, told) = index(&["--check", "--json", "-q"]);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert_eq!(printed.lines().next(), Some(r#"{"difference":"contents","fileName":"a"}"#));
    assert_eq!(printed.lines().count(), 4);
}

#[test]
fn b4_a_damaged_manifest_is_written_anew_and_another_file_is_not() {
    let home = tree();
    let path = home.path().join(Manifest::NAME);
    assert_eq!(index(home.path(), &[]).0, Some(0));
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    assert_eq!(index(home.path(), &["--check"]).0, Some(5));
    let (code, _, told) = index(home.path(), &[]);
    assert_eq!(code, Some(0));
    assert!(told.contains("it is not complete: all files are read"), "{told}");
    assert_eq!(fs::read(&path).expect("read"), whole);
    fs::write(home.path().join("notes"), "notes\n").expect("written");
    let (code, _, told) = index(home.path(), &["--manifest", "notes"]);
    assert_eq!(code, Some(5), "{told}");
    assert_eq!(fs::read(home.path().join("notes")).expect("read"), b"notes\n");
    // It is not among its own files, wherever it lies.
    for _ in 0..2 {
        assert_eq!(index(home.path(), &["--manifest", "sub/list", "--hidden"]).0, Some(0));
    }
    let manifest = Manifest::read(home.path().join("sub/list")).expect("a manifest");
    assert_eq!((manifest.len(), manifest.get("sub/list"), manifest.get(".hidden").is_some()), (5, None, true));
    assert_eq!(index(home.path(), &["--manifest", "sub/list", "--check"]).0, Some(0), "with what is hidden");
    let (code, _, told) = index(home.path(), &["missing"]);
    assert_eq!((code, told.as_str()), (Some(5), "coracle: cannot read missing: there is no such directory\n"));
}
