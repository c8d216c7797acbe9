//! An address to listen on, as typed: the value of `--listen`, and two fields of the console.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use coracle::server::DEFAULT_ADDRESS;

/// A host's address or name, and a port, not yet resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Without brackets; empty for every address of this machine.
    pub host: String,
    pub port: String,
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self { host: DEFAULT_ADDRESS.ip().to_string(), port: DEFAULT_ADDRESS.port().to_string() }
    }
}

impl ListenAddress {
    /// Splits `ADDR:PORT`, `ADDR`, `:PORT` or `PORT`. `ADDR` may be a name; an IPv6 address is in brackets when a port follows.
    pub fn split(text: &str) -> Self {
        let without_brackets = |host: &str| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            bare.unwrap_or(host).to_owned()
        };
        if text.is_empty() {
            return Self { host: String::new(), port: String::new() };
        }
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            return Self { port: port.to_string(), ..Self::default() };
        }
        let bare = without_brackets(text);
        match text.rsplit_once(':') {
            Some((host, port)) if bare.parse::<IpAddr>().is_err() => {
                Self { host: without_brackets(host), port: port.to_owned() }
            }
            _ => Self { host: bare, ..Self::default() },
        }
    }

    /// Looks up the addresses of the host.
    ///
    /// # Errors
    ///
    /// The message to show: the port is no number, or the host is not known.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let port: u16 = self.port.trim().parse().map_err(|_| {
            format!("the port '{}' is no number from 0 to 65535 (0 is any free port)", self.port.trim())
        })?;
        let host = self.host.trim();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Ok(vec![SocketAddr::new(DEFAULT_ADDRESS.ip(), port)]);
        }
        if let Ok(ip) = bare.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let resolved =
            (bare, port).to_socket_addrs().map_err(|error| format!("cannot listen on {bare}:{port}: {error}"))?;
        Ok(resolved.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAddress;

    #[test]
    fn takes_apart_all_forms_of_an_address() {
        for (text, host, port) in [
            ("127.0.0.1:9000", "127.0.0.1", "9000"),
            ("127.0.0.1", "127.0.0.1", "8888"),
            ("[::1]:9000", "::1", "9000"),
            ("::1", "::1", "8888"),
            ("[::1]", "::1", "8888"),
            (":9000", "::", "9000"),
            ("9000", "::", "9000"),
            ("localhost:9000", "localhost", "9000"),
            ("localhost", "localhost", "8888"),
        ] {
            let address = ListenAddress { host: host.to_owned(), port: port.to_owned() };
            assert_eq!(ListenAddress::split(text), address, "{text}");
            assert!(address.resolve().is_ok_and(|addresses| !addresses.is_empty()), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (host, port, words) in [
            ("::", "99999", "the port '99999' is no number from 0 to 65535"),
            ("::", "", "the port '' is no number"),
            ("no such host", "1", "cannot listen on no such host:1: "),
        ] {
            let error = ListenAddress { host: host.to_owned(), port: port.to_owned() }.resolve().expect_err(words);
            assert!(error.starts_with(words), "{error}");
        }
        for text in ["", "127.0.0.1:", "127.0.0.1:99999", "::1:x"] {
            assert!(ListenAddress::split(text).resolve().is_err(), "{text}");
        }
        let everywhere = ListenAddress { host: " ".to_owned(), port: " 80 ".to_owned() }.resolve().expect("an address");
        assert_eq!(everywhere[0].to_string(), "[::]:80");
    }
}
