//! A server that answers as it is told: it also closes, cuts and lies.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use coracle::{Digest, DigestKind};
use coracle_core::Hasher;
use serde_json::Value;
use socket2::Socket;

/// What happens in the place of an answer, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Answer,
    /// An error with this code; the connection stays.
    Refuse(&'static str),
    /// An error with this code, and the connection ends.
    End(&'static str),
    /// The connection ends without a word; what arrives is read.
    Close,
    /// The connection is reset.
    Reset,
    /// The body ends behind half of its bytes, and the connection with it.
    Cut,
    /// An error `changed` behind the body.
    Changed,
    /// A digest of other bytes.
    WrongDigest,
    /// Nothing more is sent on this connection.
    Silence,
    /// The answer comes in pieces of a few bytes.
    Dribble,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// How many requests were made on it before.
    pub number: usize,
    pub kind: String,
    pub name: String,
    pub offset: usize,
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

/// The server, and what it was asked.
pub struct Scripted {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<(Asked, Act)>>>,
}

/// The contents of the file `name`, whose length stands behind its last dash.
pub fn contents(name: &str) -> Vec<u8> {
    let len = name.rsplit('-').next().and_then(|len| len.parse().ok()).unwrap_or(0_usize);
    let seed = name.bytes().fold(7_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let block: Vec<u8> = (0..1021_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) ^ seed).to_le_bytes()[2]).collect();
    block.repeat(len / block.len() + 1)[..len].to_vec()
}

pub fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("supported");
    hasher.update(bytes);
    hasher.finish()
}

impl Scripted {
    pub fn new(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (asked.clone(), Arc::new(script));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (log, script) = (log.clone(), script.clone());
                let stream = stream.expect("a connection");
                // An error is the client that closes, as it may.
                thread::spawn(move || serve(number, &stream, &log, &*script).ok());
            }
        });
        Self { address, asked }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").iter().map(|(asked, _)| asked.clone()).collect()
    }

    pub fn connections(&self) -> usize {
        self.asked().iter().map(|asked| asked.connection).max().map_or(0, |last| last + 1)
    }

    /// How often each name was answered in full.
    pub fn answers(&self) -> HashMap<String, usize> {
        let mut answers = HashMap::new();
        for (asked, act) in self.asked.lock().expect("no panic").iter() {
            if matches!(act, Act::Answer | Act::Dribble) {
                *answers.entry(asked.name.clone()).or_default() += 1;
            }
        }
        answers
    }
}

fn serve(
    connection: usize,
    stream: &TcpStream,
    log: &Mutex<Vec<(Asked, Act)>>,
    script: &Script,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let value: Value = serde_json::from_slice(&line).expect("JSON");
        let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
        let kind = text("type");
        let name = if kind == "list" { text("path") } else { text("fileName") };
        let offset = value["offset"].as_u64().map_or(0, |offset| usize::try_from(offset).expect("short"));
        let asked = Asked { connection, number, kind, name, offset };
        let act = script(&asked);
        log.lock().expect("no panic").push((asked.clone(), act));
        let answer = answer(&asked, &value, act);
        match act {
            Act::Dribble => {
                for piece in answer.chunks(7) {
                    (&mut &*stream).write_all(piece)?;
                    thread::yield_now();
                }
            }
            _ => (&mut &*stream).write_all(&answer)?,
        }
        match act {
            Act::End(_) | Act::Close | Act::Cut => {
                stream.shutdown(Shutdown::Write)?;
                std::io::copy(&mut reader, &mut std::io::sink())?;
                break;
            }
            Act::Reset => {
                Socket::from(stream.try_clone()?).set_linger(Some(Duration::ZERO))?;
                break;
            }
            Act::Silence => {
                std::io::copy(&mut reader, &mut std::io::sink())?;
                break;
            }
            _ => {}
        }
    }
    Ok(())
}

fn answer(asked: &Asked, request: &Value, act: Act) -> Vec<u8> {
    let error =
        |code: &str| format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"{code}\"}}\n").into_bytes();
    match act {
        Act::Refuse(code) | Act::End(code) => return error(code),
        Act::Close | Act::Reset | Act::Silence => return Vec::new(),
        _ => {}
    }
    let name = &asked.name;
    if asked.kind == "list" {
        let entries: String = (0..3)
            .map(|at| format!("{{\"type\":\"entry\",\"fileName\":\"{name}/{at}-100\",\"fileSize\":100}}\n"))
            .collect();
        return (entries + "{\"type\":\"end\",\"count\":3}\n").into_bytes();
    }
    let (file, is_stat) = (contents(name), asked.kind == "stat");
    let kind = request["digest"].as_str().unwrap_or(if is_stat { "none" } else { "crc32" });
    let length = file.len() - asked.offset;
    let last = if length == 0 { 0 } else { (length - 1) % 1_024 + 1 };
    let told = if is_stat && kind == "crc32" { format!(",\"crc32\":\"{}\"", digest(&file)) } else { String::new() };
    let header = format!(
        "{{\"type\":\"file\",\"fileName\":\"{name}\",\"fileSize\":{},\"offset\":{},\"length\":{length},\"chunkSize\":1024,\
         \"readCnt\":{},\"lastSize\":{last},\"version\":\"v1\",\"digest\":\"{kind}\"{told}}}\n",
        file.len(),
        asked.offset,
        length.div_ceil(1_024)
    );
    let mut answer = header.into_bytes();
    if is_stat {
        return answer;
    }
    let body = &file[asked.offset..];
    if act == Act::Cut {
        answer.extend_from_slice(&body[..body.len() / 2]);
        return answer;
    }
    answer.extend_from_slice(body);
    let covered = if act == Act::WrongDigest { digest(b"other bytes") } else { digest(&file) };
    match act {
        Act::Changed => answer.extend(error("changed")),
        _ if kind == "none" => answer.extend_from_slice(b"{\"type\":\"end\"}\n"),
        _ => answer.extend_from_slice(format!("{{\"type\":\"end\",\"crc32\":\"{covered}\"}}\n").as_bytes()),
    }
    answer
}

/// A server at the end of a link with a long round trip: it answers only when so many requests have arrived that a client
/// which sends ahead has to wait for answers. Each time counts as a round trip.
pub struct DistantServer {
    pub address: SocketAddr,
    rounds: Arc<Mutex<usize>>,
}

impl DistantServer {
    /// Answers `total` requests: the first one, the eight behind it, and then 48 or more at a time.
    pub fn new(total: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let rounds = Arc::new(Mutex::new(0));
        let counted = rounds.clone();
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            Self::serve(&stream, total, &counted).expect("served");
        });
        Self { address, rounds }
    }

    pub fn rounds(&self) -> usize {
        *self.rounds.lock().expect("no panic")
    }

    fn serve(stream: &TcpStream, total: usize, rounds: &Mutex<usize>) -> std::io::Result<()> {
        let mut waiting = Vec::new();
        for (number, line) in BufReader::new(stream).lines().enumerate() {
            let value: Value = serde_json::from_str(&line?)?;
            let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
            let kind = text("type");
            let name = if kind == "list" { text("path") } else { text("fileName") };
            let asked = Asked { connection: 0, number, kind, name, offset: 0 };
            waiting.extend(answer(&asked, &value, Act::Answer));
            let mut rounds = rounds.lock().expect("no panic");
            let next = [0, 8].get(*rounds).copied().unwrap_or_else(|| 8 + (*rounds - 1) * 48);
            if number >= next || number + 1 == total {
                *rounds += 1;
                (&mut &*stream).write_all(&waiting)?;
                waiting.clear();
            }
        }
        Ok(())
    }
}
