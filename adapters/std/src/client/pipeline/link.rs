//! A connection, and the bytes of the requests that are sent ahead on it.

use std::io;
use std::time::Duration;

use coracle_core::{ClientRequest, ClientSession, Failure, StartError};

use crate::client::requester::ClientConnection;
use crate::sys;

/// The longest request with its newline, in bytes.
const MAX_LEN: usize = ClientSession::<[u8; 0]>::MIN_BUF_LEN;

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
        while len < self.requests.len() && !self.is_broken {
            match sys::send_now(self.connection.transport_mut().socket(), &self.requests[len..]) {
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
        while self.sent < end && !self.is_broken && !self.connection.has_received() {
            let transport = self.connection.transport_mut();
            match sys::poll_ready(transport.socket(), transport.bounded(stall_timeout)) {
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
