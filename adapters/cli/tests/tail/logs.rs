//! What happens to logs: rotated, truncated, rewritten, deleted for a while.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{LOG, Serve};

/// As the owner promises nothing, and as he promises that logs are only appended to.
const SERVERS: [&[&str]; 2] = [&[], &["--append", "*.log"]];

/// A file that is a window long, and ends a line.
fn long(letter: &str) -> String {
    format!("{}\n", letter.repeat(79)).repeat(100)
}

#[test]
fn l1_whatever_happens_to_a_log_each_line_comes_once() {
    for args in SERVERS {
        let serve = Serve::new(args);
        let mut printed = long("a");
        serve.write(LOG, &printed);
        let tail = serve.follow(&["-n", "all"]);
        let mut add = |line: &str| {
            printed.push_str(line);
            tail.prints(&printed);
        };
        add("");
        serve.watches();
        let (log, old) = (serve.path(LOG), serve.path("boot.log.1"));
        serve.append("appended\n");
        add("appended\n");
        // Rename and create.
        fs::rename(&log, &old).expect("renamed");
        serve.write(LOG, "renamed\n");
        add("renamed\n");
        tail.tells("-- boot.log begins anew --", 1);
        // It was read to its end, which only the promise shows: the version of another file changes with its name.
        let unknown = usize::from(args.is_empty());
        tail.tells("is not known", unknown);
        // Copy and truncate; the line is shorter than what was there.
        serve.write(LOG, "cut\n");
        add("cut\n");
        tail.tells("-- boot.log begins anew --", 2);
        tail.tells("is not known", unknown + 1);
        serve.append("and on\n");
        add("and on\n");
        // Rewritten in place, to the same size.
        serve.write(LOG, "and on\ncut\n");
        add("and on\ncut\n");
        tail.tells("-- boot.log begins anew --", 3);
        // Deleted for a while, which is told long before the server's wait would end, and come back as it was.
        let begin = Instant::now();
        fs::rename(&log, &old).expect("renamed");
        tail.tells("-- boot.log is not there, waiting for it --", 1);
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        fs::rename(&old, &log).expect("renamed");
        tail.tells("-- going on --", 1);
        serve.append("back\n");
        add("back\n");
        // Deleted, and made anew, with the inode of the old one where the file system gives it again.
        fs::remove_file(&log).expect("removed");
        tail.tells("-- boot.log is not there, waiting for it --", 2);
        serve.write(LOG, long("b"));
        add(&long("b"));
        tail.tells("-- boot.log begins anew --", 4);
        // Replaced by a link that leads outside, and by one that does not.
        let replace_by_link = |target: &str| {
            symlink(target, serve.path("link")).expect("a link");
            fs::rename(serve.path("link"), &log).expect("renamed");
        };
        replace_by_link("/etc/passwd");
        tail.tells("-- permission denied: boot.log, trying again --", 1);
        serve.write("other", "linked\n");
        replace_by_link("other");
        add("linked\n");
        tail.tells("-- boot.log begins anew --", 5);
    }
}

/// The server keeps each that it has seen, and says which came next.
#[test]
fn l1_a_log_that_is_renamed_again_and_again_is_read_file_by_file() {
    let serve = Serve::new(&["--append", "*.log"]);
    serve.write(LOG, "first\n");
    let tail = serve.follow(&["-n", "all"]);
    tail.prints("first\n");
    serve.watches();
    tail.signal(Signal::STOP);
    for (number, line) in ["second\n", "third\n", "", "fourth\n"].iter().enumerate() {
        serve.append(format!("end of {number}\n"));
        fs::rename(serve.path(LOG), serve.path(&format!("old.{number}"))).expect("renamed");
        serve.write(LOG, line);
        serve.has_open(LOG);
    }
    tail.signal(Signal::CONT);
    tail.prints("first\nend of 0\nsecond\nend of 1\nthird\nend of 2\nend of 3\nfourth\n");
    tail.tells("-- boot.log begins anew --", 4);
    tail.tells("is not known", 0);
    serve.append("more\n");
    tail.prints("first\nend of 0\nsecond\nend of 1\nthird\nend of 2\nend of 3\nfourth\nmore\n");
}

#[test]
fn l1_a_file_that_nobody_has_seen_is_told_to_be_missing() {
    let serve = Serve::new(&["--append", "*.log"]);
    serve.write(LOG, "first\n");
    let tail = serve.follow(&["-n", "all"]);
    tail.prints("first\n");
    serve.watches();
    // It came and went before the server could look.
    serve.signal(Signal::STOP);
    serve.append("end\n");
    fs::rename(serve.path(LOG), serve.path("old.1")).expect("renamed");
    serve.write(LOG, "unseen\n");
    fs::remove_file(serve.path(LOG)).expect("removed");
    serve.write(LOG, "second\n");
    serve.signal(Signal::CONT);
    tail.prints("first\nend\nsecond\n");
    tail.tells("-- what boot.log had behind byte 10 is not known --\n-- boot.log begins anew --\n", 1);
    tail.tells("begins anew", 1);
}

/// To the very offset, and past it: neither the size nor a request beyond it tells.
#[test]
fn l2_a_log_that_is_truncated_and_grows_back_is_noticed() {
    for args in SERVERS {
        let serve = Serve::new(args);
        let mut printed = long("a");
        serve.write(LOG, &printed);
        let tail = serve.follow(&["-n", "all"]);
        tail.prints(&printed);
        for next in [long("b"), format!("{}more\n", long("c")), "d".repeat(1 << 20)] {
            serve.write(LOG, &next);
            printed.push_str(&next);
            tail.prints(&printed);
        }
        tail.tells("-- boot.log begins anew --", 3);
    }
}

#[test]
fn l1_a_line_that_was_cut_by_a_truncation_is_ended() {
    let serve = Serve::new(&[]);
    serve.write(LOG, "whole\nnot who");
    let tail = serve.follow(&["-n", "all"]);
    tail.prints("whole\nnot who");
    serve.write(LOG, "new\n");
    tail.prints("whole\nnot who\nnew\n");
}

#[test]
fn l1_a_log_that_is_not_there_is_waited_for() {
    let serve = Serve::new(&[]);
    let tail = serve.follow(&["-n", "0"]);
    tail.tells("-- boot.log is not there, waiting for it --", 1);
    serve.write(LOG, "first\n");
    tail.prints("first\n");
    let output = Serve::run(&[&serve.address, "none.log"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.log: not found"), "{output:?}");
}
