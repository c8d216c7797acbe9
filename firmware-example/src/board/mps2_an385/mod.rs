//! Arm's MPS2 with the AN385 image: a Cortex-M3 at 25 MHz with a LAN9118 Ethernet controller.

pub mod hardware;
pub mod lan9118;
pub mod watchdog;
