//! What each operating system does in its own way, behind one interface: confined opening, files that downloads are
//! written to, sockets, the clock.
//!
//! `unix` has what Unix systems share, `linux` what only Linux has. Other modules call what is exported here.

mod access;
mod file_watcher;
#[cfg(target_os = "linux")]
mod linux;
mod unix;
mod unix_changes;
mod unix_directory;

pub(crate) use access::copy_access;
pub(crate) use file_watcher::{Changes, FileWatcher, WatchId};
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    begin_to_write_out, has_file_system_sync, has_lasting_inodes, hold_partial_segments, inherited_attributes,
    is_generated, monotonic, preallocate, rename_no_replace, sync_file_system,
};
#[cfg(feature = "channel")]
pub(crate) use unix::peek;
pub(crate) use unix::{
    AcceptError, ConfinedDirectory, DirectoryEntry, DirectoryReader, FileKind, FileStamp, Metadata, accept_error,
    is_connecting, is_file_error, is_readable, is_without_ipv6, open_any, peek_now, poll_connected, poll_readable,
    poll_ready, receive, receive_now, send, send_file, send_now, stamp, store_error, timed_out,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use unix::{
    begin_to_write_out, has_file_system_sync, has_lasting_inodes, hold_partial_segments, inherited_attributes,
    is_generated, monotonic, preallocate, rename_no_replace, sync_file_system,
};
pub(crate) use unix_changes::{is_out_of_space, is_read_only, may_write, reserve, total_space};
pub use unix_directory::{SystemDirectory, SystemFileSystem};
