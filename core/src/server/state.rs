//! The states of a server session and their transitions.
//!
//! A session serves one exchange after the other. Its state says what its owner has to do next; a report of the owner,
//! bytes of the peer, or a timer change it. While a response is under way nothing is received.
//!
//! ```text
//!   hello    Receive ─ SendLine ─ Receive
//!   list     Receive ─ AwaitReply ─ SelectEntry ⇄ SendLine ─ Receive
//!   stat     Receive ─ AwaitReply ─ Hash ─ Finish ─ SendLine ─ Receive
//!   get      Receive ─ AwaitReply ─ Hash ─ SendLine ─ SendBody ─ Finish ─ SendLine ─ Receive
//!   text     Receive ─ ShowText ─ (SendLine | SendFixedReply) ─ Receive
//!   select   Receive ─ AwaitReply ─ SendLine ─ Receive
//!   confirm  Receive ─ AwaitReply ─ SendBody ─ Receive
//! ```
//!
//! `Hash` is skipped where nothing has to be hashed. A heartbeat interrupts `Hash` and `Finish` with a `SendLine`. An error
//! is a `SendLine` in place of what would have followed, with `Receive` or `Closed` after it; inside a body there is none:
//! the session closes. Every state may be followed by `Closed`, which is final.

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for a request or for the rest of one.
    Receive,
    /// Waits for the store's answer to a request.
    AwaitReply,
    /// Sends a line, or a heartbeat before one.
    SendLine,
    /// Waits for the next entry of a listing.
    SelectEntry,
    /// Waits for bytes to be hashed that are not sent.
    Hash,
    /// Sends the file's bytes.
    SendBody,
    /// Waits for the digest, and for the file's version after its last byte.
    Finish,
    /// Shows the owner bytes that are not a request.
    #[cfg(feature = "classic")]
    ShowText,
    /// Sends the text policy's reply.
    #[cfg(feature = "classic")]
    SendFixedReply,
    /// Final.
    Closed,
}

impl State {
    /// Whether `next` may follow. Lists every transition.
    pub(super) const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Closed => false,
            _ if matches!(next, Self::Closed) => true,
            #[cfg(feature = "classic")]
            Self::Receive if matches!(next, Self::ShowText) => true,
            Self::Receive => matches!(next, Self::AwaitReply | Self::SendLine),
            Self::AwaitReply => {
                matches!(
                    next,
                    Self::SendLine | Self::SelectEntry | Self::Hash | Self::Finish | Self::SendBody | Self::Receive
                )
            }
            Self::SendLine => {
                matches!(next, Self::Receive | Self::SelectEntry | Self::Hash | Self::Finish | Self::SendBody)
            }
            Self::SelectEntry | Self::Finish => matches!(next, Self::SendLine),
            Self::Hash => matches!(next, Self::SendLine | Self::Finish),
            Self::SendBody => matches!(next, Self::Finish | Self::Receive),
            #[cfg(feature = "classic")]
            Self::ShowText => matches!(next, Self::SendLine | Self::SendFixedReply | Self::Receive),
            #[cfg(feature = "classic")]
            Self::SendFixedReply => matches!(next, Self::Receive),
        }
    }

    /// Whether bytes wait to be sent.
    pub(super) const fn is_sending(self) -> bool {
        match self {
            Self::SendLine | Self::SendBody => true,
            #[cfg(feature = "classic")]
            Self::SendFixedReply => true,
            _ => false,
        }
    }

    /// Whether the peer waits while the owner works on a digest.
    pub(super) const fn is_computing(self) -> bool {
        matches!(self, Self::Hash | Self::Finish)
    }
}

#[cfg(test)]
mod tests {
    use super::State::{self, *};

    const ALL: &[State] = &[
        Receive,
        AwaitReply,
        SendLine,
        SelectEntry,
        Hash,
        SendBody,
        Finish,
        #[cfg(feature = "classic")]
        ShowText,
        #[cfg(feature = "classic")]
        SendFixedReply,
        Closed,
    ];

    /// What may follow each state, as the picture at the top has it.
    const fn followers(state: State) -> &'static [State] {
        match state {
            #[cfg(feature = "classic")]
            Receive => &[AwaitReply, SendLine, ShowText, Closed],
            #[cfg(not(feature = "classic"))]
            Receive => &[AwaitReply, SendLine, Closed],
            AwaitReply => &[Receive, SendLine, SelectEntry, Hash, SendBody, Finish, Closed],
            SendLine => &[Receive, SelectEntry, Hash, SendBody, Finish, Closed],
            SelectEntry | Finish => &[SendLine, Closed],
            Hash => &[SendLine, Finish, Closed],
            SendBody => &[Finish, Receive, Closed],
            #[cfg(feature = "classic")]
            ShowText => &[SendLine, SendFixedReply, Receive, Closed],
            #[cfg(feature = "classic")]
            SendFixedReply => &[Receive, Closed],
            Closed => &[],
        }
    }

    #[test]
    fn transitions_are_those_of_the_picture() {
        for state in ALL {
            for next in ALL {
                let is_listed = followers(*state).contains(next);
                assert_eq!(state.may_become(*next), is_listed, "{state:?} to {next:?}");
            }
        }
    }
}
