//! A server over tokio's sockets.

use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant as Moment};

use coracle_core::{CloseHow, ServerConfig, ServerSession};
use coracle_embassy::{AsyncStore, Buffers, Clock, Observer, Stream, discard, serve};
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use super::socket::{Socket, TokioClock};

/// Serves every client of a new address in a thread of its own, until the process ends. `connection` makes the store and the observer
/// of each one, and says after how many bytes it breaks.
pub fn start<S, O>(
    config: ServerConfig<'static>,
    mut connection: impl FnMut() -> (S, O, usize) + Send + 'static,
) -> SocketAddr
where
    S: AsyncStore + 'static,
    O: Observer + 'static,
{
    let (told, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            told.send(listener.local_addr().expect("bound")).expect("the test waits");
            let clock = Rc::new(TokioClock(Moment::now()));
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                stream.set_nodelay(true).expect("a socket");
                let (store, observer, left) = connection();
                let socket = Socket { stream: FromTokio::new(stream), left };
                spawn_local(serve_one(config, socket, store, observer, clock.clone()));
            }
        });
    });
    address.recv().expect("it listens")
}

async fn serve_one(
    config: ServerConfig<'static>,
    socket: Socket,
    mut store: impl AsyncStore,
    mut observer: impl Observer,
    clock: Rc<TokioClock>,
) {
    let mut session = ServerSession::new(&config, [0; 512], clock.now());
    let (mut receive, mut send) = ([0; 64], [0; 4096]);
    let mut transport = Stream(socket);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    let close = serve(&mut session, &mut transport, &mut store, buffers, &*clock, &mut observer).await;
    let socket = socket2::SockRef::from(transport.0.stream.inner());
    match close.how {
        CloseHow::Finish => {}
        // The client may have reset the connection already.
        CloseHow::Abort => drop(socket.set_linger(Some(Duration::ZERO))),
        CloseHow::Linger => {
            drop(socket.shutdown(Shutdown::Write));
            discard(&mut transport, &mut [0; 512], &*clock).await;
        }
    }
}
