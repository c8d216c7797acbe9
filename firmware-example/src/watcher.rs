//! Observer of the server: counts and logs what its clients do.

use core::cell::RefCell;

use coracle_core::Exchange;
use coracle_smoltcp::{DisconnectReason, Observer};
use smoltcp::wire::{IpAddress, IpEndpoint};

use crate::boot_log::Line;
use crate::status::Shared;

/// Updates the counters, `boot.log` and the developer's log.
pub struct Watcher<'a> {
    shared: &'a RefCell<Shared>,
    #[cfg(feature = "slots")]
    updates: &'a crate::slots::Updates,
    /// Who the clients are, once that is known, and room for a stranger's key.
    #[cfg(feature = "channel")]
    trust: Option<(&'a crate::keys::Trust, heapless::String<64>)>,
    /// The slot of clients that are told `busy`.
    spare: usize,
}

impl<'a> Watcher<'a> {
    /// Observes a server with `sessions` sessions.
    #[cfg(not(feature = "slots"))]
    pub const fn new(shared: &'a RefCell<Shared>, sessions: usize) -> Self {
        Self { shared, spare: sessions }
    }

    /// Observes a server with `sessions` sessions, and does what its clients ask for.
    #[cfg(feature = "slots")]
    pub const fn new(shared: &'a RefCell<Shared>, sessions: usize, updates: &'a crate::slots::Updates) -> Self {
        Self {
            shared,
            updates,
            #[cfg(feature = "channel")]
            trust: None,
            spare: sessions,
        }
    }

    /// Asks `trust` from now on what clients may do.
    #[cfg(feature = "channel")]
    pub fn ask(&mut self, trust: &'a crate::keys::Trust) {
        self.trust = Some((trust, heapless::String::new()));
    }
}

impl Observer for Watcher<'_> {
    fn connected(&mut self, place: usize, peer: Option<IpEndpoint>) {
        let shared = &mut *self.shared.borrow_mut();
        if place == self.spare {
            shared.refused += 1;
            defmt::warn!("a client was told that the board is busy");
            return;
        }
        shared.clients += 1;
        shared.clients_total += 1;
        let mut line = Line::at(shared.now_ms);
        line.text("client ").number(wide(place)).text(" connected");
        if let Some(IpEndpoint { addr: IpAddress::Ipv4(address), port }) = peer {
            for (octet, separator) in address.octets().into_iter().zip([" from ", ".", ".", "."]) {
                line.text(separator).number(octet.into());
            }
            line.text(":").number(port.into());
        }
        shared.log.append(&line);
        defmt::info!("client {=usize} connected", place);
    }

    #[cfg(feature = "slots")]
    fn perform(&mut self, place: usize, action: &str) -> Result<(), coracle_core::StoreError> {
        defmt::info!("client {=usize}: do {=str}", place, action);
        #[cfg(feature = "channel")]
        if let (crate::keys::PROMOTE, Some((trust, _))) = (action, &self.trust) {
            return trust.promote();
        }
        self.updates.perform(action)
    }

    #[cfg(feature = "channel")]
    fn permit<'b>(&'b mut self, place: usize, demand: &coracle_core::Demand<'_>) -> coracle_core::Permit<'b> {
        match &mut self.trust {
            Some((trust, text)) => trust.permit(place, demand, text),
            None => coracle_core::Permit::Denied,
        }
    }

    fn body(&mut self, _place: usize, len: usize) {
        self.shared.borrow_mut().bytes_served += wide(len);
    }

    fn exchange(&mut self, place: usize, exchange: &Exchange) {
        #[cfg(feature = "channel")]
        if let Some((trust, _)) = &self.trust {
            trust.completed(place, exchange);
        }
        let shared = &mut *self.shared.borrow_mut();
        shared.exchanges += 1;
        let mut line = Line::at(shared.now_ms);
        line.text("client ").number(wide(place));
        match exchange.error {
            Some(code) => line.text(" was refused: ").text(code.as_str()),
            None => line.text(" was served, bytes of body: ").number(exchange.body_len),
        };
        shared.log.append(&line);
        match (exchange.kind, exchange.error) {
            (Some(kind), Some(code)) => defmt::info!("client {=usize}: {}, refused: {}", place, kind, code),
            (Some(kind), None) => defmt::info!("client {=usize}: {}, {=u64} bytes", place, kind, exchange.body_len),
            (None, Some(code)) => defmt::info!("client {=usize}: no request, refused: {}", place, code),
            (None, None) => {}
        }
    }

    fn disconnected(&mut self, place: usize, why: DisconnectReason) {
        if place == self.spare {
            return;
        }
        #[cfg(feature = "channel")]
        if let Some((trust, _)) = &self.trust {
            trust.disconnected(place);
        }
        let shared = &mut *self.shared.borrow_mut();
        shared.clients = shared.clients.saturating_sub(1);
        shared.log.append(Line::at(shared.now_ms).text("client ").number(wide(place)).text(" gone"));
        match why {
            DisconnectReason::Closed(close) => defmt::info!("client {=usize} gone: {}", place, close.why),
            other => defmt::info!("client {=usize} gone: {}", place, other),
        }
    }
}

fn wide(number: usize) -> u64 {
    number as u64
}
