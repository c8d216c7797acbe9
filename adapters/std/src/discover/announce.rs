//! Announces a server in the local network.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mdns_sd::{DaemonEvent, DnsNameChange, RRType, Receiver, RecvTimeoutError, ServiceInfo};

use super::daemon::{Daemon, system};
use super::service::{MAX_NAME_LEN, check_name, instance};
use super::{DiscoverError, SERVICE};
use crate::sys;

/// How often it is looked how much is remembered of what others send.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How long to wait for the end where there is no daemon.
const ENDED_PAUSE: Duration = Duration::from_millis(50);
/// How long a goodbye may take to leave.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many names are tried where others have them.
const MAX_NAMES: u32 = 100;
/// The longest part of a host's name that is taken over.
const MAX_HOST_LEN: usize = 48;

/// How a server is announced.
#[must_use]
pub struct Announce {
    name: String,
    port: u16,
    addresses: Option<Vec<IpAddr>>,
    observer: Box<dyn FnMut(&AnnounceEvent) + Send>,
}

/// What happens to an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnounceEvent {
    /// The server can be found by this name.
    Announced {
        /// The name.
        name: String,
    },
    /// Another host has the name; the server gets another.
    Renamed {
        /// The name that another host has.
        taken: String,
        /// The name that is tried instead.
        name: String,
    },
    /// The server cannot be found, or not any more: why.
    Failed {
        /// What went wrong.
        error: DiscoverError,
    },
}

/// A server that can be found until this is dropped.
#[derive(Debug)]
pub struct Announcement {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the owner of an announcement and its thread share.
#[derive(Debug)]
struct Shared(Mutex<State>);

struct State {
    name: String,
    /// `None` while there is none, and at the end.
    daemon: Option<Daemon>,
    is_stopping: bool,
}

/// What is announced, and who is told about it.
struct Announcer {
    shared: Arc<Shared>,
    base: String,
    host: String,
    port: u16,
    addresses: Option<Vec<IpAddr>>,
    observer: Box<dyn FnMut(&AnnounceEvent) + Send>,
    tried: u32,
}

impl Announce {
    /// Announces the server `name`, which [`check_name`] accepts, at `port`, at least 1, with all addresses of this machine that
    /// others can reach.
    pub fn new(name: &str, port: u16) -> Self {
        Self { name: name.to_owned(), port, addresses: None, observer: Box::new(|_| {}) }
    }

    /// Sets the addresses that are announced, of those that this machine has when it is asked; unspecified ones stand for all of
    /// their family.
    pub fn with_addresses(mut self, addresses: Vec<IpAddr>) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// Sets what is called, in a thread of its own, when something happens.
    pub fn with_observer(mut self, observer: impl FnMut(&AnnounceEvent) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Begins. The name is asked for first, and changed to `name-2` and so on while another host has it.
    ///
    /// # Errors
    ///
    /// The name cannot be announced, or the operating system refuses. That no interface takes multicast now is no error:
    /// the server is announced when one does.
    pub fn start(self) -> Result<Announcement, DiscoverError> {
        check_name(&self.name).map_err(|why| DiscoverError::Name(why.to_owned()))?;
        if self.port == 0 {
            return Err(DiscoverError::Name("a server has a port".to_owned()));
        }
        let state = State { name: self.name.clone(), daemon: None, is_stopping: false };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let announcer = Announcer {
            shared: Arc::clone(&shared),
            base: self.name,
            host: host_name(),
            port: self.port,
            addresses: self.addresses,
            observer: self.observer,
            tried: 1,
        };
        let events = announcer.begin()?;
        let run = move || announcer.run(events);
        let thread = thread::Builder::new().name("announce".to_owned()).spawn(run);
        let thread = thread.map_err(|error| DiscoverError::System(error.to_string()))?;
        Ok(Announcement { shared, thread: Some(thread) })
    }
}

impl Announcement {
    /// The name by which the server is or will be found now.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.lock().name.clone()
    }

