//! The example `fetch` against a server in this process.

#[path = "../examples/fetch.rs"]
#[allow(dead_code, reason = "its main")]
mod fetch;

use std::fs;
use std::thread;

use coracle::server::Server;
use coracle::store::DirectoryStore;

#[test]
fn lists_and_fetches() {
    let (served, local) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fs::write(served.path().join("motd"), "Mind the step.\n").expect("written");
    let store = DirectoryStore::open(served.path()).expect("opened");
    let server = Server::new(&store).with_address("127.0.0.1:0".parse().expect("an address")).bind().expect("bound");
    let (address, handle) = (server.addresses()[0].to_string(), server.handle());
    let path = local.path().join("copy");
    let run = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        fetch::run(&arguments).map_err(|error| error.to_string())
    };
    thread::scope(|scope| {
        scope.spawn(|| server.run().expect("served"));
        let outcomes = [
            run(&[&address]),
            run(&[&address, "motd", path.to_str().expect("UTF-8")]),
            run(&[&address, "missing", path.with_extension("other").to_str().expect("UTF-8")]),
            run(&[]),
        ];
        handle.stop_now();
        let [listed, fetched, missing, usage] = outcomes;
        assert_eq!(listed.as_deref(), Ok("motd\n"));
        assert_eq!(fetched.as_deref(), Ok("15 bytes, 0 of them from an earlier run\n"));
        assert!(missing.is_err_and(|error| error.contains("not found: missing")));
        assert!(usage.is_err_and(|error| error.starts_with("usage: ")));
    });
    assert_eq!(fs::read(path).expect("fetched"), b"Mind the step.\n");
}
