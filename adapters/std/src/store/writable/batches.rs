//! Batches of what is done together: what belongs to the next one, and who does it.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most that is done together.
const MAX_LEN: usize = 4_096;

/// What waits to be done, and how much more is expected.
#[derive(Debug)]
pub(super) struct Batches<T> {
    queue: Mutex<Queue<T>>,
    /// The thread that leads need not wait any more.
    is_enough: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: Vec<T>,
    /// How many are about to be added.
    expected: usize,
    /// A thread does what waits.
    is_led: bool,
    /// That thread waits for what is expected: for all of it until then, and for the greater part of it afterwards.
    held_until: Option<Instant>,
}

/// Something that is about to be added to a batch. Dropped once it was, or if it never will be.
#[derive(Debug)]
pub(super) struct Expected<T>(Arc<Batches<T>>);

impl<T> Batches<T> {
    /// Nothing waits.
    pub fn new() -> Arc<Self> {
        let queue = Queue { waiting: Vec::new(), expected: 0, is_led: false, held_until: None };
        Arc::new(Self { queue: Mutex::new(queue), is_enough: Condvar::new() })
    }

    /// Announces something.
    pub fn expect(self: &Arc<Self>) -> Expected<T> {
        self.lock().expected += 1;
        Expected(Arc::clone(self))
    }

    /// Adds something. Returns whether the caller has to lead: to call [`Batches::next`] until that returns `None`.
    pub fn push(&self, item: T) -> bool {
        self.push_all([item])
    }

    /// The same for several at once.
    pub fn push_all(&self, items: impl IntoIterator<Item = T>) -> bool {
        let mut queue = self.lock();
        queue.waiting.extend(items);
        self.let_go(&queue);
        !mem::replace(&mut queue.is_led, true)
    }

    /// What is done next. Each batch takes about as long, however much is in it. So this waits for what is expected: a quarter
    /// of `patience` for all of it, and all of `patience` while more is expected than waits. `None` where nothing waits and
    /// `is_done`: then no thread leads any more.
    pub fn next(&self, is_done: bool, patience: Duration) -> Option<Vec<T>> {
        let began = Instant::now();
        let mut queue = self.lock();
        if queue.waiting.is_empty() && is_done {
            queue.is_led = false;
            return None;
        }
        queue.held_until = Some(began + patience / 4);
        loop {
            let waited = began.elapsed();
            let limit = if waited < patience / 4 { patience / 4 } else { patience };
            let left = limit.saturating_sub(waited);
            if queue.is_enough(waited >= patience / 4) || left.is_zero() {
                break;
            }
            queue = self.is_enough.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.held_until = None;
        let len = queue.waiting.len().min(MAX_LEN);
        Some(queue.waiting.drain(..len).collect())
    }

    /// Drops what waits where the thread that leads has ended early: no other thread would do it.
    pub fn give_up(&self) {
        let mut queue = self.lock();
        (queue.is_led, queue.held_until) = (false, None);
        queue.waiting.clear();
    }

    fn let_go(&self, queue: &Queue<T>) {
        if let Some(until) = queue.held_until
            && queue.is_enough(Instant::now() >= until)
        {
            self.is_enough.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Queue<T> {
    /// Whether there is nothing to wait for; where it `is_late`, nothing that is worth it.
    fn is_enough(&self, is_late: bool) -> bool {
        let worth = if is_late { self.waiting.len() } else { 0 };
        self.expected <= worth || self.waiting.len() >= MAX_LEN
    }
}

impl<T> Drop for Expected<T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.expected = queue.expected.saturating_sub(1);
        self.0.let_go(&queue);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::{Batches, MAX_LEN};

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn who_adds_the_first_one_leads_until_nothing_waits() {
        let batches = Batches::new();
        assert!(batches.push(1));
        assert!(!batches.push(2));
        assert_eq!(batches.next(true, LONG), Some(vec![1, 2]), "nothing else is expected");
        assert!(!batches.push(3));
        assert_eq!(batches.next(false, LONG), Some(vec![3]));
        assert_eq!(batches.next(false, LONG), Some(vec![]), "what was done last is not complete");
        assert_eq!(batches.next(true, LONG), None);
        assert!(batches.push(4));
        batches.give_up();
        assert!(batches.push(5));
        assert_eq!(batches.next(true, LONG), Some(vec![5]));
    }

    #[test]
    fn a_batch_waits_for_all_that_is_expected() {
        let batches = Batches::new();
        let [first, second, never] = [(); 3].map(|()| batches.expect());
        assert!(batches.push(1));
        drop(first);
        let taken = thread::scope(|scope| {
            let leader = scope.spawn(|| batches.next(true, LONG));
            batches.push(2);
            drop(second);
            drop(never);
            leader.join().expect("no panic")
        });
        assert_eq!(taken, Some(vec![1, 2]));
    }

    #[test]
    fn a_batch_waits_for_most_of_what_is_expected_and_no_longer_than_the_last_one_took() {
        let batches = Batches::new();
        let _stalled = [(); 2].map(|()| batches.expect());
        for item in 0..2 {
            batches.push(item);
        }
        let short = Duration::from_millis(4);
        assert_eq!(batches.next(true, 4 * short), Some(vec![0, 1]), "as many wait as are expected");
        batches.push(2);
        assert_eq!(batches.next(true, short), Some(vec![2]), "the time is over");
        assert_eq!(batches.next(true, Duration::ZERO), None);
    }

    #[test]
    fn a_batch_is_limited() {
        let batches = Batches::new();
        let _expected = batches.expect();
        for item in 0..=MAX_LEN {
            batches.push(item);
        }
        assert_eq!(batches.next(true, LONG).map(|batch| batch.len()), Some(MAX_LEN));
        assert_eq!(batches.next(true, Duration::ZERO), Some(vec![MAX_LEN]));
    }
}
