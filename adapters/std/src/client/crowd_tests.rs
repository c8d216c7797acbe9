//! A crowd that comes at once to a server with few places, by a virtual clock: the real estimates of the server and the real
//! pauses of the client.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use coracle_core::{Code, Failure};

use super::attempt::FailedAttempt;
use super::backoff::{Backoff, RetryPolicy};
use super::error::Error;
use crate::server::retry_estimate::RetryEstimate;

const CROWD: usize = 100_000;
const PLACES: usize = 50;
/// How long a client is served, on average: 500 clients a second.
const SERVICE: Duration = Duration::from_millis(100);

enum Happens {
    Comes(usize),
    Leaves { admitted: Duration },
}

/// How many clients give up, and when the last one was served.
fn crowd(failed_with: Failure, tells: bool) -> (usize, Duration) {
    let began = Instant::now();
    let mut estimate = RetryEstimate::new(PLACES, began);
    let mut backoffs = vec![Backoff::new(RetryPolicy::new()); CROWD];
    let error = Error::Connection { peer: String::new(), error: None, failure: failed_with };
    let mut failed = FailedAttempt::new(error);
    let mut events = BinaryHeap::new();
    let mut happens = Vec::new();
    let add = |events: &mut BinaryHeap<_>, happens: &mut Vec<Happens>, at: Duration, event| {
        events.push(Reverse((at, happens.len())));
        happens.push(event);
    };
    for client in 0..CROWD {
        // Within two seconds.
        add(&mut events, &mut happens, Duration::from_micros(20 * client as u64), Happens::Comes(client));
    }
    let (mut live, mut served, mut gave_up, mut last) = (0, 0_u32, 0, Duration::ZERO);
    while let Some(Reverse((now, event))) = events.pop() {
        match happens[event] {
            Happens::Leaves { admitted } => {
                live -= 1;
                last = now;
                estimate.freed(now - admitted, began + now);
            }
            Happens::Comes(_) if live < PLACES => {
                live += 1;
                served += 1;
                estimate.taken(began + now);
                // From half of the average to one and a half.
                let service = SERVICE / 2 + SERVICE * (served.wrapping_mul(2_654_435_761) >> 16) / 65_536;
                add(&mut events, &mut happens, now + service, Happens::Leaves { admitted: now });
            }
            Happens::Comes(client) => {
                let told = estimate.book(0, began + now);
                failed.retry_ms = tells.then(|| u32::try_from(told.as_millis()).expect("at most 10 minutes"));
                match backoffs[client].next_pause(&failed, false) {
                    Some(pause) => add(&mut events, &mut happens, now + pause, Happens::Comes(client)),
                    None => gave_up += 1,
                }
            }
        }
    }
    assert_eq!(served as usize + gave_up, CROWD);
    println!("{failed_with}, told: {tells}: {gave_up} of {CROWD} give up, the last one is served after {last:?}");
    (gave_up, last)
}

#[test]
fn c20_nobody_in_a_crowd_of_100_000_gives_up() {
    let (gave_up, last) = crowd(Failure::Ended(Code::Busy), true);
    // The places are taken for 200 s at least.
    assert!(
        gave_up == 0 && last < Duration::from_secs(300),
        "{gave_up} give up, the last one is served after {last:?}"
    );
    // A server that does not tell.
    let (gave_up, last) = crowd(Failure::Ended(Code::Busy), false);
    assert!(
        gave_up == 0 && last < Duration::from_secs(400),
        "{gave_up} give up, the last one is served after {last:?}"
    );
    // Clients that count what they are told as a failure.
    let (gave_up, _) = crowd(Failure::Closed, false);
    assert!(gave_up > CROWD / 2, "{gave_up} give up");
}
