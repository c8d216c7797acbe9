//! What a client asks for, and whether it may.

use super::actions::ActionWords;
use crate::types::file_name::FileName;
use crate::wire::request_kinds::{RequestKind, RequestKinds};

/// What a client asks for, as far as it matters for its rights: the question of [`Action::Permit`](crate::Action::Permit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Demand<'a> {
    /// The exchange. `Hello` stands also for a request that is malformed, or that the server does not know.
    pub kind: RequestKind,
    /// The file or directory; of `do` the action. Empty for the root, and where a request has none.
    pub subject: &'a str,
    /// The new name, of `rename`; else empty.
    pub to: &'a str,
    /// The actions that the server offers.
    pub actions: ActionWords<'a>,
}

/// The answer to [`Action::Permit`](crate::Action::Permit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Permit<'a> {
    /// The client may do that.
    Granted(Grant),
    /// It may not: `denied`, before anything is looked up.
    Denied,
    /// The owner does not know the client at all: `denied`, and the connection closes.
    Unknown {
        /// What the client tells the owner to become known, its public key for example: at most 64 bytes are told.
        key: &'a str,
    },
}

/// How a request is permitted, and what `hello` tells of what else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(super) kinds: RequestKinds,
    /// One bit for each offered action, the first one lowest.
    pub(super) actions: u8,
    is_confined: bool,
    may_compare: bool,
}

impl Grant {
    /// Permits the request, and all others in `hello`.
    pub const ALL: Self = Self { kinds: RequestKinds::ALL, actions: u8::MAX, is_confined: false, may_compare: true };

    pub(super) const fn new(kinds: RequestKinds, actions: u8) -> Self {
        Self { kinds, actions, ..Self::ALL }
    }

    pub(super) const fn with_confined(self, is_confined: bool) -> Self {
        Self { is_confined, ..self }
    }

    pub(super) const fn with_comparing(self, may_compare: bool) -> Self {
        Self { may_compare, ..self }
    }

    /// Whether the right is limited to a directory: then no link is followed.
    #[must_use]
    pub const fn is_confined(&self) -> bool {
        self.is_confined
    }

    /// Whether the client may learn that the file of a `put` is there already.
    #[must_use]
    pub const fn may_compare(&self) -> bool {
        self.may_compare
    }
}

impl<'a> Demand<'a> {
    /// A demand of this kind: of a file or directory, or of an action.
    #[must_use]
    pub const fn new(kind: RequestKind, subject: &'a str) -> Self {
        Self { kind, subject, to: "", actions: ActionWords::NONE }
    }

    /// Sets [`Demand::to`].
    #[must_use]
    pub const fn with_to(self, to: &'a str) -> Self {
        Self { to, ..self }
    }

    /// Sets [`Demand::actions`].
    #[must_use]
    pub const fn with_actions(self, actions: ActionWords<'a>) -> Self {
        Self { actions, ..self }
    }

    /// The file or directory that it names; `None` for the root, and where it names none.
    #[must_use]
    pub fn name(&self) -> Option<FileName<'a>> {
        FileName::new(self.subject).ok()
    }
}
