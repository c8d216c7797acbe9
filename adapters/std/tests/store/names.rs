//! Names: hostile, hidden, long, and the kinds of files that they lead to.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use coracle::store::DirectoryStore;
use coracle_core::{FileName, Listed, Store, StoreError};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::fixture::{SECRET, Tree, both_ways, contents, hidden, listed};

#[test]
fn p9_percent_signs_are_literal() {
    let tree = Tree::new();
    tree.make_directory("d");
    for name in ["%2e%2e%2foutside%2fsecret", "d/%2e%2e/secret", "%00", "d%2ffile"] {
        assert_eq!(contents(&tree.store(), name), Err(StoreError::NotFound), "{name}");
    }
    tree.write("%2e%2e%2fx", "literal");
    assert_eq!(contents(&tree.store(), "%2e%2e%2fx"), Ok(b"literal".to_vec()));
}

#[test]
fn p10_nothing_is_expanded() {
    let tree = Tree::new();
    tree.write("plain", "plain");
    let names =
        ["~", "~root", "$HOME", "${HOME}", "*", "?????", "-rf", "p*", "[p]lain", "pl{a}in", "`id`", " ", "a;b", "a|b"];
    for name in names {
        assert_eq!(contents(&tree.store(), name), Err(StoreError::NotFound), "{name}");
    }
    for name in names {
        tree.write(name, name);
    }
    for name in names {
        assert_eq!(contents(&tree.store(), name), Ok(name.as_bytes().to_vec()));
    }
    assert_eq!(listed(&tree.store(), None).map(|(lines, skipped)| (lines.len(), skipped)), Ok((names.len() + 1, 0)));
}

#[test]
fn p11_long_names() {
    both_ways(|| {
        let tree = Tree::new();
        let longest = "x".repeat(255);
        tree.write(&longest, "long");
        assert_eq!(contents(&tree.store(), &longest), Ok(b"long".to_vec()));
        assert_eq!(listed(&tree.store(), None), Ok((vec![format!("{longest} 4")], 0)));

        // 128 components.
        let deepest = format!("{}f", "d/".repeat(127));
        tree.make_directory("d/".repeat(127));
        tree.write(&deepest, "deep");
        assert_eq!(contents(&tree.store(), &deepest), Ok(b"deep".to_vec()));
        assert_eq!(listed(&tree.store(), deepest.strip_suffix("/f")), Ok((vec![format!("{deepest} 4")], 0)));

        // Longer names never reach a store.
        assert!(FileName::new(&"x".repeat(256)).is_err());
        assert!(FileName::new(&format!("{}f", "d/".repeat(1_000))).is_err());
    });
}

/// No file system here has shorter names than the protocol, but a link can lead to a longer one.
#[test]
fn p11_too_long_for_the_file_system_is_a_bad_name() {
    both_ways(|| {
        let tree = Tree::new();
        tree.link("link", "x".repeat(256));
        assert_eq!(contents(&tree.store(), "link"), Err(StoreError::BadName));
        assert_eq!(listed(&tree.store(), None), Ok((vec![], 1)));
    });
}

#[test]
fn p18_opening_special_files_never_blocks() {
    both_ways(|| {
        let tree = Tree::new();
        tree.make_directory("directory");
        let _socket = UnixListener::bind(tree.path("socket")).expect("a socket");
        mknodat(CWD, tree.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("a FIFO");
        for name in ["directory", "socket", "fifo"] {
            tree.link(format!("link-to-{name}"), name);
        }
        let (done, wait) = channel::<()>();
        thread::scope(|scope| {
            let fifo = tree.path("fifo");
            let late = scope.spawn(move || {
                let is_late = wait.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout);
                // A writer ends an opening that blocks.
                is_late.then(|| File::options().read(true).write(true).open(fifo))
            });
            for name in ["directory", "link-to-directory", "socket", "link-to-socket", "fifo", "link-to-fifo"] {
                assert_eq!(contents(&tree.store(), name), Err(StoreError::NotFile), "{name}");
            }
            for name in ["socket", "link-to-socket", "fifo", "link-to-fifo"] {
                assert_eq!(listed(&tree.store(), Some(name)), Err(StoreError::NotDirectory), "{name}");
            }
            drop(done);
            assert!(late.join().expect("the other thread").is_none(), "opening blocked");
        });
        assert_eq!(listed(&tree.store(), None), Ok((vec!["directory/".into(), "link-to-directory@/".into()], 4)));
    });
}

