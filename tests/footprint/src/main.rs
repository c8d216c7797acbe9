//! An image for a Cortex-M that is linked to be measured and never run: without features nothing but the board, with
//! them the parts of the core, whose every input comes from a register.
#![no_std]
#![no_main]

#[cfg(feature = "absent")]
#[cfg_attr(feature = "get-only", allow(dead_code, reason = "that owner lists nothing"))]
mod absent;
mod board;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "driver")]
mod driver;
#[cfg(feature = "server")]
mod server;

/// Where the processor would begin.
#[unsafe(no_mangle)]
pub extern "C" fn reset() -> ! {
    loop {
        // In every image, so that it is in none of the differences.
        let mut buf = [0; 1024];
        let mut copy = [0; 1024];
        let bytes = board::receive(&mut buf);
        copy[..bytes.len()].copy_from_slice(bytes);
        board::send(&copy);

        #[cfg(feature = "server")]
        server::run();
        #[cfg(feature = "driver")]
        driver::run();
        #[cfg(feature = "client")]
        client::run();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        board::output(0);
    }
}
