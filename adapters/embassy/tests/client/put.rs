//! Files that are put.

use std::fs;
use std::io;

use coracle_core::exec::Source;
use coracle_core::{Code, Delete, Digest, DigestKind, FileName, Hasher, Put, Replace, WriteRequest};
use coracle_embassy::{AsyncSource, ClientError};

use super::{connect, run, scripted, with_server};

const LARGE: FileName<'static> = FileName::from_static("images/large");

/// A file in memory, which notes where it was read from.
struct Memory<'m> {
    bytes: &'m [u8],
    began: Vec<u64>,
}

impl<'m> Memory<'m> {
    fn new(bytes: &'m [u8]) -> Self {
        Self { bytes, began: Vec::new() }
    }
}

impl Source for Memory<'_> {
    type Error = io::Error;

    fn begin(&mut self, offset: u64) -> io::Result<()> {
        self.began.push(offset);
        Ok(())
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[usize::try_from(offset).expect("small")..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// The same on a medium that is awaited.
struct Awaited<'m>(Memory<'m>);

impl AsyncSource for Awaited<'_> {
    type Error = io::Error;

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        tokio::task::yield_now().await;
        Source::read(&mut self.0, offset, buf)
    }
}

fn contents() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("it is a feature");
    hasher.update(bytes);
    hasher.finish()
}

fn put(name: FileName<'static>, bytes: &[u8]) -> Put<'static> {
    Put::new(name, bytes.len() as u64, sha256(bytes)).with_parents(true)
}

#[test]
fn a_file_is_put() {
    let there = tempfile::tempdir().expect("a directory");
    let bytes = contents();
    with_server(there.path(), async |address| {
        let mut client = connect(address, usize::MAX).await;
        let mut source = Memory::new(&bytes);
        let stored = client.put(&put(LARGE, &bytes), &mut source, &mut [0; 1000]).await.expect("stored");
        assert!(!stored.was_there && source.began == [0]);
        // The very file is there.
        let mut source = Memory::new(&bytes);
        let stored = client.put(&put(LARGE, &bytes), &mut source, &mut [0; 1000]).await.expect("stored");
        assert!(stored.was_there && source.began.is_empty());

        let empty = put(FileName::from_static("empty"), b"");
        client.put(&empty, &mut Memory::new(b""), &mut [0; 1]).await.expect("stored");
        let small = put(FileName::from_static("small"), b"A few bytes.\n");
        let mut source = Awaited(Memory::new(b"A few bytes.\n"));
        client.put(&small, &mut source, &mut [0; 5]).await.expect("stored");
        assert!(client.space().await.expect("told").free.is_some());
        let delete = Delete::File { name: FileName::from_static("empty"), version: None };
        client.write(&WriteRequest::Delete(delete)).await.expect("deleted");
    });
    assert!(fs::read(there.path().join("images/large")).expect("there") == bytes);
    assert_eq!(fs::read(there.path().join("small")).expect("there"), b"A few bytes.\n");
    assert!(!there.path().join("empty").exists());
}

#[test]
fn a_put_goes_on_where_the_connection_broke() {
    let there = tempfile::tempdir().expect("a directory");
    let bytes = contents();
    with_server(there.path(), async |address| {
        let mut began = Vec::new();
        for left in [400_000, 500_000] {
            let mut client = connect(address, left).await;
            let mut source = Memory::new(&bytes);
            let error = client.put(&put(LARGE, &bytes), &mut source, &mut [0; 4096]).await.expect_err("it breaks");
            assert!(matches!(error, ClientError::Failed(_) | ClientError::Transport(_)), "{error:?}");
            began.extend(source.began);
        }
        let mut client = connect(address, usize::MAX).await;
        let mut source = Memory::new(&bytes);
        client.put(&put(LARGE, &bytes), &mut source, &mut [0; 4096]).await.expect("stored");
        began.extend(source.began);
        assert!(began[0] == 0 && began[1] > 0 && began[2] > began[1], "{began:?}");
    });
    assert!(fs::read(there.path().join("images/large")).expect("there") == bytes);
}

#[test]
fn what_may_not_be_put_is_refused() {
    let there = tempfile::tempdir().expect("a directory");
    fs::write(there.path().join("there"), "another").expect("written");
    with_server(there.path(), async |address| {
        let mut client = connect(address, usize::MAX).await;
        let new = put(FileName::from_static("there"), b"new");
        let error = client.put(&new, &mut Memory::new(b"new"), &mut [0; 8]).await.expect_err("it is there");
        assert_eq!(error.to_string(), ClientError::<io::Error, io::Error>::Refused(Some(Code::Exists)).to_string());
        assert!(client.is_idle());
        let replacing = new.with_replace(Replace::Anything);
        client.put(&replacing, &mut Memory::new(b"new"), &mut [0; 8]).await.expect("stored");
        // Contents that are not those that were promised.
        let wrong = Put::new(FileName::from_static("wrong"), 5, sha256(b"right"));
        let error = client.put(&wrong, &mut Memory::new(b"wrong"), &mut [0; 8]).await.expect_err("a wrong digest");
        assert!(matches!(error, ClientError::Refused(Some(_))), "{error:?}");
    });
    assert_eq!(fs::read(there.path().join("there")).expect("there"), b"new");
    assert!(!there.path().join("wrong").exists());
}

const READY: &str = "{\"type\":\"ready\",\"fileName\":\"images/large\",\"fileSize\":1200000,\"offset\":0,\"length\":1200000,\"chunkSize\":1024}\n";

#[test]
fn a_source_that_is_too_short_ends_the_connection() {
    let (address, serving) = scripted::start(vec![(vec!["put"], READY.into())]);
    run(async {
        let mut client = connect(address, usize::MAX).await;
        let put = Put::new(LARGE, 1_200_000, sha256(b"short"));
        let error = client.put(&put, &mut Memory::new(b"short"), &mut [0; 8]).await.expect_err("too short");
        assert!(matches!(error, ClientError::TooFewToReadBack) && !client.is_idle(), "{error:?}");
    });
    assert_eq!(serving.join().expect("no panic"), 5);
}

/// It is told at once: a body of a gigabyte is not sent for nothing.
#[test]
fn a_refusal_in_the_middle_of_a_body_ends_it() {
    let refused = format!("{READY}  {}", scripted::error("noSpace"));
    let (address, serving) = scripted::start(vec![(vec!["put"], refused)]);
    let bytes = contents();
    run(async {
        let mut client = connect(address, usize::MAX).await;
        let put = put(LARGE, &bytes);
        let error = client.put(&put, &mut Memory::new(&bytes), &mut [0; 64]).await.expect_err("no space");
        assert!(matches!(error, ClientError::Refused(Some(Code::NoSpace))), "{error:?}");
    });
    assert!(serving.join().expect("no panic") < bytes.len());
}
