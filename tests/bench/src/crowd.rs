//! Many clients that are mostly idle.

use std::io::BufRead;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::Server;
use crate::meter::Meter;
use crate::small::{Client, Events, Exchange, Poll};

/// Connects `clients` clients at once, reports that, waits for a line, and makes one request with each.
pub fn idle(server: &Server, name: &str, body: &[u8], clients: usize) -> Result<Value, String> {
    raise_descriptor_limit()?;
    let exchange = Exchange::new(server, name, body, true);
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

    let meter = Meter::start(&server.pid)?;
    let (poll, mut events) = (Poll::new()?, Events::new());
    for (number, client) in crowd.iter_mut().enumerate() {
        poll.add(client, number)?;
        client.begin(&exchange, false, Instant::now())?;
    }
    let mut served = 0;
    while served < clients {
        poll.wait(&mut events, 20_000)?;
        if events.is_empty() {
            return Err(format!("only {served} of {clients} clients were served"));
        }
        for number in events.ready() {
            served += usize::from(crowd[number].receive(&exchange, false)?);
        }
    }
    Ok(json!({
        "connect_seconds": connect_seconds, "served": served, "wake_seconds": meter.seconds(),
        "cpu_seconds": meter.busy()?,
    }))
}

/// Makes a request a second with each of `clients` clients, evenly spread, for some seconds.
pub fn paced(server: &Server, name: &str, body: &[u8], clients: usize, seconds: u64) -> Result<Value, String> {
    raise_descriptor_limit()?;
    let exchange = Exchange::new(server, name, body, true);
    let (poll, mut events) = (Poll::new()?, Events::new());
    let mut crowd = Vec::new();
    for number in 0..clients {
        let mut client = Client::connect(&exchange)?;
        client.begin(&exchange, false, Instant::now())?;
        while !client.receive(&exchange, true)? {}
        poll.add(&client, number)?;
        crowd.push(client);
    }
    let total = clients * usize::try_from(seconds).unwrap_or(usize::MAX);
    let meter = Meter::start(&server.pid)?;
    let started = Instant::now();
    let due = |asked: usize| started + Duration::from_secs_f64(asked as f64 / clients as f64);
    let (mut asked, mut answered) = (0, 0);
    while answered < total {
        while asked < total && due(asked) <= Instant::now() {
            crowd[asked % clients].begin(&exchange, false, Instant::now())?;
            asked += 1;
        }
        let wait = if asked < total { due(asked).saturating_duration_since(Instant::now()) } else { LONGEST_WAIT };
        poll.wait(&mut events, i64::try_from(wait.as_millis()).unwrap_or(i64::MAX) + 1)?;
        if events.is_empty() && asked == total {
            return Err(format!("only {answered} of {total} requests were answered"));
        }
        for number in events.ready() {
            answered += usize::from(crowd[number].receive(&exchange, false)?);
        }
    }
    Ok(json!({ "requests": total, "seconds": meter.seconds(), "cpu_seconds": meter.busy()? }))
}

const LONGEST_WAIT: Duration = Duration::from_secs(10);

fn raise_descriptor_limit() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("the limit of open descriptors: {error}"))
}
