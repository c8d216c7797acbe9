//! Requests that are sent ahead, against servers that answer, close, refuse and lie.

mod faults;
mod jobs;
mod mixed;
mod scripted;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use jobs::{Job, Jobs, client, names};
use scripted::{Act, DistantServer, Scripted};

const NOT_FOUND: &[u8] = b"{\"type\":\"error\",\"code\":\"notFound\",\"message\":\"no\"}\n";

#[test]
fn answers_come_in_order_over_one_connection() {
    let server = Scripted::new(|_| Act::Answer);
    let jobs = (0..200).map(|at| match at % 4 {
        0 => Job::List(format!("d{at}")),
        1 => Job::Stat(format!("s{at}-1000")),
        2 => Job::Get(format!("f{at}-0")),
        _ => Job::Get(format!("f{at}-{}", at * 37)),
    });
    let mut jobs = Jobs::new(jobs);
    let expected: Vec<_> = jobs.jobs.iter().cloned().collect();
    assert!(jobs.run(server.address).is_empty());
    assert!(jobs.failed().is_empty(), "{:?}", jobs.failed());
    let ended: Vec<_> = jobs.ended.into_iter().map(|(job, _)| job).collect();
    assert_eq!(ended, expected);
    assert_eq!((server.connections(), server.asked().len()), (1, 200));
}

/// A thousand files take a thousand round trips where none is asked for before the last one has come.
#[test]
fn c24_a_thousand_files_take_few_round_trips() {
    for jobs in [
        Jobs::gets(names(1000, 1024)),
        Jobs::new(names(1000, 1024).into_iter().map(Job::Stat)),
        Jobs::new(names(1000, 1024).into_iter().map(Job::List)),
    ] {
        let (server, mut jobs) = (DistantServer::new(1000), jobs);
        jobs.is_committed = false;
        assert!(jobs.run(server.address).is_empty());
        assert_eq!((jobs.succeeded().len(), server.rounds()), (1000, 23));
    }
}

#[test]
fn c23_requests_ahead_are_bounded() {
    let server = Scripted::new(|_| Act::Answer);
    let mut jobs = Jobs::gets(names(500, 10));
    assert!(jobs.run(server.address).is_empty());
    assert_eq!(jobs.most_pending, 64);
    // By the length of their answers, where that is known.
    let mut jobs = Jobs::gets(names(6, 3 << 20));
    jobs.sizes_known = true;
    assert!(jobs.run(server.address).is_empty());
    assert!((2..=3).contains(&jobs.most_pending), "{}", jobs.most_pending);
}

#[test]
fn c23_the_bytes_of_requests_ahead_are_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
        for _ in 0..9 {
            lines.next().expect("a request").expect("a line");
            stream.write_all(NOT_FOUND).expect("written");
        }
        // Whatever is sent without an answer arrives in this time, or else the test shows less. A slow machine takes longer to begin.
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("an option");
        let mut ahead = Vec::new();
        for _ in 0..100 {
            ahead.extend(lines.by_ref().map_while(Result::ok));
            if ahead.len() > 8 {
                break;
            }
        }
        stream.set_read_timeout(None).expect("an option");
        // The client ends the connection when all is answered.
        stream.write_all(&NOT_FOUND.repeat(ahead.len())).expect("written");
        for _ in lines.map_while(Result::ok) {
            stream.write_all(NOT_FOUND).expect("written");
        }
        ahead
    });
    let mut jobs = Jobs::gets((0..200).map(|at| format!("{}{at:03}-10", "\"".repeat(200))));
    jobs.run(address);
    assert_eq!(jobs.failed().len(), 200);
    let ahead = server.join().expect("served");
    let bytes: usize = ahead.iter().map(|line| line.len() + 1).sum();
    assert!(ahead.len() > 8 && bytes <= 16 * 1024, "{} requests of {bytes} bytes", ahead.len());
}

/// The server reads no request while it sends an answer, and the connection holds a small part of either.
#[test]
fn c23_large_answers_and_requests_ahead_do_not_wait_for_each_other() {
    let server = Scripted::new(|_| Act::Answer);
    let large: Vec<_> = (0..2).map(|at| format!("large{at}-8000000")).collect();
    let mut jobs = Jobs::gets(names(60, 100).into_iter().chain(large).chain((60..120).map(|at| format!("f{at}-100"))));
    assert!(jobs.run(server.address).is_empty());
    assert_eq!((jobs.succeeded().len(), server.connections()), (122, 1));
}

#[test]
fn the_connection_is_used_before_and_after() {
    let server = Scripted::new(|_| Act::Answer);
    let mut client = client(server.address);
    let name = coracle::FileName::from_static("s-5");
    client.stat(name, None).expect("told");
    let mut jobs = Jobs::gets(names(100, 10));
    assert!(jobs.run_with(&mut client).is_empty());
    client.stat(name, None).expect("told");
    assert!(Jobs::gets(["none-0"; 0]).run_with(&mut client).is_empty());
    assert_eq!((server.connections(), server.asked().len()), (1, 102));
}

#[test]
fn a_queue_that_ends_the_pipeline_has_its_requests_back() {
    let server = Scripted::new(|_| Act::Answer);
    let mut client = client(server.address);
    let mut jobs = Jobs::gets(names(100, 10));
    jobs.stop_after = 30;
    let mut rest: Vec<_> = jobs.run_with(&mut client).into_iter().map(|job| job.name().to_owned()).collect();
    rest.extend(jobs.jobs.iter().map(|job| job.name().to_owned()));
    assert_eq!(jobs.succeeded().iter().map(|name| (*name).to_owned()).chain(rest).collect::<Vec<_>>(), names(100, 10));
    // What was asked ahead on that connection would be taken for the answer to the next request.
    client.stat(coracle::FileName::from_static("s-5"), None).expect("told");
    assert_eq!(server.connections(), 2);
}
