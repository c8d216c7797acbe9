//! What goes wrong in the middle of requests that were sent ahead.

use std::fs;
use std::time::Duration;

use coracle::client::{Error, ErrorKind};
use coracle_core::Code;

use crate::jobs::{Job, Jobs, client, names};
use crate::scripted::{Act, Scripted};

/// Asserts that all of 100 files come, and that the server sent each but `again` once.
fn all_come_once(server: &Scripted, again: &[&str]) {
    let mut jobs = Jobs::gets(names(100, 500));
    assert!(jobs.run(server.address).is_empty());
    assert!(jobs.failed().is_empty(), "{:?}", jobs.failed());
    assert_eq!(jobs.succeeded().len(), 100);
    for (name, count) in server.answers() {
        assert!(count == 1 || again.contains(&name.as_str()), "{name} was sent {count} times");
    }
}

#[test]
fn c21_a_server_that_closes_after_some_answers() {
    for answers in [1, 2, 7, 99] {
        let server = Scripted::new(move |asked| if asked.number < answers { Act::Answer } else { Act::Close });
        all_come_once(&server, &[]);
    }
}

#[test]
fn c21_a_server_that_resets_after_some_answers() {
    // What was answered and not read may be lost with the connection.
    let server = Scripted::new(|asked| if asked.number < 20 { Act::Answer } else { Act::Reset });
    let mut jobs = Jobs::gets(names(100, 500));
    assert!(jobs.run(server.address).is_empty());
    assert_eq!(jobs.succeeded().len(), 100, "{:?}", jobs.failed());
}

#[test]
fn c21_a_server_that_ends_the_connection_by_itself() {
    for code in ["busy", "shuttingDown", "timeout"] {
        let server = Scripted::new(move |asked| match (asked.connection, asked.number) {
            (0, 30) | (1, 5) => Act::End(code),
            _ => Act::Answer,
        });
        all_come_once(&server, &[]);
        assert_eq!(server.connections(), 3);
    }
}

#[test]
fn a_server_without_a_place_at_first() {
    let server = Scripted::new(|asked| if asked.connection == 0 { Act::End("busy") } else { Act::Answer });
    all_come_once(&server, &[]);
    let first: Vec<_> = server.asked().into_iter().filter(|asked| asked.connection == 0).collect();
    assert_eq!(first.len(), 1);
}

#[test]
fn a_server_without_a_place() {
    let server = Scripted::new(|_| Act::End("busy"));
    let mut jobs = Jobs::gets(names(10, 5));
    jobs.stop_after = 1;
    let mut client = client(server.address).with_patience(Some(Duration::from_millis(200)));
    let rest = jobs.run_with(&mut client);
    assert!(matches!(&jobs.ended[..], [(_, Err(error))] if error.is_busy()));
    assert_eq!(rest.len() + jobs.jobs.len(), 9);
}

#[test]
fn c22_refused_files_fail_alone() {
    let server = Scripted::new(|asked| match asked.name.as_str() {
        "f30-500" => Act::Refuse("notFound"),
        "f31-500" => Act::Refuse("denied"),
        "f99-500" => Act::Refuse("io"),
        _ => Act::Answer,
    });
    let mut jobs = Jobs::gets(names(100, 500));
    assert!(jobs.run(server.address).is_empty());
    let codes: Vec<_> = jobs.failed().iter().map(|(name, error)| (*name, code(error))).collect();
    let expected = [("f30-500", Code::NotFound), ("f31-500", Code::Denied), ("f99-500", Code::Io)];
    assert_eq!(codes, expected.map(|(name, code)| (name, Some(code))));
    assert_eq!((jobs.succeeded().len(), server.connections(), server.asked().len()), (97, 1, 100));
}

fn code(error: &Error) -> Option<Code> {
    match error {
        Error::Refused { code, .. } => *code,
        _ => None,
    }
}

