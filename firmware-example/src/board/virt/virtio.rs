//! Driver for a network card by virtio, as a smoltcp device: the crate's queues, with buffers that are never copied.
//!
//! The card is told of every buffer. It could say that it need not be, and the crate can ask it; but the crate asks before the
//! card must have seen the buffer (no full fence is between), and compares counters that wrap as if they did not: a card that
//! goes idle at that moment is never woken, and neither sends nor receives until the next buffer.

use core::ptr::NonNull;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use static_cell::ConstStaticCell;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use super::{DEVICE_COUNT, DEVICE_LEN, DEVICES};
use crate::board::{MAX_FRAME_LEN, StartError};

/// Frames that the card can receive before the main loop looks, and send; powers of two.
const RECEIVE_COUNT: usize = 8;
const SEND_COUNT: usize = 4;
const RECEIVE_QUEUE: u16 = 0;
const SEND_QUEUE: u16 = 1;
/// What a frame begins with, all zero where nothing is left to the card.
const HEADER_LEN: usize = 12;
const BUF_LEN: usize = HEADER_LEN + MAX_FRAME_LEN;

/// What the card has to offer: an address, and the current standard.
const FEATURES: u64 = 1 << 5 | 1 << 32;

type Buf = [u8; BUF_LEN];

static RECEIVED: ConstStaticCell<[Buf; RECEIVE_COUNT]> = ConstStaticCell::new([[0; BUF_LEN]; RECEIVE_COUNT]);
static SENT: ConstStaticCell<[Buf; SEND_COUNT]> = ConstStaticCell::new([[0; BUF_LEN]; SEND_COUNT]);
static PLACES: ConstStaticCell<()> = ConstStaticCell::new(());

/// The places where virtio devices may be.
pub struct Places(());

impl Places {
    /// Returns them; `None` the second time.
    pub fn take() -> Option<Self> {
        PLACES.try_take().map(|()| Self(()))
    }

    fn find_network(self) -> Option<MmioTransport<'static>> {
        (0..DEVICE_COUNT).find_map(|place| {
            let header = NonNull::new(core::ptr::with_exposed_provenance_mut(DEVICES + place * DEVICE_LEN))?;
            // SAFETY: the machine has virtio's registers in each of these places, and nobody else uses them.
            let transport = unsafe { MmioTransport::new(header, DEVICE_LEN) }.ok()?;
            (transport.device_type() == DeviceType::Network).then_some(transport)
        })
    }
}

/// The network card, running.
pub struct Ethernet {
    transport: MmioTransport<'static>,
    receiver: Receiver,
    sender: Sender,
    address: EthernetAddress,
    /// Number of frames sent and received.
    pub frames: u32,
}

impl Ethernet {
    /// Finds the card, and starts it.
    ///
    /// # Errors
    ///
    /// If there is none, or it keeps to an older standard.
    pub fn start(places: Places) -> Result<Self, StartError> {
        let mut transport = places.find_network().ok_or(StartError::NotFound)?;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
        if transport.read_device_features() & FEATURES != FEATURES {
            return Err(StartError::NotFound);
        }
        transport.write_driver_features(FEATURES);
        transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(StartError::Stuck);
        }
        let address = transport.read_config_space(0).map_err(|_| StartError::Stuck)?;
        let mut this = Self {
            receiver: Receiver::new(&mut transport)?,
            sender: Sender::new(&mut transport)?,
            transport,
            address: EthernetAddress(address),
            frames: 0,
        };
        this.transport.finish_init();
        this.transport.notify(RECEIVE_QUEUE);
        Ok(this)
    }

    /// The card's address.
    ///
    /// # Errors
    ///
    /// None: it was read at the start.
    pub fn address(&mut self) -> Result<EthernetAddress, StartError> {
        Ok(self.address)
    }

    /// Whether a received frame waits to be read.
    pub fn has_frame(&self) -> bool {
        self.receiver.queue.can_pop()
    }
}

/// The queue of received frames: the descriptor with a buffer's index belongs to it.
struct Receiver {
    queue: VirtQueue<Memory, RECEIVE_COUNT>,
    bufs: &'static mut [Buf; RECEIVE_COUNT],
    /// The buffer that is being read, which the card does not have.
    taken: Option<u16>,
}

impl Receiver {
    fn new(transport: &mut MmioTransport<'static>) -> Result<Self, StartError> {
        let queue = VirtQueue::new(transport, RECEIVE_QUEUE, false, false).map_err(|_| StartError::Stuck)?;
        let mut this = Self { queue, bufs: RECEIVED.take(), taken: None };
        for index in 0..RECEIVE_COUNT as u16 {
            this.give(index)?;
        }
        Ok(this)
    }

