//! How the kernel's scheduler treats the threads that serve.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::Socket;

use super::hall::Hall;
use crate::clock::coarse_ms;

/// So many waits lie between two looks at how a client is served.
const LOOK_EVERY: u32 = 64;
/// And so many between the first two.
const LOOK_AGAIN: u32 = 8;
/// Who waits no longer than this many milliseconds on the average is asked without a break.
const BUSY_MS: u64 = 4;
/// As many clients as this are a crowd.
const CROWD: usize = 16;
/// For this many milliseconds what one of a crowd has seen is true of all.
const LATELY_MS: u64 = 50;
/// A turn that comes back later than the coarse clock's step counts so much; one that does not takes one away.
const LATE: u32 = 2;
/// With more than that nothing is gained by passing turns on.
const TOO_LATE: u32 = 16;
/// The most looks that are left out after that.
const LONGEST_REST: u32 = 1024;

/// Lets this thread wait for its turn when a client wakes it, instead of interrupting whoever runs (`SCHED_BATCH`,
/// sched(7)): with many clients on few processors the thread that woke it goes on and wakes others, and there are fewer
/// switches from one thread to another. On an idle processor it runs at once, as ever.
///
/// Without effect where somebody has chosen another policy for the process than the usual one, or where the system has
/// none such.
pub(super) fn let_others_finish() {
    #[cfg(target_os = "linux")]
    change(libc::SCHED_OTHER, libc::SCHED_BATCH);
}

/// How the thread of one client takes its turns on a processor.
///
/// A thread that waits has to be woken by whoever sends it something, and from one processor to another that costs more than
/// an answer: with a client program beside the server it is what the program spends most of its time with. So a thread whose
/// client sends without a break, from another processor, lets the threads beside it go first (sched_yield(2)) before it waits.
/// When its turn comes, the next request is there more often than not, and nobody had to wake anybody
/// (`tests/bench/run --only kept`, unpinned). On the processor that the client itself runs on it would take the client's time,
/// and waits at once; but of a crowd some are always there, and all of them do as the others do.
///
/// Where strangers compute on the same processor, each turn passed on is a whole slice of time for them, so who gets its
/// turns back late stops passing them on, for longer each time. Who is alone has nobody to let go first, and interrupts.
#[derive(Debug)]
pub(super) struct Turns {
    /// From the last look to the next.
    waits: u32,
    waits_left: u32,
    looked_ms: Option<u64>,
    passes: bool,
    lateness: u32,
    /// Looks that are left out.
    rest: u32,
    next_rest: u32,
    interrupts: bool,
}

/// When a client was last seen to send from another processor than it is served on, by anybody's look.
#[derive(Debug, Default)]
pub(super) struct Sighting(AtomicU64);

/// What there is to see at a look.
#[derive(Clone, Copy, Debug)]
struct Sight {
    now_ms: u64,
    /// The clients of all threads.
    live: usize,
    /// What came last from the client was taken in by another processor than this one.
    is_apart: bool,
    /// That was seen of somebody.
    is_apart_lately: bool,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            waits: 1,
            waits_left: 1,
            looked_ms: None,
            passes: false,
            lateness: 0,
            rest: 0,
            next_rest: 1,
            interrupts: false,
        }
    }

    /// Before each wait for what `socket` brings, which begins at `now_ms`.
    pub(super) fn before_wait(&mut self, socket: &Socket, hall: &Hall, now_ms: u64) {
        self.waits_left -= 1;
        if self.waits_left == 0 {
            self.look(socket, hall, now_ms);
        }
        if self.passes {
            rustix::thread::sched_yield();
            self.came_back(coarse_ms() != now_ms);
        }
    }

    #[cold]
    fn look(&mut self, socket: &Socket, hall: &Hall, now_ms: u64) {
        let (live, is_apart) = (hall.live(), is_apart(socket));
        if is_apart {
            hall.apart.note(now_ms);
        }
        self.choose(Sight { now_ms, live, is_apart, is_apart_lately: hall.apart.is_recent(now_ms) });
    }

    fn choose(&mut self, sight: Sight) {
        if sight.live <= 1 {
            self.interrupt_others();
        } else {
            self.stop_interrupting();
        }
        let is_busy = self.is_busy(sight.now_ms);
        let gains = sight.live > 1 && (sight.is_apart || sight.live >= CROWD && sight.is_apart_lately);
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        if self.passes {
            self.next_rest = 1;
        }
        self.passes = is_busy && gains;
    }

    /// Whether it was since the last look.
    fn is_busy(&mut self, now_ms: u64) -> bool {
        let is_first = self.looked_ms.is_none();
        let passed_ms = now_ms.saturating_sub(self.looked_ms.replace(now_ms).unwrap_or(0));
        let waits = mem::replace(&mut self.waits, if is_first { LOOK_AGAIN } else { LOOK_EVERY });
        self.waits_left = self.waits;
        !is_first && passed_ms < BUSY_MS * u64::from(waits)
    }

    #[inline(always)]
    fn came_back(&mut self, is_late: bool) {
        self.lateness = if is_late { self.lateness + LATE } else { self.lateness.saturating_sub(1) };
        if self.lateness > TOO_LATE {
            self.keep_turns();
        }
    }

    #[cold]
    fn keep_turns(&mut self) {
        self.passes = false;
        self.lateness = 0;
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
    }

    fn interrupt_others(&mut self) {
        if !self.interrupts {
            self.interrupts = true;
            #[cfg(target_os = "linux")]
            change(libc::SCHED_BATCH, libc::SCHED_OTHER);
        }
    }

    fn stop_interrupting(&mut self) {
        if self.interrupts {
            self.interrupts = false;
            let_others_finish();
        }
    }
}

