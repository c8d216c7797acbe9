//! What `coracle serve` prints on standard output when it listens.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use coracle::channel::PublicKey;
use coracle::server::DEFAULT_ADDRESS;
use coracle_core::FileName;

use super::metrics_page::MetricsPage;
use crate::listen_address::ShownAddress;

/// Prints the addresses and how to connect to them, by IPv6 alone where `is_ipv6_only`; `name` is that of the one file that is served, if it is one, and
/// `found_as` that by which it is announced. A closed
/// standard output is no error.
pub fn print(
    addresses: &[SocketAddr],
    is_ipv6_only: bool,
    page: Option<&MetricsPage>,
    key: Option<&PublicKey>,
    name: Option<FileName<'_>>,
    found_as: Option<&str>,
) {
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("listening on {}\n", ShownAddress(*address)));
    }
    if let Some(page) = page {
        text.push_str(&format!("metrics on http://{}/metrics\n", page.address()));
    }
    if let Some(found_as) = found_as {
        text.push_str(&format!("announced as {found_as}\n"));
    }
    if let Some(key) = key {
        text.push_str(&format!("its key is {key}\n"));
    }
    if let Some(address) = addresses.first() {
        let port =
            if address.port() == DEFAULT_ADDRESS.port() { String::new() } else { format!(":{}", address.port()) };
        let mut hosts = Vec::new();
        if is_ipv6_only && address.ip().is_unspecified() {
            hosts.push(format!("[{}]", Ipv6Addr::LOCALHOST));
        } else if address.ip().is_unspecified() {
            hosts.push(Ipv4Addr::LOCALHOST.to_string());
            hosts.extend(outward_address().map(|ip| ip.to_string()));
        } else {
            hosts.push(ShownAddress(*address).host());
        }
        for host in hosts {
            text.push_str(&match (name, key) {
                (Some(name), None) => format!("  coracle get {host}{port} {}\n", quoted(name.as_str())),
                (None, None) => format!("  coracle ls {host}{port}     coracle get {host}{port} NAME\n"),
                (Some(name), Some(key)) => {
                    format!("  coracle get --pin {key} {host}{port} {}\n", quoted(name.as_str()))
                }
                (None, Some(key)) => format!("  coracle ls --pin {key} {host}{port}\n"),
            });
        }
    }
    let mut output = io::stdout().lock();
    drop(output.write_all(text.as_bytes()).and_then(|()| output.flush()));
}

/// `name` as an argument in a shell.
fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-+,:@%/".contains(letter);
    let separator = if name.starts_with('-') { "-- " } else { "" };
    if name.chars().all(is_plain) {
        return format!("{separator}{name}");
    }
    format!("{separator}'{}'", name.replace('\'', r"'\''"))
}

/// The address that other machines are likely to reach this one by: the source address of the default route. Sends nothing.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1 (RFC 5737) belongs to no host, and is routed by the default route.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_can_be_pasted_into_a_shell() {
        for (name, argument) in [
            ("boot.log", "boot.log"),
            ("café-1", "café-1"),
            ("a b", "'a b'"),
            ("it's $x", r"'it'\''s $x'"),
            ("-rf", "-- -rf"),
        ] {
            assert_eq!(quoted(name), argument);
        }
    }
}
