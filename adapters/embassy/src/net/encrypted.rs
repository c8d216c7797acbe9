//! A socket whose clients come encrypted.

use core::future::Future;

use coracle_core::{CloseHow, Code};
use embassy_futures::select::{Either, Either3, select, select3};

use super::observer::{DisconnectReason, ServerObserver};
use super::slot::Slot;
use crate::access::Access;
use crate::channel::{ChannelBuffers, ChannelKeys, HandshakeFailure, accept, begin_session};
use crate::clock::Clock;
use crate::serve::{Buffers, serve_with};
use crate::store::AsyncStore;

/// How long a handshake may take where all places are taken, and how long the end of a channel may take to leave.
const SPARE_MS: u64 = 2_000;
const END_MS: u64 = 2_000;

/// What [`Server::serve_encrypted`](super::Server::serve_encrypted) needs beside what it serves.
#[derive(Debug)]
pub struct Encrypted<'s, K> {
    /// The keys. All sockets may have the same.
    pub keys: &'s K,
    /// The buffers of this socket's channel.
    pub buffers: ChannelBuffers<&'s mut [u8]>,
}

impl<'s, O: ServerObserver, const SOCKETS: usize, const BUF: usize> Slot<'s, '_, '_, O, SOCKETS, BUF> {
    /// Serves clients until the server stops.
    pub(super) fn run_encrypted<A, S, C, K>(
        mut self,
        store: &'s mut S,
        Buffers { receive, send }: Buffers<'s>,
        Encrypted { keys, buffers: mut channel }: Encrypted<'s, K>,
        clock: &'s C,
    ) -> impl Future<Output = ()>
    where
        S: AsyncStore,
        A: Access<S>,
        C: Clock,
        K: ChannelKeys,
    {
        async move {
            while let Some(accepted) = self.next_client(clock).await {
                let limit =
                    if accepted.is_served { u64::MAX } else { clock.now().as_millis().saturating_add(SPARE_MS) };
                let (config, places, number) = (self.settings.config, self.observer.places, self.observer.number);
                let accepting = accept(&mut *self.socket, channel.reborrow(), keys, config, clock);
                let given_up = select(places.evicted(number), places.stopped(number));
                let limit = clock.sleep_until(coracle_core::Instant::from_millis(limit));
                let (why, how) = match select3(accepting, given_up, limit).await {
                    Either3::First(Ok(mut line)) => {
                        self.observer.observer.identified(line.peer(), line.psk());
                        let refused = if accepted.is_served { None } else { Some(Code::Busy) };
                        let buf = ([0; BUF], clock.now());
                        let mut session = begin_session(&line, refused, keys.encryption(), config, buf);
                        let buffers = Buffers { receive: &mut *receive, send: &mut *send };
                        let observer = &mut self.observer;
                        let served =
                            serve_with::<A, _, _, _, _, _>(&mut session, &mut line, store, buffers, clock, observer);
                        match select(served, places.evicted(number)).await {
                            Either::First(close) => {
                                if close.how != CloseHow::Abort {
                                    // A client that takes no more bytes sees that something is missing.
                                    select(line.finish(), clock.sleep_until(clock.now().after(END_MS))).await;
                                }
                                (DisconnectReason::Closed(close), close.how)
                            }
                            Either::Second(()) => (DisconnectReason::Evicted, CloseHow::Abort),
                        }
                    }
                    Either3::First(Err(failure)) => (DisconnectReason::Handshake(failure), CloseHow::Finish),
                    Either3::Second(_) => (DisconnectReason::Evicted, CloseHow::Abort),
                    Either3::Third(()) => (DisconnectReason::Handshake(HandshakeFailure::TimedOut), CloseHow::Abort),
                };
                self.disconnect(why, how, clock).await;
            }
        }
    }
}
