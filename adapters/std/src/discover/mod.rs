//! Finding servers by name in the local network, and being found: multicast DNS (RFC 6762) with service discovery (RFC 6763).
//!
//! A server is announced as an instance of `_coracle._tcp` with its name, its addresses and its port, and nothing else. Every
//! host of the network can announce anything: a name that was found says where to ask, never whom one talks to. That is
//! what the keys of a [`channel`](crate::channel) are for.
//!
//! ```no_run
//! use coracle::discover::{Announce, Search};
//!
//! # fn main() -> Result<(), coracle::discover::DiscoverError> {
//! let announcement = Announce::new("bench-7", 8888).start()?;
//! for service in Search::new().run()?.services {
//!     println!("{} {:?}", coracle::Escaped(&service.name), service.addresses);
//! }
//! announcement.stop();
//! # Ok(())
//! # }
//! ```

mod announce;
mod daemon;
mod interfaces;
mod search;
mod service;

use std::fmt;

pub use announce::{Announce, AnnounceEvent, Announcement};
pub use interfaces::Interfaces;
pub use search::{Found, Search};
pub use service::{MAX_NAME_LEN, Service, check_name};

/// The type of the service, in the domain of multicast DNS.
const SERVICE: &str = "_coracle._tcp.local.";

/// Why multicast DNS cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoverError {
    /// No network interface takes multicast; those that were left out are named.
    NoInterface(Interfaces),
    /// The name cannot be announced: why.
    Name(String),
    /// The operating system refuses: what it says.
    System(String),
}

impl fmt::Display for DiscoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface(interfaces) => {
                f.write_str("no network interface is up that takes multicast")?;
                interfaces.fmt_left_out(f)
            }
            Self::Name(why) => f.write_str(why),
            Self::System(what) => write!(f, "multicast DNS cannot be used: {what}"),
        }
    }
}

impl std::error::Error for DiscoverError {}
