//! Which sockets serve a client, and what tells them to end it.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::task::{Context, Poll};

use coracle_core::Instant;
use embassy_sync::waitqueue::WakerRegistration;

/// A client without a request for longer than this may be evicted for a new one.
const SILENT_MS: u64 = 1_000;

/// The state of all sockets of a server: one more than clients that are served.
pub(super) struct Places<const SOCKETS: usize>(RefCell<State<SOCKETS>>);

struct State<const SOCKETS: usize> {
    places: [Place; SOCKETS],
    /// How many tasks have a socket.
    used: usize,
    is_stopping: bool,
}

struct Place {
    client: Client,
    /// The task of this socket.
    waker: WakerRegistration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    None,
    Served {
        /// When the client connected, if it has made no request since.
        silent_since: Option<Instant>,
    },
    /// Its place was given to another client.
    Evicted,
}

impl<const SOCKETS: usize> Places<SOCKETS> {
    pub(super) const fn new() -> Self {
        const FREE: Place = Place { client: Client::None, waker: WakerRegistration::new() };
        Self(RefCell::new(State { places: [FREE; SOCKETS], used: 0, is_stopping: false }))
    }

    /// The number of a socket that joins; `None` where all have.
    pub(super) fn join(&self) -> Option<usize> {
        let state = &mut *self.0.borrow_mut();
        let number = state.used;
        (number < SOCKETS).then(|| {
            state.used = number.saturating_add(1);
            number
        })
    }

    /// Takes a place for the new client of socket `number`, if one is free or can be freed.
    pub(super) fn take(&self, number: usize, now: Instant) -> bool {
        let state = &mut *self.0.borrow_mut();
        if state.live() >= SOCKETS.saturating_sub(1) {
            let silent = state.places.iter_mut().filter_map(|place| Some((place.silent_since(now)?, place)));
            let Some((_, place)) = silent.min_by_key(|(since, _)| *since) else { return false };
            place.client = Client::Evicted;
            place.waker.wake();
        }
        state.set(number, Client::Served { silent_since: Some(now) });
        true
    }

    /// The client of socket `number` has made a request.
    pub(super) fn note_request(&self, number: usize) {
        let state = &mut *self.0.borrow_mut();
        if let Some(Place { client: Client::Served { silent_since }, .. }) = state.places.get_mut(number) {
            *silent_since = None;
        }
    }

    /// Gives the place of socket `number` back, if it has one.
    pub(super) fn leave(&self, number: usize) {
        self.0.borrow_mut().set(number, Client::None);
    }

    /// Number of clients that are served.
    pub(super) fn live(&self) -> usize {
        self.0.borrow().live()
    }

    pub(super) fn stop(&self) {
        let state = &mut *self.0.borrow_mut();
        state.is_stopping = true;
        state.places.iter_mut().for_each(|place| place.waker.wake());
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.borrow().is_stopping
    }

    /// Completes when the client of socket `number` is evicted.
    pub(super) fn evicted(&self, number: usize) -> impl Future<Output = ()> {
        poll_fn(move |context| self.poll(number, context, |_, place| place.client == Client::Evicted))
    }

    /// Completes when the server stops.
    pub(super) fn stopped(&self, number: usize) -> impl Future<Output = ()> {
        poll_fn(move |context| self.poll(number, context, |is_stopping, _| is_stopping))
    }

    fn poll(&self, number: usize, context: &Context<'_>, is_so: impl Fn(bool, &Place) -> bool) -> Poll<()> {
        let state = &mut *self.0.borrow_mut();
        match state.places.get_mut(number) {
            Some(place) if !is_so(state.is_stopping, place) => {
                place.waker.register(context.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl<const SOCKETS: usize> State<SOCKETS> {
    fn live(&self) -> usize {
        self.places.iter().filter(|place| matches!(place.client, Client::Served { .. })).count()
    }

    fn set(&mut self, number: usize, client: Client) {
        if let Some(place) = self.places.get_mut(number) {
            place.client = client;
        }
    }
}

impl Place {
    /// Since when the client is silent, where that is long enough.
    fn silent_since(&self, now: Instant) -> Option<Instant> {
        match self.client {
            Client::Served { silent_since } => silent_since.filter(|since| now.since(*since) > SILENT_MS),
            _ => None,
        }
    }
}
