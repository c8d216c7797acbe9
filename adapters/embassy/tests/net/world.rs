//! A server on one host, clients on the other, and a clock that the test sets.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use coracle_core::{Instant, ServerConfig};
use coracle_embassy::net::Server;
use coracle_embassy::{AsyncStore, Buffers, Clock};
use embassy_futures::join::join_array;
use embassy_net::Stack;
use embassy_net::tcp::{ConnectError, TcpSocket};
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

use super::link::{SERVER, hosts};

pub const PORT: u16 = 8888;
pub static CONFIG: ServerConfig<'static> = ServerConfig::new().with_busy_retry_ms(250);

/// The clock of all sessions.
#[derive(Clone, Default)]
pub struct TestClock(Rc<Time>);

#[derive(Default)]
struct Time {
    ms: Cell<u64>,
    sleepers: RefCell<Vec<Waker>>,
}

impl TestClock {
    /// Lets `ms` milliseconds pass at once.
    pub fn advance(&self, ms: u64) {
        self.0.ms.set(self.0.ms.get() + ms);
        self.0.sleepers.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.ms.get())
    }

    async fn sleep_until(&self, when: Instant) {
        poll_fn(|context| {
            if self.now() >= when {
                return Poll::Ready(());
            }
            self.0.sleepers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// One socket, served.
pub type Serving = Pin<Box<dyn Future<Output = ()>>>;

/// A server with `SOCKETS` sockets.
pub struct World<const SOCKETS: usize> {
    pub server: &'static Server<'static, SOCKETS>,
    pub clock: TestClock,
    pub tasks: Vec<JoinHandle<()>>,
    clients: Stack<'static>,
}

impl<const SOCKETS: usize> World<SOCKETS> {
    /// Serves from a store of its own for each socket, in a task each.
    pub fn new<S: AsyncStore + 'static>(store: impl Fn() -> S) -> Self {
        Self::spawned(store, |sockets| sockets.map(spawn_local).into())
    }

    /// The same in one task.
    pub fn joined<S: AsyncStore + 'static>(store: impl Fn() -> S) -> Self {
        Self::spawned(store, |sockets| {
            vec![spawn_local(async {
                join_array(sockets).await;
            })]
        })
    }

    fn spawned<S: AsyncStore + 'static>(
        store: impl Fn() -> S,
        spawn: impl FnOnce([Serving; SOCKETS]) -> Vec<JoinHandle<()>>,
    ) -> Self {
        Self::serving(spawn, |stack, server, clock: TestClock| {
            let mut store = store();
            Box::pin(async move {
                let (mut received, mut to_send) = ([0; 512], [0; 2048]);
                let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
                let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
                server.serve(&mut socket, &mut store, buffers, &clock, &mut ()).await;
            })
        })
    }

    /// With a future of `serve` for each socket.
    pub fn serving(
        spawn: impl FnOnce([Serving; SOCKETS]) -> Vec<JoinHandle<()>>,
        serve: impl Fn(Stack<'static>, &'static Server<'static, SOCKETS>, TestClock) -> Serving,
    ) -> Self {
        let [(stack, mut server_host), (clients, mut client_host)] = hosts();
        spawn_local(async move { server_host.run().await });
        spawn_local(async move { client_host.run().await });
        let server: &Server<'_, SOCKETS> = Box::leak(Box::new(Server::new(&CONFIG, PORT)));
        let clock = TestClock::default();
        let tasks = spawn(std::array::from_fn(|_| serve(stack, server, clock.clone())));
        Self { server, clock, tasks, clients }
    }

    /// A client, connected.
    pub async fn connect(&self) -> TcpSocket<'static> {
        loop {
            let (received, to_send) = (Box::leak(Box::new([0; 4096])), Box::leak(Box::new([0; 4096])));
            let mut socket = TcpSocket::new(self.clients, received, to_send);
            socket.set_nagle_enabled(false);
            match socket.connect((SERVER, PORT)).await {
                Ok(()) => return socket,
                // The server's sockets wait for clients that are gone.
                Err(ConnectError::ConnectionReset) => {
                    self.clock.advance(2_000);
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Runs `test`, with tasks that stay on this thread.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let within = std::time::Duration::from_secs(120);
        tokio::time::timeout(within, test).await.expect("the test ends");
    });
}

/// Lets the other tasks run until `is_so`.
pub async fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        yield_now().await;
        // What is on its way needs a moment of real time.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Sends all of `bytes`.
pub async fn send(socket: &mut TcpSocket<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let len = socket.write(bytes).await.expect("the server takes it");
        bytes = &bytes[len..];
    }
}

/// The server's next line.
pub async fn line(socket: &mut TcpSocket<'_>) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        assert_eq!(socket.read(&mut byte).await.expect("a line"), 1, "the end behind {}", line.escape_ascii());
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text")
}

/// The server's bytes up to the end, and whether that is a reset.
pub async fn rest(socket: &mut TcpSocket<'_>) -> (Vec<u8>, bool) {
    let (mut all, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        match socket.read(&mut piece).await {
            Ok(0) => return (all, false),
            Ok(len) => all.extend_from_slice(&piece[..len]),
            Err(_) => return (all, true),
        }
    }
}
