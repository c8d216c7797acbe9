//! Requests that are sent ahead: before the responses to earlier ones are complete.

use core::cmp::Ordering;

use crate::types::digest::Hasher;
use crate::types::time::Instant;
use crate::wire::request_writer;

use super::error::StartError;
use super::expectation::Expectation;
use super::line_buffer::LineBuffer;
use super::request::{ClientRequest, GetRequest};
use super::session::{ClientSession, State};
#[cfg(feature = "write")]
use super::write_request::WriteRequest;

impl<B: AsRef<[u8]> + AsMut<[u8]>> ClientSession<B> {
    /// Writes `request`, with a newline, to the front of `buf`, for an owner that sends requests ahead: before the responses to
    /// earlier ones are complete. Returns the length in bytes. The session is unchanged; each of these requests is passed to
    /// [`ClientSession::start_sent`] when its response is the next one.
    ///
    /// Who sends ahead has to read at the same time: a server takes no request while it sends a response, and would wait for
    /// room in the connection as the client does. So send only what the transport takes without waiting.
    ///
    /// A request to put a file may be sent ahead, behind the body of another one for example. Nothing may be sent behind it
    /// before its own response has begun.
    ///
    /// # Errors
    ///
    /// Why the request cannot be sent ahead. [`StartError::BufTooShort`] never with [`ClientSession::MIN_BUF_LEN`] bytes.
    pub fn write_request(&self, request: &ClientRequest<'_>, buf: &mut [u8]) -> Result<usize, StartError> {
        check(request)?;
        hasher(request)?;
        let len = request_writer::write(request, buf).ok_or(StartError::BufTooShort)?;
        if len > self.max_request_of(request) {
            return Err(StartError::NameDoesNotFit);
        }
        *buf.get_mut(len).ok_or(StartError::BufTooShort)? = b'\n';
        Ok(len.saturating_add(1))
    }

    /// Starts a request whose bytes its owner has sent, as [`ClientSession::write_request`] wrote them: nothing is left but to
    /// receive the response. Call it before any byte of that response is passed to [`ClientSession::receive`]. The session
    /// has to be [`ClientAction::Idle`](crate::ClientAction::Idle).
    ///
    /// ```
    /// use coracle_core::{ClientAction, ClientEvent, ClientRequest, ClientSession, FileName, Instant};
    ///
    /// let now = Instant::from_millis(0); // a board asks its timer
    /// let mut session = ClientSession::new([0; 1024]);
    /// let requests = ["motd", "empty"].map(|name| {
    ///     ClientRequest::Stat { name: FileName::from_static(name), digest: None }
    /// });
    /// let mut ahead = [0; 2048];
    /// let mut len = 0;
    /// for request in &requests {
    ///     len += session.write_request(request, &mut ahead[len..]).unwrap();
    /// }
    /// // Now the transport sends the first `len` bytes of `ahead`, as it has room for them.
    /// # let line = |name: &str| format!(
    /// #     "{{\"type\":\"file\",\"fileName\":\"{name}\",\"fileSize\":0,\"offset\":0,\"length\":0,\"chunkSize\":1024,\
    /// #     \"readCnt\":0,\"lastSize\":0,\"version\":\"b17\",\"digest\":\"none\"}}\n");
    /// # let arrived = line("motd") + &line("empty");
    /// let mut rest = arrived.as_bytes(); // both responses may arrive at once
    /// for request in requests {
    ///     session.start_sent(request, now).unwrap();
    ///     while session.action() == ClientAction::Receive {
    ///         let (taken, event) = session.receive(rest, now);
    ///         assert!(matches!(event, Some(ClientEvent::Header(_))));
    ///         rest = &rest[taken..];
    ///     }
    /// }
    /// assert!(rest.is_empty() && session.action() == ClientAction::Idle);
    /// ```
    ///
    /// # Errors
    ///
    /// Why nothing was started; the session is unchanged. After any other error than [`StartError::NotIdle`] the response
    /// cannot be received, since the request is none that [`ClientSession::write_request`] writes.
    pub fn start_sent(&mut self, request: ClientRequest<'_>, now: Instant) -> Result<(), StartError> {
        if self.state != State::Idle {
            return Err(StartError::NotIdle);
        }
        check(&request)?;
        let expectation = Expectation::new(&request)?;
        self.hasher = hasher(&request)?;
        self.refusal = None;
        self.state = State::Line(expectation.awaited);
        self.expectation = expectation;
        self.line = LineBuffer::default();
        self.has_send_failed = false;
        self.arm(now);
        Ok(())
    }
}

/// Errs for a request that cannot be sent ahead. Bytes of an earlier attempt are hashed before a request is sent, by the
/// hasher that the response before this one may need, while the server does not wait for ever. Of the requests that write only
/// those of which there are many have a use for it.
fn check(request: &ClientRequest<'_>) -> Result<(), StartError> {
    match request {
        ClientRequest::Get(GetRequest { offset, digest, digest_from, .. }) => {
            match digest_from.unwrap_or(*offset).cmp(offset) {
                Ordering::Less if digest.is_some() => Err(StartError::NotAhead),
                Ordering::Greater => Err(StartError::DigestRange),
                _ => Ok(()),
            }
        }
        #[cfg(feature = "write")]
        ClientRequest::Write(put @ WriteRequest::Put(_)) => put.check(),
        #[cfg(feature = "write")]
        ClientRequest::Write(_) => Err(StartError::NotAhead),
        _ => Ok(()),
    }
}

/// What computes the digest of the body, where there is one.
fn hasher(request: &ClientRequest<'_>) -> Result<Option<Hasher>, StartError> {
    match request {
        ClientRequest::Get(GetRequest { digest: Some(kind), .. }) => {
            Hasher::new(*kind).map(Some).ok_or(StartError::DigestUnsupported)
        }
        _ => Ok(None),
    }
}
