//! The encrypted channel on both ends.

use std::cell::RefCell;
use std::rc::Rc;

use coracle_core::{ClientSession, Code, Failure, FileName, GetRequest};
use coracle_embassy::channel::{
    ChannelBuffers, ChannelKeys, ChannelTransport, ClientKeys, ConnectError, Encryption, Entropy, HandshakeError,
    HandshakeFailure, KeyPair, Psk, PublicKey, SecretKey, connect,
};
use coracle_embassy::net::{DisconnectReason, Encrypted, ServerObserver};
use coracle_embassy::{AsyncStore, Buffers, Client, ClientError, Observer};
use embassy_net::tcp::{State, TcpSocket};
use tokio::task::{JoinHandle, spawn_local};

use super::world::{TestClock, World, line, rest, run, send, wait_until};
use super::{Awaited, MOTD, Memory, Shrunk, fetches, store};

/// Each key is of one byte, repeated.
const SERVER: u8 = 1;
const CLIENT: u8 = 2;
const OTHER: u8 = 3;

fn key(byte: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([byte; 32]).expect("not blank"))
}

fn psk(byte: u8) -> Psk {
    Psk::from_bytes([byte; 32]).expect("not blank")
}

/// The server's keys, with entropy that does not repeat.
struct Keys {
    key: KeyPair,
    psks: [Psk; 2],
    encryption: Encryption,
    handshakes: RefCell<u8>,
}

impl ChannelKeys for Keys {
    fn key(&self) -> Option<&KeyPair> {
        Some(&self.key)
    }

    fn psks(&self) -> &[Psk] {
        &self.psks
    }

    fn entropy(&self) -> Option<Entropy> {
        let mut handshakes = self.handshakes.borrow_mut();
        *handshakes += 1;
        Entropy::new([*handshakes; 32]).ok()
    }

    fn encryption(&self) -> Encryption {
        self.encryption
    }
}

/// What the server was told, in words.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<String>>>);

impl Told {
    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Observer for Told {}

impl ServerObserver for Told {
    fn identified(&mut self, client: Option<&PublicKey>, psk: Option<usize>) {
        let who = match client {
            None => "plain",
            Some(client) if *client == *key(CLIENT).public() => "client",
            Some(_) => "another",
        };
        self.0.borrow_mut().push(format!("{who} {psk:?}"));
    }

    fn disconnected(&mut self, why: DisconnectReason) {
        if !matches!(why, DisconnectReason::Closed(_)) {
            self.0.borrow_mut().push(format!("{why:?}"));
        }
    }
}

fn world<const SOCKETS: usize, S: AsyncStore + 'static>(
    store: impl Fn() -> S,
    encryption: Encryption,
) -> (World<SOCKETS>, Told) {
    let keys = Keys { key: key(SERVER), psks: [psk(8), psk(9)], encryption, handshakes: RefCell::new(0) };
    let (keys, told): (&Keys, _) = (Box::leak(Box::new(keys)), Told::default());
    let world = World::serving(
        |sockets| sockets.map(spawn_local).into(),
        |stack, server, clock: TestClock| {
            let (mut store, mut observer) = (store(), told.clone());
            Box::pin(async move {
                let (mut received, mut to_send) = ([0; 512], [0; 2048]);
                let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
                let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
                let (mut arriving, mut leaving) = ([0; 530], [0; 1000]);
                let channel = ChannelBuffers::new(&mut arriving[..], &mut leaving[..]);
                let encrypted = Encrypted { keys, buffers: channel };
                server.serve_encrypted(&mut socket, &mut store, buffers, encrypted, &clock, &mut observer).await;
            })
        },
    );
    (world, told)
}

type Channel = ChannelTransport<TcpSocket<'static>, [u8; 600]>;

/// A handshake with the pre-shared key `shared`, for a server with the key of `server`.
async fn channel<const SOCKETS: usize>(
    world: &World<SOCKETS>,
    shared: u8,
    server: u8,
) -> Result<Channel, ConnectError> {
    let (socket, entropy) = (world.connect().await, Entropy::new([0x77; 32]).expect("not blank"));
    let (key, psk) = (key(CLIENT), psk(shared));
    let keys = ClientKeys::new(&key).with_psk(Some(&psk));
    let buffers = ChannelBuffers::new([0; 600], [0; 600]);
    let expected = *self::key(server).public();
    connect(socket, buffers, keys, entropy, &world.clock, |key| *key == expected).await
}

fn client<const SOCKETS: usize>(
    world: &World<SOCKETS>,
    channel: Channel,
) -> Client<[u8; 1024], [u8; 512], Channel, TestClock> {
    Client::new(ClientSession::new([0; 1024]), channel, [0; 512], world.clock.clone())
}

#[test]
fn a_client_lists_fetches_and_resumes_encrypted() {
    run(async {
        fetches_all(store).await;
        fetches_all(|| Awaited(store())).await;
    });
}

async fn fetches_all<S: AsyncStore + 'static>(store: impl Fn() -> S) {
    let (world, told) = world::<2, _>(store, Encryption::Only);
    for shared in [8, 9] {
        let mut client = client(&world, channel(&world, shared, SERVER).await.expect("the keys are right"));
        fetches(&mut client).await;
        assert_eq!(told.take(), [format!("client Some({})", shared - 8)]);
        let mut channel = client.into_parts().0;
        channel.finish().await.expect("sent");
        let mut socket = channel.into_inner();
        socket.close();
        wait_until(|| socket.state() == State::TimeWait || socket.state() == State::Closed).await;
    }
}

