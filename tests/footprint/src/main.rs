//! An image for a Cortex-M that is linked to be measured and never run. Without features it has only the board; with them, parts
//! of the core, all of whose input comes from a register.
#![no_std]
#![no_main]

#[cfg(feature = "absent")]
#[cfg_attr(feature = "get-only", allow(dead_code, reason = "that owner lists nothing"))]
mod absent;
#[cfg(feature = "channel-absent")]
mod absent_channel;
mod board;
#[cfg(feature = "fat")]
mod card;
#[cfg(any(feature = "channel-server", feature = "channel-client"))]
mod channel;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "driver")]
mod driver;
#[cfg(feature = "embassy")]
mod embassy;
#[cfg(feature = "littlefs")]
mod flash;
#[cfg(feature = "mdns")]
mod mdns;
#[cfg(feature = "server")]
mod server;

/// The entry point.
#[unsafe(no_mangle)]
pub extern "C" fn reset() -> ! {
    loop {
        // In every image, so that it cancels out in the differences.
        let mut buf = [0; 1024];
        let mut copy = [0; 1024];
        let bytes = board::receive(&mut buf);
        copy[..bytes.len()].copy_from_slice(bytes);
        board::send(&copy);

        #[cfg(feature = "server")]
        server::run();
        #[cfg(feature = "driver")]
        driver::run();
        #[cfg(feature = "embassy")]
        embassy::run();
        #[cfg(feature = "client")]
        client::run();
        #[cfg(any(feature = "channel-server", feature = "channel-client"))]
        channel::run();
        #[cfg(feature = "mdns")]
        mdns::run();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        board::output(0);
    }
}