    /// Tells the others that the server goes. Dropping does the same.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let (daemon, name) = {
            let mut state = self.shared.lock();
            state.is_stopping = true;
            (state.daemon.take(), state.name.clone())
        };
        if let Some(daemon) = daemon {
            withdraw(&daemon, &name);
            // Ends the thread's events.
            daemon.stop();
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the observer has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Announcer {
    /// Starts a daemon that announces the server by its present name.
    fn begin(&self) -> Result<Receiver<DaemonEvent>, DiscoverError> {
        let daemon = Daemon::start(self.addresses.clone())?;
        let events = daemon.inner().monitor().map_err(system)?;
        let mut state = self.shared.lock();
        daemon.inner().register(self.service(&state.name)?).map_err(system)?;
        state.daemon = Some(daemon);
        Ok(events)
    }

    fn service(&self, name: &str) -> Result<ServiceInfo, DiscoverError> {
        let service = ServiceInfo::new(SERVICE, name, &self.host, "", self.port, None);
        Ok(service.map_err(system)?.enable_addr_auto())
    }

    fn run(mut self, mut events: Receiver<DaemonEvent>) {
        let mut look_at = Instant::now() + LOOK_AFTER;
        let mut announced = None;
        loop {
            match events.recv_deadline(look_at) {
                Ok(DaemonEvent::Announce(full_name, _)) => {
                    let name = instance(&full_name).map(str::to_owned);
                    if let (Some(name), true) = (&name, name != announced) {
                        (self.observer)(&AnnounceEvent::Announced { name: name.clone() });
                    }
                    announced = name;
                }
                Ok(DaemonEvent::NameChange(change)) => self.rename(&change),
                Ok(DaemonEvent::Error(error)) => self.fail(system(error)),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                // At the end, or until another is begun.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(ENDED_PAUSE),
            }
            if self.shared.lock().is_stopping {
                return;
            }
            if look_at <= Instant::now() {
                look_at = Instant::now() + LOOK_AFTER;
                if self.must_begin_anew()
                    && let Some(begun) = self.begin_anew()
                {
                    events = begun;
                }
            }
        }
    }

    /// Whether the daemon has ended, or remembers more than it should of what others send: it cannot be told to forget.
    fn must_begin_anew(&self) -> bool {
        self.shared.lock().daemon.as_ref().is_none_or(|daemon| daemon.has_ended() || daemon.is_flooded())
    }

    fn begin_anew(&mut self) -> Option<Receiver<DaemonEvent>> {
        let daemon = self.shared.lock().daemon.take();
        drop(daemon);
        if self.shared.lock().is_stopping {
            return None;
        }
        match self.begin() {
            Ok(events) => Some(events),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Takes another name where the one that was asked for is taken: one that can be typed, other than what was made of it.
    fn rename(&mut self, change: &DnsNameChange) {
        let is_service = matches!(change.rr_type, RRType::SRV | RRType::TXT);
        let mut state = self.shared.lock();
        // Told for each record and interface.
        if !is_service || instance(&change.original).is_none_or(|name| !name.eq_ignore_ascii_case(&state.name)) {
            return;
        }
        if self.tried == MAX_NAMES {
            drop(state);
            return self.fail(DiscoverError::Name(format!("{MAX_NAMES} names like {} are taken", self.base)));
        }
        self.tried += 1;
        let name = numbered(&self.base, self.tried);
        let taken = std::mem::replace(&mut state.name, name.clone());
        let registered = state.daemon.as_ref().map_or(Ok(()), |daemon| {
            withdraw(daemon, &taken);
            self.service(&name).and_then(|service| daemon.inner().register(service).map_err(system))
        });
        drop(state);
        (self.observer)(&AnnounceEvent::Renamed { taken, name });
        if let Err(error) = registered {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: DiscoverError) {
        (self.observer)(&AnnounceEvent::Failed { error });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Tells the others that a name is not announced any more.
fn withdraw(daemon: &Daemon, name: &str) {
    if let Ok(answer) = daemon.inner().unregister(&format!("{name}.{SERVICE}")) {
        // Where this fails the others notice by the time that the records are valid for.
        let _ = answer.recv_timeout(GOODBYE_TIMEOUT);
    }
}

/// The name with a number behind it, not longer than a name can be.
fn numbered(base: &str, number: u32) -> String {
    let suffix = format!("-{number}");
    let mut len = base.len().min(MAX_NAME_LEN - suffix.len());
    while !base.is_char_boundary(len) {
        len -= 1;
    }
    format!("{}{suffix}", &base[..len])
}

/// The name of this host that addresses are announced for: not the one that the system itself announces.
fn host_name() -> String {
    let node = sys::host_name();
    let label = node.split('.').next().unwrap_or_default();
    let letters = label.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-');
    let host: String = letters.take(MAX_HOST_LEN).collect();
    format!("{}{}coracle.local.", host, if host.is_empty() { "" } else { "-" })
}

#[cfg(test)]
mod tests {
    use super::{Announce, DiscoverError, host_name, numbered};

    #[test]
    fn numbered_names_stay_names() {
        assert_eq!(numbered("bench-7", 2), "bench-7-2");
        assert_eq!(numbered(&"é".repeat(31), 100), format!("{}-100", "é".repeat(29)));
        assert_eq!(numbered(&"x".repeat(63), 2), format!("{}-2", "x".repeat(61)));
    }

    #[test]
    fn what_cannot_be_announced_is_refused_before_anything_is_sent() {
        for (name, port) in [("a b", 1), ("", 1), ("bench-7", 0)] {
            assert!(matches!(Announce::new(name, port).start(), Err(DiscoverError::Name(_))), "{name:?} {port}");
        }
        assert!(host_name().ends_with("coracle.local."));
    }
}
