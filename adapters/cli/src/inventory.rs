//! Hosts of a command that talks to many: as typed, and in files with a host a line.
//!
//! ```text
//! # bench.txt
//! 192.168.7.2        name=bench-2 rack=a
//! 192.168.7.3:9000   name=bench-3 rack=b
//! bench-4            rack=b            # its own name
//! ```

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::discovery;
use crate::identity::{FileProblem, HostArg, words};

/// More than any inventory has, in bytes.
const MAX_LEN: u64 = 16 << 20;
/// What stands in the hosts file, which is looked after as keys are.
const OF_HOSTS_FILE: [&str; 3] = ["psk", "key", "pin"];

/// A host, or a file of hosts, as an argument.
#[derive(Clone, Debug)]
pub enum HostsArg {
    /// A host, and what was typed.
    Host(Box<HostArg>, String),
    /// `@FILE`.
    File(PathBuf),
    /// `mdns:`: those that announce themselves in the local network.
    Announced,
}

/// `KEY=VALUE`: what a line of an inventory must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    key: String,
    value: String,
}

/// A host of a command that talks to many.
#[derive(Clone, Debug)]
pub struct Member {
    pub host: HostArg,
    /// The host as it was written.
    pub written: String,
    /// The value of `name`, or else the host as it was written. No other member has it.
    pub name: String,
    /// What stands behind the host in its line, in that order.
    pub attributes: Vec<(String, String)>,
    /// The file and the number of the line, where it stands in one.
    place: Option<(PathBuf, usize)>,
}

/// Why it is not known which hosts are meant.
#[derive(Debug, PartialEq, Eq)]
pub enum InventoryError {
    /// A file cannot be read, or is malformed.
    File(FileProblem),
    /// Two hosts have one name.
    SameName(String),
    /// There is no host.
    Empty(String),
    /// The local network was searched, and gave none.
    Search(String),
}

impl FromStr for HostsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some("") => Err("a file of hosts is @FILE".to_owned()),
            Some(file) => Ok(Self::File(file.into())),
            None if text == "mdns:" => Ok(Self::Announced),
            None => {
                let host = text.parse().map_err(|error: <HostArg as FromStr>::Err| error.to_string())?;
                Ok(Self::Host(Box::new(host), text.to_owned()))
            }
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("a condition is KEY=VALUE, as rack=b".to_owned()),
        }
    }
}

impl Member {
    fn new(host: HostArg, written: &str) -> Self {
        let (written, name) = (written.to_owned(), written.to_owned());
        Self { host, written, name, attributes: Vec::new(), place: None }
    }

    /// The value of `key`: of a key of its line, or `name`.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        if key == "name" {
            return Some(&self.name);
        }
        self.attributes.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Where it was written, for messages.
    pub fn place(&self) -> String {
        match &self.place {
            Some((path, line)) => format!("{}:{line}", path.display()),
            None => "the arguments".to_owned(),
        }
    }

    fn meets(&self, condition: &Condition) -> bool {
        self.attribute(&condition.key) == Some(condition.value.as_str())
    }
}

/// The hosts that `arguments` name and that meet all `conditions`, in their order: at least one, and no two of one name.
///
/// # Errors
///
/// Which line is wrong, and what would be right.
pub fn members(arguments: &[HostsArg], conditions: &[Condition]) -> Result<Vec<Member>, InventoryError> {
    let mut members = Vec::new();
    for argument in arguments {
        match argument {
            HostsArg::Host(host, written) => members.push(Member::new((**host).clone(), written)),
            HostsArg::Announced => {
                for written in discovery::hosts(discovery::TIMEOUT).map_err(InventoryError::Search)? {
                    let host =
                        written.parse().map_err(|error| InventoryError::Search(format!("{written:?}: {error}")))?;
                    members.push(Member::new(host, &written));
                }
            }
            HostsArg::File(path) => members.extend(parse(path, &read(path)?)?),
        }
    }
    let mut names = HashMap::<&str, &Member>::new();
    for member in &members {
        if let Some(other) = names.insert(&member.name, member) {
            return Err(InventoryError::SameName(format!(
                "{}: {} is in {} already: each host needs a name of its own",
                member.place(),
                member.name,
                other.place()
            )));
        }
    }
    let listed = members.len();
    members.retain(|member| conditions.iter().all(|condition| member.meets(condition)));
    match (members.is_empty(), listed) {
        (false, _) => Ok(members),
        (true, 0) => Err(InventoryError::Empty("no host is listed".to_owned())),
        (true, _) => Err(InventoryError::Empty(format!("none of the {listed} hosts meets each --where"))),
    }
}

fn read(path: &Path) -> Result<String, FileProblem> {
    let problem = |error: io::Error| FileProblem::new(path, error);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut bytes)).map_err(problem)?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(FileProblem::new(path, "is longer than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        FileProblem::in_line(path, line, "is not UTF-8")
    })
}

fn parse(path: &Path, text: &str) -> Result<Vec<Member>, FileProblem> {
    let mut members = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = words(line);
        let Some(host) = words.next() else { continue };
        let member = parse_member(host, words);
        let mut member = member.map_err(|what| FileProblem::in_line(path, number + 1, what))?;
        member.place = Some((path.to_owned(), number + 1));
        members.push(member);
    }
    Ok(members)
}

