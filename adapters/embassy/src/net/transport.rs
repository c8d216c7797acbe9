//! A socket as a transport.

use embassy_net::tcp::{Error, TcpSocket};

use crate::transport::Transport;

/// Bodies are read into the transmit buffer; the network stack sends it.
impl Transport for TcpSocket<'_> {
    const IS_BUFFERED: bool = true;

    async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        TcpSocket::write_with(self, fill).await
    }
}
