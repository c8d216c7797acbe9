//! The boot loader: picks the slot, checks the image, copies it to where it runs, and starts it.
//!
//! Arguments of the emulator: `flash=FILE`, the chip; `factory=FILE`, the image that an empty chip gets. What it starts, it says
//! on the emulator's standard error.
#![no_std]
#![no_main]

mod check;
mod factory;
mod hardware;

use core::ffi::CStr;

use coracle_firmware_chip::{Chip, Handover, SLOTS};
use coracle_flash::{ImageSlots, Slot};
use hardware::RunArea;

/// The exit status where nothing can be started.
const NOTHING_TO_START: i32 = 104;
/// Longest path of a file on the host.
const PATH_LEN: usize = 256;

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(mut area) = RunArea::take() else { fail("loader: main runs once\n") };
    let (mut flash, mut factory) = ([0; PATH_LEN], [0; PATH_LEN]);
    read_arguments(&mut flash, &mut factory);
    let Some(flash) = path(&flash) else { fail("loader: flash=FILE names no chip\n") };
    let Ok(chip) = Chip::open(flash) else { fail("loader: the chip's file cannot be opened\n") };
    let mut slots = ImageSlots::new(chip, SLOTS);
    if let Some(factory) = path(&factory)
        && let Err(why) = factory::install(&mut slots, factory)
    {
        fail(why);
    }
    match slots.choose(|mut image| check::load(&mut image, area.bytes())) {
        Some(choice) => {
            let handover = Handover::encode(&choice);
            announce(handover);
            area.start(handover)
        }
        None => fail("loader: no image can be started\n"),
    }
}

fn read_arguments(flash: &mut [u8; PATH_LEN], factory: &mut [u8; PATH_LEN]) {
    let Ok(arguments) = semihosting::experimental::env::args::<1024>() else { return };
    for argument in arguments.skip(1).flatten() {
        let (place, path) = match argument.split_once('=') {
            Some(("flash", path)) => (&mut *flash, path),
            Some(("factory", path)) => (&mut *factory, path),
            _ => continue,
        };
        // With room for the zero at the end.
        if path.len() < place.len() {
            place.fill(0);
            place[..path.len()].copy_from_slice(path.as_bytes());
        }
    }
}

fn path(bytes: &[u8]) -> Option<&CStr> {
    CStr::from_bytes_until_nul(bytes).ok().filter(|path| !path.is_empty())
}

/// Says which slot is started, and why. A product would keep it for its log, as the firmware does.
fn announce(handover: [u32; 4]) {
    let Some(handover) = Handover::decode(handover) else { return };
    let slot = if handover.slot == Slot::A { "A" } else { "B" };
    say(&["loader: slot ", slot, ": ", handover.reason, "\n"]);
    if !handover.passed_over.is_empty() {
        say(&["loader: a newer image is not started: ", handover.passed_over, "\n"]);
    }
}

fn say(words: &[&str]) {
    let Ok(mut stderr) = semihosting::io::stderr() else { return };
    for word in words {
        // There is no other place to report it.
        let _ = semihosting::io::Write::write_all(&mut stderr, word.as_bytes());
    }
}

/// Ends the emulation. A product would wait for a programmer.
fn fail(why: &str) -> ! {
    say(&[why]);
    semihosting::process::exit(NOTHING_TO_START)
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    fail("loader: panicked\n")
}
