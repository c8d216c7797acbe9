//! The client's session: a state machine for one connection.

mod ahead;
mod error;
mod event;
mod expectation;
mod line_buffer;
mod request;
mod response;
mod session;
#[cfg(feature = "write")]
mod upload;
#[cfg(feature = "write")]
mod write_request;

pub use error::{Failure, StartError, Violation};
#[cfg(feature = "write")]
pub use event::{Actions, Ready, Stored};
pub use event::{ClientAction, ClientEvent, Digests, End, Features, Header, Hello, Listing, Refusal, Verified};
pub use request::{ClientRequest, GetRequest};
pub use session::ClientSession;
#[cfg(feature = "write")]
pub use write_request::WriteRequest;
