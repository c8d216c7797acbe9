//! What of a tree is fetched.

use std::fs;

use crate::program::Serve;
use crate::support::TestDirectory;

fn served() -> Serve {
    let serve = Serve::new();
    fs::create_dir_all(serve.root.path().join("logs/cache/deep")).expect("created");
    for name in ["logs/a.log", "logs/a.tmp", "logs/cache/b.log", "logs/cache/deep/c.log", "top.log"] {
        serve.write(name, name);
    }
    serve
}

/// The files that arrive.
fn fetched(serve: &Serve, args: &[&str]) -> Vec<String> {
    let local = TestDirectory::new();
    serve.get(&local, &[&["-r", "-o", "to"], args].concat()).exits_with(0);
    local.names().into_iter().filter(|name| local.path(name).is_file()).map(|name| name[3..].to_owned()).collect()
}

#[test]
fn patterns_choose_what_of_a_tree_is_fetched() {
    let serve = served();
    assert_eq!(
        fetched(&serve, &["--exclude", "*.tmp", "--exclude", "deep/"]),
        ["logs/a.log", "logs/cache/b.log", "top.log"]
    );
    // Names are those beneath what is asked for, wherever it goes to.
    assert_eq!(fetched(&serve, &["logs", "--exclude", "/cache"]), ["logs/a.log", "logs/a.tmp"]);
    assert_eq!(fetched(&serve, &["logs/", "--exclude", "/cache"]), ["a.log", "a.tmp"]);
    assert_eq!(
        fetched(&serve, &["logs/", "--exclude", "/logs"]),
        ["a.log", "a.tmp", "cache/b.log", "cache/deep/c.log"]
    );
    let only = ["--include", "*/", "--include", "b.*", "--exclude", "*"];
    assert_eq!(fetched(&serve, &only), ["logs/cache/b.log"]);
    // A file that is asked for by its name is meant.
    assert_eq!(fetched(&serve, &["top.log", "--exclude", "*.log"]), ["top.log"]);
    let local = TestDirectory::new();
    serve.get(&local, &["-r", "--exclude", "["]).exits_with(2).prints_error("[");
    serve.get(&local, &["top.log", "--exclude", "x"]).exits_with(2).prints_error("--recursive");
}
