//! A client's connection.

mod connection;
#[cfg(feature = "wait")]
mod follow;
#[cfg(feature = "wait")]
mod follower;
#[cfg(feature = "write")]
mod put;
#[cfg(feature = "wait")]
mod window;

pub use connection::{Client, ClientError};
#[cfg(feature = "wait")]
pub use follower::{FollowFrom, Followed, Follower};
