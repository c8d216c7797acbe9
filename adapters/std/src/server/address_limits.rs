//! Counts the clients of each address, where their number is limited.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Clients by address.
#[derive(Debug, Default)]
pub(super) struct AddressLimits {
    /// `None`: there is no limit, and nothing is counted.
    limit: Option<usize>,
    clients: HashMap<IpAddr, usize>,
}

impl AddressLimits {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit, clients: HashMap::new() }
    }

    /// How many clients an address may have; `None`: as many as there are.
    pub(super) const fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Whether `address` has as many clients as it may.
    pub(super) fn is_exhausted(&self, address: IpAddr) -> bool {
        self.limit.is_some_and(|limit| self.clients.get(&limit_key(address)).is_some_and(|clients| *clients >= limit))
    }

    /// Counts a client of `address`.
    pub(super) fn acquire(&mut self, address: IpAddr) {
        if self.limit.is_some() {
            *self.clients.entry(limit_key(address)).or_default() += 1;
        }
    }

    /// Counts it no longer.
    pub(super) fn release(&mut self, address: IpAddr) {
        let key = limit_key(address);
        if let Some(clients) = self.clients.get_mut(&key) {
            *clients -= 1;
            if *clients == 0 {
                self.clients.remove(&key);
            }
        }
    }
}

/// What counts as one address.
///
/// An IPv6 host chooses addresses within its network of 64 bits as it likes (RFC 4862, RFC 8981), so the network is what
/// counts. Link-local addresses (RFC 4291, section 2.5.6) count singly: all neighbours share one prefix, and one of them
/// could use up what is for all.
pub(super) fn limit_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if !address.is_unicast_link_local() => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        single => single,
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressLimits, limit_key};

    fn is_one(first: &str, second: &str) -> bool {
        let parse = |text: &str| text.parse().expect("an address");
        limit_key(parse(first)) == limit_key(parse(second))
    }

    #[test]
    fn x3_a_host_is_one_whatever_addresses_it_makes_itself() {
        assert!(is_one("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(!is_one("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!is_one("192.0.2.1", "192.0.2.2"));
        assert!(!is_one("fe80::1", "fe80::2"));
    }

    #[test]
    fn x3_an_address_without_clients_takes_no_memory() {
        let mut limits = AddressLimits::new(Some(2));
        let (first, second) = ("192.0.2.1".parse().expect("an address"), "::1".parse().expect("an address"));
        limits.acquire(first);
        assert!(!limits.is_exhausted(first));
        limits.acquire(first);
        assert!(limits.is_exhausted(first) && !limits.is_exhausted(second));
        limits.acquire(second);
        limits.release(first);
        assert!(!limits.is_exhausted(first));
        limits.release(first);
        limits.release(second);
        assert!(limits.clients.is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut limits = AddressLimits::new(None);
        let address = "192.0.2.1".parse().expect("an address");
        limits.acquire(address);
        assert!(!limits.is_exhausted(address) && limits.clients.is_empty());
        limits.release(address);
    }
}
