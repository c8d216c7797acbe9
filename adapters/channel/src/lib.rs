//! An encrypted, authenticated channel for boards and PCs, between a transport of bytes and a protocol: a state machine without
//! I/O, allocation, clock or randomness of its own. It is the Noise protocol `Noise_XXpsk0_25519_ChaChaPoly_SHA256` (revision 34
//! of the specification), always: nothing is negotiated.
//!
//! Both ends show a static key, encrypted, and prove that they have its secret half: so a client recognises its server, and a
//! server its clients. A server with a pre-shared key does not answer clients without it, and computes hardly anything for them.
//! This crate has not been audited; its handshake is tested against the published vectors and against `snow`.
//!
//! # On the wire
//!
//! ```text
//! client ──▶ C0 01 │ 00 30 │ e(32) tag(16)                      message 1, 52 bytes; C0 begins no text, 01 is the suite
//! server ──▶ 00 64 │ e(32) s(48) parameters(20)                 message 2, 102 bytes
//!            the client's owner decides: is this the server that is meant?
//! client ──▶ 00 44 │ s(48) parameters(20)                       message 3, 70 bytes; records right behind it
//!            the server's owner decides: what may this client do?
//!
//! then, in both directions, records:
//!
//!       0        2                               2 + n              18 + n
//!       ┌────────┬─────────────────────────────────┬───────────────────┐
//!       │ 16 + n │ n bytes of ciphertext           │ tag               │
//!       └────────┴─────────────────────────────────┴───────────────────┘
//!        u16, big-endian; n ≤ the receiver's `max`    16 bytes
//! ```
//!
//! - Parameters are 4 bytes and a tag: `max` (u16, big-endian), the most plaintext that their sender takes in a record, at least
//!   256; flags (u8), of which unknown ones are ignored; a reserved byte, 0.
//! - Records are numbered from 0 in each direction, and the number is the nonce. Before records 65,536, 131,072 and so on that
//!   direction's key is replaced by Noise's REKEY.
//! - A record without plaintext is the authenticated end of its direction. TCP's end without it is [`RecordError::Truncated`]:
//!   an attacker may have cut something off.
//! - Whatever else arrives, the connection is closed. A handshake that fails ends without a byte.
//!
//! # In a program
//!
//! ```text
//!             bytes that arrived                      the one thing to do next
//! socket ──────── receive() ───────▶ ┌─────────────────┐ ──── action() ───▶ owner of the socket
//!                                    │ ServerHandshake │                     │ compute a step
//! 32 unpredictable bytes ──────────▶ │   (or Client-)  │ ◀── sent(), ... ────┤ send these bytes
//!                                    └────────┬────────┘                     └ decide
//!                                             │ finish()
//!                                    ┌────────▼────────┐
//!                                    │     Channel     │ who the peer is
//!                                    ├────────┬────────┤
//! plaintext ─── seal() in place ───▶ │ Sealer │ Opener │ ◀─── open() in place, or a Receiver ─── records
//!                                    └────────┴────────┘
//! ```
//!
//! Both ends of a connection, which is two arrays of bytes here:
//!
//! ```
//! use coracle_channel::*;
//!
//! // From a file, or made by `SecretKey::from_bytes` of 32 random bytes.
//! let server_key = KeyPair::new(SecretKey::from_bytes([0x51; 32])?);
//! let client_key = KeyPair::new(SecretKey::from_bytes([0x52; 32])?);
//! let psk = Psk::from_bytes([0x53; 32])?;
//!
//! // Of the operating system; a board without a source has `BoardEntropy`.
//! let mut client = ClientHandshake::new(Entropy::new([0x61; 32])?, RecordLimit::PC);
//! let mut server = ServerHandshake::new(Entropy::new([0x62; 32])?, RecordLimit::BOARD);
//!
//! // What is on its way.
//! let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
//! loop {
//!     match client.action() {
//!         HandshakeAction::Compute => client.compute(&client_key, Some(&psk)),
//!         HandshakeAction::Send(bytes) => {
//!             to_server.extend_from_slice(bytes); // a socket may take fewer
//!             let len = bytes.len();
//!             client.sent(len);
//!         }
//!         HandshakeAction::Receive => {
//!             let taken = client.receive(&to_client);
//!             to_client.drain(..taken);
//!         }
//!         HandshakeAction::Decide(key) if key == *server_key.public() => client.permit(),
//!         HandshakeAction::Decide(key) => panic!("this is {key}, another server"),
//!         HandshakeAction::Failed(error) => return Err(error.into()),
//!         HandshakeAction::Done => {}
//!     }
//!     match server.action() {
//!         HandshakeAction::Compute => server.compute(&server_key, std::slice::from_ref(&psk)),
//!         HandshakeAction::Send(bytes) => {
//!             to_client.extend_from_slice(bytes);
//!             let len = bytes.len();
//!             server.sent(len);
//!         }
//!         HandshakeAction::Receive => {
//!             let taken = server.receive(&to_server);
//!             to_server.drain(..taken);
//!         }
//!         HandshakeAction::Decide(_) => unreachable!("a client decides"),
//!         HandshakeAction::Failed(error) => return Err(error.into()),
//!         HandshakeAction::Done => break,
//!     }
//! }
//!
//! // The client sends a record of up to 512 bytes, which is what the server takes, and the end.
//! let Channel { mut sealer, .. } = client.finish().expect("done");
//! let mut buf = [0; 600];
//! let room = sealer.room(buf.len());
//! assert_eq!(room, 512);
//! buf[PLAINTEXT_OFFSET..][..5].copy_from_slice(b"hello");
//! let sealed = sealer.seal(&mut buf, 5)?;
//! to_server.extend_from_slice(&buf[..sealed]);
//! let sealed = sealer.finish(&mut buf)?;
//! to_server.extend_from_slice(&buf[..sealed]);
//!
//! // The server receives them, in whatever pieces they come.
//! let Channel { peer, opener, .. } = server.finish().expect("done");
//! assert_eq!(peer, *client_key.public());
//! let mut receiver = Receiver::new(opener, [0; RecordLimit::BOARD.record_len()])?;
//! let mut received = Vec::new();
//! for byte in to_server {
//!     receiver.receive(&[byte])?;
//!     received.extend_from_slice(receiver.plaintext());
//!     receiver.consume(receiver.plaintext().len());
//! }
//! receiver.receive_eof()?;
//! assert_eq!(received, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where received records are in one piece, [`Opener::open`] works without a buffer in between. Deadlines, the limits of how often
//! strangers may try, and what a key may do are the owner's.
//!
//! # Keys
//!
//! As text a public key is `ck1…`, a secret one `cs1…`, a pre-shared one `cp1…`, with a checksum: `to_string`, `reveal` and
//! `parse`. Secret keys, pre-shared keys and all that is derived from them are wiped from memory when they are dropped;
//! comparisons of keys take the same time whatever they compare. With the feature `ring` the copies that ring makes are not
//! wiped.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod channel;
mod client;
mod entropy;
mod handshake;
mod key_derivation;
mod keys;
mod message;
mod opener;
mod pattern;
mod primitives;
mod receiver;
mod record_key;
mod sealer;
mod server;
mod symmetric;
mod text;

pub use channel::Channel;
pub use client::ClientHandshake;
pub use entropy::{BoardEntropy, Entropy};
pub use handshake::HandshakeAction;
pub use keys::{BlankKey, KeyPair, Psk, PublicKey, SecretKey};
pub use message::{FIRST_BYTE, HandshakeError, RecordLimit};
pub use opener::{Opened, Opener, RecordError};
pub use receiver::{Receiver, ShortBuffer};
pub use sealer::{PLAINTEXT_OFFSET, RECORD_OVERHEAD, SealError, Sealer};
pub use server::ServerHandshake;
pub use text::KeyTextError;
