//! A client's requests that write.

use core::convert::Infallible;
use core::task::Poll;

use coracle_core::{ClientAction, ClientEvent, ClientRequest, Put, Space, StartError, Stored, WriteRequest};
use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embedded_io_async::{Error as _, ErrorKind};

use super::connection::{Client, ClientError, Handler, Now};
use crate::clock::Clock;
use crate::source::AsyncSource;
use crate::transport::Transport;

impl<B, R, T, C> Client<B, R, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// Sends a file, or what the server lacks of it. The body passes through `buf`, which is at least one byte long. Between two
    /// writes of it the client looks at what the server has sent, and the transport's `write` has to be cancel-safe, too: see
    /// [`Transport`].
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. After one that ends the connection the same `put` on a new one goes on where the server has got to.
    pub async fn put<S: AsyncSource>(
        &mut self,
        put: &Put<'_>,
        source: &mut S,
        buf: &mut [u8],
    ) -> Result<Stored, ClientError<T::Error, S::Error>> {
        self.start(ClientRequest::Write(WriteRequest::Put(*put))).await?;
        if let Some(stored) = self.run(Begin(source)).await? {
            return Ok(stored);
        }
        self.send_body(source, buf).await?;
        self.run(Now(|event: ClientEvent<'_>| match event {
            ClientEvent::Stored(stored) => Ok(Some(stored)),
            _ => Ok(None),
        }))
        .await
    }

    /// Makes a request that writes and is answered by an `end` alone: every one but `put` and `space`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn write(&mut self, request: &WriteRequest<'_>) -> Result<(), ClientError<T::Error>> {
        if matches!(request, WriteRequest::Put(_) | WriteRequest::Space) {
            return Err(ClientError::Start(StartError::NotStarted));
        }
        self.start(ClientRequest::Write(*request)).await?;
        self.run(Now(|event: ClientEvent<'_>| match event {
            ClientEvent::Done => Ok::<_, Infallible>(Some(())),
            _ => Ok(None),
        }))
        .await
    }

    /// Asks how much room there is.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn space(&mut self) -> Result<Space, ClientError<T::Error>> {
        self.start(ClientRequest::Write(WriteRequest::Space)).await?;
        self.run(Now(|event: ClientEvent<'_>| match event {
            ClientEvent::Space(space) => Ok::<_, Infallible>(Some(space)),
            _ => Ok(None),
        }))
        .await
    }

    /// Sends the body that a started `put` needs, and looks at the same time at what the server sends.
    async fn send_body<S: AsyncSource>(
        &mut self,
        source: &mut S,
        buf: &mut [u8],
    ) -> Result<(), ClientError<T::Error, S::Error>> {
        // What is read of the source and not sent.
        let mut unsent = 0..0;
        while let ClientAction::SendFile { offset, len } = self.session.action() {
            if unsent.is_empty() {
                let room = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
                let error = match source.read(offset, buf.get_mut(..room).unwrap_or_default()).await {
                    Ok(0) => ClientError::TooFewToReadBack,
                    Ok(read) => {
                        unsent = 0..read.min(room);
                        continue;
                    }
                    Err(error) => ClientError::Sink(error),
                };
                self.session.abandon();
                return Err(error);
            }
            self.look()?;
            if !matches!(self.session.action(), ClientAction::SendFile { .. }) {
                break;
            }
            let until = self.until();
            let bytes = buf.get(unsent.clone()).unwrap_or_default();
            let written = select(self.transport.write(bytes), self.clock.sleep_until(until)).await;
            match written {
                Either::First(Ok(0)) => self.session.send_failed(),
                Either::First(Ok(sent)) => {
                    let sent = sent.min(unsent.len());
                    unsent.start = unsent.start.saturating_add(sent);
                    self.session.sent(sent, self.clock.now());
                }
                Either::First(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Either::First(Err(_)) => self.session.send_failed(),
                Either::Second(()) => {
                    // Heartbeats that arrived meanwhile say that the server lives.
                    self.look()?;
                    self.session.handle_timeout(self.clock.now());
                }
            }
        }
        self.flush().await;
        Ok(())
    }

    /// Flushes the transport, where it does not send by itself.
    async fn flush(&mut self) {
        if !T::NEEDS_FLUSH {
            return;
        }
        loop {
            let until = self.until();
            let flushed = select(self.transport.flush(), self.clock.sleep_until(until)).await;
            match flushed {
                Either::First(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                // What the server says to the body can still be received.
                Either::First(_) => return,
                Either::Second(()) => return self.session.handle_timeout(self.clock.now()),
            }
        }
    }

    /// Passes to the session what has arrived, without waiting.
    fn look<S>(&mut self) -> Result<(), ClientError<T::Error, S>> {
        loop {
            if self.arrived.is_empty() {
                match poll_once(self.transport.read(self.receive.as_mut())) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(0)) => {
                        self.session.receive_eof();
                        return Ok(());
                    }
                    Poll::Ready(Ok(len)) => self.arrived = 0..len.min(self.receive.as_ref().len()),
                    Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => continue,
                    Poll::Ready(Err(_)) => {
                        self.session.send_failed();
                        return Ok(());
                    }
                }
            }
            let bytes = self.receive.as_ref().get(self.arrived.clone()).unwrap_or_default();
            let (taken, event) = self.session.receive(bytes, self.clock.now());
            self.arrived.start = self.arrived.start.saturating_add(taken);
            if let Some(ClientEvent::Refused(refusal)) = event {
                return Err(ClientError::Refused(refusal.code));
            }
            if taken == 0 {
                return Ok(());
            }
        }
    }
}

/// The beginning of a `put`: what the server lacks, or `Some` where it has all of it.
struct Begin<'s, S>(&'s mut S);

impl<S: AsyncSource> Handler for Begin<'_, S> {
    type Output = Option<Stored>;
    type Error = S::Error;

    async fn handle(&mut self, event: ClientEvent<'_>) -> Result<Option<Option<Stored>>, S::Error> {
        match event {
            ClientEvent::Ready(ready) => self.0.begin(ready.offset).await.map(|()| Some(None)),
            ClientEvent::Stored(stored) => Ok(Some(Some(stored))),
            _ => Ok(None),
        }
    }
}
