//! Settings of the board: its defaults, then `config.json`, which the board fetches from the PC at start-up.

use coracle_core::{DigestKind, End, FileName, GetRequest, ServerName};
use coracle_smoltcp::{Fetch, FetchError, Progress, sink_fn};
use heapless::{String, Vec};
use serde::Deserialize;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{IpEndpoint, Ipv4Address};

use crate::fault::Reason;
use crate::network::{self, Network};

/// The settings' file, on the PC and in the flash chip.
pub const CONFIG: FileName<'static> = FileName::from_static("config.json");
/// Longest `config.json`, in bytes.
pub const CONFIG_LEN: usize = 512;
/// The address of the PC in the emulated network, and the protocol's port.
const DEFAULT_SERVER: (Ipv4Address, u16) = (Ipv4Address::new(10, 0, 2, 2), 8888);
/// How long the board waits for a configuration before it serves without one.
const CONFIG_TIMEOUT_MS: u64 = 3_000;
/// The pause between two attempts.
const RETRY_PAUSE_MS: u64 = 500;
/// The first local port for the board's own connections.
const FIRST_PORT: u16 = 49_152;

/// Arguments of the emulator's command line, as `KEY=VALUE`.
pub struct Arguments {
    /// `config=PORT`, `config=A.B.C.D:PORT` or `config=none`: where `config.json` comes from.
    pub server: Option<IpEndpoint>,
    /// `dhcp=off`: takes the fixed address.
    pub use_dhcp: bool,
    /// `made=off`: serves only the files in flash, without `boot.log` and `status.json`.
    pub has_made: bool,
    /// `write=any`: clients may put any small file, unchecked.
    #[cfg(feature = "slots")]
    pub takes_any_file: bool,
    /// `fail=panic`, `fail=fault` or `fail=stall`: fails in that way once it serves.
    pub fail: Option<Reason>,
    /// `fail=start`: stands still before it has an address.
    pub fails_to_start: bool,
    /// `address=A.B.C.D`: the fixed address, in place of 10.0.2.15.
    #[cfg(feature = "mdns")]
    pub address: Option<Ipv4Address>,
    /// `name=NAME`: what the board is called as long as no configuration says so.
    #[cfg(feature = "mdns")]
    pub name: String<{ ServerName::MAX_LEN }>,
}

impl Arguments {
    /// Reads the arguments; logs and ignores unknown ones.
    // Not inlined, since its buffer is needed only once.
    #[inline(never)]
    pub fn read() -> Self {
        let mut this = Self {
            server: Some(DEFAULT_SERVER.into()),
            use_dhcp: true,
            has_made: true,
            #[cfg(feature = "slots")]
            takes_any_file: false,
            fail: None,
            fails_to_start: false,
            #[cfg(feature = "mdns")]
            address: None,
            #[cfg(feature = "mdns")]
            name: String::new(),
        };
        let Ok(arguments) = semihosting::experimental::env::args::<1024>() else { return this };
        for argument in arguments.skip(1).flatten() {
            match argument.split_once('=') {
                Some(("config", "none")) => this.server = None,
                Some(("config", place)) => match endpoint(place) {
                    Some(server) => this.server = Some(server),
                    None => defmt::warn!("config= takes PORT, A.B.C.D:PORT or none, not {=str}", place),
                },
                Some(("dhcp", "off")) => this.use_dhcp = false,
                Some(("made", "off")) => this.has_made = false,
                Some(("fail", "panic")) => this.fail = Some(Reason::Panic),
                Some(("fail", "fault")) => this.fail = Some(Reason::HardFault),
                Some(("fail", "stall")) => this.fail = Some(Reason::Watchdog),
                Some(("fail", "start")) => this.fails_to_start = true,
                #[cfg(feature = "mdns")]
                Some(("address", text)) => this.address = text.parse().ok(),
                #[cfg(feature = "mdns")]
                Some(("name", text)) => this.name = String::try_from(text).unwrap_or_default(),
                #[cfg(feature = "slots")]
                Some(("write", "any")) => this.takes_any_file = true,
                #[cfg(feature = "slots")]
                Some(("flash" | "factory", _)) => {}
                #[cfg(feature = "media")]
                Some(("card" | "littlefs", _)) => {}
                _ => defmt::warn!("an argument that is not known: {=str}", argument),
            }
        }
        this
    }

    /// What the board is called; empty for nothing.
    #[cfg(feature = "mdns")]
    pub fn name_or<'a>(&'a self, settings: &'a Settings) -> &'a str {
        if settings.name().is_empty() { &self.name } else { settings.name() }
    }
}

