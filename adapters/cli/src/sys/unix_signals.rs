//! Signals that stop a server, and that end a client, as Unix systems have them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
pub use signal_hook::iterator::Handle as SignalsHandle;
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, raise};

/// Signals to stop on, caught.
#[derive(Debug)]
pub struct StopSignals(Signals);

impl StopSignals {
    /// The usual ones.
    ///
    /// # Errors
    ///
    /// A signal cannot be caught.
    pub fn catch() -> io::Result<Self> {
        Ok(Self(Signals::new(stop_signals())?))
    }

    /// Those of a server: SIGHUP says that the terminal has hung up; without one it tells a service to read its files again, which
    /// a server does by itself. It is caught then, and nothing else happens.
    ///
    /// # Errors
    ///
    /// As for [`StopSignals::catch`].
    pub fn catch_for_server() -> io::Result<Self> {
        let mut signals = stop_signals();
        if !has_terminal() {
            signals.retain(|signal| *signal != SIGHUP);
            register(SIGHUP, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self(Signals::new(signals)?))
    }

    /// Those of a program that has taken the terminal over: SIGQUIT is among them.
    ///
    /// # Errors
    ///
    /// As for [`StopSignals::catch`].
    pub fn catch_for_console() -> io::Result<Self> {
        let mut signals = stop_signals();
        signals.push(SIGQUIT);
        Ok(Self(Signals::new(signals)?))
    }

    /// What ends [`StopSignals::forever`].
    pub fn handle(&self) -> SignalsHandle {
        self.0.handle()
    }

    /// The numbers of the signals that come.
    pub fn forever(&mut self) -> impl Iterator<Item = i32> {
        self.0.forever()
    }
}

/// Ends this process as `signal` does where it is not caught.
///
/// # Errors
///
/// There is no such signal.
pub fn end_by(signal: i32) -> io::Result<()> {
    emulate_default_handler(signal)
}

/// Sends this process what Ctrl-C sends.
///
/// # Errors
///
/// The operating system's.
pub fn raise_interrupt() -> io::Result<()> {
    raise(SIGINT)
}

/// Sends this process what tells programs to end.
///
/// # Errors
///
/// The operating system's.
pub fn raise_termination() -> io::Result<()> {
    raise(SIGTERM)
}

/// Tells whether the program was stopped and continued.
#[derive(Debug)]
pub struct Continued(Arc<AtomicBool>);

impl Continued {
    /// # Errors
    ///
    /// The signal cannot be caught.
    pub fn watch() -> io::Result<Self> {
        let was_continued = Arc::new(AtomicBool::new(false));
        register(SIGCONT, was_continued.clone())?;
        Ok(Self(was_continued))
    }

    /// Whether it was since this was last asked.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Lets the usual signals end this process where it is the first one of a container: the kernel gives that one only signals
/// that it catches (pid_namespaces(7)).
///
/// # Errors
///
/// A signal cannot be caught.
pub fn end_on_signals_as_init() -> io::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    for signal in stop_signals() {
        register_conditional_shutdown(signal, 128 + signal, Arc::new(AtomicBool::new(true)))?;
    }
    Ok(())
}

/// Ends the line that the cursor is in before one of the usual signals ends this process, so that the prompt of the shell
/// does not stand behind a progress bar. Does nothing where that cannot be arranged.
pub fn end_line_on_signals() {
    static ONCE: Once = Once::new();
    let wait = || {
        let signals = [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal));
        let Ok(mut signals) = Signals::new(signals) else { return };
        if let Some(signal) = signals.forever().next() {
            // At once: another thread may hold the lock of standard error, and wait for its reader. The process ends anyway.
            let _ = rustix::io::write(rustix::stdio::stderr(), b"\n");
            drop(emulate_default_handler(signal));
        }
    };
    // Without the thread the signals are not caught, and end the process as before.
    ONCE.call_once(|| drop(thread::Builder::new().name("signals".to_owned()).spawn(wait)));
}

/// The signals to stop on. SIGHUP is not among them where it is ignored at the start, as nohup arranges it.
fn stop_signals() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// Whether this process has a terminal that could hang up.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether this process was started with `signal` ignored, by `/proc/self/status` (proc_pid_status(5)).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}
