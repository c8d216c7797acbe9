//! Two hosts on a link in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};

/// The longest packet.
const MTU: usize = 1500;
pub const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const CLIENT: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);

/// Packets on their way in one direction.
#[derive(Default)]
struct Wire {
    packets: VecDeque<Vec<u8>>,
    receiver: Option<Waker>,
}

/// One end of the link.
pub struct End {
    incoming: Rc<RefCell<Wire>>,
    outgoing: Rc<RefCell<Wire>>,
}

pub struct Received(Vec<u8>);
pub struct Sending(Rc<RefCell<Wire>>);

impl embassy_net_driver::RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, consume: F) -> R {
        consume(&mut self.0)
    }
}

impl embassy_net_driver::TxToken for Sending {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let outcome = fill(&mut packet);
        let mut wire = self.0.borrow_mut();
        wire.packets.push_back(packet);
        if let Some(waker) = wire.receiver.take() {
            waker.wake();
        }
        outcome
    }
}

impl Driver for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received, Sending)> {
        let mut wire = self.incoming.borrow_mut();
        let packet = wire.packets.pop_front();
        if packet.is_none() {
            wire.receiver = Some(context.waker().clone());
        }
        Some((Received(packet?), Sending(self.outgoing.clone())))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Sending> {
        Some(Sending(self.outgoing.clone()))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ip
    }
}

/// The stacks of a server and of its clients, and what runs them.
pub fn hosts() -> [(Stack<'static>, Runner<'static, End>); 2] {
    let (one, other) = (Rc::<RefCell<Wire>>::default(), Rc::<RefCell<Wire>>::default());
    [
        host(End { incoming: one.clone(), outgoing: other.clone() }, SERVER),
        host(End { incoming: other, outgoing: one }, CLIENT),
    ]
}

fn host(end: End, address: Ipv4Address) -> (Stack<'static>, Runner<'static, End>) {
    let config = StaticConfigV4 { address: Ipv4Cidr::new(address, 24), gateway: None, dns_servers: Default::default() };
    let resources = Box::leak(Box::new(StackResources::<24>::new()));
    embassy_net::new(end, Config::ipv4_static(config), resources, 7)
}
