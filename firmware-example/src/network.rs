//! Network interface: address by DHCP or fixed, and bounded work for each poll.

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{IpCidr, Ipv4Address, Ipv4Cidr};
use static_cell::StaticCell;

use crate::board::{Ethernet, StartError};

/// The address without DHCP, or when DHCP times out.
const FALLBACK_ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);
const FALLBACK_ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// How long the board waits for DHCP, which continues after that.
const FALLBACK_AFTER_MS: u64 = 3_000;
/// Maximum number of frames received in a poll, so that a flood does not block the main loop.
const INGRESS_BURST: usize = 8;
/// Maximum number of frames sent from each socket in a poll.
const EGRESS_BURST: usize = 8;

static NETWORK: StaticCell<Network> = StaticCell::new();

/// Controller, TCP/IP stack and DHCP client.
pub struct Network {
    pub device: Ethernet,
    pub interface: Interface,
    dhcp: Option<SocketHandle>,
    has_address: bool,
    /// The fixed address.
    #[cfg(feature = "mdns")]
    fixed: Ipv4Cidr,
}

impl Network {
    /// Starts the interface, without an address. Without `use_dhcp` it takes the fixed one at the first poll.
    ///
    /// # Errors
    ///
    /// If the controller does not respond.
    ///
    /// # Panics
    ///
    /// If called twice, since the board has one network.
    // Not inlined: it is built on the stack once and moved to its static.
    #[inline(never)]
    pub fn start(
        mut device: Ethernet,
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
        Ok(NETWORK.init(Self {
            device,
            interface,
            dhcp,
            has_address: false,
            #[cfg(feature = "mdns")]
            fixed: FALLBACK_ADDRESS,
        }))
    }

    /// Sets the fixed address, of a subnet with 24 bits.
    #[cfg(feature = "mdns")]
    pub fn fix_address(&mut self, address: Option<Ipv4Address>) {
        if let Some(address) = address {
            self.fixed = Ipv4Cidr::new(address, 24);
        }
    }

    /// Whether the interface has an address.
    pub fn has_address(&self) -> bool {
        self.has_address
    }

    /// Receives frames, at most [`INGRESS_BURST`], and replies to them. Returns whether more may be waiting.
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

    /// Sends from the sockets, at most [`EGRESS_BURST`] frames of each. Returns whether more may be waiting.
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
                // Also reported once at the start.
                if self.has_address {
                    defmt::warn!("address lost");
                }
                self.interface.update_ip_addrs(|addresses| addresses.clear());
                self.has_address = false;
            }
            None if !self.has_address && (self.dhcp.is_none() || now_ms >= FALLBACK_AFTER_MS) => {
                #[cfg(feature = "mdns")]
                let address = self.fixed;
                #[cfg(not(feature = "mdns"))]
                let address = FALLBACK_ADDRESS;
                self.set_address(address, Some(FALLBACK_ROUTER), "fixed");
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

/// The same time for smoltcp.
pub fn instant(now_ms: u64) -> Instant {
    Instant::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX))
}