/// After an unknown code the server may close, and `tooLong` closes.
#[test]
fn c22_a_refusal_that_closes_fails_alone() {
    let server = Scripted::new(|asked| if asked.name == "f30-500" { Act::End("tooLong") } else { Act::Answer });
    let mut jobs = Jobs::gets(names(100, 500));
    assert!(jobs.run(server.address).is_empty());
    assert!(matches!(jobs.failed()[..], [("f30-500", Error::Refused { code: Some(Code::TooLong), .. })]));
    assert_eq!((jobs.succeeded().len(), server.connections()), (99, 2));
}

#[test]
fn c22_a_file_that_changes_is_fetched_again() {
    let server = Scripted::new(|asked| match (asked.name.as_str(), asked.number) {
        ("f30-500", ..60) => Act::Changed,
        _ => Act::Answer,
    });
    all_come_once(&server, &[]);
    assert_eq!((server.connections(), server.asked().len()), (1, 101));
}

#[test]
fn c22_a_wrong_digest_is_fetched_again_once() {
    let server = Scripted::new(|asked| match (asked.name.as_str(), asked.connection) {
        ("f30-500", 0) | ("f60-500", _) => Act::WrongDigest,
        _ => Act::Answer,
    });
    let mut jobs = Jobs::gets(names(100, 500));
    assert!(jobs.run(server.address).is_empty());
    assert!(matches!(jobs.failed()[..], [("f60-500", Error::DigestMismatch)]), "{:?}", jobs.failed());
    assert_eq!(jobs.succeeded().len(), 99);
    let times = |name: &str| server.asked().iter().filter(|asked| asked.name == name).count();
    // It was asked behind the other one already, on the connection that ended with that.
    assert_eq!((times("f30-500"), times("f60-500")), (2, 3));
}

#[test]
fn c21_a_body_that_was_cut_is_resumed() {
    let server = Scripted::new(|asked| match (asked.name.as_str(), asked.offset) {
        ("f30-5000", 0) => Act::Cut,
        _ => Act::Answer,
    });
    let mut jobs = Jobs::gets(names(100, 5000));
    assert!(jobs.run(server.address).is_empty());
    assert_eq!(jobs.succeeded().len(), 100, "{:?}", jobs.failed());
    let offsets: Vec<_> = server.asked().into_iter().filter(|asked| asked.name == "f30-5000").collect();
    assert_eq!(offsets.iter().map(|asked| asked.offset).collect::<Vec<_>>(), [0, 2500]);
    assert!(server.answers().values().all(|times| *times == 1));
}

/// What an earlier run has left is hashed before anything is asked, and only the rest is fetched.
#[test]
fn unfinished_downloads_are_resumed() {
    let server = Scripted::new(|asked| match (asked.name.as_str(), asked.connection) {
        ("f3-5000" | "f40-5000", 0) => Act::Cut,
        _ => Act::Answer,
    });
    let mut jobs = Jobs::gets(["f3-5000"]);
    let mut client = client(server.address).with_retries(0);
    jobs.run_with(&mut client);
    assert_eq!(jobs.failed().len(), 1);
    jobs.ended.clear();
    jobs.jobs = names(100, 5000).into_iter().map(Job::Get).collect();
    jobs.run_with(&mut client);
    assert_eq!(jobs.succeeded().len(), 100, "{:?}", jobs.failed());
    let resumed: Vec<_> = server.asked().into_iter().filter(|asked| asked.offset > 0).collect();
    assert!(matches!(&resumed[..], [only] if only.name == "f3-5000" && only.offset == 2500), "{resumed:?}");
}

/// No retry, no second try: what was sent ahead behind what failed is nevertheless asked.
#[test]
fn c22_without_retries_only_the_one_under_way_fails() {
    let server = Scripted::new(|asked| match (asked.name.as_str(), asked.connection) {
        ("f30-500", 0) => Act::Cut,
        _ => Act::Answer,
    });
    let mut jobs = Jobs::gets(names(100, 500));
    jobs.run_with(&mut client(server.address).with_retries(0));
    let failed = jobs.failed();
    assert!(matches!(failed[..], [("f30-500", error)] if error.kind() == ErrorKind::Network), "{failed:?}");
    assert_eq!(jobs.succeeded().len(), 99);
}