/// The next client has turns of its own.
impl Drop for Turns {
    fn drop(&mut self) {
        self.stop_interrupting();
    }
}

impl Sighting {
    fn note(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    fn is_recent(&self, now_ms: u64) -> bool {
        let seen_ms = self.0.load(Ordering::Relaxed);
        seen_ms != 0 && now_ms.saturating_sub(seen_ms) < LATELY_MS
    }
}

/// Whether the last segment from the client was taken in by another processor than this one (`SO_INCOMING_CPU`, socket(7)):
/// on loopback that is where the client ran.
#[cfg(target_os = "linux")]
fn is_apart(socket: &Socket) -> bool {
    let taken_in_by = rustix::net::sockopt::socket_incoming_cpu(socket).ok();
    taken_in_by.and_then(|cpu| usize::try_from(cpu).ok()).is_some_and(|cpu| cpu != rustix::thread::sched_getcpu())
}

#[cfg(not(target_os = "linux"))]
fn is_apart(_: &Socket) -> bool {
    false
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "neither rustix nor nix has the call, and thread-priority sets the niceness, too")]
fn change(from: libc::c_int, to: libc::c_int) {
    let no_priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters outlive the call, which only reads them.
    unsafe {
        if libc::sched_getscheduler(0) == from {
            // Where a sandbox refuses it, the thread serves as before.
            let _ = libc::sched_setscheduler(0, to, &raw const no_priority);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use socket2::Socket;

    use super::super::hall::Hall;
    use super::super::limits::Limits;
    use super::{
        BUSY_MS, CROWD, LATELY_MS, LONGEST_REST, LOOK_AGAIN, LOOK_EVERY, Sight, Sighting, Turns, is_apart,
        let_others_finish,
    };

    /// The policy of this thread, by proc_pid_stat(5).
    fn policy() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").expect("read");
        let behind_name = stat.rsplit_once(')').expect("a name").1;
        behind_name.split_whitespace().nth(38).expect("the 41st field").parse().expect("a number")
    }

    fn in_a_thread_that_serves(check: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(|| {
            assert_eq!(policy(), libc::SCHED_OTHER);
            let_others_finish();
            assert_eq!(policy(), libc::SCHED_BATCH);
            check();
        });
        thread.join().expect("no panic");
        assert_eq!(policy(), libc::SCHED_OTHER);
    }

    fn connection() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        (client, listener.accept().expect("accepted").0.into())
    }

    const SEEN: Sight = Sight { now_ms: 1_000, live: 2, is_apart: true, is_apart_lately: true };

    /// Those of a client that is asked without a break, as `sight` tells.
    fn turns(sight: Sight) -> Turns {
        let mut turns = Turns::new();
        turns.choose(sight);
        assert!(!turns.passes, "nobody knows yet how often it is asked");
        turns.choose(sight);
        turns
    }

    #[test]
    fn turns_are_passed_on_where_that_gains_something() {
        in_a_thread_that_serves(|| {
            assert!(turns(SEEN).passes);
            assert!(!turns(Sight { is_apart: false, ..SEEN }).passes, "its client runs here");
            assert!(!turns(Sight { live: 1, ..SEEN }).passes, "there is nobody else");
            let here = Sight { is_apart: false, live: CROWD, ..SEEN };
            assert!(turns(here).passes, "as the others do");
            assert!(!turns(Sight { live: CROWD - 1, ..here }).passes);
            assert!(!turns(Sight { is_apart_lately: false, ..here }).passes);
        });
    }

    #[test]
    fn who_is_seldom_asked_waits_at_once() {
        in_a_thread_that_serves(|| {
            let mut turns = turns(SEEN);
            let (mut now_ms, too_long_ms) = (SEEN.now_ms, BUSY_MS * u64::from(LOOK_EVERY));
            for (passed_ms, expected) in [(too_long_ms - 1, true), (too_long_ms, false), (too_long_ms - 1, true)] {
                now_ms += passed_ms;
                turns.choose(Sight { now_ms, ..SEEN });
                assert_eq!(turns.passes, expected, "{passed_ms}");
            }
        });
    }

    #[test]
    fn turns_that_come_late_are_kept_for_longer_each_time() {
        in_a_thread_that_serves(|| {
            let mut turns = turns(SEEN);
            let mut rests = Vec::new();
            for _ in 0..12 {
                while turns.passes {
                    turns.came_back(true);
                }
                let mut looks = 0;
                while !turns.passes {
                    turns.choose(SEEN);
                    looks += 1;
                }
                rests.push(looks - 1);
            }
            assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, LONGEST_REST, LONGEST_REST]);
            // One that is late now and then does no harm, and what was is forgotten.
            for turn in 0..1_000 {
                turns.came_back(turn % 3 == 0);
            }
            turns.choose(SEEN);
            assert!(turns.passes);
            let mut count = 0;
            while turns.passes && count < 1_000 {
                turns.came_back(count % 3 != 0);
                count += 1;
            }
            assert_eq!((turns.passes, turns.rest), (false, 1));
        });
    }

    #[test]
    fn a_look_is_taken_now_and_then() {
        let (_client, socket) = connection();
        let hall = Hall::new(&Limits::default());
        let mut turns = Turns::new();
        let looks: Vec<u64> = (0..=2 * u64::from(LOOK_EVERY))
            .filter(|now_ms| {
                turns.before_wait(&socket, &hall, *now_ms);
                turns.looked_ms == Some(*now_ms)
            })
            .collect();
        let (again, every) = (u64::from(LOOK_AGAIN), u64::from(LOOK_EVERY));
        assert_eq!(looks, [0, again, again + every]);
    }

    #[test]
    fn a_sighting_is_true_for_a_while() {
        let sighting = Sighting::default();
        assert!(!sighting.is_recent(1), "nothing was seen yet");
        sighting.note(100);
        assert!(sighting.is_recent(100) && sighting.is_recent(99 + LATELY_MS) && !sighting.is_recent(100 + LATELY_MS));
    }

    #[test]
    fn who_is_alone_interrupts() {
        in_a_thread_that_serves(|| {
            let mut turns = Turns::new();
            for (live, expected) in
                [(2, libc::SCHED_BATCH), (1, libc::SCHED_OTHER), (2, libc::SCHED_BATCH), (1, libc::SCHED_OTHER)]
            {
                turns.choose(Sight { live, ..SEEN });
                assert_eq!(policy(), expected, "{live}");
            }
            drop(turns);
            assert_eq!(policy(), libc::SCHED_BATCH, "the next client begins anew");
        });
    }

    /// Where a client's segments come in is where it runs.
    #[test]
    fn a_client_beside_the_server_is_seen() {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        let allowed = sched_getaffinity(None).expect("Linux");
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let stay_on = |cpu: usize| {
            let mut only = CpuSet::new();
            only.set(cpu);
            sched_setaffinity(None, &only).expect("one of those that are allowed");
        };
        let (mut client, socket) = connection();
        let [first, .., last] = cpus[..] else {
            panic!("two processors are needed to see one from the other: {cpus:?}")
        };
        for (from, at, expected) in
            [(first, first, false), (last, first, true), (last, last, false), (first, last, true)]
        {
            let (client, socket) = (&mut client, &socket);
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    stay_on(from);
                    client.write_all(b"x").expect("sent");
                });
            });
            let is_seen = std::thread::scope(|scope| {
                let looking = scope.spawn(move || {
                    stay_on(at);
                    is_apart(socket)
                });
                looking.join().expect("no panic")
            });
            assert_eq!(is_seen, expected, "from {from} to {at}");
        }
    }
}
