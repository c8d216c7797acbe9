//! Exit codes and error messages.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use coracle::Escaped;
use coracle::client::{Error, ErrorKind};
use coracle::local::LocalError;

use crate::identity;

/// How the program ended. The numbers are part of the interface of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// The server refused: not found, not allowed, and so on.
    Refused,
    /// The arguments contradict each other. (clap itself exits with 2 where one of them is invalid.)
    Usage,
    /// The network failed or timed out.
    Network,
    /// What was received is not what the server has.
    Verification,
    /// A local file or directory could not be read or written.
    LocalFile,
    /// Ended by this signal.
    Signal(u8),
}

impl Exit {
    /// The number that a shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Network => 3,
            Self::Verification => 4,
            Self::LocalFile => 5,
            Self::Signal(number) => number.saturating_add(128),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Refused => Self::Refused,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Network => Self::Network,
            ErrorKind::Verification => Self::Verification,
            ErrorKind::Local => Self::LocalFile,
        }
    }
}

/// Prints why `what` failed, and returns the exit code.
pub fn report_failure(what: &str, error: &Error) -> Exit {
    match error {
        // The reader of standard output wants no more, as `head` does.
        Error::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        error => {
            print_error(describe(what, error));
            if let Some(hint) = identity::hint(error) {
                print_error(hint);
            }
            error.kind().into()
        }
    }
}

/// `WHAT: REASON`, where the reason does not name it itself.
fn describe(what: &str, error: &Error) -> String {
    let reason = error.to_string();
    match error {
        Error::Local(LocalError::Name { name, .. }) if Path::new(what).ends_with(name) => {
            reason.replacen(&Escaped(name).to_string(), what, 1)
        }
        Error::Local(error) if error.path().is_some_and(|path| path.ends_with(what)) => reason,
        Error::Refused { .. } => {
            let name = format!(": {}", Escaped(what));
            format!("{what}: {}", reason.strip_suffix(&name).unwrap_or(&reason))
        }
        _ => format!("{what}: {reason}"),
    }
}

/// Prints `coracle: MESSAGE` on standard error, as one line. Control characters are escaped, since messages contain names and
/// texts from peers and file systems.
pub fn print_error(message: impl Display) {
    // One write, so that lines of programs that share standard error do not mix.
    let line = format!("coracle: {}\n", Escaped(&message.to_string()));
    // There is no other place for the message when standard error is closed.
    drop(io::stderr().lock().write_all(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use coracle::client::Error;
    use coracle::local::LocalError;
    use coracle_core::Code;

    use super::describe;

    #[test]
    fn errors_name_the_file_once_and_the_reason_once() {
        let refused = |code, name: &str, message: &str| Error::Refused {
            code,
            code_name: name.to_owned(),
            message: message.to_owned(),
        };
        let exists = |path: &str| Error::Local(LocalError::Exists(PathBuf::from(path)));
        let name = Error::Local(LocalError::Name { name: "CON".to_owned(), why: "it names a device" });
        for (what, error, text) in [
            ("d/a", refused(Some(Code::NotFound), "notFound", "not found: d/a"), "d/a: not found"),
            ("d/a", refused(Some(Code::Denied), "denied", "permission denied"), "d/a: permission denied"),
            ("d/a", refused(Some(Code::Denied), "denied", ""), "d/a: the server says denied"),
            ("d/a", refused(None, "newCode", "of tomorrow"), "d/a: of tomorrow (newCode)"),
            ("d/a", exists("to/d/a"), "to/d/a exists already: --force would replace it"),
            ("d/a", exists("./a"), "d/a: ./a exists already: --force would replace it"),
            ("d/CON", name, "d/CON cannot be saved under its name: it names a device"),
            (
                "a",
                Error::Changed,
                "a: the file changed each time while it was fetched: --snapshot takes it as it is sent; where it only grows, \
                 the server can say so with --append",
            ),
        ] {
            assert_eq!(describe(what, &error), text);
        }
    }
}
