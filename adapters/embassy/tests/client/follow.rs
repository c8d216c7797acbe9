//! Files that are followed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use coracle_core::{Code, Failure, FileName};
use coracle_embassy::{ClientError, FollowFrom, Followed, Follower};
use embassy_futures::join::join;

use super::{TestClient, connect, run, scripted, with_server};

const LOG: FileName<'static> = FileName::from_static("log");

/// Follows `log`, over a new connection when one is needed.
struct Tail {
    address: SocketAddr,
    client: Option<TestClient>,
    follower: Follower<[u8; 64]>,
}

impl Tail {
    fn new(address: SocketAddr, from: FollowFrom) -> Self {
        Self { address, client: None, follower: Follower::new([0; 64]).with_from(from).with_wait_ms(5_000) }
    }

    /// What comes next, in words, where the bytes of the file count as one until `len` of them have come.
    async fn next(&mut self, len: usize) -> String {
        let (mut piece, mut text) = ([0; 100], String::new());
        loop {
            let client = match &mut self.client {
                Some(client) => client,
                None => self.client.insert(connect(self.address, usize::MAX).await),
            };
            match client.follow(LOG, &mut self.follower, &mut piece).await {
                Ok(Followed::Bytes(received)) => {
                    text.push_str(std::str::from_utf8(&piece[..received]).expect("text"));
                    if text.len() >= len {
                        return text;
                    }
                }
                Ok(other) => return format!("{text}{other:?}"),
                Err(ClientError::Refused(Some(Code::NotFound))) => tokio::task::yield_now().await,
                Err(ClientError::Refused(code)) => panic!("{code:?} behind {text:?}"),
                Err(_) => self.client = None,
            }
        }
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).expect("it is there").write_all(text.as_bytes()).expect("written");
}

#[test]
fn what_is_appended_comes_once() {
    let there = tempfile::tempdir().expect("a directory");
    let log = there.path().join("log");
    let first: String = (0..100).map(|number| format!("line {number}\n")).collect();
    fs::write(&log, &first).expect("written");
    with_server(there.path(), async |address| {
        let mut whole = Tail::new(address, FollowFrom::Beginning);
        assert_eq!(whole.next(first.len()).await, first);
        let mut end = Tail::new(address, FollowFrom::Bytes(8));
        assert_eq!(end.next(8).await, "line 99\n");
        assert_eq!(end.follower.position(), first.len() as u64);
        for number in 100..105 {
            let line = format!("line {number}\n");
            append(&log, &line);
            assert_eq!(whole.next(line.len()).await, line);
            assert_eq!(end.next(line.len()).await, line);
        }
        // A connection that was lost is no matter.
        whole.client = None;
        append(&log, "more\n");
        assert_eq!(whole.next(5).await, "more\n");
        let waiting = end.next(10);
        let written = async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            append(&log, "late\n");
        };
        assert_eq!(join(waiting, written).await.0, "more\nlate\n");
    });
}

#[test]
fn another_file_of_the_name_is_noticed() {
    let there = tempfile::tempdir().expect("a directory");
    let log = there.path().join("log");
    fs::write(&log, "old 1\nold 2\n").expect("written");
    with_server(there.path(), async |address| {
        let mut tail = Tail::new(address, FollowFrom::Beginning);
        assert_eq!(tail.next(12).await, "old 1\nold 2\n");
        // Renamed.
        fs::rename(&log, there.path().join("log.1")).expect("renamed");
        fs::write(&log, "new 1\n").expect("written");
        assert_eq!(tail.next(6).await, "BeginsAnew { known_to: Some(12) }");
        assert_eq!(tail.next(6).await, "new 1\n");

        // Truncated.
        File::create(&log).expect("truncated");
        append(&log, "x\n");
        assert_eq!(tail.next(2).await, "BeginsAnew { known_to: Some(6) }");
        assert_eq!(tail.next(2).await, "x\n");

        // Rewritten, with as many bytes and more.
        fs::write(&log, "y\nand more\n").expect("written");
        assert_eq!(tail.next(11).await, "BeginsAnew { known_to: Some(2) }");
        assert_eq!(tail.next(11).await, "y\nand more\n");
    });
}

