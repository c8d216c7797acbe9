//! What signals do to a server.

use std::sync::atomic::{AtomicU8, Ordering};

use coracle::server::ServerHandle;

use crate::sys::StopSignals;

/// Stops the server on the first signal, and closes its connections on a second one, whose number it stores.
pub fn stop_on_signals(signals: &mut StopSignals, handle: &ServerHandle, last_signal: &AtomicU8) {
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
