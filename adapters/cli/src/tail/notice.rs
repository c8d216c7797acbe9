//! What is told of a followed file beside its contents.

use std::fmt;
use std::net::SocketAddr;

use coracle::client::Error;
use coracle::local::Escaped;
use coracle_core::Code;
use serde_json::{Map, Value};

/// What happened to a file or its server.
#[derive(Debug)]
pub enum Notice {
    BeginsAnew { known_to: Option<u64> },
    Dropped { bytes: u64 },
    Waiting(Error),
    Resumed { moved_to: Option<SocketAddr> },
}

impl Notice {
    /// The lines for people.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let name = Escaped(name);
        match self {
            Self::BeginsAnew { known_to: Some(bytes) } => {
                vec![
                    format!("-- what {name} had behind byte {} is not known --", Grouped(*bytes)),
                    format!("-- {name} begins anew --"),
                ]
            }
            Self::BeginsAnew { known_to: None } => vec![format!("-- {name} begins anew --")],
            Self::Dropped { bytes } => {
                vec![format!("-- {} bytes dropped before they could be read --", Grouped(*bytes))]
            }
            Self::Waiting(Error::Refused { code: Some(Code::NotFound), .. }) => {
                vec![format!("-- {name} is not there, waiting for it --")]
            }
            Self::Waiting(error @ Error::Refused { .. }) => vec![format!("-- {error}, trying again --")],
            Self::Waiting(error) if error.is_busy() => vec!["-- busy, trying again --".to_owned()],
            Self::Waiting(error) => vec![error.to_string(), "-- unreachable, trying again --".to_owned()],
            Self::Resumed { moved_to: None } => vec!["-- going on --".to_owned()],
            Self::Resumed { moved_to: Some(address) } => vec![format!("-- going on, at {address} --")],
        }
    }

    /// The members of a JSON object.
    pub fn json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let word = match self {
            Self::BeginsAnew { .. } => "beginsAnew",
            Self::Dropped { .. } => "dropped",
            Self::Waiting(Error::Refused { code: Some(Code::NotFound), .. }) => "missing",
            Self::Waiting(Error::Refused { .. }) => "refused",
            Self::Waiting(error) if error.is_busy() => "busy",
            Self::Waiting(_) => "unreachable",
            Self::Resumed { .. } => "resumed",
        };
        object.insert("notice".into(), word.into());
        match self {
            Self::BeginsAnew { known_to: Some(bytes) } => drop(object.insert("knownTo".into(), (*bytes).into())),
            Self::Dropped { bytes } => drop(object.insert("bytes".into(), (*bytes).into())),
            Self::Resumed { moved_to: Some(address) } => {
                drop(object.insert("address".into(), address.to_string().into()))
            }
            Self::Waiting(error) => drop(object.insert("reason".into(), error.to_string().into())),
            _ => {}
        }
        object
    }
}

/// A number with a comma before each three digits.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coracle::client::Error;
    use coracle_core::Code;

    use super::{Grouped, Notice};

    #[test]
    fn numbers_are_grouped() {
        let text = |number| Grouped(number).to_string();
        assert_eq!([0, 999, 1_204, 1_234_567].map(text), ["0", "999", "1,204", "1,234,567"]);
        assert_eq!(text(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn what_happened_is_told() {
        let refused = |code, message: &str| {
            let error = Error::Refused { code: Some(code), code_name: String::new(), message: message.to_owned() };
            Notice::Waiting(error)
        };
        for (notice, lines) in [
            (Notice::BeginsAnew { known_to: None }, &["-- boot.log begins anew --"][..]),
            (
                Notice::BeginsAnew { known_to: Some(5_321) },
                &["-- what boot.log had behind byte 5,321 is not known --", "-- boot.log begins anew --"],
            ),
            (Notice::Dropped { bytes: 1_204 }, &["-- 1,204 bytes dropped before they could be read --"]),
            (refused(Code::NotFound, "not found"), &["-- boot.log is not there, waiting for it --"]),
            (refused(Code::Denied, "permission denied"), &["-- permission denied, trying again --"]),
            (Notice::Resumed { moved_to: None }, &["-- going on --"]),
            (Notice::Resumed { moved_to: Some(([10, 0, 0, 9], 8888).into()) }, &["-- going on, at 10.0.0.9:8888 --"]),
        ] {
            assert_eq!(notice.lines("boot.log"), lines);
        }
        let error = std::io::ErrorKind::ConnectionRefused.into();
        let lines = Notice::Waiting(Error::Connect { peer: "there".to_owned(), error }).lines("boot.log");
        assert_eq!((lines.len(), lines[1].as_str()), (2, "-- unreachable, trying again --"));
    }
}
