//! How the kernel's scheduler treats the threads that serve.

/// Lets this thread wait for its turn when a client wakes it, instead of interrupting whoever runs (`SCHED_BATCH`,
/// sched(7)): with many clients on few processors the thread that woke it goes on and wakes others, and there are fewer
/// switches from one thread to another. On an idle processor it runs at once, as ever.
///
/// Without effect where somebody has chosen another policy for the process than the usual one, or where the system has
/// none such.
pub(super) fn let_others_finish() {
    #[cfg(target_os = "linux")]
    batch();
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "neither rustix nor nix has the call, and thread-priority sets the niceness, too")]
fn batch() {
    let no_priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters outlive the call, which only reads them.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            // Where a sandbox refuses it, the thread serves as before.
            let _ = libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const no_priority);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::let_others_finish;

    /// The policy of this thread, by proc_pid_stat(5).
    fn policy() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").expect("read");
        let behind_name = stat.rsplit_once(')').expect("a name").1;
        behind_name.split_whitespace().nth(38).expect("the 41st field").parse().expect("a number")
    }

    #[test]
    fn a_thread_becomes_patient_alone() {
        assert_eq!(policy(), libc::SCHED_OTHER);
        std::thread::spawn(|| {
            let_others_finish();
            assert_eq!(policy(), libc::SCHED_BATCH);
        })
        .join()
        .expect("no panic");
        assert_eq!(policy(), libc::SCHED_OTHER);
    }
}
