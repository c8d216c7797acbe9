//! Whether the clients of a server may write.

use coracle_core::Store;
#[cfg(feature = "write")]
use coracle_core::WritableStore;
#[cfg(feature = "write")]
use coracle_core::exec::ReadWrite;
use coracle_core::exec::{Access, ReadOnly, StoreExchange};

/// What a [`Server`](crate::Server) does with requests that write: [`ReadOnly`] refuses them, `ReadWrite` (feature `write`) passes
/// them to a `WritableStore`.
pub trait ServerAccess<S: Store>: Access<S> + Sized {
    /// An exchange with nothing open.
    fn exchange() -> StoreExchange<S, Self>;
}

impl<S: Store> ServerAccess<S> for ReadOnly {
    fn exchange() -> StoreExchange<S, Self> {
        StoreExchange::new()
    }
}

#[cfg(feature = "write")]
impl<S: WritableStore> ServerAccess<S> for ReadWrite {
    fn exchange() -> StoreExchange<S, Self> {
        StoreExchange::writable()
    }
}
