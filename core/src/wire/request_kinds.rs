//! Sets of requests.

use crate::wire::request_reader::RequestKind;

/// A set of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKinds(u16);

impl RequestKinds {
    /// Those that only read: `hello`, `list`, `stat`, `get`.
    pub const READING: Self =
        Self::NONE.with(RequestKind::Hello).with(RequestKind::List).with(RequestKind::Stat).with(RequestKind::Get);
    pub(crate) const NONE: Self = Self(0);
    #[cfg(feature = "rights")]
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// These, and `kind`.
    #[must_use]
    pub const fn with(self, kind: RequestKind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// Whether `kind` is among them.
    #[must_use]
    pub const fn has(self, kind: RequestKind) -> bool {
        self.0 >> kind as u16 & 1 != 0
    }
}
