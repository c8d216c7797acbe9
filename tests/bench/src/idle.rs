//! Many clients that rest and wake.

use std::io::BufRead;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::Server;
use crate::content::Content;
use crate::meter::Meter;
use crate::poll::{Events, Poll};
use crate::small::{Client, Exchange};

/// Connects `clients` clients at once, reports that, waits for a line, and makes one request with each.
pub fn run(server: &Server, content: Content, clients: usize) -> Result<Value, String> {
    raise_descriptor_limit()?;
    let exchange = Exchange::new(server, content, true);
    let meter = Meter::start(&server.pid)?;
    let mut crowd = (0..clients).map(|_| Client::begin_to_connect(&exchange)).collect::<Result<Vec<_>, _>>()?;
    let mut left: Vec<&Client> = crowd.iter().collect();
    while !left.is_empty() {
        left.retain(|client| !client.is_connected());
        if meter.seconds() > 60.0 {
            return Err(format!("{} of {clients} clients could not connect in a minute", left.len()));
        }
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let connect_seconds = meter.seconds();
    println!("{}", json!({ "connect_seconds": connect_seconds }));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;

    let (poll, mut events) = (Poll::new()?, Events::new());
    for (place, client) in crowd.iter_mut().enumerate() {
        client.watch(&poll, place)?;
        client.begin(&exchange, false, exchange.content.draw(place as u64), Instant::now())?;
    }
    let mut served = 0;
    while served < clients {
        poll.wait(&mut events, 20_000)?;
        if events.is_empty() {
            return Err(format!("only {served} of {clients} clients were served"));
        }
        for place in events.ready() {
            served += usize::from(crowd[place].receive(&exchange, false)?);
        }
    }
    Ok(json!({ "connect_seconds": connect_seconds, "served": served }))
}

fn raise_descriptor_limit() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("the limit of open descriptors: {error}"))
}
