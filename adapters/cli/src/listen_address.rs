//! An address to listen on, as typed: the value of `--listen`, and two fields of the console.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

use coracle::client::AddressFamily;
use coracle::server::DEFAULT_ADDRESS;

use crate::sys;

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
    /// Splits `ADDR:PORT`, `ADDR`, `:PORT` or `PORT`. `ADDR` may be a name; an IPv6 address is in brackets when a port follows,
    /// and may have a zone, as in `[fe80::1%eth0]:9000`.
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
            Some((host, port)) if !is_address(&bare) => Self { host: without_brackets(host), port: port.to_owned() },
            _ => Self { host: bare, ..Self::default() },
        }
    }

    /// Looks up the addresses of the host, those of `family` where there is one. Every address is then every one of that
    /// family: `[::]` stands for `0.0.0.0`.
    ///
    /// # Errors
    ///
    /// The message to show: the port is no number, the host is not known, or it has no address of that family.
    pub fn resolve(&self, family: Option<AddressFamily>) -> Result<Vec<SocketAddr>, String> {
        let mut addresses = self.resolve_any()?;
        let Some(family) = family else { return Ok(addresses) };
        for address in &mut addresses {
            if family == AddressFamily::V4 && address.ip() == DEFAULT_ADDRESS.ip() {
                address.set_ip(Ipv4Addr::UNSPECIFIED.into());
            }
        }
        addresses.retain(|address| address.is_ipv4() == (family == AddressFamily::V4));
        if addresses.is_empty() {
            return Err(format!("cannot listen on {}: it has no {family} address", self.host.trim()));
        }
        Ok(addresses)
    }

    fn resolve_any(&self) -> Result<Vec<SocketAddr>, String> {
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
        let describe = |error| format!("cannot listen on {bare}:{port}: {error}");
        let resolved = (bare, port).to_socket_addrs().map_err(describe)?;
        with_one_port(resolved.collect()).map_err(describe)
    }
}

/// An address that is listened on, with the name of the zone of a link-local one, as `[fe80::1%eth0]:9000`: its number is
/// another one after the next start.
#[derive(Clone, Copy, Debug)]
pub struct ShownAddress(pub SocketAddr);

impl ShownAddress {
    /// The host, in brackets where it is an IPv6 address.
    pub fn host(self) -> String {
        match self.0 {
            SocketAddr::V6(address) if address.scope_id() != 0 => {
                format!("[{}%{}]", address.ip(), zone_name(address.scope_id()))
            }
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
            SocketAddr::V4(address) => address.ip().to_string(),
        }
    }
}

impl fmt::Display for ShownAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.0.port())
    }
}

/// The name of the network interface `index`; its number where it has none.
fn zone_name(index: u32) -> String {
    sys::zone_name(index).unwrap_or_else(|| index.to_string())
}

/// Whether `host` is an IP address, with a zone or without.
fn is_address(host: &str) -> bool {
    host.split_once('%').map_or(host, |(address, _)| address).parse::<IpAddr>().is_ok()
}

