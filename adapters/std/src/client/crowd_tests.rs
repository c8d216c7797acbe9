//! A crowd that comes at once to servers with few places, by a virtual clock: the real estimates of the server and the real
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

/// What the crowd comes to: servers behind a balancer, which lets each client in where there are fewest.
struct Servers {
    count: usize,
    /// Of each.
    places: usize,
    /// How long a client is served, on average.
    service: Duration,
}

/// One that serves 500 clients a second.
const ONE: Servers = Servers { count: 1, places: 50, service: Duration::from_millis(100) };

enum Happens {
    Comes(usize),
    Leaves { server: usize, admitted: Duration },
}

/// How many clients give up, and when the last one was served.
fn crowd(servers: &Servers, failed_with: Failure, tells: bool) -> (usize, Duration) {
    let began = Instant::now();
    let mut estimates: Vec<_> = (0..servers.count).map(|_| RetryEstimate::new(servers.places, began)).collect();
    let mut live = vec![0; servers.count];
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
    let (mut served, mut gave_up, mut last) = (0_u32, 0, Duration::ZERO);
    while let Some(Reverse((now, event))) = events.pop() {
        match happens[event] {
            Happens::Leaves { server, admitted } => {
                live[server] -= 1;
                last = now;
                estimates[server].freed(now - admitted, began + now);
            }
            Happens::Comes(client) => {
                // Where they are alike, one after the other.
                let server = (0..servers.count).min_by_key(|one| (live[*one], (*one + event) % servers.count));
                let server = server.expect("at least one");
                if live[server] < servers.places {
                    live[server] += 1;
                    served += 1;
                    estimates[server].taken(began + now);
                    // From half of the average to one and a half.
                    let share = served.wrapping_mul(2_654_435_761) >> 16;
                    let service = servers.service / 2 + servers.service * share / 65_536;
                    add(&mut events, &mut happens, now + service, Happens::Leaves { server, admitted: now });
                    continue;
                }
                let told = estimates[server].book(0, began + now);
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
    let (gave_up, last) = crowd(&ONE, Failure::Ended(Code::Busy), true);
    // The places are taken for 200 s at least.
    assert!(
        gave_up == 0 && last < Duration::from_secs(300),
        "{gave_up} give up, the last one is served after {last:?}"
    );
    // A server that does not tell.
    let (gave_up, last) = crowd(&ONE, Failure::Ended(Code::Busy), false);
    assert!(
        gave_up == 0 && last < Duration::from_secs(400),
        "{gave_up} give up, the last one is served after {last:?}"
    );
    // Clients that count what they are told as a failure.
    let (gave_up, _) = crowd(&ONE, Failure::Closed, false);
    assert!(gave_up > CROWD / 2, "{gave_up} give up");
}

/// The calculation of SCALE.md: a mebibyte for each of 100,000 devices, from four servers with 1 Gbit/s each, of which TCP leaves
/// 117 MB/s.
#[test]
fn c20_a_crowd_of_100_000_is_served_by_four_replicas() {
    let each = Duration::from_secs_f64(f64::from(1 << 20) / 117e6);
    let ideal = each * u32::try_from(CROWD).expect("few") / 4;
    for (places, most) in [(256, 1.25), (1024, 1.25)] {
        let servers = Servers { count: 4, places: places as usize, service: each * places };
        let (gave_up, last) = crowd(&servers, Failure::Ended(Code::Busy), true);
        let ratio = last.as_secs_f64() / ideal.as_secs_f64();
        println!("4 x {places} places: {ratio:.2} x the {ideal:.0?} that their links take");
        assert!(gave_up == 0 && ratio < most, "{gave_up} give up, {ratio} x the time of the links");
    }
}
