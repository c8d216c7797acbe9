//! Driver for the SMSC (now Microchip) LAN9118 Ethernet controller, by its data sheet, as a smoltcp device.

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use static_cell::ConstStaticCell;

use crate::board::registers::Registers;
use crate::board::{MAX_FRAME_LEN, StartError};

/// Registers of the bus interface, as byte offsets.
mod register {
    pub const RX_DATA_FIFO: usize = 0x00;
    pub const TX_DATA_FIFO: usize = 0x20;
    pub const RX_STATUS_FIFO: usize = 0x40;
    pub const TX_STATUS_FIFO: usize = 0x48;
    pub const IRQ_CFG: usize = 0x54;
    pub const INT_EN: usize = 0x5c;
    pub const BYTE_TEST: usize = 0x64;
    pub const FIFO_INT: usize = 0x68;
    pub const RX_CFG: usize = 0x6c;
    pub const TX_CFG: usize = 0x70;
    pub const HW_CFG: usize = 0x74;
    pub const RX_FIFO_INF: usize = 0x7c;
    pub const TX_FIFO_INF: usize = 0x80;
    pub const MAC_CSR_CMD: usize = 0xa4;
    pub const MAC_CSR_DATA: usize = 0xa8;
    pub const INT_STS: usize = 0x58;
}

/// Registers of the media access controller, reached through two of the above.
mod mac {
    pub const CONTROL: u32 = 1;
    pub const ADDRESS_HIGH: u32 = 2;
    pub const ADDRESS_LOW: u32 = 3;
}

/// The value of `BYTE_TEST` if bus and controller agree on the byte order.
const BYTE_TEST_VALUE: u32 = 0x8765_4321;
const CHECK_SEQUENCE_LEN: usize = 4;
const FRAME_WORDS: usize = (MAX_FRAME_LEN + CHECK_SEQUENCE_LEN).div_ceil(4);
/// Maximum number of reads of a bit that the controller clears itself: by the data sheet a reset takes 10 ms.
const MAX_READS: u32 = 1_000_000;

/// The controller, running, with room for one frame each way.
pub struct Lan9118 {
    registers: Registers,
    received: &'static mut Frame,
    transmitted: &'static mut Frame,
    /// Number of frames sent and received.
    pub frames: u32,
}

type Frame = [u8; FRAME_WORDS * 4];

static RECEIVED: ConstStaticCell<Frame> = ConstStaticCell::new([0; FRAME_WORDS * 4]);
static TRANSMITTED: ConstStaticCell<Frame> = ConstStaticCell::new([0; FRAME_WORDS * 4]);

impl Lan9118 {
    /// Resets the controller and starts receiver and transmitter.
    ///
    /// # Errors
    ///
    /// If it does not respond as its data sheet says.
    ///
    /// # Panics
    ///
    /// If called twice, since the board has one controller.
    pub fn start(registers: Registers) -> Result<Self, StartError> {
        let mut this = Self { registers, received: RECEIVED.take(), transmitted: TRANSMITTED.take(), frames: 0 };
        if this.registers.read(register::BYTE_TEST) != BYTE_TEST_VALUE {
            return Err(StartError::NotFound);
        }
        let soft_reset = 1;
        this.registers.write(register::HW_CFG, soft_reset);
        this.wait_for_zero(register::HW_CFG, soft_reset)?;
        // A bit that must be one, and 5 KiB of memory for the transmitter, which leaves 10,560 bytes for the receiver.
        this.registers.write(register::HW_CFG, 1 << 20 | 5 << 16);
        // Interrupt (active high, push-pull) whenever a frame waits.
        this.registers.write(register::FIFO_INT, 0);
        this.registers.write(register::INT_STS, u32::MAX);
        this.registers.write(register::INT_EN, 1 << 3);
        this.registers.write(register::IRQ_CFG, 1 << 8 | 1 << 4 | 1);
        this.registers.write(register::RX_CFG, 0);
        this.registers.write(register::TX_CFG, 1 << 1);
        // Full duplex, transmitter and receiver on; and all multicast is let in where a name is to be found.
        let multicast = if cfg!(feature = "mdns") { 1 << 19 } else { 0 };
        this.write_mac(mac::CONTROL, 1 << 20 | multicast | 1 << 3 | 1 << 2)?;
        Ok(this)
    }