    /// Gives the buffer to the card, which is told by a notification.
    fn give(&mut self, index: u16) -> Result<(), StartError> {
        let buf = self.bufs.get_mut(usize::from(index)).ok_or(StartError::Stuck)?;
        // SAFETY: the buffer is static, and read only once `take` has got it back.
        let given = unsafe { self.queue.add(&[], &mut [&mut buf[..]]) };
        if given == Ok(index) { Ok(()) } else { Err(StartError::Stuck) }
    }

    /// Gives back the buffer that was read, and takes the next one with a frame: its index, and the frame's length.
    fn take(&mut self, transport: &mut MmioTransport<'static>) -> Option<(u16, usize)> {
        if let Some(index) = self.taken.take() {
            self.give(index).ok()?;
            transport.notify(RECEIVE_QUEUE);
        }
        let index = self.queue.peek_used()?;
        let buf = self.bufs.get_mut(usize::from(index))?;
        // SAFETY: it is the buffer that was given under this index.
        let len = unsafe { self.queue.pop_used(index, &[], &mut [&mut buf[..]]) }.ok()?;
        self.taken = Some(index);
        Some((index, (len as usize).saturating_sub(HEADER_LEN)))
    }
}

/// The queue of frames to be sent, and which buffer is behind each descriptor that the card has.
struct Sender {
    queue: VirtQueue<Memory, SEND_COUNT>,
    bufs: &'static mut [Buf; SEND_COUNT],
    owner: [Option<u16>; SEND_COUNT],
}

impl Sender {
    fn new(transport: &mut MmioTransport<'static>) -> Result<Self, StartError> {
        let mut queue = VirtQueue::new(transport, SEND_QUEUE, false, false).map_err(|_| StartError::Stuck)?;
        // Nobody waits for a frame to be sent.
        queue.set_dev_notify(false);
        Ok(Self { queue, bufs: SENT.take(), owner: [None; SEND_COUNT] })
    }

    /// Takes back the buffers of frames that were sent, and returns the index of a free one.
    fn free(&mut self) -> Option<usize> {
        while let Some(token) = self.queue.peek_used() {
            let index = self.owner.iter().position(|owner| *owner == Some(token))?;
            let buf = self.bufs.get(index)?;
            // SAFETY: it is the buffer that was given when the queue returned this token.
            unsafe { self.queue.pop_used(token, &[&buf[..]], &mut []) }.ok()?;
            self.owner[index] = None;
        }
        self.owner.iter().position(Option::is_none)
    }

    fn send(&mut self, index: usize, len: usize) {
        let Some(frame) = self.bufs.get(index).and_then(|buf| buf.get(..HEADER_LEN + len)) else { return };
        // SAFETY: the buffer is static, and written only once `free` has got it back.
        let given = unsafe { self.queue.add(&[frame], &mut []) };
        self.owner[index] = given.ok();
    }
}

impl Device for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmitter<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Transmitter<'_>)> {
        // Both tokens are returned together, and a reply may be written immediately.
        let free = self.sender.free()?;
        let (index, len) = self.receiver.take(&mut self.transport)?;
        self.frames = self.frames.wrapping_add(1);
        let frame = self.receiver.bufs.get(usize::from(index))?.get(HEADER_LEN..HEADER_LEN + len)?;
        let sender = (&mut self.transport, &mut self.sender);
        Some((Received(frame), Transmitter { sender, buf: free, frames: &mut self.frames }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmitter<'_>> {
        let buf = self.sender.free()?;
        Some(Transmitter { sender: (&mut self.transport, &mut self.sender), buf, frames: &mut self.frames })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME_LEN;
        capabilities.max_burst_size = Some(RECEIVE_COUNT - 1);
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

/// A buffer for a frame to be sent.
pub struct Transmitter<'a> {
    sender: (&'a mut MmioTransport<'static>, &'a mut Sender),
    buf: usize,
    frames: &'a mut u32,
}

impl phy::TxToken for Transmitter<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let (transport, sender) = self.sender;
        let result = f(&mut sender.bufs[self.buf][HEADER_LEN..HEADER_LEN + len]);
        *self.frames = self.frames.wrapping_add(1);
        sender.send(self.buf, len);
        transport.notify(SEND_QUEUE);
        result
    }
}

/// A page that a queue lies in: for each queue one that the card reads, and one that it writes.
#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE]);

const PAGES: usize = 4;
static MEMORY: [ConstStaticCell<Page>; PAGES] = [const { ConstStaticCell::new(Page([0; PAGE_SIZE])) }; PAGES];

/// The memory that the card reads and writes: all of it, at the addresses that the hart uses.
struct Memory;

// SAFETY: pages are static, aligned, zero and handed out once; addresses are the same for the card, which sees the same memory.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match MEMORY.iter().find_map(|page| page.try_take().filter(|_| pages == 1)) {
            Some(page) => {
                let start = NonNull::from(&mut page.0).cast::<u8>();
                (start.expose_provenance().get() as PhysAddr, start)
            }
            // No memory, by the address.
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // The queues live as long as the firmware.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize)).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buf: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buf.cast::<u8>().expose_provenance().get() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
