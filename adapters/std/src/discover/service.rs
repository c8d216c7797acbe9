//! A server as it is announced.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use mdns_sd::{ResolvedService, ScopedIp};

use super::SERVICE;

/// The longest name that can be announced, in bytes: a label of the DNS (RFC 1035, 2.3.4).
pub const MAX_NAME_LEN: usize = 63;

/// More addresses than any host announces.
const MAX_ADDRESSES: usize = 16;

/// A server that announces itself. Nothing of it is authenticated, and its names may contain any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its name, at most 255 bytes.
    pub name: String,
    /// The name of its host in the local network, as `bench-7.local`.
    pub host: String,
    /// Its addresses with its port, at least one and at most 16, in the order in which to try them.
    pub addresses: Vec<SocketAddr>,
}

/// Checks a name that a server is to be announced by: one that can stand where a host is asked for.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        return Err("a name that is announced has 1 to 63 bytes");
    }
    let is_plain = |letter: char| !letter.is_control() && !letter.is_whitespace() && !"./\\@[]:#=".contains(letter);
    if !name.chars().all(is_plain) || name.starts_with('-') {
        return Err("a name that is announced is one word, without '.', ':', '/', '=' and '#', as in bench-7");
    }
    Ok(())
}

impl Service {
    /// The service as it was announced; `None` where it cannot be connected to.
    pub(super) fn new(resolved: &ResolvedService) -> Option<Self> {
        let name = instance(&resolved.fullname)?;
        if resolved.port == 0 {
            return None;
        }
        let usable = resolved.addresses.iter().filter(|ip| is_usable(ip.to_ip_addr()));
        let mut addresses: Vec<_> = usable.map(|ip| with_port(ip, resolved.port)).collect();
        addresses.sort_by_key(|address| (preference(address.ip()), *address));
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return None;
        }
        let host = resolved.host.strip_suffix('.').unwrap_or(&resolved.host).to_owned();
        Some(Self { name: name.to_owned(), host, addresses })
    }

    /// Whether `name` is meant: the service's own or that of its host, in any case, with `.local` or without.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let name = without_domain(name);
        self.name.eq_ignore_ascii_case(name) || without_domain(&self.host).eq_ignore_ascii_case(name)
    }

    /// Whether it is the same server, perhaps at other addresses.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let port = |service: &Self| service.addresses.first().map(SocketAddr::port);
        self.name.eq_ignore_ascii_case(&other.name)
            && self.host.eq_ignore_ascii_case(&other.host)
            && port(self) == port(other)
    }
}

/// The name of a server in the full name of its service.
pub(super) fn instance(full_name: &str) -> Option<&str> {
    let at = full_name.len().checked_sub(SERVICE.len() + 1)?;
    let (name, rest) = (full_name.get(..at)?, full_name.get(at..)?);
    let is_ours = rest.strip_prefix('.').is_some_and(|service| service.eq_ignore_ascii_case(SERVICE));
    (is_ours && !name.is_empty()).then_some(name)
}

fn without_domain(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.len().checked_sub(".local".len()).and_then(|at| name.split_at_checked(at)) {
        Some((host, domain)) if domain.eq_ignore_ascii_case(".local") => host,
        _ => name,
    }
}

/// Whether another host can have this address. This machine's own are not: a forged announcement could name what only this
/// machine is meant to reach.
fn is_usable(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || is_broadcast)
}

fn with_port(ip: &ScopedIp, port: u16) -> SocketAddr {
    match (ip, ip.to_ip_addr()) {
        (ScopedIp::V6(scoped), IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, scoped.scope_id().index).into()
        }
        (_, ip) => SocketAddr::new(ip, port),
    }
}

/// IPv4, then IPv6, then what is valid on one link only.
fn preference(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if !ip.is_link_local() => 0,
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::{Service, check_name, instance, is_usable};

    #[test]
    fn names_that_can_be_announced() {
        for name in ["bench-7", "größe", &"x".repeat(63)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a.b", "a:1", "a/b", "-a", "a\u{1b}", "#a", "a=b", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn n1_names_are_taken_as_they_are_and_others_are_not() {
        assert_eq!(instance("bench-7._coracle._tcp.local."), Some("bench-7"));
        assert_eq!(instance("a.b\u{1b}[2J._Coracle._TCP.Local."), Some("a.b\u{1b}[2J"));
        for other in ["", ".", "._coracle._tcp.local.", "_coracle._tcp.local.", "a._http._tcp.local.", "größe", "é"]
        {
            assert_eq!(instance(other), None, "{other}");
        }
    }

    #[test]
    fn a_service_is_called_by_its_name_or_its_hosts() {
        let service =
            Service { name: "Bench-7".to_owned(), host: "coracle-a1b2c3.local".to_owned(), addresses: Vec::new() };
        for name in ["bench-7", "BENCH-7.local", "bench-7.LOCAL.", "coracle-a1b2c3", "coracle-A1B2C3.local"] {
            assert!(service.is_called(name), "{name}");
        }
        for name in ["", "bench", "bench-77", ".local", "bench-7.lan"] {
            assert!(!service.is_called(name), "{name}");
        }
    }

    #[test]
    fn n1_addresses_of_this_machine_alone_are_not_taken() {
        for ip in
            ["127.0.0.1", "0.0.0.0", "224.0.0.251", "255.255.255.255", "::", "::1", "ff02::fb", "::ffff:127.0.0.1"]
        {
            assert!(!is_usable(ip.parse().expect("an address")), "{ip}");
        }
        for ip in ["192.168.7.2", "169.254.1.1", "fe80::1", "2001:db8::1"] {
            assert!(is_usable(ip.parse().expect("an address")), "{ip}");
        }
    }
}
