//! Progress in a terminal of 80 columns, and the prompt behind it.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::program::Serve;
use crate::support::{Server, TestDirectory, pseudo_random};

/// A shell's command in a terminal of 80 columns.
struct Terminal {
    child: Child,
    output: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(local: &TestDirectory, command: &str) -> Self {
        let command = format!("stty cols 80; {command}");
        // Whoever runs this in the background of a script may have had SIGINT ignored, which is inherited.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", "script", "-qec", &command, "/dev/null"])
            .current_dir(local.root.path())
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("script: {error}; 'apt-get install bsdutils' installs it"));
        let mut pipe = child.stdout.take().expect("its output");
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(len @ 1..) = pipe.read(&mut buf) {
                if sender.send(buf[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, output, seen: String::new() }
    }

    /// Waits until `words` are there.
    fn wait(&mut self, words: &str) {
        while !self.seen.contains(words) {
            let piece = self.output.recv_timeout(Duration::from_secs(60));
            let piece = piece.unwrap_or_else(|_| panic!("{words:?} is not in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.child.stdin.as_mut().expect("its input").write_all(keys).expect("pressed");
    }

    fn end(mut self) -> String {
        while let Ok(piece) = self.output.recv_timeout(Duration::from_secs(60)) {
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
        self.child.wait().expect("waited for");
        self.seen
    }
}

#[test]
fn the_prompt_has_a_line_of_its_own_after_an_interrupt() {
    let local = TestDirectory::new();
    let file = pseudo_random(100_000);
    let server = Server::new(move |mut exchange| {
        let header = exchange.header(&file, "v1");
        exchange.line(&header);
        exchange.send(&file[..50_000]);
        // The rest never comes.
        thread::sleep(Duration::from_secs(60));
    });
    let program = env!("CARGO_BIN_EXE_coracle");
    let command = format!("trap : INT; '{program}' get {} f; echo \"$?\"; printf 'PROMPT$ '", server.address);
    let mut terminal = Terminal::start(&local, &command);
    terminal.wait(" 50% ");
    terminal.press(b"\x03");
    let seen = terminal.end();
    let (before, _) = seen.split_once("PROMPT$ ").unwrap_or_else(|| panic!("{seen:?}"));
    let (bar, status) = before.trim_end().rsplit_once("\r\n").unwrap_or_else(|| panic!("{seen:?}"));
    assert_eq!(status, "130", "{seen:?}");
    assert!(bar.ends_with('\n') || bar.contains(" 50% "), "{seen:?}");
    assert_eq!(fs::metadata(local.path(".coracle-f.part")).expect("a part").len(), 50_000);
}

#[test]
fn a_tree_is_counted_as_a_whole_and_long_names_stay_readable() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    let directory = "a-directory-with-a-rather-long-name/and-another-one-in-it";
    fs::create_dir_all(serve.root.path().join(directory)).expect("created");
    for number in 0..20 {
        serve.write(&format!("{directory}/a-file-of-a-series-{number:02}.log"), pseudo_random(1 << 20));
    }
    let program = env!("CARGO_BIN_EXE_coracle");
    let mut terminal = Terminal::start(&local, &format!("'{program}' get -r {} -o to", serve.address));
    terminal.wait(" of 20 files ");
    let seen = terminal.end();
    assert!(seen.contains("20.00 MiB"), "{seen:?}");
    assert!(seen.contains("20 fetched (20971520 bytes)"), "{seen:?}");
    // The beginning and the end of a name, in the columns that it has.
    let name = seen
        .split(['\r', '\n', '\u{1b}'])
        .find_map(|line| line.split_once("\u{2026}").filter(|_| line.contains(".log")));
    let (begin, end) = name.unwrap_or_else(|| panic!("no name is shortened: {seen:?}"));
    assert!(begin.contains("a-directory-with-a-rat"), "{begin:?}");
    assert!(
        end.trim_start().split(' ').next().is_some_and(|end| end.ends_with(".log") && end.contains("-of-a-series-")),
        "{end:?}"
    );
}