    /// The address that the controller loaded from its EEPROM.
    ///
    /// # Errors
    ///
    /// If the controller hangs.
    pub fn address(&mut self) -> Result<EthernetAddress, StartError> {
        let [a, b, c, d] = self.read_mac(mac::ADDRESS_LOW)?.to_le_bytes();
        let [e, f, ..] = self.read_mac(mac::ADDRESS_HIGH)?.to_le_bytes();
        Ok(EthernetAddress([a, b, c, d, e, f]))
    }

    /// Whether a received frame waits to be read.
    pub fn has_frame(&self) -> bool {
        self.registers.read(register::RX_FIFO_INF) >> 16 & 0xff != 0
    }

    /// Reads the next valid frame into `self.received` and returns its length; drops damaged ones.
    fn read_frame(&mut self) -> Option<usize> {
        while self.has_frame() {
            let status = self.registers.read(register::RX_STATUS_FIFO);
            let len = (status >> 16 & 0x3fff) as usize;
            for word in 0..len.div_ceil(4) {
                let bytes = self.registers.read(register::RX_DATA_FIFO).to_le_bytes();
                if let Some(to) = self.received.get_mut(word * 4..word * 4 + 4) {
                    to.copy_from_slice(&bytes);
                }
            }
            let error_summary = status & 1 << 15 != 0;
            self.frames = self.frames.wrapping_add(1);
            if !error_summary && (CHECK_SEQUENCE_LEN..=self.received.len()).contains(&len) {
                return Some(len - CHECK_SEQUENCE_LEN);
            }
        }
        None
    }

    /// Whether a frame of maximum length and its two command words fit into the transmitter. Discards its status reports, since
    /// TCP resends lost frames.
    fn can_write(&mut self) -> bool {
        let mut info = self.registers.read(register::TX_FIFO_INF);
        while info >> 16 & 0xff != 0 {
            self.registers.read(register::TX_STATUS_FIFO);
            info = self.registers.read(register::TX_FIFO_INF);
        }
        (info & 0xffff) as usize >= FRAME_WORDS * 4 + 8
    }

    fn read_mac(&mut self, index: u32) -> Result<u32, StartError> {
        self.mac_command(1 << 30 | index)?;
        Ok(self.registers.read(register::MAC_CSR_DATA))
    }

    fn write_mac(&mut self, index: u32, value: u32) -> Result<(), StartError> {
        self.registers.write(register::MAC_CSR_DATA, value);
        self.mac_command(index)
    }

    fn mac_command(&mut self, command: u32) -> Result<(), StartError> {
        let busy = 1 << 31;
        self.registers.write(register::MAC_CSR_CMD, busy | command);
        self.wait_for_zero(register::MAC_CSR_CMD, busy)
    }

    fn wait_for_zero(&self, offset: usize, bit: u32) -> Result<(), StartError> {
        let done = (0..MAX_READS).any(|_| self.registers.read(offset) & bit == 0);
        if done { Ok(()) } else { Err(StartError::Stuck) }
    }
}

impl Device for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmitter<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Transmitter<'_>)> {
        // Both tokens are returned together, and a reply may be written immediately.
        if !self.can_write() {
            return None;
        }
        let len = self.read_frame()?;
        let received = Received(self.received.get(..len)?);
        Some((
            received,
            Transmitter { registers: &mut self.registers, frame: self.transmitted, frames: &mut self.frames },
        ))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmitter<'_>> {
        self.can_write().then_some(Transmitter {
            registers: &mut self.registers,
            frame: self.transmitted,
            frames: &mut self.frames,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME_LEN;
        // More segments in flight would overflow the receiver's memory.
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
    frame: &'a mut Frame,
    frames: &'a mut u32,
}

impl phy::TxToken for Transmitter<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let result = f(&mut self.frame[..len]);
        *self.frames = self.frames.wrapping_add(1);
        // First and last segment, aligned to words; its length, and again as the packet's.
        self.registers.write(register::TX_DATA_FIFO, 1 << 13 | 1 << 12 | len as u32);
        self.registers.write(register::TX_DATA_FIFO, len as u32);
        for word in self.frame.as_chunks::<4>().0.iter().take(len.div_ceil(4)) {
            self.registers.write(register::TX_DATA_FIFO, u32::from_le_bytes(*word));
        }
        result
    }
}
