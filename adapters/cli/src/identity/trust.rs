//! Whether a server is the one that is meant: its pins, and the user.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use coracle::channel::PublicKey;
use coracle::client::ServerTrust;
use coracle::local::Escaped;

use super::pins::{Pin, Pins};

/// What is known of a server, and of the others.
pub struct Trust {
    /// As the user typed it, with its port.
    server: String,
    host: String,
    /// Its keys. One that the user confirms is added.
    keys: Mutex<Vec<PublicKey>>,
    /// All servers that have a name or a pin.
    known: Vec<(String, PublicKey)>,
    /// Whether the user is asked about a server whose key is not known.
    asks: bool,
}

impl Trust {
    pub fn new(server: String, host: &str, keys: Vec<PublicKey>, known: Vec<(String, PublicKey)>) -> Self {
        Self { server, host: host.to_owned(), keys: Mutex::new(keys), known, asks: true }
    }

    /// Sets whether the user is asked about a server whose key is not known.
    pub fn with_asking(self, asks: bool) -> Self {
        Self { asks, ..self }
    }

    /// Those whose key this is, by other names.
    fn names_of(&self, key: &PublicKey) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (name, known) in &self.known {
            if known == key && *name != self.server && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// What to say of a server with another key than the one that is known.
    fn changed(&self, key: &PublicKey, known: &[PublicKey]) -> String {
        let meant: Vec<_> = known.iter().map(ToString::to_string).collect();
        let mut text = format!("it shows the key {key}; known is {}", meant.join(" or "));
        let names = self.names_of(key);
        // Writing to a string cannot fail.
        let _ = match names.as_str() {
            "" => write!(
                text,
                ". Another machine has the address now, or somebody is in between, or its key was replaced: ask whoever keeps it"
            ),
            names => write!(text, ". This is {names}, not {}", self.server),
        };
        text
    }

    fn confirm(&self, key: &PublicKey) -> Result<(), String> {
        let names = self.names_of(key);
        let also = if names.is_empty() { String::new() } else { format!(" (it is known as {names})") };
        if !(self.asks && io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(format!(
                "its key, {key}{also}, is not known here. If whoever keeps the server names the same key, --pin takes it"
            ));
        }
        let weak = match self.host.parse::<IpAddr>() {
            Ok(address) if !address.is_loopback() => {
                "\nAn address is kept, behind which another machine may be tomorrow, where addresses are given by DHCP."
            }
            _ => "",
        };
        let server = Escaped(&self.server);
        let question = format!(
            "The server at {server} is not known here. Its key is\n  {key}{also}\nCompare it with what 'coracle key show' prints \
             there, or with what whoever keeps it says.{weak}\nIs it the same? 'yes' keeps it: "
        );
        let mut answer = String::new();
        let asked =
            io::stderr().write_all(question.as_bytes()).and_then(|()| io::stdin().lock().read_line(&mut answer));
        match asked {
            Ok(_) if answer.trim() == "yes" => Ok(()),
            Ok(_) => Err("you did not say yes".to_owned()),
            Err(error) => Err(format!("you could not be asked: {error}")),
        }
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Vec<PublicKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerTrust for Trust {
    fn is_trusted(&self, key: &PublicKey) -> bool {
        self.keys().contains(key)
    }

    fn review(&self, key: &PublicKey) -> Result<(), String> {
        // Held while the user is asked, so that the clients of other threads wait for the answer.
        let mut keys = self.keys();
        if keys.contains(key) {
            return Ok(());
        }
        if !keys.is_empty() {
            return Err(self.changed(key, &keys));
        }
        self.confirm(key)?;
        if let Some(pins) = Pins::open() {
            pins.add(&Pin { server: self.server.clone(), key: *key }).map_err(|problem| problem.to_string())?;
        }
        keys.push(*key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coracle::channel::PublicKey;
    use coracle::client::ServerTrust;

    use super::Trust;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    #[test]
    fn e4_a_changed_key_is_told_with_both_and_with_whose_it_is() {
        let known = vec![("bench-17:8888".to_owned(), key(1)), ("bench-12:8888".to_owned(), key(2))];
        let trust = Trust::new("bench-17:8888".to_owned(), "bench-17", vec![key(1)], known);
        assert!(trust.is_trusted(&key(1)) && trust.review(&key(1)).is_ok());
        for (other, whose) in [(key(2), "This is bench-12:8888, not bench-17:8888"), (key(3), "somebody is in between")]
        {
            assert!(!trust.is_trusted(&other));
            let why = trust.review(&other).expect_err("another server");
            assert!(why.contains(&other.to_string()) && why.contains(&key(1).to_string()), "{why}");
            assert!(why.contains(whose), "{why}");
            assert!(!why.contains("coracle key") && !why.contains("--"), "nothing to paste: {why}");
        }
    }
}
