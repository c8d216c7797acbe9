//! The client's session: a state machine for one connection.

mod ahead;
mod error;
mod event;
mod line_buffer;
mod request;
mod response;
mod session;

pub use error::{Failure, StartError, Violation};
pub use event::{ClientAction, ClientEvent, Digests, End, Features, Header, Hello, Listing, Refusal, Verified};
pub use request::{ClientRequest, GetRequest};
pub use session::ClientSession;
