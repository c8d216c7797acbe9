//! The client's side of the example: a server on this PC is its other end.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use coracle_core::exec::Source;
use coracle_core::{ClientSession, Digest, DigestKind, FileName, Hasher, Put, Replace};
use coracle_embassy::channel::{ChannelBuffers, ClientKeys, connect};
use coracle_embassy::{Client, EmbassyClock, Followed, Follower, Transport};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Ipv4Address, Stack};
use embassy_time::Timer;

use super::keys::{self, Keys};

const SERVER: (Ipv4Address, u16) = (Ipv4Address::new(10, 69, 0, 1), 8888);

type TapClient<T> = Client<[u8; 1024], [u8; 512], T, EmbassyClock>;

/// What the client is asked to do.
pub enum Task {
    /// Puts this file under its name, however often the connection breaks.
    Put(String),
    /// Prints the file of this name, and what is appended to it.
    Follow(String),
}

#[embassy_executor::task]
pub async fn run(stack: Stack<'static>, task: Task, keys: Option<&'static Keys>) {
    let (mut received, mut to_send) = ([0; 2048], [0; 4096]);
    let mut follower = Follower::new([0; 256]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        socket.set_nagle_enabled(false);
        if socket.connect(SERVER).await.is_ok() {
            let why = match keys {
                None => speak(&mut socket, &task, &mut follower).await,
                Some(keys) => speak_encrypted(&mut socket, keys, &task, &mut follower).await,
            };
            println!("{why}");
            socket.abort();
            // Whether the reset leaves is no matter.
            let _ = socket.flush().await;
        }
        Timer::after_millis(100).await;
    }
}

async fn speak_encrypted(
    socket: &mut TcpSocket<'_>,
    Keys { key, psk }: &Keys,
    task: &Task,
    follower: &mut Follower<[u8; 256]>,
) -> String {
    let buffers = ChannelBuffers::new([0; 1024], [0; 1024]);
    let (keys, entropy) = (ClientKeys::new(key).with_psk(Some(psk)), keys::entropy().expect("a source"));
    // A board knows the key of its server, and asks for that one.
    match connect(&mut *socket, buffers, keys, entropy, &EmbassyClock, |_| true).await {
        Ok(channel) => speak(channel, task, follower).await,
        Err(error) => error.to_string(),
    }
}

/// Returns why the connection ended.
async fn speak<T: Transport<Error: Display>>(transport: T, task: &Task, follower: &mut Follower<[u8; 256]>) -> String {
    let mut client = Client::new(ClientSession::new([0; 1024]), transport, [0; 512], EmbassyClock);
    match task {
        Task::Put(name) => match put(&mut client, name).await {
            Ok(offset) => {
                println!("stored, sent from {offset} on");
                std::process::exit(0);
            }
            Err(error) => format!("put: {error}"),
        },
        Task::Follow(name) => format!("follow: {}", follow(&mut client, name, follower).await),
    }
}

/// Returns the first byte that was sent.
async fn put<T: Transport<Error: Display>>(client: &mut TapClient<T>, name: &str) -> Result<u64, String> {
    let file = File::open(name).map_err(|error| error.to_string())?;
    let (mut source, digest, size) = FileSource::new(file).map_err(|error| error.to_string())?;
    let name = FileName::new(name).map_err(|error| error.to_string())?;
    let put = Put::new(name, size, digest).with_replace(Replace::Anything);
    client.put(&put, &mut source, &mut [0; 1024]).await.map_err(|error| error.to_string())?;
    Ok(source.began)
}

/// Returns why the connection ended.
async fn follow<T: Transport<Error: Display>>(
    client: &mut TapClient<T>,
    name: &str,
    follower: &mut Follower<[u8; 256]>,
) -> String {
    let name = FileName::new(name).expect("a file name");
    let mut piece = [0; 1024];
    loop {
        match client.follow(name, follower, &mut piece).await {
            Ok(Followed::Bytes(len)) => print!("{}", String::from_utf8_lossy(&piece[..len])),
            Ok(other) => println!("-- {other:?} --"),
            Err(error) => return error.to_string(),
        }
    }
}

struct FileSource {
    file: File,
    began: u64,
}

impl FileSource {
    fn new(file: File) -> io::Result<(Self, Digest, u64)> {
        let mut source = Self { file, began: 0 };
        let mut hasher = Hasher::new(DigestKind::Sha256).expect("it is a feature");
        let (mut buf, mut size) = ([0; 4096], 0);
        loop {
            match source.read(size, &mut buf)? {
                0 => return Ok((source, hasher.finish(), size)),
                len => {
                    hasher.update(&buf[..len]);
                    size += len as u64;
                }
            }
        }
    }
}

impl Source for FileSource {
    type Error = io::Error;

    fn begin(&mut self, offset: u64) -> io::Result<()> {
        self.began = offset;
        Ok(())
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
}
