//! Queue of clients that wait to be admitted, in the order in which they connected.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coracle_core::Code;
use socket2::Socket;

use super::event::DequeueReason;
use super::limits::Admission;
use super::retry_estimate::HELD;
use crate::sys;

/// Time between two sweeps, and a little more for each client, so that sweeping takes a small part of the time.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
const SWEEP_INTERVAL_EACH: Duration = Duration::from_micros(50);

/// The clients that wait. It has no lock and starts no thread.
#[derive(Debug)]
pub(super) struct Queue {
    /// Whether every client waits that finds no place, and not only one for which a place is about to become free.
    is_for_all: bool,
    length: usize,
    timeout: Option<Duration>,
    waiting: VecDeque<QueuedClient>,
}

/// A client that waits to be admitted.
#[derive(Debug)]
pub(super) struct QueuedClient {
    pub socket: Socket,
    pub address: SocketAddr,
    pub since: Instant,
}

/// A client that leaves the queue unserved.
#[derive(Debug)]
pub(super) struct Dismissal {
    pub client: QueuedClient,
    pub reason: DequeueReason,
}

impl Queue {
    pub(super) fn new(admission: Admission) -> Self {
        let (is_for_all, timeout) = match admission {
            Admission::Busy => (false, Some(HELD)),
            Admission::Queue { timeout, .. } => (true, timeout),
        };
        Self { is_for_all, length: admission.max_waiting(), timeout, waiting: VecDeque::new() }
    }

    pub(super) const fn is_for_all(&self) -> bool {
        self.is_for_all
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Appends a client and returns the new length; gives the socket back where the queue is full.
    pub(super) fn push(&mut self, socket: Socket, address: SocketAddr) -> Result<usize, Socket> {
        if self.waiting.len() >= self.length {
            return Err(socket);
        }
        self.waiting.push_back(QueuedClient { socket, address, since: Instant::now() });
        Ok(self.waiting.len())
    }

    /// Takes the first client that is still there, and moves those before it into `dismissed`.
    pub(super) fn pop(&mut self, dismissed: &mut Vec<Dismissal>) -> Option<QueuedClient> {
        loop {
            let client = self.waiting.pop_front()?;
            if !client.is_gone() {
                return Some(client);
            }
            dismissed.push(Dismissal { client, reason: DequeueReason::Gone });
        }
    }

    /// Takes out the clients that are gone, and those that have waited for too long.
    pub(super) fn sweep(&mut self) -> Vec<Dismissal> {
        let mut dismissed = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some(client) = self.waiting.pop_front() else { break };
            let is_late = self.timeout.is_some_and(|timeout| client.since.elapsed() >= timeout);
            match (client.is_gone(), is_late) {
                (true, _) => dismissed.push(Dismissal { client, reason: DequeueReason::Gone }),
                (_, true) => dismissed.push(Dismissal { client, reason: DequeueReason::Refused(Code::Busy) }),
                _ => self.waiting.push_back(client),
            }
        }
        dismissed
    }

    /// Takes out all clients, to be refused with `code`.
    pub(super) fn clear(&mut self, code: Code) -> Vec<Dismissal> {
        let all = self.waiting.drain(..);
        all.map(|client| Dismissal { client, reason: DequeueReason::Refused(code) }).collect()
    }

    /// Time until [`Queue::sweep`] is due.
    pub(super) fn sweep_interval(&self) -> Duration {
        let each = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let interval = SWEEP_INTERVAL.saturating_add(SWEEP_INTERVAL_EACH.saturating_mul(each));
        let oldest = self.waiting.front().zip(self.timeout);
        let rest = oldest.map(|(client, timeout)| timeout.saturating_sub(client.since.elapsed()));
        rest.map_or(interval, |rest| rest.min(interval)).max(Duration::from_millis(1))
    }
}

impl Dismissal {
    pub(super) const fn address(&self) -> SocketAddr {
        self.client.address
    }
}

impl QueuedClient {
    /// Whether the client has closed or reset the connection. One that has sent something and then ended its sending side
    /// counts as still there: it may well wait for a response, and nothing tells it from one that has closed.
    fn is_gone(&self) -> bool {
        match sys::peek_now(&self.socket, &mut [0; 1]) {
            Ok(0) => true,
            // A reset does not take away what came before it.
            Ok(_) => !matches!(self.socket.take_error(), Ok(None)),
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

// Linux alone tells that the end has come without taking note of it.
#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::{Admission, DequeueReason, Queue, QueuedClient};

    fn queue(length: usize, timeout: Option<Duration>) -> Queue {
        Queue::new(Admission::Queue { length, timeout })
    }

    /// Puts a client into `queue`.
    fn join(queue: &mut Queue) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (socket, address) = listener.accept().expect("accepted");
        queue.push(socket.into(), address).expect("room");
        client
    }

    /// Whether the end or the reset has arrived, without taking note of it.
    fn has_ended(client: &QueuedClient) -> bool {
        let mut polled = [PollFd::new(&client.socket, PollFlags::RDHUP)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    fn wait_until(happens: impl Fn() -> bool) {
        let started = Instant::now();
        while !happens() {
            assert!(started.elapsed() < Duration::from_secs(30), "it does not happen");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn clients_that_are_gone_are_passed_over_and_half_closed_ones_are_not() {
        let mut queue = queue(8, None);
        let (closed, reset, mut half_closed, stays) =
            (join(&mut queue), join(&mut queue), join(&mut queue), join(&mut queue));
        drop(closed);
        (&reset).write_all(b"never mind").expect("sent");
        socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(reset);
        half_closed.write_all(b"hello").expect("sent");
        half_closed.shutdown(Shutdown::Write).expect("shut down");
        wait_until(|| queue.waiting.iter().take(2).all(has_ended));
        let mut gone = Vec::new();
        let next = queue.pop(&mut gone).expect("a client");
        assert_eq!(next.address, half_closed.local_addr().expect("an address"));
        assert_eq!(gone.iter().map(|one| one.reason).collect::<Vec<_>>(), [DequeueReason::Gone; 2]);
        let next = queue.pop(&mut gone).expect("a client");
        assert_eq!(next.address, stays.local_addr().expect("an address"));
        assert!(queue.pop(&mut gone).is_none() && gone.len() == 2);
    }

    #[test]
    fn a_sweep_keeps_the_order() {
        let mut queue = queue(8, Some(Duration::from_secs(60)));
        let mut clients: Vec<_> = (0..5).map(|_| join(&mut queue)).collect();
        drop(clients.remove(2));
        wait_until(|| has_ended(&queue.waiting[2]));
        assert_eq!(queue.sweep().len(), 1);
        for client in &clients {
            let next = queue.pop(&mut Vec::new()).expect("a client");
            assert_eq!(next.address, client.local_addr().expect("an address"));
        }
    }
}