#[test]
fn p18_devices() {
    both_ways(|| {
        let store = DirectoryStore::open("/dev").expect("the devices");
        for name in ["null", "zero", "full", "random", "tty"] {
            assert_eq!(contents(&store, name), Err(StoreError::NotFile), "{name}");
            assert_eq!(listed(&store, Some(name)), Err(StoreError::NotDirectory), "{name}");
        }
        let (lines, skipped) = listed(&store, None).expect("listed");
        assert!(skipped >= 5 && !lines.iter().any(|line| line.starts_with("zero")), "{lines:?}");
    });
}

#[test]
fn p18_a_file_is_no_directory() {
    both_ways(|| {
        let tree = Tree::new();
        tree.write("file", "");
        assert_eq!(listed(&tree.store(), Some("file")), Err(StoreError::NotDirectory));
        assert_eq!(listed(&tree.store(), Some("file/x")), Err(StoreError::NotFound));
        assert_eq!(contents(&tree.store(), "file/x"), Err(StoreError::NotFound));
        assert_eq!(listed(&tree.store(), Some("none")), Err(StoreError::NotFound));
        assert_eq!(contents(&tree.store(), "none/x"), Err(StoreError::NotFound));
    });
}

/// Root may read everything, so root runs this test once more as another user.
#[test]
fn p19_unreadable_files_are_denied() {
    let tree = Tree::new();
    if fs::metadata(tree.root()).expect("metadata").uid() == 0 {
        // Copied, since the path of the test's own program may be closed to others.
        let program = tree.outside().join("test");
        fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
        for directory in [tree.outside(), tree.root(), tree.outside().join("..")] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("permissions");
        }
        chown(tree.root(), Some(65_534), Some(65_534)).expect("another owner");
        let output = Command::new(program)
            .args(["--exact", "names::p19_unreadable_files_are_denied"])
            .env("TMPDIR", tree.root())
            .uid(65_534)
            .gid(65_534)
            .output()
            .expect("the test runs as nobody");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    both_ways(|| {
        let tree = Tree::new();
        tree.write("file", "unreadable");
        tree.make_directory("closed");
        tree.write("closed/file", "unreachable");
        tree.make_directory("blind");
        tree.write("blind/file", "reachable");
        tree.make_directory("list-only");
        tree.write("list-only/file", "unreachable");
        for (name, mode) in [("file", 0o000), ("closed", 0o000), ("blind", 0o100), ("list-only", 0o400)] {
            fs::set_permissions(tree.path(name), fs::Permissions::from_mode(mode)).expect("permissions");
        }
        let store = tree.store();
        assert_eq!(contents(&store, "file"), Err(StoreError::Denied));
        assert_eq!(listed(&store, Some("file")), Err(StoreError::NotDirectory));
        assert_eq!(contents(&store, "closed"), Err(StoreError::NotFile));
        assert_eq!(contents(&store, "closed/file"), Err(StoreError::Denied));
        assert_eq!(listed(&store, Some("closed")), Err(StoreError::Denied));
        assert_eq!(contents(&store, "blind/file"), Ok(b"reachable".to_vec()));
        assert_eq!(listed(&store, Some("blind")), Err(StoreError::Denied));
        assert_eq!(contents(&store, "list-only/file"), Err(StoreError::Denied));
        assert_eq!(listed(&store, Some("list-only")), Ok((vec![], 1)));
        // It is listed, and opening it is denied.
        let expected = ["blind/", "closed/", "file 10", "list-only/"].map(String::from).to_vec();
        assert_eq!(listed(&store, None), Ok((expected, 0)));

        fs::set_permissions(tree.root(), fs::Permissions::from_mode(0o000)).expect("permissions");
        let error = DirectoryStore::open(tree.root()).expect_err("not searchable").to_string();
        fs::set_permissions(tree.root(), fs::Permissions::from_mode(0o700)).expect("permissions");
        for name in ["closed", "blind", "list-only"] {
            fs::set_permissions(tree.path(name), fs::Permissions::from_mode(0o700)).expect("permissions");
        }
        assert!(error.ends_with("root: permission denied"), "{error}");
    });
}