/// Chooses one free port for the addresses of a name, where any port is wanted.
fn with_one_port(mut addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    /// Other programs may have a port at one address that is free at another.
    const MAX_TRIES: usize = 16;
    addresses.dedup();
    let [first, others @ ..] = addresses.as_slice() else { return Ok(addresses) };
    if first.port() != 0 || others.is_empty() {
        return Ok(addresses);
    }
    let mut tries = 1;
    let port = loop {
        let listener = TcpListener::bind(*first)?;
        let port = listener.local_addr()?.port();
        match others.iter().try_for_each(|other| TcpListener::bind(SocketAddr::new(other.ip(), port)).map(drop)) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse || tries == MAX_TRIES => return Err(error),
            Err(_) => tries += 1,
            Ok(()) => break port,
        }
    };
    addresses.iter_mut().for_each(|address| address.set_port(port));
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, SocketAddrV6};

    use super::{AddressFamily, ListenAddress, ShownAddress, with_one_port};

    #[test]
    fn takes_apart_all_forms_of_an_address() {
        for (text, host, port) in [
            ("127.0.0.1:9000", "127.0.0.1", "9000"),
            ("127.0.0.1", "127.0.0.1", "8888"),
            ("[::1]:9000", "::1", "9000"),
            ("::1", "::1", "8888"),
            ("[::1]", "::1", "8888"),
            ("[fe80::77%lo]:9000", "fe80::77%lo", "9000"),
            ("[fe80::77%lo]", "fe80::77%lo", "8888"),
            ("fe80::77%lo", "fe80::77%lo", "8888"),
            (":9000", "::", "9000"),
            ("9000", "::", "9000"),
            ("localhost:9000", "localhost", "9000"),
            ("localhost", "localhost", "8888"),
        ] {
            let address = ListenAddress { host: host.to_owned(), port: port.to_owned() };
            assert_eq!(ListenAddress::split(text), address, "{text}");
            assert!(address.resolve(None).is_ok_and(|addresses| !addresses.is_empty()), "{text}");
        }
    }

    #[test]
    fn zones_have_names() {
        let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").expect("the loopback interface");
        let zoned = |index| SocketAddr::V6(SocketAddrV6::new("fe80::77".parse().expect("an address"), 9000, 0, index));
        let loopback = ShownAddress(zoned(index.trim().parse().expect("a number")));
        assert_eq!((loopback.to_string().as_str(), loopback.host().as_str()), ("[fe80::77%lo]:9000", "[fe80::77%lo]"));
        assert_eq!(ShownAddress(zoned(u32::MAX)).to_string(), "[fe80::77%4294967295]:9000");
        assert_eq!(ListenAddress::split("[fe80::77%lo]:9000").resolve(None), Ok(vec![loopback.0]));
        for plain in ["[::1]:9", "127.0.0.1:9"] {
            assert_eq!(ShownAddress(plain.parse().expect("an address")).to_string(), plain);
        }
    }

    #[test]
    fn of_one_family_alone() {
        let (v4, v6) = (Some(AddressFamily::V4), Some(AddressFamily::V6));
        for (text, family, address) in [
            (":9000", v4, "0.0.0.0:9000"),
            ("[::]:9000", v4, "0.0.0.0:9000"),
            (":9000", v6, "[::]:9000"),
            ("localhost:9000", v4, "127.0.0.1:9000"),
            ("127.0.0.2:0", v4, "127.0.0.2:0"),
            ("[::1]:9000", v6, "[::1]:9000"),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(ListenAddress::split(text).resolve(family), Ok(vec![address]), "{text}");
        }
        for (text, family, words) in [
            ("[::1]:9000", v4, "cannot listen on ::1: it has no IPv4 address"),
            ("127.0.0.1:9000", v6, "cannot listen on 127.0.0.1: it has no IPv6 address"),
        ] {
            assert_eq!(ListenAddress::split(text).resolve(family), Err(words.to_owned()));
        }
    }

    #[test]
    fn a_name_gets_one_free_port() {
        let any = ["127.0.0.1:0", "127.0.0.2:0"].map(|text| text.parse().expect("an address"));
        let [first, second] = with_one_port(any.to_vec()).expect("a port")[..] else { panic!("two addresses") };
        assert!(first.port() != 0 && first.port() == second.port(), "{first} {second}");
        let one = vec![any[0]];
        assert_eq!(with_one_port(one.clone()).expect("left to the system"), one);
    }

    #[test]
    fn says_what_is_wrong() {
        for (host, port, words) in [
            ("::", "99999", "the port '99999' is no number from 0 to 65535"),
            ("::", "", "the port '' is no number"),
            ("no such host", "1", "cannot listen on no such host:1: "),
        ] {
            let error = ListenAddress { host: host.to_owned(), port: port.to_owned() }.resolve(None).expect_err(words);
            assert!(error.starts_with(words), "{error}");
        }
        for text in ["", "127.0.0.1:", "127.0.0.1:99999", "::1:x"] {
            assert!(ListenAddress::split(text).resolve(None).is_err(), "{text}");
        }
        let everywhere =
            ListenAddress { host: " ".to_owned(), port: " 80 ".to_owned() }.resolve(None).expect("an address");
        assert_eq!(everywhere[0].to_string(), "[::]:80");
    }
}
