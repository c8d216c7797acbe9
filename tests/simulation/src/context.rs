//! State that a whole run shares: the clock, the random numbers, the store, the counts.

use crate::random::Random;
use crate::store::Store;

/// Deadlines are handled at most this late, in milliseconds.
pub const LATEST: u64 = 400;
/// What a whole run shares.
#[derive(Debug)]
pub struct Context {
    /// Milliseconds since the run began.
    pub now: u64,
    pub random: Random,
    pub store: Store,
    /// Buffer for bytes between a file and a connection.
    pub buf: Vec<u8>,
    pub counts: Counts,
    /// Deadlines are handled late by less than this, in milliseconds.
    pub lateness: u64,
    /// No new faults are injected any more.
    pub is_calm: bool,
    pub is_corrupt: bool,
    /// The most bytes that are moved at once.
    pub piece: usize,
    pub is_traced: bool,
}

/// Declares a struct of counts, with the words for each.
macro_rules! counts {
    ($counts:ident: $($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// Counts of what happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl $counts {
            /// Adds the counts of another run.
            pub const fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// Every count and its description.
            #[must_use]
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name),)*]
            }
        }
    };
}

pub(crate) use counts;

counts! {
    Counts:
    /// Connections that the server admitted.
    sessions: "sessions",
    /// Those over which it read a request.
    asked: "asked something",
    /// Those whose link was torn.
    cut: "cut",
    /// Those whose file had changed since the client last asked for it, or changed during the connection.
    met_change: "met a changed file",
    busy: "more were refused as busy",
    files: "files reported",
    bytes: "bytes in them",
    resumes: "resumes",
    changed: "files begun anew for a change",
    wrong_digests: "parts found damaged by their digest",
    kills: "clients killed",
    power_cuts: "clients without power",
    disk_errors: "programs ended by an error of the disk",
    not_replaced: "programs that were not to replace a file",
    foreign: "programs that left a file alone that was not theirs",
    locked: "programs that left a download to another one",
    set_aside: "parts set aside",
    timeouts: "deadlines passed",
    broken_bodies: "bodies broken off",
    stops: "servers stopped",
}

/// Prints a line, if the run is traced.
macro_rules! trace {
    ($context:expr, $($words:tt)*) => {
        if $context.is_traced {
            println!("{:>9} ms  {}", $context.now, format_args!($($words)*));
        }
    };
}
pub(crate) use trace;
