//! Tokio's sockets, and the time of this machine.

use std::time::{Duration, Instant as Moment};

use coracle_core::Instant;
use coracle_embassy::Clock;
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorType, Read, Write};
use tokio::net::TcpStream;

/// The time of this machine.
pub struct TokioClock(pub Moment);

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.0.elapsed().as_millis()).expect("soon"))
    }

    async fn sleep_until(&self, when: Instant) {
        match self.0.checked_add(Duration::from_millis(when.as_millis())) {
            Some(when) => tokio::time::sleep_until(when.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// A client's socket, which breaks after so many bytes were written.
pub struct Socket {
    pub stream: FromTokio<TcpStream>,
    pub left: usize,
}

impl ErrorType for Socket {
    type Error = std::io::Error;
}

impl Read for Socket {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, std::io::Error> {
        if self.left == 0 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        self.stream.read(buf).await
    }
}

impl Write for Socket {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, std::io::Error> {
        let len = buf.len().min(self.left);
        if len == 0 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        let len = self.stream.write(&buf[..len]).await?;
        self.left -= len;
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), std::io::Error> {
        self.stream.flush().await
    }
}
