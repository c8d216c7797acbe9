//! Serves a directory until it is interrupted: `cargo run -p coracle --example serve_dir -- DIRECTORY [ADDRESS:PORT]`.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use coracle::server::{DEFAULT_ADDRESS, Log, LogFormat, LogLevel};
use coracle::{DirectoryStore, Limits, Server, ServerHandle};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A program that has to end in good order calls `stop` of the handle from another thread.
    match run(&arguments, |handle| println!("listening on {:?}", handle.addresses())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serve_dir: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until the handle that `started` gets is used to stop the server.
pub fn run(arguments: &[String], started: impl FnOnce(ServerHandle)) -> Result<(), Box<dyn Error>> {
    let (directory, address) = match arguments {
        [directory] => (directory, DEFAULT_ADDRESS),
        [directory, address] => (directory, address.parse::<SocketAddr>()?),
        _ => return Err("usage: serve_dir DIRECTORY [ADDRESS:PORT]".into()),
    };
    let store = DirectoryStore::open(directory)?;
    let limits = Limits::new().with_max_clients(32).with_idle_timeout(Some(Duration::from_secs(20)));
    let server = Server::new(&store)
        .with_address(address)
        .with_limits(limits)
        .with_observer(Log::new(std::io::stderr(), LogFormat::Text, LogLevel::Normal)?)
        .bind()?;
    started(server.handle());
    server.run()?;
    Ok(())
}
