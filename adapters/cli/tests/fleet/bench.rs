//! Boards on 127.1.x.y, served by the library from directories in memory, some of which behave badly.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};
use coracle::transport::TcpTransport;
use coracle_core::blocking::{Buffers, SessionObserver, serve_writable};
use coracle_core::{ActionWords, FileInfo, RequestKind, ServerConfig, ServerSession, StoreError};
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

/// What a board is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Serves,
    /// Nobody listens.
    Refuses,
    /// Closes each connection.
    Drops,
    /// Takes connections and says nothing, until [`Bench::wake`].
    Stops,
    /// Has other contents behind its back once a file is stored.
    Wrong,
    /// Runs what is put as `image` after a restart.
    Slots,
    /// Never runs it.
    KeepsOld,
    /// Runs it, and goes back when it is asked a second time.
    GoesBack,
}

/// A board.
pub struct Board {
    pub kind: Kind,
    pub root: PathBuf,
    store: WritableDirectoryStore,
    /// Files that were stored.
    pub stored: AtomicUsize,
    /// Connections that were taken.
    pub connections: AtomicUsize,
    pub restarts: AtomicUsize,
    pub confirms: AtomicUsize,
    /// Times that the running image was asked for since the restart.
    looks: AtomicUsize,
}

/// The boards.
pub struct Bench {
    pub directory: TempDir,
    pub boards: Vec<Arc<Board>>,
    addresses: Vec<SocketAddr>,
    is_awake: Arc<AtomicBool>,
    /// Holds the port at which nobody listens.
    _refusing: Socket,
}

impl Bench {
    pub fn new(kinds: &[Kind]) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let refusing = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        refusing.bind(&SockAddr::from(SocketAddr::from(([0, 0, 0, 0], 0)))).expect("a port");
        let refused = refusing.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").port();
        let board = |(number, kind): (usize, &Kind)| {
            let root = directory.path().join(format!("boards/{number}"));
            fs::create_dir_all(&root).expect("made");
            let store = DirectoryStore::open(&root).expect("a store");
            let store = WritableDirectoryStore::new(store, WriteOptions::new()).expect("a store");
            let zero = AtomicUsize::default;
            let (stored, connections, restarts, confirms, looks) = (zero(), zero(), zero(), zero(), zero());
            Arc::new(Board { kind: *kind, root, store, stored, connections, restarts, confirms, looks })
        };
        let boards: Vec<Arc<Board>> = kinds.iter().enumerate().map(board).collect();
        let address =
            |(number, kind): (usize, &Kind)| (ip(number), if *kind == Kind::Refuses { refused } else { port }).into();
        let addresses: Vec<SocketAddr> = kinds.iter().enumerate().map(address).collect();
        let by_ip: HashMap<IpAddr, Arc<Board>> =
            boards.iter().enumerate().map(|(number, board)| (ip(number), board.clone())).collect();
        let is_awake = Arc::new(AtomicBool::new(false));
        let sleeping = is_awake.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that is gone again.
                let Ok(stream) = stream else { continue };
                let board = stream.local_addr().ok().and_then(|address| by_ip.get(&address.ip()).cloned());
                let (Some(board), sleeping) = (board, sleeping.clone()) else { continue };
                thread::spawn(move || board.serve(stream, &sleeping));
            }
        });
        Self { directory, boards, addresses, is_awake, _refusing: refusing }
    }

    /// Writes the inventory, in which the boards are `b0`, `b1` and so on, and returns what stands for it.
    pub fn inventory(&self) -> String {
        let line = |(number, address)| format!("{address} name=b{number} row={}\n", number % 2);
        let text: String = self.addresses.iter().enumerate().map(line).collect();
        fs::write(self.path("bench.txt"), text).expect("written");
        "@bench.txt".to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number]
    }

    /// Lets boards that say nothing close their connections.
    pub fn wake(&self) {
        self.is_awake.store(true, Ordering::Relaxed);
    }

    pub fn stored(&self, number: usize) -> usize {
        self.boards[number].stored.load(Ordering::Relaxed)
    }
}

fn ip(number: usize) -> IpAddr {
    let [third, fourth] = [number / 250, number % 250 + 1].map(|byte| u8::try_from(byte).expect("few boards"));
    Ipv4Addr::new(127, 1, third, fourth).into()
}

impl Board {
    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root.join(name), bytes).expect("written");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.join(name)).expect(name)
    }

    fn serve(&self, mut stream: TcpStream, is_awake: &AtomicBool) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        match self.kind {
            Kind::Drops | Kind::Refuses => {}
            Kind::Stops => {
                stream.set_read_timeout(Some(std::time::Duration::from_millis(20))).expect("set");
                let mut buf = [0; 512];
                while !is_awake.load(Ordering::Relaxed) && !matches!(stream.read(&mut buf), Ok(0)) {}
            }
            _ => self.serve_files(stream),
        }
    }

    fn serve_files(&self, stream: TcpStream) {
        let start = Instant::now();
        let mut clock =
            || coracle_core::Instant::from_millis(u64::try_from(start.elapsed().as_millis()).expect("a short test"));
        let actions = ActionWords::new("restart confirm").expect("words");
        let config = ServerConfig::new().with_offered(RequestKind::Put).with_offered(RequestKind::Delete);
        let config = config.with_actions(actions);
        let mut session = ServerSession::new(&config, [0; 768], clock());
        let (mut receive, mut send) = ([0; 4096], [0; 8192]);
        let buffers = Buffers { receive: &mut receive, send: &mut send };
        let mut observer = Observer { board: self, is_restarting: false };
        let mut transport = TcpTransport::new(Socket::from(stream));
        serve_writable(&mut session, &mut transport, &mut &self.store, buffers, &mut clock, &mut observer);
        if observer.is_restarting {
            self.restart();
        }
    }

    fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.looks.store(0, Ordering::Relaxed);
        if self.kind != Kind::KeepsOld && self.root.join("image").exists() {
            fs::copy(self.root.join("image.running"), self.root.join("image.before")).expect("kept");
            fs::rename(self.root.join("image"), self.root.join("image.running")).expect("started");
        }
    }
}

struct Observer<'a> {
    board: &'a Board,
    is_restarting: bool,
}

impl SessionObserver for Observer<'_> {
    fn request(&mut self, request: &coracle_core::Request<'_>) {
        let is_look = matches!(request, coracle_core::Request::Stat { name, .. } if name.as_str() == "image.running");
        let is_started = self.board.root.join("image.before").exists();
        if self.board.kind == Kind::GoesBack
            && is_look
            && is_started
            && self.board.looks.fetch_add(1, Ordering::Relaxed) == 1
        {
            let root: &Path = &self.board.root;
            fs::rename(root.join("image.before"), root.join("image.running")).expect("gone back");
        }
    }

    fn stored(&mut self, _: &FileInfo) {
        self.board.stored.fetch_add(1, Ordering::Relaxed);
        if self.board.kind == Kind::Wrong {
            self.board.write("image.bin", b"something else");
        }
    }

    fn perform(&mut self, action: &str) -> Result<(), StoreError> {
        match action {
            "restart" => self.is_restarting = true,
            _ => {
                self.board.confirms.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.is_restarting
    }
}
