//! The places of a server by their numbers: those of sessions, and the spare behind them.

use coracle_core::Store;

use crate::access::ServerAccess;
use crate::socket_slot::SocketSlot;

pub(crate) struct Places<'a, 'c, S: Store, A: ServerAccess<S>, const BUF: usize> {
    pub(crate) slots: &'a mut [SocketSlot<'c, S, A, BUF>],
    pub(crate) spare: &'a mut SocketSlot<'c, S, A, BUF>,
}

impl<'c, S: Store, A: ServerAccess<S>, const BUF: usize> Places<'_, 'c, S, A, BUF> {
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut SocketSlot<'c, S, A, BUF>> {
        if index == self.spare_index() { Some(self.spare) } else { self.slots.get_mut(index) }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut SocketSlot<'c, S, A, BUF>)> {
        self.slots.iter_mut().chain([&mut *self.spare]).enumerate()
    }

    /// The number of the spare.
    pub(super) const fn spare_index(&self) -> usize {
        self.slots.len()
    }
}
