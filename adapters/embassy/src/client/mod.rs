//! A client's connection.

mod connection;

pub use connection::{Client, ClientError};
