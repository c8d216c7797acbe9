//! What the encrypted channel costs on this processor: each step of a server's handshake, and the records. Prints it, and ends.
#![no_std]
#![no_main]
// It uses only a part of the firmware's modules.
#![allow(dead_code, unused_imports)]

#[path = "../board/mod.rs"]
mod board;
#[path = "../clock.rs"]
mod clock;
#[path = "../fault.rs"]
mod fault;

use board::Board;
use clock::Clock;
use coracle_channel::{
    Channel, Entropy, HandshakeAction, KeyPair, PLAINTEXT_OFFSET, Psk, RecordLimit, SecretKey, ServerHandshake,
};
use defmt_semihosting as _;
use static_cell::StaticCell;

/// Messages 1 and 3 of a client with the key of 32 bytes 0x52, the PSK of 0x53 and the entropy 0x62, for the server below.
#[rustfmt::skip]
const FIRST: [u8; 52] = [
    0xc0, 0x01, 0x00, 0x30, 0x4a, 0x4f, 0x8c, 0xcd, 0xe1, 0x98, 0xd6, 0x6e, 0x99, 0xb4, 0xc0, 0x14, 0x41, 0x8a, 0x32,
    0x23, 0xce, 0x25, 0x6c, 0x98, 0x90, 0x0a, 0xe4, 0xa6, 0x81, 0x1f, 0xd1, 0x0f, 0x7e, 0xb8, 0x4c, 0x2c, 0x21, 0xc5,
    0x6f, 0xec, 0xe5, 0x40, 0xbf, 0x6e, 0x84, 0x11, 0x7e, 0xd9, 0x7a, 0xf0, 0x50, 0x67,
];
#[rustfmt::skip]
const THIRD: [u8; 70] = [
    0x00, 0x44, 0x61, 0xfa, 0x87, 0x73, 0xaf, 0x5b, 0xdb, 0xb3, 0xe7, 0x9e, 0x35, 0xe2, 0xde, 0x85, 0xd1, 0xd7, 0xea,
    0xed, 0x08, 0xfd, 0x7b, 0x06, 0xcf, 0xc7, 0x2c, 0xc0, 0xd0, 0xa6, 0xc7, 0x09, 0x1b, 0x95, 0x30, 0xb6, 0x02, 0x95,
    0x46, 0xc9, 0xa7, 0x3d, 0x89, 0x21, 0x5b, 0x95, 0x31, 0xf3, 0xe7, 0xf9, 0xe3, 0x3e, 0x77, 0xcf, 0x05, 0xf2, 0x5a,
    0x8e, 0x75, 0x64, 0x56, 0x1a, 0xb7, 0xc5, 0x49, 0x71, 0x99, 0xe1, 0x02, 0x60,
];
/// As in a server, none of these is on the stack.
static KEY: StaticCell<KeyPair> = StaticCell::new();
static PSKS: StaticCell<[Psk; 1]> = StaticCell::new();
static HANDSHAKE: StaticCell<ServerHandshake> = StaticCell::new();
/// Plaintext of a record.
const TEXT_LEN: usize = 512;
/// So many records are two KiB.
const RECORDS: usize = 4;

#[board::entry]
fn main() -> ! {
    let Some(board) = Board::take() else { panic!("main runs once") };
    let mut clock = Clock::new(board.counter);
    let before = board::stack_use().high_water;
    let Some(channel) = handshake(&mut clock) else { panic!("these are the client's messages") };
    // What it took beside what is always there.
    defmt::info!("stack of a handshake: {=usize} bytes", board::stack_use().high_water - before);
    seal(&mut clock, channel);
    semihosting::process::exit(0)
}

#[inline(never)]
fn handshake(clock: &mut Clock) -> Option<Channel> {
    let [secret, psk, entropy] = [0x51, 0x53, 0x61].map(|byte| [byte; 32]);
    let key = KEY.init(KeyPair::new(SecretKey::from_bytes(secret).ok()?));
    let psks = PSKS.init([Psk::from_bytes(psk).ok()?]);
    let handshake = HANDSHAKE.init(ServerHandshake::new(Entropy::new(entropy).ok()?, RecordLimit::BOARD));
    let mut messages = [&FIRST[..], &THIRD[..]].into_iter();
    loop {
        match handshake.action() {
            HandshakeAction::Receive => {
                handshake.receive(messages.next()?);
            }
            HandshakeAction::Compute => {
                let message = handshake.message();
                let begun = clock.ticks();
                handshake.compute(key, psks);
                defmt::info!("step of message {=u8}: {=u64} ticks", message, clock.ticks() - begun);
            }
            HandshakeAction::Send(bytes) => {
                let len = bytes.len();
                handshake.sent(len);
            }
            HandshakeAction::Done => return handshake.finish(),
            HandshakeAction::Decide(_) | HandshakeAction::Failed(_) => return None,
        }
    }
}

#[inline(never)]
fn seal(clock: &mut Clock, mut channel: Channel) {
    let mut buf = [0x5a; PLAINTEXT_OFFSET + TEXT_LEN + 16];
    let begun = clock.ticks();
    for _ in 0..RECORDS {
        if channel.sealer.seal(&mut buf, TEXT_LEN).is_err() {
            panic!("a record fits");
        }
    }
    defmt::info!("sealing 2 KiB: {=u64} ticks", clock.ticks() - begun);
}
