//! Requests of a client that write.

use crate::store::{Delete, Put, Rename};
use crate::types::file_name::FileName;

/// A request that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteRequest<'a> {
    /// Sends a file, or the rest of it: see [`ClientAction::SendFile`](crate::ClientAction::SendFile).
    Put(Put<'a>),
    /// Deletes a file, an unfinished upload or an empty directory.
    Delete(Delete<'a>),
    /// Gives a file another name.
    Rename(Rename<'a>),
    /// Makes a directory.
    MakeDir {
        /// Its path.
        path: FileName<'a>,
    },
    /// Asks how much room there is.
    Space,
    /// Asks for one of the actions that `hello` lists.
    Do {
        /// The action.
        action: &'a str,
    },
    /// Makes durable what was put over this connection with [`Put::deferred`], and gives it its names. An error of the server's
    /// means that some of it may not have them: to put each file again tells which.
    #[cfg(feature = "sync")]
    Sync,
}
