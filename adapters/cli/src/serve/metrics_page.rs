//! The page of HTTP/1.1 (RFC 9112) that has the numbers: one thread, one visitor at a time, a bounded time for each.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coracle::metrics::Metrics;
use socket2::Socket;

/// For all of a visit.
const MAX_TIME: Duration = Duration::from_secs(2);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// After an `accept` that failed.
const PAUSE: Duration = Duration::from_millis(100);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`. Dropping it closes it, and waits for the visit under way.
#[derive(Debug)]
pub struct MetricsPage {
    listener: Arc<Socket>,
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsPage {
    /// Listens on `address` (port 0: any free one) and shows `metrics` there.
    ///
    /// # Errors
    ///
    /// It cannot be listened on, or there can be no thread for it.
    pub fn open(address: SocketAddr, metrics: Metrics) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let listener = Arc::new(Socket::from(listener));
        let is_closed = Arc::new(AtomicBool::new(false));
        let (accepting, closed) = (Arc::clone(&listener), Arc::clone(&is_closed));
        let thread =
            thread::Builder::new().name("metrics".to_owned()).spawn(move || show(&accepting, &closed, &metrics))?;
        Ok(Self { listener, address, is_closed, thread: Some(thread) })
    }

    /// Where it is, with the real port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsPage {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        // Wakes the thread that waits in `accept`; fails only where it is listening no longer.
        drop(self.listener.shutdown(Shutdown::Both));
        if let Some(thread) = self.thread.take() {
            // A panic in there has been told on standard error already.
            drop(thread.join());
        }
    }
}

fn show(listener: &Socket, is_closed: &AtomicBool, metrics: &Metrics) {
    while !is_closed.load(Ordering::Acquire) {
        match listener.accept() {
            // Who goes away before the answer has only itself to tell.
            Ok((socket, _)) => drop(receive(socket.into(), metrics)),
            Err(_) if is_closed.load(Ordering::Acquire) => return,
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Answers one visitor.
fn receive(mut visitor: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let end = Instant::now() + MAX_TIME;
    let mut head = Vec::new();
    let answer = loop {
        if let Some(answer) = answer(&head, metrics) {
            break answer;
        }
        let mut piece = [0; 2048];
        match read(&mut visitor, &mut piece, end)? {
            0 => return Ok(()),
            len => head.extend_from_slice(&piece[..len]),
        }
    };
    visitor.set_write_timeout(Some(rest(end)?))?;
    visitor.write_all(answer.as_bytes())?;
    visitor.shutdown(Shutdown::Write)?;
    // Closed at once, what was not read would make the kernel reset the connection before the answer is there.
    let mut piece = [0; 2048];
    let mut left = MAX_HEAD;
    while left > 0 {
        let len = read(&mut visitor, &mut piece, end)?;
        left = if len == 0 { 0 } else { left.saturating_sub(len) };
    }
    Ok(())
}

/// The answer to a request's head, as soon as that is whole.
fn answer(head: &[u8], metrics: &Metrics) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let is_whole = match request.parse(head) {
        Ok(status) => status.is_complete(),
        Err(_) => return Some(response("400 Bad Request", "", "this is no request of HTTP\n", true)),
    };
    if !is_whole {
        let is_long = head.len() > MAX_HEAD;
        return is_long.then(|| response("431 Request Header Fields Too Large", "", "too long\n", true));
    }
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    let has_body = request.method != Some("HEAD");
    Some(match (request.method, path) {
        (Some("GET" | "HEAD"), "/metrics") => response("200 OK", CONTENT_TYPE, &metrics.text(), has_body),
        (Some("GET" | "HEAD"), _) => response("404 Not Found", "", "the numbers are at /metrics\n", has_body),
        _ => response("405 Method Not Allowed\r\nAllow: GET, HEAD", "", "only GET and HEAD\n", true),
    })
}

/// `status`: its number and words, and more header lines if there are any. An empty `kind` is plain text.
fn response(status: &str, kind: &str, body: &str, has_body: bool) -> String {
    let kind = if kind.is_empty() { "text/plain; charset=utf-8" } else { kind };
    let len = body.len();
    let body = if has_body { body } else { "" };
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

fn read(visitor: &mut TcpStream, piece: &mut [u8], end: Instant) -> io::Result<usize> {
    loop {
        visitor.set_read_timeout(Some(rest(end)?))?;
        match visitor.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// How long a visit may still last.
fn rest(end: Instant) -> io::Result<Duration> {
    let rest = end.saturating_duration_since(Instant::now());
    if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::time::{Duration, Instant};

    use super::{MAX_HEAD, Metrics, MetricsPage};

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
        let long = [b"GET /metrics HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; MAX_HEAD]].concat();
        assert!(ask(&page, &long).starts_with("HTTP/1.1 431"));
        let many = [b"GET /metrics HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(100), b"\r\n"].concat();
        assert!(ask(&page, &many).starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn a_visitor_that_says_nothing_delays_others_for_a_bounded_time() {
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
