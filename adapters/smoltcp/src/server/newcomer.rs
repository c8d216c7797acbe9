//! A newcomer in the spare place, which gets the place of a client that waits for its file to change.

use core::mem::swap;

use coracle_core::{Instant, ServerConfig, Store};
use smoltcp::iface::SocketSet;

use super::Server;
use crate::access::ServerAccess;
use crate::observer::{DisconnectReason, Observer};
use crate::socket_slot::{SILENT_MS, SocketSlot};

impl<'c, S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize> Server<'c, S, N, A, BUF> {
    /// Lets the client that the spare has taken stay there, if a client waits whose place it may get. Returns whether it does.
    pub(super) fn keep_newcomer(&mut self, config: &'c ServerConfig<'c>, is_encrypted: bool, now: Instant) -> bool {
        let can_stay = self.longest_waiting().is_some();
        if can_stay {
            self.has_displaced = false;
            self.spare.welcome(config, is_encrypted, now);
            self.spare.hold(true);
        }
        can_stay
    }

    /// Gives a newcomer in the spare place the first place that is free, and has the client that has waited longest leave its own once
    /// the newcomer has made a request. Returns the newcomer's place, if it has got one.
    // Out of line: it is called in each round of the owner's loop, whose stack it is not to take.
    #[inline(never)]
    pub(super) fn seat_newcomer(
        &mut self,
        config: &'c ServerConfig<'c>,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        observer: &mut impl Observer,
    ) -> Option<usize> {
        #[cfg(feature = "channel")]
        if self.spare.arrival().is_some() {
            if self.is_stopping || self.spare.silent_since(now).is_some() {
                self.handshakes.abandon(N, now);
                self.give_up_newcomer(now, sockets, observer);
            }
            return None;
        }
        let newcomer = self.spare.held()?;
        let (has_request, since) = (newcomer.has_request(), newcomer.connected());
        if self.is_stopping {
            if has_request {
                self.give_up_newcomer(now, sockets, observer);
            }
            return None;
        }
        if let Some((index, slot)) = self.slots.iter_mut().enumerate().find(|(_, slot)| !slot.is_live()) {
            swap(slot, &mut self.spare);
            slot.hold(false);
            observer.connected(index, slot.peer(sockets));
            return Some(index);
        }
        if has_request
            && !self.has_displaced
            && let Some(slot) = self.longest_waiting()
        {
            slot.give_way(now);
            self.has_displaced = true;
        }
        if now.since(since) > SILENT_MS {
            if self.spare.refuse_held(config, now) {
                observer.connected(N, self.spare.peer(sockets));
            } else {
                self.give_up_newcomer(now, sockets, observer);
            }
        }
        None
    }

    /// When a newcomer in the spare place has to be looked at again.
    pub(super) fn newcomer_at(&self, now: Instant) -> Option<Instant> {
        let Some(newcomer) = self.spare.held() else { return self.spare.silent_at() };
        let has_place = self.slots.iter().any(|slot| !slot.is_live());
        Some(if has_place { now } else { newcomer.connected().after(SILENT_MS + 1) })
    }

    /// The client that has waited longest.
    fn longest_waiting(&mut self) -> Option<&mut SocketSlot<'c, S, A, BUF>> {
        let waiting = self.slots.iter_mut().filter_map(|slot| Some((slot.waiting_since()?, slot)));
        waiting.min_by_key(|(since, _)| *since).map(|(_, slot)| slot)
    }

    fn give_up_newcomer(&mut self, now: Instant, sockets: &mut SocketSet<'_>, observer: &mut impl Observer) {
        observer.connected(N, self.spare.peer(sockets));
        self.spare.reset(sockets, now);
        observer.disconnected(N, DisconnectReason::Evicted);
    }
}
