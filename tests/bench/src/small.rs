//! Many small requests, from one client or several, each with one request at a time.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::Server;
use crate::dialect::{Dialect, check_trailer, is_trailer};
use crate::meter::Meter;

/// The maximum length of a response, in bytes.
const ANSWER_LEN: usize = 4096;

/// The work.
pub struct Plan<'a> {
    pub name: &'a str,
    /// The expected body.
    pub body: &'a [u8],
    pub clients: usize,
    /// A new connection for each request.
    pub fresh: bool,
    pub milliseconds: u64,
}

/// One client: its connection, and the received part of a response.
pub struct Client {
    socket: Socket,
    buf: Vec<u8>,
    len: usize,
    asked: Instant,
}

/// The request of every client, and the expected response.
pub struct Exchange<'a> {
    pub server: &'a Server,
    pub request: Vec<u8>,
    pub body: &'a [u8],
    trailer: Vec<u8>,
}

impl<'a> Exchange<'a> {
    pub fn new(server: &'a Server, name: &str, body: &'a [u8], kept: bool) -> Self {
        let trailer = server.dialect.trailer(crc32fast::hash(body));
        Self { server, request: server.dialect.ask(name, kept), body, trailer }
    }
}

/// Makes requests until the time is over.
pub fn run(server: &Server, plan: &Plan<'_>) -> Result<Value, String> {
    let exchange = Exchange::new(server, plan.name, plan.body, !plan.fresh);
    // Warms up, so that new threads and cold memory are not measured.
    let mut latencies = Vec::with_capacity(1 << 20);
    let mut clients = Vec::new();
    for _ in 0..plan.clients {
        let mut client = Client::connect(&exchange)?;
        client.ask(&exchange)?;
        while !client.receive(&exchange, true)? {}
        clients.push(client);
    }
    let meter = Meter::start(&server.pid)?;
    // The clock is read once for each response: its end is the start of the next request.
    let mut now = Instant::now();
    let end = now + Duration::from_millis(plan.milliseconds);
    if let [client] = clients.as_mut_slice() {
        while now < end || latencies.is_empty() {
            client.begin(&exchange, plan.fresh, now)?;
            while !client.receive(&exchange, true)? {}
            now = Instant::now();
            latencies.push(now - client.asked);
        }
    } else {
        let (poll, mut events) = (Poll::new()?, Events::new());
        for (number, client) in clients.iter_mut().enumerate() {
            client.begin(&exchange, plan.fresh, Instant::now())?;
            poll.add(client, number)?;
        }
        while now < end || latencies.is_empty() {
            poll.wait(&mut events, 1000)?;
            for number in events.ready() {
                let client = &mut clients[number];
                if client.receive(&exchange, false)? {
                    now = Instant::now();
                    latencies.push(now - client.asked);
                    client.begin(&exchange, plan.fresh, now)?;
                    if plan.fresh {
                        poll.add(client, number)?;
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
    /// Waits until the connection is established.
    pub fn connect(exchange: &Exchange<'_>) -> Result<Self, String> {
        let socket = Self::socket(exchange)?;
        socket.connect(&exchange.server.address.into()).map_err(|error| format!("connecting: {error}"))?;
        Ok(Self::new(socket))
    }

    /// Makes a request, over a `fresh` connection or the existing one; its latency counts from `now`.
    pub fn begin(&mut self, exchange: &Exchange<'_>, fresh: bool, now: Instant) -> Result<(), String> {
        if fresh {
            let buf = std::mem::take(&mut self.buf);
            *self = Self { buf, ..Self::connect(exchange)? };
        }
        self.asked = now;
        self.ask(exchange)?;
        // Like `Connection: close` in HTTP.
        if fresh && exchange.server.dialect != Dialect::Http {
            self.socket.shutdown(Shutdown::Write).map_err(|error| format!("asking: {error}"))?;
        }
        Ok(())
    }

    /// Does not.
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
        Self { socket, buf: Vec::new(), len: 0, asked: Instant::now() }
    }

    fn socket(exchange: &Exchange<'_>) -> Result<Socket, String> {
        let domain = Domain::for_address(exchange.server.address);
        Socket::new(domain, Type::STREAM, None).map_err(|error| format!("a socket: {error}"))
    }

    pub fn is_connected(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }

    pub fn ask(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        self.len = 0;
        let sent =
            send(&self.socket, &exchange.request, SendFlags::NOSIGNAL).map_err(|error| format!("asking: {error}"))?;
        if sent == exchange.request.len() {
            Ok(())
        } else {
            Err("a request did not fit the socket's buffer".to_owned())
        }
    }

    /// Reads once. Returns whether the response is complete, and checks it then.
    pub fn receive(&mut self, exchange: &Exchange<'_>, wait: bool) -> Result<bool, String> {
        self.buf.resize(ANSWER_LEN, 0);
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        match recv(&self.socket, &mut self.buf[self.len..], flags) {
            Ok((0, _)) => return Err("the connection ended, or the answer is too long".to_owned()),
            Ok((len, _)) => self.len += len,
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(format!("reading: {error}")),
        }
        let dialect = exchange.server.dialect;
        let bytes = &self.buf[..self.len];
        let Some(head) = dialect.head(bytes)? else { return Ok(false) };
        if head.body_len != exchange.body.len() as u64 {
            return Err(format!("a body of {} bytes instead of {}", head.body_len, exchange.body.len()));
        }
        let end = head.len + exchange.body.len();
        let Some(behind) = bytes.get(end..) else { return Ok(false) };
        if !is_trailer(behind, &exchange.trailer) {
            return Ok(false);
        }
        if bytes[head.len..end] != *exchange.body {
            return Err("a body is wrong".to_owned());
        }
        check_trailer(behind, &exchange.trailer)?;
        Ok(true)
    }
}

/// Finds the clients that have received something.
pub struct Poll(OwnedFd);

/// Result of [`Poll`].
pub struct Events(Vec<epoll::Event>);

impl Poll {
    pub fn new() -> Result<Self, String> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Self).map_err(|error| format!("epoll: {error}"))
    }

    pub fn add(&self, client: &Client, number: usize) -> Result<(), String> {
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.0, &client.socket, data, epoll::EventFlags::IN).map_err(|error| format!("epoll: {error}"))
    }

    /// Waits for some; none when the time is over.
    pub fn wait(&self, events: &mut Events, milliseconds: i64) -> Result<(), String> {
        events.0.clear();
        let limit = rustix::event::Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
        let place = rustix::buffer::spare_capacity(&mut events.0);
        epoll::wait(&self.0, place, Some(&limit)).map(|_| ()).map_err(|error| format!("epoll: {error}"))
    }
}

impl Events {
    pub fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers of the clients.
    pub fn ready(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|event| event.data.u64() as usize)
    }
}
