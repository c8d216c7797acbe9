//! A bare server that has a thread for each client: it sends a heartbeat every ten seconds, and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, Builder};
use std::time::Duration;

use serde_json::Value;

const INTERVAL: Duration = Duration::from_secs(10);
/// The least that a thread may have.
const STACK_LEN: usize = 16 * 1024;

/// Serves until it is killed.
pub fn serve(address: SocketAddr) -> Result<Value, String> {
    let failed = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind(address).map_err(failed)?;
    println!("listening on {}", listener.local_addr().map_err(failed)?);
    loop {
        let (client, _) = listener.accept().map_err(failed)?;
        Builder::new().stack_size(STACK_LEN).spawn(move || beat(client)).map_err(failed)?;
    }
}

/// To the end of the connection.
fn beat(mut client: TcpStream) {
    let mut request = [0; 512];
    if client.read(&mut request).is_ok_and(|len| len > 0) {
        thread::sleep(INTERVAL);
        while client.write_all(b" ").is_ok() {
            thread::sleep(INTERVAL);
        }
    }
}
