//! The servers that are known by their keys: `list`, `pin`, `forget`.

use std::net::IpAddr;

use clap::{Args, ValueHint};
use coracle::channel::PublicKey;
use coracle::local::Escaped;
use serde_json::json;

use super::report;
use crate::exit::{Exit, print_error};
use crate::identity::{HostArg, Hosts, Pin, Pins};

/// List the keys of servers that are known
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key list
  coracle key list --json

A line has the server, its key, and the file that says so: 'pins', which 'coracle key pin' and your answers
change, or 'hosts', which you write.")]
pub struct List {
    /// Write a JSON object a line: server, key, and from (pins or hosts)
    #[arg(long)]
    json: bool,
}

/// Keep the key of a server, which is talked to encrypted from then on, and never in plain
#[derive(Debug, Args)]
#[command(
    name = "pin",
    after_help = "\
Examples:
  coracle key pin 192.168.7.2 ck1...
  coracle key pin bench-12:9000 ck1...

The key is what 'coracle key show' prints at the server. A server is known by what you type for it, with its
port: pin it under each name and address that you use. Several keys for one server are all taken, as while one
takes the place of another; 'coracle key forget' removes the old one."
)]
pub struct AddPin {
    /// The server, as you type it
    #[arg(value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    host: HostArg,

    /// Its public key
    #[arg(value_name = "KEY", required = true, value_hint = ValueHint::Other)]
    keys: Vec<PublicKey>,

    /// Print errors only: no notes
    #[arg(short, long)]
    quiet: bool,
}

/// Forget the keys of a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key forget 192.168.7.2           all of its keys
  coracle key forget bench-12 ck1...       this one

Where a server has no key left, it may be talked to in plain again. Keys in ~/.config/coracle/hosts stay: you
wrote them.")]
pub struct Forget {
    /// The server, as 'coracle key list' has it
    #[arg(value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    host: HostArg,

    /// The key; all of the server's where there is none
    #[arg(value_name = "KEY", value_hint = ValueHint::Other)]
    key: Option<PublicKey>,
}

pub fn list(args: &List) -> Exit {
    let (hosts, pins) = match load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let pins = pins.map_or_else(|| Ok(Vec::new()), |pins| pins.load());
    let pins = match pins {
        Ok(pins) => pins,
        Err(problem) => return report::problem(&problem),
    };
    let of_hosts = hosts.iter().flat_map(|host| {
        let server = format!("{}:{}", host.name, host.address.port());
        host.pins.iter().map(move |key| ("hosts", server.clone(), *key))
    });
    let mut text = String::new();
    for (from, server, key) in pins.into_iter().map(|pin| ("pins", pin.server, pin.key)).chain(of_hosts) {
        text.push_str(&if args.json {
            report::json_line(&json!({ "server": server, "key": key.to_string(), "from": from }))
        } else {
            format!("{} {key} {from}\n", Escaped(&server))
        });
    }
    report::print(&text)
}

pub fn pin(args: &AddPin) -> Exit {
    let (hosts, pins) = match load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let Some(pins) = pins else { return report::no_home() };
    let (_, server, line) = args.host.look_up(&hosts);
    for key in &args.keys {
        if let Err(problem) = pins.add(&Pin { server: server.clone(), key: *key }) {
            return report::problem(&problem);
        }
    }
    if !args.quiet && line.is_none() && args.host.host().parse::<IpAddr>().is_ok_and(|address| !address.is_loopback()) {
        print_error(format_args!(
            "note: where addresses are given by DHCP, another machine may be at {} tomorrow, and will not be talked to",
            args.host.host()
        ));
    }
    Exit::Done
}

pub fn forget(args: &Forget) -> Exit {
    let (hosts, pins) = match load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let Some(pins) = pins else { return report::no_home() };
    let (_, server, line) = args.host.look_up(&hosts);
    match pins.forget(&server, args.key.as_ref()) {
        Ok(0) => {
            let is_in_hosts = line.is_some_and(|host| !host.pins.is_empty());
            let rest = if is_in_hosts { "; its line in ~/.config/coracle/hosts is yours to change" } else { "" };
            print_error(format_args!("{server} has no such pin{rest}"));
            Exit::LocalFile
        }
        Ok(_) => Exit::Done,
        Err(problem) => report::problem(&problem),
    }
}

fn load() -> Result<(Hosts, Option<Pins>), Exit> {
    Hosts::load().map(|hosts| (hosts, Pins::open())).map_err(|problem| report::problem(&problem))
}
