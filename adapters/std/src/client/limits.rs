//! The transport of a client, with limits of its own: how long all may take, and how slow or fast the server may be.

use std::thread::sleep;
use std::time::{Duration, Instant};

use coracle_core::blocking::Transport;
use embedded_io::{Error as _, ErrorKind, ErrorType, Read, Write};

use super::wire::Wire;
use crate::rate_limit::RateLimit;
use crate::transport::TransportError;

/// Heartbeats come one at a time, every ten seconds; a piece of a body that is longer than this is none.
const HEARTBEATS_MAX: usize = 4;

/// Limits of a client's transfers.
#[derive(Clone, Debug, Default)]
pub struct TransferLimits {
    /// When all requests have to be complete.
    pub deadline: Option<Instant>,
    /// The lowest rate in bytes a second, over [`TransferLimits::window`]; 0 for none.
    pub min_rate: u32,
    pub window: Duration,
    /// The highest rate of what is received and sent.
    pub rate_limit: Option<RateLimit>,
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    Deadline,
    MinRate,
}

/// A connection, and the limits of what is transferred over it.
#[derive(Debug)]
pub struct ClientTransport {
    inner: Wire,
    limits: TransferLimits,
    /// What the session allows the next call.
    limit_ms: Option<u64>,
    /// How long the server was waited for, and what came, since the rate was looked at last.
    waited: Duration,
    received: u64,
    overrun: Option<Overrun>,
}

impl TransferLimits {
    /// The time that is left of `limit`; `None` without an end.
    pub fn bounded(&self, limit: Option<Duration>) -> Option<Duration> {
        let rest = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        rest.into_iter().chain(limit).min()
    }

    pub fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl ClientTransport {
    pub const fn new(inner: Wire, limits: TransferLimits) -> Self {
        Self { inner, limits, limit_ms: None, waited: Duration::ZERO, received: 0, overrun: None }
    }

    /// The connection, without the limits.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.inner
    }

    /// The limit that ended the connection.
    pub fn overrun(&self) -> Option<Overrun> {
        self.overrun
    }

    /// What is left of `limit` before the deadline.
    pub fn bounded(&self, limit: Option<Duration>) -> Option<Duration> {
        self.limits.bounded(limit)
    }

    fn fail(&mut self, overrun: Overrun) -> TransportError {
        self.overrun = Some(overrun);
        TransportError::new(std::io::ErrorKind::Other)
    }

    /// Prepares for a call that may wait.
    fn prepare(&mut self) -> Result<(), TransportError> {
        if self.limits.is_over() {
            return Err(self.fail(Overrun::Deadline));
        }
        let bounded = self.limits.bounded(self.limit_ms.map(Duration::from_millis));
        let limit_ms = bounded.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1));
        self.inner.limit_wait(limit_ms)
    }

    /// Counts `bytes`, for which the server was waited for so long.
    fn count(&mut self, bytes: &[u8], waited: Duration) -> Result<(), TransportError> {
        if self.limits.min_rate == 0 {
            return Ok(());
        }
        if !bytes.is_empty() && bytes.len() <= HEARTBEATS_MAX && bytes.iter().all(|byte| *byte == b' ') {
            // The server reads a file for its digest, which may take it long.
            (self.waited, self.received) = (Duration::ZERO, 0);
            return Ok(());
        }
        self.waited = self.waited.saturating_add(waited);
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.waited >= self.limits.window {
            let wanted = self.waited.as_secs_f64() * f64::from(self.limits.min_rate);
            if (self.received as f64) < wanted {
                return Err(self.fail(Overrun::MinRate));
            }
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        Ok(())
    }
}

impl ErrorType for ClientTransport {
    type Error = TransportError;
}

impl Read for ClientTransport {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TransportError> {
        self.prepare()?;
        let piece = self.limits.rate_limit.as_ref().map_or(usize::MAX, RateLimit::piece);
        let room = buf.len().min(piece);
        let buf = buf.get_mut(..room).unwrap_or_default();
        let began = (self.limits.min_rate > 0).then(Instant::now);
        let read = self.inner.read(buf);
        let waited = began.map_or(Duration::ZERO, |began| began.elapsed());
        match read {
            Ok(len) => self.count(buf.get(..len).unwrap_or_default(), waited)?,
            Err(error) if error.kind() == ErrorKind::TimedOut => self.count(&[], waited)?,
            Err(_) => {}
        }
        if let (Ok(len), Some(limit)) = (read, &self.limits.rate_limit) {
            let pause = limit.take(len);
            sleep(self.limits.bounded(Some(pause)).unwrap_or(pause));
        }
        read
    }
}

impl Write for ClientTransport {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        self.write_part(bytes, false)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        self.inner.flush()
    }
}

impl Transport for ClientTransport {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), TransportError> {
        self.limit_ms = limit_ms;
        Ok(())
    }

    fn read_ready(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        self.inner.read_ready(buf)
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, TransportError> {
        self.prepare()?;
        let Some(limit) = &self.limits.rate_limit else { return self.inner.write_part(bytes, more) };
        let piece = bytes.get(..limit.piece()).unwrap_or(bytes);
        let sent = self.inner.write_part(piece, more && piece.len() == bytes.len())?;
        let pause = limit.take(sent);
        sleep(self.limits.bounded(Some(pause)).unwrap_or(pause));
        Ok(sent)
    }
}