#[test]
fn a_file_that_is_not_there_yet_is_told() {
    let there = tempfile::tempdir().expect("a directory");
    let log = there.path().join("log");
    with_server(there.path(), async |address| {
        let mut client = connect(address, usize::MAX).await;
        let mut follower = Follower::new([0; 16]);
        let refused = client.follow(LOG, &mut follower, &mut [0; 16]).await.expect_err("it is not there");
        assert!(matches!(refused, ClientError::Refused(Some(Code::NotFound))), "{refused:?}");
        fs::write(&log, "now").expect("written");
        let mut piece = [0; 16];
        let followed = client.follow(LOG, &mut follower, &mut piece).await.expect("it is there");
        assert_eq!((followed, &piece[..3]), (Followed::Bytes(3), &b"now"[..]));
    });
}

/// A server may keep a file that was replaced: what is left of it comes first.
#[test]
fn the_rest_of_a_file_that_was_replaced_is_read() {
    let (waits, asks) = (vec![r#""version":"v1""#, r#""wait_ms""#], vec!["!version", "!wait_ms"]);
    let old = vec![r#""version":"v1""#, "!wait_ms"];
    let (address, serving) = scripted::start(vec![
        (vec!["hello"], scripted::HELLO.into()),
        (vec!["stat"], scripted::stat("v1", 6)),
        (vec!["!version"], scripted::piece("v1", 0, "", "old 1\n")),
        (waits, scripted::error("changed")),
        (asks, scripted::error("badRange")),
        (old.clone(), scripted::piece("v1", 6, "old 1\n", "old 2\n")),
        (old, scripted::piece("v1", 12, "old 1\nold 2\n", "")),
        (vec!["!version"], scripted::piece("v2", 0, "", "new 1\n")),
    ]);
    run(async {
        let mut tail = Tail::new(address, FollowFrom::Beginning);
        assert_eq!(tail.next(12).await, "old 1\nold 2\n");
        assert_eq!(tail.next(6).await, "BeginsAnew { known_to: None }");
        assert_eq!(tail.next(6).await, "new 1\n");
    });
    assert_eq!(serving.join().expect("no panic"), 0);
}

/// A wrong digest ends the connection. The second one in a row means another file.
#[test]
fn a_wrong_digest_is_another_file_at_the_second_time() {
    let first = scripted::start(vec![
        (vec!["hello"], scripted::HELLO.into()),
        (vec!["stat"], scripted::stat("v1", 6)),
        (vec!["get"], scripted::piece("v1", 0, "", "old 1\n")),
        (vec!["get"], scripted::piece("v1", 6, "another", "new 2\n")),
    ]);
    let second = scripted::start(vec![
        (vec!["hello"], scripted::HELLO.into()),
        (vec!["get", "!version", "!wait_ms"], scripted::piece("v1", 6, "another", "new 2\n")),
    ]);
    let third = scripted::start(vec![
        (vec!["hello"], scripted::HELLO.into()),
        (vec!["get", r#""version":"v1""#, "!wait_ms"], scripted::error("changed")),
        (vec!["get", "!version"], scripted::piece("v1", 0, "", "new 1\nnew 2\n")),
    ]);
    run(async {
        let mut tail = Tail::new(first.0, FollowFrom::Beginning);
        assert_eq!(tail.next(6).await, "old 1\n");
        for (address, _) in [&second, &third] {
            tail.address = *address;
            let client = tail.client.as_mut().expect("connected");
            let error = client.follow(LOG, &mut tail.follower, &mut [0; 16]).await.expect_err("a wrong digest");
            assert_eq!(error.to_string(), ClientError::<std::io::Error>::Failed(Failure::Digest).to_string());
            tail.client = Some(connect(*address, usize::MAX).await);
        }
        assert_eq!(tail.next(6).await, "BeginsAnew { known_to: Some(6) }");
        assert_eq!(tail.next(12).await, "new 1\nnew 2\n");
    });
    for (_, serving) in [first, second, third] {
        assert_eq!(serving.join().expect("no panic"), 0);
    }
}
