//! Requests that are sent ahead, against servers that answer, close, refuse and lie.

mod faults;
mod jobs;
mod mixed;
mod scripted;

use jobs::{Job, Jobs, client, names};
use scripted::{Act, DistantServer, Scripted};

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
fn a_thousand_files_take_few_round_trips() {
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
fn requests_ahead_are_bounded() {
    let server = Scripted::new(|_| Act::Answer);
    let mut jobs = Jobs::gets(names(500, 10));
    assert!(jobs.run(server.address).is_empty());
    assert_eq!(jobs.most_pending, 64);
    // By the length of their answers, where that is known.
    let mut jobs = Jobs::gets(names(6, 3 << 20));
    jobs.sizes_known = true;
    assert!(jobs.run(server.address).is_empty());
    assert!((2..=3).contains(&jobs.most_pending), "{}", jobs.most_pending);
    // By their own length.
    let long = |at: usize| format!("{}{at:03}-10", "\"".repeat(240));
    let server = Scripted::new(|_| Act::Refuse("notFound"));
    let mut jobs = Jobs::gets((0..200).map(long));
    jobs.run(server.address);
    assert_eq!(jobs.failed().len(), 200);
}

/// The server reads no request while it sends an answer, and the connection holds a small part of either.
#[test]
fn large_answers_and_requests_ahead_do_not_wait_for_each_other() {
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
