//! How many places the clients of one address have together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts places by address, where there is a limit to them.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// `None`: nothing is limited, so nothing is counted.
    limit: Option<usize>,
    taken: HashMap<IpAddr, usize>,
}

impl Shares {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit, taken: HashMap::new() }
    }

    /// Whether there is no place for one more client of `address`, whatever is free.
    pub(super) fn is_used_up(&self, address: IpAddr) -> bool {
        self.limit.is_some_and(|limit| self.taken.get(&holder(address)).is_some_and(|taken| *taken >= limit))
    }

    /// A client of `address` has a place.
    pub(super) fn take(&mut self, address: IpAddr) {
        if self.limit.is_some() {
            *self.taken.entry(holder(address)).or_default() += 1;
        }
    }

    /// It has it no longer.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        let holder = holder(address);
        if let Some(taken) = self.taken.get_mut(&holder) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(&holder);
            }
        }
    }
}

/// What counts as one address.
///
/// An IPv6 host makes itself addresses out of its network's 64 bits of prefix as it likes (RFC 4862, RFC 8981), so the
/// prefix it is that counts. Link-local addresses (RFC 4291, section 2.5.6) count singly: all neighbours have the same
/// prefix there, and one of them could use up what is everybody's.
fn holder(address: IpAddr) -> IpAddr {
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
    use super::{Shares, holder};

    fn one(first: &str, second: &str) -> bool {
        let parse = |text: &str| text.parse().expect("an address");
        holder(parse(first)) == holder(parse(second))
    }

    #[test]
    fn x3_a_host_is_one_whatever_addresses_it_makes_itself() {
        assert!(one("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(!one("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!one("192.0.2.1", "192.0.2.2"));
        assert!(!one("fe80::1", "fe80::2"));
    }

    #[test]
    fn x3_nothing_is_remembered_of_who_has_left() {
        let mut shares = Shares::new(Some(2));
        let (first, second) = ("192.0.2.1".parse().expect("an address"), "::1".parse().expect("an address"));
        shares.take(first);
        assert!(!shares.is_used_up(first));
        shares.take(first);
        assert!(shares.is_used_up(first) && !shares.is_used_up(second));
        shares.take(second);
        shares.give_back(first);
        assert!(!shares.is_used_up(first));
        shares.give_back(first);
        shares.give_back(second);
        assert!(shares.taken.is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut shares = Shares::new(None);
        let address = "192.0.2.1".parse().expect("an address");
        shares.take(address);
        assert!(!shares.is_used_up(address) && shares.taken.is_empty());
        shares.give_back(address);
    }
}
