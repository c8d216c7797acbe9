//! Serves the metrics over HTTP/1.1 (RFC 9112): one thread, one connection at a time, a bounded time for each.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coracle::metrics::Metrics;
use socket2::Socket;

/// The time that a connection may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest head of a request, in bytes.
const MAX_HEAD_LEN: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `GET /metrics` until it is dropped, which waits for the connection under way.
#[derive(Debug)]
pub struct MetricsPage {
    listener: Arc<Socket>,
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsPage {
    /// Listens on `address`, on any free port for port 0, and serves `metrics` there.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, or the thread cannot be started.
    pub fn open(address: SocketAddr, metrics: Metrics) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let listener = Arc::new(Socket::from(listener));
        let is_closed = Arc::new(AtomicBool::new(false));
        let (accepting, closed) = (Arc::clone(&listener), Arc::clone(&is_closed));
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || accept_all(&accepting, &closed, &metrics))?;
        Ok(Self { listener, address, is_closed, thread: Some(thread) })
    }

    /// The address that it listens on, with the actual port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsPage {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        // Wakes the thread from its accept. Fails only where it does not listen any more.
        drop(self.listener.shutdown(Shutdown::Both));
        if let Some(thread) = self.thread.take() {
            // The message of a panic is on standard error already.
            drop(thread.join());
        }
    }
}

/// Both address and port are required: there is no usual port, and all addresses would make the metrics public.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let resolved =
        text.to_socket_addrs().map_err(|error| format!("{error}; an address and a port, as 127.0.0.1:9100"))?;
    resolved.into_iter().next().ok_or_else(|| "no address belongs to that name".to_owned())
}

fn accept_all(listener: &Socket, is_closed: &AtomicBool, metrics: &Metrics) {
    while !is_closed.load(Ordering::Acquire) {
        match listener.accept() {
            // An error concerns that client alone, and there is nothing to tell it.
            Ok((socket, _)) => drop(serve_connection(socket.into(), metrics)),
            Err(_) if is_closed.load(Ordering::Acquire) => return,
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

/// Answers one request.
fn serve_connection(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let end = Instant::now() + CONNECTION_TIMEOUT;
    let mut head = Vec::new();
    let response = loop {
        if let Some(response) = respond(&head, metrics) {
            break response;
        }
        let mut piece = [0; 2048];
        match read(&mut stream, &mut piece, end)? {
            0 => return Ok(()),
            len => head.extend_from_slice(&piece[..len]),
        }
    };
    stream.set_write_timeout(Some(time_left(end)?))?;
    stream.write_all(response.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // Reads the rest before it closes: bytes that were not read would make the kernel reset the connection.
    let mut piece = [0; 2048];
    let mut left = MAX_HEAD_LEN;
    while left > 0 {
        let len = read(&mut stream, &mut piece, end)?;
        left = if len == 0 { 0 } else { left.saturating_sub(len) };
    }
    Ok(())
}

/// The response to the head of a request, once that is complete.
fn respond(head: &[u8], metrics: &Metrics) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let is_whole = match request.parse(head) {
        Ok(status) => status.is_complete(),
        Err(_) => return Some(response("400 Bad Request", "", "not an HTTP request\n", true)),
    };
    if !is_whole {
        let is_long = head.len() > MAX_HEAD_LEN;
        return is_long.then(|| response("431 Request Header Fields Too Large", "", "too long\n", true));
    }
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    let has_body = request.method != Some("HEAD");
    Some(match (request.method, path) {
        (Some("GET" | "HEAD"), "/metrics") => response("200 OK", CONTENT_TYPE, &metrics.text(), has_body),
        (Some("GET" | "HEAD"), _) => response("404 Not Found", "", "the metrics are at /metrics\n", has_body),
        _ => response("405 Method Not Allowed\r\nAllow: GET, HEAD", "", "only GET and HEAD\n", true),
    })
}

/// Formats a response. `status` may contain further header lines. An empty `content_type` is plain text.
fn response(status: &str, content_type: &str, body: &str, has_body: bool) -> String {
    let content_type = if content_type.is_empty() { "text/plain; charset=utf-8" } else { content_type };
    let len = body.len();
    let body = if has_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn read(stream: &mut TcpStream, piece: &mut [u8], end: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(Some(time_left(end)?))?;
        match stream.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// The time left until `end`.
fn time_left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::time::{Duration, Instant};

    use super::{MAX_HEAD_LEN, Metrics, MetricsPage};

    fn page() -> MetricsPage {
        MetricsPage::open("127.0.0.1:0".parse().expect("an address"), Metrics::new()).expect("opened")
    }

    fn ask(page: &MetricsPage, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(page.address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
        stream.write_all(request).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("closed in good order");
        answer
    }

    #[test]
    fn shows_the_numbers_to_who_asks_for_them() {
        let page = page();
        let answer = ask(&page, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text;"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("coracle_clients 0\n") && body.ends_with("# EOF\n"), "{body}");

        let head = ask(&page, b"HEAD /metrics?x=1 HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask(&page, b"GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(&page, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 Method Not Allowed\r\nAllow:"));
        assert!(ask(&page, b"{\"type\":\"hello\"}\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn takes_no_more_than_it_says() {
        let page = page();
        let long = [b"GET /metrics HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; MAX_HEAD_LEN]].concat();
        assert!(ask(&page, &long).starts_with("HTTP/1.1 431"));
        let many = [b"GET /metrics HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(100), b"\r\n"].concat();
        assert!(ask(&page, &many).starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn a_stream_that_says_nothing_delays_others_for_a_bounded_time() {
        let page = page();
        let started = Instant::now();
        let silent = TcpStream::connect(page.address()).expect("connected");
        let mut gone = TcpStream::connect(page.address()).expect("connected");
        gone.write_all(b"GET").expect("sent");
        gone.shutdown(Shutdown::Both).expect("shut down");
        assert!(ask(&page, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        drop(silent);
    }

    #[test]
    fn ends_when_it_is_dropped() {
        let page = page();
        let address = page.address();
        let started = Instant::now();
        drop(page);
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(TcpStream::connect(address).is_err());
    }
}
