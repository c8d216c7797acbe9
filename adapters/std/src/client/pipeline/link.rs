//! A connection, and the bytes of the requests that are sent ahead on it.

use std::io;
use std::time::Duration;

use coracle_core::{ClientRequest, ClientSession, Failure, StartError};

use crate::client::requester::ClientConnection;
use crate::sys;

/// The longest request with its newline, in bytes.
pub const MAX_LEN: usize = ClientSession::<[u8; 0]>::MIN_BUF_LEN;

/// A connection with requests that are sent ahead. Nothing waits for room to send while there may be something to read: the
/// server takes no request while it sends an answer.
pub struct Link {
    pub connection: ClientConnection,
    /// An exchange was completed on it. The server may have closed it since.
    pub was_used: bool,
    /// What is to be sent.
    requests: Vec<u8>,
    /// How many bytes were sent before.
    sent: u64,
    /// It takes no more. What the server sent before may still be there.
    is_broken: bool,
}

impl Link {
    pub fn new(connection: ClientConnection, was_used: bool) -> Self {
        Self { connection, was_used, requests: Vec::new(), sent: 0, is_broken: false }
    }

    /// Adds `request` to what is to be sent. Returns its length in bytes.
    pub fn push(&mut self, request: &ClientRequest<'_>) -> Result<usize, StartError> {
        let begin = self.requests.len();
        self.requests.resize(begin + MAX_LEN, 0);
        let written = self.connection.write_request(request, &mut self.requests[begin..]);
        self.requests.truncate(begin + written.unwrap_or(0));
        written
    }

    /// The position behind the last request in all that is sent.
    pub fn end(&self) -> u64 {
        self.sent + self.requests.len() as u64
    }

    /// Sends as much as there is room for.
    pub fn send(&mut self) {
        let mut len = 0;
        let wire = self.connection.transport_mut().wire();
        while (len < self.requests.len() || wire.has_unsent()) && !self.is_broken {
            match wire.send_now(&self.requests[len..]) {
                Ok(sent) => len += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_broken = error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.sent += len as u64;
        self.requests.drain(..len);
    }

    /// Waits until what comes before the position `end` is sent, or there is something to read. The answers to all requests
    /// before were read.
    pub fn send_until(&mut self, end: u64, stall_timeout: Option<Duration>) -> Result<(), Failure> {
        while !self.is_broken && !self.connection.has_received() {
            let transport = self.connection.transport_mut();
            let timeout = transport.bounded(stall_timeout);
            let wire = transport.wire();
            if wire.has_received() || (self.sent >= end && !wire.has_unsent()) {
                break;
            }
            match sys::poll_ready(wire.socket(), timeout) {
                Ok(ready) if ready.can_read => break,
                Ok(ready) if ready.can_write => self.send(),
                Ok(_) => return Err(Failure::Stalled),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    use coracle_core::blocking::Connection;
    use coracle_core::{ClientRequest, ClientSession, Failure};
    use socket2::{Domain, SockAddr, Socket, Type};

    use super::Link;
    use crate::client::connect::MonotonicClock;
    use crate::client::limits::{ClientTransport, TransferLimits};
    use crate::client::wire::Wire;
    use crate::transport::TcpTransport;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(30));

    /// A link whose connection takes little, with more requests than that, and the other end, which reads none of it.
    fn full() -> (Link, TcpStream) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.set_recv_buffer_size(1).expect("the least");
        listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("bind");
        listener.listen(1).expect("listen");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_send_buffer_size(1).expect("the least");
        let address: SockAddr = listener.local_addr().expect("an address");
        socket.connect(&address).expect("connected");
        let peer = TcpListener::from(listener).accept().expect("a connection").0;
        let session = ClientSession::new(vec![0; 1024].into_boxed_slice());
        let buf = vec![0; 1024].into_boxed_slice();
        let transport = ClientTransport::new(Wire::Plain(TcpTransport::new(socket)), TransferLimits::default());
        let connection = Connection::new(session, transport, buf, MonotonicClock::start());
        let mut link = Link::new(connection, false);
        while link.end() < 1_000_000 {
            link.push(&ClientRequest::Hello).expect("it fits");
        }
        (link, peer)
    }

    #[test]
    fn what_there_is_no_room_for_is_sent_later() {
        let (mut link, mut peer) = full();
        link.send();
        assert!(link.sent > 0 && link.sent < link.end(), "{}", link.sent);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("read");
            all
        });
        let end = link.end();
        assert_eq!(link.send_until(end, LIMIT), Ok(()));
        assert_eq!((link.sent, link.end()), (end, end));
        drop(link);
        assert!(
            reader.join().expect("read") == b"{\"type\":\"hello\"}\n".repeat(usize::try_from(end).expect("short") / 17)
        );
    }

    #[test]
    fn what_arrives_is_read_before_the_rest_is_sent() {
        let (mut link, mut peer) = full();
        link.send();
        peer.write_all(b" ").expect("written");
        assert_eq!(link.send_until(link.end(), LIMIT), Ok(()));
        assert!(link.sent < link.end());
    }

    #[test]
    fn a_server_that_neither_reads_nor_answers_has_stalled() {
        let (mut link, _peer) = full();
        link.send();
        assert_eq!(link.send_until(link.end(), Some(Duration::from_millis(20))), Err(Failure::Stalled));
    }

    #[test]
    fn a_connection_that_is_gone_is_read_to_its_end() {
        let (mut link, peer) = full();
        drop(peer);
        link.send();
        assert_eq!(link.send_until(link.end(), LIMIT), Ok(()));
    }
}
