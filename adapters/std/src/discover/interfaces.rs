//! Which network interfaces multicast DNS is spoken on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use if_addrs::{IfAddr, Interface, get_if_addrs};

/// The beginnings of the names that container engines and virtual machines give their bridges: what is announced there reaches
/// this machine only.
const BRIDGES: [&str; 9] = ["docker", "virbr", "lxcbr", "lxdbr", "podman", "cni", "vmnet", "vboxnet", "veth"];

/// The network interfaces of this machine that multicast DNS is spoken on, and those that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interfaces {
    /// The names of those that are used.
    pub used: Vec<String>,
    /// The names of those that are not, with the reasons. Loopback and interfaces that are down are not among them.
    pub left_out: Vec<(String, &'static str)>,
}

impl Interfaces {
    /// Looks which there are now.
    #[must_use]
    pub fn now() -> Self {
        Self::of(&interfaces())
    }

    fn of(interfaces: &[Interface]) -> Self {
        let mut chosen = Self::default();
        for interface in interfaces.iter().filter(|interface| !interface.is_loopback() && interface.is_oper_up()) {
            match reason_against(interface, interfaces) {
                None if !chosen.used.contains(&interface.name) => chosen.used.push(interface.name.clone()),
                Some(reason) if !chosen.left_out.iter().any(|(name, _)| *name == interface.name) => {
                    chosen.left_out.push((interface.name.clone(), reason));
                }
                _ => {}
            }
        }
        chosen.left_out.retain(|(name, _)| !chosen.used.contains(name));
        chosen
    }

    pub(super) fn fmt_left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, reason)) in self.left_out.iter().enumerate() {
            write!(f, "{}{name}: {reason}", if at == 0 { " (" } else { "; " })?;
        }
        f.write_str(if self.left_out.is_empty() { "" } else { ")" })
    }
}

/// As `eth0 and wlan0`, with what is left out behind it.
impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.used.join(" and "))?;
        self.fmt_left_out(f)
    }
}

/// Whether multicast DNS is spoken at this address of an interface, where `allowed` names the addresses that may be told.
pub(super) fn is_used(interface: &Interface, allowed: Option<&[IpAddr]>) -> bool {
    let is_allowed = allowed.is_none_or(|allowed| is_among(interface.ip(), allowed));
    is_allowed && !interface.is_loopback() && reason_against(interface, &interfaces()).is_none()
}

/// An unspecified address stands for all of its family.
fn is_among(ip: IpAddr, allowed: &[IpAddr]) -> bool {
    allowed.iter().any(|one| *one == ip || (one.is_unspecified() && one.is_ipv4() == ip.is_ipv4()))
}

fn interfaces() -> Vec<Interface> {
    // None are known where the system does not tell.
    get_if_addrs().unwrap_or_default()
}

fn reason_against(interface: &Interface, all: &[Interface]) -> Option<&'static str> {
    if interface.is_p2p() {
        return Some("it leads to one host only, as VPNs do");
    }
    if is_virtual_bridge(&interface.name) {
        return Some("it is a bridge for containers or virtual machines");
    }
    if Path::new("/sys/class/net").join(&interface.name).join("master").exists() {
        return Some("it belongs to a bridge");
    }
    shares_subnet(interface, all).then_some("another interface is in the same subnet")
}

fn is_virtual_bridge(name: &str) -> bool {
    // Docker's own networks: the first 12 digits of their identifiers.
    let is_docker_network = name
        .strip_prefix("br-")
        .is_some_and(|rest| rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_docker_network || BRIDGES.iter().any(|bridge| name.starts_with(bridge))
}

/// Whether an interface with a lower index is in the same subnet: a host would hear itself there under the same name with
/// another address, and take that for a conflict.
fn shares_subnet(interface: &Interface, all: &[Interface]) -> bool {
    let Some(subnet) = subnet(&interface.name, all) else { return false };
    all.iter().any(|other| {
        other.name != interface.name
            && other.index < interface.index
            && other.is_oper_up()
            && !is_virtual_bridge(&other.name)
            && self::subnet(&other.name, all) == Some(subnet)
    })
}

/// The first IPv4 subnet of an interface.
fn subnet(name: &str, all: &[Interface]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    all.iter().filter(|interface| interface.name == name).find_map(|interface| match &interface.addr {
        IfAddr::V4(v4) => Some((v4.ip & v4.netmask, v4.netmask)),
        IfAddr::V6(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Interface};

    use super::{Interfaces, is_among};

    fn interface(index: u32, name: &str, ip: [u8; 4]) -> Interface {
        let addr = Ifv4Addr {
            ip: Ipv4Addr::from(ip),
            netmask: Ipv4Addr::new(255, 255, 255, 0),
            prefixlen: 24,
            broadcast: None,
        };
        Interface {
            name: name.to_owned(),
            addr: IfAddr::V4(addr),
            index: Some(index),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    #[test]
    fn n2_bridges_tunnels_and_second_interfaces_of_a_subnet_are_left_out_with_a_reason() {
        let mut tunnel = interface(5, "test-wg", [10, 8, 0, 2]);
        tunnel.is_p2p = true;
        let mut down = interface(6, "test-down", [10, 9, 0, 2]);
        down.oper_status = IfOperStatus::Down;
        let all = [
            interface(1, "lo", [127, 0, 0, 1]),
            interface(2, "test-0", [192, 168, 7, 1]),
            interface(3, "docker0", [172, 17, 0, 1]),
            interface(4, "br-0123456789ab", [172, 18, 0, 1]),
            tunnel,
            down,
            interface(7, "test-1", [192, 168, 7, 9]),
            interface(8, "test-2", [192, 168, 8, 1]),
            interface(9, "br-lan", [192, 168, 9, 1]),
        ];
        let chosen = Interfaces::of(&all);
        assert_eq!(chosen.used, ["test-0", "test-2", "br-lan"]);
        let left_out: Vec<_> = chosen.left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left_out, ["docker0", "br-0123456789ab", "test-wg", "test-1"]);
        let text = chosen.to_string();
        assert!(text.starts_with("test-0 and test-2 and br-lan (docker0: it is a bridge for"), "{text}");
        assert!(text.ends_with("test-1: another interface is in the same subnet)"), "{text}");
        assert_eq!(Interfaces::of(&all[..1]), Interfaces::default());
    }

    #[test]
    fn only_addresses_that_are_listened_on_are_told() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(is_among(ip("10.0.0.1"), &[ip("0.0.0.0")]) && is_among(ip("10.0.0.1"), &[ip("10.0.0.1")]));
        assert!(!is_among(ip("10.0.0.1"), &[ip("10.0.0.2"), ip("::")]) && !is_among(ip("fe80::1"), &[ip("0.0.0.0")]));
    }
}
