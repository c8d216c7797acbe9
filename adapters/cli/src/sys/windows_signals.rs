//! Ctrl-C, Ctrl-Break and the closing of a console, which stop a server and end a client, as Windows has them.

use std::io;
use std::process::exit;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// The number that Unix systems give the signal of Ctrl-C.
const INTERRUPT: i32 = 2;
/// The number of the one that tells a program to end.
const TERMINATION: i32 = 15;

/// Where they are sent while they are caught.
static RECEIVER: Mutex<Option<Sender<i32>>> = Mutex::new(None);

/// What stops the program, caught.
#[derive(Debug)]
pub struct StopSignals(Receiver<i32>);

/// What ends [`StopSignals::forever`].
#[derive(Clone, Debug)]
pub struct SignalsHandle(());

impl SignalsHandle {
    pub fn close(&self) {
        *receiver() = None;
    }
}

impl StopSignals {
    /// # Errors
    ///
    /// They cannot be caught.
    pub fn catch() -> io::Result<Self> {
        static ONCE: Once = Once::new();
        let (sender, caught) = mpsc::channel();
        *receiver() = Some(sender);
        let mut set = Ok(());
        ONCE.call_once(|| set = ctrlc::set_handler(|| drop(raise(INTERRUPT))).map_err(io::Error::other));
        set.map(|()| Self(caught))
    }

    /// # Errors
    ///
    /// As for [`StopSignals::catch`].
    pub fn catch_for_server() -> io::Result<Self> {
        Self::catch()
    }

    /// # Errors
    ///
    /// As for [`StopSignals::catch`].
    pub fn catch_for_console() -> io::Result<Self> {
        Self::catch()
    }

    /// What ends [`StopSignals::forever`].
    pub fn handle(&self) -> SignalsHandle {
        SignalsHandle(())
    }

    /// The numbers of what comes.
    pub fn forever(&mut self) -> impl Iterator<Item = i32> {
        self.0.iter()
    }
}

fn receiver() -> MutexGuard<'static, Option<Sender<i32>>> {
    RECEIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn raise(signal: i32) -> io::Result<()> {
    match receiver().as_ref() {
        // Who has caught it may just be ending.
        Some(sender) => sender.send(signal).map_err(io::Error::other),
        None => end_by(signal),
    }
}

/// Ends this process as `signal` does where it is not caught.
///
/// # Errors
///
/// None.
pub fn end_by(signal: i32) -> io::Result<()> {
    exit(128 + signal)
}

/// Sends this process what Ctrl-C sends.
///
/// # Errors
///
/// The thread that catches signals has ended.
pub fn raise_interrupt() -> io::Result<()> {
    raise(INTERRUPT)
}

/// Sends this process what tells programs to end.
///
/// # Errors
///
/// As for [`raise_interrupt`].
pub fn raise_termination() -> io::Result<()> {
    raise(TERMINATION)
}

/// Does nothing: the first process of a container ends here as any other.
///
/// # Errors
///
/// None.
#[allow(clippy::unnecessary_wraps, reason = "other systems make calls for it")]
pub fn end_on_signals_as_init() -> io::Result<()> {
    Ok(())
}

/// Does nothing: the shell begins a new line by itself.
pub fn end_line_on_signals() {}

/// Programs are not stopped and continued here.
#[derive(Debug)]
pub struct Continued(());

impl Continued {
    /// # Errors
    ///
    /// None.
    #[allow(clippy::unnecessary_wraps, reason = "other systems catch a signal for it")]
    pub fn watch() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// It never was.
    pub fn take(&self) -> bool {
        false
    }
}
