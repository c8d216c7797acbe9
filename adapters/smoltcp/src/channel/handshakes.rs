//! The handshakes of a server, one at a time.

#[cfg(feature = "wait")]
use coracle_channel::PublicKey;
use coracle_channel::{Channel, HandshakeAction, HandshakeError, ServerHandshake};
use coracle_core::{CloseHow, Code, Instant, ServerConfig, Store};
use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp;
use smoltcp::wire::IpAddress;

use super::answered::{Answered, FirstId};
use super::arrival::{Look, Stage};
use super::failures::Failures;
use super::keys::{ChannelKeys, Encryption, HandshakeFailure};
use super::places::Places;
use super::records::LIMIT;
use crate::access::ServerAccess;
use crate::observer::{DisconnectReason, Observer};
use crate::socket_slot::SocketSlot;

/// How long a client may take for message 3.
const THIRD_MS: u64 = 3_000;
/// After how long another address gets its place.
const GIVE_WAY_MS: u64 = 1_000;

/// The handshake under way, whose failed lately, and what was answered. The other clients wait, with message 1 in their sockets'
/// buffers.
pub(crate) struct Handshakes {
    active: Active,
    failures: Failures,
    answered: Answered,
    /// Who is in the spare place, and which pre-shared key it has.
    #[cfg(feature = "wait")]
    newcomer: Option<(PublicKey, usize)>,
}

/// An `Option` whose `None` is all zero bytes, so that a server in a static takes no flash.
// Without a heap the large variant cannot be boxed.
#[allow(clippy::large_enum_variant)]
#[repr(u8)]
enum Active {
    None,
    Some(Handshake),
}

struct Handshake {
    slot: usize,
    address: IpAddress,
    handshake: ServerHandshake,
    /// Message 1, until it is known to be made with the pre-shared key.
    first: Option<FirstId>,
    /// When message 2 left.
    answered: Option<Instant>,
}

/// Result of a step.
enum Step {
    /// More can be done immediately.
    Done,
    Wait(Instant),
    Complete,
    Failed(HandshakeFailure),
}

/// A client whose message 1 is there: since when, its slot, its address, the message.
type Next = (Instant, usize, IpAddress, FirstId);

impl Handshakes {
    pub(crate) const fn new() -> Self {
        Self {
            active: Active::None,
            failures: Failures::new(),
            answered: Answered::new(),
            #[cfg(feature = "wait")]
            newcomer: None,
        }
    }

    /// Whether clients of this address are aborted for now.
    pub(crate) fn is_blocked(&self, address: IpAddress, now: Instant) -> bool {
        self.failures.is_blocked(address, now)
    }

    /// The address of the client of `slot`, if it is in its handshake.
    pub(crate) fn address(&self, slot: usize) -> Option<IpAddress> {
        match &self.active {
            Active::Some(active) if active.slot == slot => Some(active.address),
            _ => None,
        }
    }

    /// The client of `slot` is about to be disconnected.
    pub(crate) fn abandon(&mut self, slot: usize, now: Instant) {
        if let Active::Some(active) = &self.active
            && active.slot == slot
        {
            if active.answered.is_some() {
                self.failures.count(active.address, now);
            }
            self.active = Active::None;
        }
    }

    /// The client in the spare place has got the place `slot`.
    #[cfg(feature = "wait")]
    pub(crate) fn identify_newcomer(&mut self, slot: usize, keys: &mut impl ChannelKeys) {
        match self.newcomer.take() {
            Some((client, psk)) => keys.identify(slot, &client, psk),
            None => keys.plain(slot),
        }
    }

