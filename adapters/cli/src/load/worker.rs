//! One client's life.

use std::thread;
use std::time::{Duration, Instant};

use super::gate::{Gate, Turns};
use super::link::Link;
use super::report::Tally;
use super::{End, Plan};

/// After a connection that could not be made: a server that is not there would be asked without end otherwise.
const PAUSE: Duration = Duration::from_millis(10);

/// A client.
pub struct Worker<'p> {
    plan: &'p Plan,
    number: usize,
    gate: &'p Gate,
    turns: &'p Turns,
    link: Option<Link>,
    tally: Tally,
}

impl<'p> Worker<'p> {
    pub fn new(plan: &'p Plan, number: usize, gate: &'p Gate, turns: &'p Turns) -> Self {
        Self { plan, number, gate, turns, link: None, tally: Tally::default() }
    }

    /// Asks all that is its share.
    pub fn work(mut self) -> Tally {
        if !self.plan.new_connection {
            // If it fails, it fails again when it is needed, and is counted then.
            self.link = Link::connect(self.plan).ok();
        }
        let Some(start) = self.gate.pass() else { return self.tally };
        self.tally.begin(start);
        let turn = self.plan.serial.map(|_| self.turns.wait_for(self.number));
        let mut asked = 0;
        while let Some(due) = self.next_due(asked, start) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.ask(due);
            asked += 1;
            if let Some(pause) = self.plan.serial {
                thread::sleep(pause);
            }
        }
        // Before the turn: the next client may need the place.
        self.link = None;
        drop(turn);
        self.tally
    }

    /// When the next request has to be begun; `None`: there is none. Where nothing says when, it is now.
    fn next_due(&self, asked: u64, start: Instant) -> Option<Instant> {
        let (number, clients) = (wide(self.number), wide(self.plan.clients));
        let now = Instant::now();
        let due = match self.plan.rate {
            // The clients take turns in the schedule, so each has one of its own.
            Some(rate) => start + Duration::try_from_secs_f64((asked * clients + number) as f64 / rate).ok()?,
            None => now,
        };
        let goes_on = match self.plan.end {
            End::Requests(requests) => asked < requests / clients + u64::from(number < requests % clients),
            End::After(duration) => due.saturating_duration_since(start) < duration,
        };
        goes_on.then_some(due)
    }

    /// One request, whose latency counts from `due`.
    fn ask(&mut self, due: Instant) {
        if self.plan.new_connection {
            self.link = None;
        }
        let link = match self.link.take() {
            Some(link) => Ok(link),
            None => Link::connect(self.plan),
        };
        let mut link = match link {
            Ok(link) => link,
            Err(kind) => {
                self.tally.fail(kind, super::link::Brought::default());
                return thread::sleep(PAUSE);
            }
        };
        match link.ask(&self.plan.what) {
            (Ok(()), brought) => {
                self.tally.succeed(due.elapsed(), brought);
                self.link = Some(link);
            }
            (Err(kind), brought) => self.tally.fail(kind, brought),
        }
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::What;
    use super::{End, Gate, Plan, Turns, Worker};

    fn plan(clients: usize, end: End, rate: Option<f64>) -> Plan {
        Plan {
            addresses: Vec::new(),
            what: What::Hello,
            clients,
            end,
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
            let plan = plan(clients, End::Requests(requests), None);
            let (gate, turns, start) = (Gate::default(), Turns::default(), Instant::now());
            let share = |number| {
                let worker = Worker::new(&plan, number, &gate, &turns);
                (0..).take_while(|asked| worker.next_due(*asked, start).is_some()).count()
            };
            let shares: Vec<usize> = (0..clients).map(share).collect();
            assert_eq!(shares.iter().sum::<usize>() as u64, requests);
            assert!(shares.iter().max().expect("some") - shares.iter().min().expect("some") <= 1);
        }
    }

    #[test]
    fn a_rate_is_a_schedule() {
        let plan = plan(4, End::After(Duration::from_secs(2)), Some(10.0));
        let (gate, turns, start) = (Gate::default(), Turns::default(), Instant::now());
        let due = |number, asked| {
            let due = Worker::new(&plan, number, &gate, &turns).next_due(asked, start)?;
            Some((due - start).as_millis())
        };
        assert_eq!((due(0, 0), due(1, 0), due(3, 0), due(0, 1)), (Some(0), Some(100), Some(300), Some(400)));
        assert_eq!((due(3, 4), due(0, 5)), (Some(1900), None));
    }
}
