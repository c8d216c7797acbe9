//! Finds the sockets that can be read.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;

pub struct Poll(OwnedFd);

/// Result of [`Poll`].
pub struct Events(Vec<epoll::Event>);

impl Poll {
    pub fn new() -> Result<Self, String> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Self).map_err(|error| format!("epoll: {error}"))
    }

    /// Watches a socket until it is closed.
    pub fn add(&self, socket: impl AsFd, number: usize) -> Result<(), String> {
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.0, socket, data, epoll::EventFlags::IN).map_err(|error| format!("epoll: {error}"))
    }

    /// Waits for some; none when the time is over.
    pub fn wait(&self, events: &mut Events, milliseconds: i64) -> Result<(), String> {
        events.0.clear();
        let limit = rustix::event::Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
        let place = rustix::buffer::spare_capacity(&mut events.0);
        epoll::wait(&self.0, place, Some(&limit)).map(|_| ()).map_err(|error| format!("epoll: {error}"))
    }
}

impl Events {
    pub fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers of the sockets.
    pub fn ready(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|event| event.data.u64() as usize)
    }
}