    /// Advances those who have no session yet: the one in its handshake by one step. Returns when to poll again.
    pub(crate) fn poll<'c, S: Store, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        places: &mut Places<'_, 'c, S, A, BUF>,
        config: &'c ServerConfig<'c>,
        sockets: &mut SocketSet<'_>,
        observer: &mut impl Observer,
        keys: &mut impl ChannelKeys,
        now: Instant,
    ) -> Option<Instant> {
        let (mut at, mut first): (Option<Instant>, Option<Next>) = (None, None);
        let active = if let Active::Some(active) = &self.active { Some(active.slot) } else { None };
        let spare = places.spare_index();
        for (index, slot) in places.iter_mut().filter(|(index, _)| Some(*index) != active) {
            let Some(socket) = slot.socket(sockets) else { continue };
            let Some(arrival) = slot.arrival() else { continue };
            let look = arrival.look(socket, config, &mut self.answered, now);
            let again = match look {
                Look::Wait(again) => again,
                Look::Handshake(since, message) => {
                    let address = slot.peer(sockets).map(|peer| peer.addr);
                    let next = address.map(|address| (since, index, address, message));
                    first = [first, next].into_iter().flatten().min_by_key(|next| next.0);
                    None
                }
                Look::Plain => {
                    if keys.encryption() != Encryption::Offer {
                        introduce(slot, index, spare, sockets, observer);
                        slot.refuse(Code::Encrypted, config, now);
                    } else if index == spare {
                        slot.serve(config, now);
                        #[cfg(feature = "wait")]
                        {
                            slot.hold(true);
                            self.newcomer = None;
                        }
                    } else {
                        keys.plain(index);
                        slot.serve(config, now);
                    }
                    Some(now)
                }
                Look::Over(how, why) => {
                    if let (DisconnectReason::Handshake(HandshakeFailure::Repeated), Some(peer)) =
                        (why, slot.peer(sockets))
                    {
                        self.failures.count(peer.addr, now);
                    }
                    introduce(slot, index, spare, sockets, observer);
                    slot.close_silently(sockets, how, now);
                    observer.disconnected(index, why);
                    Some(now)
                }
            };
            at = [at, again].into_iter().flatten().min();
        }
        let again = self.advance(places, config, sockets, observer, keys, (first, now));
        [at, again].into_iter().flatten().min()
    }

    fn advance<'c, S: Store, A: ServerAccess<S>, const BUF: usize>(
        &mut self,
        places: &mut Places<'_, 'c, S, A, BUF>,
        config: &'c ServerConfig<'c>,
        sockets: &mut SocketSet<'_>,
        observer: &mut impl Observer,
        keys: &mut impl ChannelKeys,
        (next, now): (Option<Next>, Instant),
    ) -> Option<Instant> {
        if let (Active::None, Some((_, index, address, first))) = (&self.active, next) {
            let spare = places.spare_index();
            let slot = places.get_mut(index)?;
            let Some(entropy) = keys.entropy() else {
                introduce(slot, index, spare, sockets, observer);
                slot.reset(sockets, now);
                observer.disconnected(index, DisconnectReason::Handshake(HandshakeFailure::NoKeys));
                return Some(now);
            };
            slot.arrival()?.stage = Stage::Computing;
            let handshake = ServerHandshake::new(entropy, LIMIT);
            self.active =
                Active::Some(Handshake { slot: index, address, handshake, first: Some(first), answered: None });
        }
        let Active::Some(active) = &mut self.active else { return None };
        let (index, address) = (active.slot, active.address);
        let spare = places.spare_index();
        let slot = places.get_mut(index)?;
        let other = next.filter(|next| next.2 != address);
        let step = active.step(slot.socket(sockets)?, keys, other.is_some(), now);
        if active.handshake.psk().is_some()
            && let Some(first) = active.first.take()
        {
            self.answered.insert(first);
        }
        match step {
            Step::Done => {
                if let Some(answered) = active.answered {
                    slot.arrival()?.stage = Stage::Answered(answered);
                }
                Some(now)
            }
            Step::Wait(until) => Some(until),
            Step::Complete => {
                let psk = active.handshake.psk().unwrap_or(0);
                let channel = active.handshake.finish()?;
                self.active = Active::None;
                self.failures.clear(address);
                #[cfg(feature = "wait")]
                if index == spare {
                    if keys.may_displace(&channel.peer) {
                        self.newcomer = Some((channel.peer, psk));
                        admit(slot, channel, config, now);
                        slot.hold(true);
                    } else {
                        introduce(slot, index, spare, sockets, observer);
                        slot.refuse(Code::Busy, config, now);
                        slot.encrypt(channel);
                    }
                    return Some(now);
                }
                keys.identify(index, &channel.peer, psk);
                admit(slot, channel, config, now);
                Some(now)
            }
            Step::Failed(why) => {
                let is_counted =
                    active.answered.is_some() || why == HandshakeFailure::Failed(HandshakeError::Authentication);
                self.active = Active::None;
                if is_counted {
                    self.failures.count(address, now);
                }
                introduce(slot, index, spare, sockets, observer);
                slot.close_silently(sockets, CloseHow::Finish, now);
                observer.disconnected(index, DisconnectReason::Handshake(why));
                Some(now)
            }
        }
    }
}

