//! The states of a server session and their transitions.
//!
//! A session serves one exchange after the other. Its state says what its owner has to do next; a report of the owner,
//! bytes of the peer, or a timer change it. While a response is under way nothing is received.
//!
//! ```text
//!   hello    Receive ─ SendLine ─ Receive
//!   list     Receive ─ AwaitReply ─ SelectEntry ⇄ SendLine ─ Receive
//!   stat     Receive ─ AwaitReply ─ Hash ─ Finish ─ SendLine ─ Receive
//!   get      Receive ─ AwaitReply (⇄ Watch | AwaitStore) ─ Hash ─ SendLine ─ SendBody ─ Finish ─ SendLine ─ Receive
//!   text     Receive ─ ShowText ─ (SendLine | SendFixedReply) ─ Receive
//!   select   Receive ─ AwaitReply ─ SendLine ─ Receive
//!   confirm  Receive ─ AwaitReply ─ SendBody ─ Receive
//!   put      Receive ─ AwaitReply (⇄ AwaitTurn) ─ Hash ─ SendLine ─ ReceiveBody ─ Hash ─ Finish ─ Commit ─ SendLine ─ Receive
//!   delete   Receive ─ AwaitReply ─ SendLine ─ Receive                     rename, makeDir, space, do: the same
//!   sync     Receive ─ AwaitReply (─ Commit) ─ SendLine ─ Receive
//! ```
//!
//! With rights, a `Permit` comes before `AwaitReply` (behind `Watch` and `AwaitStore`, too) and the `SendLine` of a `hello`, and before
//! `Commit`. `Hash` is skipped where nothing has to be hashed. A `stat` and a `select` may come to `AwaitStore` as a `get` may. A heartbeat
//! interrupts `Hash`, `Finish`, `Watch` and `AwaitStore` with a `SendLine`. An error is a `SendLine` in place of what would have
//! followed, with `Receive` or `Closed` after it; inside a body there is none: the session closes. A `put` compares a file that is
//! there by `Hash` and `Finish` before it asks for another reply, and sends heartbeats in all of its states. Every state may be
//! followed by `Closed`, which is final.

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for a request or for the rest of one.
    Receive,
    /// Waits for the owner's decision whether the client may go on.
    #[cfg(feature = "rights")]
    Permit,
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
    /// Waits until the file of a `get` may have changed.
    #[cfg(feature = "wait")]
    Watch,
    /// Waits for the store, which was not ready.
    #[cfg(feature = "wait")]
    AwaitStore,
    /// Waits before it asks the store again.
    #[cfg(feature = "write")]
    AwaitTurn,
    /// Waits for the bytes of a file that is put.
    #[cfg(feature = "write")]
    ReceiveBody,
    /// Waits until the file that was put has its name, or all that were put are durable.
    #[cfg(feature = "write")]
    Commit,
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
            #[cfg(feature = "rights")]
            Self::Permit if matches!(next, Self::AwaitReply | Self::SendLine) => true,
            #[cfg(all(feature = "rights", feature = "write"))]
            Self::Permit => matches!(next, Self::Commit),
            #[cfg(all(feature = "rights", not(feature = "write")))]
            Self::Permit => false,
            #[cfg(feature = "rights")]
            Self::Receive if matches!(next, Self::Permit) => true,
            #[cfg(all(feature = "rights", feature = "write"))]
            Self::AwaitTurn | Self::Finish if matches!(next, Self::Permit) => true,
            #[cfg(feature = "wait")]
            Self::AwaitReply | Self::SendLine if matches!(next, Self::Watch | Self::AwaitStore) => true,
            #[cfg(all(feature = "wait", feature = "rights"))]
            Self::Watch | Self::AwaitStore if matches!(next, Self::Permit) => true,
            #[cfg(feature = "wait")]
            Self::Watch | Self::AwaitStore => matches!(next, Self::AwaitReply | Self::SendLine),
            #[cfg(feature = "write")]
            Self::AwaitReply if matches!(next, Self::AwaitTurn) => true,
            #[cfg(feature = "sync")]
            Self::AwaitReply if matches!(next, Self::Commit) => true,
            #[cfg(feature = "write")]
            Self::AwaitTurn | Self::Commit if matches!(next, Self::SendLine) => true,
            #[cfg(feature = "write")]
            Self::AwaitTurn => matches!(next, Self::AwaitReply),
            #[cfg(feature = "write")]
            Self::Commit => false,
            #[cfg(feature = "write")]
            Self::SendLine if matches!(next, Self::AwaitReply | Self::AwaitTurn | Self::ReceiveBody | Self::Commit) => {
                true
            }
            #[cfg(feature = "write")]
            Self::Finish if matches!(next, Self::AwaitReply | Self::Commit) => true,
            #[cfg(feature = "write")]
            Self::ReceiveBody => matches!(next, Self::SendLine | Self::Hash | Self::Finish),
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

    /// Whether the owner has to reply.
    pub(super) const fn awaits_reply(self) -> bool {
        match self {
            Self::AwaitReply => true,
            #[cfg(feature = "write")]
            Self::Commit => true,
            _ => false,
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

    /// Whether the peer waits while the owner works, on a digest for example, and hears heartbeats.
    pub(super) const fn is_computing(self) -> bool {
        match self {
            Self::Hash | Self::Finish => true,
            #[cfg(feature = "wait")]
            Self::Watch | Self::AwaitStore => true,
            #[cfg(feature = "write")]
            Self::AwaitTurn | Self::ReceiveBody | Self::Commit => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State::{self, *};

    const ALL: &[State] = &[
        Receive,
        #[cfg(feature = "rights")]
        Permit,
        AwaitReply,
        SendLine,
        SelectEntry,
        Hash,
        SendBody,
        Finish,
        #[cfg(feature = "wait")]
        Watch,
        #[cfg(feature = "wait")]
        AwaitStore,
        #[cfg(feature = "write")]
        AwaitTurn,
        #[cfg(feature = "write")]
        ReceiveBody,
        #[cfg(feature = "write")]
        Commit,
        #[cfg(feature = "classic")]
        ShowText,
        #[cfg(feature = "classic")]
        SendFixedReply,
        Closed,
    ];

    /// What may follow each state, as the picture at the top has it.
    const fn followers(state: State) -> &'static [State] {
        #[cfg(feature = "rights")]
        match state {
            #[cfg(feature = "classic")]
            Receive => return &[Permit, AwaitReply, SendLine, ShowText, Closed],
            #[cfg(not(feature = "classic"))]
            Receive => return &[Permit, AwaitReply, SendLine, Closed],
            #[cfg(feature = "write")]
            Permit => return &[AwaitReply, SendLine, Commit, Closed],
            #[cfg(not(feature = "write"))]
            Permit => return &[AwaitReply, SendLine, Closed],
            #[cfg(feature = "write")]
            AwaitTurn => return &[Permit, AwaitReply, SendLine, Closed],
            #[cfg(feature = "write")]
            Finish => return &[Permit, SendLine, AwaitReply, Commit, Closed],
            _ => {}
        }
        #[cfg(feature = "write")]
        match state {
            AwaitReply => return &[Receive, SendLine, SelectEntry, Hash, SendBody, Finish, AwaitTurn, Closed],
            #[cfg(not(feature = "rights"))]
            AwaitTurn => return &[AwaitReply, SendLine, Closed],
            ReceiveBody => return &[SendLine, Hash, Finish, Closed],
            Commit => return &[SendLine, Closed],
            SendLine => {
                return &[
                    Receive,
                    SelectEntry,
                    Hash,
                    SendBody,
                    Finish,
                    AwaitReply,
                    AwaitTurn,
                    ReceiveBody,
                    Commit,
                    Closed,
                ];
            }
            #[cfg(not(feature = "rights"))]
            Finish => return &[SendLine, AwaitReply, Commit, Closed],
            _ => {}
        }
        match state {
            #[cfg(all(feature = "classic", not(feature = "rights")))]
            Receive => &[AwaitReply, SendLine, ShowText, Closed],
            #[cfg(not(any(feature = "classic", feature = "rights")))]
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
            // Closed, and what has returned above.
            _ => &[],
        }
    }

    /// Whether `next` may follow in a session that waits for a file to change, or for the store.
    #[cfg(feature = "wait")]
    const fn is_of_a_wait(state: State, next: State) -> bool {
        match state {
            AwaitReply | SendLine => matches!(next, Watch | AwaitStore),
            #[cfg(feature = "rights")]
            Watch | AwaitStore if matches!(next, Permit) => true,
            Watch | AwaitStore => matches!(next, AwaitReply | SendLine | Closed),
            _ => false,
        }
    }

    /// Whether `next` may follow in a session that makes durable what was put.
    #[cfg(feature = "sync")]
    const fn is_of_a_sync(state: State, next: State) -> bool {
        matches!((state, next), (AwaitReply, Commit))
    }

    #[test]
    fn transitions_are_those_of_the_picture() {
        for state in ALL {
            for next in ALL {
                let is_listed = followers(*state).contains(next);
                #[cfg(feature = "wait")]
                let is_listed = is_listed || is_of_a_wait(*state, *next);
                #[cfg(feature = "sync")]
                let is_listed = is_listed || is_of_a_sync(*state, *next);
                assert_eq!(state.may_become(*next), is_listed, "{state:?} to {next:?}");
            }
        }
    }
}