#[test]
fn p21_names_are_exact_bytes() {
    let tree = Tree::new();
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    tree.write(composed, "composed");
    assert_eq!(contents(&tree.store(), decomposed), Err(StoreError::NotFound));
    tree.write(decomposed, "other");
    assert_eq!(contents(&tree.store(), composed), Ok(b"composed".to_vec()));
    assert_eq!(contents(&tree.store(), decomposed), Ok(b"other".to_vec()));
    let expected = vec![format!("{decomposed} 5"), format!("{composed} 8")];
    assert_eq!(listed(&tree.store(), None), Ok((expected, 0)));
}

/// The file system of the tests distinguishes upper and lower case, so the store has to.
#[test]
fn p22_case_is_significant() {
    let tree = Tree::new();
    tree.write("Read.me", "upper");
    assert_eq!(contents(&tree.store(), "read.me"), Err(StoreError::NotFound));
    tree.write("read.me", "lower");
    assert_eq!(contents(&tree.store(), "Read.me"), Ok(b"upper".to_vec()));
}

#[test]
fn p23_names_that_cannot_be_asked_for_are_skipped() {
    let tree = Tree::new();
    let bad: [&[u8]; 9] = [
        b"\xff",
        b"caf\xe9",
        b"\xc0\xae",
        b"\xed\xa0\x80",
        b"a\nb",
        b"a\x1b[2Jb",
        b"a\x7f",
        b"a\\b",
        "a\u{9b}".as_bytes(),
    ];
    for name in bad {
        tree.write(OsStr::from_bytes(name), "");
        tree.link(OsStr::from_bytes(&[name, b"-link"].concat()), "good");
    }
    tree.make_directory(OsStr::from_bytes(b"directory\xff"));
    tree.write("good \"\u{2028}\u{1f6b6}", "1");
    tree.write("good", "12");
    let expected = vec!["good \"\u{2028}\u{1f6b6} 1".into(), "good 2".into()];
    assert_eq!(listed(&tree.store(), None), Ok((expected, 2 * bad.len() + 1)));
}

/// What is left out is named, and told apart: a copy lacks files and directories, and no sockets.
#[test]
fn p23_what_is_left_out_has_a_name_and_a_reason() {
    let tree = Tree::new();
    tree.make_directory("d");
    tree.write("d/a\\b", "");
    tree.write(OsStr::from_bytes(b"d/caf\xe9"), "");
    tree.make_directory(OsStr::from_bytes(b"d/directory\xff"));
    tree.write(format!("d/{}", "x".repeat(254)), "");
    tree.link("d/dangling", "nowhere");
    tree.link("d/outside", "/etc/hostname");
    let _socket = UnixListener::bind(tree.path("d/socket")).expect("a socket");
    let bad_socket = tree.path("d").join(OsStr::from_bytes(b"socket\xff"));
    let _bad_socket = UnixListener::bind(bad_socket).expect("a socket");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let observed = seen.clone();
    let store = tree.store().with_skip_observer(move |skipped| observed.lock().expect("ok").push(skipped.to_string()));
    let mut listing = (&store).list(Some(FileName::from_static("d"))).expect("a listing");
    let (mut skipped, mut unnameable) = (0, 0);
    loop {
        match (&store).next(&mut listing).expect("a step") {
            Listed::Skipped => skipped += 1,
            Listed::Unnameable => unnameable += 1,
            Listed::End => break,
            step => panic!("{step:?}"),
        }
    }
    assert_eq!((skipped, unnameable), (4, 4));
    let mut seen = seen.lock().expect("no panic").clone();
    seen.sort();
    let long = format!("d/{}: a name has at most 255 bytes", "x".repeat(254));
    assert_eq!(
        seen,
        [
            "d/a\\b: a name has no control character, no backslash",
            "d/caf\u{fffd}: its name is not UTF-8",
            "d/dangling: it is a link that leads nowhere or outside",
            "d/directory\u{fffd}: its name is not UTF-8",
            "d/outside: it is a link that leads nowhere or outside",
            "d/socket: it is neither a file nor a directory",
            "d/socket\u{fffd}: it is neither a file nor a directory",
            &long,
        ]
    );
}

