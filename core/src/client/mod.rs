//! The client's side of a connection.

mod answer;
mod error;
mod event;
mod line;
mod session;

pub use error::{Breach, Failure, StartError};
pub use event::{ClientAction, Digests, End, Event, Features, Header, Hello, Listing, Refusal, Verified};
pub use session::ClientSession;
