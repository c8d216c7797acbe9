//! Clients that fetch small files, or send text, each with one request at a time.

use std::cell::RefCell;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::Server;
use crate::content::{Content, Random};
use crate::dialect::{Dialect, check_trailer, is_trailer};
use crate::encrypted::{Encrypted, Keys};
use crate::meter::Meter;
use crate::poll::{Events, Poll};

/// The maximum length of a response, in bytes.
const ANSWER_LEN: usize = 4096;

/// The work.
pub struct Plan {
    pub clients: usize,
    /// A new connection for each request.
    pub fresh: bool,
    pub milliseconds: u64,
    /// End after so many instead; the files are then asked for in their order.
    pub requests: Option<usize>,
}

/// One client: its connection, the file that it asked for, and the received part of the response.
pub struct Client {
    socket: Socket,
    /// Where the connection is encrypted.
    encrypted: Option<Box<Encrypted>>,
    number: u64,
    buf: Vec<u8>,
    len: usize,
    asked: Instant,
}

/// What every client asks for, and where.
pub struct Exchange<'a> {
    pub server: &'a Server,
    pub content: Content,
    kept: bool,
    trailer: Vec<u8>,
    keys: RefCell<Keys>,
}

impl<'a> Exchange<'a> {
    pub fn new(server: &'a Server, content: Content, kept: bool) -> Self {
        // Small files are fetched without a digest.
        Self { server, content, kept, trailer: server.dialect.trailer(0), keys: RefCell::new(Keys::new()) }
    }
}

/// Makes requests until the time is over.
pub fn run(server: &Server, content: Content, plan: &Plan) -> Result<Value, String> {
    let exchange = Exchange::new(server, content, !plan.fresh);
    let mut in_order = 0..;
    let mut random = Random::new();
    let mut next = || {
        let number = if plan.requests.is_some() { in_order.next() } else { random.next() };
        exchange.content.draw(number.unwrap_or_default())
    };
    // Warms up, so that new threads and cold memory are not measured.
    let mut latencies = Vec::with_capacity(1 << 20);
    let mut clients = Vec::new();
    for _ in 0..plan.clients {
        let mut client = Client::connect(&exchange)?;
        client.ask(&exchange, 0)?;
        while !client.receive(&exchange, true)? {}
        clients.push(client);
    }
    let meter = Meter::start(&server.pid)?;
    // The clock is read once for each response: its end is the start of the next request.
    let mut now = Instant::now();
    let end = now + Duration::from_millis(plan.milliseconds);
    let is_over = |now, count| plan.requests.map_or(now >= end && count > 0, |requests| count >= requests);
    if let [client] = clients.as_mut_slice() {
        while !is_over(now, latencies.len()) {
            client.begin(&exchange, plan.fresh, next(), now)?;
            while !client.receive(&exchange, true)? {}
            now = Instant::now();
            latencies.push(now - client.asked);
        }
    } else {
        let (poll, mut events) = (Poll::new()?, Events::new());
        for (place, client) in clients.iter_mut().enumerate() {
            client.begin(&exchange, plan.fresh, next(), Instant::now())?;
            poll.add(&client.socket, place)?;
        }
        while !is_over(now, latencies.len()) {
            poll.wait(&mut events, 1000)?;
            for place in events.ready() {
                let client = &mut clients[place];
                if client.receive(&exchange, false)? {
                    now = Instant::now();
                    latencies.push(now - client.asked);
                    client.begin(&exchange, plan.fresh, next(), now)?;
                    if plan.fresh {
                        poll.add(&client.socket, place)?;
                    }
                }
            }
        }
    }
    let (seconds, busy) = (meter.seconds(), meter.busy()?);
    latencies.sort_unstable();
    let micros = |share: f64| {
        let place = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(place).map(|latency| latency.as_secs_f64() * 1e6)
    };
    Ok(json!({
        "seconds": seconds, "requests": latencies.len(), "cpu_seconds": busy,
        "p50_us": micros(0.5), "p99_us": micros(0.99),
    }))
}

