//! The examples `serve_dir` and `custom_store`, with the library's client.

#[path = "../examples/custom_store.rs"]
#[allow(dead_code, reason = "its main")]
mod custom_store;
#[path = "../examples/serve_dir.rs"]
#[allow(dead_code, reason = "its main")]
mod serve_dir;

use std::error::Error;
use std::fs;
use std::sync::mpsc;
use std::thread;

use coracle::{Address, Client, FileName, GetOptions, ServerHandle};

/// The names that a server lists, and the contents of the file `name`. The server is stopped afterwards.
fn list_and_fetch(
    name: &str,
    run: impl FnOnce(&dyn Fn(ServerHandle)) -> Result<(), Box<dyn Error>> + Send,
) -> (Vec<String>, Vec<u8>) {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || run(&|handle| sender.send(handle).expect("the test waits")).expect("served"));
        let handle = receiver.recv().expect("started");
        let address: Address = handle.addresses()[0].to_string().parse().expect("an address");
        let mut client = Client::new(address);
        let (mut names, mut contents) = (Vec::new(), Vec::new());
        let listed = client.list(None, |entry| {
            names.push(entry.name.to_string());
            Ok(())
        });
        let file_name = FileName::new(name).expect("a file name");
        let fetched = client.get_to_writer(file_name, &mut contents, &GetOptions::new(), &mut ());
        handle.stop();
        listed.expect("listed");
        fetched.expect("fetched");
        (names, contents)
    })
}

#[test]
fn serve_dir_serves_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("motd"), "Mind the step.\n").expect("written");
    let arguments = [directory.path().to_str().expect("UTF-8").to_owned(), "127.0.0.1:0".to_owned()];
    let served = list_and_fetch("motd", |started| serve_dir::run(&arguments, started));
    assert_eq!(served, (vec!["motd".to_owned()], b"Mind the step.\n".to_vec()));
    let error = serve_dir::run(&[], |_| {}).expect_err("no directory").to_string();
    assert!(error.starts_with("usage: "), "{error}");
}

#[test]
fn custom_store_serves_a_file_that_it_makes() {
    let (names, contents) = list_and_fetch("uptime", |started| custom_store::run("127.0.0.1:0", started));
    assert_eq!(names, ["uptime"]);
    let seconds: u64 = String::from_utf8(contents).expect("UTF-8").parse().expect("a number");
    assert!(seconds < 1000, "{seconds}");
}
