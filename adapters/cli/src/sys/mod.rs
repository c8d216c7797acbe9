//! What each operating system does in its own way, behind one interface: signals, the terminal, standard output, directories
//! that are deleted from, and what this process is told about its machine. Other modules call what is exported here.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_directory;
#[cfg(unix)]
mod unix_output;
#[cfg(unix)]
mod unix_signals;
#[cfg(unix)]
mod unix_terminal;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
mod windows_directory;
#[cfg(windows)]
mod windows_signals;
#[cfg(windows)]
mod windows_terminal;

#[cfg(unix)]
pub use unix::{
    configuration, create_own_directory, for_owner, host_name, is_device, is_writable_by_all, lock, modified,
    raise_descriptor_limit, receive_now, sync_directory, try_lock, zone_name,
};
#[cfg(unix)]
pub use unix_directory::{EntryKind, OpenDirectory};
#[cfg(unix)]
pub use unix_output::check_standard_output;
#[cfg(unix)]
pub use unix_signals::{
    Continued, SignalsHandle, StopSignals, end_by, end_line_on_signals, end_on_signals_as_init, raise_interrupt,
    raise_termination,
};
#[cfg(unix)]
pub use unix_terminal::{KeyWait, can_draw, is_foreground, size_of_terminal, suspend, wait_for_key};
#[cfg(windows)]
pub use windows::{
    check_standard_output, configuration, create_own_directory, for_owner, host_name, is_device, is_writable_by_all,
    lock, modified, raise_descriptor_limit, receive_now, sync_directory, try_lock, zone_name,
};
#[cfg(windows)]
pub use windows_directory::{EntryKind, OpenDirectory};
#[cfg(windows)]
pub use windows_signals::{
    Continued, SignalsHandle, StopSignals, end_by, end_line_on_signals, end_on_signals_as_init, raise_interrupt,
    raise_termination,
};
#[cfg(windows)]
pub use windows_terminal::{KeyWait, can_draw, is_foreground, size_of_terminal, suspend, wait_for_key};
