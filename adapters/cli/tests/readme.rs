//! The session that README.md shows, played with the program.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

const README: &str = include_str!("../../../README.md");
const PROGRAM: &str = env!("CARGO_BIN_EXE_coracle");

/// The server, killed at the end of the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().expect("the program runs until here");
        self.0.wait().expect("the program ends");
    }
}

#[test]
fn shows_what_the_program_prints() {
    let served = tempfile::tempdir().expect("a directory");
    let target = tempfile::tempdir().expect("a directory");
    fill(served.path());
    let session = README.split("```console\n").nth(1).expect("a session").split("```").next().expect("its end");
    let (_program, address) = serve(served.path());
    let mut shown = 0;
    for block in session.split("$ ").skip(1) {
        let (command, expected) = block.split_once('\n').expect("a command is a line");
        if command.starts_with("coracle serve . ") {
            assert!(expected.starts_with("listening on [::]:8888\n  coracle ls 127.0.0.1 "), "{expected}");
            continue;
        }
        let command = command.replace("/tmp", target.path().to_str().expect("text"));
        let output = match command.strip_suffix(" | nc -N 127.0.0.1 8888") {
            Some(printing) => exchange(address, &run(printing, served.path())),
            None => run(&command.replace("127.0.0.1", &address.to_string()), served.path()),
        };
        assert_eq!(without_version(&output), without_version(expected), "{command}");
        shown += 1;
    }
    assert_eq!(shown, 4);
}

/// The directory of the session: a log, and a directory.
fn fill(directory: &Path) {
    fs::create_dir(directory.join("sub")).expect("made");
    let mut log = File::create(directory.join("boot.log")).expect("created");
    for step in 0..100 {
        writeln!(log, "[{:12.6}] boot: step {step} done", f64::from(step)).expect("written");
    }
    log.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_323_774)).expect("set");
}

fn serve(directory: &Path) -> (Program, SocketAddr) {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(directory);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a first line");
    let address = line.trim().strip_prefix("listening on ").expect("where it listens").parse();
    (Program(child), address.expect("an address"))
}

/// The standard output of a shell's command.
fn run(command: &str, directory: &Path) -> String {
    let programs = Path::new(PROGRAM).parent().expect("a directory").display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(directory).output();
    let output = output.expect("a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What `nc -N` prints for this input.
fn exchange(address: SocketAddr, input: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(input.as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("shut down");
    let mut output = String::new();
    stream.read_to_string(&mut output).expect("an answer");
    output
}

/// Without the version, which is made of the file's inode.
fn without_version(text: &str) -> String {
    let (front, rest) = text.split_once("\"version\":\"").unwrap_or((text, ""));
    format!("{front}{}", rest.trim_start_matches(|c: char| c.is_ascii_hexdigit())).trim_end().to_owned()
}
