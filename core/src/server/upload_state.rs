//! How far a `put` is.

#[cfg(feature = "sync")]
use crate::store::Deferral;
use crate::wire::code::Code;
use crate::wire::message::Message;

/// A `put` under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upload {
    pub(super) stage: Stage,
    pub(super) reads_back: bool,
    /// The request that is complete but for its line ending, or why it is refused when it has ended.
    pub(super) unended: Option<Result<(), (Code, Message)>>,
    /// What was put since the last sync and is durable later.
    #[cfg(feature = "sync")]
    pub(super) deferral: Option<Deferral>,
}

/// What is hashed or received for a `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The file that is there already.
    Compare,
    /// What earlier connections have sent.
    Prefix,
    Body,
    /// What is stored, before it is committed.
    Verify,
}

impl Upload {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Compare,
            reads_back: false,
            unended: None,
            #[cfg(feature = "sync")]
            deferral: None,
        }
    }
}
