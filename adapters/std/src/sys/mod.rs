//! What each operating system does in its own way, behind one interface: confined opening, files that downloads are
//! written to, sockets, the clock.
//!
//! `unix*` have what Unix systems share, `linux*` what only Linux has, `other_unix` what the others do without that, `apple` what
//! macOS has and `bsd` what the rest does without that, `windows*` what Windows has, `plain*` what the standard library is enough
//! for. Other modules call what is exported here.

mod file_changes;
mod types;

#[cfg(unix)]
mod access;
#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(all(unix, not(any(target_os = "linux", target_vendor = "apple"))))]
mod bsd;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod linux_file_watcher;
#[cfg(all(target_os = "linux", feature = "kernel-send"))]
mod linux_send_file;
#[cfg(all(unix, not(target_os = "linux")))]
mod other_unix;
#[cfg(not(target_os = "linux"))]
mod plain_file_watcher;
#[cfg(not(all(target_os = "linux", feature = "kernel-send")))]
mod plain_send_file;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_changes;
#[cfg(unix)]
mod unix_directory;
#[cfg(unix)]
mod unix_files;
#[cfg(all(unix, feature = "channel"))]
mod unix_key_files;
#[cfg(unix)]
mod unix_sockets;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
mod windows_calls;
#[cfg(windows)]
mod windows_changes;
#[cfg(windows)]
mod windows_directory;
#[cfg(windows)]
mod windows_files;
#[cfg(windows)]
mod windows_sockets;

#[cfg(unix)]
pub(crate) use std::os::fd::AsFd;

pub(crate) use file_changes::{Changes, WatchId};
pub(crate) use types::{AcceptError, FileKind, FileStamp, Metadata};

#[cfg(unix)]
use access::copy_access;
#[cfg(target_vendor = "apple")]
use apple::{NO_SIGNAL, rename_no_replace, suppress_signal, sync_file};
#[cfg(all(unix, not(any(target_os = "linux", target_vendor = "apple"))))]
use bsd::{NO_SIGNAL, rename_no_replace, suppress_signal, sync_file};
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    ENDS_ACCEPT, begin_to_write_out, complete_accepted, has_lasting_inodes, hold_partial_segments, monotonic,
};
#[cfg(target_os = "linux")]
use linux::{
    MORE, NO_SIGNAL, has_file_system_sync, inherited_attributes, is_generated, preallocate, rename_no_replace,
    sync_file, sync_file_system,
};
#[cfg(target_os = "linux")]
pub(crate) use linux_file_watcher::FileWatcher;
#[cfg(all(target_os = "linux", feature = "kernel-send"))]
pub(crate) use linux_send_file::{block_pipe_signal, is_file_error, send_file};
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use other_unix::{
    ENDS_ACCEPT, begin_to_write_out, complete_accepted, has_lasting_inodes, hold_partial_segments, monotonic,
};
#[cfg(all(unix, not(target_os = "linux")))]
use other_unix::{MORE, has_file_system_sync, inherited_attributes, is_generated, preallocate, sync_file_system};
#[cfg(not(target_os = "linux"))]
pub(crate) use plain_file_watcher::FileWatcher;
#[cfg(not(all(target_os = "linux", feature = "kernel-send")))]
pub(crate) use plain_send_file::{block_pipe_signal, is_file_error, send_file};
#[cfg(windows)]
pub(crate) use rustix::fd::AsFd;
#[cfg(unix)]
use unix::device;
#[cfg(unix)]
pub(crate) use unix::{ConfinedDirectory, DirectoryEntry, DirectoryReader, open_any, stamp, store_error};
#[cfg(unix)]
pub(crate) use unix_changes::{is_out_of_space, is_read_only, may_write, reserve, sync_contents, total_space};
#[cfg(unix)]
pub use unix_directory::{SystemDirectory, SystemFileSystem};
#[cfg(all(unix, feature = "discover"))]
pub(crate) use unix_files::host_name;
#[cfg(unix)]
pub(crate) use unix_files::{WakeReader, WakeWriter, beginning, for_owner, sync_directory, wake_pipe, without_links};
#[cfg(all(unix, feature = "channel"))]
pub(crate) use unix_key_files::{mode, name_new_file, path_stamp, without_waiting};
#[cfg(all(unix, feature = "channel"))]
pub(crate) use unix_sockets::peek;
#[cfg(unix)]
pub(crate) use unix_sockets::{
    accept_error, allow_restart, deregister, is_connecting, is_readable, is_without_ipv6, peek_now, poll_connected,
    poll_readable, poll_ready, receive, receive_now, register, send, send_now, timed_out,
};
#[cfg(windows)]
pub(crate) use windows::{
    ConfinedDirectory, DirectoryEntry, DirectoryReader, has_lasting_inodes, open_any, stamp, store_error,
};
#[cfg(windows)]
pub(crate) use windows_changes::{is_out_of_space, is_read_only, may_write, reserve, sync_contents, total_space};
#[cfg(windows)]
pub use windows_directory::{SystemDirectory, SystemFileSystem};
#[cfg(all(windows, feature = "discover"))]
pub(crate) use windows_files::host_name;
#[cfg(windows)]
pub(crate) use windows_files::{
    WakeReader, WakeWriter, begin_to_write_out, beginning, for_owner, monotonic, sync_directory, wake_pipe,
    without_links,
};
#[cfg(all(windows, feature = "channel"))]
pub(crate) use windows_files::{mode, name_new_file, path_stamp, without_waiting};
#[cfg(all(windows, feature = "channel"))]
pub(crate) use windows_sockets::peek;
#[cfg(windows)]
pub(crate) use windows_sockets::{
    ENDS_ACCEPT, accept_error, allow_restart, complete_accepted, deregister, hold_partial_segments, is_connecting,
    is_readable, is_without_ipv6, peek_now, poll_connected, poll_readable, poll_ready, receive, receive_now, register,
    send, send_now, timed_out,
};
