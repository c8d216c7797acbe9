//! The encrypted channel of [`coracle_channel`] around a transport. A [`Server`](crate::Server) takes a [`ServerChannel`] with its keys
//! and the clients that it knows; for other programs [`connect`] and [`accept`] make the handshake, a
//! [`ChannelTransport`] then is a transport like the one that it encloses.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use coracle::channel::{AcceptDeadlines, KeyPair, Psk, accept, connect, new_secret_key};
//! use coracle::transport::TcpTransport;
//! use embedded_io::{Read, Write};
//! # use std::net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let stream = TcpStream::connect(listener.local_addr()?)?;
//! # let (accepted, _) = listener.accept()?;
//! let (server_key, client_key) = (KeyPair::new(new_secret_key()?), KeyPair::new(new_secret_key()?));
//! let psk = Psk::from_bytes([7; 32])?;
//! let pinned = *server_key.public();
//!
//! std::thread::scope(|scope| {
//!     scope.spawn(|| {
//!         let transport = TcpTransport::new(socket2::Socket::from(accepted));
//!         let mut channel = accept(transport, &[], &server_key, std::slice::from_ref(&psk), AcceptDeadlines::new())
//!             .expect("a client");
//!         assert_eq!(channel.peer(), client_key.public());
//!         channel.write(b"hello").expect("sent");
//!         channel.finish().expect("sent");
//!     });
//!     let transport = TcpTransport::new(socket2::Socket::from(stream));
//!     let deadline = Instant::now() + Duration::from_secs(10);
//!     let mut channel = connect(transport, &client_key, Some(&psk), deadline, |key| *key == pinned)?;
//!     let mut buf = [0; 16];
//!     assert_eq!(channel.read(&mut buf), Ok(5));
//!     assert_eq!(channel.read(&mut buf), Ok(0)); // the server's end, not just TCP's
//!     Ok(())
//! })
//! # }
//! ```

mod authorized;
mod error;
mod handshake;
mod key_file;
mod server;
mod stream;
mod watched;

pub use authorized::{Authorized, AuthorizedClient, AuthorizedError, LineError};
pub use coracle_channel::{
    BlankKey, FIRST_BYTE, HandshakeError, KeyPair, KeyTextError, Psk, PublicKey, RecordError, SecretKey,
};
pub use error::{ChannelError, HandshakeCause, HandshakeFailure};
pub use handshake::{AcceptDeadlines, accept, connect, new_psk, new_secret_key};
pub use key_file::{KeyFileError, create_psk, create_secret_key, read_psk, read_secret_key};
pub use server::{MAX_PSKS, ServerChannel, ServerFileError, ServerFiles, TooManyPsks};
pub use stream::ChannelTransport;