#[test]
fn c22_local_errors_keep_the_connection() {
    let server = Scripted::new(|_| Act::Answer);
    let mut jobs =
        Jobs::gets(names(100, 500).into_iter().chain(["large-5000".to_owned()]).chain(["f100-500".to_owned()]));
    fs::write(jobs.directory.path().join("f30-500"), "here already").expect("written");
    jobs.options = jobs.options.with_max_size(Some(1000));
    assert!(jobs.run(server.address).is_empty());
    assert!(
        matches!(jobs.failed()[..], [("f30-500", Error::Local(_)), ("large-5000", Error::TooLarge { .. })]),
        "{:?}",
        jobs.failed()
    );
    assert_eq!((jobs.succeeded().len(), server.connections(), server.asked().len()), (100, 1, 101));
    assert_eq!(fs::read(jobs.directory.path().join("f30-500")).expect("there"), b"here already");
}

/// The rest of a large body is not received for nothing; what was asked behind it is asked again.
#[test]
fn a_large_file_that_cannot_be_stored_is_not_received() {
    let server = Scripted::new(|_| Act::Answer);
    let mut jobs = Jobs::gets(["f0-10", "large-3000000", "f1-10", "f2-10"]);
    jobs.options = jobs.options.with_max_size(Some(1000));
    assert!(jobs.run(server.address).is_empty());
    assert!(matches!(jobs.failed()[..], [("large-3000000", Error::TooLarge { .. })]));
    assert_eq!((jobs.succeeded(), server.connections()), (vec!["f0-10", "f1-10", "f2-10"], 2));
}

#[test]
fn a_slow_server_is_waited_for() {
    let server = Scripted::new(|_| Act::Dribble);
    all_come_once(&server, &[]);
    assert_eq!(server.connections(), 1);
}

/// A server that keeps nothing of what arrives behind a request is asked one at a time.
#[test]
fn c25_a_server_that_forgets_what_was_sent_ahead() {
    let server =
        Scripted::new(|asked| if asked.connection < 2 && asked.number == 1 { Act::Silence } else { Act::Answer });
    let mut jobs = Jobs::gets(names(100, 500));
    let mut client = client(server.address).with_stall_timeout(Some(Duration::from_secs(1)));
    assert!(jobs.run_with(&mut client).is_empty());
    assert_eq!(jobs.succeeded().len(), 100, "{:?}", jobs.failed());
}

#[test]
fn c21_listings_and_digests_are_asked_again() {
    let server = Scripted::new(|asked| match (asked.connection, asked.number) {
        (0, 20) => Act::Close,
        (1, 3) => Act::End("shuttingDown"),
        (2, 10) => Act::Reset,
        _ if asked.name == "d40" => Act::Refuse("notDirectory"),
        _ => Act::Answer,
    });
    let jobs =
        (0..100).map(|at| if at % 2 == 0 { Job::List(format!("d{at}")) } else { Job::Stat(format!("s{at}-99")) });
    let mut jobs = Jobs::new(jobs);
    assert!(jobs.run(server.address).is_empty());
    assert!(matches!(jobs.failed()[..], [("d40", Error::Refused { code: Some(Code::NotDirectory), .. })]));
    assert_eq!(jobs.succeeded().len(), 99);
}

#[test]
fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut jobs = Jobs::gets(names(5, 10));
    jobs.stop_after = 1;
    let rest = jobs.run_with(&mut client(address).with_retries(0));
    assert!(matches!(jobs.ended[..], [(_, Err(Error::Connect { .. }))]));
    assert_eq!(rest.len() + jobs.jobs.len(), 4);
}
