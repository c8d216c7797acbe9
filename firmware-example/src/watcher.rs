//! Observer of the server: counts and logs what its clients do.

use core::cell::RefCell;

use coracle_core::{Exchange, Request};
use coracle_smoltcp::{DisconnectReason, Observer};
use smoltcp::wire::{IpAddress, IpEndpoint};

use crate::SESSIONS;
use crate::boot_log::Line;
use crate::files::BOOT_LOG;
use crate::status::Shared;

/// Updates the counters, `boot.log` and the developer's log.
pub struct Watcher<'a> {
    shared: &'a RefCell<Shared>,
    #[cfg(feature = "put")]
    updates: &'a crate::updates::Updates,
    /// Who the clients are, once that is known, and room for a stranger's key.
    #[cfg(feature = "channel")]
    trust: Option<(&'a crate::keys::Trust, heapless::String<64>)>,
    /// The slot of clients that are told `busy`.
    spare: usize,
    /// Whether the request under way in each slot is for the log itself. It is not logged, since a client that follows the log
    /// would cause the lines that it then reads.
    is_of_log: [bool; SESSIONS],
}

impl<'a> Watcher<'a> {
    /// Observes a server with `sessions` sessions.
    #[cfg(not(feature = "put"))]
    pub const fn new(shared: &'a RefCell<Shared>, sessions: usize) -> Self {
        Self { shared, spare: sessions, is_of_log: [false; SESSIONS] }
    }

    /// Observes a server with `sessions` sessions, and does what its clients ask for.
    #[cfg(feature = "put")]
    pub const fn new(shared: &'a RefCell<Shared>, sessions: usize, updates: &'a crate::updates::Updates) -> Self {
        Self {
            shared,
            updates,
            #[cfg(feature = "channel")]
            trust: None,
            spare: sessions,
            is_of_log: [false; SESSIONS],
        }
    }

    /// Asks `trust` from now on what clients may do.
    #[cfg(feature = "channel")]
    pub fn ask(&mut self, trust: &'a crate::keys::Trust) {
        self.trust = Some((trust, heapless::String::new()));
    }

    /// Notes whether the request of `place` is for the log, and returns what was noted before.
    fn note_request(&mut self, place: usize, is_of_log: bool) -> bool {
        self.is_of_log.get_mut(place).is_some_and(|noted| core::mem::replace(noted, is_of_log))
    }
}

impl Observer for Watcher<'_> {
    fn connected(&mut self, place: usize, peer: Option<IpEndpoint>) {
        self.note_request(place, false);
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

    #[cfg(feature = "put")]
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

    fn request(&mut self, place: usize, request: &Request<'_>) {
        let name = request.name().map(|name| name.as_str());
        self.note_request(place, name == Some(BOOT_LOG.as_str()));
    }

    fn body(&mut self, _place: usize, len: usize) {
        self.shared.borrow_mut().bytes_served += wide(len);
    }

    fn exchange(&mut self, place: usize, exchange: &Exchange) {
        #[cfg(feature = "channel")]
        if let Some((trust, _)) = &self.trust {
            trust.completed(place, exchange);
        }
        let is_of_log = self.note_request(place, false);
        let shared = &mut *self.shared.borrow_mut();
        shared.exchanges += 1;
        if !is_of_log {
            let mut line = Line::at(shared.now_ms);
            line.text("client ").number(wide(place));
            match exchange.error {
                Some(code) => line.text(" was refused: ").text(code.as_str()),
                None => line.text(" was served, bytes of body: ").number(exchange.body_len),
            };
            shared.log.append(&line);
        }
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