/// Begins the session of a client that is known now.
// Out of line: nothing of it is to be on the stack while a handshake computes.
#[inline(never)]
fn admit<'c, S: Store, A: ServerAccess<S>, const BUF: usize>(
    slot: &mut SocketSlot<'c, S, A, BUF>,
    channel: Channel,
    config: &'c ServerConfig<'c>,
    now: Instant,
) {
    slot.serve(config, now);
    slot.encrypt(channel);
}

/// Tells the observer of a client in the spare place, of which it knows nothing yet.
fn introduce<S: Store, A: ServerAccess<S>, const BUF: usize>(
    slot: &SocketSlot<'_, S, A, BUF>,
    index: usize,
    spare: usize,
    sockets: &SocketSet<'_>,
    observer: &mut impl Observer,
) {
    if cfg!(feature = "wait") && index == spare {
        observer.connected(index, slot.peer(sockets));
    }
}

impl Handshake {
    /// One step: at most one Diffie-Hellman operation.
    fn step(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        keys: &mut impl ChannelKeys,
        is_place_wanted: bool,
        now: Instant,
    ) -> Step {
        match self.handshake.action() {
            HandshakeAction::Compute => {
                let Some(key) = keys.key() else { return Step::Failed(HandshakeFailure::NoKeys) };
                self.handshake.compute(key, keys.psks());
                return Step::Done;
            }
            HandshakeAction::Done => return Step::Complete,
            HandshakeAction::Failed(error) => return Step::Failed(HandshakeFailure::Failed(error)),
            HandshakeAction::Send(bytes) => {
                let answered = *self.answered.get_or_insert(now);
                match socket.send_slice(bytes) {
                    Ok(0) => return self.wait(answered, is_place_wanted, now),
                    Ok(len) => self.handshake.sent(len),
                    Err(tcp::SendError::InvalidState) => self.handshake.receive_eof(),
                }
                return Step::Done;
            }
            HandshakeAction::Receive | HandshakeAction::Decide(_) => {}
        }
        let handshake = &mut self.handshake;
        match socket.recv(|bytes| {
            let taken = handshake.receive(bytes);
            (taken, taken)
        }) {
            Ok(0) => {}
            Ok(_) => return Step::Done,
            Err(_) => handshake.receive_eof(),
        }
        match handshake.action() {
            // Message 1 was there before, so that it is message 3 that it waits for.
            HandshakeAction::Receive => self.wait(self.answered.unwrap_or(now), is_place_wanted, now),
            _ => Step::Done,
        }
    }

    fn wait(&self, answered: Instant, is_place_wanted: bool, now: Instant) -> Step {
        let waited = now.since(answered);
        if waited >= THIRD_MS {
            Step::Failed(HandshakeFailure::TimedOut)
        } else if is_place_wanted && waited > GIVE_WAY_MS {
            Step::Failed(HandshakeFailure::GaveWay)
        } else {
            Step::Wait(answered.after(if waited > GIVE_WAY_MS { THIRD_MS } else { GIVE_WAY_MS + 1 }))
        }
    }
}
