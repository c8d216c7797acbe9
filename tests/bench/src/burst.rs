//! Many clients that fetch one file at once, each over a new connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use crate::dialect::{Dialect, check_trailer, is_trailer};
use crate::meter::Meter;
use crate::poll::{Events, Poll};
use crate::{LargeFile, Server};

const BUF_LEN: usize = 256 * 1024;

/// The work.
pub struct Plan {
    pub clients: usize,
    /// How often all of them fetch the file.
    pub times: u32,
    /// Check every byte.
    pub check: bool,
}

/// A client that has asked.
struct Client {
    socket: TcpStream,
    /// Head, and then trailer, as far as they were received.
    line: Vec<u8>,
    /// Bytes of the body that are to come; `None` before the head is complete.
    rest: Option<u64>,
    hasher: Option<crc32fast::Hasher>,
}

/// Lets all clients connect, ask and receive; the result is the total.
pub fn run(server: &Server, file: &LargeFile, plan: &Plan) -> Result<Value, String> {
    let mut buf = vec![0; BUF_LEN];
    let mut events = Events::new();
    let meter = Meter::start(&server.pid)?;
    for _ in 0..plan.times {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(plan.clients);
        for place in 0..plan.clients {
            let client = Client::begin(server, &file.name, plan.check)?;
            poll.add(&client.socket, place)?;
            clients.push(Some(client));
        }
        let mut left = clients.len();
        while left > 0 {
            poll.wait(&mut events, 10_000)?;
            if events.is_empty() {
                return Err(format!("{left} of {} clients wait for more", clients.len()));
            }
            for place in events.ready() {
                let Some(client) = &mut clients[place] else { continue };
                if client.receive(server, file, &mut buf)? {
                    clients[place] = None;
                    left -= 1;
                }
            }
        }
    }
    let fetches = plan.times as usize * plan.clients;
    let seconds = meter.seconds();
    Ok(json!({
        "seconds": seconds, "bytes": fetches as u64 * file.size, "fetches": fetches, "cpu_seconds": meter.busy()?,
    }))
}

impl Client {
    fn begin(server: &Server, name: &str, check: bool) -> Result<Self, String> {
        let mut socket = TcpStream::connect(server.address).map_err(|error| format!("connecting: {error}"))?;
        socket.write_all(&server.dialect.ask(name, false)).map_err(|error| format!("asking: {error}"))?;
        // Like `Connection: close` in HTTP.
        if server.dialect != Dialect::Http {
            socket.shutdown(Shutdown::Write).map_err(|error| format!("asking: {error}"))?;
        }
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(Self { socket, line: Vec::new(), rest: None, hasher: check.then(crc32fast::Hasher::new) })
    }

    /// Reads once. Returns whether the response is complete, and checks it then.
    fn receive(&mut self, server: &Server, file: &LargeFile, buf: &mut [u8]) -> Result<bool, String> {
        let len = match self.socket.read(buf) {
            Ok(0) => return Err("the connection ended early".to_owned()),
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) => return Err(format!("reading: {error}")),
        };
        let mut bytes = &buf[..len];
        let begun;
        if self.rest.is_none() {
            self.line.extend_from_slice(bytes);
            let Some(head) = server.dialect.head(&self.line)? else { return Ok(false) };
            if head.body_len != file.size {
                return Err(format!("a body of {} bytes instead of {}", head.body_len, file.size));
            }
            self.rest = Some(head.body_len);
            begun = std::mem::take(&mut self.line);
            bytes = &begun[head.len..];
        }
        let rest = self.rest.get_or_insert_default();
        let (body, behind) = bytes.split_at(usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len()));
        *rest -= body.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(body);
        }
        self.line.extend_from_slice(behind);
        let wanted = server.dialect.trailer(file.crc32);
        if *rest > 0 || !is_trailer(&self.line, &wanted) {
            return Ok(false);
        }
        check_trailer(&self.line, &wanted)?;
        match &self.hasher {
            Some(hasher) if hasher.clone().finalize() != file.crc32 => Err("a body is wrong".to_owned()),
            _ => Ok(true),
        }
    }
}
