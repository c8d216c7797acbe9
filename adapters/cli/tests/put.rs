//! `coracle put` and the other commands that write, against `coracle serve --write`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A server, which is killed when it is dropped.
struct Served {
    child: Child,
    address: String,
    root: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        // Whatever it was, it is gone.
        let _ = self.child.wait();
    }
}

fn coracle() -> Command {
    Command::new(env!("CARGO_BIN_EXE_coracle"))
}

fn serve(options: &[&str]) -> Served {
    let root = tempfile::tempdir().expect("a directory");
    let mut command = coracle();
    command.arg("serve").arg(root.path()).args(["-l", "127.0.0.1:0", "-q"]).args(options);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a server");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on ").expect("its address").to_owned();
    Served { child, address, root }
}

fn writable() -> Served {
    serve(&["--write", "--allow-plain-writes"])
}

impl Served {
    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        coracle().arg(command).arg(&self.address).args(arguments).stdin(Stdio::null()).output().expect("it ran")
    }

    fn succeed(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The exit code and standard error of a command that fails.
    fn fail(&self, command: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(command, arguments);
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.path().join(name)).expect(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_file_is_sent_once_and_replaced_only_when_asked() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    let (old, new) = (here.path().join("a.txt"), here.path().join("new.txt"));
    fs::write(&old, "old").expect("written");
    fs::write(&new, "new contents").expect("written");
    server.succeed("put", &[text(&old)]);
    assert_eq!(server.read("a.txt"), b"old");
    let again = server.succeed("put", &[text(&old), "--json"]);
    assert!(again.contains(r#""outcome":"equal""#), "{again}");
    let (code, message) = server.fail("put", &[text(&new), "-o", "a.txt"]);
    assert_eq!(code, Some(1), "{message}");
    assert_eq!(server.read("a.txt"), b"old");
    let (code, _) = server.fail("put", &[text(&new), "-o", "a.txt", "--if-version", "another"]);
    assert_eq!(code, Some(1));
    let line = server.succeed("put", &[text(&new), "-o", "a.txt", "-f", "--json"]);
    assert!(line.contains(r#""outcome":"sent""#) && line.contains(r#""fileSize":12"#), "{line}");
    assert_eq!(server.read("a.txt"), b"new contents");
    let (code, message) = server.fail("put", &[text(&new), "-o", "no/such/a.txt"]);
    assert_eq!(code, Some(1), "{message}");
    server.succeed("put", &[text(&new), "-o", "no/such/a.txt", "-p"]);
    assert_eq!(server.read("no/such/a.txt"), b"new contents");
}

#[test]
fn trees_and_standard_input() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    fs::create_dir_all(here.path().join("t/u")).expect("made");
    fs::write(here.path().join("t/1"), "one").expect("written");
    fs::write(here.path().join("t/u/2"), vec![7; 1_000_000]).expect("written");
    server.succeed("put", &["-r", text(&here.path().join("t")), "-o", "boards/"]);
    assert_eq!(server.read("boards/t/1"), b"one");
    assert_eq!(server.read("boards/t/u/2"), vec![7; 1_000_000]);
    let mut child = coracle();
    child.args(["put", &server.address, "-", "-o", "in.txt", "-q"]).stdin(Stdio::piped());
    let mut child = child.spawn().expect("it ran");
    child.stdin.take().expect("piped").write_all(b"piped").expect("written");
    assert!(child.wait().expect("it ended").success());
    assert_eq!(server.read("in.txt"), b"piped");
}

/// What is told is what is done afterwards.
#[test]
fn a_dry_run_sends_nothing_and_says_what_would_be_sent() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    fs::create_dir(here.path().join("t")).expect("made");
    for (name, contents) in [("1", "one"), ("2", "two"), ("3", "three")] {
        fs::write(here.path().join("t").join(name), contents).expect("written");
    }
    fs::create_dir(server.root.path().join("t")).expect("made");
    fs::write(server.root.path().join("t/1"), "one").expect("written");
    fs::write(server.root.path().join("t/2"), "TWO").expect("written");
    let tree = here.path().join("t");
    let (code, message) = server.fail("put", &["-r", text(&tree), "--dry-run"]);
    assert!(code == Some(1) && message.contains("t/2: the name is taken"), "{message}");
    let lines = server.succeed("put", &["-r", text(&tree), "--dry-run", "-f"]);
    let expected = "send t/2 (changed, 3 bytes)\nsend t/3 (new, 5 bytes)\n2 would be sent (8 bytes), 1 equal";
    assert!(lines.starts_with(expected), "{lines}");
    let lines = server.succeed("put", &["-r", text(&tree), "--dry-run", "-f", "--json"]);
    assert!(lines.contains(r#""outcome":"wouldSend""#) && lines.contains(r#""reason":"changed""#), "{lines}");
    let file = tree.join("2");
    let (code, message) = server.fail("put", &[text(&file), "-o", "t/2", "--dry-run", "--if-version", "another"]);
    assert!(code == Some(1) && message.contains("not in the version of --if-version"), "{message}");
    assert_eq!(server.fail("put", &["-", "-o", "x", "--dry-run"]).0, Some(2));
    assert_eq!((server.read("t/2").as_slice(), server.root.path().join("t/3").exists()), (&b"TWO"[..], false));
    let done = server.succeed("put", &["-r", text(&tree), "-f"]);
    assert!(done.starts_with("2 sent (8 bytes), 1 equal"), "{done}");
}

#[test]
fn a_tree_is_told_file_by_file_where_asked() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    fs::create_dir(here.path().join("t")).expect("made");
    fs::write(here.path().join("t/1"), "one").expect("written");
    let tree = here.path().join("t");
    let told = |arguments: &[&str]| {
        let output = server.run("put", arguments);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let line = told(&["-r", text(&tree), "-v"]);
    assert!(line.contains("-> t/1: 3 bytes, sha256 "), "{line}");
    let line = told(&["-r", text(&tree), "-v"]);
    assert!(line.contains("was there already"), "{line}");
    assert_eq!(told(&["-r", text(&tree)]), "");
}

#[test]
fn names_are_moved_made_and_removed() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    let file = here.path().join("a");
    fs::write(&file, "a").expect("written");
    server.succeed("put", &[text(&file)]);
    server.succeed("mkdir", &["d", "d/e"]);
    server.succeed("mv", &["a", "d/e/b"]);
    assert_eq!(server.read("d/e/b"), b"a");
    assert_eq!(server.fail("mv", &["a", "c"]).0, Some(1));
    let (code, message) = server.fail("rm", &["d"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("rm -r"), "{message}");
    server.succeed("rm", &["-r", "d"]);
    assert_eq!(fs::read_dir(server.root.path()).expect("listed").count(), 0);
    assert!(server.succeed("df", &["--json"]).contains(r#""free":"#));
    assert_eq!(server.fail("rm", &["-r", "/"]).0, Some(2));
    assert_eq!(server.fail("do", &["restart"]).0, Some(1));
}

#[test]
fn writing_is_offered_only_where_the_owner_says_so_twice() {
    let here = tempfile::tempdir().expect("a directory");
    let file = here.path().join("a");
    fs::write(&file, "a").expect("written");
    let reading = serve(&[]);
    assert_eq!(reading.fail("put", &[text(&file)]).0, Some(1));
    let refuse = |options: &[&str]| {
        let output = coracle().arg("serve").arg(here.path()).args(options).output().expect("it ran");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (code, message) = refuse(&["--write"]);
    assert_eq!(code, Some(2));
    assert!(message.contains("--allow-plain-writes"), "{message}");
    let (code, message) = refuse(&["--write", "--allow-plain-writes", "--on-text", "echo"]);
    assert_eq!(code, Some(2));
    assert!(message.contains("--on-text"), "{message}");

    let boxed = serve(&["--write-only", "in/", "--allow-plain-writes", "--max-file", "10"]);
    fs::create_dir(boxed.root.path().join("in")).expect("made");
    boxed.succeed("put", &[text(&file), "-o", "in/"]);
    assert_eq!(boxed.read("in/a"), b"a");
    assert_eq!(boxed.fail("put", &[text(&file)]).0, Some(1));
    assert_eq!(boxed.fail("get", &["in/a", "-o", "-"]).0, Some(1));
    assert_eq!(boxed.fail("ls", &["in"]).0, Some(1));
    fs::write(&file, "more than ten bytes").expect("written");
    assert_eq!(boxed.fail("put", &[text(&file), "-o", "in/b"]).0, Some(1));
    assert_eq!(fs::read_dir(boxed.root.path().join("in")).expect("listed").count(), 1);
}

#[test]
fn a_tree_goes_over_many_connections() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    for at in 0..60 {
        let directory = here.path().join(format!("t/{}", at % 4));
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join(at.to_string()), vec![at; usize::from(at) * 100]).expect("written");
    }
    fs::create_dir(server.root.path().join("new")).expect("made");
    let tree = here.path().join("t");
    for jobs in ["5", "1"] {
        let told = server.succeed("put", &["-r", text(&tree), "-o", "new/", "-j", jobs, "--json"]);
        let outcome = if jobs == "5" { r#""outcome":"sent""# } else { r#""outcome":"equal""# };
        assert_eq!(told.matches(outcome).count(), 60, "{told}");
        let last = told.lines().last().expect("a line");
        assert!(last.contains(r#""outcome":"summary""#) && last.contains(r#""exitCode":0"#), "{last}");
    }
    for at in 0..60 {
        assert_eq!(server.read(&format!("new/t/{}/{at}", at % 4)), vec![at; usize::from(at) * 100]);
    }
    // A server with few places gets all over those, and what fails is told.
    let small = serve(&["--write", "--allow-plain-writes", "--max-clients", "2"]);
    fs::create_dir(small.root.path().join("t")).expect("made");
    fs::write(small.root.path().join("t/0"), "in the way").expect("written");
    let (code, message) = small.fail("put", &["-r", text(&tree)]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.matches("the server is busy").count() <= 1, "{message}");
    assert_eq!(message.matches("t/0/").count(), 15, "{message}");
    assert_eq!(fs::read(small.root.path().join("t/3/59")).expect("there"), vec![59; 5_900]);
}

#[test]
fn what_is_sent_keeps_to_a_rate() {
    let (server, here) = (writable(), tempfile::tempdir().expect("a directory"));
    let file = here.path().join("a");
    fs::write(&file, vec![7; 150_000]).expect("written");
    let begun = std::time::Instant::now();
    server.succeed("put", &[text(&file), "--limit-rate", "200k"]);
    // A tenth of a second is free.
    assert!(begun.elapsed().as_secs_f64() > 0.6, "{:?}", begun.elapsed());
    assert_eq!(server.read("a"), vec![7; 150_000]);
}
