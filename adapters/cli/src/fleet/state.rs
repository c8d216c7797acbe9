//! What became of a host.

use coracle::client::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::exit::Exit;

/// How a host ended: exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is as it should be, by this run.
    Done,
    /// It was as it should be.
    Unchanged,
    /// It answered, and is not as it should be; or this machine failed.
    Failed,
    /// It did not answer, or the connection broke until all retries were made.
    Unreachable,
    /// Nothing was asked of it.
    NotTried,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Done, Self::Unchanged, Self::Failed, Self::Unreachable, Self::NotTried];

    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::NotTried => "not tried",
        }
    }

    /// Whether the host is as it should be.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Done | Self::Unchanged)
    }
}

/// What became of a host, and what is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub state: State,
    /// Why it failed, for people.
    pub reason: Option<String>,
    /// The exit code that stands for it.
    pub exit: Exit,
    /// Lines for standard output, each with its end.
    pub text: String,
    /// Members of its object with `--json`.
    pub members: Map<String, Value>,
}

impl Outcome {
    pub fn new(state: State) -> Self {
        Self { state, reason: None, exit: Exit::Done, text: String::new(), members: Map::new() }
    }

    /// A host that answered, and is not as it should be.
    pub fn failed(exit: Exit, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), exit, ..Self::new(State::Failed) }
    }

    /// What an error of a request means for the host.
    pub fn of_error(error: &Error) -> Self {
        let state = if error.kind() == ErrorKind::Network { State::Unreachable } else { State::Failed };
        Self { reason: Some(error.to_string()), exit: error.kind().into(), ..Self::new(state) }
    }

    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub fn with_text(self, text: String) -> Self {
        Self { text, ..self }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::of_error(&error)
    }
}

/// The exit code of a run: that of the worst of its hosts.
pub fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::Network => 1,
        Exit::Refused => 2,
        Exit::Usage => 3,
        Exit::LocalFile => 4,
        Exit::Verification => 5,
        Exit::Signal(_) => 6,
    };
    exits.max_by_key(rank).unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::worst;
    use crate::exit::Exit;

    #[test]
    fn the_worst_host_gives_the_exit_code() {
        assert_eq!(worst([].into_iter()), Exit::Done);
        assert_eq!(worst([Exit::Done, Exit::Network].into_iter()), Exit::Network);
        assert_eq!(worst([Exit::Verification, Exit::Refused, Exit::Network].into_iter()), Exit::Verification);
    }
}
