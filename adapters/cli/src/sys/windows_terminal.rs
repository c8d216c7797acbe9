//! The terminal, as Windows has it.

use std::io;
use std::thread::sleep;
use std::time::Duration;

/// How often is looked whether keys were pressed.
const LOOK_INTERVAL: Duration = Duration::from_millis(30);

/// What [`wait_for_key`] has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWait {
    /// Keys may have been pressed.
    Pressed,
    /// Programs in the background have a console of their own here.
    #[allow(dead_code, reason = "other systems have this")]
    InBackground,
    /// A console that is closed ends its programs.
    #[allow(dead_code, reason = "other systems have this")]
    Gone,
}

/// Columns and rows of the console; `None` where there is none.
pub fn size_of_terminal() -> Option<(u16, u16)> {
    ratatui::crossterm::terminal::size().ok()
}

/// Every console can.
pub fn can_draw() -> bool {
    true
}

/// The console is that of all programs in it.
pub fn is_foreground() -> bool {
    true
}

/// Does nothing: programs are not stopped and continued here.
#[allow(clippy::unnecessary_wraps, reason = "other systems raise a signal")]
pub fn suspend() -> io::Result<()> {
    Ok(())
}

/// Waits a moment: keys are asked for again and again.
#[allow(clippy::unnecessary_wraps, reason = "other systems wait for the terminal")]
pub fn wait_for_key() -> io::Result<KeyWait> {
    sleep(LOOK_INTERVAL);
    Ok(KeyWait::Pressed)
}
