//! This crate's own client of a server with keys.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use coracle::channel::Authorized;
use coracle::client::{
    Address, Client, ClientChannel, Error, ErrorKind, PipelineAnswer, PipelineRequest, PutOptions, RequestQueue,
};
use coracle_core::{Code, Delete, FileName, Version};

use crate::fixture::{PSK, READER, Running, SERVER, STRANGER, Sealed, WRITER, code, key, list, psk};

fn client(running: &Running, number: u8) -> Client {
    let channel = ClientChannel::new(vec![*key(SERVER).public()]).expect("random bytes");
    let channel = channel.with_key(key(number)).with_psks(vec![psk(PSK)]);
    Client::new(Address::from(running.address)).with_channel(Some(channel))
}

#[test]
fn a_file_is_put_and_deleted_through_the_channel() {
    let running = Running::new();
    let contents: Vec<u8> = (0..3_000_000_u32).map(|number| (number >> 5) as u8).collect();
    let source = running.directory.path().join("source");
    fs::write(&source, &contents).expect("written");
    let (mut ada, name) = (client(&running, WRITER), FileName::new("in/new.bin").expect("a name"));
    let file = File::open(&source).expect("opened");
    let put = ada.put(name, &file, &PutOptions::new(), &mut ()).expect("put");
    assert!(!put.was_there && fs::read(running.directory.path().join("in/new.bin")).expect("read") == contents);
    assert!(ada.put(name, &file, &PutOptions::new(), &mut ()).expect("put again").was_there);
    ada.delete(Delete::File { name, version: put.version.as_ref().map(|version| version.as_str()) }).expect("deleted");
    assert!(!running.directory.path().join("in/new.bin").exists());
    let motd = FileName::new("motd").expect("a name");
    let refused = ada.put(motd, &file, &PutOptions::new(), &mut ()).expect_err("outside of in/");
    assert!(matches!(refused, Error::Refused { code: Some(Code::Denied), .. }), "{refused}");
}

#[test]
fn e5_a_stranger_is_told_its_own_key_and_does_not_come_again() {
    let running = Running::new();
    let error = client(&running, STRANGER).hello(|_| ()).expect_err("a stranger");
    assert!(matches!(error, Error::Refused { code: Some(Code::Denied), .. }), "{error:?}");
    assert!(error.to_string().contains(&key(STRANGER).public().to_string()), "{error}");
}

#[test]
fn e4_a_client_without_keys_is_told_so_and_does_not_come_again() {
    let running = Running::new();
    let retries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&retries);
    let mut plain = Client::new(Address::from(running.address)).with_retry_observer(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let error = plain.hello(|_| ()).expect_err("encrypted only");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("encrypted"), "{error}");
    assert_eq!(retries.load(Ordering::Relaxed), 0);
}

/// It waits without a thread and without the buffers of its channel, and goes on with both.
#[test]
fn an_encrypted_connection_waits_for_a_file() {
    let running = Running::new();
    let path = running.directory.path().join("motd");
    let mut reader = running.client(READER);
    let mut offset = 15;
    let wait = |reader: &mut Sealed, offset: usize, number: usize| {
        let wait = format!(r#"{{"type":"get","fileName":"motd","offset":{offset},"digest":"none","wait_ms":60000}}"#);
        reader.send(&wait);
        while running.log.text().matches(" get motd begins").count() <= number {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let append = |line: &str| {
        let file = File::options().append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("appended");
    };
    for number in 0..18 {
        wait(&mut reader, offset, number);
        let line = format!("{}\n", "x".repeat(1 << number));
        append(&line);
        offset += line.len();
        let header = reader.line();
        assert!(header.contains(&format!(r#""fileSize":{offset}"#)), "{header}");
        assert_eq!((reader.line().len(), reader.line()), (1 << number, r#"{"type":"end"}"#.to_owned()));
    }
    // A right is asked for again before each look. One that has not looked yet has been asked, and is tried again.
    for number in 18..100 {
        wait(&mut reader, offset, number);
        running.channel.set_clients(Authorized::parse(&format!("{} read\n", key(WRITER).public())).expect("a list"));
        append("new\n");
        let answer = reader.line();
        if answer.contains(r#""type":"error""#) {
            assert_eq!(code(&answer), "denied");
            return;
        }
        assert_eq!((reader.line(), reader.line()), ("new".to_owned(), r#"{"type":"end"}"#.to_owned()));
        offset += "new\n".len();
        running.channel.set_clients(Authorized::parse(&list("")).expect("a list"));
    }
    panic!("it never looked before the line was there");
}

/// Asks for the versions of many files.
struct Many {
    left: usize,
    told: Vec<Version>,
}

impl RequestQueue for Many {
    type Tag = ();
    type Progress = ();

    fn next(&mut self, _: usize) -> Option<((), PipelineRequest<()>)> {
        self.left = self.left.checked_sub(1)?;
        Some(((), PipelineRequest::stat(FileName::new("motd").expect("a name"), None)))
    }

    fn done(&mut self, (): (), outcome: Result<PipelineAnswer, Error>) -> ControlFlow<()> {
        let Ok(PipelineAnswer::Described(header)) = outcome else { panic!("{outcome:?}") };
        self.told.push(header.version);
        ControlFlow::Continue(())
    }
}

#[test]
fn many_requests_are_sent_ahead() {
    let running = Running::new();
    let mut many = Many { left: 3_000, told: Vec::new() };
    assert_eq!(client(&running, READER).pipeline(&mut many), []);
    assert_eq!(many.told.len(), 3_000);
    assert!(many.told.iter().all(|version| *version == many.told[0]));
}
