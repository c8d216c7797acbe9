//! Names for servers, with their addresses and keys.

use std::path::{Path, PathBuf};

use coracle::channel::PublicKey;
use coracle::client::Address;

use super::lines::{FileProblem, read, words};
use super::paths::{own, relative};

/// A host has a pre-shared key and the next one.
const MAX_PSKS: usize = 2;

/// A line of the file: `NAME ADDRESS [psk=FILE] [key=FILE] [pin=ck1...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub address: Address,
    pub psks: Vec<PathBuf>,
    pub key: Option<PathBuf>,
    pub pins: Vec<PublicKey>,
}

/// The names that the user has given to servers.
#[derive(Debug, Default)]
pub struct Hosts(Vec<Host>);

impl Hosts {
    /// Reads the user's file; there are none where it is not there.
    pub fn load() -> Result<Self, FileProblem> {
        own("hosts").map_or_else(|| Ok(Self::default()), |path| Self::parse(&path, &read(&path)?))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileProblem> {
        let mut hosts = Vec::<Host>::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = words(line);
            let Some(name) = words.next() else { continue };
            let host = parse_host(name, words, path).map_err(|what| FileProblem::in_line(path, number + 1, what))?;
            if hosts.iter().any(|other| other.name == host.name) {
                return Err(FileProblem::in_line(
                    path,
                    number + 1,
                    format_args!("a line before names {name:?} as well"),
                ));
            }
            hosts.push(host);
        }
        Ok(Self(hosts))
    }

    pub fn find(&self, name: &str) -> Option<&Host> {
        self.0.iter().find(|host| host.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.0.iter()
    }
}

/// Checks the name of a host or a device: one that can stand where a server is asked for.
pub fn check_name(name: &str) -> Result<(), String> {
    match name.parse::<Address>() {
        Ok(address) if address.host() == name && !name.contains(['#', '=']) => Ok(()),
        _ => Err(format!("{name:?} is no name: it is one word, without ':', '/', '=' and '#', as in bench-12")),
    }
}

fn parse_host<'a>(name: &str, mut words: impl Iterator<Item = &'a str>, path: &Path) -> Result<Host, String> {
    check_name(name)?;
    let Some(address) = words.next() else {
        return Err(format!("{name} has no address: NAME ADDRESS [psk=FILE] [key=FILE] [pin=ck1...]"));
    };
    let address = address.parse().map_err(|error| format!("{address:?}: {error}"))?;
    let mut host = Host { name: name.to_owned(), address, psks: Vec::new(), key: None, pins: Vec::new() };
    for word in words {
        match word.split_once('=') {
            Some((_, "")) => return Err(format!("nothing stands behind {word:?}")),
            Some(("psk", _)) if host.psks.len() == MAX_PSKS => {
                return Err("a host has two pre-shared keys at most".to_owned());
            }
            Some(("psk", file)) => host.psks.push(relative(file, path)),
            Some(("key", _)) if host.key.is_some() => return Err("there is one key= of yours for a host".to_owned()),
            Some(("key", file)) => host.key = Some(relative(file, path)),
            Some(("pin", key)) => host.pins.push(key.parse().map_err(|error| format!("pin={key}: {error}"))?),
            _ => {
                return Err(format!("{word:?} is none of psk=FILE, key=FILE and pin=ck1..., one word each"));
            }
        }
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use coracle::channel::PublicKey;

    use super::{Hosts, check_name};

    const PATH: &str = "/etc/coracle/hosts";

    #[test]
    fn a_line_names_a_server() {
        let pins = [1, 2].map(|byte| PublicKey::from_bytes([byte; 32]));
        let text = format!(
            "# benches\n\nbench-12  192.168.7.2:9000 psk=bench.psk psk=/next key=mine pin={} pin={} # by the door\r\nnas [::1]",
            pins[0], pins[1]
        );
        let hosts = Hosts::parse(Path::new(PATH), &text).expect("hosts");
        let host = hosts.find("bench-12").expect("a host");
        assert_eq!(host.address.to_string(), "192.168.7.2:9000");
        assert_eq!(host.psks, ["/etc/coracle/bench.psk", "/next"].map(PathBuf::from));
        assert_eq!(host.key, Some(PathBuf::from("/etc/coracle/mine")));
        assert_eq!(host.pins, pins);
        assert_eq!(hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["bench-12", "nas"]);
        assert!(hosts.find("bench").is_none());
    }

    #[test]
    fn e5_a_malformed_line_is_told_with_its_number() {
        let key = PublicKey::from_bytes([1; 32]).to_string();
        for (line, what) in [
            ("bench", "has no address".to_owned()),
            ("a:1 host", "is no name".to_owned()),
            ("a=b host", "is no name".to_owned()),
            ("bench host:0", "a port is a number".to_owned()),
            ("bench host psk=", "nothing stands behind".to_owned()),
            ("bench host psk=a psk=b psk=c", "two pre-shared keys at most".to_owned()),
            ("bench host key=a key=b", "one key=".to_owned()),
            ("bench host pin=ck1qq", "mistyped or cut".to_owned()),
            ("bench host password=x", "is none of psk=FILE".to_owned()),
            (&format!("bench host {key}"), "is none of psk=FILE".to_owned()),
            ("nas other", "names \"nas\" as well".to_owned()),
        ] {
            let problem = Hosts::parse(Path::new(PATH), &format!("nas host\n{line}\n")).expect_err(line).to_string();
            assert!(problem.starts_with("/etc/coracle/hosts:2: ") && problem.contains(&what), "{line}: {problem}");
        }
    }

    #[test]
    fn names_can_stand_for_servers() {
        for name in ["bench-12", "192.168.7.2", "größe"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "a b", "a:1", "a/b", "#a", "a=b", "a\u{1b}", "[::1]"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
