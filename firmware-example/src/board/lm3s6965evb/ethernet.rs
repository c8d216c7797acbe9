//! Driver for the Ethernet controller in Stellaris chips, by the data sheet of the LM3S6965, as a smoltcp device.

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use static_cell::ConstStaticCell;

use crate::board::registers::Registers;
use crate::board::{MAX_FRAME_LEN, StartError};

/// Registers, as byte offsets.
mod register {
    /// Read: which interrupts there are. Written: which are acknowledged.
    pub const INTERRUPTS: usize = 0x00;
    pub const INTERRUPT_MASK: usize = 0x04;
    pub const RECEIVE_CONTROL: usize = 0x08;
    pub const TRANSMIT_CONTROL: usize = 0x0c;
    pub const DATA: usize = 0x10;
    pub const ADDRESS_LOW: usize = 0x14;
    pub const ADDRESS_HIGH: usize = 0x18;
    pub const THRESHOLD: usize = 0x1c;
    pub const PACKETS: usize = 0x34;
    pub const REQUEST: usize = 0x38;
}

/// The interrupt of a received frame.
const RECEIVED_BIT: u32 = 1;
/// In the receiver each frame begins with two bytes of length, which covers them, and ends with its check sequence.
const LENGTH_LEN: usize = 2;
const CHECK_SEQUENCE_LEN: usize = 4;
/// In the transmitter a frame begins with two bytes as well: the length of what is behind its header.
const HEADER_LEN: usize = 14;
const BUF_LEN: usize = (LENGTH_LEN + MAX_FRAME_LEN + CHECK_SEQUENCE_LEN).next_multiple_of(4);

/// Maximum number of looks at the transmitter, which sends a frame in 0.2 ms at most.
const MAX_READS: u32 = 100_000;

type Buf = [u8; BUF_LEN];

static RECEIVED: ConstStaticCell<Buf> = ConstStaticCell::new([0; BUF_LEN]);
static TRANSMITTED: ConstStaticCell<Buf> = ConstStaticCell::new([0; BUF_LEN]);

/// The controller, running, with room for one frame each way.
pub struct Ethernet {
    registers: Registers,
    received: &'static mut Buf,
    transmitted: &'static mut Buf,
    /// Number of frames sent and received.
    pub frames: u32,
}

impl Ethernet {
    /// Starts receiver and transmitter.
    ///
    /// # Errors
    ///
    /// If the transmitter never becomes ready.
    ///
    /// # Panics
    ///
    /// If called twice, since the board has one controller.
    pub fn start(mut registers: Registers) -> Result<Self, StartError> {
        registers.write(register::INTERRUPT_MASK, 0);
        let reset_fifo = 1 << 4;
        registers.write(register::RECEIVE_CONTROL, reset_fifo);
        registers.write(register::INTERRUPTS, 0x7f);
        // Nothing is sent before it is asked for.
        registers.write(register::THRESHOLD, 0x3f);
        // Full duplex, check sequences made here, short frames padded, on.
        registers.write(register::TRANSMIT_CONTROL, 1 << 4 | 1 << 2 | 1 << 1 | 1);
        // Frames with a wrong check sequence are dropped, and all multicast is let in where a name is to be found.
        let multicast = if cfg!(feature = "mdns") { 1 << 1 } else { 0 };
        registers.write(register::RECEIVE_CONTROL, 1 << 3 | multicast | 1);
        registers.write(register::INTERRUPT_MASK, RECEIVED_BIT);
        let this = Self { registers, received: RECEIVED.take(), transmitted: TRANSMITTED.take(), frames: 0 };
        if (0..MAX_READS).any(|_| this.can_write()) { Ok(this) } else { Err(StartError::Stuck) }
    }

    /// The address that the controller was given: by the emulator, or by a boot loader.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn address(&mut self) -> Result<EthernetAddress, StartError> {
        let [a, b, c, d] = self.registers.read(register::ADDRESS_LOW).to_le_bytes();
        let [e, f, ..] = self.registers.read(register::ADDRESS_HIGH).to_le_bytes();
        let address = EthernetAddress([a, b, c, d, e, f]);
        if address.is_unicast() { Ok(address) } else { Err(StartError::NotFound) }
    }

    /// Whether a received frame waits to be read.
    pub fn has_frame(&self) -> bool {
        self.registers.read(register::PACKETS) & 0x3f != 0
    }

    /// Reads the next frame into `self.received` and returns its length; drops those that are too long.
    fn read_frame(&mut self) -> Option<usize> {
        // Before the look at the number of frames: one that arrives behind this interrupts again.
        self.registers.write(register::INTERRUPTS, RECEIVED_BIT);
        while self.has_frame() {
            let first = self.registers.read(register::DATA).to_le_bytes();
            let [low, high, ..] = first;
            let len = usize::from(u16::from_le_bytes([low, high]));
            for word in 0..len.div_ceil(4) {
                let bytes = if word == 0 { first } else { self.registers.read(register::DATA).to_le_bytes() };
                if let Some(to) = self.received.get_mut(word * 4..word * 4 + 4) {
                    to.copy_from_slice(&bytes);
                }
            }
            self.frames = self.frames.wrapping_add(1);
            if (LENGTH_LEN + CHECK_SEQUENCE_LEN..=BUF_LEN).contains(&len) {
                return Some(len - LENGTH_LEN - CHECK_SEQUENCE_LEN);
            }
        }
        None
    }

    /// Whether the frame before has left the transmitter.
    fn can_write(&self) -> bool {
        self.registers.read(register::REQUEST) & 1 == 0
    }
}

impl Device for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmitter<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Transmitter<'_>)> {
        // Both tokens are returned together, and a reply may be written immediately.
        if !self.can_write() {
            return None;
        }
        let len = self.read_frame()?;
        let received = Received(self.received.get(LENGTH_LEN..LENGTH_LEN + len)?);
        let frames = &mut self.frames;
        Some((received, Transmitter { registers: &mut self.registers, buf: self.transmitted, frames }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmitter<'_>> {
        self.can_write().then_some(Transmitter {
            registers: &mut self.registers,
            buf: self.transmitted,
            frames: &mut self.frames,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME_LEN;
        // The receiver's 2 KiB hold one frame of maximum length.
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}

/// A received frame.
pub struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame in the transmitter.
pub struct Transmitter<'a> {
    registers: &'a mut Registers,
    buf: &'a mut Buf,
    frames: &'a mut u32,
}

impl phy::TxToken for Transmitter<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let result = f(&mut self.buf[LENGTH_LEN..LENGTH_LEN + len]);
        *self.frames = self.frames.wrapping_add(1);
        let payload_len = len.saturating_sub(HEADER_LEN) as u16;
        self.buf[..LENGTH_LEN].copy_from_slice(&payload_len.to_le_bytes());
        for word in self.buf.as_chunks::<4>().0.iter().take((LENGTH_LEN + len).div_ceil(4)) {
            self.registers.write(register::DATA, u32::from_le_bytes(*word));
        }
        self.registers.write(register::REQUEST, 1);
        result
    }
}
