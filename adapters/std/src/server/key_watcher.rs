//! The thread that reads files of keys again when they change.

use std::io;
use std::time::Duration;

use super::context::ServerContext;
use super::event::Event;
use crate::channel::ServerChannel;

/// Time between two looks at the files.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the files until the server is being stopped.
pub(super) fn watch_files(context: &ServerContext<'_>, channel: &ServerChannel) {
    while !context.registry.is_stopping() {
        context.registry.pause(RELOAD_INTERVAL);
        match channel.reload() {
            Ok(false) => {}
            Ok(true) => context.emit(&Event::KeysReloaded { clients: channel.current().clients.len() }),
            Err(error) => {
                let what = "reading keys that have changed (the old ones stay in force)";
                context.emit(&Event::Warning { what, error: &io::Error::other(error.to_string()) });
            }
        }
    }
}