fn endpoint(text: &str) -> Option<IpEndpoint> {
    let (address, port) = match text.split_once(':') {
        None => (DEFAULT_SERVER.0, text),
        Some((address, port)) => {
            let mut octets = [0; 4];
            let mut words = address.split('.');
            for octet in &mut octets {
                *octet = words.next()?.parse().ok()?;
            }
            if words.next().is_some() {
                return None;
            }
            (Ipv4Address::from(octets), port)
        }
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((address, port).into())
}

/// The settings.
pub struct Settings {
    name: String<{ ServerName::MAX_LEN }>,
    pub idle_ms: u32,
}

impl Settings {
    /// The defaults.
    pub const fn new() -> Self {
        Self { name: String::new(), idle_ms: 60_000 }
    }

    /// The board's name, empty for none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Applies all of `json`, or nothing of it.
    pub fn apply(&mut self, json: &[u8]) -> Result<(), &'static str> {
        let trimmed = json.trim_ascii_end();
        let (config, _): (ConfigJson<'_>, usize) =
            serde_json_core::from_slice(trimmed).map_err(|_| "no JSON object with name and idle_ms only")?;
        let name = config.name.unwrap_or_default();
        if name.contains('\\') {
            return Err("a name without escapes is wanted");
        }
        ServerName::new(name).map_err(|_| "a name has at most 32 bytes and no control character")?;
        let name = String::try_from(name).map_err(|_| "the name is too long")?;
        *self = Self { name, idle_ms: config.idle_ms.unwrap_or(self.idle_ms) };
        Ok(())
    }
}

/// Unknown members are refused, since skipping them would recurse as deep as they nest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigJson<'a> {
    name: Option<&'a str>,
    idle_ms: Option<u32>,
}

/// Fetches `config.json` without blocking, with retries until a timeout.
pub struct Configurator {
    fetch: Option<Fetch<'static>>,
    /// The fetch's buffer, between attempts.
    buf: Option<&'static mut [u8]>,
    bytes: Vec<u8, CONFIG_LEN>,
    tries: u16,
    next_try_ms: u64,
    /// Set by the first poll.
    give_up_ms: Option<u64>,
}

impl Configurator {
    pub const fn new(buf: &'static mut [u8]) -> Self {
        Self { fetch: None, buf: Some(buf), bytes: Vec::new(), tries: 0, next_try_ms: 0, give_up_ms: None }
    }

    /// Advances the fetch; returns whether it has ended, with or without a change of `settings`.
    // Not inlined, so that it takes no stack while the board serves.
    #[inline(never)]
    pub fn poll(
        &mut self,
        now_ms: u64,
        server: IpEndpoint,
        socket: SocketHandle,
        network: &mut Network,
        sockets: &mut SocketSet<'_>,
        settings: &mut Settings,
    ) -> bool {
        let now = network::instant(now_ms);
        if now_ms >= *self.give_up_ms.get_or_insert(now_ms + CONFIG_TIMEOUT_MS) {
            defmt::warn!("no configuration: nobody answered in time");
            sockets.get_mut::<tcp::Socket<'_>>(socket).abort();
            return true;
        }
        if self.fetch.is_none() {
            if now_ms < self.next_try_ms {
                return false;
            }
            self.start(now_ms, server, socket);
        }
        let Some(fetch) = &mut self.fetch else {
            defmt::error!("no configuration: it cannot be asked for");
            return true;
        };
        let bytes = &mut self.bytes;
        let mut sink = sink_fn(|_offset, piece: &[u8]| bytes.extend_from_slice(piece));
        let progress = fetch.poll(now, &mut network.interface, sockets, &mut sink);
        drop(sink);
        let error = match progress {
            Progress::Waiting(_) => return false,
            Progress::Done(End::Verified(_)) => {
                match settings.apply(&self.bytes) {
                    Ok(()) => defmt::info!("configured: name {=str}, idle_ms {=u32}", settings.name, settings.idle_ms),
                    Err(why) => defmt::error!("config.json is refused: {=str}", why),
                }
                return true;
            }
            Progress::Done(_) => {
                defmt::error!("config.json changed while it was fetched");
                return true;
            }
            Progress::Failed(error) => error,
        };
        match error {
            FetchError::Sink(_) => defmt::error!("config.json is refused: over {=usize} bytes", CONFIG_LEN),
            FetchError::ConnectionRefused => defmt::info!("no configuration: no server there"),
            FetchError::Failed(failure) if failure.is_temporary() => {
                let told = fetch.retry_after().map_or(RETRY_PAUSE_MS, |after| after.total_millis());
                self.buf = self.fetch.take().map(Fetch::into_buf);
                self.next_try_ms = now_ms + told;
                return false;
            }
            FetchError::Failed(failure) => defmt::warn!("no configuration: {}", failure),
            FetchError::Refused(code) => defmt::info!("no configuration: the server says {}", code),
            _ => defmt::warn!("no configuration: it cannot be asked for"),
        }
        true
    }

    #[inline(never)]
    fn start(&mut self, now_ms: u64, server: IpEndpoint, socket: SocketHandle) {
        let Some(buf) = self.buf.take() else { return };
        self.bytes.clear();
        self.tries += 1;
        let get = GetRequest::new(CONFIG).with_digest(Some(DigestKind::Sha256));
        self.fetch = Fetch::new(&get, server, socket, FIRST_PORT + self.tries, buf, network::instant(now_ms)).ok();
    }
}
