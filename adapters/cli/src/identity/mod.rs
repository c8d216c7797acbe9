//! Who the user is, and whom the user knows: keys, pins, and names for servers.
//!
//! ```text
//! ~/.config/coracle/key     the user's own key, as 'coracle key new' makes it
//! ~/.config/coracle/pins    HOST:PORT and the key that a server has there, as 'coracle key pin' adds it
//! ~/.config/coracle/hosts   names for servers, with their addresses and keys, written by the user
//! ```

mod channel;
mod hosts;
mod lines;
mod paths;
mod pins;
mod trust;

pub use channel::{ChannelArgs, HostArg, ResolveError, Resolved, hint};
pub use hosts::{Host, Hosts, check_name};
pub use lines::{FileProblem, words};
pub use paths::own;
pub use pins::{Pin, Pins};
