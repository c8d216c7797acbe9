//! The network interface: address by DHCP or fixed, and bounded work a poll.

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{IpCidr, Ipv4Address, Ipv4Cidr};
use static_cell::StaticCell;

use crate::lan9118::{Lan9118, StartError};

/// The address that the board takes when nobody gives it one.
const FALLBACK_ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);
const FALLBACK_ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// How long DHCP is waited for. It goes on trying after that.
const FALLBACK_AFTER_MS: u64 = 3_000;
/// Frames taken in a row before the sockets' owners get their turn: a flood must not keep the firmware from its work.
const INGRESS_BURST: usize = 8;
/// Frames sent in a row from each socket.
const EGRESS_BURST: usize = 8;

static NETWORK: StaticCell<Network> = StaticCell::new();

/// Controller, TCP/IP stack and the client that asks for an address.
pub struct Network {
    pub device: Lan9118,
    pub interface: Interface,
    dhcp: Option<SocketHandle>,
    has_address: bool,
}

impl Network {
    /// Brings the interface up, without an address. Without `use_dhcp` the fixed one is taken at the first poll.
    ///
    /// # Errors
    ///
    /// When the controller does not answer.
    ///
    /// # Panics
    ///
    /// The second time: the board has one network.
    // Out of line, for the sake of the stack: it is built here once and moved to its static.
    #[inline(never)]
    pub fn start(
        mut device: Lan9118,
        sockets: &mut SocketSet<'_>,
        use_dhcp: bool,
        seed: u64,
    ) -> Result<&'static mut Self, StartError> {
        let address = device.address()?;
        let mut config = Config::new(address.into());
        config.random_seed = seed;
        let interface = Interface::new(config, &mut device, Instant::ZERO);
        let dhcp = use_dhcp.then(|| sockets.add(dhcpv4::Socket::new()));
        defmt::info!("ethernet {=[u8; 6]:02x}", address.0);
        Ok(NETWORK.init(Self { device, interface, dhcp, has_address: false }))
    }

    /// Whether the board can be reached.
    pub fn has_address(&self) -> bool {
        self.has_address
    }

    /// Takes frames in, at most [`INGRESS_BURST`], and answers them. Returns whether there may be more at once.
    pub fn poll(&mut self, now_ms: u64, sockets: &mut SocketSet<'_>) -> bool {
        let now = instant(now_ms);
        self.interface.poll_maintenance(now);
        let is_idle = (0..INGRESS_BURST).any(|_| {
            let result = self.interface.poll_ingress_single(now, &mut self.device, sockets);
            matches!(result, PollIngressSingleResult::None)
        });
        self.configure(now_ms, sockets);
        !is_idle
    }

    /// Sends what the sockets hold, at most [`EGRESS_BURST`] frames of each. Returns whether there may be more at once.
    pub fn flush(&mut self, now_ms: u64, sockets: &mut SocketSet<'_>) -> bool {
        let now = instant(now_ms);
        let is_idle = (0..EGRESS_BURST)
            .any(|_| matches!(self.interface.poll_egress(now, &mut self.device, sockets), PollResult::None));
        !is_idle
    }

    fn configure(&mut self, now_ms: u64, sockets: &mut SocketSet<'_>) {
        let event = self.dhcp.and_then(|dhcp| sockets.get_mut::<dhcpv4::Socket>(dhcp).poll());
        match event {
            Some(dhcpv4::Event::Configured(lease)) => self.set_address(lease.address, lease.router, "dhcp"),
            Some(dhcpv4::Event::Deconfigured) => {
                // Told once at the start, too.
                if self.has_address {
                    defmt::warn!("address lost");
                }
                self.interface.update_ip_addrs(|addresses| addresses.clear());
                self.has_address = false;
            }
            None if !self.has_address && (self.dhcp.is_none() || now_ms >= FALLBACK_AFTER_MS) => {
                self.set_address(FALLBACK_ADDRESS, Some(FALLBACK_ROUTER), "fixed");
            }
            None => {}
        }
    }

    fn set_address(&mut self, address: Ipv4Cidr, router: Option<Ipv4Address>, source: &str) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            if addresses.push(IpCidr::Ipv4(address)).is_err() {
                defmt::error!("no room for an address");
            }
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(router) = router
            && routes.add_default_ipv4_route(router).is_err()
        {
            defmt::error!("no room for a route");
        }
        let octets = address.address().octets();
        defmt::info!(
            "address {=u8}.{=u8}.{=u8}.{=u8}/{=u8} ({=str})",
            octets[0],
            octets[1],
            octets[2],
            octets[3],
            address.prefix_len(),
            source
        );
        self.has_address = true;
    }
}

/// The same moment for smoltcp.
pub fn instant(now_ms: u64) -> Instant {
    Instant::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX))
}