#[test]
fn who_has_no_key_gets_nothing() {
    run(async {
        let (world, told) = world::<2, _>(store, Encryption::Only);
        let error = channel(&world, 7, SERVER).await.expect_err("another pre-shared key");
        assert_eq!(error, ConnectError::Handshake(HandshakeFailure::Failed(HandshakeError::Closed)));
        wait_until(|| world.server.live() == 0).await;
        assert_eq!(told.take(), ["Handshake(Failed(Authentication))"]);

        let error = channel(&world, 8, OTHER).await.expect_err("another server");
        assert_eq!(error, ConnectError::OtherServer(*key(SERVER).public()));
        wait_until(|| {
            // The server waits for a client that is gone.
            world.clock.advance(3_000);
            world.server.live() == 0
        })
        .await;
        assert_eq!(told.take().len(), 1);

        let mut plain = world.connect().await;
        send(&mut plain, MOTD).await;
        let said = rest(&mut plain).await.0;
        assert!(String::from_utf8_lossy(&said).contains(r#""code":"encrypted""#), "{}", said.escape_ascii());
        plain.close();
        assert_eq!(told.take(), ["plain None"]);
        wait_until(|| world.server.live() == 0).await;
        fetches(&mut client(&world, channel(&world, 8, SERVER).await.expect("afterwards"))).await;
    });
}

#[test]
fn plain_clients_may_be_served_beside() {
    run(async {
        let (world, told) = world::<3, _>(store, Encryption::Offer);
        let mut plain = world.connect().await;
        send(&mut plain, MOTD).await;
        assert!(line(&mut plain).await.contains("motd"));
        fetches(&mut client(&world, channel(&world, 8, SERVER).await.expect("the key is right"))).await;
        assert_eq!(told.take(), ["plain None", "client Some(0)"]);
    });
}

#[test]
fn one_too_many_is_told_busy_encrypted() {
    run(async {
        let (world, _) = world::<2, _>(store, Encryption::Only);
        let mut first = client(&world, channel(&world, 8, SERVER).await.expect("the key is right"));
        first.hello(|_| ()).await.expect("answered");
        let mut second = client(&world, channel(&world, 8, SERVER).await.expect("the key is right"));
        let error = second.hello(|_| ()).await.expect_err("no place");
        assert_eq!(error, ClientError::Failed(Failure::Ended(Code::Busy)));
    });
}

#[test]
fn a_handshake_has_deadlines() {
    run(async {
        let (world, told) = world::<2, _>(store, Encryption::Only);
        // Silent.
        let mut silent = world.connect().await;
        wait_until(|| world.server.live() == 1).await;
        world.clock.advance(60_000);
        assert_eq!(rest(&mut silent).await, (Vec::new(), false));
        silent.close();
        wait_until(|| world.server.live() == 0).await;
        // A part of message 1.
        let mut slow = world.connect().await;
        send(&mut slow, &[0xc0, 0x01, 0x00]).await;
        wait_until(|| world.server.live() == 1 && slow.send_queue() == 0).await;
        world.clock.advance(10_000);
        assert_eq!(rest(&mut slow).await, (Vec::new(), false));
        assert_eq!(told.take(), ["Handshake(TimedOut)", "Handshake(TimedOut)"]);
    });
}

/// What is cut off is never taken for the end.
#[test]
fn a_body_that_cannot_be_finished_is_an_error() {
    run(async {
        let (world, _) = world::<2, _>(|| Shrunk(store()), Encryption::Only);
        let mut client = client(&world, channel(&world, 8, SERVER).await.expect("the key is right"));
        let mut memory = Memory(Vec::new());
        let get = GetRequest::new(FileName::from_static("logs/large")).with_digest(None);
        let error = client.get(&get, &mut memory).await.expect_err("it ends early");
        assert!(matches!(error, ClientError::Transport(_) | ClientError::Failed(_)), "{error:?}");
        assert!(memory.0.len() <= 50_000);
    });
}

#[test]
fn an_encrypted_server_stops_gracefully() {
    run(async {
        let (mut world, _) = world::<3, _>(store, Encryption::Only);
        let mut waiting = client(&world, channel(&world, 8, SERVER).await.expect("the key is right"));
        waiting.hello(|_| ()).await.expect("answered");
        let mut in_handshake = world.connect().await;
        send(&mut in_handshake, &[0xc0]).await;
        wait_until(|| world.server.live() == 2).await;
        world.server.stop();
        let error = waiting.hello(|_| ()).await.expect_err("it stops");
        assert_eq!(error, ClientError::Failed(Failure::Ended(Code::ShuttingDown)));
        assert!(rest(&mut in_handshake).await.0.is_empty());
        in_handshake.close();
        wait_until(|| {
            // For the client that is gone.
            world.clock.advance(2_000);
            world.tasks.iter().all(JoinHandle::is_finished)
        })
        .await;
        for task in world.tasks.drain(..) {
            task.await.expect("it ends");
        }
    });
}
