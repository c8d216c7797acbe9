//! Starts threads.

use std::thread::{self, Scope, ScopedJoinHandle};

use crate::exit::print_error;

/// Starts a thread; says so where there can be none.
pub fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    work: impl FnOnce() + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let spawned = thread::Builder::new().name(name).spawn_scoped(scope, work);
    spawned.map_err(|error| print_error(format_args!("fewer at work, since no thread can be started: {error}"))).ok()
}
