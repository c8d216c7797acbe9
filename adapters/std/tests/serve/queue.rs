//! The admission queue.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coracle::server::{Admission, OnText};

use crate::fixture::{Client, HELLO, Running, TIMEOUT, code, wait_for};

/// A server of one client at a time.
fn serial(length: usize, timeout: Option<Duration>) -> Running {
    Running::with(|limits| {
        limits.max_clients = 1;
        limits.admission = queue(length, timeout);
        limits.on_text = OnText::Reply("noted".to_owned());
    })
}

fn queue(length: usize, timeout: Option<Duration>) -> Admission {
    Admission::Queue { length, timeout }
}

fn wait_until_queued(server: &Running, count: usize) {
    wait_for(|| (server.handle.queued() == count).then_some(()));
}

/// The port in the line of an event.
fn port(line: &str) -> u16 {
    let address = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line}"));
    address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Twenty clients connect before any is served, and all send at once.
#[test]
fn queued_clients_are_served_in_order() {
    let server = serial(128, None);
    let mut first = server.connect();
    first.hello();
    let clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    wait_until_queued(&server, 20);
    let (order, together) = (Mutex::new(Vec::new()), Barrier::new(21));
    thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            let (order, together) = (&order, &together);
            scope.spawn(move || {
                together.wait();
                client.send(format!("client {number}"));
                assert_eq!(client.bytes(5), b"noted");
                // No other client is served before this one has gone.
                let mut order = order.lock().expect("no panic");
                order.push(number);
                drop(client);
            });
        }
        together.wait();
        thread::sleep(Duration::from_millis(100));
        assert!(order.lock().expect("no panic").is_empty(), "a client was served beside the first one");
        drop(first);
    });
    assert_eq!(order.into_inner().expect("no panic"), Vec::from_iter(0..20));
    server.events.wait_for("left", 21);
    assert_eq!(server.events.count("refused"), 0);
}

/// Twenty threads connect at the same moment: the order of the queue is the order of service, and there is never more than
/// one client.
#[test]
fn clients_that_connect_at_once_are_served_in_queue_order() {
    for round in 0..5 {
        let server = serial(128, None);
        let mut first = server.connect();
        first.hello();
        let together = Arc::new(Barrier::new(20));
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let (together, address) = (Arc::clone(&together), server.address);
                thread::spawn(move || {
                    together.wait();
                    let mut client = Client::new(address);
                    client.send("it is me");
                    assert_eq!(client.bytes(5), b"noted");
                })
            })
            .collect();
        wait_until_queued(&server, 20);
        drop(first);
        for client in clients {
            client.join().expect("served");
        }
        let queued: Vec<u16> = server.events.wait_for("queued", 20).iter().map(|line| port(line)).collect();
        let served = server.events.wait_for("connected", 21);
        assert!(served.iter().all(|line| line.ends_with(" live 1")), "{served:?}");
        let served: Vec<u16> = served.iter().skip(1).map(|line| port(line)).collect();
        assert_eq!(served.iter().collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(served, queued, "round {round}");
    }
}

/// With more than one client at a time.
#[test]
fn no_client_overtakes_the_queue() {
    let server = Running::with(|limits| {
        limits.max_clients = 4;
        limits.admission = queue(200, None);
    });
    let together = Arc::new(Barrier::new(100));
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let (together, address) = (Arc::clone(&together), server.address);
            thread::spawn(move || {
                together.wait();
                Client::new(address).hello();
            })
        })
        .collect();
    for client in clients {
        client.join().expect("served");
    }
    let served = server.events.wait_for("connected", 100);
    assert!(served.iter().all(|line| !line.ends_with(" live 5")), "{served:?}");
    server.events.wait_for("left", 100);
    wait_for(|| (server.handle.live() == 0).then_some(()));
    assert_eq!(server.handle.queued(), 0);
}

#[test]
fn a_client_that_waits_too_long_is_refused() {
    let server = serial(128, Some(Duration::from_millis(400)));
    let mut first = server.connect();
    first.hello();
    let started = Instant::now();
    let mut second = server.connect();
    // It may have sent a request already, which must not destroy the refusal.
    second.send(HELLO);
    assert_eq!(code(&second.rest()), "busy");
    assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
    assert!(started.elapsed() < TIMEOUT, "{:?}", started.elapsed());
    assert_eq!(server.handle.queued(), 0);
    // No connection is evicted for queued clients.
    first.hello();
    assert_eq!(server.events.count("refused busy"), 1);
}

#[test]
fn a_client_that_finds_the_queue_full_is_refused_at_once() {
    let server = serial(2, None);
    let mut first = server.connect();
    first.hello();
    let mut waiting = [server.connect(), server.connect()];
    wait_until_queued(&server, 2);
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(code(&server.connect().rest()), "busy");
    }
    assert!(started.elapsed() < TIMEOUT);
    drop(first);
    waiting[0].hello();
    // There is room again.
    let mut last = server.connect();
    wait_until_queued(&server, 2);
    let [next, second] = waiting;
    drop(next);
    let mut second = second;
    second.hello();
    drop(second);
    last.hello();
    assert_eq!(server.events.count("refused busy"), 20);
}

#[test]
fn a_queue_of_length_0_refuses_at_once() {
    let server = serial(0, None);
    let mut first = server.connect();
    first.hello();
    assert_eq!(code(&server.connect().rest()), "busy");
    drop(first);
    server.events.wait_for("left", 1);
    wait_for(|| (server.handle.live() == 0).then_some(()));
    server.connect().hello();
}

/// A client that disconnects frees its place in the queue soon, and is never served.
#[test]
fn clients_that_disconnect_leave_the_queue() {
    let server = serial(3, None);
    let mut first = server.connect();
    first.hello();
    let (gone, mut stays) = (server.connect(), server.connect());
    let mut reset = server.connect();
    reset.send("never mind");
    wait_until_queued(&server, 3);
    drop(gone);
    reset.reset();
    wait_until_queued(&server, 1);
    assert_eq!(server.events.wait_for("dequeued", 2).iter().filter(|line| line.ends_with("Gone")).count(), 2);
    drop(first);
    stays.hello();
    assert_eq!(server.events.wait_for("connected", 2).len(), 2);
    assert_eq!(server.events.count("refused"), 0);
}

/// A client that has shut down its sending side still waits for the response.
#[test]
fn c5_a_half_closed_client_stays_in_the_queue() {
    let server = serial(3, None);
    let mut first = server.connect();
    first.hello();
    let mut second = server.connect();
    second.send(HELLO).half_close();
    wait_until_queued(&server, 1);
    thread::sleep(Duration::from_millis(300));
    drop(first);
    assert!(second.rest().contains("maxRequest"));
}

#[test]
fn c11_a_stop_empties_the_queue() {
    let server = serial(128, None);
    let mut first = server.connect();
    first.hello();
    let mut waiting: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    wait_until_queued(&server, 20);
    let started = Instant::now();
    server.handle.stop();
    for client in &mut waiting {
        assert_eq!(code(&client.rest()), "shuttingDown");
    }
    assert_eq!(code(&first.rest()), "shuttingDown");
    let events = server.events.clone();
    drop((waiting, first));
    assert_eq!(server.join().aborted, 0);
    assert!(started.elapsed() < TIMEOUT);
    assert_eq!(events.count("refused shuttingDown"), 20);
}
