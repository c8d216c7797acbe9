//! Signals that stop a server, and that end a client.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Once};
use std::thread;

use coracle::server::ServerHandle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

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
pub fn stop_signals() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// The signals to stop a server on. SIGHUP says that the terminal has hung up; without one it tells a service to read its files
/// again, which a server does by itself. It is caught then, and nothing else happens.
///
/// # Errors
///
/// A signal cannot be caught.
pub fn server_stop_signals() -> io::Result<Vec<i32>> {
    let mut signals = stop_signals();
    if !has_terminal() {
        signals.retain(|signal| *signal != SIGHUP);
        register(SIGHUP, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(signals)
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

/// Stops the server on the first signal, and closes its connections on a second one, whose number it stores.
pub fn stop_on_signals(signals: &mut Signals, handle: &ServerHandle, last_signal: &AtomicU8) {
    let mut is_stopping = false;
    for signal in signals.forever() {
        if is_stopping {
            last_signal.store(u8::try_from(signal).unwrap_or(0), Ordering::Relaxed);
            handle.stop_now();
        } else {
            is_stopping = true;
            handle.stop();
        }
    }
}
