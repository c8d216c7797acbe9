//! What a request that writes has beside the members of the others.

/// What a request that writes has beside the members of the others. The size of a `put` is in
/// `length`, its `modified` in `digest_from`.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct WriteMembers {
    /// Whether a `put` has a time.
    pub is_dated: bool,
    pub parents: bool,
    /// Whether a `put` may be durable later.
    #[cfg(feature = "sync")]
    pub deferred: bool,
    pub partial: bool,
    /// Whether a `delete` has a `path`.
    pub is_directory: bool,
    /// Length in bytes of a `rename`'s new name, which is decoded behind the name.
    #[cfg(feature = "manage")]
    pub to_len: usize,
}

impl WriteMembers {
    pub(crate) const fn new() -> Self {
        Self {
            #[cfg(feature = "manage")]
            to_len: 0,
            is_dated: false,
            parents: false,
            #[cfg(feature = "sync")]
            deferred: false,
            partial: false,
            is_directory: false,
        }
    }
}
