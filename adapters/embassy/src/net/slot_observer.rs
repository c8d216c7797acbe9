//! What a socket of a server tells and asks its owner.

#[cfg(feature = "rights")]
use coracle_core::{Demand, Permit};
#[cfg(feature = "wait")]
use core::future::Future;

use coracle_core::{FileInfo, Request};
use embassy_futures::select::select;

use super::places::Places;
use crate::observer::Observer;

/// The owner's observer, and what the server has to know.
pub(super) struct SlotObserver<'s, O, const SOCKETS: usize> {
    pub(super) observer: &'s mut O,
    pub(super) places: &'s Places<SOCKETS>,
    pub(super) number: usize,
}

impl<O: Observer, const SOCKETS: usize> Observer for SlotObserver<'_, O, SOCKETS> {
    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, demand: &Demand<'_>) -> Permit<'a> {
        self.observer.permit(demand)
    }

    fn request(&mut self, request: &Request<'_>) {
        self.places.note_request(self.number);
        self.observer.request(request);
    }

    fn opened(&mut self, info: &FileInfo) {
        self.observer.opened(info);
    }

    fn body(&mut self, len: usize) {
        self.observer.body(len);
    }

    #[cfg(feature = "write")]
    fn stored(&mut self, info: &FileInfo) {
        self.observer.stored(info);
    }

    #[cfg(feature = "manage")]
    fn perform(&mut self, action: &str) -> Result<(), coracle_core::StoreError> {
        self.observer.perform(action)
    }

    fn exchange(&mut self, exchange: &coracle_core::Exchange) {
        self.places.note_request(self.number);
        self.observer.exchange(exchange);
    }

    fn stopped(&self) -> impl Future<Output = ()> {
        async move {
            select(self.places.stopped(self.number), self.observer.stopped()).await;
        }
    }

    #[cfg(feature = "wait")]
    fn changed(&self, name: coracle_core::FileName<'_>) -> impl Future<Output = ()> {
        self.observer.changed(name)
    }
}
