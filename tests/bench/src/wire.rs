//! Two ends of a link, joined by a wire with a delay and a rate.
//!
//! Each end is a TUN device of a network namespace of its own, so that real TCP runs over the wire. It needs none of the
//! kernel's traffic shapers, of which many kernels lack netem.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use serde_json::Value;

/// Packets that are on the wire or wait for it, for each direction; what comes on top is lost. As long as the queue of a
/// network card, by default.
const QUEUE_LEN: usize = 1000;
/// The longest packet of a TUN device, in bytes.
const PACKET_LEN: usize = 65_536;
/// Packets that are due within this time arrive together, since waking up costs more than they do.
const GRANULARITY: Duration = Duration::from_micros(100);

struct Packet {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries packets until it is killed, or the program that started it ends.
pub fn carry(delay_ms: u64, megabits: u32) -> Result<Value, String> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .map_err(|error| error.to_string())?;
    let (one, other) = (std::io::stdin(), std::io::stdout());
    let (one, other) = (one.as_fd(), other.as_fd());
    let delay = Duration::from_millis(delay_ms);
    thread::scope(|scope| {
        for (source, target) in [(one, other), (other, one)] {
            let (sender, receiver) = sync_channel(QUEUE_LEN);
            scope.spawn(move || deliver(&receiver, target));
            scope.spawn(move || accept(source, &sender, delay, megabits));
        }
    });
    Err("the devices are gone".to_owned())
}

/// Takes packets from a device, and says when each is to arrive.
fn accept(source: BorrowedFd<'_>, sender: &SyncSender<Packet>, delay: Duration, megabits: u32) {
    let mut buf = vec![0; PACKET_LEN];
    // When the wire has sent everything that was given to it.
    let mut free = Instant::now();
    loop {
        match read(source, &mut buf) {
            Ok(len) => {
                let nanos = len as u64 * 8_000 / u64::from(megabits);
                let sent = free.max(Instant::now()) + Duration::from_nanos(nanos);
                let packet = Packet { due: sent + delay, bytes: buf[..len].to_vec() };
                if sender.try_send(packet).is_ok() {
                    free = sent;
                }
            }
            Err(Errno::AGAIN) => {
                // Reading again tells what an error of waiting was.
                let _ = poll(&mut [PollFd::from_borrowed_fd(source, PollFlags::IN)], None);
            }
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Gives packets to a device when they are due.
fn deliver(receiver: &Receiver<Packet>, target: BorrowedFd<'_>) {
    while let Ok(packet) = receiver.recv() {
        let wait = packet.due.saturating_duration_since(Instant::now());
        if wait > GRANULARITY {
            sleep(wait);
        }
        // A device that takes no more loses packets, as any does.
        let _ = write(target, &packet.bytes);
    }
}
