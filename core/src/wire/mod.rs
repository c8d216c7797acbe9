//! The wire format: scanning, reading and writing JSON lines, in both directions.

pub(crate) mod code;
pub(crate) mod decimal;
pub(crate) mod escape;
#[cfg(any(feature = "wait", feature = "absolute"))]
mod follow_request;
#[cfg(any(feature = "wait", feature = "absolute"))]
pub(crate) mod follow_response;
pub(crate) mod json;
pub(crate) mod line_kind;
#[cfg(feature = "manage")]
pub(crate) mod manage_request;
pub(crate) mod members;
pub(crate) mod message;
pub(crate) mod names;
#[cfg(feature = "rights")]
mod permitted;
pub(crate) mod request_kinds;
pub(crate) mod request_reader;
pub(crate) mod request_writer;
pub(crate) mod response_reader;
pub(crate) mod response_writer;
pub(crate) mod scanner;
pub(crate) mod text_table;
#[cfg(feature = "write")]
pub(crate) mod write_extras;
#[cfg(feature = "write")]
pub(crate) mod write_members;
#[cfg(feature = "write")]
pub(crate) mod write_request;
#[cfg(feature = "write")]
pub(crate) mod write_response;
#[cfg(feature = "write")]
pub(crate) mod write_writer;