#[test]
fn p23_paths_that_are_too_long_are_skipped() {
    let tree = Tree::new();
    let directory = "d".repeat(100);
    tree.make_directory(&directory);
    for len in [153, 154, 155, 255] {
        tree.write(format!("{directory}/{}", "f".repeat(len)), "");
    }
    let (lines, skipped) = listed(&tree.store(), Some(&directory)).expect("listed");
    assert_eq!((lines.len(), skipped), (2, 2));
    for line in lines {
        let name = line.strip_suffix(" 0").expect("an empty file");
        assert_eq!(contents(&tree.store(), name), Ok(vec![]));
    }
}

#[test]
fn p25_the_root_has_to_be_a_directory() {
    let tree = Tree::new();
    tree.write("file", "");
    tree.link("dangling", "nowhere");
    for (name, why) in [
        ("none", "there is no such directory"),
        ("dangling", "there is no such directory"),
        ("file", "it is not a directory"),
        ("file/x", "it is not a directory"),
    ] {
        let error = DirectoryStore::open(tree.path(name)).expect_err(name);
        assert_eq!(error.to_string(), format!("cannot serve {}: {why}", tree.path(name).display()));
    }
    assert!(DirectoryStore::open("").is_err());
}

#[test]
fn p25_a_relative_root() {
    // Tests run in the directory of their package.
    let store = DirectoryStore::open(".").expect("the working directory");
    assert!(contents(&store, "Cargo.toml").is_ok());
    let store = DirectoryStore::open("src/../tests").expect("a relative path");
    assert_eq!(contents(&store, "store/names.rs"), Ok(include_bytes!("names.rs").to_vec()));
}

#[test]
fn p25_the_root_stays_open_when_its_path_changes() {
    both_ways(|| {
        let tree = Tree::new();
        tree.write("secret", "inside\n");
        let store = tree.store();
        let moved = tree.outside().join("moved");
        fs::rename(tree.root(), &moved).expect("moved");
        std::os::unix::fs::symlink(tree.outside(), tree.root()).expect("a link in its place");
        assert_eq!(contents(&tree.store(), "secret"), Ok(SECRET.to_vec()), "a link may name the root");
        assert_eq!(contents(&store, "secret"), Ok(b"inside\n".to_vec()));
        assert_eq!(listed(&store, None), Ok((vec!["secret 7".into()], 0)));

        fs::remove_dir_all(&moved).expect("removed");
        assert_eq!(contents(&store, "secret"), Err(StoreError::NotFound));
        assert_eq!(listed(&store, None).map(|(lines, _)| lines).unwrap_or_default(), Vec::<String>::new());
    });
}

#[test]
fn p24_hidden_names_do_not_exist() {
    let tree = Tree::new();
    tree.write(".hidden", "h");
    tree.make_directory(".git/objects");
    tree.make_directory("d/.d");
    tree.write(".git/config", "c");
    tree.write("d/.d/f", "f");
    tree.write("d/..f", "f");
    tree.write("f.", "visible");
    tree.write(OsStr::from_bytes(b".\xff"), "");
    tree.link("window", ".git");

    let store = tree.store();
    for name in [".hidden", ".git/config", "d/.d/f", "d/..f", ".none"] {
        assert_eq!(contents(&store, name), Err(StoreError::NotFound), "{name}");
    }
    for name in [".git", ".git/objects", "d/.d"] {
        assert_eq!(listed(&store, Some(name)), Err(StoreError::NotFound), "{name}");
    }
    assert_eq!(listed(&store, None), Ok((vec!["d/".into(), "f. 7".into(), "window@/".into()], 0)));
    assert_eq!(listed(&store, Some("d")), Ok((vec![], 0)));
    // Counted, and neither `.` nor `..` among them.
    assert_eq!((hidden(&store, None), hidden(&store, Some("d"))), (3, 2));
    // A link with a plain name may lead to it.
    assert_eq!(contents(&store, "window/config"), Ok(b"c".to_vec()));

    let store = tree.store().with_hidden(true);
    assert_eq!((hidden(&store, None), hidden(&store, Some("d"))), (0, 0));
    assert_eq!(contents(&store, "d/.d/f"), Ok(b"f".to_vec()));
    assert_eq!(listed(&store, Some("d")), Ok((vec!["d/..f 1".into(), "d/.d/".into()], 0)));
    let expected = [".git/", ".hidden 1", "d/", "f. 7", "window@/"].map(String::from).to_vec();
    assert_eq!(listed(&store, None), Ok((expected, 1)));
}
