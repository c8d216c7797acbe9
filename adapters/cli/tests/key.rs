//! `coracle key`, as a program.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn key(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coracle"))
        .arg("key")
        .args(arguments)
        .current_dir(directory)
        .env("XDG_CONFIG_HOME", directory.join("configuration"))
        .output()
        .expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn a_new_key_is_shown_and_never_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = key(&["new", "server.key"], directory.path());
    assert_eq!((made.status.code(), text(&made.stderr).as_str()), (Some(0), ""));
    let public = text(&made.stdout);
    assert!(public.starts_with("ck1") && public.len() == 62, "{public}");
    assert_eq!(text(&key(&["show", "server.key"], directory.path()).stdout), public);

    let file = directory.path().join("server.key");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let before = fs::read_to_string(&file).expect("read");
    assert!(before.contains("cs1") && before.contains(public.trim()));
    let again = key(&["new", "server.key"], directory.path());
    assert_eq!(again.status.code(), Some(5));
    assert!(text(&again.stderr).starts_with("coracle: server.key: exists already"), "{again:?}");
    assert_eq!(fs::read_to_string(&file).expect("read"), before);
}

#[test]
fn ones_own_keys_have_a_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = key(&["new", "--json"], directory.path());
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let shown = key(&["show"], directory.path());
    assert_eq!(json["public"], text(&shown.stdout).trim());
    assert_eq!(json["file"], directory.path().join("configuration/coracle/key").to_str().expect("UTF-8"));
}

#[test]
fn a_pre_shared_key_has_no_public_half() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = key(&["new", "--psk", "bench.psk"], directory.path());
    assert_eq!((made.status.code(), made.stdout.len()), (Some(0), 0), "{made:?}");
    assert!(fs::read_to_string(directory.path().join("bench.psk")).expect("read").contains("\ncp1"));
    let shown = key(&["show", "bench.psk"], directory.path());
    assert_eq!(shown.status.code(), Some(5));
    assert!(text(&shown.stderr).contains("another kind of key"), "{shown:?}");
}

#[test]
fn e5_keys_that_others_can_read_or_that_are_damaged_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    key(&["new", "k"], directory.path());
    let file = directory.path().join("k");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
    let shown = key(&["show", "k"], directory.path());
    assert_eq!(shown.status.code(), Some(5));
    assert!(text(&shown.stderr).contains("chmod 600") && !text(&shown.stderr).contains("cs1"), "{shown:?}");

    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
    let damaged = fs::read_to_string(&file).expect("read").replace("\ncs1", "\ncs1q");
    fs::write(&file, damaged).expect("written");
    let shown = key(&["show", "k"], directory.path());
    assert_eq!(shown.status.code(), Some(5));
    assert!(text(&shown.stderr).contains("mistyped or cut") && !text(&shown.stderr).contains("cs1q"), "{shown:?}");

    let none = key(&["show", "none"], directory.path());
    assert_eq!(none.status.code(), Some(5));
}

#[test]
fn a_boards_key_is_made_of_the_fleets_and_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| key(arguments, directory.path());
    run(&["new", "fleet.key"]);
    let derived = run(&["derive", "fleet.key", "bench-12"]);
    assert_eq!((derived.status.code(), text(&derived.stderr).as_str()), (Some(0), ""));
    let public = text(&derived.stdout);
    assert_eq!(text(&run(&["show", "bench-12.key"]).stdout), public);
    assert_eq!(fs::metadata(directory.path().join("bench-12.key")).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(text(&run(&["derive", "fleet.key", "bench-12", "again.key"]).stdout), public, "the same each time");
    assert_ne!(text(&run(&["derive", "fleet.key", "bench-13"]).stdout), public);
    assert_eq!(run(&["derive", "fleet.key", "bench-12"]).status.code(), Some(5), "never replaced");
    assert_eq!(run(&["derive", "fleet.key", "a b"]).status.code(), Some(2));

    let array = text(&run(&["derive", "fleet.key", "bench-12", "--rust"]).stdout);
    // The comment above it holds the public key, in which any letters may follow one another.
    let numbers = array.split_once("= [").expect("an array").1;
    let bytes: Vec<u8> =
        numbers.split("0x").skip(1).map(|byte| u8::from_str_radix(&byte[..2], 16).expect("hexadecimal")).collect();
    let secret = coracle::channel::read_secret_key(&directory.path().join("bench-12.key")).expect("a key");
    assert_eq!(bytes, secret.as_bytes());
    assert!(array.contains("pub const SECRET_KEY: [u8; 32] = [") && array.contains(public.trim()), "{array}");
}

#[test]
fn pins_of_a_fleet_are_lines_of_a_hosts_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| key(arguments, directory.path());
    run(&["new", "fleet.key"]);
    let public = text(&run(&["derive", "fleet.key", "bench-12"]).stdout);
    fs::write(directory.path().join("names"), "# benches\nbench-12 192.168.7.2:9000\n\nbench-13 # new\n")
        .expect("written");
    let made = text(&run(&["pins", "fleet.key", "names"]).stdout);
    assert!(made.starts_with(&format!("bench-12 192.168.7.2:9000 pin={public}bench-13 bench-13 pin=ck1")), "{made}");
    let hosts = directory.path().join("configuration/coracle/hosts");
    fs::create_dir_all(hosts.parent().expect("a directory")).expect("made");
    fs::write(hosts, &made).expect("written");
    let listed = text(&run(&["list"]).stdout);
    assert!(listed.starts_with(&format!("bench-12:9000 {} hosts\nbench-13:8888 ck1", public.trim())), "{listed}");
    let json = text(&run(&["pins", "fleet.key", "names", "--json"]).stdout);
    let line: serde_json::Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["name"], &line["key"]), (&"bench-12".into(), &public.trim().into()));

    for (line, what) in [("a=b", "names:1: "), ("a host extra", "names:1: a line is NAME"), ("a x:0", "names:1: ")] {
        fs::write(directory.path().join("names"), line).expect("written");
        let refused = run(&["pins", "fleet.key", "names"]);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(5), 0));
        assert!(text(&refused.stderr).contains(what), "{refused:?}");
    }
}
