//! Clients that wait for a place, in the order in which they came.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_core::Code;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::Socket;

use super::House;
use super::limits::Admission;
use super::observer::{Event, WaitEnd};
use super::seat::Seat;
use super::visit::refuse;

/// How often it is looked who is gone, and a little more for each client, so that looking takes a small part of the time.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
const LOOK_PAUSE_EACH: Duration = Duration::from_micros(50);

/// The clients that wait. It knows of no lock and starts no thread.
#[derive(Debug)]
pub(super) struct Queue {
    length: usize,
    timeout: Option<Duration>,
    waiting: VecDeque<Waiting>,
}

/// A client without a place.
#[derive(Debug)]
pub(super) struct Waiting {
    pub socket: Socket,
    pub address: SocketAddr,
    pub since: Instant,
}

/// The client whose turn it is.
#[derive(Debug)]
pub(super) struct Called {
    pub seat: Arc<Seat>,
    pub waited: Duration,
}

/// A client that is no longer to wait, and why.
#[derive(Debug)]
pub(super) struct Dismissed {
    client: Waiting,
    end: WaitEnd,
}

impl Queue {
    /// `None` where nobody waits: newcomers are told `busy`.
    pub(super) fn new(admission: Admission) -> Option<Self> {
        match admission {
            Admission::Busy => None,
            Admission::Queue { length, timeout } => Some(Self { length, timeout, waiting: VecDeque::new() }),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Puts a client at the end; gives its socket back where there is no room.
    pub(super) fn push(&mut self, socket: Socket, address: SocketAddr) -> Result<usize, Socket> {
        if self.waiting.len() >= self.length {
            return Err(socket);
        }
        self.waiting.push_back(Waiting { socket, address, since: Instant::now() });
        Ok(self.waiting.len())
    }

    /// Takes the client that has waited for longest, and into `dismissed` those before it that are gone.
    pub(super) fn pop(&mut self, dismissed: &mut Vec<Dismissed>) -> Option<Waiting> {
        loop {
            let client = self.waiting.pop_front()?;
            if !client.is_gone() {
                return Some(client);
            }
            dismissed.push(Dismissed { client, end: WaitEnd::Gone });
        }
    }

    /// Takes out who is gone, and who has waited for too long.
    pub(super) fn sweep(&mut self) -> Vec<Dismissed> {
        let mut dismissed = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some(client) = self.waiting.pop_front() else { break };
            let is_late = self.timeout.is_some_and(|timeout| client.since.elapsed() >= timeout);
            match (client.is_gone(), is_late) {
                (true, _) => dismissed.push(Dismissed { client, end: WaitEnd::Gone }),
                (_, true) => dismissed.push(Dismissed { client, end: WaitEnd::Refused(Code::Busy) }),
                _ => self.waiting.push_back(client),
            }
        }
        dismissed
    }

    /// Takes out everybody, to be told `code`.
    pub(super) fn clear(&mut self, code: Code) -> Vec<Dismissed> {
        let all = self.waiting.drain(..);
        all.map(|client| Dismissed { client, end: WaitEnd::Refused(code) }).collect()
    }

    /// How long until [`Queue::sweep`] should be called again.
    pub(super) fn pause(&self) -> Duration {
        let each = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let look = LOOK_PAUSE.saturating_add(LOOK_PAUSE_EACH.saturating_mul(each));
        let oldest = self.waiting.front().zip(self.timeout);
        let rest = oldest.map(|(client, timeout)| timeout.saturating_sub(client.since.elapsed()));
        rest.map_or(look, |rest| rest.min(look)).max(Duration::from_millis(1))
    }
}

impl Dismissed {
    pub(super) const fn address(&self) -> SocketAddr {
        self.client.address
    }
}

impl Waiting {
    /// Whether nobody is there any more. A client that has sent something and then ended its sending side is still there:
    /// it may well wait for an answer, and nothing tells it from one that has closed.
    fn is_gone(&self) -> bool {
        match rustix::net::recv(&self.socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => true,
            // A reset does not take away what came before it.
            Ok(_) => !matches!(self.socket.take_error(), Ok(None)),
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }
}

/// Dismisses clients that wait in vain, until the server is being stopped and nobody waits any more.
pub(super) fn attend(house: &House<'_>) {
    while let Some(dismissed) = house.hall.next_dismissed() {
        dismiss(house, dismissed);
    }
}

/// Tells clients that they are not to wait any more.
pub(super) fn dismiss(house: &House<'_>, dismissed: Vec<Dismissed>) {
    for Dismissed { client: Waiting { socket, address, since }, end } in dismissed {
        house.tell(&Event::Dequeued { address, end, waited: since.elapsed() });
        if let WaitEnd::Refused(code) = end {
            house.tell(&Event::Refused { address, code, is_over_share: false });
            refuse(house, socket, code);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::super::hall::{Chore, Hall, Verdict};
    use super::super::limits::Limits;
    use super::super::listen::{Inherited, Listener};
    use super::{Admission, Queue, WaitEnd, Waiting};

    fn queue(length: usize, timeout: Option<Duration>) -> Queue {
        Queue::new(Admission::Queue { length, timeout }).expect("a queue")
    }

    /// Puts a client into `queue`.
    fn join(queue: &mut Queue) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (socket, address) = listener.accept().expect("accepted");
        queue.push(socket.into(), address).expect("room");
        client
    }

    /// Whether its end or its reset has arrived, without taking note of it.
    fn has_ended(client: &Waiting) -> bool {
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
    fn who_is_gone_is_passed_over_and_who_still_listens_is_not() {
        let mut queue = queue(8, None);
        let (closed, reset, mut told_all, stays) =
            (join(&mut queue), join(&mut queue), join(&mut queue), join(&mut queue));
        drop(closed);
        (&reset).write_all(b"never mind").expect("sent");
        socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(reset);
        told_all.write_all(b"hello").expect("sent");
        told_all.shutdown(Shutdown::Write).expect("shut down");
        wait_until(|| queue.waiting.iter().take(2).all(has_ended));
        let mut gone = Vec::new();
        let next = queue.pop(&mut gone).expect("somebody is there");
        assert_eq!(next.address, told_all.local_addr().expect("an address"));
        assert_eq!(gone.iter().map(|one| one.end).collect::<Vec<_>>(), [WaitEnd::Gone; 2]);
        let next = queue.pop(&mut gone).expect("somebody is there");
        assert_eq!(next.address, stays.local_addr().expect("an address"));
        assert!(queue.pop(&mut gone).is_none() && gone.len() == 2);
    }

    /// Between one client's leaving and the next one's being called, a newcomer finds a free place that is not for it.
    #[test]
    fn nobody_overtakes_who_waits() {
        let admission = Admission::Queue { length: 8, timeout: None };
        let limits = Limits { max_clients: 1, admission, ..Limits::default() };
        let hall = Hall::new(&limits);
        let inherited = Inherited { read_limit: Duration::from_secs(20), write_limit: None };
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address"), false, inherited).expect("bound");
        let address = listener.address;
        assert!(hall.open(vec![listener]));
        let Some(Chore::Accept(listener)) = hall.next_chore() else { panic!("there is a listener") };
        let arrive = || {
            let client = TcpStream::connect(address).expect("connected");
            let (socket, address) = listener.accept().expect("accepted");
            (client, hall.admit(socket, address))
        };
        let (_first, Verdict::Served(seat)) = arrive() else { panic!("there is a place") };
        let (second, Verdict::Queued(1)) = arrive() else { panic!("there is none") };
        assert!(hall.next_queued().0.is_none(), "there is no place yet");
        hall.leave(&seat);
        let (_third, Verdict::Queued(2)) = arrive() else { panic!("the second one comes first") };
        let called = hall.next_queued().0.expect("a place");
        assert_eq!(called.seat.address, second.local_addr().expect("an address"));
        assert!(hall.next_queued().0.is_none());
        assert_eq!((hall.live(), hall.queued()), (1, 1));
    }

    #[test]
    fn sweeping_keeps_the_order() {
        let mut queue = queue(8, Some(Duration::from_secs(60)));
        let mut clients: Vec<_> = (0..5).map(|_| join(&mut queue)).collect();
        drop(clients.remove(2));
        wait_until(|| has_ended(&queue.waiting[2]));
        assert_eq!(queue.sweep().len(), 1);
        for client in &clients {
            let next = queue.pop(&mut Vec::new()).expect("somebody is there");
            assert_eq!(next.address, client.local_addr().expect("an address"));
        }
    }
}
