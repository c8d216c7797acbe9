//! How a server is found by others: `coracle serve --announce`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::{Args, ValueHint};
use coracle::discover::{Announce, AnnounceEvent, Announcement, Interfaces, check_name};

use crate::exit::print_error;
use crate::sys;

/// Whether and by which name the server is announced.
#[derive(Debug, Args)]
pub struct AnnounceArgs {
    /// Announce the server in the local network, by this name [default: that of --name, or of this host], so that 'coracle find' lists it and the name stands for its address
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = parse_name, value_hint = ValueHint::Other, conflicts_with = "console")]
    announce: Option<String>,
}

impl AnnounceArgs {
    /// The name that was given, which clients are then told as well if they are told no other.
    pub fn given_name(&self) -> Option<&str> {
        self.announce.as_deref().filter(|name| !name.is_empty())
    }

    /// Begins to announce the server `server_name`, which listens at `addresses`, by IPv6 alone where `is_ipv6_only`; `None`
    /// where it is not to be announced. Problems are told, and do not keep it from serving; what makes no sense is an error.
    pub fn start(
        &self,
        server_name: &str,
        addresses: &[SocketAddr],
        is_ipv6_only: bool,
    ) -> Result<Option<Announcement>, String> {
        let Some(name) = &self.announce else { return Ok(None) };
        let name = if name.is_empty() { default_name(server_name)? } else { name.clone() };
        let Some(port) = addresses.first().map(SocketAddr::port) else { return Ok(None) };
        let mut told: Vec<_> = addresses.iter().filter(|one| one.port() == port).map(SocketAddr::ip).collect();
        if told.iter().all(IpAddr::is_loopback) {
            return Err("--announce: only this machine can reach the address that is listened on".to_owned());
        }
        if !is_ipv6_only && told.iter().any(|ip| ip.is_ipv6() && ip.is_unspecified()) {
            told.push(Ipv4Addr::UNSPECIFIED.into());
        }
        let interfaces = Interfaces::now();
        if interfaces.used.is_empty() {
            print_error(format_args!("{name} is announced once a network interface is up that takes multicast"));
        }
        match Announce::new(&name, port).with_addresses(told).with_observer(tell).start() {
            Ok(announcement) => Ok(Some(announcement)),
            Err(error) => {
                print_error(format_args!("{name} is not announced: {error}"));
                Ok(None)
            }
        }
    }
}

fn tell(event: &AnnounceEvent) {
    match event {
        AnnounceEvent::Renamed { taken, name } => {
            print_error(format_args!("another host is called {taken}: this server is announced as {name}"));
        }
        AnnounceEvent::Failed { error } => print_error(format_args!("the server is not announced: {error}")),
        _ => {}
    }
}

/// The name of the server, or of this host without its domain.
fn default_name(server_name: &str) -> Result<String, String> {
    if check_name(server_name).is_ok() {
        return Ok(server_name.to_owned());
    }
    let node = sys::host_name();
    let name = node.split('.').next().unwrap_or_default();
    check_name(name)
        .map(|()| name.to_owned())
        .map_err(|why| format!("--announce=NAME: neither --name nor this host's name will do: {why}"))
}

fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    check_name(text).map(|()| text.to_owned()).map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{AnnounceArgs, default_name, parse_name};

    #[test]
    fn a_server_that_nobody_else_can_reach_is_not_announced() {
        let args = AnnounceArgs { announce: Some("bench-7".to_owned()) };
        let local = ["127.0.0.1:8888".parse().expect("an address"), "[::1]:8888".parse().expect("an address")];
        assert!(args.start("", &local, false).expect_err("local").contains("only this machine"));
        assert!(AnnounceArgs { announce: None }.start("", &local, false).is_ok_and(|none| none.is_none()));
    }

    #[test]
    fn names_come_from_the_arguments_first() {
        assert_eq!(default_name("bench-7"), Ok("bench-7".to_owned()));
        assert_eq!(parse_name("bench-7"), Ok("bench-7".to_owned()));
        assert!(parse_name("two words").is_err_and(|why| why.contains("one word")));
    }
}
