//! The limit of clients per address. Of 127.0.0.0/8 this machine has every address.

use std::time::Duration;

use coracle::server::Admission;

use crate::fixture::{Client, Running, code, wait_for};

#[test]
fn x3_an_address_at_its_limit_is_refused_and_others_are_served() {
    let server = Running::with(|limits| limits.max_clients_per_address = Some(3));
    let connect = || Client::connect_from("127.0.0.2", server.address);
    let mut held: Vec<Client> = (0..3).map(|_| connect()).collect();
    for client in &mut held {
        client.hello();
    }
    for _ in 0..20 {
        assert_eq!(code(&connect().rest()), "busy");
    }
    assert_eq!(server.events.wait_for("over address limit 127.0.0.2 busy", 20).len(), 20);
    for source in ["127.0.0.3", "127.0.0.4", "127.0.0.1"] {
        Client::connect_from(source, server.address).hello();
    }
    // The end of a connection makes room for another one, each time.
    for round in 1..=10 {
        drop(held.pop());
        server.events.wait_for("left", 3 + round);
        let mut next = connect();
        next.hello();
        held.push(next);
        assert_eq!(code(&connect().rest()), "busy");
    }
    held.iter_mut().for_each(|client| drop(client.hello()));
    assert_eq!(server.events.count("refused"), 0);
}

/// As many clients are served as may be, some of them silent: those are evicted for other addresses, and not for one at its
/// limit.
#[test]
fn x3_no_connection_is_evicted_for_an_address_at_its_limit() {
    let server = Running::with(|limits| {
        limits.max_clients = 4;
        limits.max_clients_per_address = Some(2);
    });
    let admitted = |source: &str| server.admitted(Client::connect_from(source, server.address));
    let mut silent: Vec<Client> = (0..2).map(|_| admitted("127.0.0.3")).collect();
    let mut greedy: Vec<Client> = (0..2).map(|_| admitted("127.0.0.2")).collect();
    greedy.iter_mut().for_each(|client| drop(client.hello()));
    std::thread::sleep(Duration::from_millis(1100));
    for _ in 0..10 {
        assert_eq!(code(&Client::connect_from("127.0.0.2", server.address).rest()), "busy");
    }
    assert_eq!(server.events.count("left"), 0);
    let mut other = Client::connect_from("127.0.0.4", server.address);
    other.hello();
    assert_eq!(server.events.wait_for("left", 1), ["left dropped live 4"]);
    assert_eq!(silent.remove(0).rest(), "");
    // The eviction has freed one connection of its address, once.
    silent.remove(0).hello();
    drop(greedy);
    server.events.wait_for("left", 4);
    let mut again: Vec<Client> = (0..2).map(|_| Client::connect_from("127.0.0.2", server.address)).collect();
    again.iter_mut().for_each(|client| drop(client.hello()));
    assert_eq!(code(&Client::connect_from("127.0.0.2", server.address).rest()), "busy");
}

#[test]
fn x3_queued_clients_count_against_the_limit() {
    let server = Running::with(|limits| {
        limits.max_clients = 1;
        limits.max_clients_per_address = Some(2);
        limits.admission = Admission::Queue { length: 3, timeout: None };
    });
    let queued = |count: usize| wait_for(|| (server.handle.queued() == count).then_some(()));
    let mut served = Client::connect_from("127.0.0.2", server.address);
    served.hello();
    let mut waiting = Client::connect_from("127.0.0.2", server.address);
    queued(1);
    assert_eq!(code(&Client::connect_from("127.0.0.2", server.address).rest()), "busy");
    let mut other = Client::connect_from("127.0.0.3", server.address);
    queued(2);
    drop(served);
    waiting.hello();
    // It was dequeued and admitted, and counts once.
    let gone = Client::connect_from("127.0.0.2", server.address);
    queued(2);
    assert_eq!(code(&Client::connect_from("127.0.0.2", server.address).rest()), "busy");
    drop(gone);
    queued(1);
    let last = Client::connect_from("127.0.0.2", server.address);
    queued(2);
    drop((waiting, last));
    other.hello();
}
