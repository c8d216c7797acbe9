//! A crowd that comes at once to servers with few places, by a virtual clock: the real estimates of the server and the real
//! pauses of the client.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use coracle_core::{Code, Failure};

use super::attempt::FailedAttempt;
use super::backoff::{Backoff, RetryPolicy};
use super::error::Error;
use crate::server::retry_estimate::{HELD, MAX_HELD, RetryEstimate};

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
    Leaves {
        server: usize,
        admitted: Duration,
    },
    /// One that was held without a place.
    IsDismissed(usize),
}

/// How many clients give up, and when the last one was served.
fn crowd(servers: &Servers, failed_with: Failure, tells: bool) -> (usize, Duration) {
    let outcome = simulate(servers, &Crowd { clients: CROWD, within: Duration::from_secs(2) }, failed_with, tells);
    (outcome.gave_up, outcome.last)
}

struct Crowd {
    clients: usize,
    /// The time in which they come.
    within: Duration,
}

struct Outcome {
    gave_up: usize,
    /// When the last one was served.
    last: Duration,
    /// How long each took that was served, from the shortest to the longest.
    times: Vec<Duration>,
}

fn simulate(servers: &Servers, crowd: &Crowd, failed_with: Failure, tells: bool) -> Outcome {
    let Crowd { clients, within } = *crowd;
    let came = |client: usize| within * u32::try_from(client).expect("few") / u32::try_from(clients).expect("few");
    let began = Instant::now();
    let mut estimates: Vec<_> = (0..servers.count).map(|_| RetryEstimate::new(servers.places, began)).collect();
    let mut live = vec![0; servers.count];
    let mut backoffs = vec![Backoff::new(RetryPolicy::new()); clients];
    let error = Error::Connection { peer: String::new(), error: None, failure: failed_with };
    let mut failed = FailedAttempt::new(error);
    let mut events = BinaryHeap::new();
    let mut happens = Vec::new();
    let add = |events: &mut BinaryHeap<_>, happens: &mut Vec<Happens>, at: Duration, event| {
        events.push(Reverse((at, happens.len())));
        happens.push(event);
    };
    for client in 0..clients {
        add(&mut events, &mut happens, came(client), Happens::Comes(client));
    }
    let mut times = Vec::new();
    let (mut served, mut gave_up, mut last) = (0_u32, 0, Duration::ZERO);
    let mut held = vec![VecDeque::new(); servers.count];
    while let Some(Reverse((now, event))) = events.pop() {
        let (client, server) = match happens[event] {
            Happens::Leaves { server, admitted } => {
                live[server] -= 1;
                last = now;
                estimates[server].freed(now - admitted, began + now);
                let Some(next) = held[server].pop_front() else { continue };
                (next, server)
            }
            Happens::IsDismissed(client) => {
                // Who came first has waited longest.
                let is_first = |held: &VecDeque<usize>| held.front() == Some(&client);
                let Some(server) = held.iter().position(is_first) else { continue };
                held[server].pop_front();
                (client, server)
            }
            Happens::Comes(client) => {
                // Where they are alike, one after the other.
                let server = (0..servers.count).min_by_key(|one| (live[*one], (*one + event) % servers.count));
                let server = server.expect("at least one");
                let is_full = live[server] == servers.places;
                if is_full
                    && held[server].len() < MAX_HELD
                    && estimates[server].is_soon(held[server].len(), began + now)
                {
                    held[server].push_back(client);
                    add(&mut events, &mut happens, now + HELD, Happens::IsDismissed(client));
                    continue;
                }
                (client, server)
            }
        };
        if live[server] < servers.places {
            live[server] += 1;
            served += 1;
            estimates[server].taken(began + now);
            // From half of the average to one and a half.
            let share = served.wrapping_mul(2_654_435_761) >> 16;
            let service = servers.service / 2 + servers.service * share / 65_536;
            times.push(now + service - came(client));
            add(&mut events, &mut happens, now + service, Happens::Leaves { server, admitted: now });
            continue;
        }
        let told = estimates[server].book(held[server].len(), began + now);
        failed.retry_ms = tells.then(|| u32::try_from(told.as_millis()).expect("at most 10 minutes"));
        match backoffs[client].next_pause(&failed, false) {
            Some(pause) => add(&mut events, &mut happens, now + pause, Happens::Comes(client)),
            None => gave_up += 1,
        }
    }
    assert_eq!(served as usize + gave_up, clients);
    println!("{failed_with}, told: {tells}: {gave_up} of {clients} give up, the last one is served after {last:?}");
    times.sort();
    Outcome { gave_up, last, times }
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

/// 2,000 clients in a second, and 64 places. Some are fewer than are served meanwhile, some more, and some up to eighteen times as
/// many: as at a link of 1 Gbit/s, where each fetches a mebibyte. Where they are four times as many, half of them are served before
/// the others' turn comes, so that the median is that of the faster half.
#[test]
fn c20_the_slowest_of_a_crowd_takes_little_longer_than_most() {
    for (service_ms, most) in [(16, 2.0), (32, 2.0), (40, 2.5), (64, 3.2), (128, 4.0), (192, 2.5), (573, 2.5)] {
        let servers = Servers { count: 1, places: 64, service: Duration::from_millis(service_ms) };
        let crowd = Crowd { clients: 2_000, within: Duration::from_secs(1) };
        let Outcome { gave_up, last, times } = simulate(&servers, &crowd, Failure::Ended(Code::Busy), true);
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        let ratio = slowest.as_secs_f64() / median.as_secs_f64();
        println!(
            "{service_ms} ms each: all are served after {last:.1?}, the slowest took {ratio:.1} x the median of {median:.0?}"
        );
        assert!(gave_up == 0 && ratio < most, "{gave_up} give up, {ratio} x the median");
        let steady = servers.service * 2_000 / 64;
        let least = steady.max(crowd.within + servers.service);
        let total = last.as_secs_f64() / least.as_secs_f64();
        assert!(total < 1.2, "{total} x the time that it takes at least");
    }
}
