//! How the kernel's scheduler treats the threads that serve.

/// Of this many clients at once all let each other finish.
const CROWD: usize = 16;
/// Who gets this many answers is one that stays.
const STAYS: u64 = 3;
/// Who gets fewer answers than these in a millisecond is seldom asked.
const OFTEN: u64 = 3;
/// For this many milliseconds that is taken to last.
const LASTS_MS: u64 = 12;

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

/// How often a client is asked for something, and what follows from it for the thread that serves it.
///
/// A few clients that stay keep the processors busy without a break between them, and a thread that lets others finish then
/// may come to its turn some hundred microseconds late, each time, while the others are served a dozen times. Such a one is
/// known by its few answers, and interrupts them for a while (`tests/bench/run --only "kept 8"`, p99). Who is alone has
/// nobody to let finish.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it was looked at, and how many answers there had been.
    looked_ms: u64,
    answers: u64,
    /// Until then it counts as one that is seldom asked.
    seldom_until_ms: u64,
    interrupts: bool,
}

impl Pace {
    pub(super) const fn new(now_ms: u64) -> Self {
        Self { looked_ms: now_ms, answers: 0, seldom_until_ms: 0, interrupts: false }
    }

    /// There were `answers` so far; `live` counts the clients of all threads.
    pub(super) fn note(&mut self, now_ms: u64, answers: u64, live: impl FnOnce() -> usize) {
        // The clock's steps are long enough for some answers.
        if now_ms != self.looked_ms && answers >= STAYS {
            self.choose(now_ms, answers, live);
        }
    }

    #[cold]
    fn choose(&mut self, now_ms: u64, answers: u64, live: impl FnOnce() -> usize) {
        let is_seldom = self.is_seldom(now_ms, answers);
        match live() {
            ..=1 => self.interrupt_others(),
            2..CROWD if is_seldom => self.interrupt_others(),
            _ => self.stop_interrupting(),
        }
    }

    fn is_seldom(&mut self, now_ms: u64, answers: u64) -> bool {
        let (passed_ms, more) = (now_ms.saturating_sub(self.looked_ms), answers.saturating_sub(self.answers));
        (self.looked_ms, self.answers) = (now_ms, answers);
        if more < passed_ms.saturating_mul(OFTEN) {
            self.seldom_until_ms = now_ms.saturating_add(LASTS_MS);
        }
        now_ms < self.seldom_until_ms
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

/// The next client has a pace of its own.
impl Drop for Pace {
    fn drop(&mut self) {
        self.stop_interrupting();
    }
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

    use super::{CROWD, LASTS_MS, OFTEN, Pace, STAYS, let_others_finish};

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

    #[test]
    fn who_is_seldom_asked_interrupts_for_a_while() {
        in_a_thread_that_serves(|| {
            let mut pace = Pace::new(1_000);
            let mut note = |now_ms, answers, live, expected| {
                pace.note(now_ms, answers, || live);
                assert_eq!(policy(), expected, "{now_ms} {answers} {live}");
            };
            let (few, patient, prompt) = (2, libc::SCHED_BATCH, libc::SCHED_OTHER);
            note(1_000, 1, few, patient);
            note(1_004, STAYS - 1, few, patient);
            note(1_008, STAYS, few, prompt);
            // Now it is asked often, and after a while that counts.
            let often = |passed_ms| STAYS + passed_ms * OFTEN;
            note(1_008 + LASTS_MS - 1, often(LASTS_MS - 1), few, prompt);
            note(1_008 + LASTS_MS - 1, often(LASTS_MS), few, prompt);
            note(1_008 + LASTS_MS, often(LASTS_MS), few, patient);
            note(1_100, often(92), few, patient);
            // One answer less than often, among as many as are no crowd yet.
            note(1_104, often(96) - 1, CROWD, patient);
            note(1_108, often(100) - 1, CROWD - 1, prompt);
            note(1_109, often(101) - 1, CROWD, patient);
            note(1_200, often(192), few, patient);
            note(1_204, often(196), 1, prompt);
            note(1_208, often(200), few, patient);
        });
    }

    #[test]
    fn the_next_client_begins_anew() {
        in_a_thread_that_serves(|| {
            let mut pace = Pace::new(0);
            pace.note(4, STAYS, || 1);
            assert_eq!(policy(), libc::SCHED_OTHER);
            drop(pace);
            assert_eq!(policy(), libc::SCHED_BATCH);
        });
    }
}
