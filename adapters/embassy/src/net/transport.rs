//! A socket as a transport.

use core::future::Future;

use embassy_net::tcp::{Error, TcpSocket};

use crate::transport::Transport;

/// Bodies are read into the transmit buffer; the network stack sends it.
impl Transport for TcpSocket<'_> {
    const IS_BUFFERED: bool = true;

    fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> impl Future<Output = Result<R, Error>> {
        TcpSocket::write_with(self, fill)
    }
}
