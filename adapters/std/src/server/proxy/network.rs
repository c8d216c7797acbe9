//! Addresses of proxies.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// An address, or a network, whose connections are a proxy's.
///
/// ```
/// use coracle::server::ProxyNetwork;
///
/// let network: ProxyNetwork = "10.1.0.0/16".parse().unwrap();
/// assert!(network.contains("10.1.2.3".parse().unwrap()) && !network.contains("10.2.0.1".parse().unwrap()));
/// assert_eq!("::1".parse::<ProxyNetwork>().unwrap().to_string(), "::1/128");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyNetwork(IpNet);

/// Text that is no [`ProxyNetwork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyNetworkError;

impl ProxyNetwork {
    /// Whether `address` belongs to it. An IPv4 address in the form of an IPv6 one counts as itself.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl From<IpAddr> for ProxyNetwork {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl FromStr for ProxyNetwork {
    type Err = ProxyNetworkError;

    fn from_str(text: &str) -> Result<Self, ProxyNetworkError> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => text.parse().map(|network: IpNet| Self(network.trunc())).map_err(|_| ProxyNetworkError),
        }
    }
}

impl fmt::Display for ProxyNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ProxyNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an IP address, or a network with the length of its prefix, as 10.0.0.5, 10.0.0.0/8 or 2001:db8::/32",
        )
    }
}

impl std::error::Error for ProxyNetworkError {}

#[cfg(test)]
mod tests {
    use super::{ProxyNetwork, ProxyNetworkError};

    #[test]
    fn networks_are_addresses_with_or_without_a_prefix() {
        let contains = |network: &str, address: &str| {
            let network: ProxyNetwork = network.parse().expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(contains("10.0.0.5", "10.0.0.5") && !contains("10.0.0.5", "10.0.0.6"));
        assert!(contains("10.9.9.9/8", "10.0.0.5") && contains("10.0.0.0/8", "::ffff:10.0.0.5"));
        assert!(contains("::ffff:10.0.0.5", "10.0.0.5") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1") && !contains("2001:db8::/32", "2001:db9::1"));
        for wrong in ["", "10.0.0.0/33", "10.0.0", "/8", "10.0.0.0/", "::/129", "balancer", "10.0.0.5:80"] {
            assert_eq!(wrong.parse::<ProxyNetwork>(), Err(ProxyNetworkError), "{wrong}");
        }
    }
}
