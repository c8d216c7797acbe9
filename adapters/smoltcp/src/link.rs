//! What is between a session and its socket: nothing, or the encrypted channel.

#[cfg(feature = "channel")]
use coracle_channel::Channel;
use smoltcp::socket::tcp::{SendError, Socket};

#[cfg(feature = "channel")]
use crate::channel::Records;
use crate::received::Received;

pub(crate) struct Link {
    #[cfg(feature = "channel")]
    records: Option<Records>,
}

impl Link {
    pub(crate) const fn plain() -> Self {
        Self {
            #[cfg(feature = "channel")]
            records: None,
        }
    }

    #[cfg(feature = "channel")]
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.records.is_some()
    }

    /// Sends some of `bytes` and returns how many.
    pub(crate) fn send_slice(&mut self, socket: &mut Socket<'_>, bytes: &[u8]) -> Result<usize, SendError> {
        #[cfg(feature = "channel")]
        if let Some(records) = &mut self.records {
            let sent = records.send(socket, bytes.len(), |place| {
                let len = place.len().min(bytes.len());
                place.copy_from_slice(bytes.get(..len).unwrap_or_default());
                (len, len)
            });
            return sent.map(|len| len.unwrap_or(0));
        }
        socket.send_slice(bytes)
    }

    /// Sends up to `wanted` bytes, of which `write` writes some; `None` where there is no room.
    pub(crate) fn send<R>(
        &mut self,
        socket: &mut Socket<'_>,
        wanted: usize,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<Option<R>, SendError> {
        #[cfg(feature = "channel")]
        if let Some(records) = &mut self.records {
            return records.send(socket, wanted, write);
        }
        if socket.may_send() && !socket.can_send() {
            return Ok(None);
        }
        socket
            .send(|ring| {
                let room = wanted.min(ring.len());
                write(ring.get_mut(..room).unwrap_or_default())
            })
            .map(Some)
    }

    /// Passes what has arrived to `take`, which says how much it took.
    pub(crate) fn receive<R>(
        &mut self,
        socket: &mut Socket<'_>,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Received<R> {
        #[cfg(feature = "channel")]
        if let Some(records) = &mut self.records {
            return records.receive(socket, take);
        }
        if socket.can_recv() {
            return match socket.recv(|bytes| take(bytes)) {
                Ok(result) => Received::Some(result),
                Err(_) => Received::Failed,
            };
        }
        if socket.may_recv() { Received::Nothing } else { Received::End }
    }
}

#[cfg(feature = "channel")]
impl Link {
    /// From now on in records.
    pub(crate) fn encrypt(&mut self, channel: Channel) {
        self.records = Records::new(channel);
    }

    /// The records, if it is encrypted.
    pub(crate) fn records(&mut self) -> Option<&mut Records> {
        self.records.as_mut()
    }
}
