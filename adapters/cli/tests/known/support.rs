//! An encrypted server of one file in this process, and the program with a home of its own.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coracle::channel::{AcceptDeadlines, KeyPair, Psk, PublicKey, SecretKey, accept, create_psk, create_secret_key};
use coracle::transport::TcpTransport;
use coracle::{StaticFile, StaticStore};
use coracle_core::blocking::{Buffers, serve};
use coracle_core::{Instant as CoreInstant, ServerConfig, ServerSession};
use tempfile::TempDir;

pub fn key(byte: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([byte; 32]).expect("not blank"))
}

pub fn psk(byte: u8) -> Psk {
    Psk::from_bytes([byte; 32]).expect("not blank")
}

/// Serves 'motd' to whoever completes a handshake, until the test ends.
pub struct Server {
    pub address: SocketAddr,
    /// The clients, in order of arrival.
    pub clients: Arc<Mutex<Vec<PublicKey>>>,
    /// How many handshakes failed.
    failures: Arc<AtomicUsize>,
}

impl Server {
    /// Waits until so many handshakes have failed: a client can see the end of its connection before that is counted.
    pub fn wait_for_failures(&self, count: usize) {
        let started = Instant::now();
        while self.failures.load(Ordering::SeqCst) != count {
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", self.failures);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// With the key of these bytes, and a pre-shared one.
    pub fn start(key_byte: u8, psks: Vec<Psk>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, clients: Arc::default(), failures: Arc::default() };
        let (clients, failures, psks) = (Arc::clone(&server.clients), Arc::clone(&server.failures), Arc::new(psks));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (clients, failures, psks) = (Arc::clone(&clients), Arc::clone(&failures), Arc::clone(&psks));
                thread::spawn(move || {
                    if serve_one(stream.expect("a client"), &key(key_byte), &psks, &clients).is_none() {
                        failures.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        server
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

fn serve_one(stream: TcpStream, key: &KeyPair, psks: &[Psk], clients: &Mutex<Vec<PublicKey>>) -> Option<()> {
    let transport = TcpTransport::new(socket2::Socket::from(stream));
    let mut channel = accept(transport, &[], key, psks, AcceptDeadlines::new()).ok()?;
    clients.lock().expect("no panic").push(*channel.peer());
    let files = [StaticFile::new("motd", "v1", b"Mind the step.\n")];
    let (config, begin) = (ServerConfig::new(), Instant::now());
    let mut clock = || CoreInstant::from_millis(u64::try_from(begin.elapsed().as_millis()).expect("soon"));
    let mut session = ServerSession::new(&config, [0; 1024], clock());
    let (mut store, mut receive, mut send) = (StaticStore::new(&files), [0; 4096], [0; 65536]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    serve(&mut session, &mut channel, &mut store, buffers, &mut clock, &mut ());
    // The client may be gone.
    let _ = channel.finish();
    Some(())
}

/// A user: a directory to work in, and one for the configuration.
pub struct User(TempDir);

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl User {
    pub fn new() -> Self {
        let user = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir_all(user.configuration("")).expect("made");
        user
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn configuration(&self, name: &str) -> PathBuf {
        self.path("configuration/coracle").join(name)
    }

    /// Writes a file of the configuration.
    pub fn configure(&self, name: &str, text: &str) {
        fs::write(self.configuration(name), text).expect("written");
        fs::set_permissions(self.configuration(name), Permissions::from_mode(0o600)).expect("set");
    }

    pub fn keep_key(&self, name: &str, byte: u8) {
        create_secret_key(&self.path(name), &key(byte)).expect("written");
    }

    pub fn keep_psk(&self, name: &str, byte: u8) {
        create_psk(&self.path(name), &psk(byte)).expect("written");
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.0.path())
            .env("XDG_CONFIG_HOME", self.path("configuration"))
            .env("HOME", self.0.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        let output = self.command(env!("CARGO_BIN_EXE_coracle")).args(args).output().expect("the program");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ended {
    #[track_caller]
    pub fn prints(&self, code: i32, out: &str) {
        assert_eq!((self.code, self.out.as_str(), self.err.as_str()), (Some(code), out, ""));
    }

    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
    }
}
