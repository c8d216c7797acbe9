//! Who the connected clients are, and what each may do.

use core::cell::{Cell, RefCell};

use coracle_channel::{Psk, PublicKey};
use coracle_core::{Demand, Exchange, Permit, RequestKind, StoreError};
use heapless::{String, Vec};

use super::page::{Client, KeyPage};
use super::psks::{PskUse, Psks};
use super::store::NEXT;
use crate::SESSIONS;

/// The action that promotes the next pre-shared key; the right to it is also that to put the key.
pub const PROMOTE: &str = "psk-next";

/// The clients, and the pre-shared keys that they come by.
pub struct Trust {
    page: Option<KeyPage<'static>>,
    psks: RefCell<Psks>,
    /// Who is connected, by the session's place.
    connected: [Cell<Option<Peer>>; SESSIONS],
}

#[derive(Clone, Copy)]
struct Peer {
    key: PublicKey,
    psk: PskUse,
}

impl Trust {
    pub(super) const fn new(page: Option<KeyPage<'static>>, psks: RefCell<Psks>) -> Self {
        Self { page, psks, connected: [const { Cell::new(None) }; SESSIONS] }
    }

    /// The pre-shared keys that are accepted, and which generation of them it is.
    pub(super) fn psks(&self) -> (Vec<Psk, 2>, u32) {
        let psks = self.psks.borrow();
        (psks.accepted(), psks.generation())
    }

    pub(super) fn generation(&self) -> u32 {
        self.psks.borrow().generation()
    }

    pub(super) fn psks_mut(&self) -> &RefCell<Psks> {
        &self.psks
    }

    pub(super) fn identify(&self, slot: usize, key: &PublicKey, psk: usize) {
        let psk = if psk == 0 { PskUse::Current } else { PskUse::Other };
        if let Some(place) = self.connected.get(slot) {
            place.set(Some(Peer { key: *key, psk }));
        }
        match self.client(key) {
            Some(client) => defmt::info!("client {=usize} is {=str}", slot, client.name),
            None => defmt::warn!("client {=usize} is a stranger", slot),
        }
    }

    /// Whether the client with this key may do anything here.
    pub(super) fn is_known(&self, key: &PublicKey) -> bool {
        self.client(key).is_some()
    }

    /// Whether the client may do what it asks for. `text` is for a stranger's key.
    pub fn permit<'a>(&self, slot: usize, demand: &Demand<'_>, text: &'a mut String<64>) -> Permit<'a> {
        let Some(peer) = self.peer(slot) else { return Permit::Denied };
        let Some(client) = self.client(&peer.key) else {
            text.clear();
            // A key is shorter than the text.
            let _ = core::fmt::write(text, format_args!("{}", peer.key));
            return Permit::Unknown { key: text };
        };
        if demand.subject != NEXT && demand.to != NEXT {
            return client.rights.permit(demand);
        }
        // It is put, and nothing else: never read, listed or told.
        match demand.kind {
            RequestKind::Put => client.rights.permit(&Demand::new(RequestKind::Do, PROMOTE)),
            _ => Permit::Denied,
        }
    }

    /// A request of the client is complete.
    pub fn completed(&self, slot: usize, exchange: &Exchange) {
        let Some(peer) = self.peer(slot) else { return };
        if exchange.error.is_some() || peer.psk != PskUse::Current || self.client(&peer.key).is_none() {
            return;
        }
        match self.psks.borrow_mut().confirm() {
            Ok(true) => defmt::info!("the pre-shared key before this one is no longer accepted"),
            Ok(false) => {}
            Err(_) => defmt::error!("the pre-shared keys cannot be written"),
        }
    }

    /// The client of `slot` is gone.
    pub fn disconnected(&self, slot: usize) {
        if let Some(place) = self.connected.get(slot) {
            place.set(None);
        }
    }

    /// Promotes the next pre-shared key, if one waits.
    pub fn promote(&self) -> Result<(), StoreError> {
        if self.psks.borrow_mut().promote()? {
            defmt::info!("the next pre-shared key is the current one");
            // Who came by the next one has come by the current one.
            for place in &self.connected {
                let swapped = |psk| if psk == PskUse::Current { PskUse::Other } else { PskUse::Current };
                place.set(place.get().map(|peer| Peer { psk: swapped(peer.psk), ..peer }));
            }
        }
        Ok(())
    }

    fn peer(&self, slot: usize) -> Option<Peer> {
        self.connected.get(slot)?.get()
    }

    fn client(&self, key: &PublicKey) -> Option<Client<'static>> {
        self.page.as_ref()?.clients().find(|client| client.key == *key)
    }
}
