//! What `coracle serve` prints on standard output when it listens.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use coracle::server::DEFAULT_ADDRESS;

use super::metrics_page::MetricsPage;
use crate::listen_address::ShownAddress;

/// Prints the addresses and how to connect to them. A closed standard output is no error.
pub fn print(addresses: &[SocketAddr], page: Option<&MetricsPage>) {
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("listening on {}\n", ShownAddress(*address)));
    }
    if let Some(page) = page {
        text.push_str(&format!("metrics on http://{}/metrics\n", page.address()));
    }
    if let Some(address) = addresses.first() {
        let port =
            if address.port() == DEFAULT_ADDRESS.port() { String::new() } else { format!(":{}", address.port()) };
        let mut hosts = Vec::new();
        if address.ip().is_unspecified() {
            hosts.push(Ipv4Addr::LOCALHOST.to_string());
            hosts.extend(outward_address().map(|ip| ip.to_string()));
        } else {
            hosts.push(ShownAddress(*address).host());
        }
        for host in hosts {
            text.push_str(&format!("  coracle ls {host}{port}     coracle get {host}{port} NAME\n"));
        }
    }
    let mut output = io::stdout().lock();
    drop(output.write_all(text.as_bytes()).and_then(|()| output.flush()));
}

/// The address that other machines are likely to reach this one by: the source address of the default route. Sends nothing.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1 (RFC 5737) belongs to no host, and is routed by the default route.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}
