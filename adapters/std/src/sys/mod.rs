//! What each operating system does in its own way, behind one interface: confined opening, files that downloads are
//! written to, sockets, the clock.
//!
//! `unix*` have what Unix systems share, `linux*` what only Linux has, `other_unix` what the others do without that, `apple` what
//! macOS has and `bsd` what the rest does without that, `windows*` what Windows has. `plain*` have what the standard library is
//! enough for; with `polled_sockets` that is a system by itself, which ESP-IDF has, and any that is not known here. `build.rs`
//! chooses. Other modules call what is exported here.

mod file_changes;
mod types;

#[cfg(coracle_sys = "unix")]
mod access;
#[cfg(coracle_sys = "apple")]
mod apple;
#[cfg(coracle_sys = "bsd")]
mod bsd;
#[cfg(coracle_sys = "linux")]
mod linux;
#[cfg(coracle_sys = "linux")]
mod linux_file_watcher;
#[cfg(all(coracle_sys = "linux", feature = "kernel-send"))]
mod linux_send_file;
#[cfg(not(coracle_sys = "plain"))]
mod mapped_pages;
#[cfg(coracle_sys = "other_unix")]
mod other_unix;
#[cfg(coracle_sys = "plain")]
mod plain;
#[cfg(coracle_sys = "plain")]
mod plain_directory;
#[cfg(not(coracle_sys = "linux"))]
mod plain_file_watcher;
#[cfg(not(coracle_sys = "unix"))]
mod plain_files;
#[cfg(coracle_sys = "plain")]
mod plain_paths;
#[cfg(not(all(coracle_sys = "linux", feature = "kernel-send")))]
mod plain_send_file;
#[cfg(not(coracle_sys = "unix"))]
mod polled_sockets;
#[cfg(coracle_sys = "unix")]
mod unix;
#[cfg(coracle_sys = "unix")]
mod unix_changes;
#[cfg(coracle_sys = "unix")]
mod unix_directory;
#[cfg(coracle_sys = "unix")]
mod unix_files;
#[cfg(all(coracle_sys = "unix", feature = "channel"))]
mod unix_key_files;
#[cfg(coracle_sys = "unix")]
mod unix_sockets;
#[cfg(coracle_sys = "windows")]
mod windows;
#[cfg(coracle_sys = "windows")]
mod windows_calls;
#[cfg(coracle_sys = "windows")]
mod windows_changes;
#[cfg(coracle_sys = "windows")]
mod windows_directory;
#[cfg(coracle_sys = "windows")]
mod windows_files;

#[cfg(coracle_sys = "unix")]
pub(crate) use std::os::fd::AsFd;

pub(crate) use file_changes::{Changes, WatchId};
pub(crate) use types::{AcceptError, FileKind, FileStamp, Metadata};

