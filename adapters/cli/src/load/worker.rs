//! One client: a thread that makes its share of the requests.

use std::thread;
use std::time::{Duration, Instant};

use super::connection::{ByteCounts, ClientConnection};
use super::coordination::{StartBarrier, TurnQueue};
use super::plan::{Plan, StopCondition};
use super::report::ClientStats;

/// The pause after a failed connect, without which a client would spin while there is no server.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// A client.
pub struct Worker<'p> {
    plan: &'p Plan,
    number: usize,
    barrier: &'p StartBarrier,
    turns: &'p TurnQueue,
    connection: Option<ClientConnection>,
    stats: ClientStats,
}

impl<'p> Worker<'p> {
    pub fn new(plan: &'p Plan, number: usize, barrier: &'p StartBarrier, turns: &'p TurnQueue) -> Self {
        Self { plan, number, barrier, turns, connection: None, stats: ClientStats::default() }
    }

    /// Makes all requests of this client.
    pub fn run(mut self) -> ClientStats {
        if !self.plan.new_connection {
            // A failure comes again when the connection is needed, and is counted then.
            self.connection = ClientConnection::connect(self.plan).ok();
        }
        let Some(start) = self.barrier.wait() else { return self.stats };
        self.stats.start(start);
        let permit = self.plan.serial.map(|_| self.turns.wait_for(self.number));
        let mut sent = 0;
        while let Some(due) = self.next_due(sent, start) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.request(due);
            sent += 1;
            if let Some(pause) = self.plan.serial {
                thread::sleep(pause);
            }
        }
        // Disconnects before the next client's turn, which may need the place at the server.
        self.connection = None;
        drop(permit);
        self.stats
    }

    /// When the next request is due, after `sent` ones; `None` where there is none. Without a rate, it is due now.
    fn next_due(&self, sent: u64, start: Instant) -> Option<Instant> {
        let (number, clients) = (wide(self.number), wide(self.plan.clients));
        let now = Instant::now();
        let due = match self.plan.rate {
            // The schedule of all clients is dealt out in turn.
            Some(rate) => start + Duration::try_from_secs_f64((sent * clients + number) as f64 / rate).ok()?,
            None => now,
        };
        let goes_on = match self.plan.stop {
            StopCondition::Requests(requests) => sent < requests / clients + u64::from(number < requests % clients),
            StopCondition::After(duration) => due.saturating_duration_since(start) < duration,
        };
        goes_on.then_some(due)
    }

    /// Makes one request, whose latency counts from `due`.
    fn request(&mut self, due: Instant) {
        if self.plan.new_connection {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => ClientConnection::connect(self.plan),
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(kind) => {
                self.stats.record_failure(kind, ByteCounts::default());
                return thread::sleep(RECONNECT_PAUSE);
            }
        };
        match connection.request(&self.plan.request) {
            (Ok(()), bytes) => {
                self.stats.record_success(due.elapsed(), bytes);
                self.connection = Some(connection);
            }
            (Err(kind), bytes) => self.stats.record_failure(kind, bytes),
        }
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::plan::RequestKind;
    use super::{Plan, StartBarrier, StopCondition, TurnQueue, Worker};

    fn plan(clients: usize, stop: StopCondition, rate: Option<f64>) -> Plan {
        Plan {
            addresses: Vec::new(),
            channel: None,
            request: RequestKind::Hello,
            clients,
            stop,
            new_connection: false,
            rate,
            serial: None,
            connect_timeout: None,
            stall_timeout: None,
        }
    }

    #[test]
    fn requests_are_shared_out() {
        for (clients, requests) in [(1, 1), (3, 10), (7, 3), (64, 6400)] {
            let plan = plan(clients, StopCondition::Requests(requests), None);
            let (barrier, turns, start) = (StartBarrier::default(), TurnQueue::default(), Instant::now());
            let share = |number| {
                let worker = Worker::new(&plan, number, &barrier, &turns);
                (0..).take_while(|sent| worker.next_due(*sent, start).is_some()).count()
            };
            let shares: Vec<usize> = (0..clients).map(share).collect();
            assert_eq!(shares.iter().sum::<usize>() as u64, requests);
            assert!(shares.iter().max().expect("some") - shares.iter().min().expect("some") <= 1);
        }
    }

    #[test]
    fn a_rate_is_a_schedule() {
        let plan = plan(4, StopCondition::After(Duration::from_secs(2)), Some(10.0));
        let (barrier, turns, start) = (StartBarrier::default(), TurnQueue::default(), Instant::now());
        let due = |number, sent| {
            let due = Worker::new(&plan, number, &barrier, &turns).next_due(sent, start)?;
            Some((due - start).as_millis())
        };
        assert_eq!((due(0, 0), due(1, 0), due(3, 0), due(0, 1)), (Some(0), Some(100), Some(300), Some(400)));
        assert_eq!((due(3, 4), due(0, 5)), (Some(1900), None));
    }
}
