//! The terminal, as Unix systems have it.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level::raise;

/// What [`wait_for_key`] has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWait {
    /// Keys were pressed.
    Pressed,
    /// The same, and they are not for this program.
    InBackground,
    /// The terminal is gone.
    Gone,
}

/// Columns and rows of the terminal that standard error is; `None` where it is none.
pub fn size_of_terminal() -> Option<(u16, u16)> {
    tcgetwinsize(rustix::stdio::stderr()).ok().map(|size| (size.ws_col, size.ws_row))
}

/// Whether a terminal can do more than print lines, by the environment.
pub fn can_draw() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether the terminal is this program's, and not that of the shell that runs it in the background: who writes to it
/// or reads from it there is stopped.
pub fn is_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// Stops the program, until the shell continues it.
pub fn suspend() -> io::Result<()> {
    raise(SIGTSTP)
}

/// Waits until keys are pressed, or the terminal is gone.
pub fn wait_for_key() -> io::Result<KeyWait> {
    const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);
    let stdin = io::stdin();
    loop {
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut polled, None) {
            Err(Errno::INTR) => continue,
            result => drop(result?),
        }
        return Ok(match polled[0].revents().intersects(GONE) {
            true => KeyWait::Gone,
            false if is_foreground() => KeyWait::Pressed,
            false => KeyWait::InBackground,
        });
    }
}