impl Client {
    /// Waits until the connection is established, and its handshake made.
    pub fn connect(exchange: &Exchange<'_>) -> Result<Self, String> {
        let socket = Self::socket(exchange)?;
        socket.connect(&exchange.server.address.into()).map_err(|error| format!("connecting: {error}"))?;
        let encrypted = match &exchange.server.key {
            Some(key) => Some(Box::new(Encrypted::connect(&socket, &mut exchange.keys.borrow_mut(), key)?)),
            None => None,
        };
        Ok(Self { encrypted, ..Self::new(socket) })
    }

    /// Asks for a file, over a `fresh` connection or the existing one; its latency counts from `now`.
    pub fn begin(&mut self, exchange: &Exchange<'_>, fresh: bool, number: u64, now: Instant) -> Result<(), String> {
        if fresh {
            let buf = std::mem::take(&mut self.buf);
            *self = Self { buf, ..Self::connect(exchange)? };
        }
        self.asked = now;
        self.ask(exchange, number)?;
        // Like `Connection: close` in HTTP.
        if fresh && exchange.server.dialect != Dialect::Http {
            self.socket.shutdown(Shutdown::Write).map_err(|error| format!("asking: {error}"))?;
        }
        Ok(())
    }

    /// Does not wait.
    pub fn begin_to_connect(exchange: &Exchange<'_>) -> Result<Self, String> {
        let socket = Self::socket(exchange)?;
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        match socket.connect(&exchange.server.address.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(format!("connecting: {error}"));
            }
            _ => {}
        }
        Ok(Self::new(socket))
    }

    fn new(socket: Socket) -> Self {
        Self { socket, encrypted: None, number: 0, buf: Vec::new(), len: 0, asked: Instant::now() }
    }

    fn socket(exchange: &Exchange<'_>) -> Result<Socket, String> {
        let domain = Domain::for_address(exchange.server.address);
        Socket::new(domain, Type::STREAM, None).map_err(|error| format!("a socket: {error}"))
    }

    pub fn is_connected(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }

    pub fn watch(&self, poll: &Poll, place: usize) -> Result<(), String> {
        poll.add(&self.socket, place)
    }

    pub fn ask(&mut self, exchange: &Exchange<'_>, number: u64) -> Result<(), String> {
        self.len = 0;
        self.number = number;
        let request = exchange.content.request(exchange.server.dialect, number, exchange.kept);
        if let Some(encrypted) = &mut self.encrypted {
            return encrypted.send(&self.socket, &request);
        }
        let sent = send(&self.socket, &request, SendFlags::NOSIGNAL).map_err(|error| format!("asking: {error}"))?;
        if sent == request.len() { Ok(()) } else { Err("a request did not fit the socket's buffer".to_owned()) }
    }

    /// Reads once. Returns whether the response is complete, and checks it then.
    pub fn receive(&mut self, exchange: &Exchange<'_>, wait: bool) -> Result<bool, String> {
        self.buf.resize(ANSWER_LEN, 0);
        let free = &mut self.buf[self.len..];
        let received = match &mut self.encrypted {
            Some(encrypted) => encrypted.receive(&self.socket, free, wait)?,
            None => receive(&self.socket, free, wait)?,
        };
        match received {
            Some(0) => return Err("the connection ended, or the answer is too long".to_owned()),
            Some(len) => self.len += len,
            None => return Ok(false),
        }
        let dialect = exchange.server.dialect;
        let bytes = &self.buf[..self.len];
        let body_len = exchange.content.len();
        let Some(head) = dialect.head(bytes)? else { return Ok(false) };
        if head.body_len != body_len as u64 {
            return Err(format!("a body of {} bytes instead of {body_len}", head.body_len));
        }
        let end = head.len + body_len;
        let Some(behind) = bytes.get(end..) else { return Ok(false) };
        if !is_trailer(behind, &exchange.trailer) {
            return Ok(false);
        }
        if !exchange.content.is_body(&bytes[head.len..end], self.number) {
            return Err(format!("the body of file {} is wrong", self.number));
        }
        check_trailer(behind, &exchange.trailer)?;
        Ok(true)
    }
}

/// Reads once; `None` where nothing has arrived, 0 at the end.
pub fn receive(socket: &Socket, buf: &mut [u8], wait: bool) -> Result<Option<usize>, String> {
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    match recv(socket, buf, flags) {
        Ok((len, _)) => Ok(Some(len)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(format!("reading: {error}")),
    }
}
