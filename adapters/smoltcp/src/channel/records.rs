//! The records of one connection, sealed and opened at its socket.

use coracle_channel::{Channel, PLAINTEXT_OFFSET, RECORD_OVERHEAD, Receiver, RecordError, RecordLimit, Sealer};
use smoltcp::socket::tcp::{SendError, Socket};

use crate::received::Received;

/// What this end takes in a record.
pub(super) const LIMIT: RecordLimit = RecordLimit::BOARD;
/// A record has at least so many bytes of plaintext, unless fewer are to be sent: each costs its peer a tag.
const LEAST: usize = 128;
/// What a record has that goes around the end of the transmit buffer, where it cannot be sealed in place.
const AROUND: usize = 64;

/// Both directions. What is sent is read from the store into the socket's buffer and sealed there; what is received is put
/// together in a buffer of one record.
pub(crate) struct Records {
    sealer: Sealer,
    receiver: Receiver<[u8; LIMIT.record_len()]>,
    failure: Option<RecordError>,
}

/// What a session takes beside the buffer of a record.
const _: () = assert!(size_of::<Records>() <= 192 + LIMIT.record_len());

impl Records {
    pub(crate) fn new(channel: Channel) -> Option<Self> {
        let receiver = Receiver::new(channel.opener, [0; LIMIT.record_len()]).ok()?;
        Some(Self { sealer: channel.sealer, receiver, failure: None })
    }

    /// Why the connection has to be aborted.
    pub(crate) fn failure(&self) -> Option<RecordError> {
        self.failure
    }

    /// Seals and sends up to `wanted` bytes, of which `write` writes some; `None` where there is no room.
    pub(crate) fn send<R>(
        &mut self,
        socket: &mut Socket<'_>,
        wanted: usize,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<Option<R>, SendError> {
        let contiguous = socket.send(|ring| (0, ring.len()))?;
        let free = socket.send_capacity().saturating_sub(socket.send_queue());
        let least = wanted.min(LEAST).saturating_add(RECORD_OVERHEAD).min(socket.send_capacity());
        if free < least || free <= RECORD_OVERHEAD {
            return Ok(None);
        }
        if contiguous < wanted.min(AROUND).saturating_add(RECORD_OVERHEAD) {
            return self.send_around(socket, wanted.min(free.saturating_sub(RECORD_OVERHEAD)), write);
        }
        let sealer = &mut self.sealer;
        socket.send(|ring| {
            let sealed = seal(sealer, ring, wanted, write);
            (sealed.0, Some(sealed.1))
        })
    }

    /// The same by a buffer, for a record that goes around the end of the socket's.
    // Out of line, since its buffer is not to be beneath what is sealed in place.
    #[inline(never)]
    fn send_around<R>(
        &mut self,
        socket: &mut Socket<'_>,
        wanted: usize,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<Option<R>, SendError> {
        let mut buf = [0; AROUND + RECORD_OVERHEAD];
        let (len, result) = seal(&mut self.sealer, &mut buf, wanted, write);
        socket.send_slice(buf.get(..len).unwrap_or_default())?;
        Ok(Some(result))
    }

    /// Passes the plaintext that has arrived to `take`, which says how much it took.
    pub(crate) fn receive<R>(
        &mut self,
        socket: &mut Socket<'_>,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Received<R> {
        if let Err(nothing) = self.fill(socket) {
            return match nothing {
                Nothing::Yet => Received::Nothing,
                Nothing::More => Received::End,
                Nothing::Valid(error) => {
                    self.failure = Some(error);
                    Received::Failed
                }
            };
        }
        let (taken, result) = take(self.receiver.plaintext());
        self.receiver.consume(taken);
        Received::Some(result)
    }

    /// Receives until there is plaintext: at most one record.
    #[inline(never)]
    fn fill(&mut self, socket: &mut Socket<'_>) -> Result<(), Nothing> {
        let receiver = &mut self.receiver;
        while receiver.plaintext().is_empty() {
            if socket.can_recv() {
                let received = socket.recv(|bytes| match receiver.receive(bytes) {
                    Ok(taken) => (taken, Ok(())),
                    Err(error) => (0, Err(error)),
                });
                received.unwrap_or(Ok(())).map_err(Nothing::Valid)?;
            } else if receiver.has_ended() {
                return Err(Nothing::More);
            } else if socket.may_recv() {
                return Err(Nothing::Yet);
            } else {
                return Err(receiver.receive_eof().map_or_else(Nothing::Valid, |()| Nothing::More));
            }
        }
        Ok(())
    }

    /// Sends the end; returns whether that is done, or cannot be done any more.
    pub(crate) fn finish(&mut self, socket: &mut Socket<'_>) -> bool {
        if self.sealer.has_ended() || !socket.may_send() {
            return true;
        }
        if socket.send_capacity().saturating_sub(socket.send_queue()) < RECORD_OVERHEAD {
            return false;
        }
        let mut buf = [0; RECORD_OVERHEAD];
        let len = self.sealer.finish(&mut buf).unwrap_or(0);
        socket.send_slice(buf.get(..len).unwrap_or_default()).is_ok()
    }
}

/// Why there is no plaintext.
enum Nothing {
    Yet,
    More,
    Valid(RecordError),
}

/// Lets `write` write up to `wanted` bytes into `buf`, and seals them there. Returns the length of the record.
fn seal<R>(
    sealer: &mut Sealer,
    buf: &mut [u8],
    wanted: usize,
    write: impl FnOnce(&mut [u8]) -> (usize, R),
) -> (usize, R) {
    let room = sealer.room(buf.len()).min(wanted);
    let place = buf.get_mut(PLAINTEXT_OFFSET..PLAINTEXT_OFFSET.saturating_add(room)).unwrap_or_default();
    let (len, result) = write(place);
    let sealed = if len == 0 { 0 } else { sealer.seal(buf, len).unwrap_or(0) };
    (sealed, result)
}