#[cfg(coracle_sys = "unix")]
use access::copy_access;
#[cfg(coracle_sys = "apple")]
use apple::{NO_SIGNAL, rename_no_replace, suppress_signal, sync_file};
#[cfg(coracle_sys = "bsd")]
use bsd::{NO_SIGNAL, rename_no_replace, suppress_signal, sync_file};
#[cfg(coracle_sys = "linux")]
pub(crate) use linux::{
    ENDS_ACCEPT, begin_to_write_out, complete_accepted, has_lasting_inodes, hold_partial_segments, monotonic,
};
#[cfg(coracle_sys = "linux")]
use linux::{
    MORE, NO_SIGNAL, has_file_system_sync, inherited_attributes, is_generated, preallocate, rename_no_replace,
    sync_file, sync_file_system,
};
#[cfg(coracle_sys = "linux")]
pub(crate) use linux_file_watcher::FileWatcher;
#[cfg(all(coracle_sys = "linux", feature = "kernel-send"))]
pub(crate) use linux_send_file::{block_pipe_signal, is_file_error, send_file};
#[cfg(not(coracle_sys = "plain"))]
pub(crate) use mapped_pages::{Pages, pages};
#[cfg(coracle_sys = "other_unix")]
pub(crate) use other_unix::{
    ENDS_ACCEPT, begin_to_write_out, complete_accepted, has_lasting_inodes, hold_partial_segments, monotonic,
};
#[cfg(coracle_sys = "other_unix")]
use other_unix::{MORE, has_file_system_sync, inherited_attributes, is_generated, preallocate, sync_file_system};
#[cfg(coracle_sys = "plain")]
pub(crate) use plain::{
    ConfinedDirectory, DirectoryEntry, DirectoryReader, OpenDirectory, has_lasting_inodes, open_any, stamp, store_error,
};
#[cfg(coracle_sys = "plain")]
pub use plain_directory::{SystemDirectory, SystemFileSystem};
#[cfg(not(coracle_sys = "linux"))]
pub(crate) use plain_file_watcher::FileWatcher;
#[cfg(not(coracle_sys = "unix"))]
pub(crate) use plain_files::{
    WakeReader, WakeWriter, begin_to_write_out, beginning, for_owner, is_out_of_space, is_read_only, may_write,
    monotonic, reserve, wake_pipe,
};
#[cfg(all(not(coracle_sys = "unix"), feature = "channel"))]
pub(crate) use plain_files::{mode, without_waiting};
#[cfg(all(coracle_sys = "plain", feature = "discover"))]
pub(crate) use plain_paths::host_name;
#[cfg(coracle_sys = "plain")]
pub(crate) use plain_paths::{Pages, pages, sync_contents, sync_directory, total_space, without_links};
#[cfg(all(coracle_sys = "plain", feature = "channel"))]
pub(crate) use plain_paths::{name_new_file, path_stamp};
#[cfg(not(all(coracle_sys = "linux", feature = "kernel-send")))]
pub(crate) use plain_send_file::{block_pipe_signal, is_file_error, send_file};
#[cfg(all(not(coracle_sys = "unix"), feature = "channel"))]
pub(crate) use polled_sockets::peek;
#[cfg(not(coracle_sys = "unix"))]
pub(crate) use polled_sockets::{
    ENDS_ACCEPT, accept_error, allow_restart, complete_accepted, deregister, hold_partial_segments, is_connecting,
    is_readable, is_without_ipv6, keepalive, peek_now, poll_connected, poll_readable, poll_ready, receive, receive_now,
    register, send, send_now, timed_out,
};
#[cfg(not(coracle_sys = "unix"))]
pub(crate) use rustix::fd::AsFd;
#[cfg(coracle_sys = "unix")]
use unix::device;
#[cfg(coracle_sys = "unix")]
pub(crate) use unix::{
    ConfinedDirectory, DirectoryEntry, DirectoryReader, OpenDirectory, open_any, stamp, store_error,
};
#[cfg(coracle_sys = "unix")]
pub(crate) use unix_changes::{is_out_of_space, is_read_only, may_write, reserve, sync_contents, total_space};
#[cfg(coracle_sys = "unix")]
pub use unix_directory::{SystemDirectory, SystemFileSystem};
#[cfg(all(coracle_sys = "unix", feature = "discover"))]
pub(crate) use unix_files::host_name;
#[cfg(coracle_sys = "unix")]
pub(crate) use unix_files::{WakeReader, WakeWriter, beginning, for_owner, sync_directory, wake_pipe, without_links};
#[cfg(all(coracle_sys = "unix", feature = "channel"))]
pub(crate) use unix_key_files::{mode, name_new_file, path_stamp, without_waiting};
#[cfg(all(coracle_sys = "unix", feature = "channel"))]
pub(crate) use unix_sockets::peek;
#[cfg(coracle_sys = "unix")]
pub(crate) use unix_sockets::{
    accept_error, allow_restart, deregister, is_connecting, is_readable, is_without_ipv6, keepalive, peek_now,
    poll_connected, poll_readable, poll_ready, receive, receive_now, register, send, send_now, timed_out,
};
#[cfg(coracle_sys = "windows")]
pub(crate) use windows::{
    ConfinedDirectory, DirectoryEntry, DirectoryReader, OpenDirectory, has_lasting_inodes, open_any, stamp, store_error,
};
#[cfg(coracle_sys = "windows")]
pub(crate) use windows_changes::{sync_contents, total_space};
#[cfg(coracle_sys = "windows")]
pub use windows_directory::{SystemDirectory, SystemFileSystem};
#[cfg(all(coracle_sys = "windows", feature = "discover"))]
pub(crate) use windows_files::host_name;
#[cfg(all(coracle_sys = "windows", feature = "channel"))]
pub(crate) use windows_files::{name_new_file, path_stamp};
#[cfg(coracle_sys = "windows")]
pub(crate) use windows_files::{sync_directory, without_links};
