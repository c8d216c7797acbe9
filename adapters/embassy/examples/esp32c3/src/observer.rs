//! What clients do, in the log.

use coracle_embassy::Observer;
use coracle_embassy::net::{DisconnectReason, ServerObserver};
use embassy_net::IpEndpoint;

use crate::boot_log::log;

/// Notes who connects, and how connections end.
pub struct Logger;

impl Observer for Logger {}

impl ServerObserver for Logger {
    fn connected(&mut self, peer: Option<IpEndpoint>, is_served: bool) {
        if let Some(peer) = peer {
            log(format_args!("{peer}: {}", if is_served { "connected" } else { "told busy" }));
        }
    }

    fn disconnected(&mut self, why: DisconnectReason) {
        log(format_args!("disconnected: {why:?}"));
    }
}