fn parse_member<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Result<Member, String> {
    let host = written.parse().map_err(|error| format!("{written:?}: {error}"))?;
    let mut attributes = Vec::<(String, String)>::new();
    for word in words {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => (key, value),
            _ => return Err(format!("{word:?} is no key=value; a line is HOST[:PORT] key=value...")),
        };
        if OF_HOSTS_FILE.contains(&key) {
            return Err(format!("{key}= belongs in ~/.config/coracle/hosts, under the name of the host"));
        }
        if attributes.iter().any(|(other, _)| other == key) {
            return Err(format!("{key}= stands there twice"));
        }
        attributes.push((key.to_owned(), value.to_owned()));
    }
    let name = attributes.iter().find(|(key, _)| key == "name").map_or(written, |(_, value)| value).to_owned();
    if name.chars().any(char::is_control) {
        return Err(format!("{name:?} is no name: it has a control character"));
    }
    Ok(Member { host, written: written.to_owned(), name, attributes, place: None })
}

impl From<FileProblem> for InventoryError {
    fn from(problem: FileProblem) -> Self {
        Self::File(problem)
    }
}

impl fmt::Display for InventoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(problem) => problem.fmt(f),
            Self::SameName(what) | Self::Empty(what) | Self::Search(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Condition, HostsArg, InventoryError, Member, members, parse};

    fn names(members: &[Member]) -> Vec<&str> {
        members.iter().map(|member| member.name.as_str()).collect()
    }

    fn parsed(words: &[&str]) -> Vec<HostsArg> {
        words.iter().map(|word| word.parse().expect(word)).collect()
    }

    #[test]
    fn a_file_and_hosts_are_one_list() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bench.txt");
        fs::write(
            &path,
            "# ours\n192.168.7.2 name=bench-2 rack=a\n\n[::1]:9000 rack=b # by the door\r\nbench-4 rack=b",
        )
        .expect("written");
        let file = format!("@{}", path.display());
        let all = members(&parsed(&["nas:1", &file]), &[]).expect("hosts");
        assert_eq!(names(&all), ["nas:1", "bench-2", "[::1]:9000", "bench-4"]);
        assert_eq!((all[1].written.as_str(), all[1].host.host()), ("192.168.7.2", "192.168.7.2"));
        assert_eq!((all[2].attribute("rack"), all[2].attribute("row")), (Some("b"), None));
        assert!(all[3].place().ends_with("bench.txt:5"));
        let conditions =
            |words: &[&str]| words.iter().map(|word| word.parse().expect("one")).collect::<Vec<Condition>>();
        let some = members(&parsed(&["nas", &file]), &conditions(&["rack=b"])).expect("hosts");
        assert_eq!(names(&some), ["[::1]:9000", "bench-4"]);
        let some = members(&parsed(&[&file]), &conditions(&["rack=b", "name=bench-4"])).expect("hosts");
        assert_eq!(names(&some), ["bench-4"]);
        let none = members(&parsed(&[&file]), &conditions(&["rack=b", "rack=a"])).expect_err("none");
        assert_eq!(none.to_string(), "none of the 3 hosts meets each --where");
    }

    #[test]
    fn g1_a_name_that_is_listed_twice_is_told_with_both_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bench.txt");
        fs::write(&path, "a name=one\n\nb name=one\n").expect("written");
        let file = format!("@{}", path.display());
        let error = members(&parsed(&[&file]), &[]).expect_err("one name").to_string();
        assert!(error.contains("bench.txt:3: one is in ") && error.contains("bench.txt:1 already"), "{error}");
        let error = members(&parsed(&["a", "a"]), &[]).expect_err("one host").to_string();
        assert!(error.contains("the arguments: a is in the arguments already"), "{error}");
        fs::write(&path, "# nothing\n").expect("written");
        assert_eq!(
            members(&parsed(&[&file]), &[]).expect_err("none"),
            InventoryError::Empty("no host is listed".to_owned())
        );
        let missing = directory.path().join("none.txt");
        let error = members(&parsed(&[&format!("@{}", missing.display())]), &[]).expect_err("no file").to_string();
        assert!(error.contains("none.txt: No such file"), "{error}");
    }

    #[test]
    fn g1_a_malformed_line_is_told_with_its_number() {
        for (line, what) in [
            ("host:0", "a port is a number"),
            ("::1 rack=a", "stands in brackets"),
            ("host rack", "\"rack\" is no key=value"),
            ("host rack=", "\"rack=\" is no key=value"),
            ("host =a", "\"=a\" is no key=value"),
            ("host rack=a rack=b", "rack= stands there twice"),
            ("host pin=ck1qq", "pin= belongs in ~/.config/coracle/hosts"),
            ("host name=a\u{1b}b", "control character"),
        ] {
            let problem = parse(Path::new("bench.txt"), &format!("ok\n{line}\n")).expect_err(line).to_string();
            assert!(problem.starts_with("bench.txt:2: ") && problem.contains(what), "{line}: {problem}");
        }
        assert!("@".parse::<HostsArg>().is_err() && "a".parse::<Condition>().is_err());
    }
}
