//! The address of a server: `HOST[:PORT]`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;

/// The address of a server: a name, an IPv4 address, or an IPv6 address in brackets, and a port, which is 8888 by default.
///
/// ```
/// use coracle::client::Address;
///
/// let address: Address = "[fe80::1%eth0]:9000".parse().unwrap();
/// assert_eq!((address.host(), address.port()), ("fe80::1%eth0", 9000));
/// assert_eq!("board-7".parse::<Address>().unwrap().to_string(), "board-7:8888");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
    /// Where the host is; `None` where that is asked for when it is connected to.
    known: Option<Arc<[SocketAddr]>>,
}

/// Why a text is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The host is missing or invalid.
    Host,
    /// An IPv6 address is not in brackets.
    Brackets,
    /// The port is not a number from 1 to 65535.
    Port,
    /// It is a URL.
    Url,
}

impl Address {
    /// The default port.
    pub const PORT: u16 = 8888;

    /// The name or address of the host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, at least 1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sets the port, at least 1.
    ///
    /// # Panics
    ///
    /// With 0.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        assert!(port != 0, "a server has a port");
        Self { port, ..self }
    }

    /// Sets where the host is: at these addresses, at least one, in the order in which to try them. Nobody is then asked for
    /// them, and errors name the first.
    ///
    /// # Panics
    ///
    /// Without addresses.
    #[must_use]
    pub fn with_addresses(self, addresses: &[SocketAddr]) -> Self {
        assert!(!addresses.is_empty(), "a host has an address");
        Self { known: Some(addresses.into()), ..self }
    }

    /// Looks up the addresses of the host, at least one, in the order in which to try them.
    ///
    /// # Errors
    ///
    /// The host is not known, or cannot be looked up now.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(known) = &self.known {
            return Ok(known.to_vec());
        }
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
        }
        Ok(addresses)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains("://") {
            return Err(AddressError::Url);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(AddressError::Brackets)?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(AddressError::Port),
                }
            }
            None => match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => return Err(AddressError::Brackets),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        // RFC 1035, 2.3.4: the longest name of the DNS has 253 characters.
        let is_host = |letter: char| !letter.is_control() && !letter.is_whitespace() && !"/\\@[]".contains(letter);
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
            return Err(AddressError::Host);
        }
        let port = match port {
            None => Self::PORT,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?
            }
            Some(_) => return Err(AddressError::Port),
        };
        Ok(Self { host: host.to_owned(), port, known: None })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            other => other.ip().to_string(),
        };
        Self { host, port: address.port(), known: None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }?;
        match self.known.as_deref() {
            Some([first, ..]) => write!(f, " ({first})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "a host's name or address is needed, as in board-7, 192.168.7.2:8888 or [::1]:8888",
            Self::Brackets => "an IPv6 address stands in brackets, as in [::1] or [::1]:8888",
            Self::Url => "a host and a port stand alone, without http:// and a path, as in board-7:8888",
            Self::Port => "a port is a number from 1 to 65535, as in 192.168.7.2:8888",
        })
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::{Address, AddressError};

    #[test]
    fn addresses_as_people_write_them() {
        for (text, host, port, shown) in [
            ("127.0.0.1", "127.0.0.1", 8888, "127.0.0.1:8888"),
            ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
            ("board-7.local:65535", "board-7.local", 65535, "board-7.local:65535"),
            ("[::1]", "::1", 8888, "[::1]:8888"),
            ("[fe80::1%eth0]:9", "fe80::1%eth0", 9, "[fe80::1%eth0]:9"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address() {
        for (text, error) in [
            ("", AddressError::Host),
            (":8888", AddressError::Host),
            ("a b", AddressError::Host),
            ("a\x1b[2J", AddressError::Host),
            ("host/path", AddressError::Host),
            ("[]:1", AddressError::Host),
            ("::1", AddressError::Brackets),
            ("[::1", AddressError::Brackets),
            ("http://host", AddressError::Url),
            ("http://host:8888/", AddressError::Url),
            ("host:", AddressError::Port),
            ("host:0", AddressError::Port),
            ("host:65536", AddressError::Port),
            ("host:+1", AddressError::Port),
            ("[::1]8888", AddressError::Port),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
        assert_eq!("x".repeat(254).parse::<Address>(), Err(AddressError::Host));
    }

    #[test]
    fn addresses_that_are_known_are_not_looked_up() {
        let known = ["192.0.2.7:9000".parse().expect("an address"), "[2001:db8::7]:9000".parse().expect("an address")];
        let address = "no.such.host.invalid".parse::<Address>().expect("an address").with_addresses(&known);
        assert_eq!(address.resolve().expect("known"), known);
        assert_eq!(address.to_string(), "no.such.host.invalid:8888 (192.0.2.7:9000)");
    }

    #[test]
    fn resolves_addresses_without_a_resolver() {
        let address: Address = "[::1]:7".parse().expect("an address");
        assert_eq!(address.resolve().expect("resolved"), ["[::1]:7".parse().expect("a socket's address")]);
        assert_eq!(Address::from(address.resolve().expect("resolved")[0]), address);
    }
}
