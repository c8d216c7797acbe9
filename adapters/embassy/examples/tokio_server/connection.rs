//! One client's connection, and the time.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant as Moment};

use coracle::store::WritableDirectoryStore;
use coracle_core::{CloseHow, Code, Instant, ServerConfig, ServerSession};
use coracle_embassy::{Buffers, Clock, Stream, discard, serve_writable};
use embedded_io_adapters::tokio_1::FromTokio;
use socket2::SockRef;
use tokio::net::TcpStream;

/// Length of a connection's buffers, in bytes.
const BUF_LEN: usize = 16 << 10;

/// The time since a moment.
#[derive(Clone, Copy)]
pub struct TokioClock(pub Moment);

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, when: Instant) {
        match self.0.checked_add(Duration::from_millis(when.as_millis())) {
            Some(when) => tokio::time::sleep_until(when.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// Serves a client that has a place; tells another one that there is none. The store's files are read and written without waiting:
/// where its disk is slow, that is a task for `AsyncStore` and other threads.
///
/// # Errors
///
/// The socket's.
pub async fn serve_one(
    stream: TcpStream,
    mut store: &WritableDirectoryStore,
    config: ServerConfig<'_>,
    clock: TokioClock,
    place: Option<Rc<()>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let buf = [0; 768];
    let mut session = match place {
        Some(_) => ServerSession::new(&config, buf, clock.now()),
        None => ServerSession::refusing(Code::Busy, &config, buf, clock.now()),
    };
    let mut transport = Stream(FromTokio::new(stream));
    let (mut receive, mut send) = (vec![0; BUF_LEN], vec![0; BUF_LEN]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    let close = serve_writable(&mut session, &mut transport, &mut store, buffers, &clock, &mut ()).await;
    // No trait of embedded-io-async resets a connection, or closes half of it.
    match close.how {
        CloseHow::Finish => Ok(()),
        CloseHow::Abort => SockRef::from(transport.0.inner()).set_linger(Some(Duration::ZERO)),
        CloseHow::Linger => {
            SockRef::from(transport.0.inner()).shutdown(Shutdown::Write)?;
            discard(&mut transport, &mut [0; 512], &clock).await;
            Ok(())
        }
    }
}
