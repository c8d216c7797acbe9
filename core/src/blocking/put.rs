//! A client's requests that write, over a blocking transport.

use embedded_io::{Error as _, ErrorKind};

use super::client::{ClientError, Connection};
use super::transport::{Clock, Transport};
use crate::exec::Source;
use crate::{ClientAction, ClientEvent, ClientRequest, Put, Space, StartError, Stored, WriteRequest};

impl<B, R, T, C> Connection<B, R, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// Sends a file, or what the server lacks of it. The body passes through `buf`, which is at least one byte long. Between two
    /// writes of it the driver looks at what the server has sent, by [`Transport::read_ready`].
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. After one that ends the connection the same `put` on a new one goes on where the server has got to.
    pub fn put<S: Source>(
        &mut self,
        put: &Put<'_>,
        source: &mut S,
        buf: &mut [u8],
    ) -> Result<Stored, ClientError<T::Error, S::Error>> {
        self.start_put(put)?;
        self.send_file(source, buf, false, |_, _| {})
    }

    /// Starts a `put`. [`Connection::finish_put`] sends it and all that follows.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn start_put<S>(&mut self, put: &Put<'_>) -> Result<(), ClientError<T::Error, S>> {
        self.start(ClientRequest::Write(WriteRequest::Put(*put)))
    }

    /// Does what [`Connection::put`] does, for a request that [`Connection::start_put`] started or, where it was sent behind the
    /// body before, [`Connection::start_sent`]. Sends the request `next` right behind the body: a round trip less for each of many
    /// files. Where [`NextPut::is_sent`] says so afterwards, whatever the outcome is, nothing else may be requested on this
    /// connection before the answer to that one.
    ///
    /// # Errors
    ///
    /// As [`Connection::put`].
    pub fn finish_put<S: Source>(
        &mut self,
        source: &mut S,
        buf: &mut [u8],
        next: &mut NextPut<'_>,
    ) -> Result<Stored, ClientError<T::Error, S::Error>> {
        self.send_file(source, buf, next.put.is_some(), |connection, buf| connection.send_next(next, buf))
    }

    /// Makes a request that writes and is answered by an `end` alone: every one but `put` and `space`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn write(&mut self, request: &WriteRequest<'_>) -> Result<(), ClientError<T::Error>> {
        if matches!(request, WriteRequest::Put(_) | WriteRequest::Space) {
            return Err(ClientError::Start(StartError::NotStarted));
        }
        self.start(ClientRequest::Write(*request))?;
        self.run(|event| match event {
            ClientEvent::Done => Ok(Some(())),
            _ => Ok(None),
        })
    }

    /// Asks how much room there is.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn space(&mut self) -> Result<Space, ClientError<T::Error>> {
        self.start(ClientRequest::Write(WriteRequest::Space))?;
        self.run(|event| match event {
            ClientEvent::Space(space) => Ok(Some(space)),
            _ => Ok(None),
        })
    }

    /// Sends the body that a started `put` needs, calls `behind` directly behind it, and receives the answer. `more` is to follow
    /// the body.
    fn send_file<S: Source>(
        &mut self,
        source: &mut S,
        buf: &mut [u8],
        more: bool,
        behind: impl FnOnce(&mut Self, &mut [u8]),
    ) -> Result<Stored, ClientError<T::Error, S::Error>> {
        let step = self.run(|event| match event {
            ClientEvent::Ready(ready) => source.begin(ready.offset).map(|()| Some(Step::Ready)),
            ClientEvent::Stored(stored) => Ok(Some(Step::Stored(stored))),
            _ => Ok(None),
        })?;
        if let Step::Stored(stored) = step {
            return Ok(stored);
        }
        if self.send_body(source, buf, more)? {
            behind(self, buf);
        }
        self.run(|event| match event {
            ClientEvent::Stored(stored) => Ok(Some(stored)),
            _ => Ok(None),
        })
    }

    /// Sends the request `next`, if it can be sent now.
    fn send_next(&mut self, next: &mut NextPut<'_>, buf: &mut [u8]) {
        let Some(put) = next.put else { return };
        // One that cannot be sent ahead is refused when it is started by itself.
        let Ok(len) = self.write_request(&ClientRequest::Write(WriteRequest::Put(*put)), buf) else { return };
        let mut rest = buf.get(..len).unwrap_or_default();
        while !rest.is_empty() {
            match self.transport.write_part(rest, false) {
                Ok(sent) if sent > 0 => {
                    next.is_sent = true;
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What the server says to the body can still be received.
                _ => return,
            }
        }
    }

    /// Sends the body, and looks at the same time at what the server sends. `more` is to follow it. Returns whether all of it was
    /// sent.
    fn send_body<S: Source>(
        &mut self,
        source: &mut S,
        buf: &mut [u8],
        more: bool,
    ) -> Result<bool, ClientError<T::Error, S::Error>> {
        let mut is_whole = !matches!(self.session.action(), ClientAction::SendFile { .. });
        // What is read of the source and not sent.
        let mut unsent = 0..0;
        while let ClientAction::SendFile { offset, len } = self.session.action() {
            if unsent.is_empty() {
                let room = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
                match source.read(offset, buf.get_mut(..room).unwrap_or_default()) {
                    Ok(0) => return Err(self.too_short()),
                    Ok(read) => unsent = 0..read.min(room),
                    Err(error) => {
                        self.session.abandon();
                        return Err(ClientError::Sink(error));
                    }
                }
            }
            self.look()?;
            if !matches!(self.session.action(), ClientAction::SendFile { .. }) {
                break;
            }
            let now = self.clock.now();
            self.limit_wait(now)?;
            let bytes = buf.get(unsent.clone()).unwrap_or_default();
            let has_more = more || u64::try_from(bytes.len()).is_ok_and(|sent| sent < len);
            match self.transport.write_part(bytes, has_more) {
                Ok(0) => self.session.send_failed(),
                Ok(sent) => {
                    let sent = sent.min(unsent.len());
                    unsent.start = unsent.start.saturating_add(sent);
                    is_whole = u64::try_from(sent).is_ok_and(|sent| sent >= len);
                    let now = self.clock.now();
                    self.session.sent(sent, now);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::TimedOut => {
                        // Heartbeats that arrived meanwhile say that the server lives.
                        self.look()?;
                        let now = self.clock.now();
                        self.session.handle_timeout(now);
                    }
                    _ => self.session.send_failed(),
                },
            }
        }
        while self.transport.flush().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
        Ok(is_whole)
    }

    /// Passes to the session what has arrived, without waiting.
    fn look<S>(&mut self) -> Result<(), ClientError<T::Error, S>> {
        loop {
            if self.arrived.is_empty() {
                match self.transport.read_ready(self.receive.as_mut()) {
                    Ok(None) => return Ok(()),
                    Ok(Some(0)) => {
                        self.session.receive_eof();
                        return Ok(());
                    }
                    Ok(Some(len)) => self.arrived = 0..len.min(self.receive.as_ref().len()),
                    Err(error) => match error.kind() {
                        ErrorKind::Interrupted => continue,
                        _ => {
                            self.session.send_failed();
                            return Ok(());
                        }
                    },
                }
            }
            let now = self.clock.now();
            let bytes = self.receive.as_ref().get(self.arrived.clone()).unwrap_or_default();
            let (taken, event) = self.session.receive(bytes, now);
            self.arrived.start = self.arrived.start.saturating_add(taken);
            if let Some(ClientEvent::Refused(refusal)) = event {
                return Err(ClientError::Refused(refusal.code));
            }
            if taken == 0 {
                return Ok(());
            }
        }
    }

    fn too_short<S>(&mut self) -> ClientError<T::Error, S> {
        self.session.abandon();
        ClientError::TooFewToReadBack
    }
}

/// The file that is put next on a connection, if any; its request is sent behind the body of the one before.
#[derive(Debug)]
pub struct NextPut<'p> {
    put: Option<&'p Put<'p>>,
    is_sent: bool,
}

impl<'p> NextPut<'p> {
    /// A request that was not sent, or none.
    #[must_use]
    pub const fn new(put: Option<&'p Put<'p>>) -> Self {
        Self { put, is_sent: false }
    }

    /// Whether the request was sent, in part at least.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        self.is_sent
    }
}

enum Step {
    Ready,
    Stored(Stored),
}
